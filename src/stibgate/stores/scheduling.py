"""The writes of forwarding: leases, settlements, breakers; each inside the writer's transaction.

Order per person. `task_persons` names whom each open task is about. A task is leased only when no earlier open task
of its sink, and no leased one, has a person in common with it. One that has to wait is marked with the sequence of
the task it waits for, which takes it out of the index of due tasks; each settlement frees those that wait for it,
and they are looked at again. A task waits for the nearest one before it, so that a queue about one person is a
chain, and a settlement frees one task of it and not all.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlite_utils import Database

from stibgate.domain.backoff import Policy
from stibgate.domain.circuit import (
    Circuit,
    CircuitPolicy,
    CircuitState,
    SinkState,
    after_failure,
    after_hold,
    after_success,
    allowance,
    probing,
)
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import DONE, FINAL, Outcome, Settlement, Signal, Task, TaskState, transition
from stibgate.stores import Claim, Settled
from stibgate.stores.rows import SINK_COLUMNS, TASK_COLUMNS, detail_of, sink_of, task_of
from stibgate.stores.statements import resting_state

LOOKS_MAX = 500
"""Due tasks looked at in one transaction; a queue that waits behind one person must not hold up acknowledgements."""

FINAL_SQL = ", ".join(f"'{state}'" for state in sorted(FINAL))
DONE_SQL = ", ".join(f"'{kind}'" for kind in sorted(DONE))

_OF_DELIVERY = "SELECT 1 FROM tasks t WHERE t.delivery_id = deliveries.delivery_id"
_WHOLE = (
    f"(EXISTS ({_OF_DELIVERY} AND t.positions IS NULL) AND NOT EXISTS ({_OF_DELIVERY} AND (t.state <> 'delivered'"
    f" OR EXISTS (SELECT 1 FROM outcomes o WHERE o.task_id = t.task_id AND o.current AND o.kind NOT IN ({DONE_SQL})))))"
)
"""Whether every record is in a sink and in all that should have it; may be false where that takes counting to see."""

_BLOCKER = """
SELECT coalesce(
  (SELECT max((SELECT max(other.sequence) FROM task_persons other
    WHERE other.sink = mine.sink AND other.person = mine.person AND other.sequence < mine.sequence))
    FROM task_persons mine WHERE mine.sequence = ?1),
  (SELECT t.sequence FROM task_persons mine
    JOIN task_persons other ON other.sink = mine.sink AND other.person = mine.person AND other.sequence > mine.sequence
    JOIN tasks t ON t.sequence = other.sequence AND t.state = 'leased'
    WHERE mine.sequence = ?1 LIMIT 1))
