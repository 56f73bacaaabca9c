"""`GET /api/v1/events` and the console's tail: the feed as server-sent events.

Events of a stream: `ready` first; `line`, whose data is a line of the log as JSON; `gap` with how many lines were
`missed` and why (`rate`, `overrun`, `restarted`); `bye` when the service ends the stream. Every event has an id:
who comes back with `Last-Event-ID` gets what came since, nothing twice, and nothing left out without a `gap`.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import re
import resource
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from aiohttp import HttpVersion11, web

from stibgate import __version__
from stibgate.errors import StoreUnavailable, UsageError
from stibgate.web.live.channel import Member
from stibgate.web.live.feed import CLIENTS_MAX, KEPT_LINES, LIFE_S, Feed
from stibgate.web.live.filters import NAMES, Filter, read_filter

RETRY_MS = 2000
SYSTEM_BUFFER_BYTES = 64 * 1024
CATCH_UP_LINES = 100
CATCH_UP_S = 10.0

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep lines until it has a page of them
    "X-Content-Type-Options": "nosniff",
}

_ID = re.compile(r"([0-9a-z]{1,32})-([0-9]{1,18})", re.ASCII)


class LiveStream:
    """Answers those who want to look on.

    Args:
        feed: What there is to see.
        known: Returns the names of sources and sinks that can be asked for.
    """

    def __init__(self, feed: Feed, known: Callable[[], Mapping[str, Sequence[str]]]) -> None:
        self._feed = feed
        self._known = known

    async def close(self, _app: web.Application) -> None:
        """End all streams: for `Application.on_shutdown`, which waits for no handler that waits for us."""
        await self._feed.close()

    async def handle(
        self, request: web.Request, welcome: Callable[[], bool], *, audit: bool = False
    ) -> web.StreamResponse:
        """Stream what the query asks for, until one side ends it; whoever asks must be let in already.

        Args:
            request: What is asked.
            welcome: Whether whoever asked may look on still: looked at every second.
            audit: Whether they may see who did what.

        Raises:
            UsageError: An unknown filter, or a value that cannot be.
            StoreUnavailable: Too many look on, or the service ends.
        """
        feed = self._feed
        asked = [pair for pair in request.query.items() if pair[0] != "last"]
        wanted = replace(read_filter(asked, self._known()), audit=audit)
        start, first = self._start(request, wanted)
        if feed.closed or feed.clients >= (places := _places()):
            why = "the service is ending" if feed.closed else f"{places} look on already"
            raise StoreUnavailable(f"no live tail now: {why}", hint="Try again later.")
        feed.clients += 1
        try:
            return await self._stream(request, wanted, start, first, welcome)
        finally:
            feed.clients -= 1

    def _start(self, request: web.Request, wanted: Filter) -> tuple[int, bytes]:
        """Return after which line the stream begins, and what is to be said before that line."""
        feed = self._feed
        last = _last(request)
        known = _ID.fullmatch(request.headers.get("Last-Event-ID", ""))
        if known is None:
            return feed.last(last, wanted), b""
        oldest = feed.oldest()
        if known[1] != feed.run:
            return oldest, feed.gap(None, "restarted", oldest)
        number = min(int(known[2]), feed.position(wanted))
        if number < oldest:
            return oldest, feed.gap(oldest - number, "overrun", oldest)
        return number, b""

    async def _stream(
        self, request: web.Request, wanted: Filter, start: int, first: bytes, welcome: Callable[[], bool]
    ) -> web.StreamResponse:
        feed = self._feed
        response = web.StreamResponse(headers=HEADERS)
        response.force_close()
        await response.prepare(request)
        transport = request.transport
        if request.method == "HEAD" or transport is None:
            return response
        with suppress(OSError, AttributeError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SYSTEM_BUFFER_BYTES)
        ready = feed.event("ready", b'{"service":"stibgate","version":"%b"}' % __version__.encode(), start)
        with suppress(ConnectionError, TimeoutError):
            await response.write(b"retry: %d\n%b%b" % (RETRY_MS, ready, first))
            cursor = await self._catch_up(response, wanted, start)
            ended = asyncio.get_running_loop().create_future()
            member = Member(transport, request.version >= HttpVersion11, feed.clock_s() + LIFE_S, welcome, ended)
            await self._look_on(wanted, member, cursor)
        return response

    async def _catch_up(self, response: web.StreamResponse, wanted: Filter, cursor: int) -> int:
        """Write the lines after *cursor* up to where the others are, at the pace of this connection; return where."""
        feed = self._feed
        async with asyncio.timeout(CATCH_UP_S):
            while not feed.closed and cursor < (until := feed.position(wanted)):
                if (oldest := feed.oldest()) > cursor:
                    await response.write(feed.gap(oldest - cursor, "overrun", oldest))
                    cursor = oldest
                    continue
                until = min(until, cursor + CATCH_UP_LINES)
                lines = feed.between(cursor, until)
                cursor = until
                if found := feed.frames(line for line in lines if wanted.lets(line.fields)):
                    await response.write(found)
        return cursor

    async def _look_on(self, wanted: Filter, member: Member, cursor: int) -> None:
        feed = self._feed
        channel = feed.join(wanted, member, cursor)
        if feed.closed:
            member.end()
        try:
            await member.ended
        finally:
            feed.leave(channel, member)


def _places() -> int:
    """Return how many may look on: half of the files that the system allows us stay for deliveries."""
    files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return CLIENTS_MAX if files_max == resource.RLIM_INFINITY else min(CLIENTS_MAX, files_max // 2)


def _last(request: web.Request) -> int:
    texts = request.query.getall("last", ["0"])
    if len(texts) > 1 or not re.fullmatch(r"[0-9]{1,4}", texts[0], re.ASCII) or int(texts[0]) > KEPT_LINES:
        raise UsageError("last is not a number of lines", hint=f"0 to {KEPT_LINES}, beside {', '.join(NAMES)}.")
    return int(texts[0])
