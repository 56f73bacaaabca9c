"""No question that is asked again and again walks a whole table."""

import re

import pytest

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.job import JobState
from stibgate.domain.task import Signal
from stibgate.stores import DeliveryFilter, JobFilter, TaskFilter
from stibgate.stores.figures import figures_of
from stibgate.stores.sqlite import SqliteStore
from tests.stores.world import (
    EVERYTHING,
    MONTHLY,
    NOW_MS,
    PATIENT,
    make_delivery,
    make_processed,
    make_result,
    make_run,
    make_settlement,
)

WALK = re.compile(r"SCAN (d|j|deliveries|jobs|tasks|t|bodies|outcomes|records|results)\b(?! USING)")


@pytest.fixture
async def asked(tmp_path):
    """Return a store and the list of every statement that it runs."""
    store = SqliteStore(tmp_path / "stibgate.db", durability="normal")
    statements = []
    for database in (store._reader, store._writer._db):
        database.conn.set_trace_callback(statements.append)
    yield store, statements
    for database in (store._reader, store._writer._db):
        database.conn.set_trace_callback(None)
    await store.close()


def walks(store, statements, walk=WALK):
    """Return the statements that look at every row of a large table, each once."""
    found = set()
    for sql in dict.fromkeys(statements):
        if sql.startswith(("SELECT", "UPDATE", "DELETE", "INSERT", "\nSELECT", "\nINSERT")):
            plan = store._writer._db.conn.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
            found |= {sql for *_, step in plan if walk.match(step)}
    return found


async def test_the_worker(asked):
    """Of all that intake and the worker ask there is nothing whose cost grows with what was ever stored."""
    store, statements = asked
    await store.admit(make_delivery(1, job_id="j1", known_job=True, records=2))
    said = await store.reserve(make_run(1, token="t", user="u"), MONTHLY, confirmed=False)
    assert said.decision.verdict == "allow"
    await store.submitted("r1", "j1", now_ms=NOW_MS, poll_at_ms=NOW_MS)
    assert len(await store.accepted(limit=9)) == 1
    await store.await_result("d1", now_ms=NOW_MS)
    assert len(await store.awaiting(now_ms=NOW_MS, limit=9)) == 1
    await store.postpone_result("d1", next_try_at_ms=NOW_MS)
    await store.fetched("d1", b"r", at_ms=NOW_MS)
    await store.process(make_processed(1, job=make_result(1, None, next_cursor="c")))
    assert len((await store.claim("crm", PATIENT, now_ms=NOW_MS, limit=9)).tasks) == 1
    assert len(await store.open_polls(now_ms=NOW_MS + 9, limit=9)) == 1
    await store.polled("r1", next_poll_at_ms=NOW_MS)
    await store.amend("j1", billed=2, next_cursor="c")
    assert len(await store.continuable(limit=9)) == 1
    await store.reserve(make_run(2, parent_run_id="r1"), MONTHLY, confirmed=False)
    await store.withdraw("r2")
    await store.reserve(make_run(3, parent_run_id="r1"), MONTHLY, confirmed=False)
    await store.unsubmitted("r3", JobState.REFUSED, "402", now_ms=NOW_MS)
    await store.recover_runs(now_ms=NOW_MS)
    for question in (store.next_poll_ms, store.next_result_due_ms, store.unfinished):
        await question()
    assert len(statements) > 50
    assert walks(store, statements) == set()


async def test_people(asked):
    """Of what people ask about jobs and bills, page by page, neither is there."""
    store, statements = asked
    ledger = store.ledger
    ledger.deliveries(EVERYTHING, limit=5, before=9)
    ledger.jobs(JobFilter(chain="r1"), limit=5)
    ledger.jobs(JobFilter(), limit=5, before=9)
    ledger.job("x")
    ledger.spent("team", "2026-05")
    for short in (False, True):
        ledger.bills(limit=5, before=2**60, since_ms=NOW_MS, short=short)
    ledger.bills(limit=5)
    assert walks(store, statements) == set()
    assert any("deliveries_short" in step for step in plan_of(store, statements, "whole = 0"))