"""
"""The nearest earlier open task with a person in common, else a later one that is leased (beside a replay)."""


def claim(db: Database, sink: str, policy: Policy, *, now_ms: int, limit: int) -> Claim:
    """Lease up to *limit* due tasks of *sink*, oldest first; begin an attempt for each."""
    expire_leases(db, sink, before_ms=now_ms, at_ms=now_ms)
    state = sink_state(db, sink)
    if state.paused:
        return Claim()
    limit = _allowed(db, state, policy, now_ms=now_ms, limit=limit)
    if limit <= 0:
        return Claim()
    if not state.circuit.closed:
        state = replace(state, circuit=probing(rebase_hold(db, state, now_ms=now_ms)))
        write_sink(db, state)
    leased: list[Task] = []
    given_up: list[Task] = []
    looks = LOOKS_MAX
    while looks and len(leased) < limit and (rows := _due(db, sink, now_ms=now_ms, limit=looks)):
        for sequence, *row in rows:
            if len(leased) == limit:
                break
            looks -= 1
            task = task_of(row)
            (blocker,) = db.execute(_BLOCKER, (sequence,)).fetchone()
            if blocker is not None:
                db.execute("UPDATE tasks SET blocked_by = ? WHERE sequence = ?", (blocker, sequence))
                continue
            reason = policy.exhausted(tries=task.tries, age_ms=now_ms - task.owed_at_ms)
            if reason is None:
                leased.append(_lease(db, task, now_ms=now_ms, lease_ms=round(policy.lease_s * 1000)))
                continue
            dead, freed = _give_up(db, task, sequence, reason=reason, at_ms=now_ms)
            given_up.append(dead)
            if freed:  # one of them may be older than what comes next
                break
    return Claim(leased, given_up, more=not looks and len(leased) < limit)


def _due(db: Database, sink: str, *, now_ms: int, limit: int) -> list[Any]:
    """Return the rows of due tasks that wait for no other, oldest first."""
    rows: list[Any] = db.execute(
        f"SELECT sequence, {TASK_COLUMNS} FROM tasks WHERE sink = ? AND state IN ('queued', 'waiting')"
        " AND blocked_by IS NULL AND next_attempt_at <= ? ORDER BY next_attempt_at, sequence LIMIT ?",
        (sink, now_ms, limit),
    ).fetchall()
    return rows


def _allowed(db: Database, state: SinkState, policy: Policy, *, now_ms: int, limit: int) -> int:
    if state.circuit.closed:
        return limit
    (running,) = db.execute("SELECT count(*) FROM tasks WHERE sink = ? AND state = 'leased'", (state.sink,)).fetchone()
    allowed = allowance(state.circuit, policy.circuit, now_ms=now_ms, running=running)
    return limit if allowed is None else min(limit, allowed)


def _lease(db: Database, task: Task, *, now_ms: int, lease_ms: int) -> Task:
    leased = replace(
        task,
        state=transition(task.state, Signal.CLAIMED),
        attempts=task.attempts + 1,
        tries=task.tries + 1,
        next_attempt_at_ms=None,
        lease_until_ms=now_ms + lease_ms,
        updated_at_ms=now_ms,
    )
    db.execute(
        "UPDATE tasks SET state = ?, attempts = ?, tries = ?, lease_until = ?, next_attempt_at = NULL, updated_at = ?"
        " WHERE task_id = ?",
        (leased.state, leased.attempts, leased.tries, leased.lease_until_ms, now_ms, task.task_id),
    )
    db.execute(
        "INSERT INTO attempts (task_id, number, started_at) VALUES (?, ?, ?)", (task.task_id, leased.attempts, now_ms)
    )
    return leased


def _give_up(db: Database, task: Task, sequence: int, *, reason: str, at_ms: int) -> tuple[Task, bool]:
    """End a task that may not be tried again, keeping what the sink said last; say whether others waited for it."""
    error = f"{reason}; the last error was: {task.error}" if task.error else reason
    dead = replace(
        task, state=transition(task.state, Signal.EXHAUSTED), next_attempt_at_ms=None, updated_at_ms=at_ms, error=error
    )
    db.execute(
        "UPDATE tasks SET state = ?, next_attempt_at = NULL, updated_at = ?, error = ? WHERE task_id = ?",
        (dead.state, at_ms, error, task.task_id),
    )
    freed = _leave(db, task, sequence, dead.state)
    return dead, freed


def recover(db: Database, *, now_ms: int) -> int:
    """Give back every lease, whoever holds it; return how many there were."""
    return expire_leases(db, None, before_ms=None, at_ms=now_ms)


def expire_leases(db: Database, sink: str | None, *, before_ms: int | None, at_ms: int) -> int:
    """Queue leased tasks again; nobody saw their attempts end, so those keep no signal but the release."""
    where, values = "state = 'leased'", []
    for condition, value in (("sink = ?", sink), ("lease_until <= ?", before_ms)):
        if value is not None:
            where += f" AND {condition}"
            values.append(value)
    rows = db.execute(f"SELECT sequence, task_id, sink, attempts FROM tasks WHERE {where}", values).fetchall()
    for sequence, task_id, held_by, attempt in rows:
        state = resting_state(db, held_by, transition(TaskState.LEASED, Signal.RELEASED))
        db.execute(
            "UPDATE tasks SET state = ?, next_attempt_at = ?, lease_until = NULL, updated_at = ? WHERE task_id = ?",
            (state, at_ms, at_ms, task_id),
        )
        _end_attempt(db, task_id, attempt, at_ms, Signal.RELEASED, "the worker went away before the end was known")
        _free_waiting(db, sequence)
    return len(rows)


def settle(db: Database, settlement: Settlement, circuit: CircuitPolicy) -> Settled | None:
    """Write how an attempt ended; return None when it is not the current lease any more."""
    held = _leased(db, settlement)
    if held is None:
        return None
    sequence, task = held
    state = transition(task.state, settlement.signal)
    resting = resting_state(db, task.sink, state)
    before = sink_state(db, task.sink)
    rebased = rebase_hold(db, before, now_ms=settlement.ended_at_ms)
    due_ms = settlement.due_at_ms(state)
    free = settlement.signal in _COSTS_NOTHING
    db.execute(
        "UPDATE tasks SET state = ?, next_attempt_at = ?, lease_until = NULL, updated_at = ?, error = ?, tries = ?"
        " WHERE sequence = ?",
        (
            resting, due_ms, settlement.ended_at_ms, settlement.error, task.tries - free, sequence,
        ),
    )  # fmt: skip
    _end_attempt(db, task.task_id, settlement.attempt, settlement.ended_at_ms, settlement.signal, settlement.error)
    store_outcomes(db, settlement, settlement.outcomes)
    _leave(db, task, sequence, state)
    after = _after(rebased, task, settlement, circuit)
    if after != before.circuit:
        write_sink(db, replace(before, circuit=after))
    return Settled(resting, before.circuit, after)


_COSTS_NOTHING = frozenset({Signal.RELEASED, Signal.HELD})


def _after(circuit: Circuit, leased: Task, settlement: Settlement, policy: CircuitPolicy) -> Circuit:
    """Return the breaker once an attempt of the task *leased* has ended so."""
    now_ms, reason = settlement.ended_at_ms, settlement.error or ""
    match settlement.signal:
        case Signal.HELD:
            until_ms = now_ms if settlement.next_attempt_at_ms is None else settlement.next_attempt_at_ms
            return after_hold(circuit, now_ms=now_ms, until_ms=until_ms, reason=reason)
        case Signal.UNAVAILABLE | Signal.EXHAUSTED:
            return after_failure(circuit, policy, began_ms=leased.updated_at_ms, now_ms=now_ms, reason=reason)
        case Signal.RELEASED:
            return circuit
        case _:
            return after_success(circuit, began_ms=leased.updated_at_ms)


def _leased(db: Database, settlement: Settlement) -> tuple[int, Task] | None:
    """Return the task while the settlement's attempt still is its lease."""
    row = db.execute(f"SELECT sequence, {TASK_COLUMNS} FROM tasks WHERE task_id = ?", (settlement.task_id,)).fetchone()
    if row is None:
        return None
    task = task_of(row[1:])
    if task.state is not TaskState.LEASED or task.attempts != settlement.attempt:
        return None
    return row[0], task


