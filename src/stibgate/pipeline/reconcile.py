"""Jobs whose event never comes, pages that come after, and money that went nowhere: looked for in the background.

A job that was submitted here is asked for when its event has not come in time, and then less and less often, for a
day. When it has ended, it comes in as the delivery that its event would have been, so whichever of the two is later
is a duplicate. Source: Stibnite Person Data API, "Get async person search job"; research/vendors.md U29.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from stibgate.domain.budget import Budget
from stibgate.domain.delivery import Admission
from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED
from stibgate.domain.job import Job, JobState, StopReason
from stibgate.errors import NotUnderstood, VendorError
from stibgate.pipeline.alarms import Alarm
from stibgate.pipeline.asking import AT_ONCE, GIVE_UP_MS, JobApi, Line, Refusals, pause_ms
from stibgate.pipeline.operations import Reader
from stibgate.pipeline.purchase import Buyer
from stibgate.stores import JobBook, JobFilter, Queue
from stibgate.vendors.stibnite import Job as Answer

log = structlog.get_logger("stibgate.jobs")

PAUSE_MAX_S = 600.0
EMPTY_PAGES_MAX = 10
LOOK_AROUND_MS = 300_000
"""How often usage and alarms are looked at."""

_ANY_TIME_MS = 2**62
_ALL = 100_000

STILL_RUNNING = "still running"
UNREACHABLE = "could not be asked"


class Door(Protocol):
    """Where a job that was asked for comes in; `Intake.take_job` behind a source's name."""

    def __call__(self, event_type: str, body: bytes, /) -> Awaitable[Admission]:
        """Admit it."""
        ...


@dataclass(frozen=True, slots=True)
class Jobs:
    """What jobs need of the rest of the house.

    Attributes:
        book: What is bought.
        queue: What is delivered.
        read: The store's reads.
        api: The vendor.
        line: Whether it may be asked.
        buyer: Submits next pages.
        door: Where jobs come in that were asked for; None without a source of job events.
        budgets: By name.
        alarms: What is wrong with the money now.
        reconcile_after_s: The pause before the first and between the next questions for one job; it grows.
        continue_pages: Whether next pages are submitted.
    """

    book: JobBook
    queue: Queue
    read: Reader
    api: JobApi
    line: Line
    buyer: Buyer
    door: Door | None
    budgets: Mapping[str, Budget]
    alarms: Callable[[], Awaitable[Sequence[Alarm]]]
    reconcile_after_s: float
    continue_pages: bool


