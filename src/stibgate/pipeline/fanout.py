"""From an accepted delivery to its records and the tasks it owes; the records' second parse, off the hot path.

A job event whose records must come from the vendor's API is put aside here until `pipeline.readback` has them. What
was read back then counts in place of what the event said: about the records, and about how the job ended.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from stibgate.domain.delivery import Admission, Delivery, DeliveryState, StoredDelivery
from stibgate.domain.event import JOB_EVENTS, JOB_FAILED, JOB_SUCCEEDED, QuarantineReason
from stibgate.domain.fact import Normalised, Observe, unobserved
from stibgate.domain.instant import to_rfc3339
from stibgate.domain.job import JobResult
from stibgate.domain.record import Provenance, Record
from stibgate.domain.routing import Router
from stibgate.errors import NotUnderstood, StoreError
from stibgate.events import READERS
from stibgate.events.envelope import parse
from stibgate.events.job_status import ended_as
from stibgate.normalise import Rules, normalise
from stibgate.pipeline.drafts import NOT_ROUTED, VIA_POLL
from stibgate.stores import CHUNK_RECORDS, Accepted, NewTask, Processed, Queue

log = structlog.get_logger("stibgate.fanout")

SLICE_RECORDS = 20
"""Records normalised between two turns of the event loop: about a millisecond, so that answers do not wait."""

BATCH_DELIVERIES = 32


class Readback(StrEnum):
    """Which job events are completed by the vendor's API."""

    AUTO = "auto"  # those without records
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Fanout:
    """Turns accepted deliveries into records and tasks.

    Attributes:
        queue: The store.
        router: Which records go to which sinks.
        rules: How records are normalised.
        now_ms: The clock.
        new_id: Makes task ids.
        first_delays_s: What a sink's schedule puts before the first attempt; nothing, where it is not named.
        readback: Which job events wait for their job to be read back.
        on_job: Called when a job waits to be read back, or has ended.
        take_job: `Intake.take_job`, for a job that was reported as failed and did succeed.
        observe: Told of records that were cleaned.
    """

    queue: Queue
    router: Router
    rules: Rules
    now_ms: Callable[[], int]
    new_id: Callable[[], str]
    first_delays_s: Mapping[str, float] = field(default_factory=dict)
    readback: Readback = Readback.NEVER
    on_job: Callable[[], None] = lambda: None
    take_job: Callable[[str, str, bytes], Awaitable[tuple[Delivery, Admission]]] | None = None
    observe: Observe = unobserved

    async def run_once(self) -> int:
        """Process one batch of what is accepted; return how many deliveries that were."""
        waiting = await self.queue.accepted(limit=BATCH_DELIVERIES)
        together: list[Processed] = []
        for number, accepted in enumerate(waiting, start=1):
            processed = await self._process(accepted)
            if processed is None:
                await self.queue.await_result(accepted.delivery.delivery_id, now_ms=self.now_ms())
                self.on_job()
            else:
                together.append(processed)
            # A large one takes several transactions; whoever came after it must not overtake it in its queues.
            if number == len(waiting) or (processed is not None and len(processed.records) > CHUNK_RECORDS):
                await self._store_all(together)
                together.clear()
        return len(waiting)

    async def _store_all(self, processed: Sequence[Processed]) -> None:
        """Store several, in their order, in as few commits as can be."""
        results = await asyncio.gather(*(self._store(one) for one in processed), return_exceptions=True)
        for failure in results:
            if failure is not None:
                raise failure
        if any(one.job is not None for one in processed):
            self.on_job()

    async def _store(self, processed: Processed) -> None:
        """Store what became of a delivery; what the store cannot hold is quarantined, not tried for ever."""
        try:
            await self.queue.process(processed)
        except StoreError:
            raise
        except Exception:
            log.exception("unhandled", delivery_id=processed.delivery_id)
            quarantined = DeliveryState.QUARANTINED
            reason = QuarantineReason.PROCESSING
            await self.queue.process(Processed(processed.delivery_id, self.now_ms(), quarantined, reason=reason))

    async def _process(self, accepted: Accepted) -> Processed | None:
        """Return what becomes of a delivery, or None when its job must be read back first.

        One that cannot be processed never holds up the next.
        """
        delivery = accepted.delivery
        try:
            if accepted.result is None and self._must_read_back(accepted):
                return None
            return await self._understood(accepted)
        except StoreError:
            raise
        except NotUnderstood as error:
            return self._quarantined(delivery, error.reason)
        except Exception:
            log.exception("unhandled", delivery_id=delivery.delivery_id, source=delivery.source)
            return self._quarantined(delivery, QuarantineReason.PROCESSING)

    def _must_read_back(self, accepted: Accepted) -> bool:
        delivery = accepted.delivery
        if delivery.event_type not in JOB_EVENTS or delivery.via == VIA_POLL:
            return False
        if self.readback is Readback.ALWAYS:
            return True
        if delivery.event_type == JOB_FAILED or delivery.records:
            return False
        if not READERS[delivery.event_type].read(parse(accepted.body)).thin:
            return False
        if self.readback is Readback.NEVER:
            raise NotUnderstood(QuarantineReason.RECORDS_MISSING, "a succeeded job without its records")
        return True

    async def _understood(self, accepted: Accepted) -> Processed:
        delivery, document = accepted.delivery, parse(accepted.result or accepted.body)
        event_type = delivery.event_type if accepted.result is None else ended_as(document)
        reader = READERS[event_type]
        from_vendor = accepted.result is not None or delivery.via == VIA_POLL
        if from_vendor and event_type == JOB_SUCCEEDED and reader.read(document).thin:
            raise NotUnderstood(QuarantineReason.RECORDS_MISSING, "a succeeded job without its records")
        job = reader.job_result(document)
        if accepted.result is not None and delivery.event_type == JOB_FAILED and job is not None and job.succeeded:
            return await self._hand_over(delivery, job, accepted.result)
        records = await self._normalise(reader.raw_records(document))
        if accepted.result is not None:
            self._log_conflict(delivery, event_type, records=len(records), billed=job.billed if job else None)
        routing = self.router.route(provenance_of(delivery), records)
        if event_type == JOB_FAILED:
            log.warning("job.failed", delivery_id=delivery.delivery_id, source=delivery.source, job_id=delivery.job_id)
        else:
            billed = job.billed if job else delivery.billed
            self._log_normalised(delivery, records, unrouted=len(routing.unrouted), billed=billed)
        state, reason = DeliveryState.PROCESSING if routing.sinks else DeliveryState.DONE, None
        if not routing.sinks and (records or delivery.reason == NOT_ROUTED):
            state, reason = DeliveryState.IGNORED, NOT_ROUTED
        return Processed(
            delivery.delivery_id, self.now_ms(), state, records, self.tasks_for(routing.sinks), reason, job
        )  # fmt: skip

    async def _hand_over(self, delivery: StoredDelivery, job: JobResult, body: bytes) -> Processed:
        """Let a job that did not fail in as the event of its success, which may have come, or come yet: not twice."""
        if self.take_job is None:
            raise NotUnderstood(QuarantineReason.READBACK_FAILED, "a failed job that did not fail")
        self._log_conflict(delivery, JOB_SUCCEEDED, records=job.received, billed=job.billed)
        _, admission = await self.take_job(delivery.source, JOB_SUCCEEDED, body)
        if admission.duplicate:
            await self.queue.fetched(admission.delivery_id, body, at_ms=self.now_ms())
        return Processed(delivery.delivery_id, self.now_ms(), DeliveryState.DONE)

    def tasks_for(self, sinks: Mapping[str, Sequence[int]]) -> Sequence[NewTask]:
        """Return a task for each sink that gets records, its positions beside it."""
        return [
            NewTask(self.new_id(), sink, positions, round(self.first_delays_s.get(sink, 0.0) * 1000))
            for sink, positions in sinks.items()
        ]

    async def _normalise(self, raw: Sequence[Mapping[str, object]]) -> Sequence[Record]:
        records: list[Record] = []
        for start in range(0, len(raw), SLICE_RECORDS):
            records += [
                normalise(one, position=position, rules=self.rules)
                for position, one in enumerate(raw[start : start + SLICE_RECORDS], start)
            ]
            await asyncio.sleep(0)
        return records

    def _quarantined(self, delivery: StoredDelivery, reason: str) -> Processed:
        log.warning("delivery.quarantined", delivery_id=delivery.delivery_id, source=delivery.source, reason=reason)
        return Processed(delivery.delivery_id, self.now_ms(), DeliveryState.QUARANTINED, reason=reason)

    def _log_conflict(self, delivery: StoredDelivery, event_type: str, *, records: int, billed: int | None) -> None:
        """Say so when the event told another story than its job; the job counts."""
        same = event_type == delivery.event_type and delivery.records in {0, records}
        if same and (billed is None or delivery.billed in {None, billed}):
            return
        log.warning(
            "delivery.conflict",
            delivery_id=delivery.delivery_id,
            source=delivery.source,
            job_id=delivery.job_id,
            event_type=event_type,
            records=records,
            reason="readback",
        )

    def _log_normalised(
        self, delivery: StoredDelivery, records: Sequence[Record], *, unrouted: int, billed: int | None
    ) -> None:
        issues = Counter(f"{issue.field}.{issue.reason}" for record in records for issue in record.issues)
        flagged = sum(bool(record.issues) for record in records)
        self.observe(Normalised(delivery.source, len(records), flagged, issues, billed))
        log.info(
            "records.normalised",
            delivery_id=delivery.delivery_id,
            source=delivery.source,
            event_type=delivery.event_type,
            job_id=delivery.job_id,
            search_id=delivery.search_id,
            records=len(records),
            flagged=flagged,
            issues=dict(issues) or None,
            unrouted=unrouted or None,
        )


def provenance_of(delivery: StoredDelivery) -> Provenance:
    """Return where the records of *delivery* come from, as sinks see it."""
    return Provenance(
        delivery_id=delivery.delivery_id,
        source=delivery.source,
        event_type=delivery.event_type,
        received_at=to_rfc3339(delivery.received_at_ms),
        search_id=delivery.search_id,
        job_id=delivery.job_id,
        partner_customer_id=delivery.partner_customer_id,
        partner_user_id=delivery.partner_user_id,
    )
