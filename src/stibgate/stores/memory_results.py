"""Jobs that are read back, in the store in memory."""

from collections.abc import Sequence
from dataclasses import replace

from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.event import QuarantineReason
from stibgate.stores import Awaited, Replay, ReplayResult
from stibgate.stores.memory_desk import MemoryDesk


class MemoryResults(MemoryDesk):
    """Deliveries that wait for their job to be read back."""

    def __init__(self) -> None:
        super().__init__()
        self._readbacks: dict[str, tuple[Awaited, int]] = {}
        self._results: dict[str, bytes] = {}

    async def await_result(self, delivery_id: str, *, now_ms: int) -> None:
        """Keep a delivery out of `accepted`; see `stores.Queue.await_result`."""
        delivery = self._deliveries.get(delivery_id)
        if delivery is None or delivery.state is not DeliveryState.ACCEPTED or delivery.job_id is None:
            return
        self._readbacks.setdefault(delivery_id, (Awaited(delivery_id, delivery.job_id, now_ms, 0), now_ms))

    async def awaiting(self, *, now_ms: int, limit: int) -> Sequence[Awaited]:
        """Return whose job may be read back; see `stores.Queue.awaiting`."""
        due = [awaited for awaited, due_ms in self._readbacks.values() if due_ms <= now_ms]
        return sorted(due, key=lambda one: (one.since_ms, self._deliveries[one.delivery_id].sequence))[:limit]

    async def postpone_result(self, delivery_id: str, *, next_try_at_ms: int) -> None:
        """Count a try in vain; see `stores.Queue.postpone_result`."""
        if delivery_id in self._readbacks:
            awaited, _ = self._readbacks[delivery_id]
            self._readbacks[delivery_id] = replace(awaited, tries=awaited.tries + 1), next_try_at_ms

    async def fetched(self, delivery_id: str, result: bytes, *, at_ms: int) -> bool:  # noqa: ARG002  (kept on disk only)
        """Keep a job that was read back; see `stores.Queue.fetched`."""
        delivery = self._deliveries.get(delivery_id)
        if delivery is None or not _takes_result(delivery):
            return False
        self._results[delivery_id] = result
        self._readbacks.pop(delivery_id, None)
        self._accept(delivery)
        return True

    def _accept(self, delivery: StoredDelivery) -> None:
        accepted = replace(delivery, state=DeliveryState.ACCEPTED, reason=None, processed_at_ms=None)
        self._deliveries[delivery.delivery_id] = accepted

    async def abandon_result(self, delivery_id: str, reason: str, *, at_ms: int) -> bool:
        """Quarantine what waits in vain; see `stores.Queue.abandon_result`."""
        if self._readbacks.pop(delivery_id, None) is None:
            return False
        delivery = self._deliveries[delivery_id]
        self._deliveries[delivery_id] = replace(
            delivery, state=DeliveryState.QUARANTINED, reason=reason, processed_at_ms=at_ms
        )
        return True

    async def forgo_results(self) -> int:
        """Wait for no result; see `stores.Queue.forgo_results`."""
        count = len(self._readbacks)
        self._readbacks.clear()
        return count

    async def next_result_due_ms(self) -> int | None:
        """Return when the next job may be read back; see `stores.Queue.next_result_due_ms`."""
        return min((due_ms for _, due_ms in self._readbacks.values()), default=None)

    def _replay_delivery(self, delivery_id: str, replay: Replay) -> ReplayResult:
        before = self._deliveries.get(delivery_id)
        if before is not None and before.state is DeliveryState.QUARANTINED:
            self._results.pop(delivery_id, None)
        return super()._replay_delivery(delivery_id, replay)

    def awaited(self, delivery_id: str) -> Awaited | None:
        """Return what a delivery waits for; see `stores.Ledger.awaited`."""
        held = self._readbacks.get(delivery_id)
        return None if held is None else held[0]

    def result(self, delivery_id: str) -> bytes | None:
        """Return the job of a delivery as it was read back, or None."""
        return self._results.get(delivery_id)


def _takes_result(delivery: StoredDelivery) -> bool:
    if delivery.state is DeliveryState.ACCEPTED:
        return True
    mended = {reason.value for reason in QuarantineReason if reason.awaits_result}
    return delivery.state is DeliveryState.QUARANTINED and delivery.reason in mended
