"""The contract for sinks finds the sinks that break it."""

import pytest

from stibgate.domain.task import Outcome, OutcomeKind
from stibgate.sinks import Finding
from stibgate.testing import DictMemory, SinkContract, make_batch, make_context, make_record


class ListSink:
    """A sink that is right: appends to a list, remembers in its memory what it took."""

    def __init__(self, far_side, memory):
        self.far_side = far_side
        self.memory = memory

    async def open(self):
        pass

    async def deliver(self, batch):
        keys = {self.key(batch, record): record for record in batch.records}
        known = await self.memory.recall(list(keys))
        # Nothing is awaited between the two, so that nobody can be cancelled there.
        self.far_side += [record.person_id for key, record in keys.items() if self.is_new(key, known)]
        self.memory._documents.update(dict.fromkeys(keys, "1"))
        return self.outcomes(batch)

    def key(self, batch, record):
        return f"{batch.key}/{record.position}"

    def is_new(self, key, known):
        return key not in known and key not in self.memory._documents

    def outcomes(self, batch):
        return [Outcome(record.position, OutcomeKind.WRITTEN) for record in batch.records]

    async def check(self):
        return [Finding("a list is there")]

    async def close(self):
        pass


class ListContract(SinkContract):
    sink = ListSink
    answers_in_part = True

    def __init__(self):
        self.far_side = []

    def make(self):
        return self.sink(self.far_side, self.memory)

    async def held(self):
        return self.far_side

    def lose(self):
        self.far_side.clear()
        return True


class Doubling(ListSink):
    def is_new(self, key, known):
        return True


class TakingTheRestForARepetition(ListSink):
    def key(self, batch, record):
        return batch.key if record is batch.records[0] else f"{batch.key}/{record.position}"


class SwallowingResends(ListSink):
    def key(self, batch, record):
        return f"{batch.task_id}/{record.position}"


class DoublingResends(ListSink):
    def key(self, batch, record):
        return f"{batch.task_id}/{record.position}/{batch.attempt}"


class Forgetting(ListSink):
    def __init__(self, far_side, memory):
        super().__init__(far_side, DictMemory())


class CountingFromZero(ListSink):
    def outcomes(self, batch):
        return [Outcome(index, OutcomeKind.WRITTEN) for index in range(len(batch.records))]


class MakingUpOutcomes(ListSink):
    def outcomes(self, batch):
        return super().outcomes(batch) or [Outcome(0, OutcomeKind.SKIPPED)]


class KeepingUntilClose(ListSink):
    waiting = ()

    async def deliver(self, batch):
        self.waiting = batch
        return self.outcomes(batch)

    async def close(self):
        if self.waiting:
            await super().deliver(self.waiting)


class WritingWhenClosed(ListSink):
    async def close(self):
        self.far_side.append("nobody")


class WritingWhenChecked(ListSink):
    async def check(self):
        self.far_side.append("nobody")
        return await super().check()


class Silent(ListSink):
    async def check(self):
        return []


class WithoutHint(ListSink):
    async def check(self):
        return [Finding("the list is gone", ok=False)]


class NeedingOpen(ListSink):
    async def open(self):
        self.name = "a list"

    async def check(self):
        return [Finding(self.name)]


class WritingBeforeItRemembers(ListSink):
    async def deliver(self, batch):
        new = [record for record in batch.records if self.is_new(self.key(batch, record), {})]
        self.far_side += [record.person_id for record in new]
        await self.memory.remember({self.key(batch, record): 1 for record in new})
        return self.outcomes(batch)


LAWS = [name for name in dir(SinkContract) if name.startswith("test_")]
BROKEN = {
    Doubling: "test_the_same_task_twice_doubles_nothing",
    TakingTheRestForARepetition: "test_the_rest_of_a_batch_arrives",
    SwallowingResends: "test_a_resend_is_not_swallowed",
    DoublingResends: "test_a_resend_is_not_swallowed",
    Forgetting: "test_it_survives_reopening",
    CountingFromZero: "test_one_outcome_per_record_in_order",
    MakingUpOutcomes: "test_an_empty_batch_leaves_nothing",
    KeepingUntilClose: "test_concurrent_batches_all_arrive",
    WritingWhenClosed: "test_close_without_work",
    WritingWhenChecked: "test_check_writes_nothing",
    Silent: "test_check_of_a_sink_that_was_never_opened",
    WithoutHint: "test_check_writes_nothing",
    NeedingOpen: "test_check_of_a_sink_that_was_never_opened",
    WritingBeforeItRemembers: "test_a_caller_that_gives_up_doubles_nothing",
}


def contract_of(sink):
    return type("Contract", (ListContract,), {"sink": sink})()


@pytest.mark.parametrize("law", LAWS)
async def test_a_right_sink_keeps_every_law(law):
    """A sink that does what the contract says passes."""
    await getattr(contract_of(ListSink), law)()


@pytest.mark.parametrize(("sink", "law"), BROKEN.items())
async def test_a_broken_sink_is_found(sink, law):
    """Each way to break the contract fails the law that names it."""
    with pytest.raises((AssertionError, AttributeError)):
        await getattr(contract_of(sink), law)()


def test_every_law_has_a_sink_that_breaks_it():
    """No law is there that nothing breaks, save the one of what is left half done, which each far side writes itself."""
    assert set(LAWS) - set(BROKEN.values()) == {"test_after_close_nothing_is_half_done"}


async def test_a_failure_says_what_was_found():
    """A broken law names what was expected and what was found, without pytest's rewriting of asserts."""
    with pytest.raises(AssertionError) as caught:
        await contract_of(Doubling).test_the_same_task_twice_doubles_nothing()
    assert "everybody once" in str(caught.value)
    assert "expected: ['person_0', 'person_1']" in str(caught.value)


async def test_half_done_work_is_for_the_far_side_to_say():
    """What `check_at_rest` raises fails the law about `close`."""
    contract = contract_of(ListSink)

    def half_done():
        raise AssertionError("half")

    contract.check_at_rest = half_done
    with pytest.raises(AssertionError, match="half"):
        await contract.test_after_close_nothing_is_half_done()


async def test_memory_survives_a_restart():
    """A memory that is given to the next context gives its documents back, as copies."""
    memory = DictMemory()
    first, second = make_context(memory=memory), make_context("other", memory)
    await first.memory.remember({"a": {"n": [1, 2.5, None, True, "é"]}, "b": 1})
    found = await second.memory.recall(["a", "nothing"])
    assert found == {"a": {"n": [1, 2.5, None, True, "é"]}}
    found["a"]["n"].clear()
    assert (await memory.recall(["a"]))["a"]["n"]


@pytest.mark.parametrize("document", [(1, 2), {"a": (1,)}, {1: "a"}, {"a": {1, 2}}, [b"x"], float("nan")])
async def test_memory_takes_only_what_json_gives_back(document):
    """A document that a store would change is refused here, and nothing of its batch is kept."""
    memory = DictMemory()
    with pytest.raises((TypeError, ValueError)):
        await memory.remember({"good": 1, "bad": document})
    assert await memory.recall(["good", "bad"]) == {}


def test_what_is_made():
    """Fields, resends and clocks can be chosen; the rest is invented and always the same."""
    batch = make_batch("t1", [3], resend=2, forced=True, first_name="Ada")
    assert (batch.key, batch.forced, batch.records[0].first_name) == ("t1.2", True, "Ada")
    assert make_record(3) == make_record(3)
    context = make_context("crm", now_ms=lambda: 7)
    assert (context.name, context.now_ms(), context.jitter()) == ("crm", 7, 0.5)
