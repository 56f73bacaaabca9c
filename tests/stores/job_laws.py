"""Jobs that the vendor has: how they end, whoever says so first, and how their searches go on."""

from decimal import Decimal

import pytest

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.job import JobState, StopReason
from stibgate.stores import JobFilter, UsageNote
from tests.stores.base import StoreLaws, replay, replay_delivery
from tests.stores.world import (
    CREDITS,
    EVERY_JOB,
    MONTHLY,
    NOW_MS,
    make_delivery,
    make_processed,
    make_result,
    make_run,
    snapshot,
)

GOOD = {"billed": 20, "received": 2, "next_cursor": "c"}
UNSAID = {**GOOD, "billed": None, "next_cursor": None}
BAD = {"succeeded": False, "billed": None, "received": 0, "error": "it broke"}
MORE = {**GOOD, "received": 3, "billed": 21}
ENDS = [
    ([GOOD], ("succeeded", 20, 2, "c", "d10")),
    ([BAD], ("failed", None, 0, None, "d10")),
    ([UNSAID], ("succeeded", None, 2, None, "d10")),
    ([GOOD, BAD], ("succeeded", 20, 2, "c", "d10")),
    ([BAD, GOOD], ("succeeded", 20, 2, "c", "d11")),
    ([BAD, BAD], ("failed", None, 0, None, "d10")),
    ([GOOD, UNSAID], ("succeeded", 20, 2, "c", "d10")),
    ([UNSAID, GOOD], ("succeeded", 20, 2, "c", "d10")),
    ([GOOD, MORE], ("succeeded", 21, 3, "c", "d11")),
    ([MORE, UNSAID], ("succeeded", 21, 3, "c", "d10")),
    (["lose", GOOD], ("succeeded", 20, 2, "c", "d11")),
    (["lose", BAD], ("failed", None, 0, None, "d11")),
    (["lose"], ("lost", None, None, None, None)),
    ([UNSAID, "amend"], ("succeeded", 7, 2, "a", "d10")),
    ([GOOD, "amend"], ("succeeded", 20, 2, "c", "d10")),
    (["amend", GOOD], ("succeeded", 20, 2, "c", "d11")),
    ([BAD, "amend"], ("failed", None, 0, None, "d10")),
    ([UNSAID, "amend", UNSAID], ("succeeded", 7, 2, "a", "d10")),
]
"""What happens to a job -> its state, what was billed, how many came, the cursor, and whose word it is."""


