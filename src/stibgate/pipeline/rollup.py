"""The per-minute roll-up: counts what happened in memory, and adds it and what was refused to the store.

Counting must cost an answer nothing, so what happened since the last flush is in memory only: kill -9 loses those
seconds of the charts, and nothing else. A flush that fails is tried again as the same batch, which the store adds
once; what happens meanwhile gathers for the next one. Nothing here can stop the service.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from stibgate.domain.fact import Fact
from stibgate.domain.rejection import Rejections
from stibgate.domain.stats import DAY_MS
from stibgate.domain.tally import MINUTE_MS, Counted, Key, counts_of
from stibgate.errors import StoreError
from stibgate.pipeline.refusals import Refusals
from stibgate.stores import Tallies

log = structlog.get_logger("stibgate.rollup")

FLUSH_S = 5.0
KEEP_COUNTS_MS = 8 * DAY_MS
KEEP_REJECTIONS_MS = 30 * DAY_MS
GATHERED_MAX = 50_000
"""Numbers that wait in memory while the store takes none, about a day's; then nothing new is counted."""


class Rollup:
    """Adds up facts, minute by minute.

    Args:
        tallies: Where the numbers go.
        refusals: What was refused goes with them.
        now_ms: The clock.
        new_id: Makes the ids of batches.
    """

    def __init__(
        self, tallies: Tallies, refusals: Refusals, *, now_ms: Callable[[], int], new_id: Callable[[], str]
    ) -> None:
        self._tallies = tallies
        self._refusals = refusals
        self._now_ms = now_ms
        self._new_id = new_id
        self._gathered: dict[tuple[int, Key], int] = {}
        self._batch: tuple[str, Sequence[Counted], Sequence[Rejections]] | None = None
        self._failing = False
        self._loop: asyncio.Task[None] | None = None

    def observe(self, fact: Fact) -> None:
        """Count *fact*."""
        now_ms = self._now_ms()
        minute_ms = now_ms - now_ms % MINUTE_MS
        gathered = self._gathered
        for key, value in counts_of(fact):
            place = minute_ms, key
            if place in gathered or len(gathered) < GATHERED_MAX:
                gathered[place] = gathered.get(place, 0) + value

    def start(self) -> None:
        """Flush every few seconds from now on."""
        self._loop = asyncio.create_task(self._forever(), name="rollup")

    async def stop(self) -> None:
        """Flush what was counted so far, and end."""
        if self._loop is not None:
            self._loop.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop
        await self._refusals.close()
        await self.flush()
        await self.flush()  # the batch that a failure left may have come before what was counted since

    async def flush(self) -> bool:
        """Add what was counted to the store; return whether that is done."""
        if self._batch is None:
            counts = [Counted(at_ms, key, value) for (at_ms, key), value in self._gathered.items()]
            rejections = self._refusals.take()
            if not counts and not rejections:
                return True
            self._batch = self._new_id(), counts, rejections
            self._gathered = {}
        try:
            await self._tallies.add_counts(*self._batch)
        except StoreError as error:
            if not self._failing:
                log.warning("store.error", error=error.message, hint="Charts miss the last minutes until it is over.")
            self._failing = True
            return False
        self._batch = None
        self._failing = False
        return True

    async def forget(self) -> None:
        """Remove what is too old for any chart, a little at a time."""
        with suppress(StoreError):
            now_ms = self._now_ms()
            await self._tallies.forget_counts(now_ms - KEEP_COUNTS_MS, rejections_before_ms=now_ms - KEEP_REJECTIONS_MS)

    async def _forever(self) -> None:
        forget_at_ms = 0
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                if await self.flush() and self._now_ms() >= forget_at_ms:
                    forget_at_ms = self._now_ms() + MINUTE_MS
                    await self.forget()
            except Exception:
                log.exception("unhandled")
