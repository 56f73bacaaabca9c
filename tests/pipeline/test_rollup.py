"""The per-minute roll-up."""

import asyncio

import pytest

from stibgate.domain.fact import Answer, Answered, GaveUp
from stibgate.domain.rejection import Evidence
from stibgate.domain.stats import DAY_MS, WINDOWS
from stibgate.domain.tally import MINUTE_MS
from stibgate.errors import StoreTimeout, StoreUnavailable
from stibgate.pipeline import rollup
from stibgate.pipeline.refusals import Refusals
from stibgate.pipeline.rollup import Rollup
from stibgate.stores.memory import MemoryStore

T = 20_000 * DAY_MS


class Shaky(MemoryStore):
    """Fails as it is told: before it adds, or after."""

    before: Exception | None = None
    after: Exception | None = None

    async def add_counts(self, batch_id, counts, rejections=()):
        if self.before is not None:
            raise self.before
        await super().add_counts(batch_id, counts, rejections)
        if self.after is not None:
            raise self.after


class World:
    def __init__(self):
        self.store = Shaky()
        self.now_ms = T
        self.ids = 0
        self.refusals = Refusals(now_ms=lambda: self.now_ms)
        self.rollup = Rollup(self.store, self.refusals, now_ms=lambda: self.now_ms, new_id=self.new_id)

    def new_id(self):
        self.ids += 1
        return f"b{self.ids}"

    def refuse(self):
        self.refusals.note("push", "mismatch", lambda: Evidence("r1", 401, "192.0.2.1"))

    def accept(self, times=1):
        for _ in range(times):
            self.rollup.observe(Answered("push", Answer.ACCEPTED, 202, 0.004, records=2))

    @property
    def stats(self):
        back_ms, step_ms = WINDOWS["1h"]
        return self.store.stats(since_ms=self.now_ms - back_ms, until_ms=self.now_ms + 1, step_ms=step_ms)


@pytest.fixture
def world():
    return World()


async def test_what_happens_is_added_up_by_the_minute(world):
    """Facts of a minute become numbers of that minute, whatever the moment of the flush."""
    world.accept(3)
    world.now_ms += MINUTE_MS
    world.accept(2)
    world.rollup.observe(GaveUp("crm"))
    assert world.stats.accepted == 0
    assert await world.rollup.flush()
    assert list(world.stats.chart.accepted["push"])[-2:] == [3, 2]
    assert (world.stats.records, world.stats.sinks["crm"].dead) == (10, 1)
    assert await world.rollup.flush()
    assert world.stats.accepted == 5


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_failure_neither_loses_nor_doubles(world, when):
    """A batch that failed, or whose end nobody saw, is added once when the store is back, and so is what came since."""
    world.accept()
    world.refuse()
    setattr(world.store, when, StoreTimeout("late") if when == "after" else StoreUnavailable("down"))
    assert not await world.rollup.flush()
    world.accept()
    world.refuse()
    assert not await world.rollup.flush()
    setattr(world.store, when, None)
    await world.rollup.stop()
    assert world.stats.accepted == 2
    assert [group.count for group in world.store.rejections(T)] == [2]


async def test_memory_is_bounded(world, monkeypatch):
    """While the store takes nothing, what is counted already goes on counting, and nothing new is begun."""
    monkeypatch.setattr(rollup, "GATHERED_MAX", 3)
    for _ in range(5):
        world.accept()
        world.now_ms += MINUTE_MS
    world.now_ms -= 5 * MINUTE_MS
    world.accept()
    await world.rollup.flush()
    assert (world.stats.accepted, len(world.store._counts)) == (2, 3)


async def test_it_flushes_by_itself_and_outlives_a_bug(world, monkeypatch):
    """The loop goes on after an error that nobody foresaw, flushes, forgets what is old, and flushes when it ends."""
    monkeypatch.setattr(rollup, "FLUSH_S", 0.001)
    world.accept()
    await world.rollup.flush()
    world.now_ms += 9 * DAY_MS
    world.store.before = RuntimeError("canary")
    world.rollup.start()
    await asyncio.sleep(0.01)
    world.store.before = None
    while world.store._counts:
        await asyncio.sleep(0.001)
    monkeypatch.setattr(rollup, "FLUSH_S", 99)
    world.accept()
    await world.rollup.stop()
    assert world.stats.accepted == 1
