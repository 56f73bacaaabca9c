"""The parts that buy jobs, over changes of the account, its budgets and its sources."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from stibgate.app.jobs import JobParts, TakeJob
from stibgate.app.parts import job_sources
from stibgate.config import Settings
from stibgate.domain.fact import Observe, unobserved
from stibgate.stores.sqlite import SqliteStore

ERRANDS_ENDED_S = 5.0
"""How long a question to the vendor may take when its errands end; it is asked again by those that come after."""


class Buying:
    """What buys now; nothing without an API key.

    Args:
        store: The open store.
        take_job: Where jobs come in that were asked for.
        on_accepted: Called when a delivery can be processed.
        observe: Told of each exchange with the vendor.
    """

    def __init__(
        self,
        store: SqliteStore,
        take_job: TakeJob,
        on_accepted: Callable[[], None],
        observe: Observe = unobserved,
    ) -> None:
        self._observe = observe
        self._store = store
        self._take_job = take_job
        self._on_accepted = on_accepted
        self._clients = AsyncExitStack()
        self._running = False
        self._change: asyncio.Task[None] | None = None
        self.parts: JobParts | None = None

    async def prepare(self, settings: Settings, before: Settings | None = None) -> JobParts | None:
        """Return what buys by *settings*; what is there already when nothing of it changed since *before*.

        Clients stay open until `close`: somebody may be waiting for an answer, and idle ones hold no connection.
        """
        if before is not None and _matter(before) == _matter(settings):
            return self.parts
        if settings.stibnite.api_key is None:
            return None
        parts = JobParts(settings, self._store, self._take_job, self._on_accepted, self.parts, self._observe)
        await self._clients.enter_async_context(parts.client)
        return parts

    def turn_to(self, parts: JobParts | None) -> None:
        """Buy through *parts* from now on; their errands begin when those before have ended: none is run twice."""
        old, self.parts = self.parts, parts
        if self._running and old is not parts:
            self._change = asyncio.create_task(self._replace(old, parts, self._change), name="change errands")

    def start(self) -> None:
        """Begin the errands."""
        self._running = True
        if self.parts is not None:
            self.parts.errands.start()

    def wake(self) -> None:
        """Say that there may be something to ask."""
        if self.parts is not None:
            self.parts.errands.wake()

    async def stop(self, *, drain_timeout_s: float) -> None:
        """Let the errands end."""
        self._running = False
        if self._change is not None:
            await self._change
        if self.parts is not None:
            await self.parts.errands.stop(drain_timeout_s=min(drain_timeout_s, ERRANDS_ENDED_S))

    async def close(self) -> None:
        """Let go of the vendor; nobody can ask for a job any more."""
        await self._clients.aclose()

    async def _replace(self, old: JobParts | None, new: JobParts | None, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await earlier
        if old is not None:
            await old.errands.stop(drain_timeout_s=ERRANDS_ENDED_S)
        if new is not None and new is self.parts and self._running:
            new.errands.start()


def _matter(settings: Settings) -> tuple[object, ...]:
    return settings.stibnite, settings.budgets, job_sources(settings)
