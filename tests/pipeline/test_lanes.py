"""Sinks that change while they are supplied: what runs ends as it began, nobody else waits. All in virtual time."""

import asyncio
from dataclasses import replace

import pytest

from stibgate.domain.task import TaskState
from stibgate.errors import SinkUnavailable
from stibgate.pipeline.dispatch import Outlet
from tests.pipeline.test_worker import Gate, Service
from tests.pipeline.world import POLICY, ScriptedSink, make_dispatcher, make_fanout
from tests.virtual import now_ms, run


class Changing(Service):
    """A service whose sinks can be exchanged; what is closed and opened is noted, in order."""

    def __init__(self, **sinks):
        super().__init__(**sinks)
        self.notes = []

    def turn_to(self, *, policy=POLICY, **sinks):
        outlets = {name: Outlet(sink, policy) for name, sink in sinks.items()}
        fanout = replace(make_fanout(self.store, list(sinks), now_ms=now_ms), new_id=self.worker._fanout.new_id)
        self.worker.turn_to(fanout, make_dispatcher(self.store, outlets, now_ms=now_ms), self.hand_over)

    async def hand_over(self, name, old, new):
        self.notes.append((name, old and old.sink, new and new.sink, now_ms()))


def test_a_sink_makes_way_when_its_attempts_have_ended():
    """While an attempt runs its sink is not closed, no task begins at either, and another sink is not kept waiting."""

    async def main():
        gate = Gate()
        old, new, other = ScriptedSink([gate]), ScriptedSink(), ScriptedSink()
        service = Changing(crm=old, drop=other)
        await service.worker.start()
        await service.send(1)
        while not gate.inside:
            await asyncio.sleep(0.01)
        service.turn_to(crm=new, drop=other)
        await service.send(2)
        await asyncio.sleep(POLICY.timeout_s / 2)
        assert (service.notes, new.batches, len(other.batches)) == ([], [], 2)
        assert [task.state for task in service.tasks(sink="crm")] == [TaskState.LEASED, TaskState.QUEUED]
        gate.opened.set()
        await service.quiet()
        assert [note[:3] for note in service.notes] == [("crm", old, new)]
        assert (len(old.batches), len(new.batches)) == (1, 1)
        assert [task.tries for task in service.tasks(sink="crm")] == [1, 1]
        await service.worker.stop(drain_timeout_s=1)

    run(main())


def test_a_sink_that_goes_leaves_its_tasks():
    """What is owed to a sink that is gone stays as it is, and is delivered when the sink comes back."""

    async def main():
        service = Changing(crm=ScriptedSink([SinkUnavailable("not now")]), drop=ScriptedSink())
        await service.worker.start()
        await service.send(1)
        while [task.state for task in service.tasks(sink="crm")] != [TaskState.WAITING]:
            await asyncio.sleep(0.01)
        service.turn_to(drop=service.sinks["drop"])
        await service.worker.changed()
        await asyncio.sleep(10 * POLICY.schedule_s[1])
        assert [task.state for task in service.tasks(sink="crm")] == [TaskState.WAITING]
        back = ScriptedSink()
        service.turn_to(drop=service.sinks["drop"], crm=back)
        await service.quiet()
        assert len(back.batches) == 1
        await service.worker.stop(drain_timeout_s=1)

    run(main())


def test_changed_twice_before_the_first_time_is_over():
    """The second change waits for the first: every sink that was opened is closed, in order, and the last one stays."""

    async def main():
        gate = Gate()
        first, second, third = ScriptedSink([gate]), ScriptedSink(), ScriptedSink()
        service = Changing(crm=first)
        await service.worker.start()
        await service.send(1)
        while not gate.inside:
            await asyncio.sleep(0.01)
        service.turn_to(crm=second)
        service.turn_to(crm=third)
        gate.opened.set()
        await service.worker.changed()
        await service.send(2)
        await service.quiet()
        assert [note[:3] for note in service.notes] == [("crm", first, second), ("crm", second, third)]
        assert (len(second.batches), len(third.batches)) == (0, 1)
        assert service.worker.alive
        await service.worker.stop(drain_timeout_s=1)

    run(main())


def test_the_same_sink_with_another_policy_during_a_change_of_another():
    """A lane takes up another policy at once, and keeps what it has begun."""

    async def main():
        gate = Gate()
        sink = ScriptedSink([gate] * 9)
        service = Changing(drop=sink)
        await service.worker.start()
        await service.send(*range(9))
        while gate.inside < POLICY.concurrency:
            await asyncio.sleep(0.01)
        service.turn_to(drop=sink, policy=replace(POLICY, concurrency=POLICY.concurrency + 2))
        while gate.inside < POLICY.concurrency + 2:
            await asyncio.sleep(0.01)
        gate.opened.set()
        await service.quiet()
        assert gate.most == POLICY.concurrency + 2
        assert service.notes == []
        await service.worker.stop(drain_timeout_s=1)

    run(main())


def test_another_policy_for_a_sink_that_is_still_to_come():
    """Who is to take a sink's place goes by the policy that came last, also when it came before the place was free."""

    async def main():
        gate, new = Gate(), ScriptedSink()
        service = Changing(crm=ScriptedSink([gate]))
        await service.worker.start()
        await service.send(1)
        while not gate.inside:
            await asyncio.sleep(0.01)
        service.turn_to(crm=new)
        service.turn_to(crm=new, policy=replace(POLICY, concurrency=7))
        gate.opened.set()
        await service.worker.changed()
        (lane,) = service.worker._lanes
        assert (lane.outlet.sink, lane.outlet.policy.concurrency) == (new, 7)
        await service.worker.stop(drain_timeout_s=1)

    run(main())


@pytest.mark.parametrize("new", [True, False])
def test_a_stop_in_the_middle_of_a_change(new):
    """A service that ends while a sink still has an attempt to end gives that one back, and opens nothing."""

    async def main():
        gate = Gate()
        service = Changing(crm=ScriptedSink([gate]))
        await service.worker.start()
        await service.send(1)
        while not gate.inside:
            await asyncio.sleep(0.01)
        service.turn_to(**({"crm": ScriptedSink()} if new else {}))
        await asyncio.sleep(0.1)
        assert service.worker.running == {"crm": 1}
        assert await service.worker.stop(drain_timeout_s=0.1) == 1
        assert service.notes == []
        assert [(task.state, task.tries) for task in service.tasks()] == [(TaskState.QUEUED, 0)]

    run(main())


def test_a_change_that_fails_is_no_secret():
    """A sink that nothing supplies any more, because its change failed, makes the worker not alive."""

    async def main():
        service = Changing(crm=ScriptedSink())
        await service.worker.start()

        async def fail(*_):
            raise RuntimeError("a bug")

        service.hand_over = fail
        service.turn_to(crm=ScriptedSink())
        with pytest.raises(RuntimeError):
            await service.worker.changed()
        assert not service.worker.alive
        await service.worker.stop(drain_timeout_s=1)

    run(main())
