"""The task half of the store in memory: the plainest way to keep the same laws, without indexes or marks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stibgate.domain.backoff import Policy
from stibgate.domain.circuit import (
    USUAL,
    Circuit,
    CircuitPolicy,
    SinkState,
    after_failure,
    after_hold,
    after_success,
    allowance,
    probing,
)
from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.record import Record, lookup_hash
from stibgate.domain.task import Attempt, Outcome, OutcomeKind, Settlement, Signal, Task, TaskState, transition
from stibgate.stores import Claim, NewTask, Owed, Settled

_LEASE_LOST = "the worker went away before the end was known"
DUE = frozenset({TaskState.QUEUED, TaskState.WAITING})


class MemoryTasks:
    """Queue and Memories over dictionaries; single-threaded, so every call is one transaction."""

    def __init__(self) -> None:
        self._deliveries: dict[str, StoredDelivery] = {}
        self._records: dict[str, dict[int, Record]] = {}
        self._tasks: dict[str, Task] = {}
        self._positions: dict[str, Sequence[int]] = {}
        self._persons: dict[str, set[bytes]] = {}
        self._attempts: dict[str, list[Attempt]] = {}
        self._answers: dict[str, list[tuple[int, Outcome]]] = {}
        self._current: dict[str, dict[int, Outcome]] = {}
        self._sinks: dict[str, SinkState] = {}
        self._memories: dict[tuple[str, str], str] = {}

    def _enqueue(self, delivery_id: str, new: NewTask, at_ms: int) -> bool:
        if any(task.delivery_id == delivery_id and task.sink == new.sink for task in self._tasks.values()):
            return False
        self._positions[new.task_id] = tuple(new.positions)
        self._hold(new.task_id, delivery_id, new.positions)
        self._tasks[new.task_id] = Task(
            new.task_id, delivery_id, new.sink, self._rest(new.sink, TaskState.QUEUED), 0, at_ms + new.delay_ms, None,
            at_ms, at_ms, owed_at_ms=at_ms, records=len(new.positions),
        )  # fmt: skip
        return True

    def _sink(self, sink: str) -> SinkState:
        return self._sinks.get(sink, SinkState(sink))

    def _rest(self, sink: str, state: TaskState) -> TaskState:
        return transition(state, Signal.PAUSED) if self._sink(sink).paused and state in DUE else state

    async def claim(self, sink: str, policy: Policy, *, now_ms: int, limit: int) -> Claim:
        """Lease due tasks; see `stores.Queue.claim`."""
        self._expire_leases(sink, before_ms=now_ms, at_ms=now_ms)
        state = self._sink(sink)
        running = sum(task.sink == sink and task.state is TaskState.LEASED for task in self._tasks.values())
        allowed = allowance(state.circuit, policy.circuit, now_ms=now_ms, running=running)
        limit = limit if allowed is None else min(limit, allowed)
        if state.paused or limit <= 0:
            return Claim()
        if not state.circuit.closed:
            self._sinks[sink] = replace(state, circuit=probing(self._rebase_hold(state, now_ms)))
        leased: list[Task] = []
        given_up: list[Task] = []
        while len(leased) < limit and (task := self._oldest(sink, now_ms)) is not None:
            reason = policy.exhausted(tries=task.tries, age_ms=now_ms - task.owed_at_ms)
            if reason is None:
                leased.append(self._lease(task, now_ms, round(policy.lease_s * 1000)))
            else:
                given_up.append(self._give_up(task, reason, now_ms))
        return Claim(leased, given_up)

    def _oldest(self, sink: str, now_ms: int) -> Task | None:
        """Return the task of *sink* that fell due first and waits for no other."""
        mine = [task for task in self._tasks.values() if task.sink == sink and task.state in DUE]
        due = sorted(mine, key=lambda task: task.next_attempt_at_ms or 0)
        return next((t for t in due if (t.next_attempt_at_ms or 0) <= now_ms and not self._blocked(t)), None)

    def _hold(self, task_id: str, delivery_id: str, positions: Sequence[int]) -> None:
        """Note whom an open task is about; those whom it was about before stay until it is final."""
        held = self._records.get(delivery_id, {})
        keys = (next(held[position].identifiers(), None) for position in positions if position in held)
        persons = {lookup_hash(b"", *key) for key in keys if key is not None}
        self._persons[task_id] = self._persons.get(task_id, set()) | persons

    def _blocked(self, task: Task) -> bool:
        return self._blocker(task) is not None

    def _blocker(self, task: Task) -> str | None:
        """Return the nearest earlier open task of the sink with a person in common, else a later one that is leased."""
        mine = self._persons[task.task_id]
        common = [other for other, persons in self._persons.items() if other != task.task_id and mine & persons]
        others = [t for t in map(self._tasks.__getitem__, common) if t.sink == task.sink and not t.state.final]
        order = list(self._persons)
        here = order.index(task.task_id)
        earlier = [other for other in others if order.index(other.task_id) < here]
        leased = [other for other in others if other.state is TaskState.LEASED]
        return next((other.task_id for other in [*reversed(earlier), *leased]), None)

    def _lease(self, task: Task, now_ms: int, lease_ms: int) -> Task:
        leased = replace(
            task,
            state=transition(task.state, Signal.CLAIMED),
            attempts=task.attempts + 1,
            tries=task.tries + 1,
            next_attempt_at_ms=None,
            lease_until_ms=now_ms + lease_ms,
            updated_at_ms=now_ms,
        )
        self._tasks[task.task_id] = leased
        self._attempts.setdefault(task.task_id, []).append(Attempt(task.task_id, leased.attempts, now_ms))
        return leased

    def _give_up(self, task: Task, reason: str, at_ms: int) -> Task:
        error = f"{reason}; the last error was: {task.error}" if task.error else reason
        state = transition(task.state, Signal.EXHAUSTED)
        dead = replace(task, state=state, next_attempt_at_ms=None, updated_at_ms=at_ms, error=error)
        self._tasks[task.task_id] = dead
        self._finish_delivery(task.delivery_id)
        return dead

    async def owed(self, task: Task) -> Owed:
        """Return what a task owes; see `stores.Queue.owed`."""
        answered = self._current.get(task.task_id, {})
        held = self._records.get(task.delivery_id, {})
        records = [held[position] for position in self._positions[task.task_id] if position not in answered]
        refused = sum(outcome.kind is OutcomeKind.REFUSED for outcome in answered.values())
        return Owed(self._deliveries[task.delivery_id], records, refused)

    async def settle(self, settlement: Settlement, circuit: CircuitPolicy = USUAL) -> Settled | None:
        """Write how an attempt ended; see `stores.Queue.settle`."""
        task = self._tasks.get(settlement.task_id)
        if task is None or task.state is not TaskState.LEASED or task.attempts != settlement.attempt:
            return None
        state = transition(task.state, settlement.signal)
        resting = self._rest(task.sink, state)
        free = settlement.signal in {Signal.RELEASED, Signal.HELD}
        before = self._sink(task.sink)
        rebased = self._rebase_hold(before, settlement.ended_at_ms)
        task = self._tasks[task.task_id]
        self._tasks[task.task_id] = replace(
            task,
            state=resting,
            next_attempt_at_ms=settlement.due_at_ms(state),
            lease_until_ms=None,
            updated_at_ms=settlement.ended_at_ms,
            error=settlement.error,
            tries=task.tries - free,
        )
        self._end_attempt(task, settlement.ended_at_ms, settlement.signal, settlement.error)
        for outcome in settlement.outcomes:
            self._answers.setdefault(task.task_id, []).append((settlement.attempt, outcome))
            self._current.setdefault(task.task_id, {})[outcome.position] = outcome
        self._finish_delivery(task.delivery_id)
        after = self._after(rebased, task.updated_at_ms, settlement, circuit)
        if after != before.circuit:
            self._sinks[task.sink] = replace(before, circuit=after)
        return Settled(resting, before.circuit, after)

    def _after(self, circuit: Circuit, began_ms: int, settlement: Settlement, policy: CircuitPolicy) -> Circuit:
        now_ms, reason = settlement.ended_at_ms, settlement.error or ""
        if settlement.signal is Signal.RELEASED:
            return circuit
        if settlement.signal is Signal.HELD:
            return after_hold(circuit, now_ms=now_ms, until_ms=settlement.next_attempt_at_ms or now_ms, reason=reason)
        if settlement.signal in {Signal.UNAVAILABLE, Signal.EXHAUSTED}:
            return after_failure(circuit, policy, began_ms=began_ms, now_ms=now_ms, reason=reason)
        return after_success(circuit, began_ms=began_ms)

    def _rebase_hold(self, state: SinkState, now_ms: int) -> Circuit:
        since_ms = state.circuit.held_since_ms
        if since_ms is None:
            return state.circuit
        for task in self._tasks.values():
            if task.sink == state.sink and task.state in {*DUE, TaskState.LEASED}:
                held_ms = max(now_ms - max(task.owed_at_ms, since_ms), 0)
                self._tasks[task.task_id] = replace(task, owed_at_ms=task.owed_at_ms + held_ms)
        return replace(state.circuit, held_since_ms=now_ms)

    async def recover(self, *, now_ms: int) -> int:
        """Give back every lease; see `stores.Queue.recover`."""
        return self._expire_leases(None, before_ms=None, at_ms=now_ms)

    def _expire_leases(self, sink: str | None, *, before_ms: int | None, at_ms: int) -> int:
        expired = [
            task
            for task in self._tasks.values()
            if task.state is TaskState.LEASED
            and sink in {None, task.sink}
            and (before_ms is None or (task.lease_until_ms or 0) <= before_ms)
        ]
        for task in expired:
            self._tasks[task.task_id] = replace(
                task,
                state=self._rest(task.sink, transition(task.state, Signal.RELEASED)),
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

    async def next_due_ms(self, sink: str) -> int | None:
        """Return when the next task may be leased; see `stores.Queue.next_due_ms`."""
        tasks = [task for task in self._tasks.values() if task.sink == sink]
        leases = [task.lease_until_ms for task in tasks if task.state is TaskState.LEASED]
        opens_ms = self._sink(sink).circuit.open_until_ms or 0
        due = [
            max(task.next_attempt_at_ms or 0, opens_ms)
            for task in tasks
            if task.state in DUE and not self._blocked(task)
        ]
        return min([*due, *(moment for moment in leases if moment is not None)], default=None)

    async def unfinished(self) -> int:
        """Return how many deliveries are not finished; see `stores.Queue.unfinished`."""
        open_states = {DeliveryState.ACCEPTED, DeliveryState.PROCESSING}
        return sum(delivery.state in open_states for delivery in self._deliveries.values())

    # -- Memories

    async def recall(self, sink: str, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return what a sink remembers; see `stores.Memories.recall`."""
        return {key: json.loads(self._memories[sink, key]) for key in keys if (sink, key) in self._memories}

    async def remember(self, sink: str, documents: Mapping[str, Any]) -> None:
        """Keep what a sink remembers; see `stores.Memories.remember`."""
        self._memories.update({(sink, key): json.dumps(document) for key, document in documents.items()})
