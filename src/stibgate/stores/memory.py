"""The store in memory: nothing survives, everything else is the same. The oracle that tests compare with."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stibgate.domain.circuit import SinkState
from stibgate.domain.delivery import Admission, Delivery, DeliveryState, IdempotencyKey, Sighting, StoredDelivery
from stibgate.domain.event import QuarantineReason
from stibgate.domain.record import Record, lookup_hash
from stibgate.domain.task import Attempt, Outcome, Task, TaskState
from stibgate.stores import Accepted, DeliveryFilter, Processed, ReplayNote, StoreStatus, TaskFilter
from stibgate.stores.glance import DeadGroup, Seen, alike
from stibgate.stores.memory_replays import MemoryReplays
from stibgate.stores.memory_tallies import MemoryTallies


class MemoryStore(MemoryReplays, MemoryTallies):
    """Inbox and Ledger over dictionaries, and all that `MemoryReplays` has; every call is one transaction."""

    def __init__(self, *, hash_key: bytes | None = None) -> None:
        super().__init__()
        MemoryTallies.__init__(self)
        self.hash_key = hash_key or secrets.token_bytes(32)
        self._keys: dict[bytes, tuple[str, int]] = {}
        self._bodies: dict[str, bytes] = {}
        self._sightings: dict[str, list[Sighting]] = {}
        self._conflict_bodies: dict[str, dict[bytes, bytes]] = {}
        self._pins: dict[str, Mapping[str, Any]] = {}

    # -- Inbox

    async def admit(self, delivery: Delivery, *, only_if_new: bool = False) -> Admission:
        """Store *delivery* once; see `stores.Inbox.admit`."""
        first = self._first(delivery, only_if_new=only_if_new)
        if first is None:
            return self._remember(delivery)
        conflict = first.via == delivery.via and first.body_sha256 != delivery.body_sha256
        if not only_if_new:
            self._sightings.setdefault(first.delivery_id, []).append(
                Sighting(
                    first.delivery_id,
                    delivery.received_at_ms,
                    delivery.body_sha256,
                    conflict,
                    delivery.authenticated_by,
                )
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

    def _first(self, delivery: Delivery, *, only_if_new: bool) -> StoredDelivery | None:
        """Return the delivery that *delivery* repeats: the holder of one of its keys."""
        for key in _keys(delivery):
            delivery_id, expires_at_ms = self._keys.get(key.value, (None, 0))
            if delivery_id is not None and (expires_at_ms > delivery.received_at_ms or only_if_new):
                return self._deliveries[delivery_id]
        return None

    async def flush(self) -> None:
        """Return at once: nothing waits here."""

    def _remember(self, delivery: Delivery) -> Admission:
        repeat_of, _ = self._keys.get(delivery.key.value, (None, 0))
        self._keys.update({key.value: (delivery.delivery_id, key.expires_at_ms) for key in _keys(delivery)})
        accepted = delivery.state is DeliveryState.ACCEPTED
        unknown = delivery.known_job and accepted and self._of_job(delivery.job_id) is None
        self._bodies[delivery.delivery_id] = delivery.body
        self._deliveries[delivery.delivery_id] = StoredDelivery(
            sequence=len(self._deliveries) + 1,
            delivery_id=delivery.delivery_id,
            source=delivery.source,
            state=DeliveryState.QUARANTINED if unknown else delivery.state,
            reason=QuarantineReason.JOB_UNKNOWN if unknown else delivery.reason,
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
            billed=delivery.billed,
            trace=delivery.trace,
        )
        return Admission(delivery.delivery_id, repeat_of=repeat_of, records=delivery.records, job_unknown=unknown)

    async def pin(self, source: str, scheme: Mapping[str, Any]) -> Mapping[str, Any]:
        """Pin a scheme; see `stores.Inbox.pin`."""
        return self._pins.setdefault(source, scheme)

    async def pins(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the pinned schemes; see `stores.Inbox.pins`."""
        return dict(self._pins)

    # -- Queue

    async def accepted(self, *, limit: int) -> Sequence[Accepted]:
        """Return what waits for processing; see `stores.Queue.accepted`."""
        waiting = [d for d in self._deliveries.values() if d.state is DeliveryState.ACCEPTED]
        ready = [delivery for delivery in waiting if delivery.delivery_id not in self._readbacks]
        return [Accepted(d, self._bodies[d.delivery_id], self._results.get(d.delivery_id)) for d in ready[:limit]]

    async def process(self, processed: Processed) -> None:
        """Store records and enqueue tasks; see `stores.Queue.process`."""
        delivery = self._deliveries.get(processed.delivery_id)
        if delivery is None or delivery.state is not DeliveryState.ACCEPTED:
            return
        count = len(processed.records)
        read_back = delivery.delivery_id in self._results and processed.state is not DeliveryState.QUARANTINED
        self._records[delivery.delivery_id] = {record.position: record for record in processed.records}
        self._deliveries[delivery.delivery_id] = replace(
            delivery,
            state=processed.state,
            reason=processed.reason,
            processed_at_ms=processed.processed_at_ms,
            issues=sum(len(record.issues) for record in processed.records),
            records=count if read_back else max(delivery.records, count),
        )
        self._readbacks.pop(delivery.delivery_id, None)
        if processed.job is not None:
            self._end_job(processed.job, delivery.delivery_id, processed.processed_at_ms)
        for new in processed.tasks:
            self._enqueue(delivery.delivery_id, new, processed.processed_at_ms)

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
        same = ("delivery_id", "state", "source", "event_type", "search_id", "job_id", "partner_customer_id")
        if any((wanted := getattr(where, name)) is not None and wanted != getattr(delivery, name) for name in same):
            return False
        tasks = [task for task in self._tasks.values() if task.delivery_id == delivery.delivery_id]
        return (
            _within(delivery, where)
            and (where.sink is None or any(task.sink == where.sink for task in tasks))
            and (where.error is None or any(where.error in (task.error or "") for task in tasks))
            and (where.body_sha256 is None or where.body_sha256[0] <= delivery.body_sha256 <= where.body_sha256[1])
            and (where.person is None or self._has_person(delivery.delivery_id, where.person, None))
        )

    def _has_person(self, delivery_id: str, hashes: Sequence[bytes], positions: Sequence[int] | None) -> bool:
        return any(
            lookup_hash(self.hash_key, kind, value) in hashes
            for position, record in self._records.get(delivery_id, {}).items()
            if positions is None or position in positions
            for kind, value in record.identifiers()
        )

    def delivery(self, delivery_id: str) -> StoredDelivery | None:
        """Return one delivery, or None."""
        return self._deliveries.get(delivery_id)

    def body(self, delivery_id: str, sha256: bytes | None = None) -> bytes | None:
        """Return the raw body, or another one that came under its key."""
        first = self._deliveries.get(delivery_id)
        if sha256 is None or (first is not None and first.body_sha256 == sha256):
            return self._bodies.get(delivery_id)
        return self._conflict_bodies.get(delivery_id, {}).get(sha256)

    def records(
        self, delivery_id: str, *, first: int = 0, limit: int | None = None, flagged: bool = False
    ) -> Sequence[Record]:
        """Return the normalised records in order; see `stores.Ledger.records`."""
        held = self._records.get(delivery_id, {})
        found = [held[position] for position in sorted(held) if position >= first]
        return [record for record in found if record.issues or not flagged][:limit]

    def sightings(self, delivery_id: str) -> Sequence[Sighting]:
        """Return when the same key came again."""
        return list(self._sightings.get(delivery_id, []))

    def tasks(self, where: TaskFilter, *, limit: int | None, before: int | None = None) -> Sequence[tuple[int, Task]]:
        """Return tasks with their sequence numbers, newest first."""
        numbered = list(enumerate(self._tasks.values(), start=1))
        found = [
            (number, task)
            for number, task in reversed(numbered)
            if (before is None or number < before) and self._task_matches(task, where)
        ]
        return found[:limit]

    def _task_matches(self, task: Task, where: TaskFilter) -> bool:
        delivery = self._deliveries[task.delivery_id]
        pairs = (
            (where.state, task.state),
            (where.sink, task.sink),
            (where.delivery_id, task.delivery_id),
            (where.source, delivery.source),
            (where.search_id, delivery.search_id),
            (where.job_id, delivery.job_id),
        )
        return (
            all(wanted in {None, value} for wanted, value in pairs)
            and _within(delivery, where)
            and (where.error is None or where.error in (task.error or ""))
            and (
                where.person is None or self._has_person(task.delivery_id, where.person, self._positions[task.task_id])
            )
        )

    def task(self, task_id: str) -> Task | None:
        """Return one task, or None."""
        return self._tasks.get(task_id)

    def task_counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many tasks of each state each sink has."""
        counts: dict[str, dict[str, int]] = {}
        for task in self._tasks.values():
            of_sink = counts.setdefault(task.sink, {})
            of_sink[str(task.state)] = of_sink.get(str(task.state), 0) + 1
        return counts

    def attempts(self, task_id: str) -> Sequence[Attempt]:
        """Return the attempts of a task in order."""
        return list(self._attempts.get(task_id, []))

    def outcomes(self, task_id: str) -> Sequence[Outcome]:
        """Return what became of each record, by position."""
        held = self._current.get(task_id, {})
        return [held[position] for position in sorted(held)]

    def history(self, task_id: str) -> Sequence[tuple[int, Outcome]]:
        """Return (attempt, outcome) of everything that was ever answered, oldest first."""
        return sorted(self._answers.get(task_id, []), key=lambda answer: (answer[0], answer[1].position))

    def blocker(self, task_id: str) -> str | None:
        """Return the task that *task_id* waits for."""
        task = self._tasks.get(task_id)
        due = task is not None and task.state in {TaskState.QUEUED, TaskState.WAITING}
        return self._blocker(task) if task is not None and due else None

    def positions(self, task_id: str) -> Sequence[int]:
        """Return the positions of the records that a task owes or owed, in order."""
        return self._positions.get(task_id, ())

    def replays(self, delivery_id: str) -> Sequence[ReplayNote]:
        """Return what operators had sent again, oldest first."""
        return [note for note in self._replays if note.delivery_id == delivery_id]

    def sinks(self) -> Mapping[str, SinkState]:
        """Return what is known of sinks that were ever paused or left alone."""
        return dict(self._sinks)

    def last_accepted(self, sources: Sequence[str]) -> Mapping[str, Seen]:
        """Return the last delivery of each source."""
        posted = [delivery for delivery in self._deliveries.values() if delivery.via == "http"]
        last = {delivery.source: delivery for delivery in posted if delivery.source in sources}
        return {name: Seen(d.delivery_id, d.received_at_ms, d.authenticated_by) for name, d in last.items()}

    def owing_since(self) -> Mapping[str, int]:
        """Return since when each sink owes."""
        owing = sorted((task.owed_at_ms, task.sink) for task in self._tasks.values() if not task.state.final)
        return {sink: since_ms for since_ms, sink in reversed(owing)}

    def dead_groups(self) -> Sequence[DeadGroup]:
        """Return what tasks died of."""
        groups: dict[tuple[str, str], list[Task]] = {}
        for task in self._tasks.values():
            if task.state is TaskState.DEAD:
                groups.setdefault((task.sink, alike(task.error)), []).append(task)
        found = [
            DeadGroup(
                sink, error, len(tasks), tasks[-1].error or "", tasks[-1].task_id, min(t.owed_at_ms for t in tasks)
            )
            for (sink, error), tasks in groups.items()
        ]
        return sorted(found, key=lambda group: (-group.count, group.sink, group.error))

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
        """Return where the audit was changed; there is no file to be unsound."""
        return self._broken_audit()

    def close(self) -> None:
        """Forget nothing; tests look afterwards."""


def _within(delivery: StoredDelivery, where: DeliveryFilter | TaskFilter) -> bool:
    since, until = where.since_ms, where.until_ms
    return (since is None or delivery.received_at_ms >= since) and (until is None or delivery.received_at_ms < until)


def _keys(delivery: Delivery) -> Sequence[IdempotencyKey]:
    """Return what makes *delivery* the same as another, the stronger word first."""
    return (delivery.key, *delivery.other_keys)
