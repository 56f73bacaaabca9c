"""What keeps the pipeline moving: leases, shares of the time, and a clean stop. All in virtual time."""

import asyncio
from dataclasses import replace

import pytest

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import Signal, TaskState
from stibgate.errors import SinkUnavailable, StoreUnavailable
from stibgate.pipeline.dispatch import Outlet
from stibgate.stores import DeliveryFilter, TaskFilter
from stibgate.stores.memory import MemoryStore
from tests.pipeline.world import NOW_MS, POLICY, ScriptedSink, admit, delivery, make_intake, make_worker, outcomes
from tests.virtual import now_ms, run


class Service:
    """A store, sinks and the worker between them."""

    def __init__(self, store=None, *, policy=POLICY, busy=lambda: False, **sinks) -> None:
        self.store = store or MemoryStore()
        self.sinks = sinks or {"drop": ScriptedSink()}
        outlets = {name: Outlet(sink, policy) for name, sink in self.sinks.items()}
        self.worker = make_worker(self.store, outlets, now_ms=now_ms, busy=busy)
        self.intake = make_intake(self.store, now_ms=now_ms, on_admitted=self.worker.wake)

    async def send(self, *serials: int) -> list[str]:
        return [(await admit(self.intake, delivery(serial=n), at_ms=now_ms())).delivery_id for n in serials]

    async def quiet(self, *, within_s: float = 100_000) -> None:
        """Return once nothing is accepted or processing."""
        async with asyncio.timeout(within_s):
            while await self.store.unfinished():
                await asyncio.sleep(0.01)

    def tasks(self, **where):
        return [task for _, task in reversed(self.store.tasks(TaskFilter(**where), limit=None))]

    def states(self) -> set[DeliveryState]:
        return {held.state for held in self.store.deliveries(DeliveryFilter(), limit=None)}


