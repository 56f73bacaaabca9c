"""The writes of admission and processing, as functions of an open database, inside the writer's transaction.

Each gives the same result when it is run twice on the same state, because the writer runs a batch
again when a neighbour fails.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from sqlite_utils import Database

from stibgate.domain.delivery import Admission, Delivery, DeliveryState
from stibgate.domain.event import QuarantineReason
from stibgate.domain.record import Record, lookup_hash
from stibgate.domain.task import Signal, TaskState, transition
from stibgate.stores import NewTask, Processed, jobs
from stibgate.stores.rows import Row, positions_text

_INSERT_KEY = "INSERT INTO idempotency_keys (key, delivery_id, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_TAKE_KEY = "UPDATE idempotency_keys SET delivery_id = ?, expires_at = ? WHERE key = ?"
_INSERT_DELIVERY = """
INSERT INTO deliveries (delivery_id, source, state, reason, event_type, received_at, body_sha256, body_bytes, records,
  job_id, search_id, partner_customer_id, partner_user_id, authenticated_by, stale, evidence, via, repeat_of, billed,
  trace)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FIRST = """
SELECT k.delivery_id, k.expires_at, d.body_sha256, d.received_at, d.records, d.via
FROM idempotency_keys k LEFT JOIN deliveries d ON d.delivery_id = k.delivery_id WHERE k.key = ?
"""


def admit(db: Database, delivery: Delivery, *, only_if_new: bool) -> Admission:
    """Store *delivery*, or count it as a duplicate of the one that has its key."""
    if delivery.other_keys:
        return _admit_by_any(db, delivery, only_if_new=only_if_new)
    key = delivery.key
    if db.execute(_INSERT_KEY, (key.value, delivery.delivery_id, key.expires_at_ms)).rowcount == 1:
        return _insert(db, delivery, repeat_of=None)
    first = db.execute(_FIRST, (key.value,)).fetchone()
    if first[1] <= delivery.received_at_ms and not only_if_new:
        db.execute(_TAKE_KEY, (delivery.delivery_id, key.expires_at_ms, key.value))
        return _insert(db, delivery, repeat_of=first[0])
    return _repeat(db, first, delivery, only_if_new=only_if_new)


def _admit_by_any(db: Database, delivery: Delivery, *, only_if_new: bool) -> Admission:
    """Store *delivery* under all of its keys, or count it as a duplicate of a holder, its own key's first."""
    keys = (delivery.key, *delivery.other_keys)
    holders = [db.execute(_FIRST, (key.value,)).fetchone() for key in keys]
    for first in holders:
        if first is not None and (only_if_new or first[1] > delivery.received_at_ms):
            return _repeat(db, first, delivery, only_if_new=only_if_new)
    for key, expired in zip(keys, holders, strict=True):
        if expired is None:
            db.execute(_INSERT_KEY, (key.value, delivery.delivery_id, key.expires_at_ms))
        else:
            db.execute(_TAKE_KEY, (delivery.delivery_id, key.expires_at_ms, key.value))
    return _insert(db, delivery, repeat_of=holders[0][0] if holders[0] else None)


def _repeat(db: Database, first: Row, delivery: Delivery, *, only_if_new: bool) -> Admission:
    first_id, _, first_sha256, first_seen_at, records, first_via = first
    conflict = first_via == delivery.via and first_sha256 != delivery.body_sha256
    if not only_if_new:
        _sight(db, first_id, delivery, conflict=conflict)
    return Admission(first_id, duplicate=True, conflict=conflict, first_seen_at_ms=first_seen_at, records=records or 0)


def _insert(db: Database, delivery: Delivery, *, repeat_of: str | None) -> Admission:
    state, reason = delivery.state, delivery.reason
    unknown = delivery.known_job and state is DeliveryState.ACCEPTED and not _knows_job(db, delivery.job_id)
    if unknown:
        state, reason = DeliveryState.QUARANTINED, QuarantineReason.JOB_UNKNOWN
    cursor = db.execute(
        _INSERT_DELIVERY,
        (
            delivery.delivery_id, delivery.source, state, reason, delivery.event_type,
            delivery.received_at_ms, delivery.body_sha256, len(delivery.body), delivery.records, delivery.job_id,
            delivery.search_id, delivery.partner_customer_id, delivery.partner_user_id, delivery.authenticated_by,
            delivery.stale, json.dumps(delivery.evidence) if delivery.evidence else "{}", delivery.via, repeat_of,
            delivery.billed, delivery.trace,
        ),
    )  # fmt: skip
    db.execute("INSERT INTO bodies (sequence, body) VALUES (?, ?)", (cursor.lastrowid, delivery.body))
    return Admission(delivery.delivery_id, repeat_of=repeat_of, records=delivery.records, job_unknown=unknown)


