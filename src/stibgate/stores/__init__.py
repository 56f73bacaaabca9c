"""Where we remember: one file a backend, three views of one store.

`Inbox` is all that intake can see, `Queue` all that the worker can see, `Ledger` what people read.
Every coroutine of `Inbox` and `Queue` returns only after what it did is durable: committed, and synced
when `storage.durability` is `full`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from stibgate.domain.delivery import Admission, Delivery, DeliveryState, Sighting, StoredDelivery
from stibgate.domain.record import Record
from stibgate.domain.task import Attempt, Outcome, Settlement, Task, TaskState


@dataclass(frozen=True, slots=True)
class Processed:
    """What became of an accepted delivery: its records, and the tasks that it owes.

    Attributes:
        tasks: (task id, sink) for each sink; none ends the delivery at once.
        state: `PROCESSING` with tasks; `DONE`, `IGNORED` or `QUARANTINED` without.
        delays_ms: How long each sink's first attempt waits; at once where nothing is said.
        reason: Why, where the state needs one.
    """

    delivery_id: str
    processed_at_ms: int
    state: DeliveryState
    records: Sequence[Record] = ()
    tasks: Sequence[tuple[str, str]] = ()
    delays_ms: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to list; every field that is given must hold."""

    state: DeliveryState | None = None
    source: str | None = None
    event_type: str | None = None
    sink: str | None = None
    search_id: str | None = None
    job_id: str | None = None
    partner_customer_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks to list; every field that is given must hold."""

    state: TaskState | None = None
    sink: str | None = None
    delivery_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How the store is doing, for `db status`."""

    url: str
    schema_version: int
    pending_migrations: Sequence[str]
    size_bytes: int
    wal_bytes: int
    free_bytes: int
    deliveries: Mapping[str, int] = field(default_factory=dict)
    tasks: Mapping[str, int] = field(default_factory=dict)


class Inbox(Protocol):
    """Remembers deliveries, each once."""

    async def admit(self, delivery: Delivery, *, only_if_new: bool = False) -> Admission:
        """Store *delivery*, or note that its idempotency key was already there; one transaction.

        A duplicate's body is kept only when it differs from every body already kept for that key.

        Args:
            delivery: What came.
            only_if_new: Write nothing at all unless the key was never seen; an expired key was seen.

        Raises:
            StoreFull: Free space is below `min_free`, or the disk is full.
            StoreUnavailable: Cannot write now. Nothing was stored, nothing may be acknowledged.
        """
        ...

    async def flush(self) -> None:
        """Return once everything that was handed over before is committed, or has failed."""
        ...

    async def pin(self, source: str, scheme: Mapping[str, Any]) -> Mapping[str, Any]:
        """Pin *scheme* for *source* unless one is pinned already; return what is pinned now."""
        ...

    async def pins(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the pinned scheme of each source that has one."""
        ...


class Queue(Protocol):
    """Turns deliveries into tasks and remembers how each attempt ended."""

    async def accepted(self, *, limit: int) -> Sequence[tuple[StoredDelivery, bytes]]:
        """Return up to *limit* deliveries that are still `accepted`, oldest first, with their bodies."""
        ...

    async def process(self, processed: Processed) -> None:
        """Store the records, enqueue the tasks and move the delivery on.

        The tasks and the delivery's state are one transaction. Calling it again for the same delivery
        changes nothing, so a crash anywhere before its end costs only work.
        """
        ...

    async def claim(self, *, now_ms: int, lease_ms: int, free: Mapping[str, int]) -> Sequence[Task]:
        """Lease due tasks, oldest first, at most `free[sink]` for each sink; begins an attempt for each.

        A task is due when it is queued or waiting and its time has come, or when its lease ran out.
        """
        ...

    async def batch(self, task: Task) -> tuple[StoredDelivery, Sequence[Record]]:
        """Return what *task* owes: its delivery and the records, in order."""
        ...

    async def settle(self, settlement: Settlement) -> bool:
        """Write how an attempt ended; the delivery is done once all its tasks are final.

        Returns:
            False, and nothing changed, when the attempt is not the task's current lease any more.
        """
        ...

    async def recover(self, *, now_ms: int) -> int:
        """Give back every lease that a process before this one held; return how many there were."""
        ...

    async def next_due_ms(self) -> int | None:
        """Return when the earliest open task is due or its lease ends; None when nothing is open."""
        ...

    async def unfinished(self) -> int:
        """Return how many deliveries are accepted or processing."""
        ...


class Ledger(Protocol):
    """What people read: newest first, never a write. Synchronous, for the command line."""

    def deliveries(
        self, where: DeliveryFilter, *, limit: int | None, before: int | None = None
    ) -> Sequence[StoredDelivery]:
        """Return deliveries admitted before sequence *before*."""
        ...

    def delivery(self, delivery_id: str) -> StoredDelivery | None:
        """Return one delivery, or None."""
        ...

    def body(self, delivery_id: str) -> bytes | None:
        """Return the raw body, byte for byte."""
        ...

    def records(self, delivery_id: str) -> Sequence[Record]:
        """Return the normalised records in order."""
        ...

    def sightings(self, delivery_id: str) -> Sequence[Sighting]:
        """Return when the same key came again, oldest first."""
        ...

    def conflict_bodies(self, delivery_id: str) -> Sequence[bytes]:
        """Return the other bodies that came under the same key, each once, oldest first."""
        ...

    def tasks(self, where: TaskFilter, *, limit: int | None, before: int | None = None) -> Sequence[tuple[int, Task]]:
        """Return tasks with their sequence numbers."""
        ...

    def task(self, task_id: str) -> Task | None:
        """Return one task, or None."""
        ...

    def attempts(self, task_id: str) -> Sequence[Attempt]:
        """Return the attempts of a task in order."""
        ...

    def outcomes(self, task_id: str) -> Sequence[Outcome]:
        """Return what became of each record, by position."""
        ...

    def find_person(self, hashes: Sequence[bytes]) -> Sequence[tuple[str, int]]:
        """Return (delivery id, position) of every record with one of the lookup hashes, oldest first."""
        ...

    def pins(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the pinned scheme of each source that has one."""
        ...

    @property
    def hash_key(self) -> bytes:
        """The 32-byte key of `domain.record.lookup_hash`."""
        ...

    def status(self) -> StoreStatus:
        """Return sizes and counts."""
        ...

    def check(self) -> Sequence[str]:
        """Return everything that is wrong with the store: integrity, and the conservation of records."""
        ...

    def close(self) -> None:
        """Let go."""
        ...
