"""`db check` finds what it says it looks for: each law is broken by hand, and named."""

import pytest

from stibgate.domain.task import Signal
from stibgate.stores.connection import sqlite3
from stibgate.stores.ledger import _LAWS, open_ledger
from stibgate.stores.sqlite import SqliteStore
from tests.stores.world import LEASE_MS, NOW_MS, make_delivery, make_processed, make_settlement

ATTEMPTS = "a task whose attempts are not numbered 1..n"
RECORDS = "a processed delivery whose records are not all stored"
OUTCOMES = "a delivered task without an outcome for each record"
WAKE = "an open task that nothing will wake"
DAMAGE = [
    ("a delivery without its body", "DELETE FROM bodies WHERE sequence = 1", "d1"),
    (
        "an idempotency key whose delivery was never stored",
        "INSERT INTO idempotency_keys VALUES (x'ff', 'ghost', 0)",
        "ghost",
    ),
    (
        "a task without its delivery",
        "INSERT INTO tasks VALUES (99, 't9', 'ghost', 'crm', 'queued', 0, 0, NULL, 0, 0, NULL)",
        "t9",
    ),
    (
        "a delivery that is done although a task is open",
        "UPDATE deliveries SET state = 'done' WHERE delivery_id = 'd2'",
        "d2",
    ),
    (
        "a delivery that is processing although every task is final",
        "UPDATE deliveries SET state = 'processing' WHERE delivery_id = 'd1'",
        "d1",
    ),
    (
        "a delivery that is processing although every task is final",
        "UPDATE deliveries SET state = 'processing' WHERE delivery_id = 'd4'",
        "d4",
    ),
    (RECORDS, "DELETE FROM records WHERE delivery_id = 'd2' AND position = 1", "d2"),
    (RECORDS, "INSERT INTO records VALUES ('d2', 2, '{}')", "d2"),
    (OUTCOMES, "DELETE FROM outcomes WHERE task_id = 'd1/crm' AND position = 0", "d1/crm"),
    (OUTCOMES, "UPDATE outcomes SET position = 7 WHERE task_id = 'd1/crm' AND position = 0", "d1/crm"),
    (ATTEMPTS, "DELETE FROM attempts WHERE task_id = 'd1/crm' AND number = 1", "d1/crm"),
    (ATTEMPTS, "UPDATE attempts SET number = 9 WHERE task_id = 'd1/crm' AND number = 2", "d1/crm"),
    (ATTEMPTS, "INSERT INTO attempts (task_id, number, started_at) VALUES ('d1/crm', 3, 0)", "d1/crm"),
    (WAKE, "UPDATE tasks SET next_attempt_at = NULL WHERE task_id = 'd2/drop'", "d2/drop"),
    (WAKE, "UPDATE tasks SET lease_until = NULL WHERE task_id = 'd2/crm'", "d2/crm"),
]


@pytest.fixture
async def path(tmp_path):
    """Return a sound store: d1 delivered at the second attempt, d2 leased and queued, d3 accepted, d4 without tasks."""
    path = tmp_path / "stibgate.db"
    store = SqliteStore(path)
    for number in (1, 2, 3, 4):
        await store.admit(make_delivery(number, records=2))
    await store.process(make_processed(1))
    await store.process(make_processed(4, ()))
    for signal in (Signal.RELEASED, Signal.TAKEN):
        (task,) = await store.claim(now_ms=NOW_MS + 100, lease_ms=LEASE_MS, free={"crm": 1})
        await store.settle(make_settlement(task, signal))
    await store.process(make_processed(2, ["crm", "drop"]))
    await store.claim(now_ms=NOW_MS + 100, lease_ms=LEASE_MS, free={"crm": 1})
    await store.close()
    return path


def check(path):
    ledger = open_ledger(path)
    try:
        return list(ledger.check())
    finally:
        ledger.close()


def test_sound(path):
    """A sound store has no findings."""
    assert check(path) == []


@pytest.mark.parametrize(("law", "sql", "where"), DAMAGE)
def test_damage_is_named(path, law, sql, where):
    """A broken law is found, named, and says where it is broken."""
    by_hand = sqlite3.connect(path)
    assert by_hand.execute(sql).rowcount == 1
    by_hand.commit()
    by_hand.close()
    assert check(path) == [f"{law}: {where}"]


def test_every_law_is_broken_here():
    """No law is without a damage that it finds."""
    assert {law for law, _, _ in DAMAGE} == set(_LAWS)


def test_integrity(path):
    """What SQLite's own check finds is reported too."""
    by_hand = sqlite3.connect(path)
    by_hand.execute("PRAGMA writable_schema=ON")
    by_hand.execute("DELETE FROM sqlite_master WHERE name = 'sightings_delivery'")
    by_hand.commit()
    by_hand.close()
    found = check(path)
    assert any("never used" in line for line in found)
