"""A database of an earlier release is taken over whole: every row is there, the check finds nothing, work goes on."""

import json

import pytest

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import Outcome, OutcomeKind, Signal, TaskState
from stibgate.stores import DeliveryFilter, TaskFilter, statements
from stibgate.stores.connection import open_writer
from stibgate.stores.ledger import open_ledger
from stibgate.stores.migrations import MIGRATIONS, applied, known
from stibgate.stores.sqlite import SqliteStore
from tests.stores.base import replay
from tests.stores.world import (
    EVERYTHING,
    LEASE_MS,
    NOW_MS,
    PATIENT,
    UNBREAKABLE,
    make_delivery,
    make_people,
    make_settlement,
)

REFUSED = Outcome(0, OutcomeKind.REFUSED, "VALIDATION", "INVALID_EMAIL", "email", "corr-1", "not an address")
CREATED = [Outcome(position, OutcomeKind.CREATED) for position in (0, 1)]

OLD_TASKS = {
    1: ("delivered", 1, None, None, None, CREATED, ["ann", "bob"]),
    2: ("partial", 3, None, None, "1 of 2 records were refused", [REFUSED, CREATED[1]], ["ann", "bob"]),
    3: ("dead", 10, None, None, "503", [], ["ann", "bob"]),
    4: ("leased", 2, None, NOW_MS + LEASE_MS, "timeout", [CREATED[0]], ["ann", "bob"]),
    5: ("waiting", 4, NOW_MS + 5, None, "503", [], ["eve", "kim"]),
    6: ("queued", 0, NOW_MS, None, None, [], ["kim", "lee"]),
    7: ("queued", 0, NOW_MS, None, None, [], ["max", None]),
}
"""Number -> state, attempts, next attempt, end of lease, error, answers, people; the oldest first."""


def insert(db, table, **values):
    db.execute(
        f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", list(values.values())
    )


def fill(db, number, row):
    """Write what the first release had of a delivery with one task."""
    state, attempts, next_ms, lease_ms, error, outcomes, people = row
    statements.admit(db, make_delivery(number, records=2, search_id=f"s{number}"), only_if_new=False)
    statements.store_records(db, f"d{number}", make_people(*people), hash_key=hash_key_of(db))
    done = TaskState(state).final
    db.execute(
        "UPDATE deliveries SET state = ?, processed_at = ? WHERE delivery_id = ?",
        ("done" if done else "processing", NOW_MS, f"d{number}"),
    )
    insert(
        db, "tasks", task_id=f"t{number}", delivery_id=f"d{number}", sink="crm", state=state, attempts=attempts,
        next_attempt_at=next_ms, lease_until=lease_ms, created_at=NOW_MS - 100, updated_at=NOW_MS, error=error,
    )  # fmt: skip
    for attempt in range(1, attempts + 1):
        insert(db, "attempts", task_id=f"t{number}", number=attempt, started_at=NOW_MS - 90 + attempt)
    for outcome in outcomes:
        words = {name: getattr(outcome, name) for name in ("category", "code", "property", "correlation_id", "message")}
        detail = json.dumps(words) if outcome.category else None
        insert(db, "outcomes", task_id=f"t{number}", position=outcome.position, kind=outcome.kind, detail=detail)


def hash_key_of(db):
    return bytes(db.execute("SELECT value FROM meta WHERE name = 'hash_key'").fetchone()[0])


@pytest.fixture
def old(tmp_path):
    """Return the path of a database that the first release left, with rows in every table."""
    path = tmp_path / "stibgate.db"
    db = open_writer(path, durability="normal")
    db.conn.execute("BEGIN")
    MIGRATIONS.apply(db, stop_before="m002_forwarding")
    insert(db, "meta", name="hash_key", value=b"k" * 32)
    insert(db, "pins", source="stibnite", scheme='{"name": "t_v1"}')
    for number, row in OLD_TASKS.items():
        fill(db, number, row)
    statements.admit(db, make_delivery(8, key=b"key 1", body=b"other"), only_if_new=False)  # a conflict of d1
    statements.admit(db, make_delivery(9, state=DeliveryState.QUARANTINED), only_if_new=False)
    statements.admit(db, make_delivery(10, records=2), only_if_new=False)
    db.conn.execute("COMMIT")
    assert applied(db) == ("m001_first",)
    empty = [
        table
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        if not db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    ]
    assert empty == []
    db.conn.close()
    return path


