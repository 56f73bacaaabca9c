"""The sinks of a service: built from their settings, opened, changed by a reload, closed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from stibgate.app.clock import jitter, now_ms
from stibgate.app.parts import SinkMemory, policy_of
from stibgate.config import AnySink, Settings
from stibgate.domain.fact import Observe, unobserved
from stibgate.errors import ConfigError, Problem, SinkUnavailable, StibgateError
from stibgate.pipeline.dispatch import Outlet
from stibgate.sinks import Reopens, Sink, SinkContext
from stibgate.stores.sqlite import SqliteStore

log = structlog.get_logger("stibgate.service")

READY_S = 1.0
"""How long the start waits for a sink; a slower one becomes ready in its own time, and its tasks wait."""
CLOSED_S = 2.0

_SLOW = "Its disk or network does not answer; its tasks wait, and are tried again by themselves."


class Outlets:
    """Builds, opens and closes sinks.

    Args:
        store: What they remember is kept there.
        observe: Told what sinks tell of themselves.

    Attributes:
        stuck: Whether a sink did not let go: a thread of this process hangs in it for ever.
    """

    def __init__(self, store: SqliteStore, observe: Observe = unobserved) -> None:
        self._observe = observe
        self._store = store
        self._open: dict[str, Sink] = {}
        self.stuck = False

    def build(
        self, settings: Settings, *, before: Settings | None = None, known: Mapping[str, Outlet] | None = None
    ) -> Mapping[str, Outlet]:
        """Return an outlet for each sink of *settings*, none of them opened; one that is as *before* keeps its sink.

        Raises:
            ConfigError: A sink cannot be built.
        """
        outlets = {}
        for name, wanted in settings.sinks.items():
            kept = known.get(name) if known and before and _same(before.sinks.get(name), wanted) else None
            sink = self._build(name, wanted) if kept is None else kept.sink
            outlets[name] = Outlet(sink, policy_of(settings.delivery_of(name)))
        return outlets

    async def open_all(self, outlets: Mapping[str, Outlet]) -> None:
        """Open every sink; one that is not ready now is tried with its first batch."""
        for name, outlet in outlets.items():
            await self._make_ready(name, outlet.sink)

    async def hand_over(self, name: str, old: Outlet | None, new: Outlet | None) -> None:
        """Close the sink of *old*, of which no attempt runs any more, and open that of *new*."""
        if old is not None and self._open.get(name) is old.sink:
            await self._close(name)
        if new is not None:
            await self._make_ready(name, new.sink)

    async def reopen(self) -> list[str]:
        """Have every sink that holds files let go of them; return the names of those that did."""
        reopened = []
        for name, sink in [*self._open.items()]:  # a reload may open and close others meanwhile
            if not isinstance(sink, Reopens) or self._open.get(name) is not sink:
                continue
            if await _within(CLOSED_S, name, sink.reopen, "not done"):
                reopened.append(name)
        return reopened

    async def close_all(self) -> None:
        """Close every sink, the last one first."""
        for name in reversed([*self._open]):
            await self._close(name)

    def _build(self, name: str, wanted: AnySink) -> Sink:
        try:
            return wanted.build(SinkContext(name, now_ms, jitter, SinkMemory(name, self._store), self._observe))
        except StibgateError as error:
            words, hint = error.message, error.hint
            cause: Exception = error
        except Exception as error:  # noqa: BLE001  (whatever a sink from elsewhere raises, it is not there)
            words, hint = (
                f"cannot be built: {type(error).__name__}",
                "Look at the package that brings this kind of sink.",
            )
            cause = error
        raise ConfigError([Problem("configuration", f"sinks.{name}", "", words)], hint=hint) from cause

    async def _make_ready(self, name: str, sink: Sink) -> None:
        self._open[name] = sink
        await _within(READY_S, name, sink.open, "not ready")

    async def _close(self, name: str) -> None:
        try:
            async with asyncio.timeout(CLOSED_S):
                await self._open.pop(name).close()
        except TimeoutError:
            self.stuck = True
            log.warning("sink.unavailable", sink=name, error=f"not closed after {CLOSED_S:g} s", hint=_SLOW)


async def _within(patience_s: float, name: str, ask: Callable[[], Awaitable[None]], undone: str) -> bool:
    """Return whether the sink *name* did in time what it was asked for; a sink that cannot now costs a log line."""
    try:
        async with asyncio.timeout(patience_s):
            await ask()
    except SinkUnavailable as error:
        log.warning("sink.unavailable", sink=name, error=error.message, hint=error.hint)
    except TimeoutError:
        log.warning("sink.unavailable", sink=name, error=f"{undone} after {patience_s:g} s", hint=_SLOW)
    else:
        return True
    return False


def _same(old: AnySink | None, new: AnySink) -> bool:
    """Whether a sink need not be built anew: how patiently it is tried is not its own matter."""
    return old is not None and old == new.model_copy(update={"delivery": old.delivery})
