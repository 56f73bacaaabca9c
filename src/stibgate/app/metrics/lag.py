"""How late the event loop comes: a timer that measures itself."""

import asyncio
from collections import deque

TICK_S = 1.0
REMEMBERED = 60


class LoopLag:
    """The longest that a timer came late, over the last minute."""

    def __init__(self) -> None:
        self._late_s: deque[float] = deque(maxlen=REMEMBERED)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._task = asyncio.create_task(self._measure(), name="loop lag")

    def stop(self) -> None:
        """Measure no more."""
        if self._task is not None:
            self._task.cancel()

    @property
    def longest_s(self) -> float:
        """The longest delay of the last minute."""
        return max(self._late_s, default=0.0)

    async def _measure(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due_s = clock() + TICK_S
            await asyncio.sleep(TICK_S)
            self._late_s.append(max(clock() - due_s, 0.0))
