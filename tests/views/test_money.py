"""What the API and `stibgate ledger --alarms` say does not add up."""

from dataclasses import replace

from stibgate.pipeline.alarms import GRACE_MS, RECENT
from stibgate.stores import UsageNote
from stibgate.views.money import alarms_in
from tests.pipeline.bills import NOW_MS, of_push

BUSY = [replace(of_push(billed=1, received=1, delivered=1), sequence=number) for number in range(RECENT + 500)]


class Busy:
    """A ledger with many bills since its latest note of usage."""

    def usage_notes(self):
        first = UsageNote(NOW_MS - 9 * GRACE_MS, 0, 0)
        return first, UsageNote(NOW_MS - GRACE_MS, len(BUSY), 0)

    def bills(self, *, limit, since_ms=None, short=False):
        return [] if short else BUSY[:limit]


def test_a_busy_quarter_of_an_hour_is_nobody_elses():
    """Usage is judged by every bill since its note, however many they are, as the log and the metrics judge it."""
    assert alarms_in(Busy(), (), None, now_ms=NOW_MS) == []
