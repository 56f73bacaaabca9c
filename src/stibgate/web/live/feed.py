"""The last lines of the log, and those who look on: one pass over all of them, some twenty times a second.

Nobody who looks on has a queue or a task of their own. Those with the same filter are one channel: its new lines are
looked through once, written as bytes once, and the same bytes are handed to each connection. What a connection has
not read yet waits in its transport, up to `UNREAD_BYTES`; whoever reads too slowly for that is cut off, and comes
back with the id of the last line that it saw.

A pass takes a small, fixed share of the loop's time: the more people look on, the rarer the passes.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import count, islice
from typing import Any

import structlog

from stibgate.web.live.channel import Channel, Line, Member, piece
from stibgate.web.live.filters import Filter

log = structlog.get_logger("stibgate.live")

KEPT_LINES = 1000
CLIENTS_MAX = 2000
PASS_S, PASS_MAX_S = 0.05, 1.0
SHARE = 20
"""After a pass, the loop is left alone for so many times as long as the pass took."""
WRITES_AT_ONCE = 16
KEEPALIVE_S = 15.0
SWEEP_S = 1.0
LIFE_S = 900.0
"""After this, a stream ends and its client comes again, as one does at once whose token was taken away."""


class Feed:
    """Keeps the last lines, and passes new ones on to those who look on.

    Args:
        encode: Writes a line as one JSON object.
        run: Tells this run of the service from others, in the ids of lines.
        clock_s: The loop's clock.

    Attributes:
        clients: How many look on, or are about to.
        dropped: How many were cut off, because they did not read.
        closed: Whether everything has ended.
    """

    def __init__(self, *, encode: Callable[[Mapping[str, Any]], bytes], run: str, clock_s: Callable[[], float]) -> None:
        self.run = run
        self.clock_s = clock_s
        self.clients = 0
        self.dropped = 0
        self.closed = False
        self._encode = encode
        self._lock = threading.Lock()
        self._lines: deque[Mapping[str, Any]] = deque(maxlen=KEPT_LINES)
        self._frames: dict[int, bytes] = {}
        self._head = 0
        self._channels: dict[Filter, Channel] = {}
        self._pump: asyncio.Task[None] | None = None
        self._swept_s = 0.0

    @property
    def keen(self) -> bool:
        """Whether somebody looks on."""
        return self.clients > 0

    def hear(self, line: Mapping[str, Any]) -> None:
        """Keep *line*; from any thread."""
        with self._lock:
            self._head += 1
            self._lines.append(line)

    def position(self, wanted: Filter) -> int:
        """Return up to which line those with this filter are told; the newest one when there are none."""
        channel = self._channels.get(wanted)
        return self._head if channel is None else channel.cursor

    def oldest(self) -> int:
        """Return the number before the oldest line that is kept."""
        with self._lock:
            return self._head - len(self._lines)

    def last(self, lines: int, wanted: Filter) -> int:
        """Return the number after which the last *lines* of this filter stand."""
        position = self.position(wanted)
        found = [line.number for line in self.between(0, position) if wanted.lets(line.fields)]
        return position if not found or not lines else found[-lines:][0] - 1

    def between(self, after: int, until: int) -> list[Line]:
        """Return the lines that are kept with numbers above *after*, up to *until*."""
        with self._lock:
            oldest = self._head - len(self._lines)
            first = max(after, oldest)
            return list(map(Line, count(first + 1), islice(self._lines, first - oldest, max(0, until - oldest))))

    def frames(self, lines: Iterable[Line]) -> bytes:
        """Return *lines* as events of a stream; in one pass, each is written once for everybody."""
        made = []
        if len(self._frames) > KEPT_LINES:
            self._frames.clear()
        for number, fields in lines:
            if (frame := self._frames.get(number)) is None:
                frame = self._frames[number] = self.event("line", self._encode(fields), number)
            made.append(frame)
        return b"".join(made)

    def event(self, name: str, data: bytes, number: int) -> bytes:
        """Return one event of a stream; *number* is the last line that whoever got it knows of."""
        return b"%bevent: %b\ndata: %b\n\n" % (self.mark(number), name.encode(), data)

    def gap(self, missed: int | None, reason: str, number: int) -> bytes:
        """Return the event that says how many lines were left out up to *number*; None when nobody knows."""
        return self.event("gap", json.dumps({"missed": missed, "reason": reason}).encode(), number)

    def mark(self, number: int) -> bytes:
        """Return the field that says which line comes after which."""
        return b"id: %b-%d\n" % (self.run.encode(), number)

    def join(self, wanted: Filter, member: Member, cursor: int) -> Channel:
        """Let *member*, who has everything up to `position`, which is *cursor*, have the rest until it leaves."""
        now_s = self.clock_s()
        channel = self._channels.get(wanted)
        if channel is None:
            channel = self._channels[wanted] = Channel(wanted, cursor, now_s, now_s)
        channel.members.add(member)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._passes())
        return channel

    def leave(self, channel: Channel, member: Member) -> None:
        """Forget *member*."""
        channel.members.discard(member)
        if not channel.members:
            self._channels.pop(channel.wanted, None)

    async def close(self) -> None:
        """End every stream with a word, and let no new one begin."""
        self.closed = True
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        for channel in list(self._channels.values()):
            self._bring_up_to_date(channel)
            farewell = piece(self.event("bye", b'{"reason":"stopping"}', channel.cursor))
            for member in list(channel.members):
                member.write(farewell)
                member.end()

    def _bring_up_to_date(self, channel: Channel) -> None:
        news = self._news(channel, self.clock_s())
        for member in channel.members if news else ():
            member.write(piece(news))

    async def _passes(self) -> None:
        pause_s = PASS_S
        while self._channels:
            await asyncio.sleep(pause_s)
            try:
                pause_s = min(max(PASS_S, SHARE * await self._pass()), PASS_MAX_S)
            except Exception:
                log.exception("unhandled")

    async def _pass(self) -> float:
        """Tell everybody what is new; return how long that took, without what the loop did in between."""
        turn = _Turn(self.clock_s)
        self._frames.clear()
        cut_off = 0
        if sweep := turn.started_s - self._swept_s >= SWEEP_S:
            self._swept_s = turn.started_s
        for channel in list(self._channels.values()):
            data = self._news(channel, turn.started_s) or self._keepalive(channel, turn.started_s)
            news = piece(data) if data else None
            for told, member in enumerate(list(channel.members) if news or sweep else (), 1):
                if news is not None:
                    cut_off += not member.write(news)
                if sweep:
                    self._look_at(member, channel, turn.started_s)
                if told % WRITES_AT_ONCE == 0:
                    await turn.over()
            await turn.over()
        if cut_off:
            self.dropped += cut_off
            log.warning("live.dropped", clients=cut_off, reason="not_reading")
        return turn.used_s

    def _look_at(self, member: Member, channel: Channel, now_s: float) -> None:
        if member.transport.is_closing():
            member.end()
        elif now_s >= member.until_s or not member.welcome():
            member.write(piece(self.event("bye", b'{"reason":"renew"}', channel.cursor)))
            member.end()

    def _news(self, channel: Channel, now_s: float) -> bytes:
        """Return what has happened for *channel* since it was last asked, as bytes."""
        head, oldest = self._head, self.oldest()
        overrun = max(0, oldest - channel.cursor)
        if head == channel.cursor and not channel.held:
            return b""
        fresh = self.between(channel.cursor, head)
        channel.cursor = head
        left_out, lines = channel.choose([line for line in fresh if channel.wanted.lets(line.fields)], now_s)
        told = self.gap(overrun, "overrun", oldest) if overrun else b""
        if left_out:
            told += self.gap(left_out, "rate", lines[0].number - 1 if lines else head)
        told += self.frames(lines)
        if told:
            channel.wrote_s = now_s
        return told

    def _keepalive(self, channel: Channel, now_s: float) -> bytes:
        """Return what keeps a quiet connection open, with the id of what was looked at and not wanted."""
        if now_s - channel.wrote_s < KEEPALIVE_S:
            return b""
        channel.wrote_s = now_s
        return b": keepalive\n%b\n" % self.mark(channel.cursor)


class _Turn:
    """Gives the loop back when others wait for it, and counts the time that was used."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._since_s = self.started_s = clock_s()
        self.used_s = 0.0

    async def over(self) -> None:
        """Let the others run."""
        self.used_s += self._clock_s() - self._since_s
        await asyncio.sleep(0)
        self._since_s = self._clock_s()
