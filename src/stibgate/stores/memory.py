"""The store in memory: nothing survives, everything else is the same. The oracle that tests compare with."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stibgate.domain.delivery import Admission, Delivery, DeliveryState, Sighting, StoredDelivery
from stibgate.domain.record import Record, lookup_hash
from stibgate.domain.task import Attempt, Outcome, Settlement, Signal, Task, TaskState, transition
from stibgate.stores import DeliveryFilter, Processed, StoreStatus, TaskFilter

_LEASE_LOST = "the worker went away before the end was known"


class MemoryStore:
    """Inbox, Queue and Ledger over dictionaries; single-threaded, so every call is one transaction."""

    def __init__(self, *, hash_key: bytes | None = None) -> None:
        self.hash_key = hash_key or secrets.token_bytes(32)
        self._keys: dict[bytes, tuple[str, int]] = {}
        self._deliveries: dict[str, StoredDelivery] = {}
        self._bodies: dict[str, bytes] = {}
        self._sightings: dict[str, list[Sighting]] = {}
        self._conflict_bodies: dict[str, dict[bytes, bytes]] = {}
        self._records: dict[str, dict[int, Record]] = {}
        self._tasks: dict[str, Task] = {}
        self._attempts: dict[str, list[Attempt]] = {}
        self._outcomes: dict[str, dict[int, Outcome]] = {}
        self._pins: dict[str, Mapping[str, Any]] = {}

    # -- Inbox

    async def admit(self, delivery: Delivery, *, only_if_new: bool = False) -> Admission:
        """Store *delivery* once; see `stores.Inbox.admit`."""
        held = self._keys.get(delivery.key.value)
        if held is None or (held[1] <= delivery.received_at_ms and not only_if_new):
            repeat_of = held[0] if held else None
            self._keys[delivery.key.value] = (delivery.delivery_id, delivery.key.expires_at_ms)
            self._remember(delivery, repeat_of)
            return Admission(delivery.delivery_id, repeat_of=repeat_of, records=delivery.records)
        first = self._deliveries[held[0]]
        conflict = first.body_sha256 != delivery.body_sha256
        if not only_if_new:
            self._sightings.setdefault(first.delivery_id, []).append(
                Sighting(first.delivery_id, delivery.received_at_ms, delivery.body_sha256, conflict)
            )
            self._deliveries[first.delivery_id] = replace(
                first, duplicates=first.duplicates + 1, conflicts=first.conflicts + conflict
            )
            if conflict:
                self._conflict_bodies.setdefault(first.delivery_id, {}).setdefault(delivery.body_sha256, delivery.body)
        return Admission(
            first.delivery_id,
            duplicate=True,
            conflict=conflict,
            first_seen_at_ms=first.received_at_ms,
            records=first.records,
        )

    async def flush(self) -> None:
        """Return at once: nothing waits here."""

    def _remember(self, delivery: Delivery, repeat_of: str | None) -> None:
        self._bodies[delivery.delivery_id] = delivery.body
        self._deliveries[delivery.delivery_id] = StoredDelivery(
            sequence=len(self._deliveries) + 1,
            delivery_id=delivery.delivery_id,
            source=delivery.source,
            state=delivery.state,
            reason=delivery.reason,
            event_type=delivery.event_type,
            received_at_ms=delivery.received_at_ms,
            processed_at_ms=None,
            body_sha256=delivery.body_sha256,
            body_bytes=len(delivery.body),
            records=delivery.records,
            issues=0,
            job_id=delivery.job_id,
            search_id=delivery.search_id,
            partner_customer_id=delivery.partner_customer_id,
            partner_user_id=delivery.partner_user_id,
            authenticated_by=delivery.authenticated_by,
            stale=delivery.stale,
            evidence=dict(delivery.evidence),
            via=delivery.via,
            repeat_of=repeat_of,
            duplicates=0,
            conflicts=0,
        )

    async def pin(self, source: str, scheme: Mapping[str, Any]) -> Mapping[str, Any]:
        """Pin a scheme; see `stores.Inbox.pin`."""
        return self._pins.setdefault(source, scheme)

    async def pins(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the pinned schemes; see `stores.Inbox.pins`."""
        return dict(self._pins)

    # -- Queue

    async def accepted(self, *, limit: int) -> Sequence[tuple[StoredDelivery, bytes]]:
        """Return what waits for processing; see `stores.Queue.accepted`."""
        waiting = [d for d in self._deliveries.values() if d.state is DeliveryState.ACCEPTED]
        return [(delivery, self._bodies[delivery.delivery_id]) for delivery in waiting[:limit]]

    async def process(self, processed: Processed) -> None:
        """Store records and enqueue tasks; see `stores.Queue.process`."""
        delivery = self._deliveries.get(processed.delivery_id)
        if delivery is None or delivery.state is not DeliveryState.ACCEPTED:
            return
        self._records[delivery.delivery_id] = {record.position: record for record in processed.records}
        self._deliveries[delivery.delivery_id] = replace(
            delivery,
            state=processed.state,
            reason=processed.reason,
            processed_at_ms=processed.processed_at_ms,
            issues=sum(len(record.issues) for record in processed.records),
            records=max(delivery.records, len(processed.records)),
        )
        at_ms = processed.processed_at_ms
        owed: dict[str, str] = {}
        for task_id, sink in processed.tasks:
            owed.setdefault(sink, task_id)
        for sink, task_id in owed.items():
            due_ms = at_ms + processed.delays_ms.get(sink, 0)
            self._tasks[task_id] = Task(
                task_id, delivery.delivery_id, sink, TaskState.QUEUED, 0, due_ms, None, at_ms, at_ms
            )

    async def claim(self, *, now_ms: int, lease_ms: int, free: Mapping[str, int]) -> Sequence[Task]:
        """Lease due tasks; see `stores.Queue.claim`."""
        self._expire_leases(before_ms=now_ms, at_ms=now_ms)
        claimed = []
        for sink, count in free.items():
            due = [
                task
                for task in self._tasks.values()
                if task.sink == sink
                and task.state in {TaskState.QUEUED, TaskState.WAITING}
                and task.next_attempt_at_ms is not None
                and task.next_attempt_at_ms <= now_ms
            ]
            due.sort(key=lambda task: task.next_attempt_at_ms or 0)
            claimed += [self._lease(task, now_ms, lease_ms) for task in due[: max(count, 0)]]
        return claimed

    def _lease(self, task: Task, now_ms: int, lease_ms: int) -> Task:
        leased = replace(
            task,
            state=transition(task.state, Signal.CLAIMED),
            attempts=task.attempts + 1,
            next_attempt_at_ms=None,
            lease_until_ms=now_ms + lease_ms,
            updated_at_ms=now_ms,
        )
        self._tasks[task.task_id] = leased
        self._attempts.setdefault(task.task_id, []).append(Attempt(task.task_id, leased.attempts, now_ms))
        return leased

    async def batch(self, task: Task) -> tuple[StoredDelivery, Sequence[Record]]:
        """Return what a task owes; see `stores.Queue.batch`."""
        return self._deliveries[task.delivery_id], self.records(task.delivery_id)

    async def settle(self, settlement: Settlement) -> bool:
        """Write how an attempt ended; see `stores.Queue.settle`."""
        task = self._tasks.get(settlement.task_id)
        if task is None or task.state is not TaskState.LEASED or task.attempts != settlement.attempt:
            return False
        state = transition(task.state, settlement.signal)
        self._tasks[task.task_id] = replace(
            task,
            state=state,
            next_attempt_at_ms=settlement.due_at_ms(state),
            lease_until_ms=None,
            updated_at_ms=settlement.ended_at_ms,
            error=settlement.error,
        )
        self._end_attempt(task, settlement.ended_at_ms, settlement.signal, settlement.error)
        self._outcomes.setdefault(task.task_id, {}).update({o.position: o for o in settlement.outcomes})
        self._finish_delivery(task.delivery_id)
        return True

    async def recover(self, *, now_ms: int) -> int:
        """Give back every lease; see `stores.Queue.recover`."""
        return self._expire_leases(before_ms=None, at_ms=now_ms)

    def _expire_leases(self, *, before_ms: int | None, at_ms: int) -> int:
        expired = [
            task
            for task in self._tasks.values()
            if task.state is TaskState.LEASED and (before_ms is None or (task.lease_until_ms or 0) <= before_ms)
        ]
        for task in expired:
            self._tasks[task.task_id] = replace(
                task,
                state=transition(task.state, Signal.RELEASED),
                next_attempt_at_ms=at_ms,
                lease_until_ms=None,
                updated_at_ms=at_ms,
            )
            self._end_attempt(task, at_ms, Signal.RELEASED, _LEASE_LOST)
        return len(expired)

    def _end_attempt(self, task: Task, ended_at_ms: int, signal: Signal, error: str | None) -> None:
        attempts = self._attempts[task.task_id]
        attempts[-1] = replace(attempts[-1], ended_at_ms=ended_at_ms, signal=signal, error=error)

    def _finish_delivery(self, delivery_id: str) -> None:
        delivery = self._deliveries[delivery_id]
        tasks = [task for task in self._tasks.values() if task.delivery_id == delivery_id]
        if delivery.state is DeliveryState.PROCESSING and all(task.state.final for task in tasks):
            self._deliveries[delivery_id] = replace(delivery, state=DeliveryState.DONE)

    async def next_due_ms(self) -> int | None:
        """Return when the next task is due; see `stores.Queue.next_due_ms`."""
        due = [
            task.lease_until_ms if task.state is TaskState.LEASED else task.next_attempt_at_ms
            for task in self._tasks.values()
            if task.state in {TaskState.QUEUED, TaskState.WAITING, TaskState.LEASED}
        ]
        return min((moment for moment in due if moment is not None), default=None)

    async def unfinished(self) -> int:
        """Return how many deliveries are not finished; see `stores.Queue.unfinished`."""
        open_states = {DeliveryState.ACCEPTED, DeliveryState.PROCESSING}
        return sum(delivery.state in open_states for delivery in self._deliveries.values())

    # -- Ledger

    def deliveries(
        self, where: DeliveryFilter, *, limit: int | None, before: int | None = None
    ) -> Sequence[StoredDelivery]:
        """Return deliveries, newest first; see `stores.Ledger.deliveries`."""
        found = [
            delivery
            for delivery in reversed(self._deliveries.values())
            if (before is None or delivery.sequence < before) and self._matches(delivery, where)
        ]
        return found[:limit]

    def _matches(self, delivery: StoredDelivery, where: DeliveryFilter) -> bool:
        same = ("state", "source", "event_type", "search_id", "job_id", "partner_customer_id")
        if any((wanted := getattr(where, name)) is not None and wanted != getattr(delivery, name) for name in same):
            return False
        if where.since_ms is not None and delivery.received_at_ms < where.since_ms:
            return False
        if where.until_ms is not None and delivery.received_at_ms >= where.until_ms:
            return False
        return where.sink is None or any(
            task.sink == where.sink for task in self._tasks.values() if task.delivery_id == delivery.delivery_id
        )

    def delivery(self, delivery_id: str) -> StoredDelivery | None:
        """Return one delivery, or None."""
        return self._deliveries.get(delivery_id)

    def body(self, delivery_id: str) -> bytes | None:
        """Return the raw body."""
        return self._bodies.get(delivery_id)

    def records(self, delivery_id: str) -> Sequence[Record]:
        """Return the normalised records in order."""
        held = self._records.get(delivery_id, {})
        return [held[position] for position in sorted(held)]

    def sightings(self, delivery_id: str) -> Sequence[Sighting]:
        """Return when the same key came again."""
        return list(self._sightings.get(delivery_id, []))

    def conflict_bodies(self, delivery_id: str) -> Sequence[bytes]:
        """Return the other bodies that came under the same key, oldest first."""
        return list(self._conflict_bodies.get(delivery_id, {}).values())

    def tasks(self, where: TaskFilter, *, limit: int | None, before: int | None = None) -> Sequence[tuple[int, Task]]:
        """Return tasks with their sequence numbers, newest first."""
        numbered = list(enumerate(self._tasks.values(), start=1))
        found = [
            (number, task)
            for number, task in reversed(numbered)
            if (before is None or number < before)
            and where.state in {None, task.state}
            and where.sink in {None, task.sink}
            and where.delivery_id in {None, task.delivery_id}
        ]
        return found[:limit]

    def task(self, task_id: str) -> Task | None:
        """Return one task, or None."""
        return self._tasks.get(task_id)

    def attempts(self, task_id: str) -> Sequence[Attempt]:
        """Return the attempts of a task in order."""
        return list(self._attempts.get(task_id, []))

    def outcomes(self, task_id: str) -> Sequence[Outcome]:
        """Return what became of each record, by position."""
        held = self._outcomes.get(task_id, {})
        return [held[position] for position in sorted(held)]

    def find_person(self, hashes: Sequence[bytes]) -> Sequence[tuple[str, int]]:
        """Return (delivery id, position) of every record with one of the lookup hashes."""
        return [
            (delivery_id, position)
            for delivery_id in self._deliveries
            for position, record in sorted(self._records.get(delivery_id, {}).items())
            if any(lookup_hash(self.hash_key, kind, value) in hashes for kind, value in record.identifiers())
        ]

    def status(self) -> StoreStatus:
        """Return counts; nothing is on a disk."""
        deliveries: dict[str, int] = {}
        tasks: dict[str, int] = {}
        for delivery in self._deliveries.values():
            deliveries[delivery.state] = deliveries.get(delivery.state, 0) + 1
        for task in self._tasks.values():
            tasks[task.state] = tasks.get(task.state, 0) + 1
        return StoreStatus("memory", 0, (), 0, 0, 0, deliveries, tasks)

    def check(self) -> Sequence[str]:
        """Return nothing: there is no file to be unsound."""
        return ()

    def close(self) -> None:
        """Forget nothing; tests look afterwards."""
