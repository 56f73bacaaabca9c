"""What a store must do with what is counted."""

import asyncio

from stibgate.domain.rejection import Evidence, Finding, Rejections
from stibgate.domain.stats import DAY_MS, HOUR_MS
from stibgate.domain.tally import MINUTE_MS, QUARTER_MS, Counted, Key, Series
from stibgate.domain.task import Signal
from stibgate.stores.glance import DeadGroup, Seen
from tests.stores.base import StoreLaws
from tests.stores.world import NOW_MS, make_delivery

T = 20_000 * DAY_MS
ACCEPTED = Key(Series.ANSWERS, "push", "accepted")
DEAD = Key(Series.DEAD, "crm")


def at(minute, key=ACCEPTED, value=1):
    """Return a number of a minute."""
    return Counted(T + minute * MINUTE_MS, key, value)


def refused(hour, count=1, *, source="push", reason="mismatch", minute=0, finding=None):
    """Return a group of refusals; the minute tells its evidence apart."""
    at_ms = T + hour * HOUR_MS + minute * MINUTE_MS
    last = Evidence(f"r{minute}", 401, "192.0.2.1", "a/1", ("x-sig",), ("t_v1",), 7, "ab" * 6)
    found = None if finding is None else Finding(at_ms, "wrong_secret", finding, "look", ("line 1", "line 2"))
    return Rejections(T + hour * HOUR_MS, source, reason, count, at_ms, at_ms + 5, last, found)


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
        while await store.forget_counts(T + 4_500 * MINUTE_MS, rejections_before_ms=T):
            steps += 1
        assert steps < 20
        assert self.counted() == [(4_500, "answers", 1), (4_501, "answers", 1)]
        assert self.counted(step_ms=QUARTER_MS) == [(4_500, "answers", 2)]

    async def test_refusals_are_grouped(self, store):
        """Refusals add up by source and reason over hours; the latest evidence and the latest finding stand."""
        await store.add_counts("b1", [], [refused(0, 2, minute=1, finding="old"), refused(0, reason="stale", minute=2)])
        store = await self.reopen()
        await store.add_counts("b2", [], [refused(0, 3, minute=9, finding="new"), refused(2, minute=30)])
        await store.add_counts("b2", [], [refused(0, 3, minute=9)])
        await store.add_counts("b3", [], [refused(1, source="-", reason="unknown_source")])
        found = self.ledger.rejections(T)
        assert [(one.source, one.reason, one.count) for one in found] == [
            ("push", "mismatch", 6), ("-", "unknown_source", 1), ("push", "stale", 1),
        ]  # fmt: skip
        first = found[0]
        assert first.last == refused(2, minute=30).last
        assert first.finding == refused(0, minute=9, finding="new").finding
        assert (first.first_at_ms, first.last_at_ms) == (T + MINUTE_MS, T + 2 * HOUR_MS + 30 * MINUTE_MS + 5)
        later = self.ledger.rejections(T + 2 * HOUR_MS + 59 * MINUTE_MS)
        assert [(one.reason, one.count, one.finding) for one in later] == [("mismatch", 1, None)]

    async def test_a_finding_comes_later(self, store):
        """What is found out about a group that is stored already is added to it and counts nothing."""
        await store.add_counts("b1", [], [refused(0, 2, minute=3)])
        await store.add_counts("b2", [], [refused(0, 0, minute=4, finding="why")])
        (only,) = self.ledger.rejections(T)
        assert (only.count, only.finding.verdict) == (2, "why")

    async def test_old_refusals_are_forgotten(self, store):
        """Refusals of hours that ended before a moment go."""
        await store.add_counts("b1", [], [refused(hour, source=f"s{hour}") for hour in range(4)])
        await store.forget_counts(T, rejections_before_ms=T + 2 * HOUR_MS + 1)
        assert [one.source for one in self.ledger.rejections(T)] == ["s3", "s2"]

    async def test_at_a_glance(self, store):
        """Who came last, what has waited longest, and what tasks died of."""
        await self.end(store, 1, "dead")
        await self.end(store, 2, "rejected")
        await self.add(store, 3, sinks=["crm", "drop"], at_ms=NOW_MS + 3)
        await self.add(store, 4, sinks=["crm"], at_ms=NOW_MS + 4)
        await store.admit(make_delivery(5, source="other", authenticated_by="t_v1/2", received_at_ms=NOW_MS + 9))
        await store.admit(make_delivery(6, source="other", via="poll", received_at_ms=NOW_MS + 10))
        assert dict(self.ledger.owing_since()) == {"crm": NOW_MS + 3, "drop": NOW_MS + 3}
        assert dict(self.ledger.last_accepted(["other", "stibnite", "none"])) == {
            "other": Seen("d5", NOW_MS + 9, "t_v1/2"),
            "stibnite": Seen("d4", NOW_MS + 4, ""),
        }
        assert list(self.ledger.dead_groups()) == [
            DeadGroup("crm", "it is dead", 1, "it is dead", "d1/crm", NOW_MS),
            DeadGroup("crm", "it is rejected", 1, "it is rejected", "d2/crm", NOW_MS),
        ]

    async def test_a_sender_with_a_thousand_words(self, store):
        """Who came last is known of a source, too, whose events have more names than a query has terms."""
        many = [make_delivery(n, event_type=f"e.t{n}", received_at_ms=NOW_MS + n) for n in range(1, 1001)]
        await asyncio.gather(*map(store.admit, many))
        await store.admit(make_delivery(1001, source="other"))
        assert dict(self.ledger.last_accepted(["stibnite"])) == {"stibnite": Seen("d1000", NOW_MS + 1000, "")}

    async def test_the_dead_are_grouped_by_what_their_errors_have_in_common(self, store):
        """Ids, quoted values and counts make no groups of their own; the newest is the example; the largest is first."""
        errors = ["503 for 'ann' after 9 s", "503 for 'bob' after 12 s", "429 Too Many", "503 for 'eve' after 1 s"]
        for number, error in enumerate(errors):
            task = await self.leased(store, number)
            await self.settle(store, task, Signal.EXHAUSTED, outcomes=[], error=error)
        found = [(one.error, one.count, one.example, one.task_id) for one in self.ledger.dead_groups()]
        assert found == [
            ("503 for … after … s", 3, errors[3], "d3/crm"),
            ("429 Too Many", 1, "429 Too Many", "d2/crm"),
        ]
