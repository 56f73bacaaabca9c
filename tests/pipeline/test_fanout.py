"""From an accepted delivery to its records and tasks."""

import asyncio
import json

import pytest

from stibgate import events
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED, RECORDS_PUSHED, QuarantineReason
from stibgate.domain.task import TaskState
from stibgate.errors import StoreUnavailable
from stibgate.pipeline import fanout as fanout_module
from stibgate.pipeline.fanout import SLICE_RECORDS
from stibgate.stores import CHUNK_RECORDS, TaskFilter
from stibgate.stores.memory import MemoryStore
from stibgate.stores.sqlite import SqliteStore
from tests.pipeline.world import Clock, admit, delivery, make_fanout, make_intake, receive, signed, to_sinks

CANARY = "canary-zoe@example.com"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store():
    return MemoryStore()


async def admitted(store, clock, *samples) -> list[str]:
    intake = make_intake(store, router=to_sinks("drop", "crm"), now_ms=clock)
    return [(await admit(intake, one)).delivery_id for one in samples]


def tasks_of(store, delivery_id):
    return [task for _, task in store.tasks(TaskFilter(delivery_id=delivery_id), limit=None)]


def breaking(monkeypatch, error):
    """Make the reader of pushes raise *error*."""
    reader = events.READERS[RECORDS_PUSHED]

    class Exploding:
        EVENT_TYPE = RECORDS_PUSHED
        read = staticmethod(reader.read)
        job_result = staticmethod(reader.job_result)

        @staticmethod
        def raw_records(_document):
            raise error

    monkeypatch.setattr(fanout_module, "READERS", {**events.READERS, RECORDS_PUSHED: Exploding})


@pytest.mark.parametrize("event_type", [RECORDS_PUSHED, JOB_SUCCEEDED])
async def test_records_become_one_task_a_sink(store, clock, event_type):
    """A delivery with records owes them to every sink of its source, once each."""
    (delivery_id,) = await admitted(store, clock, delivery(event_type, records=3))
    clock.advance(1)
    fanout = make_fanout(store, ["drop", "crm"], now_ms=clock)
    assert await fanout.run_once() == 1
    stored = store.delivery(delivery_id)
    assert (stored.state, stored.records, stored.processed_at_ms) == (DeliveryState.PROCESSING, 3, clock())
    assert [record.position for record in store.records(delivery_id)] == [0, 1, 2]
    assert sorted((task.sink, task.state) for task in tasks_of(store, delivery_id)) == [
        ("crm", TaskState.QUEUED),
        ("drop", TaskState.QUEUED),
    ]
    assert await fanout.run_once() == 0


@pytest.mark.parametrize("one", [delivery(JOB_FAILED), delivery(records=0)], ids=["failed job", "no records"])
async def test_nothing_to_forward_is_done(store, clock, one):
    """A failed job, and a delivery without records, are done once they were looked at, and owe nothing."""
    (delivery_id,) = await admitted(store, clock, one)
    await make_fanout(store, ["drop"], now_ms=clock).run_once()
    assert store.delivery(delivery_id).state is DeliveryState.DONE
    assert tasks_of(store, delivery_id) == []


async def test_a_thin_event_waits_in_quarantine(store, clock):
    """A succeeded job without its records is never taken for one with none."""
    body = json.dumps({"event": JOB_SUCCEEDED, "job_id": "j1", "status": "succeeded"}).encode()
    receipt = await receive(make_intake(store, now_ms=clock), body, signed(body))
    assert await make_fanout(store, ["drop"], now_ms=clock).run_once() == 0
    stored = store.delivery(receipt.delivery_id)
    assert (stored.state, stored.reason) == (DeliveryState.QUARANTINED, QuarantineReason.RECORDS_MISSING)


async def test_routes_that_went_away_ignore(store, clock):
    """A delivery that was accepted before its route was taken away is ignored, with the reason."""
    (delivery_id,) = await admitted(store, clock, delivery())
    await make_fanout(store, [], now_ms=clock).run_once()
    stored = store.delivery(delivery_id)
    assert (stored.state, stored.reason) == (DeliveryState.IGNORED, "not_routed")
    assert tasks_of(store, delivery_id) == []


