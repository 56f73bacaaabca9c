"""One attempt: what a sink says or does, and what becomes of the task."""

import asyncio
from dataclasses import replace

import pytest

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import Outcome, OutcomeKind, Signal, TaskState
from stibgate.errors import SinkRejected, SinkUnavailable
from stibgate.pipeline.dispatch import Outlet
from stibgate.stores.memory import MemoryStore
from tests.pipeline.world import (
    NOW_MS,
    POLICY,
    Clock,
    ScriptedSink,
    admit,
    delivery,
    make_dispatcher,
    make_fanout,
    make_intake,
    outcomes,
)
from tests.virtual import now_ms, run

CANARY = "canary-zoe@example.com"
_WRITTEN, _REFUSED = OutcomeKind.WRITTEN, OutcomeKind.REFUSED


class Try:
    """One delivery of two records that is owed to one sink."""

    def __init__(self, *script, policy=POLICY, clock=None) -> None:
        self.clock = clock or Clock()
        self.store = MemoryStore()
        self.sink = ScriptedSink(list(script))
        self.dispatcher = make_dispatcher(self.store, {"drop": Outlet(self.sink, policy)}, now_ms=self.clock)

    async def begin(self) -> None:
        receipt = await admit(make_intake(self.store, now_ms=self.clock), delivery(), at_ms=self.clock())
        self.delivery_id = receipt.delivery_id
        await make_fanout(self.store, {"stib": ["drop"]}, now_ms=self.clock).run_once()

    async def claim(self):
        claimed = await self.store.claim(now_ms=self.clock(), lease_ms=30_000, free={"drop": 1})
        return claimed[0] if claimed else None

    async def attempt(self):
        """Make one attempt; return the task as it is afterwards."""
        await self.dispatcher.attempt(await self.claim())
        return self.store.task("tsk_1")

    @property
    def state(self) -> DeliveryState:
        return self.store.delivery(self.delivery_id).state

    def kinds(self) -> list[OutcomeKind]:
        return [outcome.kind for outcome in self.store.outcomes("tsk_1")]

    def signals(self) -> list[tuple[int, Signal | None]]:
        return [(attempt.number, attempt.signal) for attempt in self.store.attempts("tsk_1")]


async def one(*script, **settings) -> Try:
    world = Try(*script, **settings)
    await world.begin()
    return world


async def test_the_batch_is_what_the_delivery_owes():
    """A sink gets the records in order, where they come from, the task's id and the attempt's number."""
    world = await one(SinkUnavailable("not now"))
    await world.attempt()
    world.clock.advance(10)
    await world.attempt()
    first, second = world.sink.batches
    assert (first.task_id, first.attempt, second.task_id, second.attempt) == ("tsk_1", 1, "tsk_1", 2)
    assert first.records == second.records == world.store.records(world.delivery_id)
    assert first.received_at_ms == NOW_MS
    assert (first.provenance.delivery_id, first.provenance.received_at) == (
        world.delivery_id,
        "2026-05-17T18:42:10.004Z",
    )


async def test_taken(lines):
    """When every record was answered and none refused, the task is delivered and the delivery done."""
    world = await one()
    task = await world.attempt()
    assert (task.state, task.error, world.state) == (TaskState.DELIVERED, None, DeliveryState.DONE)
    assert world.kinds() == [_WRITTEN, _WRITTEN]
    assert world.signals() == [(1, Signal.TAKEN)]
    (line,) = lines.of("task.delivered")
    assert (line["outcomes"], line["attempt"], line["level"]) == ({"written": 2}, 1, "info")


async def test_split(lines):
    """A record that is refused for good does not fail its neighbour: the task ends as partial."""
    world = await one([Outcome(0, _WRITTEN), Outcome(1, _REFUSED, category="VALIDATION_ERROR")])
    task = await world.attempt()
    assert (task.state, world.state) == (TaskState.PARTIAL, DeliveryState.DONE)
    assert world.kinds() == [_WRITTEN, _REFUSED]
    assert lines.of("task.partial")[0]["outcomes"] == {"written": 1, "refused": 1}


async def test_unavailable():
    """A sink that is not available is tried again after the schedule's next delay, with the reason kept."""
    world = await one(SinkUnavailable("429 from the far side"))
    task = await world.attempt()
    assert (task.state, task.next_attempt_at_ms) == (TaskState.WAITING, NOW_MS + 5000)
    assert (task.error, world.state) == ("429 from the far side", DeliveryState.PROCESSING)
    assert world.store.outcomes("tsk_1") == []
    assert await world.claim() is None


@pytest.mark.parametrize(("asked_s", "waited_s"), [(40, 40), (1, 5)])
async def test_retry_after_is_honoured(asked_s, waited_s):
    """When a sink says when to come again, nobody comes earlier, nor earlier than the schedule."""
    world = await one(SinkUnavailable("429", retry_after_s=asked_s))
    task = await world.attempt()
    assert task.next_attempt_at_ms == NOW_MS + waited_s * 1000


