"""The writes, as functions of an open database; each runs inside the writer's transaction.

Each gives the same result when it is run twice on the same state, because the writer runs a batch
again when a neighbour fails.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlite_utils import Database

from stibgate.domain.delivery import Admission, Delivery, DeliveryState
from stibgate.domain.record import Record, lookup_hash
from stibgate.domain.task import FINAL, Outcome, Settlement, Signal, Task, TaskState, transition
from stibgate.stores import Processed
from stibgate.stores.rows import TASK_COLUMNS, detail_of, task_of

_INSERT_KEY = "INSERT INTO idempotency_keys (key, delivery_id, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_INSERT_DELIVERY = """
INSERT INTO deliveries (delivery_id, source, state, reason, event_type, received_at, body_sha256, body_bytes, records,
  job_id, search_id, partner_customer_id, partner_user_id, authenticated_by, stale, evidence, via, repeat_of)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FIRST = """
SELECT k.delivery_id, k.expires_at, d.body_sha256, d.received_at, d.records
FROM idempotency_keys k LEFT JOIN deliveries d ON d.delivery_id = k.delivery_id WHERE k.key = ?
"""


def admit(db: Database, delivery: Delivery, *, only_if_new: bool) -> Admission:
    """Store *delivery*, or count it as a duplicate of the one that has its key."""
    key = delivery.key
    if db.execute(_INSERT_KEY, (key.value, delivery.delivery_id, key.expires_at_ms)).rowcount == 1:
        _insert(db, delivery, repeat_of=None)
        return Admission(delivery.delivery_id, records=delivery.records)
    first_id, expires_at, first_sha256, first_seen_at, records = db.execute(_FIRST, (key.value,)).fetchone()
    if expires_at <= delivery.received_at_ms and not only_if_new:
        db.execute(
            "UPDATE idempotency_keys SET delivery_id = ?, expires_at = ? WHERE key = ?",
            (delivery.delivery_id, key.expires_at_ms, key.value),
        )
        _insert(db, delivery, repeat_of=first_id)
        return Admission(delivery.delivery_id, repeat_of=first_id, records=delivery.records)
    conflict = first_sha256 is not None and first_sha256 != delivery.body_sha256
    if not only_if_new:
        _sight(db, first_id, delivery, conflict=conflict)
    return Admission(first_id, duplicate=True, conflict=conflict, first_seen_at_ms=first_seen_at, records=records or 0)


def _insert(db: Database, delivery: Delivery, *, repeat_of: str | None) -> None:
    cursor = db.execute(
        _INSERT_DELIVERY,
        (
            delivery.delivery_id, delivery.source, delivery.state, delivery.reason, delivery.event_type,
            delivery.received_at_ms, delivery.body_sha256, len(delivery.body), delivery.records, delivery.job_id,
            delivery.search_id, delivery.partner_customer_id, delivery.partner_user_id, delivery.authenticated_by,
            delivery.stale, json.dumps(delivery.evidence) if delivery.evidence else "{}", delivery.via, repeat_of,
        ),
    )  # fmt: skip
    db.execute("INSERT INTO bodies (sequence, body) VALUES (?, ?)", (cursor.lastrowid, delivery.body))


def _sight(db: Database, first_id: str, delivery: Delivery, *, conflict: bool) -> None:
    db.execute(
        "INSERT INTO sightings (delivery_id, seen_at, body_sha256, conflict) VALUES (?, ?, ?, ?)",
        (first_id, delivery.received_at_ms, delivery.body_sha256, conflict),
    )
    db.execute(
        "UPDATE deliveries SET duplicates = duplicates + 1, conflicts = conflicts + ? WHERE delivery_id = ?",
        (conflict, first_id),
    )
    if conflict:
        db.execute(
            "INSERT INTO conflict_bodies (delivery_id, body_sha256, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (first_id, delivery.body_sha256, delivery.body),
        )