def _knows_job(db: Database, job_id: str | None) -> bool:
    return db.execute("SELECT 1 FROM jobs WHERE job_id = ?", (job_id,)).fetchone() is not None


def _sight(db: Database, first_id: str, delivery: Delivery, *, conflict: bool) -> None:
    db.execute(
        "INSERT INTO sightings (delivery_id, seen_at, body_sha256, conflict, authenticated_by) VALUES (?, ?, ?, ?, ?)",
        (first_id, delivery.received_at_ms, delivery.body_sha256, conflict, delivery.authenticated_by),
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


def finish_processing(db: Database, processed: Processed, *, hash_key: bytes) -> None:
    """Enqueue the tasks, end the job and move the delivery on, unless that was done before."""
    count = len(processed.records)
    changed = db.execute(
        "UPDATE deliveries SET state = ?, reason = ?, processed_at = ?, issues = ?, records ="
        " CASE WHEN ? AND EXISTS (SELECT 1 FROM results r WHERE r.delivery_id = deliveries.delivery_id) THEN ?"
        " ELSE max(records, ?) END WHERE delivery_id = ? AND state = 'accepted'",
        (
            processed.state, processed.reason, processed.processed_at_ms,
            sum(len(record.issues) for record in processed.records),
            processed.state is not DeliveryState.QUARANTINED, count, count, processed.delivery_id,
        ),
    ).rowcount  # fmt: skip
    if not changed:
        return
    db.execute("DELETE FROM readbacks WHERE delivery_id = ?", (processed.delivery_id,))
    _forget_beyond(db, processed.delivery_id, count, hash_key=hash_key)
    if processed.job is not None:
        jobs.end(db, processed.job, delivery_id=processed.delivery_id, at_ms=processed.processed_at_ms)
    for task in processed.tasks:
        enqueue(
            db,
            task,
            processed.delivery_id,
            processed.records,
            at_ms=processed.processed_at_ms,
            hash_key=hash_key,
        )


def _forget_beyond(db: Database, delivery_id: str, count: int, *, hash_key: bytes) -> None:
    """Remove records that an earlier run stored and this one, which had another document, does not have."""
    rows = db.execute(
        "SELECT document FROM records WHERE delivery_id = ? AND position >= ?", (delivery_id, count)
    ).fetchall()
    if not rows:
        return
    db.execute("DELETE FROM records WHERE delivery_id = ? AND position >= ?", (delivery_id, count))
    db.conn.executemany(
        "DELETE FROM persons WHERE hash = ? AND delivery_id = ? AND position = ?",
        [
            (lookup_hash(hash_key, kind, value), delivery_id, record.position)
            for record in (Record.from_document(json.loads(document)) for (document,) in rows)
            for kind, value in record.identifiers()
        ],
    )


def enqueue(
    db: Database, task: NewTask, delivery_id: str, records: Sequence[Record], *, at_ms: int, hash_key: bytes
) -> bool:
    """Enqueue *task* for the delivery with *records*; return False when that sink has its task already."""
    state = resting_state(db, task.sink, TaskState.QUEUED)
    cursor = db.execute(
        "INSERT INTO tasks (task_id, delivery_id, sink, state, next_attempt_at, created_at, updated_at, owed_at,"
        " records, positions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (delivery_id, sink) DO NOTHING",
        (
            task.task_id, delivery_id, task.sink, state, at_ms + task.delay_ms, at_ms, at_ms, at_ms,
            len(task.positions), positions_text(task.positions, of=len(records)),
        ),
    )  # fmt: skip
    if cursor.rowcount != 1:
        return False
    sequence = cursor.lastrowid
    wanted = set(task.positions)
    name_persons(db, task.sink, sequence, [r for r in records if r.position in wanted], hash_key=hash_key)
    return True


def name_persons(db: Database, sink: str, sequence: int | None, records: Sequence[Record], *, hash_key: bytes) -> None:
    """Note whom an open task is about, so that no other task of its sink overtakes it or runs beside it."""
    db.conn.executemany(
        "INSERT INTO task_persons (sink, person, sequence) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [
            (sink, lookup_hash(hash_key, kind, value), sequence)
            for record in records
            for kind, value in islice(record.identifiers(), 1)
        ],
    )


def resting_state(db: Database, sink: str, state: TaskState) -> TaskState:
    """Return the state in which an open task of *sink* rests: *state*, or paused while the sink is."""
    if state in RESTING and db.execute("SELECT paused_at FROM sinks WHERE sink = ?", (sink,)).fetchone() not in _GOING:
        return transition(state, Signal.PAUSED)
    return state


RESTING = frozenset({TaskState.QUEUED, TaskState.WAITING})
_GOING = (None, (None,))
