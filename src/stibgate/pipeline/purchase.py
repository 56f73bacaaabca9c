"""Buying: reserve, submit, settle; each a transaction of its own, and whatever is not known counts as spent.

The money is set aside before the vendor is asked, and given back only when the vendor surely did not take the job.
When nobody knows (no answer, half of one), the run is doubtful and its ceiling stays set aside until a person says
what became of it. Source: Stibnite Person Data API, "Create async person search job".
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal

import structlog

from stibgate.domain.budget import (
    Budget,
    Decision,
    Quote,
    Reason,
    Suggestion,
    Unit,
    Verdict,
    decide,
    format_amount,
)
from stibgate.domain.job import Job, JobState, NewRun
from stibgate.errors import JobBusy, StoreError, VendorError, VendorRefused, VendorUnavailable
from stibgate.pipeline.asking import JobApi
from stibgate.stores import JobBook
from stibgate.vendors.stibnite import NewJob

log = structlog.get_logger("stibgate.jobs")

UNITS_PER_RECORD = Decimal(1)
TRIES = 4
WAIT_MAX_S = 30.0
WAIT_FIRST_S = 1.0
REASON_CHARS_MAX = 300


@dataclass(frozen=True, slots=True)
class Purchase:
    """What came of a wish to buy.

    Attributes:
        job_id: None when the budget did not allow it.
        decision: What the budget said; None without one.
    """

    run_id: str
    job_id: str | None
    unit: Unit
    ceiling: Decimal
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Buyer:
    """Submits jobs within their budgets.

    Attributes:
        book: The store.
        api: The vendor.
        now_ms: The clock.
        sleep: Waits the given seconds.
        new_id: Makes run ids.
        poll_after_ms: How long after its submission a job is asked for, should its event not come.
        on_taken: Called when the vendor has a job; events that came before it may go on.
        continue_pages: Whether later pages follow by themselves; then a person confirms what all of them may cost.
    """

    book: JobBook
    api: JobApi
    now_ms: Callable[[], int]
    sleep: Callable[[float], Awaitable[None]]
    new_id: Callable[[], str]
    poll_after_ms: int
    on_taken: Callable[[], None] = lambda: None
    continue_pages: bool = False

    async def submit(self, wanted: NewJob, budget: Budget | None, *, confirmed: bool, by: str) -> Purchase:
        """Submit *wanted* if *budget* allows it; no page is larger than what is left of `max_records`.

        Without `max_records` the job's own page is all: a number in the query shall not decide what is billed.

        Raises:
            JobBusy: Another job with the same dedupe token has not ended.
            UsageError: The budget counts something else.
            VendorError: It was not submitted, or (`maybe_done`) nobody knows.
        """
        most = wanted.max_records or wanted.limit
        capped = replace(wanted, max_records=most, limit=min(wanted.limit, most))
        return await self._buy(capped, budget, confirmed=confirmed, by=by, left=most)

    async def next_page(self, job: Job, budget: Budget | None) -> Purchase | None:
        """Submit the page after *job*'s within its budget; None when a job with its dedupe token must end first.

        Whoever confirmed the first page confirmed all of them. The vendor is asked once: whoever goes on in the
        background comes again.

        Raises:
            VendorError: It was not submitted, or (`maybe_done`) nobody knows.
        """
        asked = NewJob(**(job.asked or {}))
        left = None if job.left is None else job.left - (job.received or 0)
        limit = asked.limit if left is None else min(asked.limit, left)
        wanted = replace(asked, cursor=job.next_cursor, limit=limit)
        try:
            return await self._buy(wanted, budget, confirmed=True, by=job.by, left=left, parent=job)
        except JobBusy:
            return None

    async def taken(self, run_id: str, job_id: str, *, poll_after_ms: int) -> None:
        """Note that the vendor has a reserved or doubtful run as *job_id*."""
        now_ms = self.now_ms()
        await self.book.submitted(run_id, job_id, now_ms=now_ms, poll_at_ms=now_ms + poll_after_ms)
        self.on_taken()

    async def _buy(
        self,
        wanted: NewJob,
        budget: Budget | None,
        *,
        confirmed: bool,
        by: str,
        left: int | None,
        parent: Job | None = None,
    ) -> Purchase:
        ceiling, unit = wanted.limit * UNITS_PER_RECORD, Unit.STIBNITE_CREDIT_UNIT
        parent_run_id = None if parent is None else parent.run_id
        whole = left * UNITS_PER_RECORD if self.continue_pages and left is not None else None
        run = NewRun(
            self.new_id(), wanted.body(), unit, ceiling, ceiling, self.now_ms(), by, left, parent_run_id, whole
        )
        reservation = await self.book.reserve(run, budget, confirmed=confirmed)
        if reservation.busy_run_id is not None:
            raise JobBusy(
                f"another job with this dedupe token is open: {reservation.busy_run_id}",
                hint="Two at once could be billed for the same people. Try again when it has ended: `jobs list`.",
            )
        decision = reservation.decision
        if decision is not None and decision.verdict is not Verdict.ALLOW:
            log.warning(
                "budget.denied",
                budget=budget.name if budget else None,
                run_id=parent_run_id,
                reason=str(decision.reason),
                estimated=format_amount(ceiling),
                remaining=format_amount(max(decision.remaining, Decimal(0))),
            )
            return Purchase(run.run_id, None, unit, ceiling, _with_suggestion(decision, budget, run))
        job_id = await self._send(run, wanted, tries=TRIES if parent is None else 1)
        log.info(
            "job.submitted",
            job_id=job_id,
            run_id=run.run_id,
            budget=budget.name if budget else None,
            estimated=format_amount(ceiling),
        )
        return Purchase(run.run_id, job_id, unit, ceiling, decision)

    async def _send(self, run: NewRun, wanted: NewJob, *, tries: int) -> str:
        """Return the vendor's id of the job; what surely was not taken is asked again a few times."""
        number = 1
        while True:
            try:
                job_id = (await self.api.create_job(wanted)).job_id
                break
            except VendorError as error:
                wait_s = _wait_s(error, number) if number < tries else None
                if wait_s is None:
                    await self._not_sent(run, error)
                    raise
                await self.sleep(wait_s)
                number += 1
        try:
            await self.taken(run.run_id, job_id, poll_after_ms=self.poll_after_ms)
        except StoreError as error:
            hint = f"When the store works again: `stibgate jobs resolve {run.run_id} --job {job_id}`."
            log.error("store.error", run_id=run.run_id, job_id=job_id, error=error.message, hint=hint)  # noqa: TRY400
            raise
        return job_id

    async def _not_sent(self, run: NewRun, error: VendorError) -> None:
        now_ms, reason = self.now_ms(), error.message[:REASON_CHARS_MAX]
        if error.maybe_done:
            await self.book.unsubmitted(run.run_id, JobState.DOUBTFUL, reason, now_ms=now_ms)
            error.hint = (
                f"Run {run.run_id} is doubtful, and all that it may cost stays set aside. When its job shows up, or"
                f" surely does not exist: `stibgate jobs resolve {run.run_id} [--job JOB_ID]`."
            )
        elif isinstance(error, VendorRefused):
            await self.book.unsubmitted(run.run_id, JobState.REFUSED, reason, now_ms=now_ms)
        else:
            await self.book.withdraw(run.run_id)
            error.hint = f"{error.hint} Nothing was submitted, and nothing is set aside."