def pin(db: Database, source: str, scheme: Mapping[str, Any]) -> Mapping[str, Any]:
    """Pin *scheme* unless *source* has one; return the one that is pinned."""
    db.execute("INSERT INTO pins (source, scheme) VALUES (?, ?) ON CONFLICT DO NOTHING", (source, json.dumps(scheme)))
    (pinned,) = db.execute("SELECT scheme FROM pins WHERE source = ?", (source,)).fetchone()
    document: Mapping[str, Any] = json.loads(pinned)
    return document


def unpin(db: Database, source: str) -> bool:
    """Forget the scheme that was pinned for *source*; return whether there was one."""
    return db.execute("DELETE FROM pins WHERE source = ?", (source,)).rowcount == 1


def store_records(db: Database, delivery_id: str, records: Sequence[Record], *, hash_key: bytes) -> None:
    """Store normalised records and the hashes under which their people are found, while *delivery_id* is accepted.

    What an earlier run stored before it was cut short is replaced; what is processed is never touched.
    """
    if not db.execute(
        "SELECT 1 FROM deliveries WHERE delivery_id = ? AND state = 'accepted'", (delivery_id,)
    ).fetchone():
        return
    db.conn.executemany(
        "INSERT INTO records (delivery_id, position, document) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET document = excluded.document",
        [(delivery_id, r.position, json.dumps(r.to_document(), ensure_ascii=False)) for r in records],
    )
    db.conn.executemany(
        "INSERT INTO persons (hash, delivery_id, position) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [
            (lookup_hash(hash_key, kind, value), delivery_id, record.position)
            for record in records
            for kind, value in record.identifiers()
        ],
    )


def finish_processing(db: Database, processed: Processed) -> None:
    """Enqueue the tasks and move the delivery on, unless that was done before."""
    changed = db.execute(
        "UPDATE deliveries SET state = ?, reason = ?, processed_at = ?, issues = ?, records = max(records, ?)"
        " WHERE delivery_id = ? AND state = 'accepted'",
        (
            processed.state, processed.reason, processed.processed_at_ms,
            sum(len(record.issues) for record in processed.records), len(processed.records), processed.delivery_id,
        ),
    ).rowcount  # fmt: skip
    if not changed:
        return
    at_ms = processed.processed_at_ms
    db.conn.executemany(
        "INSERT INTO tasks (task_id, delivery_id, sink, state, next_attempt_at, created_at, updated_at)"
        " VALUES (?, ?, ?, 'queued', ?, ?, ?) ON CONFLICT (delivery_id, sink) DO NOTHING",
        [
            (task_id, processed.delivery_id, sink, at_ms + processed.delays_ms.get(sink, 0), at_ms, at_ms)
            for task_id, sink in processed.tasks
        ],
    )


def claim(db: Database, *, now_ms: int, lease_ms: int, free: Mapping[str, int]) -> list[Task]:
    """Lease due tasks, oldest first, at most `free[sink]` a sink; begin an attempt for each."""
    _expire_leases(db, before_ms=now_ms, at_ms=now_ms)
    claimed = []
    for sink, count in free.items():
        rows = db.execute(
            f"SELECT {TASK_COLUMNS} FROM tasks WHERE sink = ? AND state IN ('queued', 'waiting')"
            " AND next_attempt_at <= ? ORDER BY next_attempt_at, sequence LIMIT ?",
            (sink, now_ms, max(count, 0)),  # to SQLite a negative limit is none
        ).fetchall()
        claimed += [_lease(db, task_of(row), now_ms=now_ms, lease_ms=lease_ms) for row in rows]
    return claimed


def _lease(db: Database, task: Task, *, now_ms: int, lease_ms: int) -> Task:
    state = transition(task.state, Signal.CLAIMED)
    attempt = task.attempts + 1
    db.execute(
        "UPDATE tasks SET state = ?, attempts = ?, lease_until = ?, next_attempt_at = NULL, updated_at = ?"
        " WHERE task_id = ?",
        (state, attempt, now_ms + lease_ms, now_ms, task.task_id),
    )
    db.execute("INSERT INTO attempts (task_id, number, started_at) VALUES (?, ?, ?)", (task.task_id, attempt, now_ms))
    return Task(
        task.task_id,
        task.delivery_id,
        task.sink,
        state,
        attempt,
        None,
        now_ms + lease_ms,
        task.created_at_ms,
        now_ms,
        task.error,
    )


