"""`db check` finds what it says it looks for: each law is broken by hand, and named."""

import pytest

from stibgate.domain.access import Role
from stibgate.domain.audit import Action, AuditEntry
from stibgate.domain.task import Outcome, OutcomeKind, Signal
from stibgate.stores.connection import sqlite3
from stibgate.stores.laws import LAWS
from stibgate.stores.ledger import open_ledger
from stibgate.stores.sqlite import SqliteStore
from tests.stores.base import new_task
from tests.stores.world import (
    NOW_MS,
    PATIENT,
    make_delivery,
    make_people,
    make_processed,
    make_result,
    make_run,
    make_settlement,
)

ANSWERED = "a delivered task without an answer for each record"
ATTEMPTS = "a task whose attempts are not numbered 1..n"
DONE = "a delivery that is done although a task is open"
FINAL = "a final task that still holds up others"
OWED = "a task that owes records which the delivery does not have"
PROCESSING = "a delivery that is processing although every task is final"
RECORDS = "a processed delivery whose records are not all stored"
REFUSED = "a delivered task with a refused record"
TASK = "a task without its delivery"
TWICE = "two leased tasks of one sink with one person"
ENDED = "a job whose end and state do not agree"
PAGES = "a continued job without a next page, or the reverse"
JOB = "a job whose delivery does not exist"
POLLED = "a job that is asked for although there is nothing to learn"
TOKEN = "two open runs with one dedupe token"
WAITS = "a delivery that waits for a result and is not accepted"
UNOWED = "an answer for a record that was not owed"
LOOKUP = "a delivery that cannot be looked up, or one that is gone and can"
WAKE = "an open task that nothing will wake"

