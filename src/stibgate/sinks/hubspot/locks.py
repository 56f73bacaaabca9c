"""Locks by name, taken all at once: whoever shares a company waits, nobody waits for half of what it needs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable


class Locks:
    """Any number of locks that exist while they are held; for one event loop."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._freed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def holding(self, names: Iterable[str]) -> AsyncIterator[None]:
        """Hold all of *names* while the block runs."""
        wanted = frozenset(names)
        async with self._freed:
            await self._freed.wait_for(lambda: not wanted & self._held)
            self._held |= wanted
        try:
            yield
        finally:
            # Without a wait before it: a cancelled holder must let go all the same.
            self._held -= wanted
            await asyncio.shield(self._wake())

    async def _wake(self) -> None:
        async with self._freed:
            self._freed.notify_all()
