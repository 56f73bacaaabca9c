"""All sinks' lanes, while the sinks change: what is under way ends as it began, and nobody else notices.

A sink that goes, or makes way for another of its name, leases nothing more; its attempts end, it is closed, and only
then is the one that takes its place opened and supplied. Its tasks wait meanwhile, and no try is counted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any

from stibgate.pipeline.dispatch import Dispatcher, Outlet
from stibgate.pipeline.lane import Lane
from stibgate.stores import Queue

SETTLED_S = 5.0
"""How long after its time an attempt may take to be settled."""

HandOver = Callable[[str, Outlet | None, Outlet | None], Awaitable[None]]
"""Closes the first outlet of a sink of that name and opens the second, where there are such."""


class Lanes:
    """A lane for each sink, and its loop.

    Args:
        queue: The store.
        dispatcher: Knows the sinks, and makes attempts.
        now_ms: The clock.
        keep: Supplies one lane for ever.
    """

    def __init__(
        self,
        queue: Queue,
        dispatcher: Dispatcher,
        *,
        now_ms: Callable[[], int],
        keep: Callable[[Lane], Coroutine[Any, Any, None]],
    ) -> None:
        self._queue = queue
        self._dispatcher = dispatcher
        self._now_ms = now_ms
        self._keep = keep
        self._lanes = {name: self._lane(name, dispatcher) for name in dispatcher.outlets}
        self._loops: dict[str, asyncio.Future[None]] = {}
        self._changes: dict[str, asyncio.Task[None]] = {}
        self._ending: set[Lane] = set()
        self._stopping = False

    def start(self) -> None:
        """Begin."""
        for lane in self._lanes.values():
            self._begin(lane)

    def wake(self) -> None:
        """Say that there may be something to do for all of them."""
        for lane in self._lanes.values():
            lane.wake()

    @property
    def alive(self) -> bool:
        """Whether every loop still turns, and every change that ended came to its end."""
        failed = any(one.done() and not one.cancelled() and one.exception() for one in self._changes.values())
        return not failed and not any(loop.done() for loop in self._loops.values())

    @property
    def running(self) -> int:
        """How many attempts are under way."""
        return sum(lane.running for lane in self)

    def turn_to(self, dispatcher: Dispatcher, hand_over: HandOver) -> None:
        """Go on with the sinks of *dispatcher*; one that is the same object as before goes on without a break."""
        before, self._dispatcher = self._dispatcher.outlets, dispatcher
        for name in {**before, **dispatcher.outlets}:
            old, new = before.get(name), dispatcher.outlets.get(name)
            if old is None or new is None or old.sink is not new.sink:
                if (loop := self._loops.pop(name, None)) is not None:
                    loop.cancel()
                earlier = [one for one in (self._changes.get(name), loop) if one is not None]
                change = self._change(name, earlier, dispatcher, partial(hand_over, name, old, new))
                self._changes[name] = asyncio.create_task(change, name=f"change {name}")
            elif (lane := self._lanes.get(name)) is not None and lane.outlet.sink is new.sink:
                lane.adopt(dispatcher)

    async def stop(self, *, timeout_s: float) -> int:
        """Lease nothing more, let running attempts end, give the rest back; return how many those were."""
        self._stopping = True
        ending = [*self._loops.values(), *self._changes.values()]
        for one in ending:
            one.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        return sum(await asyncio.gather(*(lane.stop(timeout_s=timeout_s) for lane in self)))

    async def changed(self) -> None:
        """Return when every sink that was to change has."""
        await asyncio.gather(*self._changes.values())

    async def _change(
        self,
        name: str,
        earlier: Sequence[asyncio.Future[None]],
        dispatcher: Dispatcher,
        hand_over: Callable[[], Awaitable[None]],
    ) -> None:
        """Let the lane of a sink end, have the sink changed, and begin anew where *dispatcher* still knows it."""
        if earlier:
            await asyncio.wait(earlier)
        if (loop := self._loops.pop(name, None)) is not None:  # an earlier change began it
            loop.cancel()
            await asyncio.wait([loop])
        if (lane := self._lanes.pop(name, None)) is not None:
            self._ending.add(lane)
            await lane.stop(timeout_s=lane.outlet.policy.timeout_s + SETTLED_S)
            self._ending.discard(lane)
        await hand_over()
        if name in dispatcher.outlets:
            latest = self._dispatcher.outlets.get(name)
            same = latest is not None and latest.sink is dispatcher.outlets[name].sink
            self._lanes[name] = self._lane(name, self._dispatcher if same else dispatcher)
            self._begin(self._lanes[name])

    def _lane(self, name: str, dispatcher: Dispatcher) -> Lane:
        return Lane(name, self._queue, dispatcher, now_ms=self._now_ms)

    def _begin(self, lane: Lane) -> None:
        if not self._stopping:
            self._loops[lane.sink] = asyncio.create_task(self._keep(lane), name=f"lane {lane.sink}")

    def __iter__(self) -> Iterator[Lane]:
        return iter([*self._lanes.values(), *self._ending])
