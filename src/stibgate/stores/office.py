"""The audit, and the answers of keyed calls: what operators leave behind. Inside the writer's transaction."""

import json
from collections.abc import Callable
from typing import TypeVar

from sqlite_utils import Database

from stibgate.domain.audit import BEGINNING, AuditEntry, chained
from stibgate.stores import Call, CallState, KnownCall, Note

T = TypeVar("T")

CALLS_KEPT_MS = 24 * 3_600_000
"""How long the answer of a keyed call is given again."""


def append_audit(db: Database, entry: AuditEntry) -> int:
    """Add a line to the audit; return its number."""
    row = db.execute("SELECT sequence, chain FROM audit ORDER BY sequence DESC LIMIT 1").fetchone()
    sequence, before = (0, BEGINNING) if row is None else (row[0], bytes(row[1]))
    sequence += 1
    db.execute(
        "INSERT INTO audit (sequence, at, actor, role, action, target, detail, client_ip, chain)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            sequence, entry.at_ms, entry.actor, entry.role, entry.action, entry.target,
            json.dumps(dict(entry.detail)), entry.client_ip, chained(sequence, entry, before),
        ),
    )  # fmt: skip
    return sequence


def noted(act: Callable[[Database], T], note: Note[T] | None) -> Callable[[Database], T]:
    """Return *act* and behind it its line in the audit, as one operation: both are kept, or neither."""
    if note is None:
        return act

    def both(db: Database) -> T:
        came_to = act(db)
        append_audit(db, note(came_to))
        return came_to

    return both


def begin_call(db: Database, call: Call, *, now_ms: int) -> KnownCall:
    """Note that *call* has begun, unless it has before; old answers are forgotten."""
    db.execute("DELETE FROM calls WHERE at <= ?", (now_ms - CALLS_KEPT_MS,))
    row = db.execute(
        "SELECT fingerprint, status, answer FROM calls WHERE actor = ? AND key = ?", (call.actor, call.key)
    ).fetchone()
    if row is None:
        db.execute(
            "INSERT INTO calls (key, actor, fingerprint, at) VALUES (?, ?, ?, ?)",
            (call.key, call.actor, call.fingerprint, now_ms),
        )
        return KnownCall(CallState.NEW)
    fingerprint, status, answer = row
    if bytes(fingerprint) != call.fingerprint:
        return KnownCall(CallState.ANOTHER)
    return KnownCall(CallState.RUNNING) if status is None else KnownCall(CallState.ANSWERED, status, answer)


def end_call(db: Database, call: Call, status: int, answer: str) -> None:
    """Keep the answer of *call*."""
    db.execute(
        "UPDATE calls SET status = ?, answer = ? WHERE actor = ? AND key = ?", (status, answer, call.actor, call.key)
    )


def forget_call(db: Database, call: Call) -> None:
    """Forget that *call* has begun: it did nothing, and may be made again."""
    db.execute("DELETE FROM calls WHERE actor = ? AND key = ? AND status IS NULL", (call.actor, call.key))


def forget_running_calls(db: Database) -> None:
    """Forget the calls of a process that is gone before it answered; what they began is known by its own traces."""
    db.execute("DELETE FROM calls WHERE status IS NULL")