def store_leased_outcomes(db: Database, settlement: Settlement, outcomes: Sequence[Outcome]) -> None:
    """Write part of a large settlement's outcomes ahead of it, while the lease still holds."""
    held = _leased(db, settlement)
    if held is not None:
        transition(held[1].state, settlement.signal)  # an illegal signal changes nothing, not even in part
        store_outcomes(db, settlement, outcomes)


def store_outcomes(db: Database, settlement: Settlement, outcomes: Sequence[Outcome]) -> None:
    """Write what became of each record in this attempt; what an earlier one said is history then."""
    task_id, attempt = settlement.task_id, settlement.attempt
    if attempt > 1:
        db.conn.executemany(
            "UPDATE outcomes SET current = 0 WHERE task_id = ? AND position = ? AND attempt < ?",
            [(task_id, outcome.position, attempt) for outcome in outcomes],
        )
    db.conn.executemany(
        "INSERT INTO outcomes (task_id, position, attempt, current, kind, detail) VALUES (?, ?, ?, 1, ?, ?)"
        " ON CONFLICT DO UPDATE SET kind = excluded.kind, detail = excluded.detail, current = 1",
        [(task_id, outcome.position, attempt, outcome.kind, detail_of(outcome)) for outcome in outcomes],
    )


def sink_state(db: Database, sink: str) -> SinkState:
    """Return what is known of *sink*."""
    row = db.execute(f"SELECT {SINK_COLUMNS} FROM sinks WHERE sink = ?", (sink,)).fetchone()
    return SinkState(sink) if row is None else sink_of(row)