_NEW_TASK = (
    "INSERT INTO tasks (sequence, task_id, delivery_id, sink, state, next_attempt_at, created_at, updated_at)"
    " VALUES (99, 't9', 'ghost', 'crm', 'queued', 0, 0, 0)"
)
_ANSWER = "INSERT INTO outcomes (task_id, position, attempt, current, kind) VALUES "
SAME_PERSON = (
    "INSERT INTO task_persons SELECT sink, person, (SELECT sequence FROM tasks WHERE task_id = 'd8/crm')"
    " FROM task_persons WHERE sequence = (SELECT sequence FROM tasks WHERE task_id = 'd2/crm') LIMIT 1"
)
DAMAGE = [
    ("a delivery without its body", "DELETE FROM bodies WHERE sequence = 1", "d1"),
    (
        "an idempotency key whose delivery was never stored",
        "INSERT INTO idempotency_keys VALUES (x'ff', 'ghost', 0)",
        "ghost",
    ),
    (TASK, _NEW_TASK, "t9"),
    ("a count of ended tasks that is wrong", "UPDATE totals SET count = 7 WHERE thing = 'tasks'", "crm delivered"),
    ("a count of ended deliveries that is wrong", "INSERT INTO totals VALUES ('deliveries', '', 'done', 7)", "done"),
    (LOOKUP, "UPDATE filing SET through = 1", "1"),
    (LOOKUP, "INSERT INTO lookups VALUES ('gone', 99)", "99"),
    (DONE, "UPDATE deliveries SET state = 'done' WHERE delivery_id = 'd2'", "d2"),
    (DONE, "UPDATE deliveries SET state = 'done' WHERE delivery_id = 'd7'", "d7"),
    (PROCESSING, "UPDATE deliveries SET state = 'processing' WHERE delivery_id = 'd1'", "d1"),
    (PROCESSING, "UPDATE deliveries SET state = 'processing' WHERE delivery_id = 'd4'", "d4"),
    (RECORDS, "DELETE FROM records WHERE delivery_id = 'd2' AND position = 1", "d2"),
    (RECORDS, "INSERT INTO records VALUES ('d2', 2, '{}')", "d2"),
    (OWED, "UPDATE tasks SET records = 3 WHERE task_id = 'd2/crm'", "d2/crm"),
    (OWED, "UPDATE tasks SET records = 1 WHERE task_id = 'd5/crm'", "d5/crm"),
    (OWED, "UPDATE tasks SET positions = '[0,2,3]' WHERE task_id = 'd7/hook'", "d7/hook"),
    (OWED, "UPDATE tasks SET positions = '[0,-1]' WHERE task_id = 'd7/hook'", "d7/hook"),
    (
        "a record with two answers of one sink",
        f"{_ANSWER}('d2/crm', 0, 1, 1, 'created'), ('d2/crm', 0, 2, 1, 'created')",
        "d2/crm",
    ),
    (UNOWED, f"{_ANSWER}('d2/crm', 2, 1, 1, 'created')", "d2/crm"),
    (UNOWED, f"{_ANSWER}('d7/hook', 1, 1, 0, 'created')", "d7/hook"),
    (UNOWED, f"{_ANSWER}('ghost', 0, 1, 1, 'created')", "ghost"),
    (ANSWERED, "DELETE FROM outcomes WHERE task_id = 'd1/crm' AND position = 0", "d1/crm"),
    (ANSWERED, "UPDATE outcomes SET current = 0 WHERE task_id = 'd5/crm' AND position = 1", "d5/crm"),
    (REFUSED, "UPDATE outcomes SET kind = 'refused' WHERE task_id = 'd1/crm' AND position = 0", "d1/crm"),
    (
        "a partial task without a refused record",
        "UPDATE outcomes SET kind = 'skipped' WHERE task_id = 'd5/crm' AND position = 0",
        "d5/crm",
    ),
    (FINAL, "INSERT INTO task_persons SELECT 'crm', x'aa', sequence FROM tasks WHERE task_id = 'd1/crm'", "d1/crm"),
    (
        TWICE,
        SAME_PERSON,
        "d2/crm",
    ),
    (ATTEMPTS, "DELETE FROM attempts WHERE task_id = 'd1/crm' AND number = 1", "d1/crm"),
    (ATTEMPTS, "UPDATE attempts SET number = 9 WHERE task_id = 'd1/crm' AND number = 2", "d1/crm"),
    (ATTEMPTS, "INSERT INTO attempts (task_id, number, started_at) VALUES ('d1/crm', 3, 0)", "d1/crm"),
    (WAKE, "UPDATE tasks SET next_attempt_at = NULL WHERE task_id = 'd2/drop'", "d2/drop"),
    (WAKE, "UPDATE tasks SET lease_until = NULL WHERE task_id = 'd2/crm'", "d2/crm"),
    (WAKE, "UPDATE tasks SET blocked_by = 77 WHERE task_id = 'd6/crm'", "d6/crm"),
    (WAKE, "UPDATE tasks SET state = 'paused' WHERE task_id = 'd2/drop'", "d2/drop"),
    (WAKE, "UPDATE sinks SET paused_at = NULL WHERE sink = 'hook'", "d7/hook"),
    (WAITS, "INSERT INTO readbacks VALUES ('ghost', 'j', 0, 0, 0)", "ghost"),
    (WAITS, "UPDATE deliveries SET state = 'quarantined' WHERE delivery_id = 'd3'", "d3"),
    ("a result without its delivery", "INSERT INTO results VALUES ('ghost', 0, x'00')", "ghost"),
    (TOKEN, "UPDATE jobs SET dedupe_token = 't' WHERE run_id IN ('r2', 'r3')", "r3"),
    (TOKEN, "UPDATE jobs SET dedupe_token = 't', dedupe_user = 'u' WHERE run_id IN ('r2', 'r3')", "r3"),
    (ENDED, "UPDATE jobs SET ended_at = NULL WHERE run_id = 'r1'", "r1"),
    (ENDED, "UPDATE jobs SET ended_at = 5 WHERE run_id = 'r2'", "r2"),
    (POLLED, "UPDATE jobs SET next_poll_at = 5 WHERE run_id = 'r1'", "r1"),
    (PAGES, "UPDATE jobs SET continued = 0 WHERE run_id = 'r1'", "r1"),
    (PAGES, "UPDATE jobs SET continued = 1 WHERE run_id = 'r3'", "r3"),
    ("a next page whose job before it is not known", "UPDATE jobs SET parent_run = 'r9' WHERE run_id = 'r2'", "r2"),
    (JOB, "UPDATE jobs SET delivery_id = 'ghost' WHERE run_id = 'r1'", "r1"),
    (JOB, "UPDATE jobs SET asked = NULL WHERE run_id = 'r3'", "r3"),
]