LISTS = [
    *(
        DeliveryFilter(**fields)
        for fields in (
            {"source": "stibnite"},
            {"state": "done"},
            {"state": "quarantined"},
            {"event_type": "prospecting.records.pushed", "state": "processing"},
            {"source": "stibnite", "event_type": "nothing", "state": "ignored"},
            {"search_id": "s"},
            {"job_id": "j"},
            {"partner_customer_id": "c", "state": "done"},
            {"partner_customer_id": "c", "source": "stibnite", "since_ms": NOW_MS},
            {"sink": "crm"},
            {"sink": "crm", "state": "done"},
            {"sink": "nobody", "source": "stibnite"},
            {"error": "503"},
            {"error": "503", "sink": "crm", "state": "done"},
            {"person": (b"x", b"y")},
            {"since_ms": NOW_MS, "until_ms": NOW_MS + 1},
            {"since_ms": NOW_MS, "source": "stibnite", "sink": "crm"},
            {"delivery_id": "d1"},
            {"body_sha256": (b"a", b"b")},
        )
    ),
    *(
        TaskFilter(**fields)
        for fields in (
            {"state": "dead"},
            {"state": "delivered"},
            {"state": "waiting"},
            {"sink": "crm"},
            {"sink": "crm", "state": "partial"},
            {"sink": "crm", "state": "queued", "source": "stibnite"},
            {"state": "dead", "since_ms": NOW_MS, "until_ms": NOW_MS + 1},
            {"delivery_id": "d1"},
            {"search_id": "s"},
            {"job_id": "j", "sink": "crm"},
            {"error": "503", "sink": "crm"},
            {"person": (b"x",), "state": "dead"},
        )
    ),
]


@pytest.mark.parametrize("where", LISTS, ids=str)
async def test_no_list_walks_a_table(tmp_path, where):
    """Every list with a filter is found by an index, from its newest page and from any other."""
    store = SqliteStore(tmp_path / "stibgate.db", durability="normal")
    await fill(store)
    statements = []
    store._reader.conn.set_trace_callback(statements.append)
    find = store.ledger.deliveries if isinstance(where, DeliveryFilter) else store.ledger.tasks
    for before in (None, 2):
        find(where, limit=50, before=before)
    store._reader.conn.set_trace_callback(None)
    try:
        assert len(statements) >= 2
        assert walks(store, statements, NAMED) == set()
    finally:
        await store.close()


NAMED = re.compile(
    r"SCAN (deliveries|tasks|t|d|p|persons)\b(?! USING)(?!.*LIST)|SCAN \w+ USING (COVERING )?INDEX sqlite_auto"
)


async def fill(store):
    """Put deliveries of several kinds into *store*, with tasks in several states."""
    for number, state in enumerate(("accepted", "quarantined", "ignored", "accepted", "accepted"), start=1):
        fields = {"search_id": "s", "partner_customer_id": "c"} if number % 2 else {"job_id": "j", "source": "jobs"}
        await store.admit(make_delivery(number, state=DeliveryState(state), records=1, **fields))
    for number in (1, 4):
        await store.process(make_processed(number, ["crm", "drop"], records=1))
    (task, *_) = (await store.claim("crm", PATIENT, now_ms=NOW_MS, limit=9)).tasks
    await store.settle(make_settlement(task, Signal.EXHAUSTED, outcomes=[], error="503"))


async def test_what_is_looked_at_all_the_time(asked):
    """Counts, groups and glances walk no table either: not even what is at its end is counted."""
    store, statements = asked
    await fill(store)
    statements.clear()
    ledger = store.ledger
    ledger.task_counts()
    ledger.status()
    ledger.owing_since()
    ledger.dead_groups()
    ledger.last_accepted(["stibnite", "jobs"])
    ledger.unfinished()
    ledger.rejections(NOW_MS)
    ledger.stats(since_ms=NOW_MS, until_ms=NOW_MS + 60_000, step_ms=60_000)
    figures_of(store._reader, store._ledger)
    assert len(statements) > 8
    assert walks(store, statements, NAMED) == set()
    whole = re.compile(r"SCAN (deliveries|tasks) USING COVERING INDEX (?!tasks_open|tasks_dead|deliveries_open)")
    assert walks(store, statements, whole) == set()


def plan_of(store, statements, words):
    """Return the plan of the one statement with *words* in it."""
    (sql,) = {sql for sql in statements if words in sql}
    return [step for *_, step in store._writer._db.conn.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()]
