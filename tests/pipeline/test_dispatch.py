"""One attempt: what a sink says or does, and what becomes of the task."""

import asyncio
from dataclasses import replace

import pytest

from stibgate.domain.circuit import CircuitPolicy, CircuitState
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.fact import Attempted, CircuitMoved
from stibgate.domain.record import lookup_hash
from stibgate.domain.task import Outcome, OutcomeKind, Settlement, Signal, TaskState
from stibgate.errors import SinkHeld, SinkRejected, SinkUnavailable
from stibgate.pipeline.dispatch import HELD_FOR_S, REFUSED_LINES_MAX, Outlet
from stibgate.stores import Replay
from stibgate.stores.memory import MemoryStore
from tests.pipeline.world import (
    HASH_KEY,
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
from tests.stores.base import replay_task
from tests.virtual import now_ms, run

CANARY = "canary-zoe@example.com"
_WRITTEN, _REFUSED = OutcomeKind.WRITTEN, OutcomeKind.REFUSED


class Try:
    """One delivery of two records that is owed to one sink."""

    def __init__(self, *script, policy=POLICY, clock=None) -> None:
        self.clock = clock or Clock()
        self.store = MemoryStore()
        self.sink = ScriptedSink(list(script))
        self.policy = policy
        self.dispatcher = make_dispatcher(self.store, {"drop": Outlet(self.sink, policy)}, now_ms=self.clock)

    async def begin(self, records=2) -> None:
        one = delivery(records=records)
        receipt = await admit(make_intake(self.store, now_ms=self.clock), one, at_ms=self.clock())
        self.delivery_id = receipt.delivery_id
        await make_fanout(self.store, ["drop"], now_ms=self.clock).run_once()

    async def claim(self):
        claimed = (await self.store.claim("drop", self.policy, now_ms=self.clock(), limit=1)).tasks
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


async def one(*script, records=2, **settings) -> Try:
    world = Try(*script, **settings)
    await world.begin(records)
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
    assert (first.received_at_ms, first.resend, first.forced, first.key) == (NOW_MS, 0, False, "tsk_1")
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


async def test_an_attempt_is_told():
    """Whoever counts is told of each attempt, and of the breaker that it opened."""
    world = Try(SinkUnavailable("down"), policy=replace(POLICY, circuit=CircuitPolicy(1, 30.0, 600.0, 1)))
    told = []
    world.dispatcher = replace(world.dispatcher, observe=told.append)
    await world.begin()
    await world.attempt()
    assert told == [
        Attempted("drop", Signal.UNAVAILABLE, 0.0, 0.0, {}),
        CircuitMoved("drop", CircuitState.OPEN),
    ]


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
        [Outcome(0, _WRITTEN), "written"],
        42,
    ],
    ids=["none", "too few", "one twice", "of another", "too many", "two for one", "a word", "a number"],
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


# -- answers inside an error


@pytest.mark.parametrize("error", [SinkUnavailable, SinkHeld])
async def test_what_was_answered_is_not_sent_again(error):
    """Records that an error answers for are settled; only the others come again, under the same key."""
    said = [Outcome(2, _REFUSED, category="VALIDATION"), Outcome(0, _WRITTEN)]
    world = await one(error("503", outcomes=said, retry_after_s=5), records=4)
    await world.attempt()
    assert world.kinds() == [_WRITTEN, _REFUSED]
    world.clock.advance(60)
    task = await world.attempt()
    first, second = world.sink.batches
    assert [record.position for record in second.records] == [1, 3]
    assert (first.key, second.key) == ("tsk_1", "tsk_1")
    assert world.kinds() == [_WRITTEN, _WRITTEN, _REFUSED, _WRITTEN]
    assert (task.state, task.error) == (TaskState.PARTIAL, "1 of 4 records were refused")


