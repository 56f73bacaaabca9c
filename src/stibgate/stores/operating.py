"""The writes of operators: replay, cancel, pause, resume; and what sinks remember. Inside the writer's transaction."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlite_utils import Database

from stibgate.domain.circuit import asked_again
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.record import Record
from stibgate.domain.task import Signal, Task, TaskState, transition
from stibgate.stores import NewTask, Replay, ReplayResult, Step
from stibgate.stores.rows import TASK_COLUMNS, positions_of, positions_text, task_of
from stibgate.stores.scheduling import DONE_SQL, close_circuit, finish, rebase_hold, sink_state, write_sink
from stibgate.stores.statements import enqueue, name_persons, resting_state

_TAKEN = frozenset({TaskState.DELIVERED, TaskState.PARTIAL})


def replay(db: Database, steps: Sequence[Step], replay: Replay, *, hash_key: bytes) -> Sequence[ReplayResult]:
    """Send again what each of *steps* says; return what became of each."""
    return [_step(db, step, replay, hash_key=hash_key) for step in steps]


def _step(db: Database, step: Step, replay: Replay, *, hash_key: bytes) -> ReplayResult:
    if step.verdict is not ReplayResult.REPLAYED:
        return step.verdict
    if step.task_id is not None:
        return replay_task(db, step.task_id, replay, step.positions, hash_key=hash_key)
    if step.new is not None:
        added = add_tasks(db, step.delivery_id, [step.new], replay, hash_key=hash_key)
        return ReplayResult.REPLAYED if added else ReplayResult.ON_THE_WAY
    return replay_delivery(db, step.delivery_id, replay)


def replay_task(
    db: Database, task_id: str, replay: Replay, positions: Sequence[int], *, hash_key: bytes
) -> ReplayResult:
    """Make a task due again with what is not done of it, and with *positions* that it never owed."""
    row = db.execute(f"SELECT sequence, positions, {TASK_COLUMNS} FROM tasks WHERE task_id = ?", (task_id,)).fetchone()
    if row is None:
        return ReplayResult.UNKNOWN
    sequence, text, *columns = row
    task = task_of(columns)
    (of,) = db.execute("SELECT records FROM deliveries WHERE delivery_id = ?", (task.delivery_id,)).fetchone()
    if not task.replayable:
        return ReplayResult.ON_THE_WAY
    owed = sorted({*positions_of(text, of), *positions})
    pending = _pending(db, task_id, owed, forced=replay.forced)
    if not pending:
        return ReplayResult.NOTHING_LEFT
    db.execute(
        "UPDATE outcomes SET current = 0 WHERE task_id = ?"
        + ("" if replay.forced else f" AND kind NOT IN ({DONE_SQL})"),
        (task_id,),
    )
    _queue_again(db, task, sequence, replay, records=len(owed), positions=positions_text(owed, of=of))
    state = sink_state(db, task.sink)
    if not state.circuit.closed:
        write_sink(db, replace(state, circuit=asked_again(state.circuit, now_ms=replay.at_ms)))
    records = _records(db, task.delivery_id, pending)
    name_persons(db, task.sink, sequence, records, hash_key=hash_key)
    _note(db, task.delivery_id, task_id, replay, state=task.state, records=len(pending))
    return ReplayResult.REPLAYED


def _pending(db: Database, task_id: str, owed: Sequence[int], *, forced: bool) -> Sequence[int]:
    """Return which of the *owed* records a replay makes due."""
    if forced:
        return owed
    rows = db.execute(
        f"SELECT position FROM outcomes WHERE task_id = ? AND current AND kind IN ({DONE_SQL})", (task_id,)
    ).fetchall()
    done = {position for (position,) in rows}
    return [position for position in owed if position not in done]


def _queue_again(
    db: Database, task: Task, sequence: int, replay: Replay, *, records: int, positions: str | None
) -> None:
    state = resting_state(db, task.sink, transition(task.state, Signal.REPLAYED))
    db.execute(
        "UPDATE tasks SET state = ?, next_attempt_at = ?, updated_at = ?, owed_at = ?, tries = 0, resend = ?,"
        " forced = ?, records = ?, positions = ?, blocked_by = NULL WHERE sequence = ?",
        (
            state, replay.at_ms, replay.at_ms, replay.at_ms, task.resend + (task.state in _TAKEN), replay.forced,
            records, positions, sequence,
        ),
    )  # fmt: skip
    db.execute(
        "UPDATE deliveries SET state = ? WHERE delivery_id = ? AND state = ?",
        (DeliveryState.PROCESSING, task.delivery_id, DeliveryState.DONE),
    )


def replay_delivery(db: Database, delivery_id: str, replay: Replay) -> ReplayResult:
    """Have a delivery that was not understood or not routed processed again from its body."""
    row = db.execute("SELECT state, records FROM deliveries WHERE delivery_id = ?", (delivery_id,)).fetchone()
    if row is None:
        return ReplayResult.UNKNOWN
    state, records = row
    if state not in {DeliveryState.QUARANTINED, DeliveryState.IGNORED}:
        return ReplayResult.ON_THE_WAY if state == DeliveryState.ACCEPTED else ReplayResult.NOTHING_LEFT
    db.execute(
        "UPDATE deliveries SET state = ?, reason = NULL, processed_at = NULL WHERE delivery_id = ?",
        (DeliveryState.ACCEPTED, delivery_id),
    )
    if state == DeliveryState.QUARANTINED:
        db.execute("DELETE FROM results WHERE delivery_id = ?", (delivery_id,))
    _note(db, delivery_id, None, replay, state=state, records=records)
    return ReplayResult.REPLAYED


def add_tasks(db: Database, delivery_id: str, tasks: Sequence[NewTask], replay: Replay, *, hash_key: bytes) -> int:
    """Enqueue what a processed delivery does not have yet; return how many tasks that were."""
    row = db.execute("SELECT state, records FROM deliveries WHERE delivery_id = ?", (delivery_id,)).fetchone()
    if row is None or row[0] not in {DeliveryState.DONE, DeliveryState.PROCESSING}:
        return 0
    records = _records(db, delivery_id, range(row[1]))
    added = 0
    for task in tasks:
        if enqueue(db, task, delivery_id, records, at_ms=replay.at_ms, hash_key=hash_key):
            _note(db, delivery_id, task.task_id, replay, state="new", records=len(task.positions))
            added += 1
    if added:
        db.execute("UPDATE deliveries SET state = ? WHERE delivery_id = ?", (DeliveryState.PROCESSING, delivery_id))
    return added


def _records(db: Database, delivery_id: str, positions: Sequence[int]) -> list[Record]:
    wanted = set(positions)
    rows = db.execute("SELECT position, document FROM records WHERE delivery_id = ?", (delivery_id,)).fetchall()
    return [Record.from_document(json.loads(document)) for position, document in rows if position in wanted]


def _note(db: Database, delivery_id: str, task_id: str | None, replay: Replay, *, state: str, records: int) -> None:
    db.execute(
        "INSERT INTO replays (delivery_id, task_id, at, by, forced, state, records) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (delivery_id, task_id, replay.at_ms, replay.by, replay.forced, state, records),
    )


def cancel(db: Database, task_ids: Sequence[str], *, now_ms: int, by: str) -> Sequence[str]:
    """End tasks that are not under way; return those that were ended."""
    return [task_id for task_id in task_ids if _cancel(db, task_id, now_ms=now_ms, by=by)]


def _cancel(db: Database, task_id: str, *, now_ms: int, by: str) -> bool:
    row = db.execute(f"SELECT sequence, {TASK_COLUMNS} FROM tasks WHERE task_id = ?", (task_id,)).fetchone()
    if row is None:
        return False
    sequence, *columns = row
    task = task_of(columns)
    if not task.cancellable:
        return False
    said = f"cancelled by {by}"
    db.execute(
        "UPDATE tasks SET state = ?, next_attempt_at = NULL, updated_at = ?, error = ? WHERE sequence = ?",
        (
            transition(task.state, Signal.CANCELLED), now_ms,
            f"{said}; the last error was: {task.error}" if task.error else said, sequence,
        ),
    )  # fmt: skip
    finish(db, task.delivery_id, sequence)
    return True


def pause(db: Database, sink: str, *, now_ms: int, by: str) -> bool:
    """Lease no more tasks of *sink*; return False when it was paused already."""
    state = sink_state(db, sink)
    if state.paused:
        return False
    circuit = rebase_hold(db, state, now_ms=now_ms)
    write_sink(db, replace(state, circuit=circuit, paused_at_ms=now_ms, paused_by=by))
    db.execute(
        "UPDATE tasks SET state = ?, updated_at = ? WHERE sink = ? AND state IN ('queued', 'waiting')",
        (TaskState.PAUSED, now_ms, sink),
    )
    return True


def resume(db: Database, sink: str, *, now_ms: int) -> bool:
    """Go on with *sink*, its breaker closed; return False when there was nothing to resume."""
    state = sink_state(db, sink)
    if not state.paused and state.circuit.closed:
        return False
    state = replace(close_circuit(db, state, now_ms=now_ms), paused_at_ms=None, paused_by=None)
    write_sink(db, state)
    db.execute(
        "UPDATE tasks SET state = ?, next_attempt_at = ?, owed_at = owed_at + (? - updated_at), updated_at = ?,"
        " blocked_by = NULL WHERE sink = ? AND state = 'paused'",
        (transition(TaskState.PAUSED, Signal.RESUMED), now_ms, now_ms, now_ms, sink),
    )
    return True


def reset(db: Database, sink: str, *, now_ms: int) -> bool:
    """Close the breaker of *sink*, and leave it paused if it is; return False when it was closed."""
    state = sink_state(db, sink)
    if state.circuit.closed:
        return False
    write_sink(db, close_circuit(db, state, now_ms=now_ms))
    return True


def remember(db: Database, sink: str, documents: Mapping[str, Any]) -> None:
    """Keep *documents* of *sink*."""
    db.conn.executemany(
        "INSERT INTO memories (sink, key, document) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET document = excluded.document",
        [(sink, key, json.dumps(document, separators=(",", ":"))) for key, document in documents.items()],
    )