@pytest.fixture
async def path(tmp_path):
    """Return a sound store with something of everything.

    d1 is delivered at the second attempt, d2 leased and queued, d3 accepted, d4 without tasks, d5 partial, d6 waits
    for d2's person, d7 is paused and owes two of its three records, d8 is leased. Run r1 has ended as d4 says and is
    continued by r2, which the vendor has; r3 is reserved. d3 waits for its job.
    """
    path = tmp_path / "stibgate.db"
    store = SqliteStore(path)
    for number in (1, 2, 3, 4, 5, 6, 8):
        await store.admit(make_delivery(number, records=2, job_id=f"j{number}"))
    for number, parent in ((1, None), (2, "r1"), (3, None)):
        await store.reserve(make_run(number, parent_run_id=parent), None, confirmed=False)
    for number in (1, 2):
        await store.submitted(f"r{number}", f"j{number}", now_ms=NOW_MS, poll_at_ms=NOW_MS)
    await store.await_result("d3", now_ms=NOW_MS)
    await store.admit(make_delivery(7, records=3))
    await store.process(make_processed(1))
    await store.process(make_processed(4, (), job=make_result(1)))
    for signal in (Signal.RELEASED, Signal.TAKEN):
        (task,) = (await store.claim("crm", PATIENT, now_ms=NOW_MS + 100, limit=1)).tasks
        await store.settle(make_settlement(task, signal))
    await store.process(make_processed(5))
    (task,) = (await store.claim("crm", PATIENT, now_ms=NOW_MS + 100, limit=1)).tasks
    split = [Outcome(0, OutcomeKind.REFUSED), Outcome(1, OutcomeKind.CREATED)]
    await store.settle(make_settlement(task, Signal.SPLIT, outcomes=split))
    await store.process(make_processed(2, ["crm", "drop"], records=make_people("ann", "bob")))
    await store.process(make_processed(6, records=make_people("eve", "bob")))
    await store.process(make_processed(8))
    assert len((await store.claim("crm", PATIENT, now_ms=NOW_MS + 100, limit=9)).tasks) == 2
    await store.pause("hook", now_ms=NOW_MS, by="me")
    await store.process(make_processed(7, records=3, tasks=[new_task("d7/hook", (0, 2), "hook")]))
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
    assert by_hand.execute(sql).rowcount >= 1
    by_hand.commit()
    by_hand.close()
    assert f"{law}: {where}" in check(path)


def test_findings_are_few(path):
    """One damage is one finding where only one law is broken by it."""
    by_hand = sqlite3.connect(path)
    by_hand.execute("UPDATE tasks SET next_attempt_at = NULL WHERE task_id = 'd2/drop'")
    by_hand.commit()
    by_hand.close()
    assert check(path) == [f"{WAKE}: d2/drop"]


def test_every_law_is_broken_here():
    """No law is without a damage that it finds."""
    assert {law for law, _, _ in DAMAGE} == set(LAWS)


def test_integrity(path):
    """What SQLite's own check finds is reported too."""
    by_hand = sqlite3.connect(path)
    by_hand.execute("PRAGMA writable_schema=ON")
    by_hand.execute("DELETE FROM sqlite_master WHERE name = 'sightings_delivery'")
    by_hand.commit()
    by_hand.close()
    found = check(path)
    assert any("never used" in line for line in found)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        ("UPDATE audit SET actor = 'bob' WHERE sequence = 2", "2"),
        ("DELETE FROM audit WHERE sequence = 1", "1"),
        ("UPDATE audit SET chain = x'00' WHERE sequence = 3", "3"),
        ("UPDATE audit SET action = 'nothing' WHERE sequence = 3", "unreadable"),
        ("UPDATE audit SET detail = '{' WHERE sequence = 3", "unreadable"),
    ],
)
async def test_an_audit_that_was_changed(tmp_path, damage, line):
    """SQL refuses to change the audit; whoever takes that away and does it all the same is found by the chain."""
    path = tmp_path / "stibgate.db"
    store = SqliteStore(path, durability="normal")
    for number in range(3):
        await store.append_audit(AuditEntry(NOW_MS + number, "dana", Role.ADMIN, Action.PAUSE, "crm"))
    assert store.ledger.check() == []
    await store.close()
    with sqlite3.connect(path) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="only added to"):
            connection.execute(damage)
        connection.execute("DROP TRIGGER audit_unchanged")
        connection.execute("DROP TRIGGER audit_kept")
        connection.execute(damage)
    connection.close()
    ledger = open_ledger(path)
    assert ledger.check() == [f"an audit that was changed: line {line}"]
    ledger.close()