async def test_retry_after_beyond_max_age_is_the_end():
    """A sink that asks for more patience than `max_age` allows makes the task dead."""
    world = await one(SinkUnavailable("429", retry_after_s=7200))
    assert (await world.attempt()).state is TaskState.DEAD


async def test_rejected(lines):
    """A batch that a sink refuses for good is dead at once, with a refusal for each record."""
    world = await one(SinkRejected("410 Gone"))
    task = await world.attempt()
    assert (task.state, task.error, world.state) == (TaskState.DEAD, "410 Gone", DeliveryState.DONE)
    assert world.kinds() == [_REFUSED, _REFUSED]
    assert lines.of("task.dead")[0]["level"] == "error"


def test_timeout():
    """An attempt that does not end within its time-out is cancelled and tried again."""

    async def main():
        cancelled = asyncio.Event()

        async def hang(_batch):
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        world = await one(hang, clock=now_ms)
        task = await world.attempt()
        assert cancelled.is_set()
        assert (task.state, task.error) == (TaskState.WAITING, "no answer within 10 s")
        assert now_ms() == NOW_MS + 10_000

    run(main())


async def test_a_sink_with_a_bug_loses_nothing(lines):
    """An exception that the contract does not name is a time to try again, and its message is told to nobody."""
    world = await one(KeyError(CANARY))
    task = await world.attempt()
    assert (task.state, task.error) == (TaskState.WAITING, "the sink failed with KeyError")
    assert lines.of("unhandled")[0]["exception"][0] == "KeyError"
    assert CANARY not in lines.text


@pytest.mark.parametrize(
    "said",
    [
        [],
        [Outcome(0, _WRITTEN)],
        [Outcome(0, _WRITTEN), Outcome(0, _WRITTEN)],
        [Outcome(0, _WRITTEN), Outcome(7, _WRITTEN)],
        [Outcome(0, _WRITTEN), Outcome(1, _WRITTEN), Outcome(2, _WRITTEN)],
        [Outcome(0, _WRITTEN), Outcome(1, _WRITTEN), Outcome(1, _REFUSED)],
    ],
    ids=["none", "too few", "one twice", "of another", "too many", "two for one"],
)
async def test_other_answers_than_records_are_no_success(said):
    """A task is delivered only when exactly its records were answered for."""
    world = await one(said)
    task = await world.attempt()
    assert task.state is TaskState.WAITING
    assert world.store.outcomes("tsk_1") == []


async def test_the_schedule_ends():
    """When the schedule is used up the task is dead, with the last reason, after attempts 1 to n."""
    world = await one(*(SinkUnavailable(f"try {n}") for n in (1, 2, 3)))
    for expected in (TaskState.WAITING, TaskState.WAITING, TaskState.DEAD):
        task = await world.attempt()
        assert task.state is expected
        world.clock.advance(100)
    assert (task.error, task.attempts, world.state) == ("try 3", 3, DeliveryState.DONE)
    assert world.signals() == [(1, Signal.UNAVAILABLE), (2, Signal.UNAVAILABLE), (3, Signal.EXHAUSTED)]
    assert await world.claim() is None


async def test_max_age_ends():
    """A task older than `max_age` is dead although its schedule has attempts left."""
    world = await one(SinkUnavailable("no"), policy=replace(POLICY, max_age_s=4))
    assert (await world.attempt()).state is TaskState.DEAD


async def test_nothing_is_settled_before_it_was_handed_over():
    """While the sink has the batch the task is leased: only its answer settles it."""
    seen = []

    async def look(batch):
        seen.append((world.store.task("tsk_1").state, world.store.outcomes("tsk_1"), world.state))
        return outcomes(batch)

    world = await one(look)
    await world.attempt()
    assert seen == [(TaskState.LEASED, [], DeliveryState.PROCESSING)]


async def test_an_attempt_that_lost_its_lease_changes_nothing(lines):
    """When a lease ran out and another attempt took the task, the late answer is dropped and said so."""
    world = await one()
    late = await world.claim()
    world.clock.advance(31)
    assert (await world.attempt()).state is TaskState.DELIVERED
    before = world.signals()
    await world.dispatcher.attempt(late)
    assert world.signals() == before == [(1, Signal.RELEASED), (2, Signal.TAKEN)]
    assert [line["task_id"] for line in lines.of("task.lease_lost")] == ["tsk_1"]


async def test_release_gives_back_unharmed():
    """A task that is given back is due at once, and its next attempt has the next number."""
    world = await one()
    await world.dispatcher.release(await world.claim())
    task = world.store.task("tsk_1")
    assert (task.state, task.next_attempt_at_ms) == (TaskState.QUEUED, world.clock())
    assert (await world.claim()).attempts == 2
