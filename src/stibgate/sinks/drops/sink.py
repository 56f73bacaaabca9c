"""The sink on a disk: batches in threads, one at a time where they share a file, failures told as `SinkUnavailable`."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

from stibgate.domain.task import Outcome, OutcomeKind
from stibgate.errors import SinkUnavailable
from stibgate.sinks import Batch, Finding
from stibgate.sinks.drops.disk import unavailable

T = TypeVar("T")

_RETRY_S = 60.0
_THREADS_MAX = 8  # more gain little: they wait for one disk


class Layout(Protocol):
    """How batches become files; raises `OSError` when the disk fails.

    Called from one thread at a time for each lane; everything but `write` is in the lane "".
    """

    def lane(self, batch: Batch) -> str:
        """Return what no two batches may have in common that are written at once."""
        ...

    def open(self) -> None:
        """Make the folder ready and finish what a crash left."""
        ...

    def write(self, batch: Batch) -> None:
        """Write *batch* durably, once however often it comes; makes ready first when `open` failed."""
        ...

    def tick(self) -> float | None:
        """Finish what time alone finishes; return the seconds until there is more to do, None for never."""
        ...

    def look(self) -> Sequence[Finding]:
        """Return what can be said without writing anything.

        Raises:
            SinkUnavailable: What is wrong, where `write` would fail in the same way.
        """
        ...

    def reopen(self) -> None:
        """Finish what is open, and look at the folder anew with the next call."""
        ...

    def close(self) -> None:
        """Finish what is open."""
        ...


class DropSink:
    """Writes batches into files in a folder.

    Args:
        layout: Decides which files.
        folder: Named in hints.
        name: The sink's name, for the task that completes files in time.
        sleep: Waits the given seconds; tests have their own.
    """

    def __init__(
        self,
        layout: Layout,
        folder: Path,
        *,
        name: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._layout = layout
        self._folder = folder
        self._name = name
        self._sleep = sleep
        # Of its own: a disk that hangs must not take the threads of others, such as name resolution.
        self._threads = ThreadPoolExecutor(_THREADS_MAX, thread_name_prefix=f"drop-{name}")
        self._lanes: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._running: set[asyncio.Task[object]] = set()
        self._written = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make the folder ready and begin to complete files in time.

        Raises:
            SinkUnavailable: The folder cannot be used; the first batch tries again.
        """
        self._ticker = asyncio.create_task(self._tick_in_time(), name=f"drop-rotation-{self._name}")
        await self._in_thread("", self._layout.open)

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Write *batch* durably and return `written` for each record, in order.

        Raises:
            SinkUnavailable: The disk refused; no visible file holds a part of the batch.
        """
        if not batch.records:
            return ()
        await self._in_thread(self._layout.lane(batch), lambda: self._layout.write(batch))
        self._written.set()
        return [Outcome(record.position, OutcomeKind.WRITTEN) for record in batch.records]

    async def tick(self) -> None:
        """Complete what is due by now.

        Raises:
            SinkUnavailable: The disk refused; it is tried again by itself.
        """
        await self._in_thread("", self._layout.tick)

    async def check(self) -> Sequence[Finding]:
        """Return whether the folder can be written, has room, and holds what a rolling file's journal promised."""
        try:
            return await self._in_thread("", self._layout.look)
        except SinkUnavailable as error:
            return [Finding(error.message, ok=False, hint=error.hint)]

    async def reopen(self) -> None:
        """Complete the open file; the next batch begins a new one, in the folder that is there then.

        Raises:
            SinkUnavailable: The disk refused; it is tried again by itself.
        """
        await self._in_thread("", self._layout.reopen)

    async def close(self) -> None:
        """Complete the open file and let go; what the disk refuses now, the next `open` does."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        await asyncio.gather(*self._running, return_exceptions=True)
        try:
            with contextlib.suppress(SinkUnavailable):
                await self._in_thread("", self._layout.close)
        finally:
            self._threads.shutdown(wait=False)

    async def _tick_in_time(self) -> None:
        while True:
            self._written.clear()
            try:
                wait_s = await self._in_thread("", self._layout.tick)
            except SinkUnavailable:
                wait_s = _RETRY_S
            if wait_s is None:
                await self._written.wait()
            else:
                await self._sleep(wait_s)

    async def _in_thread(self, lane: str, work: Callable[[], T]) -> T:
        """Return what *work* returns; no two run at once in one *lane*.

        A thread cannot be cancelled. So when the caller gives up, the work goes on behind a shield and keeps the
        lane until it ends; else a retry would write beside it.
        """
        task = asyncio.create_task(self._alone(lane, work))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def _alone(self, lane: str, work: Callable[[], T]) -> T:
        # Whoever holds or awaits a lock keeps it alive; then it goes by itself.
        async with self._lanes.setdefault(lane, asyncio.Lock()):
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
            except OSError as error:
                raise unavailable(error, self._folder) from error

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen: nobody may be waiting any more