class Reconciler:
    """Asks for jobs, goes on to their next pages, and raises alarms.

    Args:
        jobs: What it works with.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._look_around_at_ms = 0
        self._go_on_at_ms: int | None = None
        self._refusals = Refusals()
        self._going_on = asyncio.Lock()

    async def run_once(self) -> bool:
        """Do what is due now; return whether there was anything that may leave more."""
        now_ms = self._jobs.line.now_ms()
        if now_ms >= self._look_around_at_ms:
            self._look_around_at_ms = now_ms + LOOK_AROUND_MS
            await self.look_around()
        if not self._jobs.line.free:
            return False
        due = await self._jobs.book.open_polls(now_ms=now_ms, limit=AT_ONCE)
        await asyncio.gather(*(self._ask(job) for job in due))
        went_on = await self.go_on() if self._jobs.continue_pages else 0
        return bool(due or went_on)

    async def next_due_ms(self) -> int | None:
        """Return when something is due next."""
        asking = (await self._jobs.book.next_poll_ms(), self._go_on_at_ms)
        due = [max(due_ms, self._jobs.line.free_at_ms) for due_ms in asking if due_ms is not None]
        return min([*due, self._look_around_at_ms])

    async def reconcile(self) -> Sequence[tuple[Job, str]]:
        """Ask for every open job now, and let searches go on that a budget stopped; return what became of each job.

        Once the vendor does not answer, the rest is not asked for.
        """
        self._jobs.line.free_at_ms = 0
        waiting = await self._jobs.book.open_polls(now_ms=_ANY_TIME_MS, limit=_ALL)
        results = [(job, await self._ask(job) if self._jobs.line.free else UNREACHABLE) for job in waiting]
        await self._jobs.book.unstop()
        await self.look_around()
        if self._jobs.continue_pages:
            await self.go_on()
        return results

    async def _ask(self, job: Job) -> str:
        """Ask for *job*; return what became of it."""
        try:
            answer, body = await self._jobs.api.read_job(job.job_id or "")
        except VendorError as error:
            self._jobs.line.failed(error)
            return await self._unanswered(job, error)
        self._jobs.line.answered()
        self._refusals.enough(job.run_id, None)
        if answer.job_id != job.job_id or not answer.ended:
            return await self._later(job, STILL_RUNNING)
        if job.state is JobState.SUCCEEDED:
            billed = len(answer.rows) if answer.billable_records is None else answer.billable_records
            await self._jobs.book.amend(answer.job_id, billed=billed, next_cursor=answer.next_cursor)
            return "settled"
        return await self._take(job, answer, body)

    async def _unanswered(self, job: Job, error: VendorError) -> str:
        why = f"{UNREACHABLE}: {error.message}"
        if self._refusals.enough(job.run_id, error):
            return await self._give_up(job, error.message)
        return await self._later(job, why)

    async def _later(self, job: Job, why: str) -> str:
        """Ask for *job* again later, or give it up with what is in the way when that has been so for a day."""
        now_ms = self._jobs.line.now_ms()
        since_ms = job.ended_at_ms or job.submitted_at_ms or job.created_at_ms
        if now_ms - since_ms >= GIVE_UP_MS:
            return await self._give_up(job, f"{why}, for 24 h")
        await self._postpone(job)
        return why

    async def _postpone(self, job: Job) -> None:
        first_s = self._jobs.reconcile_after_s
        pause = pause_ms(first_s, job.polls, max(first_s, PAUSE_MAX_S), jitter=self._jobs.line.jitter())
        await self._jobs.book.polled(job.run_id, next_poll_at_ms=self._jobs.line.now_ms() + pause)

    async def _give_up(self, job: Job, reason: str) -> str:
        """Ask for *job* no more: it is lost, or what it was billed stays unknown."""
        if job.state is not JobState.SUBMITTED:
            await self._jobs.book.polled(job.run_id, next_poll_at_ms=None)
        elif await self._jobs.book.lose(job.run_id, reason, now_ms=self._jobs.line.now_ms()):
            log.warning("job.failed", job_id=job.job_id, run_id=job.run_id, reason="lost", error=reason)
        return f"given up: {reason}"

    async def _take(self, job: Job, answer: Answer, body: bytes) -> str:
        """Let *answer* in as the event that did not come; a delivery that lacks it, gets it.

        The job ends in the ledger when its delivery is processed. Should that fail, it is asked for again.
        """
        if self._jobs.door is None:
            return await self._later(job, "no source takes job events")
        try:
            admission = await self._jobs.door(JOB_SUCCEEDED if answer.status == "succeeded" else JOB_FAILED, body)
        except NotUnderstood as error:
            log.warning("job.failed", job_id=job.job_id, run_id=job.run_id, reason=error.reason, error=error.message)
            return await self._later(job, f"not understood: {error.message}")
        if not admission.duplicate:
            log.info(
                "job.reconciled",
                job_id=job.job_id,
                run_id=job.run_id,
                delivery_id=admission.delivery_id,
                records=admission.records,
            )
        elif await self._jobs.queue.fetched(admission.delivery_id, body, at_ms=self._jobs.line.now_ms()):
            log.info("result.fetched", job_id=job.job_id, delivery_id=admission.delivery_id, records=len(answer.rows))
        else:
            return await self._later(job, f"{answer.status}; its delivery is {admission.delivery_id}")
        await self._postpone(job)
        return answer.status

    async def go_on(self) -> int:
        """Submit the next page of every search that has one and may go on; return how many were submitted."""
        async with self._going_on:  # two at once would both buy the same page
            self._go_on_at_ms = None
            searches = await self._jobs.book.continuable(limit=AT_ONCE)
            return sum([await self._next_page(job) for job in searches])

    async def _next_page(self, job: Job) -> bool:
        """Submit the page after *job*'s, and return whether it was; not while the vendor is left alone."""
        if not self._jobs.line.free:
            self._go_on_at_ms = self._jobs.line.free_at_ms
            return False
        if (reason := await self._why_not(job)) is not None:
            await self._jobs.book.stop(job.run_id, reason)
            log.warning("job.failed", job_id=job.job_id, run_id=job.run_id, reason=str(reason))
            return False
        try:
            purchase = await self._jobs.buyer.next_page(job, self._jobs.budgets[job.budget] if job.budget else None)
        except VendorError as error:
            self._jobs.line.failed(error)
            self._go_on_at_ms = self._jobs.line.free_at_ms
            log.warning("job.failed", job_id=job.job_id, run_id=job.run_id, error=error.message, hint=error.hint)
            return False
        return purchase is not None and purchase.job_id is not None

    async def _why_not(self, job: Job) -> StopReason | None:
        """Return why the search of *job* must not go on, or None."""
        budget = self._jobs.budgets.get(job.budget or "")
        if job.budget is not None and (budget is None or budget.unit is not job.unit):
            return StopReason.BUDGET_GONE
        pages = await self._jobs.read(lambda ledger: ledger.jobs(JobFilter(chain=job.chain), limit=None))
        if any(page.asked is not None and page.asked.get("cursor") == job.next_cursor for page in pages):
            return StopReason.CURSOR_REPEATED
        latest = sorted(pages, key=lambda page: page.page)[-EMPTY_PAGES_MAX:]
        if len(latest) == EMPTY_PAGES_MAX and not any(page.received for page in latest):
            return StopReason.EMPTY_PAGES
        return None

    async def look_around(self) -> None:
        """Note what the vendor says was billed, and raise what alarms there are, each once."""
        now_ms = self._jobs.line.now_ms()
        if self._jobs.line.free:
            try:
                usage = await self._jobs.api.usage()
            except VendorError as error:
                self._jobs.line.failed(error)
            else:
                self._jobs.line.answered()
                await self._jobs.book.note_usage(usage.billable_records, at_ms=now_ms)
        for alarm in await self._jobs.alarms():
            if await self._jobs.book.raise_alarm(alarm.key, at_ms=now_ms):
                log.warning("budget.alarm", alarm=alarm.kind, message=alarm.message, hint=alarm.hint)
