"""What operators do, in the store in memory."""

from collections.abc import Sequence
from dataclasses import replace

from stibgate.domain.circuit import CLOSED, SinkState, asked_again
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import Signal, TaskState, transition
from stibgate.stores import NewTask, Replay, ReplayNote, ReplayResult
from stibgate.stores.memory_tasks import DUE, MemoryTasks


class MemoryDesk(MemoryTasks):
    """What `Desk` does, over dictionaries, and all that `MemoryTasks` has; `MemoryReplays` notes it."""

    def __init__(self) -> None:
        super().__init__()
        self._replays: list[ReplayNote] = []

    def _replay_task(self, task_id: str, replay: Replay, positions: Sequence[int] = ()) -> ReplayResult:
        task = self._tasks.get(task_id)
        if task is None:
            return ReplayResult.UNKNOWN
        if not task.replayable:
            return ReplayResult.ON_THE_WAY
        owed = sorted({*self._positions[task_id], *positions})
        current = self._current.setdefault(task_id, {})
        done = set() if replay.forced else {p for p, outcome in current.items() if outcome.kind.done}
        pending = [position for position in owed if position not in done]
        if not pending:
            return ReplayResult.NOTHING_LEFT
        self._current[task_id] = {p: outcome for p, outcome in current.items() if p in done}
        self._positions[task_id] = owed
        if task.state.final:
            self._persons[task_id] = set()
        self._hold(task_id, task.delivery_id, pending)
        self._tasks[task_id] = replace(
            task,
            state=self._rest(task.sink, transition(task.state, Signal.REPLAYED)),
            next_attempt_at_ms=replay.at_ms,
            updated_at_ms=replay.at_ms,
            owed_at_ms=replay.at_ms,
            tries=0,
            resend=task.resend + (task.state in {TaskState.DELIVERED, TaskState.PARTIAL}),
            forced=replay.forced,
            records=len(owed),
        )
        sink = self._sink(task.sink)
        if not sink.circuit.closed:
            self._sinks[task.sink] = replace(sink, circuit=asked_again(sink.circuit, now_ms=replay.at_ms))
        self._reopen(task.delivery_id)
        self._note(task.delivery_id, task_id, replay, task.state, len(pending))
        return ReplayResult.REPLAYED

    def _reopen(self, delivery_id: str) -> None:
        delivery = self._deliveries[delivery_id]
        if delivery.state is DeliveryState.DONE:
            self._deliveries[delivery_id] = replace(delivery, state=DeliveryState.PROCESSING)

    def _note(self, delivery_id: str, task_id: str | None, replay: Replay, state: str, records: int) -> None:
        note = ReplayNote(delivery_id, task_id, replay.at_ms, replay.by, replay.forced, str(state), records)
        self._replays.append(note)

    def _replay_delivery(self, delivery_id: str, replay: Replay) -> ReplayResult:
        delivery = self._deliveries.get(delivery_id)
        if delivery is None:
            return ReplayResult.UNKNOWN
        if delivery.state is DeliveryState.ACCEPTED:
            return ReplayResult.ON_THE_WAY
        if delivery.state not in {DeliveryState.QUARANTINED, DeliveryState.IGNORED}:
            return ReplayResult.NOTHING_LEFT
        self._deliveries[delivery_id] = replace(
            delivery, state=DeliveryState.ACCEPTED, reason=None, processed_at_ms=None
        )
        self._note(delivery_id, None, replay, delivery.state, delivery.records)
        return ReplayResult.REPLAYED

    def _add_tasks(self, delivery_id: str, tasks: Sequence[NewTask], replay: Replay) -> int:
        delivery = self._deliveries.get(delivery_id)
        if delivery is None or delivery.state not in {DeliveryState.DONE, DeliveryState.PROCESSING}:
            return 0
        added = [new for new in tasks if self._enqueue(delivery_id, new, replay.at_ms)]
        for new in added:
            self._reopen(delivery_id)
            self._note(delivery_id, new.task_id, replay, "new", len(new.positions))
        return len(added)

    def _cancel(self, task_id: str, *, now_ms: int, by: str) -> bool:
        task = self._tasks.get(task_id)
        if task is None or task.state not in {*DUE, TaskState.PAUSED, TaskState.DEAD}:
            return False
        said = f"cancelled by {by}"
        self._tasks[task_id] = replace(
            task,
            state=transition(task.state, Signal.CANCELLED),
            next_attempt_at_ms=None,
            updated_at_ms=now_ms,
            error=f"{said}; the last error was: {task.error}" if task.error else said,
        )
        self._finish_delivery(task.delivery_id)
        return True

    def _pause(self, sink: str, *, now_ms: int, by: str) -> bool:
        state = self._sink(sink)
        if state.paused:
            return False
        circuit = self._rebase_hold(state, now_ms)
        self._sinks[sink] = replace(state, circuit=circuit, paused_at_ms=now_ms, paused_by=by)
        for task in self._tasks.values():
            if task.sink == sink and task.state in DUE:
                self._tasks[task.task_id] = replace(task, state=TaskState.PAUSED, updated_at_ms=now_ms)
        return True

    def _resume(self, sink: str, *, now_ms: int) -> bool:
        state = self._sink(sink)
        if not state.paused and state.circuit.closed:
            return False
        self._rebase_hold(state, now_ms)
        self._sinks[sink] = SinkState(sink, CLOSED)
        for task in self._tasks.values():
            if task.sink == sink and task.state is TaskState.PAUSED:
                self._tasks[task.task_id] = replace(
                    task,
                    state=transition(task.state, Signal.RESUMED),
                    next_attempt_at_ms=now_ms,
                    owed_at_ms=task.owed_at_ms + now_ms - task.updated_at_ms,
                    updated_at_ms=now_ms,
                )
        return True

    def _reset(self, sink: str, *, now_ms: int) -> bool:
        state = self._sink(sink)
        if state.circuit.closed:
            return False
        self._rebase_hold(state, now_ms)
        self._sinks[sink] = replace(state, circuit=CLOSED)
        return True
