"""One sink's share of the work: it leases the sink's due tasks and starts their attempts, and waits for nobody else.

A lane sleeps until it is woken or its next task is due. So one sink that hangs or fails keeps its own lane busy,
and no other one.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress

import structlog

from stibgate.domain.backoff import Policy
from stibgate.domain.task import Task
from stibgate.errors import StoreError
from stibgate.pipeline.dispatch import Dispatcher, Outlet
from stibgate.stores import Claim, Queue

log = structlog.get_logger("stibgate.worker")

SHORTEST_PAUSE_S = 0.05
LONGEST_WAIT_S = 1.0
LONGEST_PAUSE_S = 3_600.0


class Lane:
    """Keeps one sink supplied.

    Args:
        sink: Its name.
        queue: The store.
        dispatcher: Makes attempts.
        now_ms: The clock.
    """

    def __init__(self, sink: str, queue: Queue, dispatcher: Dispatcher, *, now_ms: Callable[[], int]) -> None:
        self.sink = sink
        self._queue = queue
        self._dispatcher = dispatcher
        self._policy = dispatcher.outlets[sink].policy
        self._now_ms = now_ms
        self._rate = Rate(self._policy)
        self._looked_at_ms = _NEVER
        self._awake = asyncio.Event()
        self._running: dict[asyncio.Task[None], Task] = {}

    @property
    def outlet(self) -> Outlet:
        """The sink, and how patiently it is tried."""
        return self._dispatcher.outlets[self.sink]

    def adopt(self, dispatcher: Dispatcher) -> None:
        """Go on with the same sink as *dispatcher* tries it; attempts that are under way end as they began."""
        before, self._dispatcher = self._policy, dispatcher
        self._policy = self.outlet.policy
        if self._policy.rate_per_s != before.rate_per_s:
            self._rate = Rate(self._policy)
        self._awake.set()

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._awake.set()

    @property
    def running(self) -> int:
        """How many attempts are under way."""
        return len(self._running)

    async def step(self) -> bool:
        """Lease what may be begun now and begin it; return whether there was anything."""
        self._awake.clear()
        now_ms = self._now_ms()
        limit = min(self._policy.concurrency - len(self._running), self._rate.free(now_ms))
        self._looked_at_ms = now_ms if limit > 0 else _NEVER
        if limit <= 0:
            return False
        claim = await self._claim(now_ms, limit)
        self._rate.take(len(claim.tasks), self._now_ms())
        for task in claim.given_up:
            self._dispatcher.gave_up(task)
        for task in claim.tasks:
            attempt = asyncio.create_task(self._dispatcher.attempt(task), name=f"attempt {task.task_id}")
            self._running[attempt] = task
            attempt.add_done_callback(self._ended)
        return bool(claim.tasks or claim.given_up or claim.more)

    async def _claim(self, now_ms: int, limit: int) -> Claim:
        """Return what was leased; a stop that comes meanwhile gives it back, so that it costs nobody a try."""
        claiming = asyncio.ensure_future(self._queue.claim(self.sink, self._policy, now_ms=now_ms, limit=limit))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            for task in (await claiming).tasks:
                await self._dispatcher.release(task)
            raise

    async def rest(self) -> None:
        """Sleep until something changed or the next task may be begun."""
        pause_s = await self._pause_s()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._awake.wait()

    async def _pause_s(self) -> float | None:
        """Return how long there is nothing to do; None when only what wakes the lane can change that."""
        if len(self._running) >= self._policy.concurrency:
            return None
        due_ms = await self._queue.next_due_ms(self.sink)
        if due_ms is None:
            return None
        now_ms = self._now_ms()
        wait_s = max((due_ms - now_ms) / 1000, self._rate.wait_s(now_ms))
        if wait_s > 0:
            return min(max(wait_s, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
        if due_ms > self._looked_at_ms:
            return 0.0
        # It was due when we looked and could not begin. It waits for an attempt that runs: a probe, most likely.
        return None if self._running else LONGEST_WAIT_S

    async def stop(self, *, timeout_s: float) -> int:
        """Let running attempts end, give the rest back; return how many those were."""
        if self._running:
            await asyncio.wait(list(self._running), timeout=timeout_s)
        unfinished = dict(self._running)
        for attempt, task in unfinished.items():
            attempt.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await attempt
            with suppress(StoreError):
                await self._dispatcher.release(task)
        return len(unfinished)

    def _ended(self, attempt: asyncio.Task[None]) -> None:
        task = self._running.pop(attempt)
        self._awake.set()
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            # The attempt's end could not be written: the lease runs out and the task is tried again.
            log.error("store.error", task_id=task.task_id, sink=task.sink, error=type(error).__name__)


class Rate:
    """Attempts that may begin: a bucket that holds one second's worth, at least one.

    Args:
        policy: Its `rate_per_s`; None for no limit.
    """

    def __init__(self, policy: Policy) -> None:
        self._per_s = policy.rate_per_s
        self._most = max(policy.rate_per_s or 0.0, 1.0)
        self._tokens = self._most
        self._at_ms: int | None = None

    def free(self, now_ms: int) -> int:
        """Return how many attempts may begin now."""
        if self._per_s is None:
            return _UNLIMITED
        passed_ms = 0 if self._at_ms is None else max(now_ms - self._at_ms, 0)
        self._tokens = min(self._tokens + passed_ms / 1000 * self._per_s, self._most)
        self._at_ms = now_ms
        return math.floor(self._tokens + 1e-9)

    def take(self, count: int, now_ms: int) -> None:
        """Note that *count* attempts began."""
        self.free(now_ms)
        self._tokens -= count

    def wait_s(self, now_ms: int) -> float:
        """Return how long until one may begin."""
        if self._per_s is None or self.free(now_ms) > 0:
            return 0.0
        return (1 - self._tokens) / self._per_s


_UNLIMITED = 1_000_000
_NEVER = -1
