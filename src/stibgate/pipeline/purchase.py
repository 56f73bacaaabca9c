"""Buying: reserve, submit, settle; each a transaction of its own, and whatever is not known counts as spent.

The money is set aside before the vendor is asked, and given back only when the vendor surely did not take the job.
When nobody knows (no answer, half of one), the run is doubtful and its ceiling stays set aside until a person says
what became of it. What the store could not note about a run makes it doubtful too, and is noted as soon as it can be.
Source: Stibnite Person Data API, "Create async person search job".
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import ROUND_FLOOR, Decimal
from functools import partial
from typing import Any

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
NO_CREDITS_STATUS = 402
"""A page that is refused so may be asked for again when the account has credits."""
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
        under_way: The runs that are being submitted at this moment.
    """

    book: JobBook
    api: JobApi
    now_ms: Callable[[], int]
    sleep: Callable[[float], Awaitable[None]]
    new_id: Callable[[], str]
    poll_after_ms: int
    on_taken: Callable[[], None] = lambda: None
    continue_pages: bool = False
    under_way: set[str] = field(default_factory=set)
    _owed: dict[str, Callable[[], Awaitable[object]]] = field(default_factory=dict)

    def taken_over_by(self, other: "Buyer") -> "Buyer":
        """Return *other*, which knows what this one is submitting and what it still has to note."""
        return replace(other, under_way=self.under_way, _owed=self._owed)

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
        whole = most * UNITS_PER_RECORD if self.continue_pages else None
        told = capped.limit * UNITS_PER_RECORD if whole is None else whole
        run = self._run(capped, by, left=most, whole=whole, confirmed=told)
        return await self._buy(run, capped, budget, confirmed=confirmed, tries=TRIES)

    async def next_page(self, job: Job, budget: Budget | None) -> Purchase | None:
        """Submit the page after *job*'s within its budget; None when a job with its dedupe token must end first.

        It is confirmed when its whole search is (`Job.confirmed`), and else the whole search is held against the
        budget's `confirm_above`. The vendor is asked once: whoever goes on in the background comes again.

        Raises:
            VendorError: It was not submitted, or (`maybe_done`) nobody knows.
        """
        asked = NewJob(**(job.asked or {}))
        left = None if job.left is None else job.left - (job.received or 0)
        limit = asked.limit if left is None else min(asked.limit, left)
        wanted = replace(asked, cursor=job.next_cursor, limit=limit)
        search = whole_search(job)
        within = job.confirmed is not None and search <= job.confirmed
        run = self._run(
            wanted,
            job.by,
            left=left,
            parent_run_id=job.run_id,
            whole=None if within else search,
            confirmed=job.confirmed if within else search,
        )
        try:
            return await self._buy(run, wanted, budget, confirmed=within, tries=1)
        except JobBusy:
            return None

    async def taken(self, run_id: str, job_id: str, *, poll_after_ms: int) -> None:
        """Note that the vendor has a reserved or doubtful run as *job_id*."""
        now_ms = self.now_ms()
        await self.book.submitted(run_id, job_id, now_ms=now_ms, poll_at_ms=now_ms + poll_after_ms)
        self.on_taken()

    async def catch_up(self) -> None:
        """Note what the store did not take when it should have; what it still does not take stays owed."""
        for run_id, note in list(self._owed.items()):
            if run_id not in self.under_way:
                with suppress(StoreError):
                    await note()
                    self._owed.pop(run_id, None)

    def _run(self, wanted: NewJob, by: str, *, left: int | None, **fields: Any) -> NewRun:
        ceiling = wanted.limit * UNITS_PER_RECORD
        unit = Unit.STIBNITE_CREDIT_UNIT
        return NewRun(self.new_id(), wanted.body(), unit, ceiling, ceiling, self.now_ms(), by, left, **fields)

    async def _buy(
        self, run: NewRun, wanted: NewJob, budget: Budget | None, *, confirmed: bool, tries: int
    ) -> Purchase:
        await self.catch_up()
        self.under_way.add(run.run_id)
        try:
            decision = await self._reserve(run, budget, confirmed=confirmed)
            if decision is not None and decision.verdict is not Verdict.ALLOW:
                _log_denied(decision, budget, run)
                return Purchase(run.run_id, None, run.unit, run.ceiling, _with_suggestion(decision, budget, run))
            job_id = await self._send(run, wanted, tries=tries)
        finally:
            self.under_way.discard(run.run_id)
        log.info(
            "job.submitted",
            job_id=job_id,
            run_id=run.run_id,
            budget=budget.name if budget else None,
            estimated=format_amount(run.ceiling),
        )
        return Purchase(run.run_id, job_id, run.unit, run.ceiling, decision)

    async def _reserve(self, run: NewRun, budget: Budget | None, *, confirmed: bool) -> Decision | None:
        try:
            reservation = await self.book.reserve(run, budget, confirmed=confirmed)
        except BaseException:
            # Nobody waited for the commit, and it may still come; the store works in order, so this comes after it.
            with suppress(StoreError):
                await self._note(run.run_id, partial(self.book.withdraw, run.run_id), "could not be reserved in time")
            raise
        if reservation.busy_run_id is not None:
            raise JobBusy(
                f"another job with this dedupe token is open: {reservation.busy_run_id}",
                hint="Two at once could be billed for the same people. Try again when it has ended: `jobs list`.",
            )
        return reservation.decision

    async def _send(self, run: NewRun, wanted: NewJob, *, tries: int) -> str:
        """Return the vendor's id of the job; what surely was not taken is asked again a few times."""
        number = 1
        while (job_id := await self._asked(run, wanted, last=number >= tries, number=number)) is None:
            number += 1
        take = partial(self.taken, run.run_id, job_id, poll_after_ms=self.poll_after_ms)
        await self._note(run.run_id, take, f"became job {job_id}, which could not be noted", job_id=job_id)
        return job_id

    async def _asked(self, run: NewRun, wanted: NewJob, *, last: bool, number: int) -> str | None:
        """Return the vendor's id of the job; None, after a pause, when it may be asked again."""
        try:
            return (await self.api.create_job(wanted)).job_id
        except VendorError as error:
            wait_s = None if last else _wait_s(error, number)
            if wait_s is None:
                await self._not_sent(run, error)
                raise
        except BaseException as error:
            doubt = f"was cut off while the vendor was asked: {type(error).__name__}"
            with suppress(StoreError):
                await self._note(run.run_id, self._as(run, JobState.DOUBTFUL, doubt), doubt)
            raise
        try:
            await self.sleep(wait_s)
        except BaseException:
            with suppress(StoreError):
                await self._note(run.run_id, partial(self.book.withdraw, run.run_id), "was cut off before it was sent")
            raise
        return None

    async def _not_sent(self, run: NewRun, error: VendorError) -> None:
        reason = error.message[:REASON_CHARS_MAX]
        if error.maybe_done:
            note = self._as(run, JobState.DOUBTFUL, reason)
            error.hint = (
                f"Run {run.run_id} is doubtful, and all that it may cost stays set aside. When its job shows up, or"
                f" surely does not exist: `stibgate jobs resolve {run.run_id} [--job JOB_ID]`."
            )
        elif isinstance(error, VendorRefused) and not (run.parent_run_id and error.status == NO_CREDITS_STATUS):
            note = self._as(run, JobState.REFUSED, reason)
        else:
            note = partial(self.book.withdraw, run.run_id)
            error.hint = f"{error.hint} Nothing was submitted, and nothing is set aside."
        try:
            await self._note(run.run_id, note, reason)
        except StoreError as failed:
            error.hint = f"The store failed too: {failed.message}. {failed.hint}"

    def _as(self, run: NewRun, state: JobState, reason: str) -> Callable[[], Awaitable[object]]:
        return partial(self.book.unsubmitted, run.run_id, state, reason, now_ms=self.now_ms())

    async def _note(
        self, run_id: str, note: Callable[[], Awaitable[object]], doubt: str, *, job_id: str | None = None
    ) -> None:
        """Do *note*. Until it is done the run is doubtful, because of *doubt*, and `catch_up` does it again.

        Raises:
            StoreError: It was not done.
        """
        self._owed[run_id] = note
        try:
            await note()
        except BaseException as error:
            with suppress(StoreError):
                await self._as_doubtful(run_id, doubt)
            if isinstance(error, StoreError):
                error.hint = (
                    f"It is noted by itself when the store works again; by hand: `stibgate jobs resolve {run_id}"
                    f"{'' if job_id is None else f' --job {job_id}'}`."
                )
                log.error("store.error", run_id=run_id, job_id=job_id, error=error.message, hint=error.hint)  # noqa: TRY400
            raise
        self._owed.pop(run_id, None)

    async def _as_doubtful(self, run_id: str, doubt: str) -> None:
        await self.book.unsubmitted(run_id, JobState.DOUBTFUL, doubt[:REASON_CHARS_MAX], now_ms=self.now_ms())


def whole_search(job: Job) -> Decimal:
    """Return what the search of *job* may cost with all its pages."""
    asked = job.asked or {}
    return (asked.get("max_records") or asked.get("limit") or 0) * UNITS_PER_RECORD


def _log_denied(decision: Decision, budget: Budget | None, run: NewRun) -> None:
    more = run.parent_run_id is not None and decision.verdict is Verdict.NEEDS_CONFIRMATION
    log.warning(
        "budget.denied",
        budget=budget.name if budget else None,
        run_id=run.parent_run_id,
        reason=str(decision.reason),
        estimated=format_amount(run.ceiling),
        remaining=format_amount(max(decision.remaining, Decimal(0))),
        hint="`stibgate jobs reconcile --yes` confirms all its pages." if more else None,
    )


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