class Gate:
    """Holds up every batch that reaches it until it is opened; counts how many are inside."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.inside = self.most = 0

    async def __call__(self, batch):
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.opened.wait()
        finally:
            self.inside -= 1
        return outcomes(batch)


def test_an_accepted_delivery_reaches_its_sinks():
    """What was admitted is forwarded at once, without any clock having to tick."""

    async def main():
        service = Service(drop=ScriptedSink(), crm=ScriptedSink())
        await service.worker.start()
        await service.send(1, 2)
        await service.quiet(within_s=0.1)
        await service.worker.stop(drain_timeout_s=1)
        assert service.states() == {DeliveryState.DONE}
        assert [len(sink.batches) for sink in service.sinks.values()] == [2, 2]

    run(main())


def test_what_was_accepted_before_the_start_is_forwarded():
    """A delivery that an earlier process had only stored is forwarded by the next one."""

    async def main():
        service = Service()
        await service.send(1)
        await service.worker.start()
        await service.quiet(within_s=0.1)
        await service.worker.stop(drain_timeout_s=1)
        assert len(service.sinks["drop"].batches) == 1

    run(main())


def test_retries_come_in_time():
    """A task waits exactly as long as the schedule says, and ends."""

    async def main():
        service = Service(drop=ScriptedSink([SinkUnavailable("no"), SinkUnavailable("no")]))
        await service.worker.start()
        await service.send(1)
        await service.quiet()
        await service.worker.stop(drain_timeout_s=1)
        (task,) = service.tasks()
        starts = [attempt.started_at_ms - NOW_MS for attempt in service.store.attempts(task.task_id)]
        assert (task.state, starts) == (TaskState.DELIVERED, [0, 5_000, 65_000])

    run(main())


@pytest.mark.parametrize(
    ("policy", "attempts"),
    [(POLICY, 3), (replace(POLICY, max_age_s=30), 2)],
    ids=["schedule used up", "max_age passed"],
)
def test_a_dead_sink_ends_in_dead_letters(policy, attempts):
    """A task whose sink never answers well is dead when its schedule or its age ends, whichever is first."""

    async def main():
        service = Service(policy=policy, drop=ScriptedSink([SinkUnavailable("no")] * 10))
        await service.worker.start()
        await service.send(1)
        await service.quiet()
        await service.worker.stop(drain_timeout_s=1)
        (task,) = service.tasks()
        assert (task.state, task.attempts, task.error) == (TaskState.DEAD, attempts, "no")
        assert service.states() == {DeliveryState.DONE}

    run(main())


def test_concurrency_is_bounded_per_sink():
    """A sink never has more attempts at once than its policy says."""

    async def main():
        gate = Gate()
        service = Service(drop=ScriptedSink([gate] * 6))
        await service.worker.start()
        await service.send(*range(6))
        await asyncio.sleep(1)
        assert (gate.inside, service.worker.attempts_running) == (2, 2)
        gate.opened.set()
        await service.quiet(within_s=1)
        await service.worker.stop(drain_timeout_s=1)
        assert gate.most == 2

    run(main())


def test_a_hanging_sink_holds_up_nobody_else():
    """While one sink hangs on every attempt, another one gets all its deliveries at once."""

    async def main():
        gate = Gate()
        service = Service(slow=ScriptedSink([gate] * 100), fast=ScriptedSink())
        await service.worker.start()
        for serial in range(20):
            await service.send(serial)
            await asyncio.sleep(0.01)
        assert len(service.sinks["fast"].batches) == 20
        assert gate.inside == 2
        await service.worker.stop(drain_timeout_s=0)

    run(main())


def test_a_hanging_sink_does_not_delay_the_retries_of_another():
    """A retry comes in time while another sink hangs and has tasks waiting."""

    async def main():
        slow = ScriptedSink([Gate()] * 100)
        fast = ScriptedSink([SinkUnavailable("no", retry_after_s=5.2)])
        service = Service(slow=slow, fast=fast, policy=replace(POLICY, timeout_s=1000, lease_s=2000))
        await service.worker.start()
        await service.send(1)
        await asyncio.sleep(0.1)
        await service.send(2, 3, 4, 5)
        await asyncio.sleep(5.1 + 0.1)
        assert [batch.task_id for batch in fast.batches].count(fast.batches[0].task_id) == 2
        await service.worker.stop(drain_timeout_s=0)

    run(main())


def test_each_sink_has_its_own_lease():
    """A task is leased for as long as its own sink's policy says, whatever the other sinks have."""

    async def main():
        gate = Gate()
        service = Service(quick=ScriptedSink([gate]), slow=ScriptedSink([gate]))
        leases = {"quick": 40.0, "slow": 900.0}
        outlets = {
            name: Outlet(sink, replace(POLICY, timeout_s=30, lease_s=leases[name]))
            for name, sink in service.sinks.items()
        }
        service.worker = make_worker(service.store, outlets, now_ms=now_ms)
        await service.send(1)
        await service.worker.start()
        async with asyncio.timeout(1):
            while gate.inside < 2:
                await asyncio.sleep(0.001)
        held = {task.sink: (task.lease_until_ms - task.updated_at_ms) / 1000 for task in service.tasks()}
        gate.opened.set()
        await service.quiet()
        await service.worker.stop(drain_timeout_s=1)
        assert held == leases

    run(main())


def test_draining_lets_attempts_end():
    """A stop waits for running attempts, and those settle as always."""

    async def main():
        gate = Gate()
        service = Service(drop=ScriptedSink([gate]))
        await service.worker.start()
        await service.send(1)
        await asyncio.sleep(1)
        stopping = asyncio.create_task(service.worker.stop(drain_timeout_s=20))
        await asyncio.sleep(5)
        gate.opened.set()
        assert await stopping == 0
        assert service.tasks()[0].state is TaskState.DELIVERED

    run(main())


def test_draining_gives_leases_back():
    """What has not ended by the drain's time-out is cancelled and given back: due at once, nothing settled."""

    async def main():
        service = Service(drop=ScriptedSink([Gate()] * 2), policy=replace(POLICY, timeout_s=1000))
        await service.worker.start()
        await service.send(1, 2, 3)
        await asyncio.sleep(1)
        assert await service.worker.stop(drain_timeout_s=20) == 2
        assert now_ms() == NOW_MS + 21_000
        assert [task.state for task in service.tasks()] == [TaskState.QUEUED] * 3
        signals = [a.signal for task in service.tasks() for a in service.store.attempts(task.task_id)]
        assert signals == [Signal.RELEASED] * 2
        again = Service(service.store)
        assert await again.worker.start() == 0
        await again.quiet(within_s=0.1)
        await again.worker.stop(drain_timeout_s=1)
        assert again.states() == {DeliveryState.DONE}

    run(main())


def test_nothing_begins_after_a_stop():
    """A stopped worker leases nothing more, whatever is admitted."""

    async def main():
        service = Service()
        await service.worker.start()
        await service.worker.stop(drain_timeout_s=1)
        await service.send(1)
        await asyncio.sleep(100)
        assert service.sinks["drop"].batches == []
        assert service.states() == {DeliveryState.ACCEPTED}

    run(main())


