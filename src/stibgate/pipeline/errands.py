"""The loop that asks the vendor in the background; it sleeps until it is woken or something is due."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from stibgate.errors import StoreError

log = structlog.get_logger("stibgate.vendors")

SHORTEST_S = 0.02
LONGEST_S = 60.0
RETRY_S = 1.0


class Errand(Protocol):
    """Something that is done again and again."""

    async def run_once(self) -> bool:
        """Do what is due; return whether there may be more at once."""
        ...

    async def next_due_ms(self) -> int | None:
        """Return when there is something to do next; None when nothing is known."""
        ...


class Errands:
    """Runs errands until `stop`.

    Args:
        errands: One after the other, in each round.
        now_ms: The clock.
    """

    def __init__(self, errands: Sequence[Errand], *, now_ms: Callable[[], int]) -> None:
        self._errands = errands
        self._now_ms = now_ms
        self._awake = asyncio.Event()
        self._stopping = False
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._awake.set()
        self._loop = asyncio.create_task(self._forever(), name="errands")

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._awake.set()

    async def stop(self, *, drain_timeout_s: float) -> None:
        """Begin nothing more, and let what runs end for so long: an answer that is on its way should be noted."""
        self._stopping = True
        self._awake.set()
        if self._loop is None:
            return
        await asyncio.wait([self._loop], timeout=drain_timeout_s)
        self._loop.cancel()
        with suppress(asyncio.CancelledError):
            await self._loop

    async def _forever(self) -> None:
        while not self._stopping:
            self._awake.clear()
            if not await self._round():
                await self._guarded(self._rest)

    async def _guarded(self, work: Callable[[], Awaitable[bool]]) -> bool:
        try:
            return await work()
        except StoreError as error:
            log.error("store.error", error=error.message, hint=error.hint)  # noqa: TRY400  (a line, no traceback)
        except Exception:
            log.exception("unhandled")
        await asyncio.sleep(RETRY_S)
        return False

    async def _round(self) -> bool:
        """Run every errand once; one that fails does not keep the others from their turn."""
        worked = False
        for errand in self._errands:
            worked = (not self._stopping and await self._guarded(errand.run_once)) or worked
        return worked and not self._stopping

    async def _rest(self) -> bool:
        due = [due_ms for errand in self._errands if (due_ms := await errand.next_due_ms()) is not None]
        left_s = (min(due) - self._now_ms()) / 1000 if due else LONGEST_S
        with suppress(TimeoutError):
            async with asyncio.timeout(min(max(left_s, SHORTEST_S), LONGEST_S)):
                await self._awake.wait()
        return True