def recover(db: Database, *, now_ms: int) -> int:
    """Give back every lease, whoever holds it; return how many there were."""
    return _expire_leases(db, before_ms=None, at_ms=now_ms)


def _expire_leases(db: Database, *, before_ms: int | None, at_ms: int) -> int:
    """Queue leased tasks again; nobody saw their attempts end, so those keep no signal but the release."""
    where = "state = 'leased'" if before_ms is None else "state = 'leased' AND lease_until <= ?"
    rows = db.execute(
        f"SELECT task_id, attempts FROM tasks WHERE {where}",
        () if before_ms is None else (before_ms,),
    ).fetchall()
    state = transition(TaskState.LEASED, Signal.RELEASED)
    for task_id, attempt in rows:
        db.execute(
            "UPDATE tasks SET state = ?, next_attempt_at = ?, lease_until = NULL, updated_at = ? WHERE task_id = ?",
            (state, at_ms, at_ms, task_id),
        )
        db.execute(
            "UPDATE attempts SET ended_at = ?, signal = ?, error = ? WHERE task_id = ? AND number = ?",
            (at_ms, Signal.RELEASED, "the worker went away before the end was known", task_id, attempt),
        )
    return len(rows)


def settle(db: Database, settlement: Settlement) -> bool:
    """Write how an attempt ended; return False when it is not the current lease any more."""
    task = _leased(db, settlement)
    if task is None:
        return False
    state = transition(task.state, settlement.signal)
    db.execute(
        "UPDATE tasks SET state = ?, next_attempt_at = ?, lease_until = NULL, updated_at = ?, error = ?"
        " WHERE task_id = ?",
        (state, settlement.due_at_ms(state), settlement.ended_at_ms, settlement.error, task.task_id),
    )
    db.execute(
        "UPDATE attempts SET ended_at = ?, signal = ?, error = ? WHERE task_id = ? AND number = ?",
        (settlement.ended_at_ms, settlement.signal, settlement.error, task.task_id, settlement.attempt),
    )
    store_outcomes(db, task.task_id, settlement.outcomes)
    if state in FINAL:
        _finish_delivery(db, task.delivery_id)
    return True


def _leased(db: Database, settlement: Settlement) -> Task | None:
    """Return the task while the settlement's attempt still is its lease."""
    row = db.execute(f"SELECT {TASK_COLUMNS} FROM tasks WHERE task_id = ?", (settlement.task_id,)).fetchone()
    task = None if row is None else task_of(row)
    if task is None or task.state is not TaskState.LEASED or task.attempts != settlement.attempt:
        return None
    return task


def store_leased_outcomes(db: Database, settlement: Settlement, outcomes: Sequence[Outcome]) -> None:
    """Write part of a large settlement's outcomes ahead of it, while the lease still holds."""
    task = _leased(db, settlement)
    if task is not None:
        transition(task.state, settlement.signal)  # an illegal signal changes nothing, not even in part
        store_outcomes(db, settlement.task_id, outcomes)


def store_outcomes(db: Database, task_id: str, outcomes: Sequence[Outcome]) -> None:
    """Write what became of each record; a later word replaces an earlier one."""
    db.conn.executemany(
        "INSERT INTO outcomes (task_id, position, kind, detail) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET kind = excluded.kind, detail = excluded.detail",
        [(task_id, outcome.position, outcome.kind, detail_of(outcome)) for outcome in outcomes],
    )


def _finish_delivery(db: Database, delivery_id: str) -> None:
    final = ", ".join(f"'{state}'" for state in FINAL)
    db.execute(
        f"UPDATE deliveries SET state = ? WHERE delivery_id = ? AND state = ? AND NOT EXISTS"
        f" (SELECT 1 FROM tasks WHERE delivery_id = ? AND state NOT IN ({final}))",
        (DeliveryState.DONE, delivery_id, DeliveryState.PROCESSING, delivery_id),
    )