def write_sink(db: Database, state: SinkState) -> None:
    """Keep *state* of its sink."""
    circuit = state.circuit
    db.execute(
        f"INSERT OR REPLACE INTO sinks ({SINK_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            state.sink, circuit.state, circuit.failures, circuit.open_until_ms, circuit.open_for_ms,
            circuit.held_since_ms, circuit.reason, state.paused_at_ms, state.paused_by,
        ),
    )  # fmt: skip


def rebase_hold(db: Database, state: SinkState, *, now_ms: int) -> Circuit:
    """Take the time since the sink was held out of the age of its tasks; return the breaker, held from now on.

    The time of those that are paused stands still by itself until they are resumed.
    """
    since_ms = state.circuit.held_since_ms
    if since_ms is None:
        return state.circuit
    db.execute(
        "UPDATE tasks SET owed_at = owed_at + max(? - max(owed_at, ?), 0)"
        " WHERE sink = ? AND state IN ('queued', 'waiting', 'leased')",
        (now_ms, since_ms, state.sink),
    )
    return replace(state.circuit, held_since_ms=now_ms)


def close_circuit(db: Database, state: SinkState, *, now_ms: int) -> SinkState:
    """Return *state* with its breaker closed by hand, and its tasks as young as they were when it was held."""
    rebase_hold(db, state, now_ms=now_ms)
    return replace(state, circuit=Circuit(CircuitState.CLOSED))


def _end_attempt(db: Database, task_id: str, attempt: int, at_ms: int, signal: Signal, error: str | None) -> None:
    db.execute(
        "UPDATE attempts SET ended_at = ?, signal = ?, error = ? WHERE task_id = ? AND number = ?",
        (at_ms, signal, error, task_id, attempt),
    )


def _leave(db: Database, task: Task, sequence: int, state: TaskState) -> bool:
    """Free those that waited for a task that is leased no more; once it is final, its persons and its delivery too.

    Returns:
        Whether any waited.
    """
    freed = _free_waiting(db, sequence)
    if state in FINAL:
        finish(db, task.delivery_id, sequence)
    return freed


def _free_waiting(db: Database, sequence: int) -> bool:
    return db.execute("UPDATE tasks SET blocked_by = NULL WHERE blocked_by = ?", (sequence,)).rowcount > 0


def finish(db: Database, delivery_id: str, sequence: int) -> None:
    """Write that the task *sequence* is final: it holds up nobody, and its delivery is done with the last one."""
    _free_waiting(db, sequence)
    db.execute("UPDATE tasks SET blocked_by = NULL WHERE sequence = ?", (sequence,))
    db.execute("DELETE FROM task_persons WHERE sequence = ?", (sequence,))
    db.execute(
        f"UPDATE deliveries SET state = ?, whole = {_WHOLE} WHERE delivery_id = ? AND state = ? AND NOT EXISTS"
        f" (SELECT 1 FROM tasks t WHERE t.delivery_id = deliveries.delivery_id AND t.state NOT IN ({FINAL_SQL}))",
        (DeliveryState.DONE, delivery_id, DeliveryState.PROCESSING),
    )