def test_a_crash_is_taken_over():
    """Tasks that a dead process had leased are given back at the next start, and their attempts count on."""

    async def main():
        dead = Service(drop=ScriptedSink([Gate()] * 2))
        await dead.worker.start()
        await dead.send(1, 2)
        await asyncio.sleep(1)
        for each in [
            *dead.worker._loops,
            *dead.worker._lanes._loops.values(),
            *next(iter(dead.worker._lanes))._running,
        ]:
            each.cancel()
        await asyncio.sleep(0)
        service = Service(dead.store)
        assert await service.worker.start() == 2
        await service.quiet(within_s=0.1)
        await service.worker.stop(drain_timeout_s=1)
        for task in service.tasks():
            attempts = [(a.number, a.signal) for a in service.store.attempts(task.task_id)]
            assert attempts == [(1, Signal.RELEASED), (2, Signal.TAKEN)]

    run(main())


def test_an_attempt_whose_end_cannot_be_written_is_made_again():
    """When the store fails at the settlement, the lease runs out and the task is tried again."""

    async def main():
        class Forgetful(MemoryStore):
            failures = 1

            async def settle(self, *arguments):
                if self.failures:
                    self.failures -= 1
                    raise StoreUnavailable("the store is busy")
                return await super().settle(*arguments)

        service = Service(Forgetful())
        await service.worker.start()
        await service.send(1)
        await service.quiet(within_s=POLICY.lease_s + 2)
        await service.worker.stop(drain_timeout_s=1)
        (task,) = service.tasks()
        assert (task.state, task.attempts) == (TaskState.DELIVERED, 2)
        first, second = service.sinks["drop"].batches
        assert first.task_id == second.task_id

    run(main())


@pytest.mark.parametrize("error", [StoreUnavailable("the store is busy"), RuntimeError("a bug")])
def test_the_loops_outlive_what_fails_in_them(error):
    """A failing store, or a bug, stops neither loop: they try again a moment later."""

    async def main():
        class Flaky(MemoryStore):
            failing = True

            async def accepted(self, *, limit):
                if self.failing:
                    raise error
                return await super().accepted(limit=limit)

            async def claim(self, *sink_and_policy, **arguments):
                if self.failing:
                    raise error
                return await super().claim(*sink_and_policy, **arguments)

        service = Service(Flaky())
        await service.send(1)
        await service.worker.start()
        await asyncio.sleep(10)
        service.store.failing = False
        await service.quiet(within_s=2)
        await service.worker.stop(drain_timeout_s=1)
        assert service.states() == {DeliveryState.DONE}

    run(main())


def test_a_busy_receiver_slows_and_never_stops_the_rest():
    """While answers are waiting all the time, deliveries are still forwarded."""

    async def main():
        service = Service(busy=lambda: True)
        await service.worker.start()
        await service.send(*range(8))
        await service.quiet(within_s=60)
        await service.worker.stop(drain_timeout_s=1)
        assert len(service.sinks["drop"].batches) == 8

    run(main())


def test_idleness_is_not_paid_for():
    """Time spent waiting for work does not count as work: after it, a busy receiver does not hold up the first step."""

    async def main():
        busy = False
        service = Service(busy=lambda: busy)
        await service.worker.start()
        await asyncio.sleep(1000)
        busy = True
        started_ms = now_ms()
        await service.send(1)
        await service.quiet(within_s=10)
        await service.worker.stop(drain_timeout_s=1)
        assert now_ms() - started_ms < 100

    run(main())


def test_a_task_of_a_sink_that_is_gone_keeps_nobody_awake():
    """A task whose sink is not configured any more waits, and nobody looks for it."""

    async def main():
        class Counting(MemoryStore):
            calls = 0

            async def claim(self, *sink_and_policy, **arguments):
                self.calls += 1
                return await super().claim(*sink_and_policy, **arguments)

        old = Service(Counting(), gone=ScriptedSink([Gate()]))
        await old.worker.start()
        await old.send(1)
        await asyncio.sleep(0.1)
        await old.worker.stop(drain_timeout_s=0)
        service = Service(old.store)
        await service.worker.start()
        await asyncio.sleep(10)
        before = service.store.calls
        await asyncio.sleep(100_000)
        await service.worker.stop(drain_timeout_s=0)
        assert service.store.calls == before
        assert service.tasks()[0].state is TaskState.QUEUED

    run(main())
