"""One attempt: hand the batch to the sink, turn what it said into a signal, settle.

Handing over is the only step that may happen twice; it carries the batch's key, so that a sink can notice.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import structlog

from stibgate.domain.backoff import Policy, next_attempt_at_ms
from stibgate.domain.circuit import Circuit
from stibgate.domain.delivery import StoredDelivery
from stibgate.domain.fact import Attempted, CircuitMoved, GaveUp, Observe, unobserved
from stibgate.domain.instant import to_rfc3339
from stibgate.domain.record import Record, lookup_hash
from stibgate.domain.task import Outcome, OutcomeKind, Settlement, Signal, Task
from stibgate.errors import SinkHeld, SinkRejected, SinkUnavailable
from stibgate.normalise.text import encodable
from stibgate.pipeline.fanout import provenance_of
from stibgate.sinks import Batch, Sink
from stibgate.stores import Owed, Queue, Settled

log = structlog.get_logger("stibgate.dispatch")

HELD_FOR_S = 600.0
"""How long a sink is left alone that did not say for how long it takes nothing."""

REFUSED_LINES_MAX = 25
"""Log lines about refused records for one attempt; all of them are in the store."""


Within = Callable[[Task, StoredDelivery], AbstractContextManager[object]]


def untraced(_task: Task, _delivery: StoredDelivery) -> AbstractContextManager[object]:
    """Return a context that does nothing."""
    return nullcontext()


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
        hash_key: The store's, under which a person is named in the log.
        observe: Told of each attempt, and of what it means for the sink.
        within: What an attempt is made in.
    """

    queue: Queue
    outlets: Mapping[str, Outlet]
    now_ms: Callable[[], int]
    jitter: Callable[[], float]
    hash_key: bytes = b""
    observe: Observe = unobserved
    within: Within = untraced

    async def attempt(self, task: Task) -> None:
        """Make the attempt that *task* was leased for, and settle it."""
        started_ms = self.now_ms()
        owed = await self.queue.owed(task)
        with self.within(task, owed.delivery):
            await self._attempt(task, owed, started_ms)

    async def _attempt(self, task: Task, owed: Owed, started_ms: int) -> None:
        settlement = await self._hand_over(task, owed)
        settled = await self.queue.settle(settlement, self.outlets[task.sink].policy.circuit)
        if settled is None:
            log.warning("task.lease_lost", task_id=task.task_id, delivery_id=task.delivery_id, sink=task.sink)
            return
        self._log(task, owed.delivery, settlement, duration_ms=self.now_ms() - started_ms)
        self._log_refused(task, owed, settlement)
        self._log_circuit(task.sink, settled)

    async def release(self, task: Task) -> None:
        """Give *task* back unharmed, when the process stops before its attempt has ended."""
        await self.queue.settle(
            Settlement(task.task_id, task.attempts, Signal.RELEASED, self.now_ms(), error="given back at shutdown")
        )

    def gave_up(self, task: Task) -> None:
        """Log that *task* is dead without another attempt."""
        self.observe(GaveUp(task.sink))
        log.error(
            "task.dead",
            task_id=task.task_id,
            delivery_id=task.delivery_id,
            sink=task.sink,
            attempt=task.attempts,
            error=task.error,
        )

    async def _hand_over(self, task: Task, owed: Owed) -> Settlement:
        policy = self.outlets[task.sink].policy
        batch = Batch(
            task.task_id,
            task.attempts,
            owed.delivery.received_at_ms,
            provenance_of(owed.delivery),
            owed.records,
            resend=task.resend,
            forced=task.forced,
        )
        try:
            async with asyncio.timeout(policy.timeout_s):
                # A task whose last answer was stored before its end was known owes nothing any more.
                outcomes = await self.outlets[task.sink].sink.deliver(batch) if owed.records else ()
            return self._answered(task, owed, outcomes)
        except SinkRejected as error:
            refused = [Outcome(r.position, OutcomeKind.REFUSED, message=error.message) for r in batch.records]
            return self._settlement(task, Signal.REJECTED, error=error.message, outcomes=refused)
        except SinkUnavailable as error:
            return self._unavailable(task, owed, error)
        except TimeoutError:
            return self._later(task, f"no answer within {policy.timeout_s:g} s")
        except Exception as error:
            # A sink that raises what its contract does not name has a bug; the records must outlive it.
            log.exception("unhandled", task_id=task.task_id, delivery_id=task.delivery_id, sink=task.sink)
            return self._later(task, f"the sink failed with {type(error).__name__}")

    def _unavailable(self, task: Task, owed: Owed, error: SinkUnavailable) -> Settlement:
        """Keep what is settled already; only the rest comes again."""
        positions = {record.position for record in owed.records}
        answered = [outcome.position for outcome in error.outcomes if isinstance(outcome, Outcome)]
        sound = len(answered) == len(set(answered) & positions) == len(error.outcomes)
        outcomes = error.outcomes if sound else ()
        if owed.records and len(outcomes) == len(positions):
            return self._answered(task, owed, outcomes)
        if isinstance(error, SinkHeld):
            asked_s = error.retry_after_s
            wait_s = HELD_FOR_S if asked_s is None or math.isnan(asked_s) else asked_s
            due_ms = self.now_ms() + round(max(_SHORTEST_HOLD_S, min(wait_s, _LONGEST_HOLD_S)) * 1000)
            return self._settlement(
                task, Signal.HELD, error=error.message, next_attempt_at_ms=due_ms, outcomes=outcomes
            )
        return self._later(task, error.message, retry_after_s=error.retry_after_s, outcomes=outcomes)

    def _answered(self, task: Task, owed: Owed, outcomes: Sequence[Outcome]) -> Settlement:
        """Anything but one answer for each record is never a success."""
        if sorted(outcome.position for outcome in outcomes) != sorted(record.position for record in owed.records):
            return self._later(task, f"{len(outcomes)} outcomes for {len(owed.records)} records")
        refused = owed.refused + sum(outcome.kind is OutcomeKind.REFUSED for outcome in outcomes)
        error = f"{refused} of {task.records} records were refused" if refused else None
        return self._settlement(task, Signal.SPLIT if refused else Signal.TAKEN, error=error, outcomes=outcomes)

    def _later(
        self, task: Task, error: str, *, retry_after_s: float | None = None, outcomes: Sequence[Outcome] = ()
    ) -> Settlement:
        now_ms = self.now_ms()
        due_ms = next_attempt_at_ms(
            self.outlets[task.sink].policy,
            tries=task.tries,
            age_ms=now_ms - task.owed_at_ms,
            now_ms=now_ms,
            jitter=self.jitter(),
            retry_after_s=retry_after_s,
        )
        signal = Signal.EXHAUSTED if due_ms is None else Signal.UNAVAILABLE
        return self._settlement(task, signal, error=error, next_attempt_at_ms=due_ms, outcomes=outcomes)

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
        end_to_end_ms = settlement.ended_at_ms - delivery.received_at_ms
        counts = Counter(outcome.kind for outcome in settlement.outcomes)
        self.observe(Attempted(task.sink, settlement.signal, duration_ms / 1000, end_to_end_ms / 1000, counts))
        getattr(log, write)(
            event,
            task_id=task.task_id,
            delivery_id=task.delivery_id,
            source=delivery.source,
            event_type=delivery.event_type,
            job_id=delivery.job_id,
            search_id=delivery.search_id,
            sink=task.sink,
            attempt=task.attempts,
            records=task.records,
            outcomes={str(kind): count for kind, count in counts.items()} or None,
            error=settlement.error,
            next_attempt_at=None if due_ms is None else to_rfc3339(due_ms),
            duration_ms=duration_ms,
            end_to_end_ms=end_to_end_ms,
        )

    def _log_refused(self, task: Task, owed: Owed, settlement: Settlement) -> None:
        """Name each refused record by its position and its person's hash, never by who it is.

        The sink's own words stay in the store: they may quote the value that it did not like.
        """
        by_position = {record.position: record for record in owed.records}
        refused = [outcome for outcome in settlement.outcomes if outcome.kind is OutcomeKind.REFUSED]
        for outcome in refused[:REFUSED_LINES_MAX]:
            log.warning(
                "record.refused",
                task_id=task.task_id,
                delivery_id=task.delivery_id,
                source=owed.delivery.source,
                sink=task.sink,
                position=outcome.position,
                person=self._hashed(by_position[outcome.position]),
                category=outcome.category,
                code=outcome.code,
                property=outcome.property,
                correlation_id=outcome.correlation_id,
            )

    def _hashed(self, record: Record) -> str | None:
        for kind, value in record.identifiers():
            return f"h:{lookup_hash(self.hash_key, kind, value).hex()}"
        return None

    def _log_circuit(self, sink: str, settled: Settled) -> None:
        before, after = settled.before, settled.after
        if before.state is not after.state:
            self.observe(CircuitMoved(sink, after.state))
        if (before.closed and not after.closed) or (after.held_since_ms is not None and before.held_since_ms is None):
            log.error(
                "sink.circuit_opened",
                sink=sink,
                reason="held" if after.held_since_ms is not None else "failures",
                attempts=after.failures or None,
                error=after.reason,
                next_attempt_at=_instant(after),
            )
        elif after.closed and not before.closed:
            log.info("sink.circuit_closed", sink=sink)


def _instant(circuit: Circuit) -> str | None:
    return None if circuit.open_until_ms is None else to_rfc3339(circuit.open_until_ms)


_SHORTEST_HOLD_S = 1.0
"""A hold costs no attempt, so that a sink which says "come again at once" would be asked without end or pause."""

_LONGEST_HOLD_S = 7 * 86_400.0

_EVENTS = {
    Signal.TAKEN: ("task.delivered", "info"),
    Signal.SPLIT: ("task.partial", "warning"),
    Signal.UNAVAILABLE: ("task.retry_scheduled", "warning"),
    Signal.HELD: ("task.retry_scheduled", "info"),
    Signal.REJECTED: ("task.dead", "error"),
    Signal.EXHAUSTED: ("task.dead", "error"),
}
