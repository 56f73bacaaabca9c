"""Who is told what happened."""

from stibgate.app.audience import Audience
from stibgate.domain.fact import GaveUp


def test_everybody_is_told_whatever_the_others_do():
    """An observer that fails neither stops the work that it watches nor the other observers."""

    def broken(_fact):
        raise RuntimeError("canary")

    first, last = [], []
    audience = Audience()
    for observe in (first.append, broken, last.append):
        audience.add(observe)
    audience.tell(GaveUp("drop"))
    assert first == last == [GaveUp("drop")]
