"""Who may send now: callers wait here until pace, quota and room in flight allow one more request.

Pace goes by the event loop's clock, which never jumps; only the quota's midnight goes by the wall clock. A
late timer loses nothing: tokens grow meanwhile, and all that are due leave together, so that with work waiting
the allowed rate is used to the full.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType

from stibgate.errors import SinkHeld
from stibgate.sinks.hubspot.governor import Governor
from stibgate.sinks.hubspot.pace import WINDOW_S, Flights, Lane, Pace

QUOTA_WAIT_MAX_S = 30.0
"""Who would wait longer than this for the day's quota is sent away instead."""

_LIMIT_MAX = 1_000_000
_PREFIX = "X-HubSpot-RateLimit-"


class Slot:
    """One request's turn.

    Attributes:
        sent: Set by who sends; a turn that was not used is given back.
    """

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = False


class Gate:
    """Lets in as many at once as `flights` allow; first come, first served."""

    def __init__(self, flights: Flights) -> None:
        self.flights = flights
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._leave()
            raise

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._inside < self.flights.allowed:
            turn = self._waiting.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)


class Limiter:
    """One account's and app's turns to send.

    Attributes:
        pace: The clocks.
        governor: The daily quota.
        flights: How many requests may be under way.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.pace = Pace()
        self.governor = Governor()
        self.flights = Flights(start=8, most=40)
        self._now_ms = now_ms
        self._flying = 0
        self._last_s = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        # In the order of their right of way: what waits for the two slower clocks takes little from the third.
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {
            Lane.LOW: deque(),
            Lane.SEARCH: deque(),
            Lane.NORMAL: deque(),
        }

    @asynccontextmanager
    async def slot(self, lane: Lane, *, again: bool = False) -> AsyncIterator[Slot]:
        """Wait for a turn in *lane* and hold room in flight until the block ends.

        Args:
            lane: Which clock to go by.
            again: Whether this is a request's second try, which goes before new ones.

        Raises:
            SinkHeld: The day's quota leaves no turn for a while.
        """
        await self._acquire(lane, again=again)
        slot = Slot()
        try:
            yield slot
        finally:
            if not slot.sent:
                self.pace.put_back(lane)
            self._flying -= 1
            self._pump()

    def learn(self, headers: Mapping[str, str]) -> int | None:
        """Take the limits that an answer's headers name; return what is left of the day's. Searches name none."""
        limit = _figure(headers, "Max")
        window_ms = _figure(headers, "Interval-Milliseconds") or WINDOW_S * 1000
        if limit is not None and limit >= 2:
            self.pace.learn(limit, window_ms / 1000, asyncio.get_running_loop().time())
        daily, remaining = _figure(headers, "Daily"), _figure(headers, "Daily-Remaining")
        if daily and remaining is not None:
            self.governor.learn(daily, remaining, self._now_ms())
        return remaining

    def send_away(self, error: SinkHeld) -> None:
        """Raise *error* to everybody who waits."""
        for waiting in self._waiting.values():
            while waiting:
                turn = waiting.popleft()
                if not turn.done():
                    turn.set_exception(SinkHeld(error.message, hint=error.hint, retry_after_s=error.retry_after_s))

    async def _acquire(self, lane: Lane, *, again: bool) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        waiting = self._waiting[lane]
        interval_s = self.governor.interval_s(self._now_ms())
        if interval_s:
            self._refuse_if_long(self._quota_wait_s(loop.time(), interval_s) + len(waiting) * interval_s)
        if again:
            waiting.appendleft(turn)
        else:
            waiting.append(turn)
        self._pump()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.pace.put_back(lane)
                self._flying -= 1
                self._pump()
            raise

    def _pump(self) -> None:
        """Give turns to all who may have one now, and come back when the next may."""
        now_s = asyncio.get_running_loop().time()
        while self._flying < self.flights.allowed:
            interval_s = self.governor.interval_s(self._now_ms())
            quota_s = self._quota_wait_s(now_s, interval_s)
            if quota_s > QUOTA_WAIT_MAX_S:
                self.send_away(_held(quota_s))
            lane, wait_s = self._next(now_s)
            if lane is None:
                return
            if max(wait_s, quota_s) > 0:
                self._wake_at(now_s + max(wait_s, quota_s))
                return
            self._waiting[lane].popleft().set_result(None)
            self._flying += 1
            self._last_s = now_s
            self.pace.take(lane, now_s)
            self.governor.spend()

    def _next(self, now_s: float) -> tuple[Lane | None, float]:
        """Return whose turn comes first and in how many seconds; those who gave up are dropped."""
        lane, least_s = None, math.inf
        for candidate, waiting in self._waiting.items():
            while waiting and waiting[0].done():
                waiting.popleft()
            if waiting and (wait_s := self.pace.wait_s(candidate, now_s)) < least_s:
                lane, least_s = candidate, wait_s
        return lane, least_s

    def _quota_wait_s(self, now_s: float, interval_s: float) -> float:
        return max(0.0, self._last_s + interval_s - now_s) if interval_s else 0.0

    def _refuse_if_long(self, wait_s: float) -> None:
        if wait_s > QUOTA_WAIT_MAX_S:
            raise _held(wait_s)

    def _wake_at(self, when_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when_s, self._pump)


def _held(wait_s: float) -> SinkHeld:
    return SinkHeld(
        "little is left of HubSpot's daily quota",
        hint="The rest is spread to midnight in the account's time zone; other apps of the account share it.",
        retry_after_s=wait_s,
    )


def _figure(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(_PREFIX + name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= _LIMIT_MAX * 100 else None
