"""Completes job events: gets the job that an event tells of, so that its records come from the vendor itself.

Reading a job bills nothing and changes nothing, so it is repeated until the job is there. A job that does not end,
is not known, cannot be read or never has its records puts its delivery into quarantine with the reason; nothing is
thrown away, and a replay begins anew. What goes wrong with one is no matter of the others.
Source: Stibnite Person Data API, "Get async person search job".
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from stibgate.domain.event import QuarantineReason
from stibgate.errors import StoreError, UsageError, VendorError, VendorRefused
from stibgate.pipeline.asking import AT_ONCE, GIVE_UP_MS, JobApi, Line, Refusals, pause_ms
from stibgate.stores import Awaited, Queue
from stibgate.vendors.stibnite import Job

log = structlog.get_logger("stibgate.readback")

FIRST_S = 2.0
LONGEST_S = 300.0


@dataclass(frozen=True, slots=True)
class ResultFetcher:
    """Reads jobs back for the deliveries that wait for them.

    Attributes:
        queue: The store.
        api: The vendor.
        line: Whether it may be asked.
        on_fetched: Called when a delivery can go on.
    """

    queue: Queue
    api: JobApi
    line: Line
    on_fetched: Callable[[], None]
    _refusals: Refusals = field(default_factory=Refusals, repr=False)

    async def run_once(self) -> bool:
        """Ask for what is due now; return whether anything was."""
        if not self.line.free:
            return False
        due = await self.queue.awaiting(now_ms=self.line.now_ms(), limit=AT_ONCE)
        await self.line.ask([self._fetch(one) for one in due])
        return bool(due)

    async def next_due_ms(self) -> int | None:
        """Return when there may be something to ask; None when nothing waits."""
        due_ms = await self.queue.next_result_due_ms()
        return None if due_ms is None else max(due_ms, self.line.free_at_ms)

    async def _fetch(self, awaited: Awaited) -> None:
        try:
            await self._ask(awaited)
        except StoreError:
            raise
        except Exception:
            log.exception("unhandled", delivery_id=awaited.delivery_id, job_id=awaited.job_id)
            self._refused(awaited, None)
            await self._again(awaited, QuarantineReason.READBACK_FAILED)

    async def _ask(self, awaited: Awaited) -> None:
        try:
            job, body = await self.api.read_job(awaited.job_id)
        except VendorError as error:
            self.line.failed(error)
            unknown = isinstance(error, VendorRefused) and error.status == 404
            reason = QuarantineReason.JOB_UNKNOWN if unknown else QuarantineReason.READBACK_FAILED
            await self._again(awaited, reason, now=self._refused(awaited, error), error=error.message)
        except UsageError as error:  # an id that was stored before such ids were refused
            await self._again(awaited, QuarantineReason.READBACK_FAILED, now=True, error=error.message)
        else:
            self.line.answered()
            self._refused(awaited, None)
            await self._answered(awaited, job, body)

    def _refused(self, awaited: Awaited, error: VendorError | None) -> bool:
        return self._refusals.enough(awaited.delivery_id, error, now_ms=self.line.now_ms())

    async def _answered(self, awaited: Awaited, job: Job, body: bytes) -> None:
        """Keep *body* when it is the job's end with all that belongs to it; else ask again."""
        if job.job_id != awaited.job_id:
            await self._again(awaited, QuarantineReason.READBACK_FAILED)
        elif not job.ended:
            await self._again(awaited, QuarantineReason.JOB_UNFINISHED)
        elif job.lacks_rows:
            await self._again(awaited, QuarantineReason.RECORDS_MISSING)
        else:
            await self._keep(awaited, job, body)

    async def _keep(self, awaited: Awaited, job: Job, body: bytes) -> None:
        now_ms = self.line.now_ms()
        if await self.queue.fetched(awaited.delivery_id, body, at_ms=now_ms):
            log.info(
                "result.fetched",
                delivery_id=awaited.delivery_id,
                job_id=awaited.job_id,
                records=len(job.rows),
                body_bytes=len(body),
                duration_ms=now_ms - awaited.since_ms,
            )
            self.on_fetched()

    async def _again(
        self, awaited: Awaited, reason: QuarantineReason, *, now: bool = False, error: str | None = None
    ) -> None:
        """Try again later, or quarantine with *reason*: *now*, or when it has been tried for a day."""
        now_ms = self.line.now_ms()
        if not now and now_ms - awaited.since_ms < GIVE_UP_MS:
            pause = pause_ms(FIRST_S, awaited.tries, LONGEST_S, jitter=self.line.jitter())
            await self.queue.postpone_result(awaited.delivery_id, next_try_at_ms=now_ms + pause)
            return
        if await self.queue.abandon_result(awaited.delivery_id, reason, at_ms=now_ms):
            delivery_id, job_id = awaited.delivery_id, awaited.job_id
            log.warning("delivery.quarantined", delivery_id=delivery_id, job_id=job_id, reason=reason, error=error)
