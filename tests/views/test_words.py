"""Counts, times and amounts in words."""

import pytest

from stibgate.views.words import counted
from stibgate.web.console.screen import counted as counted_on_screen


@pytest.mark.parametrize(("count", "noun", "said"), [
    (0, "record", "0 records"), (1, "record", "1 record"), (2, "delivery", "2 deliveries"), (1, "delivery", "1 delivery"),
])  # fmt: skip
def test_counted(count, noun, said):
    """One is one, everything else is many, in a terminal as in the console."""
    assert counted(count, noun) == said
    assert counted_on_screen(count, noun) == said


def test_thousands():
    """The console sets thousands apart; what programs may read again does not."""
    assert counted(2_000, "delivery") == "2000 deliveries"
    assert counted_on_screen(2_000, "delivery") == "2\N{NO-BREAK SPACE}000 deliveries"
