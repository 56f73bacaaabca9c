"""Search ids and bodies' hashes: found before they are filed and after, whatever the filing has come to."""

import asyncio

import pytest

from stibgate.domain.delivery import DeliveryState
from stibgate.stores import DeliveryFilter, TaskFilter
from stibgate.stores.filing import SLICE, file_some
from stibgate.stores.ledger import open_ledger
from stibgate.stores.sqlite import SqliteStore
from tests.stores.base import replay, replay_delivery
from tests.stores.world import NOW_MS, make_delivery, make_processed


@pytest.fixture
async def store(tmp_path, monkeypatch):
    """A store that files nothing by itself."""
    monkeypatch.setattr("stibgate.stores.writer.LEISURE_S", 3600.0)
    store = SqliteStore(tmp_path / "stibgate.db", durability="normal")
    yield store
    await store.close()


def filing(store):
    """Return how many lookups there are, and up to which delivery."""
    (count,) = store._reader.execute("SELECT count(*) FROM lookups").fetchone()
    (through,) = store._reader.execute("SELECT through FROM filing").fetchone()
    return count, through


def found(store, **fields):
    """Return the ids of the deliveries that a filter finds."""
    return [delivery.delivery_id for delivery in store.ledger.deliveries(DeliveryFilter(**fields), limit=None)]


@pytest.mark.parametrize("filed", ["none", "some", "all"])
async def test_found_however_far_the_filing_is(store, filed):
    """The same deliveries and tasks are found by search and by body when none, some or all of them are filed."""
    one, two = (make_delivery(n, body=b"body %d" % n, search_id="s") for n in (1, 2))
    await store.admit(one)
    if filed == "some":
        await store._writer.submit(file_some)
    await store.admit(two)
    await store.admit(make_delivery(3, search_id="t"))
    await store.process(make_processed(1, ["crm"]))
    if filed == "all":
        await store._writer.submit(file_some)
    assert filing(store) == {"none": (0, 0), "some": (2, 1), "all": (6, 3)}[filed]
    assert found(store, search_id="s") == ["d2", "d1"]
    assert found(store, search_id="S") == []
    assert found(store, search_id="s", body_sha256=(one.body_sha256, one.body_sha256)) == ["d1"]
    assert found(store, body_sha256=(two.body_sha256, two.body_sha256)) == ["d2"]
    assert found(store, body_sha256=(b"\x00" * 32, b"\xff" * 32)) == ["d3", "d2", "d1"]
    assert [t.delivery_id for _, t in store.ledger.tasks(TaskFilter(search_id="s"), limit=None)] == ["d1"]


@pytest.mark.parametrize("filed_after", range(5))
async def test_counted_once(store, filed_after):
    """A delivery counts once in its state, whether it is filed before or after it comes to its end and is opened again."""
    steps = [
        lambda: store.admit(make_delivery(1, state=DeliveryState.QUARANTINED)),
        lambda: store.admit(make_delivery(2)),
        lambda: store.process(make_processed(2, [], records=0)),
        lambda: replay_delivery(store, "d1", replay(NOW_MS)),
        lambda: store.process(make_processed(1, [], records=0)),
    ]
    counts = []
    for number, step in enumerate(steps):
        await step()
        if number == filed_after:
            await store._writer.submit(file_some)
        counts.append(store.ledger.status().deliveries)
    assert counts == [
        {"quarantined": 1},
        {"quarantined": 1, "accepted": 1},
        {"quarantined": 1, "done": 1},
        {"accepted": 1, "done": 1},
        {"done": 2},
    ]
    assert store.ledger.check() == []


async def test_hashes_that_begin_alike(store):
    """Only the beginning of a hash is filed; bodies that share it are told apart."""
    near = make_delivery(1)
    far = make_delivery(2, key=b"other", body_sha256=near.body_sha256[:-1] + bytes([near.body_sha256[-1] ^ 1]))
    for delivery in (near, far):
        await store.admit(delivery)
    await store._writer.submit(file_some)
    assert found(store, body_sha256=(far.body_sha256, far.body_sha256)) == ["d2"]


async def test_a_slice_at_a_time(store):
    """A step files so many and says whether there are more; what was filed is not filed again."""
    await asyncio.gather(*(store.admit(make_delivery(n)) for n in range(1, SLICE + 3)))
    assert [await store._writer.submit(file_some) for _ in range(3)] == [True, False, False]
    assert filing(store) == (SLICE + 2, SLICE + 2)
    assert store.ledger.check() == []


async def test_what_is_removed_is_not_looked_up(store):
    """With a delivery its lookups go, and one that takes its place in the order is filed as well."""
    for number in (1, 2):
        await store.admit(make_delivery(number, search_id="s"))
    await store._writer.submit(file_some)
    for table in ("bodies", "deliveries"):
        await store._writer.submit(lambda db, table=table: db.execute(f"DELETE FROM {table}").rowcount)
    assert filing(store) == (0, 0)
    await store.admit(make_delivery(3, search_id="s"))
    assert found(store, search_id="s") == ["d3"]
    await store._writer.submit(file_some)
    assert filing(store) == (2, 1)


async def test_a_service_files_what_an_earlier_one_left(tmp_path, monkeypatch):
    """What was admitted before a restart is filed after it, without anything else to do."""
    path = tmp_path / "stibgate.db"
    monkeypatch.setattr("stibgate.stores.writer.LEISURE_S", 3600.0)
    store = SqliteStore(path, durability="normal")
    await store.admit(make_delivery(1, search_id="s"))
    await store.close()
    monkeypatch.setattr("stibgate.stores.writer.LEISURE_S", 0.0)
    store = SqliteStore(path, durability="normal")
    while store._writer._put_off:
        await store.flush()
    await store.close()
    ledger = open_ledger(path)
    assert ledger.check() == []
    assert found(type("Closed", (), {"ledger": ledger}), search_id="s") == ["d1"]
    ledger.close()
