"""Whether the service lives and whether it is ready: asked of the parts themselves, and told to the supervisor."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog

from stibgate.app.systemd import Notifier
from stibgate.errors import StoreError, StoreFull, StoreTimeout, StoreUnavailable
from stibgate.pipeline.worker import Worker
from stibgate.stores.sqlite import SqliteStore

log = structlog.get_logger("stibgate.service")

STUCK_S = 30.0
"""A commit that takes longer is not coming back: only a restart helps, and it loses nothing."""
BEAT_S = 10.0
"""How often is looked, when no watchdog asks for more."""
STATUS_S = 30.0


@dataclass(slots=True)
class Health:
    """Says how the service is.

    Attributes:
        store: What must commit.
        worker: What must keep turning.
        late_s: A commit that takes longer is not ready any more: whoever waits for it is refused.
        draining: Whether it is about to end.
        listening: Whether the start is over.
    """

    store: SqliteStore
    worker: Worker
    late_s: float
    draining: Callable[[], bool]
    listening: bool = False

    def trouble(self) -> str | None:
        """Return what only a restart can mend; None when there is nothing."""
        if not self.store.alive:
            return "the store's writer has stopped"
        if self.store.committing_s > STUCK_S:
            return f"a commit has been under way for {self.store.committing_s:.0f} s"
        return None if self.worker.alive else "a loop of the worker has ended"

    def alive(self) -> bool:
        """Return whether the writer and the worker live and are not stuck; that the loop turns, the question proves."""
        return self.trouble() is None

    def ready(self) -> Mapping[str, str]:
        """Return each check's word: `ok`, or what keeps deliveries from being stored now."""
        store, space = "ok" if self.store.alive else "cannot write", "ok"
        if self.store.committing_s > self.late_s:
            store = f"a commit has been under way for {self.store.committing_s:.0f} s"
        try:
            self.store.check_disk()
        except StoreFull as error:
            space = error.message
        except StoreUnavailable as error:
            store = error.message
        return {
            "store": store,
            "free_space": space,
            "starting": "ok" if self.listening else "not listening yet",
            "draining": "draining" if self.draining() else "ok",
        }


class Heartbeat:
    """Looks again and again whether the service lives; feeds the watchdog only while it does.

    Args:
        health: What is looked at.
        notifier: The supervisor.
    """

    def __init__(self, health: Health, notifier: Notifier) -> None:
        self._health = health
        self._notifier = notifier
        self._told: str | None = None
        self._status = ""
        self._status_at_s = 0.0
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._status_at_s = asyncio.get_running_loop().time()  # it was told with the word that all is ready
        self._loop = asyncio.create_task(self._forever(), name="heartbeat")

    async def stop(self) -> None:
        """End; a supervisor that was told of the end waits for it without a watchdog."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def status(self) -> str:
        """Return in one line what the service is doing."""
        unfinished = 0
        with suppress(StoreError):
            unfinished = await self._health.store.unfinished()
        return "receiving" if not unfinished else f"receiving; {unfinished} deliveries under way"

    async def _forever(self) -> None:
        # Twice as often as asked for, so that one beat may be late.
        pause_s = min(BEAT_S, (self._notifier.watchdog_s or 2 * BEAT_S) / 2)
        while True:
            await self._beat(pause_s)
            await asyncio.sleep(pause_s)

    async def _beat(self, patience_s: float) -> None:
        trouble = self._health.trouble() or await self._ask_writer(patience_s)
        if trouble is None:
            self._notifier.alive()
            await self._tell_status()
        elif self._told is None:
            log.error("service.stuck", error=trouble, hint="It cannot mend itself: restart it, and look at its disk.")
        self._told = trouble

    async def _ask_writer(self, patience_s: float) -> str | None:
        """Return what is wrong when the writer's thread does not answer; that it could not commit is an answer."""
        try:
            async with asyncio.timeout(patience_s):
                await self._health.store.flush()
        except (TimeoutError, StoreTimeout):
            return f"no commit within {patience_s:g} s"
        except StoreError:
            pass  # a full or locked disk: a restart would change nothing
        return None

    async def _tell_status(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if not self._notifier.wanted or now_s - self._status_at_s < STATUS_S:
            return
        self._status_at_s = now_s
        text = await self.status()
        if text != self._status:
            self._status = text
            self._notifier.status(text)
