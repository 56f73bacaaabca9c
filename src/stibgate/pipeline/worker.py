"""Keeps the pipeline moving after the answer: processes what is accepted, dispatches what is due, stops cleanly.

One loop turns accepted deliveries into tasks; beside it every sink has a lane of its own. All of them sleep until
they are woken or something is due; none polls.

Answering comes first: while the receiver is busy the loops take a small share of the time, so that a
burst is acknowledged at full speed and forwarded right after it. The share is never zero.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import structlog

from stibgate.errors import StoreError
from stibgate.pipeline.dispatch import Dispatcher
from stibgate.pipeline.fanout import Fanout
from stibgate.pipeline.lanes import HandOver, Lanes
from stibgate.stores import Queue

log = structlog.get_logger("stibgate.worker")

BUSY_SHARE = 0.1
"""Of the time, while the receiver is busy."""

LONGEST_YIELD_S = 1.0
STORE_RETRY_S = 1.0


class Worker:
    """Runs fanout and a lane for each sink until `stop`.

    Args:
        queue: The store.
        fanout: Processes deliveries.
        dispatcher: Makes attempts.
        now_ms: The clock.
        busy: Says whether answers are waiting for the processor.
    """

    def __init__(
        self,
        queue: Queue,
        fanout: Fanout,
        dispatcher: Dispatcher,
        *,
        now_ms: Callable[[], int],
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._queue = queue
        self._fanout = fanout
        self._now_ms = now_ms
        self._busy = busy
        self._admitted = asyncio.Event()
        self._lanes = Lanes(queue, dispatcher, now_ms=now_ms, keep=lambda lane: self._forever(lane.step, lane.rest))
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> int:
        """Take over what an earlier process left leased, and begin; return how many tasks that were."""
        recovered = await self._queue.recover(now_ms=self._now_ms())
        self._admitted.set()
        self._loops = [asyncio.create_task(self._forever(self._process, self._until_admitted), name="fanout")]
        self._lanes.start()
        return recovered

    def turn_to(self, fanout: Fanout, dispatcher: Dispatcher, hand_over: HandOver) -> None:
        """Go on with *fanout* and with the sinks of *dispatcher*; see `Lanes.turn_to`."""
        self._fanout = fanout
        self._lanes.turn_to(dispatcher, hand_over)

    async def changed(self) -> None:
        """Return when every sink that was to change has."""
        await self._lanes.changed()

    def wake(self) -> None:
        """Say that a delivery was accepted."""
        self._admitted.set()

    def wake_all(self) -> None:
        """Say that an operator changed something: deliveries, tasks or sinks."""
        self._admitted.set()
        self._lanes.wake()

    @property
    def alive(self) -> bool:
        """Whether every loop that was begun still turns, or is meant to end."""
        return self._stopping or (self._lanes.alive and not any(loop.done() for loop in self._loops))

    @property
    def attempts_running(self) -> int:
        """How many attempts are under way."""
        return self._lanes.running

    @property
    def running(self) -> Mapping[str, int]:
        """How many attempts are under way at each sink."""
        found: Counter[str] = Counter()
        for lane in self._lanes:  # while a sink changes it has two
            found[lane.sink] += lane.running
        return found

    async def stop(self, *, drain_timeout_s: float) -> int:
        """Lease nothing more, let running attempts end, give the rest back; return how many those were."""
        self._stopping = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        return await self._lanes.stop(timeout_s=drain_timeout_s)

    async def _forever(self, step: Callable[[], Awaitable[bool]], rest: Callable[[], Awaitable[None]]) -> None:
        """Repeat *step*; when it found nothing to do, *rest* until there may be something."""
        while not self._stopping:
            try:
                if not await self._share(step):
                    await rest()
            except StoreError as error:
                log.error("store.error", error=error.message, hint=error.hint)  # noqa: TRY400  (a line, no traceback)
                await asyncio.sleep(STORE_RETRY_S)
            except Exception:
                log.exception("unhandled")
                await asyncio.sleep(STORE_RETRY_S)

    async def _share(self, step: Callable[[], Awaitable[bool]]) -> bool:
        """Run *step* and return what it returns; while the receiver is busy, leave it most of the time."""
        clock = asyncio.get_running_loop().time
        started_s = clock()
        worked = await step()
        if self._busy():
            await asyncio.sleep(min((clock() - started_s) * (1 / BUSY_SHARE - 1), LONGEST_YIELD_S))
        return worked

    async def _process(self) -> bool:
        if not await self._fanout.run_once():
            return False
        self._lanes.wake()
        return True

    async def _until_admitted(self) -> None:
        await self._admitted.wait()
        self._admitted.clear()
