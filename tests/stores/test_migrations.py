"""A database of an earlier release is taken over whole: every row is there, the check finds nothing, work goes on."""

import hashlib
import json

import pytest

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import Outcome, OutcomeKind, Signal, TaskState
from stibgate.stores import DeliveryFilter, TaskFilter, statements
from stibgate.stores.connection import open_writer
from stibgate.stores.ledger import open_ledger
from stibgate.stores.migrations import MIGRATIONS, applied, known
from stibgate.stores.sqlite import SqliteStore
from tests.stores.base import replay, replay_task
from tests.stores.world import (
    EVERYTHING,
    LEASE_MS,
    MONTH,
    MONTHLY,
    NOW_MS,
    PATIENT,
    UNBREAKABLE,
    make_delivery,
    make_people,
    make_processed,
    make_result,
    make_run,
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


def admit(db, number, **fields):
    """Write a new delivery as the first two releases did."""
    delivery = make_delivery(number, **fields)
    insert(
        db, "deliveries", sequence=number, delivery_id=delivery.delivery_id, source=delivery.source,
        state=delivery.state, event_type=delivery.event_type, received_at=delivery.received_at_ms,
        body_sha256=delivery.body_sha256, body_bytes=len(delivery.body), records=delivery.records,
        search_id=delivery.search_id, authenticated_by="t_v1/1", stale=0, evidence="{}", via="http",
    )  # fmt: skip
    insert(db, "bodies", sequence=number, body=delivery.body)
    insert(
        db, "idempotency_keys", key=delivery.key.value, delivery_id=delivery.delivery_id,
        expires_at=delivery.key.expires_at_ms,
    )  # fmt: skip


def conflict(db, number, body):
    """Write that *body* came under the key of a delivery, as the first two releases did."""
    digest = hashlib.sha256(body).digest()
    insert(db, "sightings", delivery_id=f"d{number}", seen_at=NOW_MS, body_sha256=digest, conflict=1)
    insert(db, "conflict_bodies", delivery_id=f"d{number}", body_sha256=digest, body=body)
    db.execute("UPDATE deliveries SET duplicates = 1, conflicts = 1 WHERE delivery_id = ?", (f"d{number}",))


def fill(db, number, row):
    """Write what the first release had of a delivery with one task."""
    state, attempts, next_ms, lease_ms, error, outcomes, people = row
    admit(db, number, records=2, search_id=f"s{number}")
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


def rows_of_the_second(db):
    """Write what only the second release had."""
    insert(db, "sinks", sink="drop", circuit="open", failures=3, open_until=NOW_MS, open_for_ms=9, reason="503")
    insert(db, "memories", sink="crm", key="k", document='{"a": 1}')
    insert(db, "replays", delivery_id="d1", at=NOW_MS, by="me", forced=0, state="done", records=2)


@pytest.fixture(params=["m001_first", "m002_forwarding"])
def release(request):
    """Return the last migration that the release had."""
    return request.param


@pytest.fixture
def old(tmp_path, release):
    """Return the path of a database that an earlier release left, with rows in every table."""
    path = tmp_path / "stibgate.db"
    db = open_writer(path, durability="normal")
    db.conn.execute("BEGIN")
    MIGRATIONS.apply(db, stop_before="m002_forwarding")
    insert(db, "meta", name="hash_key", value=b"k" * 32)
    insert(db, "pins", source="stibnite", scheme='{"name": "t_v1"}')
    for number, row in OLD_TASKS.items():
        fill(db, number, row)
    conflict(db, 1, b"other")
    admit(db, 9, state=DeliveryState.QUARANTINED)
    admit(db, 10, records=2)
    if release == "m002_forwarding":
        MIGRATIONS.apply(db, stop_before="m003_spending")
        rows_of_the_second(db)
    db.conn.execute("COMMIT")
    assert applied(db)[-1] == release
    empty = [
        table
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        if not db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    ]
    assert empty == []
    db.conn.close()
    return path


async def test_everything_is_kept(old, release):
    """Every row of an earlier release is there, says the same, and breaks no law."""
    store = SqliteStore(old, durability="normal")
    assert tuple(store.migrated) == known()[known().index(release) + 1 :]
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
        assert [ledger.body("d1", one.body_sha256) for one in ledger.sightings("d1")] == [b"other"]
        assert [(one.conflict, one.authenticated_by) for one in ledger.sightings("d1")] == [(True, None)]
        if release == "m002_forwarding":
            assert (ledger.sinks()["drop"].circuit.failures, ledger.recall("crm", ["k"])) == (3, {"k": {"a": 1}})
            assert [note.by for note in ledger.replays("d1")] == ["me"]
    finally:
        ledger.close()
        await store.close()


async def test_what_was_counted_is_filed(old):
    """A store that counted with each admission says the same once it files: what came before is filed whole."""
    db = open_writer(old, durability="normal")
    db.conn.execute("BEGIN")
    MIGRATIONS.apply(db, stop_before="m005_filing")
    admit(db, 20, state=DeliveryState.IGNORED, search_id="s1")
    db.conn.execute("COMMIT")
    assert applied(db)[-1] == "m004_operating"
    before = dict(db.execute("SELECT state, count(*) FROM deliveries GROUP BY state").fetchall())
    db.conn.close()
    ledger = open_ledger(old, older=True)
    assert ledger.status().deliveries == before
    ledger.close()
    store = SqliteStore(old, durability="normal")
    assert store.migrated == ("m005_filing",)
    assert store.ledger.status().deliveries == before
    assert [one.delivery_id for one in store.ledger.deliveries(DeliveryFilter(search_id="s1"), limit=None)] == [
        "d20",
        "d1",
    ]
    assert store._reader.execute("SELECT through FROM filing").fetchone() == (20,)
    assert list(store.ledger.check()) == []
    await store.admit(make_delivery(21, state=DeliveryState.IGNORED))
    assert store.ledger.status().deliveries == before | {"ignored": 2}
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
    assert await replay_task(store, "t2", replay(NOW_MS + 5)) == "replayed"
    assert await replay_task(store, "t3", replay(NOW_MS + 5)) == "replayed"
    (second,) = (await store.claim("crm", PATIENT, now_ms=NOW_MS + 5, limit=9)).tasks
    assert (second.task_id, second.attempts, second.resend) == ("t2", 4, 1)
    await store.settle(make_settlement(second, Signal.TAKEN, outcomes=[CREATED[0]]), UNBREAKABLE)
    assert list(ledger.history("t2")) == [(3, REFUSED), (3, CREATED[1]), (4, CREATED[0])]
    assert list(ledger.check()) == []
    await store.close()


async def test_what_is_new_begins(old):
    """What came before anybody counted is no debt; what comes from now on is paid for like everything new."""
    store = SqliteStore(old, durability="normal")
    ledger = store.ledger
    assert [bill.billed for bill in ledger.bills(limit=None)] == [None] * 9
    assert list(ledger.bills(limit=None, short=True)) == []
    await store.admit(make_delivery(20, key=b"key 10", billed=4))
    await store.admit(make_delivery(11, job_id="j1", records=2, event_type="e", known_job=True))
    assert [one.delivery.delivery_id for one in await store.accepted(limit=9)] == ["d10"], "d20 is a duplicate of it"
    said = await store.reserve(make_run(1), MONTHLY, confirmed=False)
    assert said.decision.remaining == MONTHLY.limit
    await store.submitted("r1", "j1", now_ms=NOW_MS, poll_at_ms=NOW_MS)
    await store.process(make_processed(11, (), job=make_result(1)))
    assert (ledger.spent("team", MONTH).settled, ledger.job("j1").delivery_id) == (20, "d11")
    (short,) = ledger.bills(limit=None, short=True)
    assert (short.job.run_id, short.missing) == ("r1", 20)
    assert list(ledger.check()) == []
    await store.close()
