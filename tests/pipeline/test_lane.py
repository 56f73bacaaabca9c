"""A lane leases for one sink alone and sleeps when there is nothing to do. All in virtual time."""

import asyncio
from dataclasses import replace

import pytest

from stibgate.domain.circuit import CircuitPolicy
from stibgate.domain.task import Signal, TaskState
from stibgate.errors import SinkHeld, SinkUnavailable
from stibgate.pipeline.dispatch import Outlet
from stibgate.pipeline.lane import Rate
from stibgate.stores import Replay, TaskFilter
from stibgate.stores.memory import MemoryStore
from stibgate.stores.sqlite import SqliteStore
from tests.pipeline.world import (
    NOW_MS,
    POLICY,
    Clock,
    ScriptedSink,
    admit,
    delivery,
    make_fanout,
    make_intake,
    make_worker,
    outcomes,
    receive,
    signed,
    to_sinks,
)
from tests.stores.base import replay_task
from tests.virtual import now_ms, run

DAY_S = 86_400
FRAIL = replace(POLICY, schedule_s=(0,) + (1,) * 30, circuit=CircuitPolicy(failures=2, open_for_s=30))


class Counting(MemoryStore):
    """Counts how often anybody looks for work."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    async def claim(self, *sink_and_policy, **arguments):
        self.looks += 1
        return await super().claim(*sink_and_policy, **arguments)


class Service:
    """A store, sinks and the worker between them; each sink may have a policy of its own."""

    def __init__(self, *, store=None, policies=None, policy=POLICY, **sinks) -> None:
        self.store = store or Counting()
        self.sinks = sinks
        outlets = {name: Outlet(sink, (policies or {}).get(name, policy)) for name, sink in sinks.items()}
        self.worker = make_worker(self.store, outlets, now_ms=now_ms)
        self.intake = make_intake(self.store, router=to_sinks(*sinks), now_ms=now_ms, on_admitted=self.worker.wake)

    async def send(self, *serials):
        for serial in serials:
            await admit(self.intake, delivery(serial=serial), at_ms=now_ms())

    async def start(self, *serials):
        await self.worker.start()
        await self.send(*serials)
        await asyncio.sleep(0.2)

    async def stop(self):
        await self.worker.stop(drain_timeout_s=0)

    def tasks(self, **where):
        return [task for _, task in reversed(self.store.tasks(TaskFilter(**where), limit=None))]

    def starts(self, sink):
        """Return when each attempt of *sink* began, in seconds."""
        attempts = [a for task in self.tasks(sink=sink) for a in self.store.attempts(task.task_id)]
        return sorted((attempt.started_at_ms - NOW_MS) / 1000 for attempt in attempts)


async def hang(_batch):
    await asyncio.Event().wait()


def slow(seconds):
    async def answer(batch):
        await asyncio.sleep(seconds)
        return outcomes(batch)

    return answer


def test_nobody_polls():
    """Whatever there is to wait for, nobody looks for work meanwhile: idle, retry, breaker, hold, pause, a long attempt."""

    async def main():
        patient = replace(FRAIL, timeout_s=2 * DAY_S, lease_s=3 * DAY_S, max_age_s=9 * DAY_S)
        service = Service(
            policy=patient,
            idle=ScriptedSink(),
            retry=ScriptedSink([SinkUnavailable("no", retry_after_s=DAY_S)]),
            open=ScriptedSink([SinkUnavailable("no")] * 2 + [hang]),
            held=ScriptedSink([SinkHeld("quota", retry_after_s=DAY_S)] * 2),
            paused=ScriptedSink(),
            long=ScriptedSink([hang] * 2),
        )
        await service.store.pause("paused", now_ms=now_ms(), by="me")
        await service.start(1, 2)
        await asyncio.sleep(60)  # by now the probe of `open` hangs, with a task behind it
        before = service.store.looks
        await asyncio.sleep(20 * 3600)
        assert service.store.looks - before <= 2 * 20, "two lanes know a time, and sleep at most an hour"
        assert [len(sink.batches) for sink in service.sinks.values()] == [2, 2, 3, 2, 0, 2]
        await service.stop()

    run(main())


def test_a_wake_up_is_heard():
    """What an operator does is done at once: a resume, a replay, and a second of either."""

    async def main():
        service = Service(drop=ScriptedSink([SinkHeld("quota", retry_after_s=DAY_S)]))
        await service.start(1)
        for step in range(3):
            assert await service.store.resume("drop", now_ms=now_ms()) is (step == 0)
            if step:
                await replay_task(service.store, "tsk_1", Replay(now_ms(), "me", forced=True))
            service.worker.wake_all()
            await asyncio.sleep(0.1)
            assert service.tasks()[0].state is TaskState.DELIVERED
            await asyncio.sleep(1000)
        assert [batch.key for batch in service.sinks["drop"].batches] == ["tsk_1", "tsk_1", "tsk_1.1", "tsk_1.2"]
        await service.stop()

    run(main())


def test_a_hold_from_end_to_end(lines):
    """A held sink is tried once when its time is over, and then everything that waited goes at once."""

    async def main():
        script = [SinkHeld("token expired", retry_after_s=600)] * 4
        service = Service(drop=ScriptedSink(script), other=ScriptedSink())
        await service.start(*range(6))
        await asyncio.sleep(3000)
        starts = service.starts("drop")
        assert starts[:2] == [0, 0], "two began before anybody knew"
        assert [round(start) for start in starts[2:4]] == [600, 1200]
        assert len(starts) == 4 + 6
        assert starts[-1] < 1801
        assert len(service.sinks["other"].batches) == 6
        assert {task.tries for task in service.tasks(sink="drop")} == {1}
        assert [line["reason"] for line in lines.of("sink.circuit_opened")] == ["held"]
        assert len(lines.of("sink.circuit_closed")) == 1
        await service.stop()

    run(main())


def test_a_breaker_from_end_to_end():
    """A sink that fails is left alone for 30 s, 60 s, 120 s, with one probe each; other sinks do not notice."""

    async def main():
        service = Service(policy=FRAIL, drop=ScriptedSink([SinkUnavailable("no")] * 4), other=ScriptedSink())
        await service.start(1, 2, 3)
        await asyncio.sleep(400)
        assert [round(start) for start in service.starts("drop")][:5] == [0, 0, 30, 90, 210]
        assert set(service.starts("other")) == {0}
        assert {task.state for task in service.tasks()} == {TaskState.DELIVERED}
        await service.stop()

    run(main())


def test_a_probe_that_is_answered_sets_everybody_free():
    """The moment a probe is answered the others begin; nobody waits for the next look."""

    async def main():
        script = [SinkUnavailable("no")] * 2 + [slow(7)]
        service = Service(policy=FRAIL, drop=ScriptedSink(script))
        await service.start(1, 2, 3, 4)
        await asyncio.sleep(60)
        starts = service.starts("drop")
        assert starts[2] == pytest.approx(30, abs=0.06)
        assert starts[3:] == [pytest.approx(starts[2] + 7, abs=0.06)] * 3
        await service.stop()

    run(main())


def test_one_lane_that_hangs_delays_no_other():
    """While one sink hangs and another is held, a third gets its first attempts and its retries to the millisecond."""

    async def main():
        service = Service(
            policies={"slow": replace(POLICY, timeout_s=1000, lease_s=2000)},
            slow=ScriptedSink([hang] * 9),
            held=ScriptedSink([SinkHeld("quota")]),
            fast=ScriptedSink([SinkUnavailable("no", retry_after_s=5.2), SinkUnavailable("no", retry_after_s=7.3)]),
        )
        await service.start(1, 2)
        await service.send(3, 4, 5)
        await asyncio.sleep(20)
        assert service.starts("fast") == [0, 0, 0.2, 0.2, 0.2, 5.2, 7.3]
        assert len(service.starts("slow")) == 2
        await service.stop()

    run(main())


def test_what_falls_due_while_a_lane_looks():
    """A retry whose time comes between a lane's look for work and its look at the clock is not a second late."""

    async def main():
        class Slow(MemoryStore):
            async def next_due_ms(self, sink):
                await asyncio.sleep(0.01)
                return await super().next_due_ms(sink)

        sink = ScriptedSink([slow(9), SinkUnavailable("no", retry_after_s=5.2)])
        service = Service(store=Slow(), drop=sink)
        await service.start(1, 2)
        await asyncio.sleep(5.205 - 0.2)
        service.worker.wake_all()
        await asyncio.sleep(2)
        assert service.starts("drop") == [0.01, 0.01, pytest.approx(5.21, abs=0.01)]
        await service.stop()

    run(main())