async def test_a_reader_that_explodes_holds_nobody_up(store, clock, monkeypatch, lines):
    """A delivery that a bug of ours cannot process is quarantined, and the next one goes on."""
    breaking(monkeypatch, RuntimeError(CANARY))
    bad, good = await admitted(store, clock, delivery(), delivery(JOB_SUCCEEDED, serial=2))
    assert await make_fanout(store, ["drop"], now_ms=clock).run_once() == 2
    stored = store.delivery(bad)
    assert (stored.state, stored.reason) == (DeliveryState.QUARANTINED, QuarantineReason.PROCESSING)
    assert store.delivery(good).state is DeliveryState.PROCESSING
    (line,) = lines.of("unhandled")
    assert (line["delivery_id"], line["exception"][0]) == (bad, "RuntimeError")
    assert CANARY not in lines.text


async def test_what_the_store_cannot_hold_holds_nobody_up(clock, lines):
    """Records that the store cannot write put their delivery into quarantine, and the next one goes on."""

    class Picky(MemoryStore):
        async def process(self, processed):
            if processed.delivery_id == "dlv_1" and processed.records:
                raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, CANARY)
            await super().process(processed)

    store = Picky()
    bad, good = await admitted(store, clock, delivery(), delivery(serial=2))
    await make_fanout(store, ["drop"], now_ms=clock).run_once()
    stored = store.delivery(bad)
    assert (stored.state, stored.reason) == (DeliveryState.QUARANTINED, QuarantineReason.PROCESSING)
    assert store.delivery(good).state is DeliveryState.PROCESSING
    assert CANARY not in lines.text


async def test_a_store_that_fails_changes_nothing(clock):
    """When the store cannot write, the delivery stays accepted and is processed later."""

    class Failing(MemoryStore):
        broken = True

        async def process(self, processed):
            if self.broken:
                raise StoreUnavailable("the store is busy")
            await super().process(processed)

    store = Failing()
    (delivery_id,) = await admitted(store, clock, delivery())
    fanout = make_fanout(store, ["drop"], now_ms=clock)
    with pytest.raises(StoreUnavailable):
        await fanout.run_once()
    assert store.delivery(delivery_id).state is DeliveryState.ACCEPTED
    store.broken = False
    await fanout.run_once()
    assert store.delivery(delivery_id).state is DeliveryState.PROCESSING


async def test_a_large_delivery_yields_to_the_loop(store, clock):
    """Between two slices of records everybody else has a turn."""
    slices = 5
    await admitted(store, clock, delivery(records=slices * SLICE_RECORDS))
    turns = 0

    async def others():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(others())
    await make_fanout(store, ["drop"], now_ms=clock).run_once()
    other.cancel()
    assert turns >= slices


async def test_nobody_overtakes_a_large_delivery(clock, tmp_path):
    """Tasks are enqueued in the order of their deliveries, also when an earlier one takes several transactions."""
    store = SqliteStore(tmp_path / "stibgate.db", durability="normal")
    sizes = [1, CHUNK_RECORDS + 1, 2, 3]
    names = await admitted(store, clock, *(delivery(records=size, serial=size) for size in sizes))
    assert await make_fanout(store, ["drop"], now_ms=clock).run_once() == 4
    assert [task.delivery_id for _, task in reversed(store.ledger.tasks(TaskFilter(), limit=None))] == names
    await store.close()


async def test_the_log_counts_issues_and_names_nobody(store, clock, lines):
    """What is wrong with records is logged as counts of field and reason, never as values."""
    body = json.dumps(
        {"event": RECORDS_PUSHED, "search_id": "s1", "data": [{"prospect_id": "p1", "business_email": "not an e-mail"}]}
    ).encode()
    await receive(make_intake(store, now_ms=clock), body, signed(body))
    await make_fanout(store, ["drop"], now_ms=clock).run_once()
    (line,) = lines.of("records.normalised")
    assert (line["records"], line["flagged"], line["issues"]) == (1, 1, {"business_email.invalid": 1})
    assert "not an e-mail" not in lines.text
