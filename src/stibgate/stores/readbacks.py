"""The writes of jobs that are read back, as functions of an open database, inside the writer's transaction.

A delivery that waits for its result stays `accepted`; its row in `readbacks` keeps it from being processed.
"""

from sqlite_utils import Database

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.event import QuarantineReason

_MENDED = ", ".join(f"'{reason}'" for reason in sorted(QuarantineReason) if reason.awaits_result)


def await_result(db: Database, delivery_id: str, *, now_ms: int) -> None:
    """Keep an accepted delivery out of `accepted`; see `stores.Queue.await_result`."""
    db.execute(
        "INSERT INTO readbacks (delivery_id, job_id, since, next_try_at) SELECT delivery_id, job_id, ?, ? FROM"
        " deliveries WHERE delivery_id = ? AND state = 'accepted' AND job_id IS NOT NULL ON CONFLICT DO NOTHING",
        (now_ms, now_ms, delivery_id),
    )


def postpone_result(db: Database, delivery_id: str, *, next_try_at_ms: int) -> None:
    """Count a try in vain; see `stores.Queue.postpone_result`."""
    db.execute(
        "UPDATE readbacks SET tries = tries + 1, next_try_at = ? WHERE delivery_id = ?", (next_try_at_ms, delivery_id)
    )


def fetched(db: Database, delivery_id: str, result: bytes, *, at_ms: int) -> bool:
    """Keep a job as it was read back; see `stores.Queue.fetched`."""
    taken = db.execute(
        "UPDATE deliveries SET state = ?, reason = NULL, processed_at = NULL WHERE delivery_id = ?"
        f" AND (state = 'accepted' OR (state = 'quarantined' AND reason IN ({_MENDED})))",
        (DeliveryState.ACCEPTED, delivery_id),
    ).rowcount
    if not taken:
        return False
    db.execute(
        "INSERT OR REPLACE INTO results (delivery_id, fetched_at, body) VALUES (?, ?, ?)", (delivery_id, at_ms, result)
    )
    db.execute("DELETE FROM readbacks WHERE delivery_id = ?", (delivery_id,))
    return True


def forgo_results(db: Database) -> int:
    """Let every delivery go on without its result; see `stores.Queue.forgo_results`."""
    return int(db.execute("DELETE FROM readbacks").rowcount)


def abandon_result(db: Database, delivery_id: str, reason: str, *, at_ms: int) -> bool:
    """Quarantine a delivery that waits in vain; see `stores.Queue.abandon_result`."""
    if not db.execute("DELETE FROM readbacks WHERE delivery_id = ?", (delivery_id,)).rowcount:
        return False
    db.execute(
        "UPDATE deliveries SET state = ?, reason = ?, processed_at = ? WHERE delivery_id = ?",
        (DeliveryState.QUARANTINED, reason, at_ms, delivery_id),
    )
    return True
