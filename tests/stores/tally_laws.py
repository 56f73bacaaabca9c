"""What a store must do with what is counted."""

from stibgate.domain.stats import DAY_MS
from stibgate.domain.tally import MINUTE_MS, QUARTER_MS, Counted, Key, Series
from tests.stores.base import StoreLaws

T = 20_000 * DAY_MS
ACCEPTED = Key(Series.ANSWERS, "push", "accepted")
DEAD = Key(Series.DEAD, "crm")


def at(minute, key=ACCEPTED, value=1):
    """Return a number of a minute."""
    return Counted(T + minute * MINUTE_MS, key, value)


class TallyLaws(StoreLaws):
    """Counts add up, once, and are forgotten when they are old."""

    def counted(self, *, since=0, until=10**6, step_ms=MINUTE_MS):
        """Return (minute, series, value) of what was counted between two minutes."""
        found = self.ledger.counts(since_ms=T + since * MINUTE_MS, until_ms=T + until * MINUTE_MS, step_ms=step_ms)
        return [((one.at_ms - T) // MINUTE_MS, str(one.key.series), one.value) for one in found]

    async def test_counts_add_up(self, store):
        """What is counted of one minute in several batches is one number; the next process adds to it."""
        await store.add_counts("b1", [at(0), at(0, DEAD, 5), at(1)])
        store = await self.reopen()
        await store.add_counts("b2", [at(1, value=2), at(1, DEAD)])
        assert self.counted() == [(0, "answers", 1), (0, "dead", 5), (1, "answers", 3), (1, "dead", 1)]

    async def test_a_batch_counts_once(self, store):
        """Whoever does not know whether a batch was added may ask again; the same numbers in another one do count."""
        for batch_id in ("b1", "b1", "b2", "b2"):
            await store.add_counts(batch_id, [at(0)])
        assert self.counted() == [(0, "answers", 2)]

    async def test_periods(self, store):
        """Numbers are added up in steps that begin at whole steps, from minutes or from quarters of an hour."""
        await store.add_counts("b1", [at(minute, value=2**minute) for minute in (0, 14, 15, 29, 30, 61)])
        assert self.counted(since=14, until=30) == [
            (14, "answers", 2**14),
            (15, "answers", 2**15),
            (29, "answers", 2**29),
        ]
        assert self.counted(step_ms=QUARTER_MS, since=3, until=30) == [
            (0, "answers", 1 + 2**14), (15, "answers", 2**15 + 2**29),
        ]  # fmt: skip
        assert self.counted(step_ms=4 * QUARTER_MS) == [
            (0, "answers", 1 + 2**14 + 2**15 + 2**29 + 2**30), (60, "answers", 2**61),
        ]  # fmt: skip
        told = self.ledger.stats(since_ms=T, until_ms=T + DAY_MS, step_ms=QUARTER_MS)
        assert (told.accepted, len(told.chart.at_ms)) == (sum(2**minute for minute in (0, 14, 15, 29, 30, 61)), 5)

    async def test_what_is_old_is_forgotten(self, store):
        """Counts of before a moment go, in as many steps as it takes; those of the moment and after stay."""
        await store.add_counts("b1", [at(minute) for minute in (0, 1, 40, 100, 2_000, 4_500, 4_501)])
        steps = 1
        while await store.forget_counts(T + 4_500 * MINUTE_MS):
            steps += 1
        assert steps < 20
        assert self.counted() == [(4_500, "answers", 1), (4_501, "answers", 1)]
        assert self.counted(step_ms=QUARTER_MS) == [(4_500, "answers", 2)]