def test_order_per_person_from_end_to_end():
    """A delivery about somebody whose earlier delivery is being retried comes after it; others pass."""

    async def main():
        seen = []

        class Noting(ScriptedSink):
            async def deliver(self, batch):
                seen.append((batch.provenance.search_id, batch.attempt))
                return await super().deliver(batch)

        sink = Noting([SinkUnavailable("no", retry_after_s=30)])
        service = Service(drop=sink)
        same = delivery(serial=1)
        other = same.body.replace(b'"search_id":"', b'"search_id":"again_')
        assert other != same.body
        await service.start(1)
        await receive(service.intake, other, signed(other, at_ms=now_ms()))
        await service.send(2)
        await asyncio.sleep(100)
        assert [attempt for _, attempt in seen] == [1, 1, 2, 1]
        first, passing, retried, later = (name for name, _ in seen)
        assert retried == first
        assert later == f"again_{first}"
        assert passing not in {first, later}
        await service.stop()

    run(main())


# -- rate


@pytest.mark.parametrize(
    ("per_s", "expected"),
    [
        (2.0, [0, 0, 0.5, 1, 1.5, 2, 2.5]),
        (1.0, [0, 1, 2, 3, 4, 5, 6]),
        (0.5, [0, 2, 4, 6, 8, 10, 12]),
        (1.5, [0, 0.33, 1, 1.67, 2.33, 3, 3.67]),
        (100.0, [0] * 7),
        (None, [0] * 7),
    ],
)
@pytest.mark.parametrize("lasts_s", [0, 9], ids=["at once", "while others run"])
def test_rate(per_s, expected, lasts_s):
    """No more attempts begin than the rate allows, and no fewer, also while others of the sink run."""

    async def main():
        policy = replace(POLICY, rate_per_s=per_s, concurrency=99, circuit=CircuitPolicy(failures=99))
        service = Service(policy=policy, drop=ScriptedSink([slow(lasts_s)] * 7))
        await service.send(*range(7))
        await service.worker.start()
        await asyncio.sleep(30)
        assert service.starts("drop") == [pytest.approx(each, abs=0.11) for each in expected]
        await service.stop()

    run(main())


