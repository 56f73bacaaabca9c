"""From an accepted delivery to its records and the tasks it owes; the records' second parse, off the hot path."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.event import JOB_FAILED, QuarantineReason
from stibgate.domain.instant import to_rfc3339
from stibgate.domain.record import Provenance, Record
from stibgate.domain.routing import Router
from stibgate.errors import NotUnderstood, StoreError
from stibgate.events import READERS
from stibgate.events.envelope import parse
from stibgate.normalise import Rules, normalise
from stibgate.stores import CHUNK_RECORDS, NewTask, Processed, Queue

log = structlog.get_logger("stibgate.fanout")

SLICE_RECORDS = 20
"""Records normalised between two turns of the event loop: about a millisecond, so that answers do not wait."""

BATCH_DELIVERIES = 32


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
    """

    queue: Queue
    router: Router
    rules: Rules
    now_ms: Callable[[], int]
    new_id: Callable[[], str]
    first_delays_s: Mapping[str, float] = field(default_factory=dict)

    async def run_once(self) -> int:
        """Process one batch of what is accepted; return how many deliveries that were."""
        waiting = await self.queue.accepted(limit=BATCH_DELIVERIES)
        together: list[Processed] = []
        for number, (delivery, body) in enumerate(waiting, start=1):
            together.append(await self._process(delivery, body))
            # A large one takes several transactions; whoever came after it must not overtake it in its queues.
            if number == len(waiting) or len(together[-1].records) > CHUNK_RECORDS:
                await self._store_all(together)
                together.clear()
        return len(waiting)

    async def _store_all(self, processed: Sequence[Processed]) -> None:
        """Store several, in their order, in as few commits as can be."""
        results = await asyncio.gather(*(self._store(one) for one in processed), return_exceptions=True)
        for failure in results:
            if failure is not None:
                raise failure

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

    async def _process(self, delivery: StoredDelivery, body: bytes) -> Processed:
        """Return what becomes of *delivery*; one that cannot be processed never holds up the next."""
        try:
            raw = READERS[delivery.event_type].raw_records(parse(body))
            records = await self._normalise(raw)
        except NotUnderstood as error:
            return self._quarantined(delivery, error.reason)
        except Exception:
            log.exception("unhandled", delivery_id=delivery.delivery_id, source=delivery.source)
            return self._quarantined(delivery, QuarantineReason.PROCESSING)
        routing = self.router.route(provenance_of(delivery), records)
        if delivery.event_type == JOB_FAILED:
            log.warning("job.failed", delivery_id=delivery.delivery_id, source=delivery.source, job_id=delivery.job_id)
        else:
            self._log_normalised(delivery, records, unrouted=len(routing.unrouted))
        if records and not routing.sinks:
            return Processed(delivery.delivery_id, self.now_ms(), DeliveryState.IGNORED, records, reason="not_routed")
        return Processed(
            delivery.delivery_id,
            self.now_ms(),
            DeliveryState.PROCESSING if routing.sinks else DeliveryState.DONE,
            records,
            self.tasks_for(routing.sinks),
        )

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

    def _log_normalised(self, delivery: StoredDelivery, records: Sequence[Record], *, unrouted: int) -> None:
        issues = Counter(f"{issue.field}.{issue.reason}" for record in records for issue in record.issues)
        log.info(
            "records.normalised",
            delivery_id=delivery.delivery_id,
            source=delivery.source,
            records=len(records),
            flagged=sum(bool(record.issues) for record in records),
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
