"""Charts and totals."""

import pytest

from stibgate.domain.stats import DAY_MS, HOUR_MS, WINDOWS, Quantiles, span_of, stats_of
from stibgate.domain.tally import MINUTE_MS, QUARTER_MS, SPANS_MS, Counted, Key, Series

T = 20_000 * DAY_MS


def stats(*numbers, step_ms=MINUTE_MS, until_ms=T + HOUR_MS):
    """Return the statistics of numbers that are given as (minute, series, subject, word, value)."""
    counted = [Counted(T + minute * MINUTE_MS, Key(*key), value) for minute, *key, value in numbers]
    return stats_of(counted, since_ms=T + 7, until_ms=until_ms, step_ms=step_ms)


def test_gaps_are_zeros_and_the_end_is_the_last_with_data():
    """Every line has a number for each period from the first asked for to the last with data, and no further."""
    told = stats(
        (1, Series.ANSWERS, "push", "accepted", 4),
        (1, Series.RECORDS, "push", "", 80),
        (3, Series.OUTCOMES, "crm", "created", 9),
        (3, Series.OUTCOMES, "crm", "refused", 2),
        (3, Series.OUTCOMES, "drop", "written", 5),
        (3, Series.ATTEMPTS, "crm", "unavailable", 1),
        (4, Series.ANSWERS, "-", "rejected", 1),
        (4, Series.ANSWERS, "push", "rejected", 1),
    )
    chart = told.chart
    assert list(chart.at_ms) == [T + minute * MINUTE_MS for minute in range(5)]
    assert chart.accepted == {"push": [0, 4, 0, 0, 0]}
    assert chart.rejected == {"-": [0, 0, 0, 0, 1], "push": [0, 0, 0, 0, 1]}
    assert chart.delivered == {"crm": [0, 0, 0, 9, 0], "drop": [0, 0, 0, 5, 0]}
    assert (chart.refused, chart.failed) == ({"crm": [0, 0, 0, 2, 0]}, {"crm": [0, 0, 0, 1, 0]})
    assert (told.accepted, told.records, told.rejected, told.rejected_share) == (4, 80, 2, 2 / 6)
    assert (told.sinks["crm"].ok, told.sinks["crm"].refused, told.sinks["crm"].failed) == (9, 2, 1)


def test_waits():
    """A period without acknowledgements has no duration, which is not the same as none at all."""
    told = stats(
        (0, Series.ACK_MS, "a", "1", 100), (2, Series.ACK_MS, "b", "10", 100), (0, Series.ANSWERS, "a", "accepted", 1),
        (2, Series.ANSWERS, "b", "accepted", 1), (0, Series.ATTEMPT_MS, "crm", "100", 2), (0, Series.DEAD, "crm", "", 3),
    )  # fmt: skip
    assert [value and round(value) for value in told.chart.ack_p50_ms] == [1, None, 9]
    assert [value and round(value) for value in told.chart.ack_p99_ms] == [1, None, 10]
    assert (told.ack_ms.p50, told.sources["a"].ack_ms.p99) == (1.0, pytest.approx(0.998, abs=0.01))
    assert told.sinks["crm"].dead == 3
    assert told.sinks["crm"].attempt_ms.p50 == 91.0


def test_nothing():
    """Of nothing there are no lines, no periods and no durations, and no error."""
    told = stats()
    assert (list(told.chart.at_ms), told.sources, told.sinks, told.ack_ms) == ([], {}, {}, Quantiles())
    assert (told.accepted, told.rejected_share) == (0, 0.0)


def test_steps():
    """The longest span that fits is added up; a step that no span fits, or too many periods, is an error."""
    assert [span_of(step_ms) for _, step_ms in WINDOWS.values()] == [MINUTE_MS, QUARTER_MS, QUARTER_MS]
    assert set(SPANS_MS) == {MINUTE_MS, QUARTER_MS}
    for wrong in (0, -MINUTE_MS, 1_000, MINUTE_MS + 1):
        with pytest.raises(ValueError, match="minutes"):
            span_of(wrong)
    with pytest.raises(ValueError, match="longer steps"):
        stats(until_ms=T + 7 * DAY_MS)
