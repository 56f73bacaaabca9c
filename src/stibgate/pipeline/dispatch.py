"""One attempt: hand the batch to the sink, turn what it said into a signal, settle.

Handing over is the only step that may happen twice; it carries the task's id, so that a sink can notice.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from stibgate.domain.backoff import Policy, next_attempt_at_ms
from stibgate.domain.delivery import StoredDelivery
from stibgate.domain.instant import to_rfc3339
from stibgate.domain.task import Outcome, OutcomeKind, Settlement, Signal, Task
from stibgate.errors import SinkRejected, SinkUnavailable
from stibgate.normalise.text import encodable
from stibgate.pipeline.fanout import provenance_of
from stibgate.sinks import Batch, Sink
from stibgate.stores import Queue

log = structlog.get_logger("stibgate.dispatch")


@dataclass(frozen=True, slots=True)
class Outlet:
    """A configured sink and how patiently it is tried."""

    sink: Sink
    policy: Policy


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Makes attempts.

    Attributes:
        queue: The store.
        outlets: Sinks by name.
        now_ms: The clock.
        jitter: Returns a random number from 0 to 1.
    """

    queue: Queue
    outlets: Mapping[str, Outlet]
    now_ms: Callable[[], int]
    jitter: Callable[[], float]

    async def attempt(self, task: Task) -> None:
        """Make the attempt that *task* was leased for, and settle it."""
        started_ms = self.now_ms()
        delivery, records = await self.queue.batch(task)
        batch = Batch(task.task_id, task.attempts, delivery.received_at_ms, provenance_of(delivery), records)
        settlement = await self._hand_over(task, batch)
        if not await self.queue.settle(settlement):
            log.warning("task.lease_lost", task_id=task.task_id, delivery_id=task.delivery_id, sink=task.sink)
            return
        self._log(task, delivery, settlement, duration_ms=self.now_ms() - started_ms)

    async def release(self, task: Task) -> None:
        """Give *task* back unharmed, when the process stops before its attempt has ended."""
        await self.queue.settle(
            Settlement(task.task_id, task.attempts, Signal.RELEASED, self.now_ms(), error="given back at shutdown")
        )

    async def _hand_over(self, task: Task, batch: Batch) -> Settlement:
        outlet = self.outlets[task.sink]
        try:
            async with asyncio.timeout(outlet.policy.timeout_s):
                outcomes = await outlet.sink.deliver(batch)
            return self._answered(task, batch, outcomes)
        except SinkRejected as error:
            refused = [Outcome(r.position, OutcomeKind.REFUSED, message=error.message) for r in batch.records]
            return self._settlement(task, Signal.REJECTED, error=error.message, outcomes=refused)
        except SinkUnavailable as error:
            return self._later(task, outlet.policy, error.message, retry_after_s=error.retry_after_s)
        except TimeoutError:
            return self._later(task, outlet.policy, f"no answer within {outlet.policy.timeout_s:g} s")
        except Exception as error:
            # A sink that raises what its contract does not name has a bug; the records must outlive it.
            log.exception("unhandled", task_id=task.task_id, delivery_id=task.delivery_id, sink=task.sink)
            return self._later(task, outlet.policy, f"the sink failed with {type(error).__name__}")

    def _answered(self, task: Task, batch: Batch, outcomes: Sequence[Outcome]) -> Settlement:
        """Anything but one answer for each record is never a success."""
        if sorted(outcome.position for outcome in outcomes) != sorted(record.position for record in batch.records):
            policy = self.outlets[task.sink].policy
            return self._later(task, policy, f"{len(outcomes)} outcomes for {len(batch.records)} records")
        refused = any(outcome.kind is OutcomeKind.REFUSED for outcome in outcomes)
        return self._settlement(task, Signal.SPLIT if refused else Signal.TAKEN, outcomes=outcomes)

    def _later(self, task: Task, policy: Policy, error: str, *, retry_after_s: float | None = None) -> Settlement:
        due_ms = next_attempt_at_ms(
            policy,
            attempts=task.attempts,
            created_at_ms=task.created_at_ms,
            now_ms=self.now_ms(),
            jitter=self.jitter(),
            retry_after_s=retry_after_s,
        )
        signal = Signal.EXHAUSTED if due_ms is None else Signal.UNAVAILABLE
        return self._settlement(task, signal, error=error, next_attempt_at_ms=due_ms)

    def _settlement(
        self,
        task: Task,
        signal: Signal,
        *,
        error: str | None = None,
        next_attempt_at_ms: int | None = None,
        outcomes: Sequence[Outcome] = (),
    ) -> Settlement:
        told = None if error is None else encodable(error)  # a sink's words must not stop the settling
        return Settlement(task.task_id, task.attempts, signal, self.now_ms(), next_attempt_at_ms, told, outcomes)

    def _log(self, task: Task, delivery: StoredDelivery, settlement: Settlement, *, duration_ms: int) -> None:
        event, write = _EVENTS[settlement.signal]
        due_ms = settlement.next_attempt_at_ms
        getattr(log, write)(
            event,
            task_id=task.task_id,
            delivery_id=task.delivery_id,
            sink=task.sink,
            attempt=task.attempts,
            records=delivery.records,
            outcomes=dict(Counter(str(outcome.kind) for outcome in settlement.outcomes)) or None,
            error=settlement.error,
            next_attempt_at=None if due_ms is None else to_rfc3339(due_ms),
            duration_ms=duration_ms,
            end_to_end_ms=settlement.ended_at_ms - delivery.received_at_ms,
        )


_EVENTS = {
    Signal.TAKEN: ("task.delivered", "info"),
    Signal.SPLIT: ("task.partial", "warning"),
    Signal.UNAVAILABLE: ("task.retry_scheduled", "warning"),
    Signal.REJECTED: ("task.dead", "error"),
    Signal.EXHAUSTED: ("task.dead", "error"),
}
