"""Callers that share requests, without a wire: the turn to send is an event of the test."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stibgate.errors import SinkHeld, SinkUnavailable
from stibgate.sinks.hubspot.gather import REQUEST_MAX, Gather, Load
from tests import virtual
from tests.sinks.hubspot.transport import in_virtual_time


class Far:
    """The far side: answers each item with its name in capitals, when the test lets it."""

    def __init__(self, *, turn_s: float = 1.0, answer_s: float = 1.0) -> None:
        self.requests: list[list[str]] = []
        self.tasks: set[asyncio.Task] = set()
        self.error: Exception | None = None
        self.refuse_turn: Exception | None = None
        self.under_way: list[str] = []
        self._turn_s, self._answer_s = turn_s, answer_s
        self.gather: Gather[str, str] = Gather(self._carry, spawn=self._spawn, key=lambda item: item.split("/")[0])

    def _spawn(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _carry(self, load: Load[str, str]) -> None:
        await asyncio.sleep(self._turn_s)
        if self.refuse_turn:
            raise self.refuse_turn
        items = list(load.take())
        keys = [item.split("/")[0] for item in items]
        assert len(keys) == len(set(keys)) <= REQUEST_MAX
        assert not set(keys) & set(self.under_way), "an item was under way twice"
        self.requests.append(items)
        self.under_way += keys
        await asyncio.sleep(self._answer_s)
        self.under_way = [key for key in self.under_way if key not in keys]
        for index, item in enumerate(items):
            if self.error and item.startswith("bad"):
                raise self.error
            load.settle(index, item.upper())


@in_virtual_time
async def test_a_lone_caller_waits_for_its_turn_only():
    """One caller's items go in one request at the first turn."""
    far = Far()
    assert await far.gather.call(["a", "b", "c"]) == ["A", "B", "C"]
    assert far.requests == [["a", "b", "c"]]
    assert asyncio.get_running_loop().time() == 2.0
    assert await far.gather.call([]) == []


@in_virtual_time
async def test_callers_share_a_request():
    """Whoever comes while a turn is awaited goes along, up to a hundred."""
    far = Far()
    calls = [[f"{caller}-{n}" for n in range(30)] for caller in range(4)]
    results = await asyncio.gather(*(far.gather.call(items) for items in calls))
    assert results == [[item.upper() for item in items] for items in calls]
    assert [len(request) for request in far.requests] == [100, 20]


@in_virtual_time
async def test_many_items_go_in_full_requests_side_by_side():
    """A long call is cut into full requests that wait together, not one after the other."""
    far = Far()
    assert len(await far.gather.call([str(n) for n in range(250)])) == 250
    assert sorted(len(request) for request in far.requests) == [50, 100, 100]
    assert asyncio.get_running_loop().time() == 2.0


@in_virtual_time
async def test_the_same_key_waits_for_the_one_under_way():
    """The second of two with one key goes after the first is back, whether in one call or in two."""
    far = Far()
    first, second = await asyncio.gather(far.gather.call(["a/1", "b", "a/2", "a/3"]), far.gather.call(["a/4"]))
    assert first == ["A/1", "B", "A/2", "A/3"]
    assert second == ["A/4"]
    assert far.requests == [["a/1", "b"], ["a/2"], ["a/3"], ["a/4"]]


@in_virtual_time
async def test_a_failure_goes_to_all_who_were_in_the_request():
    """SinkUnavailable reaches every caller of that request, each its own copy, and nobody else."""
    far = Far()
    far.error = SinkUnavailable("lost", hint="wait", retry_after_s=3)
    one, two = await asyncio.gather(far.gather.call(["bad1"]), far.gather.call(["bad2"]), return_exceptions=True)
    assert (one.message, one.hint, one.retry_after_s) == ("lost", "wait", 3)
    assert type(two) is SinkUnavailable
    assert one is not two
    assert await far.gather.call(["bad1"[1:]]) == ["AD1"]


@in_virtual_time
async def test_what_was_settled_before_the_failure_stays():
    """A caller whose items were all settled does not hear of what failed later in the same request."""
    far = Far()
    far.error = SinkHeld("held")
    good, bad = await asyncio.gather(far.gather.call(["a"]), far.gather.call(["bad"]), return_exceptions=True)
    assert good == ["A"]
    assert type(bad) is SinkHeld


@in_virtual_time
async def test_a_refused_turn_fails_those_who_waited_for_it():
    """Nobody waits for ever when the turn itself is refused."""
    far = Far()
    far.refuse_turn = SinkHeld("held")
    calls = [far.gather.call([f"{caller}-{n}" for n in range(70)]) for caller in range(5)]
    async with asyncio.timeout(60):
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {SinkHeld}
    far.refuse_turn = None
    assert await far.gather.call(["1-1"]) == ["1-1"]


@in_virtual_time
async def test_a_cancelled_caller_takes_only_its_own_away():
    """Cancelled while waiting: its items stay here. Cancelled while under way: the others' request goes on."""
    far = Far()
    early, late, other = (asyncio.ensure_future(far.gather.call([name])) for name in ("a", "b", "c"))
    await asyncio.sleep(0.5)
    early.cancel()
    await asyncio.sleep(1)
    late.cancel()
    assert await other == ["C"]
    assert far.requests == [["b", "c"]]
    assert await far.gather.call(["a", "b"]) == ["A", "B"]


@in_virtual_time
async def test_when_all_have_gone_nothing_is_sent():
    """A turn that nobody needs any more is not used."""
    far = Far()
    task = asyncio.ensure_future(far.gather.call(["a"]))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.sleep(5)
    assert far.requests == []
    assert far.tasks == set()


@in_virtual_time
async def test_closing_tells_who_waits():
    """Trips that are cancelled fail their callers instead of leaving them."""
    far = Far()
    call = asyncio.ensure_future(far.gather.call([str(n) for n in range(250)]))
    await asyncio.sleep(1.5)
    for task in far.tasks:
        task.cancel()
    async with asyncio.timeout(60):
        with pytest.raises(SinkUnavailable):
            await call


CALLS = st.lists(
    st.tuples(st.floats(0, 4), st.lists(st.integers(0, 12), max_size=8), st.none() | st.floats(0, 3)), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(CALLS)
def test_whoever_comes_and_goes_every_answer_is_ones_own(calls):
    """Random callers with overlapping keys, some of whom give up: each gets its own answers, nothing hangs or is lost."""

    async def one(far, number, start_s, keys, patience_s):
        await asyncio.sleep(start_s)
        items = [f"{key}/{number}.{n}" for n, key in enumerate(keys)]
        try:
            async with asyncio.timeout(patience_s):
                assert await far.gather.call(items) == [item.upper() for item in items]
        except TimeoutError:
            return []
        return items

    async def main():
        far = Far()
        done = await asyncio.gather(*(one(far, number, *call) for number, call in enumerate(calls)))
        while far.tasks:
            await asyncio.sleep(1)
        sent = [item for request in far.requests for item in request]
        assert len(sent) == len(set(sent))
        assert {item for items in done for item in items} <= set(sent)
        assert not far.gather._queue
        assert not far.gather._away
        assert far.gather._trips_waiting == 0

    virtual.run(main())
