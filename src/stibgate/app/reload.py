"""SIGHUP: the configuration is read again and taken up whole, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from stibgate.app.clock import now_ms
from stibgate.config import ReloadStatus, Settings, changes, dotted, needing_restart
from stibgate.errors import ConfigError, Problem, StibgateError

log = structlog.get_logger("stibgate.service")


@dataclass(frozen=True, slots=True)
class Means:
    """What a reload works with.

    Attributes:
        reread: Reads the configuration from everywhere it was read at the start; may block.
        current: Returns what the service works by.
        turn_to: Takes up another configuration, which began to be read at that time; or raises and changes nothing.
        draining: Whether the service is about to end.
        begun: Called before.
        ended: Called after, however it ended.
    """

    reread: Callable[[], Settings]
    current: Callable[[], Settings]
    turn_to: Callable[[Settings, int], Awaitable[None]]
    draining: Callable[[], bool]
    begun: Callable[[], None]
    ended: Callable[[], Awaitable[None]]


class Wish:
    """Does one thing whenever it is asked for; whoever asks while it is being done gets it done once more.

    Args:
        do: What is done.
        name: What its task is called.
    """

    def __init__(self, do: Callable[[], Awaitable[None]], name: str) -> None:
        self._do = do
        self._name = name
        self._asked = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; what was asked for before is done now."""
        self._loop = asyncio.create_task(self._forever(), name=self._name)

    def ask(self) -> None:
        """Have it done, soon."""
        self._asked.set()

    async def stop(self) -> None:
        """End, also in the middle."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _forever(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self._do()
            except Exception:
                log.exception("unhandled")


class Reloader:
    """Reads the configuration again.

    Args:
        means: What it works with.

    Attributes:
        status: How it was read last.
    """

    def __init__(self, means: Means) -> None:
        self._means = means
        at_ms = now_ms()
        self.status = ReloadStatus(at_ms, succeeded_at_ms=at_ms)

    async def reload(self) -> None:
        """Take up what is configured now; on any error everything stays, and the log says so."""
        if self._means.draining():
            log.warning("config.reload_failed", reason="draining", kept=True, hint="The service is about to end.")
            return
        self._means.begun()
        try:
            await self._reload()
        except ConfigError as error:
            self._failed(error.problems, error.hint)
        except StibgateError as error:
            self._failed([Problem("configuration", "", "", error.message)], error.hint)
        except Exception:
            log.exception("unhandled")
            self._failed([Problem("configuration", "", "", "a bug here")], "Look for `unhandled` in the log.")
        finally:
            await self._means.ended()

    async def _reload(self) -> None:
        clock = asyncio.get_running_loop().time
        started_s, began_ms = clock(), now_ms()
        settings = await asyncio.to_thread(self._means.reread)
        changed = changes(self._means.current(), settings)
        if fixed := needing_restart(changed):
            names = ", ".join(map(dotted, fixed))
            hint = f"Restart the service to change {names}; or put it back, and reload."
            raise ConfigError(
                [Problem("configuration", dotted(path), "", "cannot change while the service runs") for path in fixed],
                hint=hint,
            )
        await self._means.turn_to(settings, began_ms)
        at_ms = now_ms()
        self.status = ReloadStatus(at_ms, succeeded_at_ms=at_ms)
        log.info(
            "config.reloaded",
            changed=[dotted(path) for path in changed],
            duration_ms=round((clock() - started_s) * 1000, 1),
        )

    def _failed(self, problems: Sequence[Problem], hint: str) -> None:
        first = problems[0]
        told = f"{first.path} {first.allowed}".strip()
        self.status = ReloadStatus(
            at_ms=now_ms(),
            succeeded_at_ms=self.status.succeeded_at_ms,
            errors=len(problems),
            error=told,
        )
        log.error(
            "config.reload_failed",
            errors=len(problems),
            config_path=first.where,
            setting=first.path or None,
            error=first.allowed,
            kept=True,
            hint=hint,
        )
