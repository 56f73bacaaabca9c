"""Work that goes on after an answer was sent, and a way to wait for its end."""

import asyncio
from collections.abc import Coroutine


class Background:
    """The tasks of one server: none is forgotten, and a failure of one is not swallowed."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Start *work*; it is kept alive until it ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Return when all work has ended, the work that it started included.

        Raises:
            Exception: Whatever a task died of; that is a bug of the sandbox.
        """
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Cancel what is running and wait until it is gone."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
