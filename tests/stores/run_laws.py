"""Runs before the vendor has them: money is set aside once, exactly, and never more than there is."""

from dataclasses import replace
from decimal import Decimal

import pytest

from stibgate.domain.budget import Budget, Period, Reason, Unit, Verdict
from stibgate.domain.job import OPEN, Job, JobState, Reservation
from stibgate.errors import UsageError
from stibgate.stores import JobFilter, Spent
from tests.stores.base import StoreLaws
from tests.stores.world import CREDITS, DAY_MS, EVERY_JOB, MONTH, MONTHLY, NOW_MS, make_run, snapshot

TENTH = Decimal("0.100000000001")
TINY = Budget("tiny", CREDITS, Decimal("0.3"), Period.TOTAL)
STATES = {
    "reserved": ("25", "0"), "doubtful": ("25", "0"), "submitted": ("25", "0"), "lost": ("25", "0"),
    "succeeded": ("0", "20"), "succeeded, not billed": ("25", "0"), "failed": ("0", "0"), "refused": ("0", "0"),
}  # fmt: skip
"""Where a run of 25 stands -> what it has reserved and what it has settled."""


class RunLaws(StoreLaws):
    """`JobBook` up to `submitted`, and what budgets are made of."""

    async def brought_to(self, store, state, number=1, **fields) -> Job:
        """Return run `r<number>` in *state*."""
        await store.reserve(make_run(number, **fields), MONTHLY, confirmed=True)
        if state in {"refused", "doubtful"}:
            assert await store.unsubmitted(f"r{number}", JobState(state), f"it is {state}", now_ms=NOW_MS + 3)
        elif state != "reserved":
            await store.submitted(f"r{number}", f"j{number}", now_ms=NOW_MS + 3, poll_at_ms=NOW_MS + 60)
        if state == "lost":
            assert await store.lose(f"r{number}", "too late", now_ms=NOW_MS + 5)
        if state in {"failed", "succeeded", "succeeded, not billed"}:
            billed = {"failed": None, "succeeded": 20}.get(state)
            await self.ended(store, number, succeeded=state != "failed", billed=billed)
        return self.ledger.job(f"r{number}")

    async def test_a_run_is_remembered(self, store):
        """A run that is allowed is remembered with all that it was asked, amounts to the last digit."""
        run = make_run(1, str(TENTH), token="t", user="u", left=75, estimated=Decimal("0.05"), confirmed=TENTH)
        assert (await store.reserve(run, TINY, confirmed=False)).decision.reason is Reason.FITS
        await self.reopen()
        assert self.ledger.job("r1") == Job(
            sequence=1, run_id="r1", job_id=None, state=JobState.RESERVED, asked=run.asked, page=1, parent_job_id=None,
            chain="r1", budget="tiny", window="total", unit=CREDITS, estimated=Decimal("0.05"),
            ceiling=TENTH, billed=None, received=None, next_cursor=None, left=75, continued=False,
            stopped=None, created_at_ms=NOW_MS, submitted_at_ms=None, ended_at_ms=None, polls=0, next_poll_at_ms=None,
            delivery_id=None, reason=None, by="me",
            confirmed=TENTH,
        )  # fmt: skip
        assert self.ledger.spent("tiny", "total") == Spent(TENTH, Decimal(0))

    async def test_money_is_exact(self, store):
        """Three tenths are three times a tenth, and nothing after that, not even a trillionth."""
        for number in range(3):
            assert (await store.reserve(make_run(number, "0.1"), TINY, confirmed=False)).decision.verdict == "allow"
        before = snapshot(self.ledger)
        said = await store.reserve(make_run(9, "0.000000000001"), TINY, confirmed=False)
        assert (said.decision.reason, said.decision.remaining) == (Reason.OVER_BUDGET, Decimal(0))
        assert snapshot(self.ledger) == before
        assert self.ledger.job("r9") is None

    async def test_confirmation(self, store):
        """What needs a confirmation is not written without one; nobody can confirm more than there is."""
        said = await store.reserve(make_run(1, "60"), MONTHLY, confirmed=False)
        assert said.decision.verdict is Verdict.NEEDS_CONFIRMATION
        assert list(self.ledger.jobs(EVERY_JOB, limit=None)) == []
        assert (await store.reserve(make_run(1, "60"), MONTHLY, confirmed=True)).decision.reason is Reason.CONFIRMED
        assert (await store.reserve(make_run(2, "60"), MONTHLY, confirmed=True)).decision.verdict is Verdict.DENY
        assert self.ledger.spent("team", MONTH) == Spent(Decimal(60), Decimal(0))

    async def test_no_budget(self, store):
        """A run without a budget is always allowed, and counts in none."""
        assert await store.reserve(make_run(1, "999999"), None, confirmed=False) == Reservation()
        job = self.ledger.job("r1")
        assert (job.budget, job.window, job.ceiling) == (None, None, Decimal(999999))

    async def test_units_never_mix(self, store):
        """A run in another unit than its budget's is refused loudly, and nothing is written, at its parent neither."""
        await self.bought(store)
        before = snapshot(self.ledger)
        hog = make_run(2, unit=Unit.THEHOG_CREDIT, parent_run_id="r1")
        with pytest.raises(UsageError):
            await store.reserve(hog, MONTHLY, confirmed=True)
        assert snapshot(self.ledger) == before
        other = replace(MONTHLY, unit=Unit.THEHOG_CREDIT, limit=Decimal(25))
        assert (await store.reserve(hog, other, confirmed=False)).decision.remaining == Decimal(25)

    async def test_windows(self, store):
        """A run counts in the window of its own moment; the next window begins with nothing spent."""
        for number, at_ms in enumerate((NOW_MS, NOW_MS + 20 * DAY_MS, NOW_MS)):
            await store.reserve(make_run(number, "40", at_ms=at_ms), MONTHLY, confirmed=False)
        assert self.ledger.spent("team", MONTH) == Spent(Decimal(80))
        assert self.ledger.spent("team", "2026-06") == Spent(Decimal(40))
        assert self.ledger.spent("other", MONTH) == Spent()

    @pytest.mark.parametrize("state", STATES)
    async def test_what_counts(self, store, state):
        """Until what was billed is known the whole ceiling stays set aside; then what was billed, and no more."""
        job = await self.brought_to(store, state)
        reserved, settled = map(Decimal, STATES[state])
        assert self.ledger.spent("team", MONTH) == Spent(reserved, settled) == Spent(job.reserved, job.settled)
        said = await store.reserve(make_run(2, "1"), MONTHLY, confirmed=False)
        assert said.decision.remaining == 100 - reserved - settled

    @pytest.mark.parametrize("state", STATES)
    async def test_one_open_run_a_token(self, store, state):
        """While a run may still be billed nobody else uses its dedupe token; then it is free."""
        job = await self.brought_to(store, state, token="t", user="u")
        before = snapshot(self.ledger)
        said = await store.reserve(make_run(2, token="t", user="u"), MONTHLY, confirmed=False)
        if job.state in OPEN:
            assert said == Reservation(busy_run_id="r1")
            assert snapshot(self.ledger) == before
        else:
            assert said.decision.verdict is Verdict.ALLOW

    async def test_tokens_are_of_users(self, store):
        """A token is the same only with the same user; no user is a user of its own, and no token never collides."""
        owners = [{"token": "t"}, {"token": "t", "user": "u"}, {"token": "t", "user": ""}, {"token": "T"}, {}, {}]
        for number, owner in enumerate(owners):
            assert (await store.reserve(make_run(number, "1", **owner), MONTHLY, confirmed=False)).decision is not None
        for number, owner in enumerate(owners[:4]):
            said = await store.reserve(make_run(9, "1", **owner), MONTHLY, confirmed=False)
            assert said == Reservation(busy_run_id=f"r{number}")

    async def test_a_busy_token_marks_nothing(self, store):
        """A next page whose token is taken leaves the page before as it was."""
        await self.bought(store, 1)
        await self.bought(store, 2, token="t")
        await self.ended(store, 1, next_cursor="c")
        before = snapshot(self.ledger)
        said = await store.reserve(make_run(3, token="t", parent_run_id="r1"), MONTHLY, confirmed=False)
        assert said == Reservation(busy_run_id="r2")
        assert snapshot(self.ledger) == before

    async def test_an_unknown_parent(self, store):
        """A next page of nothing is a mistake, and nothing is written."""
        with pytest.raises(LookupError):
            await store.reserve(make_run(2, parent_run_id="r1"), MONTHLY, confirmed=False)
        assert list(self.ledger.jobs(EVERY_JOB, limit=None)) == []

    async def test_refused_and_doubtful(self, store):
        """A refusal ends a run and frees its money; a doubt ends nothing, and may still become either."""
        await store.reserve(make_run(1), MONTHLY, confirmed=False)
        assert await store.unsubmitted("r1", JobState.DOUBTFUL, "timed out", now_ms=NOW_MS + 1)
        job = self.ledger.job("r1")
        assert (job.state, job.reason, job.ended_at_ms, job.reserved) == ("doubtful", "timed out", None, Decimal(25))
        assert await store.unsubmitted("r1", JobState.REFUSED, "402", now_ms=NOW_MS + 2)
        job = self.ledger.job("r1")
        assert (job.state, job.reason, job.ended_at_ms, job.reserved) == ("refused", "402", NOW_MS + 2, Decimal(0))
        before = snapshot(self.ledger)
        assert not await store.unsubmitted("r1", JobState.DOUBTFUL, "no", now_ms=NOW_MS + 3)
        assert not await store.unsubmitted("r9", JobState.REFUSED, "no", now_ms=NOW_MS + 3)
        await store.submitted("r1", "j1", now_ms=NOW_MS, poll_at_ms=NOW_MS)
        assert snapshot(self.ledger) == before

    async def test_withdraw(self, store):
        """A run that was surely not submitted is forgotten, and its number is not given to another."""
        await store.reserve(make_run(1, token="t"), MONTHLY, confirmed=False)
        await store.withdraw("r1")
        assert self.ledger.job("r1") is None
        assert self.ledger.spent("team", MONTH) == Spent()
        assert (await self.bought(store, 2, token="t")).sequence == 2
        before = snapshot(self.ledger)
        for run_id in ("r1", "r2"):
            await store.withdraw(run_id)
        assert snapshot(self.ledger) == before, "a submitted run is not withdrawn"

    async def test_recover(self, store):
        """A new process finds runs that somebody was submitting, and does not know what became of them."""
        await self.bought(store, 1)
        for number in (2, 3):
            await store.reserve(make_run(number), MONTHLY, confirmed=False)
        store = await self.reopen()
        assert await store.recover_runs(now_ms=NOW_MS + 5) == 2
        assert await store.recover_runs(now_ms=NOW_MS + 5) == 0
        assert [str(job.state) for job in self.ledger.jobs(EVERY_JOB, limit=None)] == [
            "doubtful", "doubtful", "submitted",
        ]  # fmt: skip
        assert self.ledger.job("r2").reason
        assert self.ledger.spent("team", MONTH) == Spent(Decimal(75))
        await store.submitted("r3", "j3", now_ms=NOW_MS + 6, poll_at_ms=NOW_MS + 7)
        assert (self.ledger.job("j3").state, self.ledger.job("j3").reason) == ("submitted", None)

    async def test_the_same_job_twice(self, store):
        """A job that the vendor names for two runs is billed once: to the first; the other is refused."""
        await self.bought(store, 1)
        await self.ended(store, 1, next_cursor="c")
        await store.reserve(make_run(2, parent_run_id="r1"), MONTHLY, confirmed=False)
        await store.submitted("r2", "j1", now_ms=NOW_MS + 20, poll_at_ms=NOW_MS + 60)
        second = self.ledger.job("r2")
        assert (second.state, second.job_id, second.ended_at_ms) == (JobState.REFUSED, None, NOW_MS + 20)
        assert "r1" in second.reason
        assert (self.ledger.job("j1").run_id, self.ledger.job("r1").stopped) == ("r1", "refused")
        assert self.ledger.spent("team", MONTH) == Spent(Decimal(0), Decimal(20))

    async def test_one_next_page(self, store):
        """A page that has a next one gets no second, whatever became of that; the first one is named."""
        await self.bought(store, 1)
        await self.ended(store, 1, next_cursor="c")
        await store.reserve(make_run(2, "1", parent_run_id="r1"), MONTHLY, confirmed=False)
        for _ in range(2):
            before = snapshot(self.ledger)
            said = await store.reserve(make_run(3, "1", parent_run_id="r1"), MONTHLY, confirmed=False)
            assert said == Reservation(busy_run_id="r2")
            assert snapshot(self.ledger) == before
            await store.unsubmitted("r2", JobState.REFUSED, "402", now_ms=NOW_MS)

    async def test_a_lost_run_goes_on(self, store):
        """A lost run becomes its own job again, asked for at a new time; never another."""
        await self.brought_to(store, "lost")
        before = snapshot(self.ledger)
        await store.submitted("r1", "j2", now_ms=NOW_MS + 20, poll_at_ms=NOW_MS + 30)
        assert snapshot(self.ledger) == before
        await store.submitted("r1", "j1", now_ms=NOW_MS + 20, poll_at_ms=NOW_MS + 30)
        job = self.ledger.job("r1")
        assert (job.state, job.job_id, job.submitted_at_ms, job.next_poll_at_ms) == (
            "submitted", "j1", NOW_MS + 20, NOW_MS + 30,
        )  # fmt: skip
        assert (job.reason, job.ended_at_ms, job.polls, job.reserved) == (None, None, 0, Decimal(25))

    async def test_a_lost_run_is_refused(self, store):
        """A lost run may be refused, which frees its money, and is never doubtful; its event still counts."""
        await self.brought_to(store, "lost")
        assert not await store.unsubmitted("r1", JobState.DOUBTFUL, "why", now_ms=NOW_MS + 6)
        await store.withdraw("r1")
        assert self.ledger.job("r1").state == "lost"
        assert await store.unsubmitted("r1", JobState.REFUSED, "given up", now_ms=NOW_MS + 7)
        job = self.ledger.job("r1")
        assert (job.state, job.reason, job.ended_at_ms, job.reserved) == ("refused", "given up", NOW_MS + 7, 0)
        await self.ended(store, 1)
        assert self.ledger.spent("team", MONTH) == Spent(Decimal(0), Decimal(20))

    async def test_confirmed(self, store):
        """Only a search that waits for a confirmation is confirmed, and goes on; the amount is kept to the last digit."""
        await self.bought(store, 1)
        await self.ended(store, 1, next_cursor="c")
        before = snapshot(self.ledger)
        for run_id in ("r1", "r9"):
            await store.confirm(run_id, TENTH)
        assert snapshot(self.ledger) == before
        await store.reserve(make_run(2, "60", parent_run_id="r1"), MONTHLY, confirmed=False)
        waiting = JobFilter(stopped="needs_confirmation")
        assert [job.run_id for job in self.ledger.jobs(waiting, limit=None)] == ["r1"]
        await store.confirm("r1", TENTH)
        job = self.ledger.job("r1")
        assert (job.stopped, job.confirmed, job.more) == (None, TENTH, True)
        assert list(self.ledger.jobs(waiting, limit=None)) == []
