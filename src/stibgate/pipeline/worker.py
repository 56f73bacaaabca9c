"""Keeps the pipeline moving after the answer: processes what is accepted, dispatches what is due, stops cleanly.

Two loops. One turns accepted deliveries into tasks, the other leases due tasks and starts attempts, at
most `concurrency` a sink. Both sleep until they are woken or the next task is due; neither polls.

Answering comes first: while the receiver is busy the loops take a small share of the time, so that a
burst is acknowledged at full speed and forwarded right after it. The share is never zero.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from stibgate.domain.task import Task
from stibgate.errors import StoreError
from stibgate.pipeline.dispatch import Dispatcher
from stibgate.pipeline.fanout import Fanout
from stibgate.stores import Queue

log = structlog.get_logger("stibgate.worker")

BUSY_SHARE = 0.1
"""Of the time, while the receiver is busy."""

LONGEST_YIELD_S = 1.0
SHORTEST_PAUSE_S = 0.05
STORE_RETRY_S = 1.0


class Worker:
    """Runs fanout and dispatch until `stop`.

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
        self._dispatcher = dispatcher
        self._now_ms = now_ms
        self._busy = busy
        self._admitted = asyncio.Event()
        self._due = asyncio.Event()
        self._running: dict[asyncio.Task[None], Task] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> int:
        """Take over what an earlier process left leased, and begin; return how many tasks that were."""
        recovered = await self._queue.recover(now_ms=self._now_ms())
        self._admitted.set()
        self._due.set()
        self._loops = [
            asyncio.create_task(self._forever(self._process, self._until_admitted), name="fanout"),
            asyncio.create_task(self._forever(self._dispatch, self._until_due), name="dispatch"),
        ]
        return recovered

    def wake(self) -> None:
        """Say that a delivery was accepted."""
        self._admitted.set()

    @property
    def attempts_running(self) -> int:
        """How many attempts are under way."""
        return len(self._running)

    async def stop(self, *, drain_timeout_s: float) -> int:
        """Lease nothing more, let running attempts end, give the rest back; return how many those were."""
        self._stopping = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        if self._running:
            await asyncio.wait(list(self._running), timeout=drain_timeout_s)
        unfinished = dict(self._running)
        for attempt, task in unfinished.items():
            attempt.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await attempt
            with suppress(StoreError):
                await self._dispatcher.release(task)
        return len(unfinished)

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
        self._due.set()
        return True

    async def _until_admitted(self) -> None:
        await self._admitted.wait()
        self._admitted.clear()

    async def _dispatch(self) -> bool:
        self._due.clear()
        busy = Counter(task.sink for task in self._running.values())
        outlets = self._dispatcher.outlets
        free = {name: outlet.policy.concurrency - busy[name] for name, outlet in outlets.items()}
        free = {name: count for name, count in free.items() if count > 0}
        begun = 0
        for name, count in free.items():
            lease_ms = round(outlets[name].policy.lease_s * 1000)
            tasks = await self._queue.claim(now_ms=self._now_ms(), lease_ms=lease_ms, free={name: count})
            for task in tasks:
                self._begin(task)
            begun += len(tasks)
        return begun > 0

    def _begin(self, task: Task) -> None:
        attempt = asyncio.create_task(self._dispatcher.attempt(task), name=f"attempt {task.task_id}")
        self._running[attempt] = task
        attempt.add_done_callback(self._ended)

    def _ended(self, attempt: asyncio.Task[None]) -> None:
        task = self._running.pop(attempt)
        self._due.set()
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            # The attempt's end could not be written: the lease runs out and the task is tried again.
            log.error("store.error", task_id=task.task_id, sink=task.sink, error=type(error).__name__)

    async def _until_due(self) -> None:
        """Sleep until something changed or the next open task is due."""
        due_ms = await self._queue.next_due_ms()
        if due_ms is None:
            await self._due.wait()
            return
        pause_s = max((due_ms - self._now_ms()) / 1000, SHORTEST_PAUSE_S)
        if due_ms <= self._now_ms() and (self._running or due_ms < self._now_ms() - LONGEST_YIELD_S * 1000):
            # It is due and not free to run: an attempt has to end first, which sets the event, or its sink
            # is not configured any more.
            pause_s = LONGEST_YIELD_S
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._due.wait()
