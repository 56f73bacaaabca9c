"""Jobs whose event never comes, pages that come after, and money that went nowhere: looked for in the background.

A job that was submitted here is asked for when its event has not come in time, and then less and less often, for a
day. When it has ended, it comes in as the delivery that its event would have been, so whichever of the two is later
is a duplicate. What goes wrong with one job is no matter of the others.
Source: Stibnite Person Data API, "Get async person search job"; research/vendors.md U29.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from stibgate.domain.budget import Budget
from stibgate.domain.delivery import Admission
from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED
from stibgate.domain.job import Job, JobState, StopReason
from stibgate.errors import NotUnderstood, StoreError, UsageError, VendorError, VendorRefused
from stibgate.pipeline.alarms import Alarm
from stibgate.pipeline.asking import AT_ONCE, GIVE_UP_MS, JobApi, Line, pause_ms
from stibgate.pipeline.operations import Reader
from stibgate.pipeline.purchase import NO_CREDITS_STATUS, Buyer
from stibgate.stores import JobBook, JobFilter, Queue
from stibgate.vendors.stibnite import Job as Answer

log = structlog.get_logger("stibgate.jobs")

PAUSE_MAX_S = 600.0
EMPTY_PAGES_MAX = 10
GIVE_UP_POLLS = 10
"""So often a job was asked for in vain, besides, before it is given up: a service may have stood still for a day."""
LOOK_AROUND_MS = 300_000
"""How often alarms are looked for."""
USAGE_MS = 1_800_000
"""How old a note of usage becomes before the next one is taken; longer than the grace after which it is judged."""
PAGE_TRIES = 4
PAGE_RETRY_MS = 60_000

_ANY_TIME_MS = 2**62
_ALL = 100_000

STILL_RUNNING = "still running"
NO_RECORDS = "succeeded, but without its records"
UNREACHABLE = "could not be asked"
BROKEN = "something failed here: `unhandled` in the log"


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
        going_on: Held while next pages are asked for; shared with whoever else might ask for the same.
    """

    def __init__(self, jobs: Jobs, going_on: asyncio.Lock | None = None) -> None:
        self._jobs = jobs
        self._look_around_at_ms = 0
        self._usage_at_ms = 0
        self._usage_told = ""
        self._go_on_at_ms: int | None = None
        self._stumbles: Counter[str] = Counter()
        self.going_on = going_on or asyncio.Lock()

    async def run_once(self) -> bool:
        """Do what is due now; return whether there was anything that may leave more."""
        worked = False
        await self._jobs.buyer.catch_up()
        if self._jobs.line.free:
            due = await self._jobs.book.open_polls(now_ms=self._jobs.line.now_ms(), limit=AT_ONCE)
            await self._jobs.line.ask([self._ask(job) for job in due])
            went_on = await self.go_on() if self._jobs.continue_pages else 0
            worked = bool(due or went_on)
        now_ms = self._jobs.line.now_ms()
        if now_ms >= self._look_around_at_ms:  # last: what it asks is no matter of the jobs
            self._look_around_at_ms = now_ms + LOOK_AROUND_MS
            await self.look_around()
        return worked

    async def next_due_ms(self) -> int | None:
        """Return when something is due next."""
        asking = (await self._jobs.book.next_poll_ms(), self._go_on_at_ms)
        due = [max(due_ms, self._jobs.line.free_at_ms) for due_ms in asking if due_ms is not None]
        return min([*due, self._look_around_at_ms])

    async def reconcile(self) -> Sequence[tuple[Job, str]]:
        """Ask for every open job now, and for those that were given up; return what became of each.

        Once the vendor does not answer, the rest is not asked for. Searches go on whose stop may be over.
        """
        self._jobs.line.free_at_ms = 0
        waiting = await self._jobs.book.open_polls(now_ms=_ANY_TIME_MS, limit=_ALL, given_up=True)
        results = [(job, await self._ask(job) if self._jobs.line.free else UNREACHABLE) for job in waiting]
        await self._jobs.book.unstop()
        await self.look_around()
        if self._jobs.continue_pages:
            await self.go_on()
        return results

    async def _ask(self, job: Job) -> str:
        """Ask for *job*; return what became of it."""
        try:
            return await self._asked(job)
        except StoreError:
            raise
        except Exception:
            log.exception("unhandled", job_id=job.job_id, run_id=job.run_id)
            return await self._later(job, BROKEN)

    async def _asked(self, job: Job) -> str:
        try:
            answer, body = await self._jobs.api.read_job(job.job_id or "")
        except VendorError as error:
            self._jobs.line.failed(error)
            refused = isinstance(error, VendorRefused)
            return await self._later(job, error.message if refused else f"{UNREACHABLE}: {error.message}")
        except UsageError as error:  # an id that was stored before such ids were refused
            return await self._later(job, f"{UNREACHABLE}: {error.message}")
        self._jobs.line.answered()
        if answer.job_id != job.job_id or not answer.ended:
            return await self._later(job, STILL_RUNNING)
        unsaid = answer.billable_records is None
        if answer.lacks_rows and (unsaid or job.state is not JobState.SUCCEEDED):
            return await self._later(job, NO_RECORDS)
        if job.state is JobState.SUCCEEDED:
            billed = len(answer.rows) if answer.billable_records is None else answer.billable_records
            await self._jobs.book.amend(answer.job_id, billed=billed, next_cursor=answer.next_cursor)
            return "settled"
        return await self._take(job, answer, body)

    async def _later(self, job: Job, why: str) -> str:
        """Ask for *job* again later, or give it up with what is in the way when it was asked for long enough."""
        if job.given_up:
            return f"given up: {why}"
        now_ms = self._jobs.line.now_ms()
        since_ms = job.ended_at_ms or job.submitted_at_ms or job.created_at_ms
        if now_ms - since_ms >= GIVE_UP_MS and job.polls + 1 >= GIVE_UP_POLLS:
            return await self._give_up(job, f"{why}, for 24 h")
        await self._postpone(job)
        return why

    async def _postpone(self, job: Job) -> None:
        first_s = self._jobs.reconcile_after_s
        pause = pause_ms(first_s, job.polls, max(first_s, PAUSE_MAX_S), jitter=self._jobs.line.jitter())
        await self._jobs.book.polled(job.run_id, next_poll_at_ms=self._jobs.line.now_ms() + pause)

    async def _give_up(self, job: Job, reason: str) -> str:
        """Ask for *job* no more by ourselves: it is lost, or what it was billed stays unknown."""
        book = self._jobs.book
        if job.state is JobState.SUBMITTED:
            word, done = "lost", await book.lose(job.run_id, reason, now_ms=self._jobs.line.now_ms())
        else:
            word, done = "bill_unknown", True
            await book.polled(job.run_id, next_poll_at_ms=None, reason=reason)
        if done:
            log.warning("job.failed", job_id=job.job_id, run_id=job.run_id, reason=word, error=reason)
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
        async with self.going_on:  # two at once would both buy the same page
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
            await self._page_failed(job, error)
        except UsageError as error:  # a cursor or an order that cannot be sent
            await self._no_page(job, error.message)
        except StoreError:
            raise
        except Exception:
            log.exception("unhandled", job_id=job.job_id, run_id=job.run_id)
            await self._page_stumbled(job)
        else:
            self._stumbles.pop(job.run_id, None)
            return purchase is not None and purchase.job_id is not None
        return False

    async def _page_failed(self, job: Job, error: VendorError) -> None:
        """Wait until the vendor may be asked again; without credits the search stops until somebody saw to them."""
        self._jobs.line.failed(error)
        self._go_on_at_ms = self._jobs.line.free_at_ms
        reason = None
        if isinstance(error, VendorRefused) and error.status == NO_CREDITS_STATUS:
            reason = StopReason.NO_CREDITS
            await self._jobs.book.stop(job.run_id, reason)
        if isinstance(error, VendorRefused) or error.maybe_done:  # else `vendor.unavailable` says it, once
            log.warning(
                "job.failed",
                job_id=job.job_id,
                run_id=job.run_id,
                reason=reason,
                error=error.message,
                hint=error.hint,
            )

    async def _page_stumbled(self, job: Job) -> None:
        """Try again a few times, then stop the search."""
        self._stumbles[job.run_id] += 1
        if self._stumbles[job.run_id] < PAGE_TRIES:
            self._go_on_at_ms = self._jobs.line.now_ms() + PAGE_RETRY_MS
            return
        del self._stumbles[job.run_id]
        await self._no_page(job, BROKEN)

    async def _no_page(self, job: Job, why: str) -> None:
        await self._jobs.book.stop(job.run_id, StopReason.FAILED)
        log.warning("job.failed", job_id=job.job_id, run_id=job.run_id, reason=str(StopReason.FAILED), error=why)

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
        """Raise what alarms there are, each once; then note what the vendor says was billed, now and then.

        In this order a note is judged before the next one takes its place.
        """
        now_ms = self._jobs.line.now_ms()
        for alarm in await self._jobs.alarms():
            if await self._jobs.book.raise_alarm(alarm.key, at_ms=now_ms):
                log.warning("budget.alarm", alarm=alarm.kind, message=alarm.message, hint=alarm.hint)
        if self._jobs.line.free and now_ms >= self._usage_at_ms:
            await self._note_usage(now_ms)

    async def _note_usage(self, now_ms: int) -> None:
        """Ask for usage, unless that was done not long ago; whether it is answered is no matter of the jobs."""
        notes = await self._jobs.read(lambda ledger: ledger.usage_notes())
        if notes is not None and now_ms - notes[1].at_ms < USAGE_MS:
            self._usage_at_ms = notes[1].at_ms + USAGE_MS
            return
        self._usage_at_ms = now_ms + USAGE_MS
        try:
            usage = await self._jobs.api.usage()
        except VendorError as error:
            if error.message != self._usage_told:
                self._usage_told = error.message
                log.warning("vendor.unavailable", error=error.message, hint=error.hint, retry_after_s=USAGE_MS / 1000)
            return
        self._usage_told = ""
        await self._jobs.book.note_usage(usage.billable_records, at_ms=now_ms)