def test_rate_holds_one_second():
    """A bucket never holds more than a second's worth, however long nothing began; a clock that steps back is no harm."""
    rate = Rate(replace(POLICY, rate_per_s=5.0))
    assert rate.free(0) == 5
    rate.take(5, 0)
    assert (rate.free(0), rate.wait_s(0)) == (0, pytest.approx(0.2))
    assert rate.free(400) == 2
    assert rate.free(10_000_000) == 5
    rate.take(5, 10_000_000)
    assert rate.free(5_000_000) == 0
    assert Rate(POLICY).wait_s(0) == 0


# -- a stop


async def test_a_stop_in_the_middle_of_a_claim(tmp_path):
    """Tasks that are leased while the service stops are given back: it costs them no try, and nobody recovers them."""
    clock = Clock()
    store = SqliteStore(tmp_path / "stibgate.db", durability="normal")
    sink = ScriptedSink()
    intake = make_intake(store, now_ms=clock)
    for serial in range(3):
        await admit(intake, delivery(serial=serial), at_ms=clock())
    await make_fanout(store, ["drop"], now_ms=clock).run_once()
    worker = make_worker(store, {"drop": Outlet(sink, POLICY)}, now_ms=clock)
    (lane,) = worker._lanes
    step = asyncio.create_task(lane.step())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    assert step.cancelled()
    assert sink.batches == []
    tasks = [task for _, task in store.ledger.tasks(TaskFilter(), limit=None)]
    assert {(task.state, task.tries) for task in tasks} == {(TaskState.QUEUED, 0)}
    signals = [a.signal for task in tasks for a in store.ledger.attempts(task.task_id)]
    assert signals == [Signal.RELEASED] * 2
    await store.close()
