"""A process that dies between any two steps of buying, asking and delivering loses nothing and pays nothing twice."""

import inspect
from contextlib import suppress
from itertools import count

import pytest

from stibgate.domain.event import JOB_FAILED
from stibgate.errors import VendorError
from stibgate.pipeline.fanout import Readback
from stibgate.stores.memory import MemoryStore
from tests.pipeline.jobs_world import IN_DOUBT, House, bought, budget, full, shared_ids, thin
from tests.pipeline.world import Clock, ScriptedSink
from tests.simulation.world import Crash, Process


class Mortal:
    """A store as one process sees it: each call is two steps, before it has happened and after."""

    def __init__(self, store, process) -> None:
        self._store = store
        self._process = process

    def __getattr__(self, name):
        method = getattr(self._store, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args, **arguments):
            self._process.step()
            result = await method(*args, **arguments)
            self._process.step()
            return result

        return call


class World:
    """What outlives every process: the store, the vendor, the sink, and who sends events."""

    def __init__(self, way) -> None:
        self.way = way
        self.store = MemoryStore()
        self.settings = {
            "budgets": {"ops": budget(1000)},
            "continue_pages": True,
            "readback": Readback.ALWAYS if way == "failed" else Readback.AUTO,
            "clock": Clock(),
            "sink": ScriptedSink(),
            "new_ids": shared_ids(),
        }
        self.vendor = House(self.store).vendor
        self.vendor.on_create = [IN_DOUBT] if way == "doubt" else []

    def house(self, process):
        return House(Mortal(self.store, process), vendor=self.vendor, **self.settings)

    async def live(self, dies_at=None, *, buys=False) -> Process:
        """Run one process until all is quiet, or until it dies; who *buys* does so at its start."""
        process = Process(dies_at)
        house = self.house(process)
        try:
            await house.store.recover_runs(now_ms=house.clock())
            await house.store.recover(now_ms=house.clock())
            if buys:
                with suppress(VendorError):
                    await bought(house, 2, max_records=4)
            await self._resolve(house)
            for _ in range(2):
                await self._events(house)
                await house.settle_all(0.07)
            await house.settle_all(0.07)
        except Crash:
            pass
        return process

    async def _resolve(self, house):
        """Say what became of doubtful runs, as a person who looks at the vendor's list would."""
        known = {run.job_id for run in house.runs()}
        for run in house.runs():
            if run.state == "doubtful":
                await house.desk.resolve(run.run_id, next(iter(self.vendor.jobs.keys() - known), None), by="me")

    async def _events(self, house):
        for number in range(1, len(self.vendor.created) + 1):
            job = self.vendor.jobs[self.vendor.finish(number)]
            if self.way == "doubt":
                await house.post(full(job))
            elif self.way == "failed":
                await house.post(thin(job["job_id"], JOB_FAILED))

    def check(self):
        house = House(self.store, vendor=self.vendor, **self.settings)
        assert len(self.vendor.created) <= 2, "a page was bought twice"
        pages = [run for run in house.runs() if run.state != "refused"]
        assert [(run.state, run.billed, run.page) for run in pages] == [
            ("succeeded", 2, number) for number in range(1, len(self.vendor.created) + 1)
        ]
        assert house.spent() == (0, 2 * len(pages))
        assert house.held() == [f"person_{number}" for number in range(2 * len(pages))]
        assert {str(delivery.state) for delivery in house.deliveries()} <= {"done"}


@pytest.mark.parametrize("way", ["failed", "poll", "doubt"])
async def test_a_crash_at_every_step(way):
    """Two pages are bought once each and delivered once, wherever the process dies and however their jobs come in."""
    for k in count(1):
        world = World(way)
        first = await world.live(k, buys=True)
        await world.live()
        world.check()
        if not first.died.is_set():
            break
    assert k > 60
    assert len(world.vendor.created) == 2