class JobLaws(StoreLaws):
    """`JobBook` from `submitted` on."""

    # -- submitted, and what events said before

    async def test_submitted(self, store):
        """A run that the vendor took has its job id and is asked for at the time that was given; twice is once."""
        job = await self.bought(store)
        assert (job.run_id, job.state, job.submitted_at_ms, job.next_poll_at_ms) == (
            "r1", "submitted", NOW_MS + 1, NOW_MS + 60,
        )  # fmt: skip
        before = snapshot(self.ledger)
        await store.submitted("r1", "j1", now_ms=NOW_MS + 8, poll_at_ms=NOW_MS + 9)
        await store.submitted("r1", "j2", now_ms=NOW_MS + 8, poll_at_ms=NOW_MS + 9)
        await store.submitted("r9", "j9", now_ms=NOW_MS + 8, poll_at_ms=NOW_MS + 9)
        assert snapshot(self.ledger) == before
        assert self.ledger.job("r1") == self.ledger.job("j1") == job

    @pytest.mark.parametrize("result", [GOOD, UNSAID, BAD], ids=["billed", "unsaid", "failed"])
    async def test_adopted(self, store, result):
        """A job that only an event told of is remembered, in no budget, under a run id that never changes."""
        adopted = await self.ended(store, **result)
        assert adopted.run_id.startswith("run_")
        assert (adopted.job_id, adopted.asked, adopted.page, adopted.chain) == ("j1", None, 1, adopted.run_id)
        assert (adopted.budget, adopted.window, adopted.estimated, adopted.ceiling) == (None,) * 4
        assert (adopted.unit, adopted.by, adopted.delivery_id) == (CREDITS, "an event", "d1")
        assert (adopted.created_at_ms, adopted.submitted_at_ms, adopted.ended_at_ms) == (NOW_MS + 9, None, NOW_MS + 9)
        assert not adopted.more
        assert self.ledger.job(adopted.run_id) == adopted
        assert (await self.ended(store, 2)).run_id != adopted.run_id

    @pytest.mark.parametrize("result", [GOOD, UNSAID, BAD], ids=["billed", "unsaid", "failed"])
    @pytest.mark.parametrize("doubtful", [False, True])
    async def test_an_event_that_is_faster(self, store, result, doubtful):
        """An event that comes before the answer to its submission counts for the run, and nothing is there twice."""
        await store.reserve(make_run(1), MONTHLY, confirmed=False)
        if doubtful:
            await store.unsubmitted("r1", JobState.DOUBTFUL, "timed out", now_ms=NOW_MS)
        adopted = await self.ended(store, **result)
        for _ in range(2):
            await store.submitted("r1", "j1", now_ms=NOW_MS + 20, poll_at_ms=NOW_MS + 60)
        (job,) = self.ledger.jobs(EVERY_JOB, limit=None)
        same = ("state", "billed", "received", "next_cursor", "ended_at_ms", "delivery_id", "reason", "next_poll_at_ms")
        assert {name: getattr(job, name) for name in same} == {name: getattr(adopted, name) for name in same}
        assert (job.run_id, job.job_id, job.submitted_at_ms, job.by) == ("r1", "j1", NOW_MS + 20, "me")
        assert (job.sequence, job.budget, job.ceiling) == (1, "team", Decimal(25))
        assert (await self.bought(store, 2)).sequence == 3, "a number that was given away is not given again"

    async def test_a_delivery_of_an_unknown_job(self, store):
        """A delivery that counts only with its job waits in quarantine for it, and is accepted once it is known."""
        for number, job in ((1, "j1"), (2, "j2"), (3, None)):
            said = await store.admit(make_delivery(number, job_id=job, known_job=True))
            assert (said.job_unknown, said.duplicate) == (True, False)
            stored = self.ledger.delivery(f"d{number}")
            assert (stored.state, stored.reason) == (DeliveryState.QUARANTINED, "job_unknown")
        assert list(await store.accepted(limit=9)) == []
        await self.bought(store)
        assert [one.delivery.delivery_id for one in await store.accepted(limit=9)] == ["d1"]
        stored = self.ledger.delivery("d1")
        assert (stored.state, stored.reason, stored.processed_at_ms) == (DeliveryState.ACCEPTED, None, None)
        assert self.ledger.delivery("d2").state is DeliveryState.QUARANTINED

    async def test_a_delivery_of_a_known_job(self, store):
        """A delivery of a job that we know is accepted; one that is not accepted for another reason keeps that."""
        await self.bought(store)
        assert not (await store.admit(make_delivery(1, job_id="j1", known_job=True))).job_unknown
        bad = make_delivery(2, job_id="j2", known_job=True, state=DeliveryState.IGNORED, reason="why")
        assert not (await store.admit(bad)).job_unknown
        assert (self.ledger.delivery("d1").state, self.ledger.delivery("d2").reason) == ("accepted", "why")

    # -- the end

    @pytest.mark.parametrize(("happens", "expected"), ENDS)
    async def test_how_it_ends(self, store, happens, expected):
        """A success stands, what was billed is never forgotten, and the fuller word of two counts."""
        await self.bought(store)
        for number, what in enumerate(happens, 10):
            if what == "lose":
                assert await store.lose("r1", "too late", now_ms=NOW_MS + 5)
            elif what == "amend":
                await store.amend("j1", billed=7, next_cursor="a")
            else:
                await self.ended(store, 1, number, at_ms=NOW_MS + number, **what)
        job = self.ledger.job("r1")
        assert (job.state, job.billed, job.received, job.next_cursor, job.delivery_id) == expected
        asks = job.state is JobState.SUCCEEDED and job.billed is None
        assert job.next_poll_at_ms == (job.ended_at_ms if asks else None)

    async def test_the_time_and_reason_of_the_end(self, store):
        """A job has the time of the end that stands, and says why when it did not end well."""
        await self.bought(store)
        assert await store.lose("r1", "too late", now_ms=NOW_MS + 5)
        assert not await store.lose("r1", "again", now_ms=NOW_MS + 6)
        assert not await store.lose("r9", "what", now_ms=NOW_MS + 6)
        job = self.ledger.job("r1")
        assert (job.reason, job.ended_at_ms) == ("too late", NOW_MS + 5)
        job = await self.ended(store, 1, 10, at_ms=NOW_MS + 10, **BAD)
        assert (job.reason, job.ended_at_ms) == ("it broke", NOW_MS + 10)
        job = await self.ended(store, 1, 11, at_ms=NOW_MS + 11, **GOOD)
        assert (job.reason, job.ended_at_ms) == (None, NOW_MS + 11)
        job = await self.ended(store, 1, 12, at_ms=NOW_MS + 12, **MORE)
        assert job.ended_at_ms == NOW_MS + 11

    async def test_processing_twice(self, store):
        """Processing a delivery again, with whatever it says of its job then, changes nothing."""
        await self.bought(store)
        await self.ended(store)
        before = snapshot(self.ledger)
        await store.process(make_processed(1, (), job=make_result(1, 99, received=50)))
        await store.process(make_processed(99, (), job=make_result(9)))
        assert snapshot(self.ledger) == before

    async def test_a_delivery_that_is_processed_again(self, store):
        """A delivery that was quarantined and is understood later tells of its job then."""
        await self.bought(store)
        await store.admit(make_delivery(1, job_id="j1"))
        await store.process(make_processed(1, (), records=0, state=DeliveryState.QUARANTINED, reason="why"))
        assert self.ledger.job("j1").state is JobState.SUBMITTED
        await replay_delivery(store, "d1", replay())
        await store.process(make_processed(1, job=make_result(1)))
        assert self.ledger.job("j1").state is JobState.SUCCEEDED

    # -- polls

    async def test_polls(self, store):
        """Jobs that are due are asked for, longest due first, at most *limit*, until nobody should."""
        assert await store.next_poll_ms() is None
        for number, at_ms in ((1, 30), (2, 10), (3, 20)):
            await store.reserve(make_run(number, "1"), MONTHLY, confirmed=False)
            await store.submitted(f"r{number}", f"j{number}", now_ms=NOW_MS, poll_at_ms=NOW_MS + at_ms)

        async def due(at_ms, limit=9):
            return [job.run_id for job in await store.open_polls(now_ms=NOW_MS + at_ms, limit=limit)]

        assert (await due(9), await due(20), await due(99), await due(99, 1)) == (
            [], ["r2", "r3"], ["r2", "r3", "r1"], ["r2"],
        )  # fmt: skip
        assert await store.next_poll_ms() == NOW_MS + 10
        await store.polled("r2", next_poll_at_ms=NOW_MS + 40)
        await store.polled("r3", next_poll_at_ms=None)
        await store.polled("r9", next_poll_at_ms=NOW_MS)
        assert await due(99) == ["r1", "r2"]
        assert [self.ledger.job(run_id).polls for run_id in ("r1", "r2", "r3")] == [0, 1, 1]
        await self.ended(store, 2)
        await self.ended(store, 1, billed=None)
        assert await due(99) == ["r1"], "a job of which nobody said what was billed"
        await store.polled("r2", next_poll_at_ms=NOW_MS)
        await store.amend("j1", billed=3, next_cursor=None)
        assert await store.next_poll_ms() is None
        assert await due(99) == []

    async def test_what_was_given_up(self, store):
        """Lost jobs, and those whose bill nobody asks for any more, are due only for who wants them, with the reason."""
        for number in range(1, 6):
            await self.bought(store, number, "1")
        await store.lose("r3", "too late", now_ms=NOW_MS + 5)
        for number in (1, 2):
            await self.ended(store, number, billed=None)
        await self.ended(store, 5)
        for run_id in ("r1", "r2"):
            await store.polled(run_id, next_poll_at_ms=None, reason="said nothing")
        assert [job.reason for job in self.ledger.jobs(JobFilter(state=JobState.SUCCEEDED), limit=2)] == [
            None,
            "said nothing",
        ]
        assert await store.next_poll_ms() == NOW_MS + 60

        async def due(**settings):
            return [job.run_id for job in await store.open_polls(now_ms=NOW_MS + 60, limit=9, **settings)]

        assert (await due(), await due(given_up=True)) == (["r4"], ["r1", "r2", "r3", "r4"])
        assert [job.run_id for job in await store.open_polls(now_ms=NOW_MS, limit=2, given_up=True)] == ["r1", "r2"]
        assert self.ledger.job("r1").given_up
        await store.amend("j1", billed=3, next_cursor=None)
        await self.ended(store, 2, 12, billed=4)
        assert [(job.billed, job.reason) for job in map(self.ledger.job, ("r1", "r2"))] == [(3, None), (4, None)]
        await self.ended(store, 3, 13)
        assert await due(given_up=True) == ["r4"]

    # -- pages

    async def page(self, store, number, parent=None, *, result=GOOD, **fields):
        """Return run `r<number>`, the next page of *parent*, submitted and ended with *result*."""
        await self.bought(store, number, "20", parent_run_id=parent, **fields)
        return await self.ended(store, number, **result)

    async def more(self, store, limit=9):
        return [job.run_id for job in await store.continuable(limit=limit)]

    async def test_pages(self, store):
        """Each page has a run of its own, of one chain, and is continued once."""
        await self.page(store, 1)
        assert await self.more(store) == ["r1"]
        await self.page(store, 2, "r1")
        await self.page(store, 3, "r2", result={**GOOD, "next_cursor": None})
        jobs = {job.run_id: job for job in self.ledger.jobs(JobFilter(chain="r1"), limit=None)}
        assert [(job.page, job.parent_job_id, job.continued) for job in jobs.values()] == [
            (3, "j2", False), (2, "j1", True), (1, None, True),
        ]  # fmt: skip
        assert await self.more(store) == [], "there is no further page"

    @pytest.mark.parametrize(("left", "more"), [(None, True), (3, True), (2, False), (0, False)])
    async def test_what_is_left(self, store, left, more):
        """A search goes on while it may bring more records than it did."""
        job = await self.page(store, 1, left=left)
        assert (job.left, job.more) == (left, more)
        assert await self.more(store) == ["r1"] * more

    async def test_continuable(self, store):
        """Those that have a next page come oldest first, at most *limit*; not those that failed, or only an event told of."""
        for number in (3, 1, 2):
            await self.page(store, number)
        await self.page(store, 4, result=BAD)
        await self.ended(store, 5, **GOOD)
        assert (await self.more(store), await self.more(store, 2)) == (["r3", "r1", "r2"], ["r3", "r1"])

    @pytest.mark.parametrize(("user", "more"), [("u", []), (None, ["r1"])])
    async def test_a_token_that_is_held(self, store, user, more):
        """A search whose dedupe token, and user, an open run holds is not given out before that has ended."""
        await self.page(store, 1, token="t", user="u")
        await self.page(store, 2)
        await self.bought(store, 3, "1", token="t", user=user)
        assert await self.more(store) == [*more, "r2"]
        await self.ended(store, 3)
        assert await self.more(store) == ["r1", "r2"]

    @pytest.mark.parametrize("reason", StopReason, ids=str)
    async def test_stops_that_pass(self, store, reason):
        """What somebody may have seen to by now stops no search for ever; what the vendor said does."""
        await self.page(store, 1)
        await store.stop("r1", reason)
        assert await self.more(store) == []
        passes = reason in {"over_budget", "needs_confirmation", "budget_gone", "no_credits", "failed"}
        assert (await store.unstop(), await self.more(store)) == (passes, ["r1"] * passes)

    async def test_a_withdrawn_page(self, store):
        """A page whose run is withdrawn may be asked for again."""
        await self.page(store, 1)
        await store.reserve(make_run(2, parent_run_id="r1"), MONTHLY, confirmed=False)
        assert await self.more(store) == []
        await store.withdraw("r2")
        assert (await self.more(store), self.ledger.job("r1").continued) == (["r1"], False)

    async def test_a_refused_page(self, store):
        """A page that the vendor refused ends its search, and says so where it ended."""
        await self.page(store, 1)
        await store.reserve(make_run(2, parent_run_id="r1"), MONTHLY, confirmed=False)
        await store.unsubmitted("r2", JobState.DOUBTFUL, "timed out", now_ms=NOW_MS)
        assert self.ledger.job("r1").stopped is None
        await store.unsubmitted("r2", JobState.REFUSED, "402", now_ms=NOW_MS)
        assert (self.ledger.job("r1").stopped, self.ledger.job("r1").continued) == ("refused", True)
        assert (await store.unstop(), await self.more(store)) == (0, [])

    @pytest.mark.parametrize(("ceiling", "reason"), [("90", "over_budget"), ("60", "needs_confirmation")])
    async def test_a_budget_stops_a_search(self, store, ceiling, reason):
        """A page that its budget does not have stops its search, until budgets are looked at again or somebody says yes."""
        await self.page(store, 1)
        await self.page(store, 9)
        await store.stop("r9", "cursor_repeated")
        said = await store.reserve(make_run(2, ceiling, parent_run_id="r1"), MONTHLY, confirmed=False)
        assert said.decision.verdict != "allow"
        job = self.ledger.job("r1")
        assert (job.stopped, job.continued, await self.more(store)) == (reason, False, [])
        assert (await store.unstop(), await store.unstop()) == (1, 0)
        assert (await self.more(store), self.ledger.job("r9").stopped) == (["r1"], "cursor_repeated")
        await store.reserve(make_run(2, ceiling, parent_run_id="r1"), MONTHLY, confirmed=False)
        await store.reserve(make_run(2, "55", parent_run_id="r1"), MONTHLY, confirmed=True)
        job = self.ledger.job("r1")
        assert (job.stopped, job.continued, self.ledger.job("r2").page) == (None, True, 2)

    # -- lists, and what else is known

    async def test_lists(self, store):
        """Jobs are listed newest first, by page and by every filter that is given."""
        await self.page(store, 1)
        await self.page(store, 2, "r1", result=BAD)
        await store.reserve(make_run(3, "1"), None, confirmed=False)
        await self.bought(store, 4, "1")
        await self.ended(store, 5)
        expected = {
            JobFilter(): "54321",
            JobFilter(state=JobState.SUCCEEDED): "51",
            JobFilter(budget="team"): "421",
            JobFilter(budget="TEAM"): "",
            JobFilter(chain="r1"): "21",
            JobFilter(unfinished=True): "43",
            JobFilter(unfinished=False): "521",
            JobFilter(unfinished=False, budget="team", state=JobState.FAILED): "2",
        }
        whole = list(self.ledger.jobs(EVERY_JOB, limit=None))
        found = {where: "".join(str(job.sequence) for job in self.ledger.jobs(where, limit=None)) for where in expected}
        assert found == expected
        pages, before = [], None
        while page := self.ledger.jobs(EVERY_JOB, limit=2, before=before):
            pages += page
            before = page[-1].sequence
        assert pages == whole
        assert self.ledger.job("x") is None

    async def test_usage(self, store):
        """Of what the vendor says was billed the first note and the latest are kept, with what was known then."""
        assert self.ledger.usage_notes() is None
        await store.note_usage(100, at_ms=NOW_MS)
        first = UsageNote(NOW_MS, 100, 0)
        assert self.ledger.usage_notes() == (first, first)
        await store.admit(make_delivery(7, billed=5))
        await store.admit(make_delivery(8, billed=None))
        await store.admit(make_delivery(9, billed=3, event_type="person_search.job.succeeded"))
        await self.ended(store, 1)
        for number, known in ((1, 25), (2, 25)):
            await store.note_usage(100 + number, at_ms=NOW_MS + number)
            assert self.ledger.usage_notes() == (first, UsageNote(NOW_MS + number, 100 + number, known))

    async def test_alarms(self, store):
        """An alarm is raised once, also after a restart."""
        assert [await store.raise_alarm(key, at_ms=NOW_MS) for key in ("a", "b", "a")] == [True, True, False]
        store = await self.reopen()
        assert not await store.raise_alarm("a", at_ms=NOW_MS + 1)

    async def test_after_a_restart(self, store):
        """Jobs, their money and their bills are the same to the next process."""
        await self.page(store, 1)
        await self.page(store, 2, "r1", result=UNSAID)
        await self.ended(store, 3)
        await store.note_usage(9, at_ms=NOW_MS)
        before = snapshot(self.ledger)
        await self.reopen()
        assert snapshot(self.ledger) == before
