"""Where we remember: one file a backend, five views of one store.

`Inbox` is all that intake can see, `Queue` all that the worker can see, `Desk` what operators can do, `Memories` what
sinks keep, `Ledger` what people read. Every coroutine but those that only read returns after what it did is durable:
committed, and synced when `storage.durability` is `full`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from stibgate.domain.backoff import Policy
from stibgate.domain.circuit import USUAL, CircuitPolicy, SinkState
from stibgate.domain.delivery import Admission, Delivery, Sighting, StoredDelivery
from stibgate.domain.record import Record
from stibgate.domain.task import Attempt, Outcome, Settlement, Task
from stibgate.stores.values import (
    CHUNK_RECORDS,
    Claim,
    DeliveryFilter,
    NewTask,
    Owed,
    Processed,
    Replay,
    ReplayNote,
    ReplayResult,
    Settled,
    StoreStatus,
    TaskFilter,
)

__all__ = [
    "CHUNK_RECORDS",
    "Claim",
    "DeliveryFilter",
    "Desk",
    "Inbox",
    "Ledger",
    "Memories",
    "NewTask",
    "Owed",
    "Processed",
    "Queue",
    "Replay",
    "ReplayNote",
    "ReplayResult",
    "Settled",
    "StoreStatus",
    "TaskFilter",
]


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

    async def claim(self, sink: str, policy: Policy, *, now_ms: int, limit: int) -> Claim:
        """Lease up to *limit* due tasks of *sink*, oldest first; begins an attempt for each.

        A task is due when it is queued or waiting and its time has come, or when its lease ran out. None is
        leased while the sink is paused, more than its breaker allows, or while an earlier open task of the
        sink, or a leased one, has a person in common with it.
        """
        ...

    async def owed(self, task: Task) -> Owed:
        """Return what *task* still owes."""
        ...

    async def settle(self, settlement: Settlement, circuit: CircuitPolicy = USUAL) -> Settled | None:
        """Write how an attempt ended, and what that means for the sink's breaker.

        The delivery is done once all its tasks are final.

        Returns:
            None, and nothing changed, when the attempt is not the task's current lease any more.
        """
        ...

    async def recover(self, *, now_ms: int) -> int:
        """Give back every lease that a process before this one held; return how many there were."""
        ...

    async def next_due_ms(self, sink: str) -> int | None:
        """Return when the next task of *sink* may be leased or its lease ends; None when nothing will by itself."""
        ...

    async def unfinished(self) -> int:
        """Return how many deliveries are accepted or processing."""
        ...


class Desk(Protocol):
    """What operators can do. Each call is one transaction; what it says was done is durable."""

    async def replay_task(self, task_id: str, replay: Replay, positions: Sequence[int] = ()) -> ReplayResult:
        """Make *task_id* due again with the records that are not done, and with *positions* that it never owed."""
        ...

    async def replay_delivery(self, delivery_id: str, replay: Replay) -> ReplayResult:
        """Have a quarantined or ignored delivery processed again from its stored body."""
        ...

    async def add_tasks(self, delivery_id: str, tasks: Sequence[NewTask], replay: Replay) -> int:
        """Enqueue *tasks* that a processed delivery does not have yet; return how many there were."""
        ...

    async def cancel(self, task_id: str, *, now_ms: int, by: str) -> bool:
        """End *task_id* unless it is final already or leased; return whether it was ended."""
        ...

    async def pause(self, sink: str, *, now_ms: int, by: str) -> bool:
        """Lease no more tasks of *sink*; return False when it was paused already."""
        ...

    async def resume(self, sink: str, *, now_ms: int) -> bool:
        """Go on with *sink*, its breaker closed; return False when it was neither paused nor left alone."""
        ...


class Memories(Protocol):
    """What sinks remember; see `stibgate.sinks.Memory`."""

    async def recall(self, sink: str, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return the documents of those *keys* of *sink* that are known."""
        ...

    async def remember(self, sink: str, documents: Mapping[str, Any]) -> None:
        """Keep *documents* under their keys, durably."""
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

    def task_counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many tasks of each state each sink has."""
        ...

    def attempts(self, task_id: str) -> Sequence[Attempt]:
        """Return the attempts of a task in order."""
        ...

    def outcomes(self, task_id: str) -> Sequence[Outcome]:
        """Return what became of each record, by position."""
        ...

    def positions(self, task_id: str) -> Sequence[int]:
        """Return the positions of the records that a task owes or owed, in order."""
        ...

    def blocker(self, task_id: str) -> str | None:
        """Return the task whose end *task_id* waits for, because of a person in common; None when it waits for none."""
        ...

    def history(self, task_id: str) -> Sequence[tuple[int, Outcome]]:
        """Return (attempt, outcome) of everything that was ever answered for a task, oldest first."""
        ...

    def replays(self, delivery_id: str) -> Sequence[ReplayNote]:
        """Return what operators had sent again of a delivery, oldest first."""
        ...

    def sinks(self) -> Mapping[str, SinkState]:
        """Return what is known of sinks that were ever paused or left alone."""
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
