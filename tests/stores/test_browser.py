"""Reading for people, beside what the service does."""

import asyncio
import threading

import pytest

from stibgate.errors import QuestionTooBroad, StoreUnavailable
from stibgate.stores import browser as module
from stibgate.stores.browser import Browser
from stibgate.stores.sqlite import SqliteStore
from tests.stores.world import EVERYTHING, make_delivery

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


def endless(ledger):
    """Ask what takes for ever."""
    return ledger.connection.execute(ENDLESS).fetchone()


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path / "stibgate.db", durability="normal")
    yield store
    await store.close()


async def test_questions_end(store):
    """A question that takes too long is ended with a hint, and its thread answers the next one."""
    for _ in range(module.THREADS + 1):
        with pytest.raises(QuestionTooBroad, match=r"within 0\.02 s") as refused:
            await store.browse(endless, limit_s=0.02)
        assert "Narrow" in refused.value.hint
    assert await store.browse(lambda ledger: ledger.deliveries(EVERYTHING, limit=1)) == []


async def test_one_that_waited_too_long_is_never_begun(store):
    """Who waits behind others is told after the same time; nothing is read for somebody who has gone."""
    held, begun = threading.Event(), []
    others = [asyncio.create_task(store.browse(lambda _: held.wait(), limit_s=60)) for _ in range(module.THREADS)]
    late = asyncio.create_task(store.browse(begun.append, limit_s=0.01))
    gone = asyncio.create_task(store.browse(begun.append))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0.02)
    held.set()
    with pytest.raises(QuestionTooBroad):
        await late
    await asyncio.gather(*others, gone, return_exceptions=True)
    assert begun == []


async def test_the_service_does_not_wait(store):
    """While every thread for people is busy the service reads and writes as ever, and too many are sent away."""
    busy = [asyncio.create_task(store.browse(endless, limit_s=60)) for _ in range(module.WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable, match="too many questions"):
        await store.browse(endless)
    await store.admit(make_delivery(1))
    assert len(await store.accepted(limit=9)) == 1
    for one in busy:
        one.cancel()
    await asyncio.gather(*busy, return_exceptions=True)


async def test_closing_ends_questions(tmp_path):
    """A store that is closed ends what people ask, and waits for no limit."""
    store = SqliteStore(tmp_path / "stibgate.db", durability="normal")
    asked = asyncio.create_task(store.browse(endless, limit_s=600))
    while not store._browser._ledgers:
        await asyncio.sleep(0.001)
    async with asyncio.timeout(60):
        await store.close()
        with pytest.raises(QuestionTooBroad):
            await asked


async def test_a_question_never_ends_another_ones(tmp_path):
    """Ending a question that was answered does not touch the one that its connection answers now."""
    store = SqliteStore(tmp_path / "stibgate.db", durability="normal")
    asked = Browser(tmp_path / "stibgate.db")
    ended = []

    def first(_ledger):
        ended.extend(asked._questions)

    def second(ledger):
        for question in ended:
            question.end()
        return ledger.connection.execute("SELECT 1").fetchone()

    await asked.ask(first)
    assert await asked.ask(second) == (1,)
    await asked.close()
    await store.close()


async def test_readers_do_not_keep_the_log_growing(store, monkeypatch):
    """While people ask without a pause, the WAL is begun anew: it does not grow with what was written."""
    monkeypatch.setattr(module, "WAL_BYTES_MAX", 3 << 20)
    monkeypatch.setattr(module, "REST_EVERY_S", 0.05)
    for pragma in ("wal_autocheckpoint=200", f"journal_size_limit={2 << 20}"):
        store._writer._db.conn.execute(f"PRAGMA {pragma}")
    stop = asyncio.Event()
    wal = store._path.with_name(store._path.name + "-wal")
    count = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90000)"

    def slow(ledger):
        return ledger.connection.execute(f"{count} SELECT sum(i) FROM n, (SELECT count(*) FROM deliveries)").fetchone()

    async def read():
        while not stop.is_set():
            await store.browse(slow)

    readers = [asyncio.create_task(read()) for _ in range(module.THREADS)]
    before = shrunk = number = 0
    while not shrunk and number < 300:
        number += 1
        await store.admit(make_delivery(number, body=bytes(500_000)))
        size = wal.stat().st_size
        shrunk, before = size < before, size
    stop.set()
    await asyncio.gather(*readers)
    assert shrunk
