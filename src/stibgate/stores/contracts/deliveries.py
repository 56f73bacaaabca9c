"""What deliveries go through: intake sees the `Inbox`, the worker the `Queue`."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from stibgate.domain.backoff import Policy
from stibgate.domain.circuit import USUAL, CircuitPolicy
from stibgate.domain.delivery import Admission, Delivery
from stibgate.domain.task import Settlement, Task
from stibgate.stores.values import Accepted, Awaited, Claim, Owed, Processed, Settled


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

    async def accepted(self, *, limit: int) -> Sequence[Accepted]:
        """Return up to *limit* deliveries that are still `accepted` and do not wait for a result, oldest first."""
        ...

    async def await_result(self, delivery_id: str, *, now_ms: int) -> None:
        """Keep an accepted delivery out of `accepted` until its job is read back."""
        ...

    async def awaiting(self, *, now_ms: int, limit: int) -> Sequence[Awaited]:
        """Return up to *limit* deliveries whose job may be read back now, oldest first."""
        ...

    async def postpone_result(self, delivery_id: str, *, next_try_at_ms: int) -> None:
        """Count a try in vain, and wait until *next_try_at_ms*."""
        ...

    async def fetched(self, delivery_id: str, result: bytes, *, at_ms: int) -> bool:
        """Keep the job as it was read back; the delivery is processed with it.

        That is so for an accepted delivery, and for one that is quarantined for what the vendor's own word mends
        (`QuarantineReason.awaits_result`), which is accepted again.

        Returns:
            False, and nothing changed, for any other delivery.
        """
        ...

    async def abandon_result(self, delivery_id: str, reason: str, *, at_ms: int) -> bool:
        """Quarantine a delivery that waits for its result, with *reason*; return False when it does not wait."""
        ...

    async def forgo_results(self) -> int:
        """Let every delivery that waits for its result be processed without it; return how many there were."""
        ...

    async def next_result_due_ms(self) -> int | None:
        """Return when the next job may be read back; None when no delivery waits for one."""
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