@pytest.mark.parametrize(
    "said",
    [
        [Outcome(7, _WRITTEN)],
        [Outcome(0, _WRITTEN), Outcome(-1, _WRITTEN)],
        [Outcome(0, _WRITTEN), Outcome(0, _REFUSED)],
        [Outcome(0, _WRITTEN), None],
        ["written"],
    ],
    ids=["unknown", "one unknown", "one twice", "one nothing", "a word"],
)
async def test_answers_that_cannot_be_are_ignored(said):
    """An error whose answers do not fit the batch answers for nothing, and is an error all the same."""
    world = await one(SinkUnavailable("503", outcomes=said))
    task = await world.attempt()
    assert (task.state, task.error, world.kinds()) == (TaskState.WAITING, "503", [])
    world.clock.advance(60)
    await world.attempt()
    assert len(world.sink.batches[1].records) == 2


@pytest.mark.parametrize("error", [SinkUnavailable, SinkHeld])
@pytest.mark.parametrize(("kind", "state"), [(_WRITTEN, TaskState.DELIVERED), (_REFUSED, TaskState.PARTIAL)])
async def test_an_error_that_answers_for_all_is_an_answer(error, kind, state):
    """When every record was answered, whatever was raised beside it, the task is through."""
    world = await one(error("503", outcomes=[Outcome(1, _WRITTEN), Outcome(0, kind)]))
    task = await world.attempt()
    assert (task.state, world.state) == (state, DeliveryState.DONE)
    assert world.kinds() == [kind, _WRITTEN]
    assert world.store.sinks() == {}


async def test_a_sink_is_not_asked_for_nothing():
    """A task that owes nothing any more is settled without a word to its sink."""
    world = await one()
    task = await world.claim()
    early = Settlement(task.task_id, 1, Signal.UNAVAILABLE, world.clock(), outcomes=made(_WRITTEN, _REFUSED))
    await world.store.settle(early)
    task = await world.attempt()
    assert (task.state, world.sink.batches) == (TaskState.PARTIAL, [])


def made(*kinds):
    return [Outcome(position, kind) for position, kind in enumerate(kinds)]


async def test_the_last_try_keeps_its_answers():
    """Answers that come with the failure that ends a task are kept; what is left of it can be replayed."""
    said = [Outcome(1, _WRITTEN)]
    world = await one(SinkUnavailable("503", outcomes=said), policy=replace(POLICY, schedule_s=(0,)))
    task = await world.attempt()
    assert (task.state, world.kinds()) == (TaskState.DEAD, [_WRITTEN])
    await replay_task(world.store, "tsk_1", Replay(world.clock(), "me"))
    assert (await world.attempt()).state is TaskState.DELIVERED
    assert [record.position for record in world.sink.batches[1].records] == [0]


async def test_a_resend_has_a_key_of_its_own():
    """What an operator has sent again after the sink took it is told as such to the sink, with another key."""
    world = await one([Outcome(0, _WRITTEN), Outcome(1, _REFUSED)])
    await world.attempt()
    for forced in (False, True):
        await replay_task(world.store, "tsk_1", Replay(world.clock(), "me", forced))
        await world.attempt()
    keys = [(batch.key, batch.resend, batch.forced, len(batch.records)) for batch in world.sink.batches]
    assert keys == [("tsk_1", 0, False, 2), ("tsk_1.1", 1, False, 1), ("tsk_1.2", 2, True, 2)]


# -- a sink that is held


async def test_a_held_sink_costs_nothing(lines):
    """However often a sink is held, no try is burnt, nobody grows old, and one line of error says so."""
    world = await one(*[SinkHeld("the quota is used up", retry_after_s=7200)] * 5)
    task = await world.attempt()
    assert (task.state, task.tries, task.error) == (TaskState.QUEUED, 0, "the quota is used up")
    assert await world.claim() is None
    for _ in range(4):
        world.clock.advance(7200)
        await world.attempt()
    world.clock.advance(7200)
    task = await world.attempt()
    assert (task.state, task.tries, task.attempts) == (TaskState.DELIVERED, 1, 6)
    (opened,) = lines.of("sink.circuit_opened")
    assert (opened["level"], opened["sink"], opened["reason"]) == ("error", "drop", "held")
    assert (opened["error"], opened["next_attempt_at"]) == ("the quota is used up", "2026-05-17T20:42:10.004Z")
    assert [line["sink"] for line in lines.of("sink.circuit_closed")] == ["drop"]
    assert {line["level"] for line in lines.of("task.retry_scheduled")} == {"info"}