def _wait_s(error: VendorError, number: int) -> float | None:
    """Return how long to wait before the next try, or None when there must be none."""
    if error.maybe_done or not isinstance(error, VendorUnavailable):
        return None
    wait_s = max(error.retry_after_s or 0.0, WAIT_FIRST_S * 2.0 ** (number - 1))
    return wait_s if wait_s <= WAIT_MAX_S else None


def _with_suggestion(decision: Decision, budget: Budget | None, run: NewRun) -> Decision:
    """Return *decision* with the largest page, or search, that fares better, if there is one."""
    if budget is None or decision.reason not in {Reason.OVER_BUDGET, Reason.ABOVE_CONFIRM}:
        return decision
    most = decision.remaining if budget.confirm_above is None else min(decision.remaining, budget.confirm_above)
    people = min(most, run.ceiling).to_integral_value(ROUND_FLOOR)
    change = {"limit": int(people)}
    if decision.reason is Reason.ABOVE_CONFIRM and run.whole is not None and run.whole > run.ceiling:
        change = {"max_records": int(most)}
    if people < 1:
        return decision
    smaller = decide(
        budget, Quote(Unit.STIBNITE_CREDIT_UNIT, people), reserved=budget.limit - decision.remaining, settled=Decimal(0)
    )
    suggestion = Suggestion(change, people, smaller.verdict)
    return replace(decision, suggestions=(suggestion,)) if smaller.verdict is Verdict.ALLOW else decision
