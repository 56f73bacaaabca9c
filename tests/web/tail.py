"""A live tail with nothing behind it: a feed that the test fills, and clients that read what comes of it."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from stibgate.errors import StoreUnavailable, UsageError
from stibgate.log.rendering import as_json
from stibgate.web.live import Feed, LiveStream
from stibgate.web.live.feed import SWEEP_S

KNOWN = {"source": ["push", "jobs"], "sink": ["drop", "crm"]}
SOON_S = 60


@dataclass
class Event:
    """One event of a stream; a keepalive has the name `:`."""

    name: str
    id: str | None
    data: object


class Clock:
    """The loop's clock, which a test can move on, and stop."""

    def __init__(self):
        self.ahead_s = 0.0
        self.stopped_s = None

    def stop(self):
        self.stopped_s = asyncio.get_running_loop().time()

    def __call__(self):
        return (asyncio.get_running_loop().time() if self.stopped_s is None else self.stopped_s) + self.ahead_s


class Tail:
    """One client's stream."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.status, self.headers = 0, {}

    @classmethod
    async def open(cls, port, query="", *, last_id=None, buffer_bytes=2**16):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=buffer_bytes)
        tail = cls(reader, writer)
        resume = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        # Of HTTP/1.0, so that the answer is what is written, without chunks.
        writer.write(f"GET /events?{query} HTTP/1.0\r\nHost: x\r\n{resume}\r\n".encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SOON_S)).decode()
        tail.status = int(head.split()[1])
        tail.headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        return tail

    async def next(self) -> Event | None:
        """Return the next event, or None at the end."""
        try:
            block = (await asyncio.wait_for(self.reader.readuntil(b"\n\n"), SOON_S)).decode()
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise AssertionError("the stream ended in the middle of an event") from error
            return None
        fields = dict(line.split(": ", 1) for line in block.rstrip("\n").split("\n"))
        if "" in fields:
            return Event(":", fields.get("id"), None)
        return Event(fields["event"], fields["id"], json.loads(fields["data"]))

    async def take(self, count) -> list[Event]:
        return [await self.next() for _ in range(count)]

    async def numbers(self, count) -> list[int]:
        """Return what the next *count* lines are numbered by the test; there is nothing else among them."""
        events = await self.take(count)
        assert {event.name for event in events} <= {"line"}, events
        return [event.data["records"] for event in events]

    async def rest(self) -> list[Event]:
        return [event async for event in self]

    async def __aiter__(self):
        while (event := await self.next()) is not None:
            yield event

    def close(self):
        self.writer.close()


@dataclass
class Room:
    """A server with nothing but the stream."""

    feed: Feed
    port: int
    clock: Clock
    runner: web.AppRunner
    told: int = 0
    welcome: bool = True
    tails: list[Tail] = field(default_factory=list)

    def tell(self, count=1, *, event="test.line", level="info", **fields):
        """Log lines, numbered in their field `records`."""
        for _ in range(count):
            self.told += 1
            self.feed.hear({"timestamp": "T", "level": level, "event": event, "records": self.told, **fields})

    async def ask(self, query="", **options):
        """Return a client's stream, or what it was answered."""
        tail = await Tail.open(self.port, query, **options)
        self.tails.append(tail)
        return tail

    async def tail(self, query="", **options):
        """Return a client that is told everything from now on, and its first event."""
        tail = await self.ask(query, **options)
        assert tail.status == 200
        ready = await tail.next()
        assert ready.name == "ready"
        return tail, ready

    async def looked_on_by(self, count):
        """Return when so many look on."""
        async with asyncio.timeout(SOON_S):
            while (members := self.members) != count:
                if members > count:
                    self.clock.ahead_s += SWEEP_S / 20
                await asyncio.sleep(0.01)

    async def passed(self):
        """Return when everything was looked at for everybody."""
        async with asyncio.timeout(SOON_S):
            while any(channel.cursor < self.told for channel in self.feed._channels.values()):
                await asyncio.sleep(0.01)

    @property
    def members(self):
        return sum(len(channel.members) for channel in self.feed._channels.values())


@asynccontextmanager
async def open_room():
    clock = Clock()
    feed = Feed(encode=as_json, run="r1", clock_s=clock)
    stream = LiveStream(feed, lambda: KNOWN)

    async def handle(request):
        try:
            return await stream.handle(request, lambda: room.welcome)
        except (UsageError, StoreUnavailable) as error:
            return web.Response(status=400 if isinstance(error, UsageError) else 503, text=error.message)

    app = web.Application()
    app.router.add_get("/events", handle)
    app.on_shutdown.append(stream.close)
    runner = web.AppRunner(app, shutdown_timeout=SOON_S)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    room = Room(feed, runner.addresses[0][1], clock, runner)
    try:
        yield room
    finally:
        for tail in room.tails:
            tail.close()
        await runner.cleanup()
