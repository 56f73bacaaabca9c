"""Charts and totals as JSON."""

from stibgate.domain.stats import DAY_MS, HOUR_MS, stats_of
from stibgate.domain.tally import MINUTE_MS, Counted, Key, Series
from stibgate.views.stats import stats_document

T = 20_000 * DAY_MS


def test_words_have_their_counts():
    """Every word stands with how often it was counted: answers, reasons, attempts and outcomes."""
    numbers = [
        (Series.ANSWERS, "push", "accepted", 4),
        (Series.ANSWERS, "push", "rejected", 2),
        (Series.REJECTED, "push", "stale", 2),
        (Series.ATTEMPTS, "crm", "taken", 5),
        (Series.OUTCOMES, "crm", "created", 69),
    ]
    counted = [Counted(T, Key(*key), value) for *key, value in numbers]
    told = stats_document(stats_of(counted, since_ms=T, until_ms=T + HOUR_MS, step_ms=MINUTE_MS))
    assert told["sources"]["push"]["answers"] == {"accepted": 4, "rejected": 2}
    assert told["sources"]["push"]["reasons"] == {"stale": 2}
    assert (told["sinks"]["crm"]["attempts"], told["sinks"]["crm"]["outcomes"]) == ({"taken": 5}, {"created": 69})