@pytest.mark.parametrize(
    ("asked_s", "held_s"),
    [(None, HELD_FOR_S), (90, 90), (0, 1), (-5, 1), (1e999, 7 * 86_400), (float("nan"), HELD_FOR_S)],
)
async def test_how_long_a_sink_is_held(asked_s, held_s):
    """A hold lasts as long as the sink says, at least a second, at most a week, ten minutes when it does not say."""
    world = await one(SinkHeld("quota", retry_after_s=asked_s))
    await world.attempt()
    circuit = world.store.sinks()["drop"].circuit
    assert (circuit.state, circuit.open_until_ms) == (CircuitState.OPEN, NOW_MS + round(held_s * 1000))


async def test_the_breaker_is_logged_once(lines):
    """A breaker that opens is one line of error, its failing probes are none, and its end is one line."""
    circuit = CircuitPolicy(failures=2, open_for_s=30)
    script = [SinkUnavailable(f"no {number}") for number in range(4)]
    world = await one(*script, policy=replace(POLICY, schedule_s=(0,) * 9, circuit=circuit))
    for wait_s in (0, 30, 60, 120, 0):
        await world.attempt()
        world.clock.advance(wait_s)
    assert world.store.task("tsk_1").state is TaskState.DELIVERED
    (opened,) = lines.of("sink.circuit_opened")
    assert (opened["reason"], opened["attempts"], opened["error"]) == ("failures", 2, "no 1")
    assert opened["next_attempt_at"] == "2026-05-17T18:42:40.004Z"
    assert len(lines.of("sink.circuit_closed")) == 1


# -- refused records


async def test_each_refused_record_is_named_by_its_hash(lines):
    """A refused record is one line with its position, its person's hash and the sink's codes, and no person in it."""
    refusal = Outcome(1, _REFUSED, "VALIDATION_ERROR", "INVALID_EMAIL", "email", "corr-1", f"{CANARY} is not valid")
    world = await one([Outcome(0, _WRITTEN), refusal])
    await world.attempt()
    record = world.store.records(world.delivery_id)[1]
    kind, value = next(record.identifiers())
    (line,) = lines.of("record.refused")
    said = ("task_id", "delivery_id", "sink", "position", "person", "category", "code", "property", "correlation_id")
    assert [line[name] for name in said] == [
        "tsk_1", world.delivery_id, "drop", 1, f"h:{lookup_hash(HASH_KEY, kind, value).hex()}",
        "VALIDATION_ERROR", "INVALID_EMAIL", "email", "corr-1",
    ]  # fmt: skip
    assert "dropped" not in line
    heard = [text for text in (CANARY, value, record.first_name, record.last_name, record.business_email) if text]
    assert [text for text in heard if text in lines.text] == []


async def test_lines_about_refused_records_are_bounded(lines):
    """A batch that is refused whole, however large, is a few lines; all of it is in the store."""
    world = await one(SinkRejected("422"), records=60)
    await world.attempt()
    assert len(lines.of("record.refused")) == REFUSED_LINES_MAX
    assert len(world.kinds()) == 60


async def test_a_task_that_is_given_up_is_an_error(lines):
    """A task that dies at a claim is told like one that died after an attempt."""
    world = await one(SinkUnavailable("503"))
    await world.attempt()
    world.clock.advance(3601)
    claim = await world.store.claim("drop", POLICY, now_ms=world.clock(), limit=1)
    for task in claim.given_up:
        world.dispatcher.gave_up(task)
    (line,) = lines.of("task.dead")
    assert (line["level"], line["attempt"], line["sink"]) == ("error", 1, "drop")
    assert line["error"] == "max_age has passed; the last error was: 503"