async def test_everything_is_kept(old):
    """Every row of the first release is there, says the same, and breaks no law."""
    store = SqliteStore(old, durability="normal")
    assert tuple(store.migrated) == known()[1:]
    ledger = open_ledger(old)
    try:
        assert list(ledger.check()) == []
        tasks = {task.task_id: task for _, task in ledger.tasks(TaskFilter(), limit=None)}
        for number, (state, attempts, next_ms, lease_ms, error, outcomes, people) in OLD_TASKS.items():
            task = tasks[f"t{number}"]
            assert (task.state, task.attempts, task.error) == (state, attempts, error)
            assert (task.next_attempt_at_ms, task.lease_until_ms) == (next_ms, lease_ms)
            assert (task.created_at_ms, task.updated_at_ms) == (NOW_MS - 100, NOW_MS)
            assert (task.tries, task.owed_at_ms, task.records) == (attempts, NOW_MS - 100, 2)
            assert (task.resend, task.forced) == (0, False)
            assert list(ledger.positions(task.task_id)) == [0, 1]
            assert list(ledger.outcomes(task.task_id)) == outcomes
            assert list(ledger.history(task.task_id)) == [(attempts, outcome) for outcome in outcomes]
            assert [attempt.number for attempt in ledger.attempts(task.task_id)] == list(range(1, attempts + 1))
            assert list(ledger.records(f"d{number}")) == make_people(*people)
        assert len(ledger.deliveries(EVERYTHING, limit=None)) == 9
        assert len(ledger.deliveries(DeliveryFilter(state=DeliveryState.DONE), limit=None)) == 3
        assert ledger.hash_key == b"k" * 32
        assert dict(ledger.pins()) == {"stibnite": {"name": "t_v1"}}
        assert list(ledger.conflict_bodies("d1")) == [b"other"]
    finally:
        ledger.close()
        await store.close()


async def test_work_goes_on(old):
    """What was open is owed, in its old order per person, and what is over can be replayed."""
    store = SqliteStore(old, durability="normal")
    ledger = store.ledger
    assert await store.recover(now_ms=NOW_MS) == 1
    claim = await store.claim("crm", PATIENT, now_ms=NOW_MS, limit=9)
    assert [task.task_id for task in claim.tasks] == ["t4", "t7"], "t6 waits for t5, which is not due yet"
    owed = await store.owed(claim.tasks[0])
    assert [record.position for record in owed.records] == [1], "what was answered is answered"
    await store.settle(make_settlement(claim.tasks[0], Signal.TAKEN, outcomes=[CREATED[1]]), UNBREAKABLE)
    (fifth,) = (await store.claim("crm", PATIENT, now_ms=NOW_MS + 5, limit=9)).tasks
    assert (fifth.task_id, fifth.attempts, fifth.tries) == ("t5", 5, 5)
    await store.settle(make_settlement(fifth, Signal.TAKEN), UNBREAKABLE)
    (sixth,) = (await store.claim("crm", PATIENT, now_ms=NOW_MS + 5, limit=9)).tasks
    assert sixth.task_id == "t6"
    assert await store.replay_task("t2", replay(NOW_MS + 5)) == "replayed"
    assert await store.replay_task("t3", replay(NOW_MS + 5)) == "replayed"
    (second,) = (await store.claim("crm", PATIENT, now_ms=NOW_MS + 5, limit=9)).tasks
    assert (second.task_id, second.attempts, second.resend) == ("t2", 4, 1)
    await store.settle(make_settlement(second, Signal.TAKEN, outcomes=[CREATED[0]]), UNBREAKABLE)
    assert list(ledger.history("t2")) == [(3, REFUSED), (3, CREATED[1]), (4, CREATED[0])]
    assert list(ledger.check()) == []
    await store.close()
