"""An event loop whose clock jumps: when nothing is left to do before the next timer, it is that timer's time.

Work in threads is waited for in real time, and no virtual time passes meanwhile. What hangs hangs for good, and
the test's time-out says so.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.pipeline.world import NOW_MS

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.threads = 0

    def select(self, timeout: float | None = None):
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(None if self.threads else 0)
        if not ready:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Moves its clock by itself; `outside` counts what threads of others still work on."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s

    def now_ms(self) -> int:
        """Return the wall clock that goes with the loop's."""
        return NOW_MS + round(self._virtual.now_s * 1000)

    def outside(self, change: int) -> None:
        """Say that *change* more calls are under way in threads."""
        self._virtual.threads += change

    def run_in_executor(self, executor, func, *args):
        self.outside(1)
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(lambda _: self.outside(-1))
        return future


def run(main: Coroutine[Any, Any, T]) -> T:
    """Return what *main* returns, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def now_ms() -> int:
    """Return the present of the running virtual loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.now_ms()
