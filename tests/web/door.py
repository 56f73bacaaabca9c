"""The public listener on a real socket, put together as `app.py` does it, and a client that is not polite."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import count

from aiohttp import web

from stibgate.domain.fact import unobserved
from stibgate.pipeline.intake import Intake
from stibgate.pipeline.source import Auth, Source
from stibgate.signatures import Secret
from stibgate.stores import DeliveryFilter
from stibgate.stores.memory import MemoryStore
from stibgate.web.limits import InFlight, RateLimiter
from stibgate.web.protocol import QuietServer
from stibgate.web.receiver import Receiver, ReceiverSettings
from tests.pipeline.world import SECRET, TOKEN, Clock, make_intake, make_source, signed

HEAD_BYTES_MAX = 16 * 1024
OTHER_TOKEN = "tok_other_9wEr2TyU4iOpA6sD"
CANARY = "canary-in-a-header"


@dataclass(frozen=True)
class Answer:
    """One answer, read byte by byte."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, f"{name} came twice"
        return found[0] if found else None

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def problem(self) -> dict:
        """Return the RFC 9457 members; they are exactly the four of the contract, and say what the head says."""
        assert self.header("content-type") == "application/problem+json"
        members = self.json
        assert set(members) == {"type", "title", "status", "request_id"}
        assert members["type"] == "about:blank"
        assert members["status"] == self.status
        assert members["title"]
        assert members["request_id"]
        return members

    @property
    def shape(self) -> tuple:
        """Return all that a sender can tell answers apart by, without the request's id and the time."""
        members = {name: value for name, value in self.problem.items() if name != "request_id"}
        headers = [(name, value) for name, value in self.headers if name not in {"x-request-id", "date"}]
        return self.status, members, headers


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    def finish(self) -> None:
        """Say that nothing more will be sent."""
        self._writer.write_eof()

    async def read(self, *, head_only: bool = False) -> Answer:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *fields = head.strip().split("\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (field.partition(":") for field in fields)]
        status = int(first.split(" ")[1])
        length = int(dict(headers).get("content-length", 0))
        body = b"" if head_only or status < 200 else await self._reader.readexactly(length)
        return Answer(status, headers, body)

    async def closed(self) -> bool:
        """Return whether the other side hung up; waits until it says something or does."""
        with contextlib.suppress(ConnectionError):
            return await self._reader.read(1) == b""
        return True

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


class Door:
    """A receiver that listens, and what lies behind it."""

    def __init__(self, receiver: Receiver, intake: Intake, store: MemoryStore, in_flight: InFlight, port: int) -> None:
        self.receiver = receiver
        self.intake = intake
        self.store = store
        self.in_flight = in_flight
        self.port = port

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Line]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        line = Line(reader, writer)
        try:
            yield line
        finally:
            await line.close()

    async def exchange(self, request: bytes, *, head_only: bool = False) -> Answer:
        """Send *request* on a connection of its own; return the first answer."""
        async with asyncio.timeout(60), self.connect() as line:
            await line.send(request)
            return await line.read(head_only=head_only)

    async def post(self, path: str, body: bytes = b"{}", headers: Sequence[tuple[str, str]] = (), **settings) -> Answer:
        return await self.exchange(request("POST", path, body, headers, **settings))

    async def deliver(self, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> Answer:
        """Send *body*, properly signed, to the source `stib`."""
        return await self.post("/hooks/stib", body, [*signed(body), *headers])

    @property
    def stored(self) -> list:
        return list(self.store.deliveries(DeliveryFilter(), limit=None))


def request(
    method: str,
    path: str,
    body: bytes = b"",
    headers: Sequence[tuple[str, str]] = (),
    *,
    content_type: str | None = "application/json",
    version: str = "1.1",
    length: int | None = None,
) -> bytes:
    """Return a request as bytes; nothing in it is checked."""
    fields = [("Host", "gateway.test"), *headers]
    if method not in {"GET", "HEAD"}:
        fields.append(("Content-Length", str(len(body) if length is None else length)))
        if content_type is not None:
            fields.append(("Content-Type", content_type))
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def sources() -> list[Source]:
    """Return one source of each kind of proof."""
    signed_ = {"secrets": [Secret(SECRET, "1")]}
    return [
        make_source("stib"),
        make_source("push", auth=Auth.TOKEN, tokens=[TOKEN], secrets=()),
        make_source("other", auth=Auth.TOKEN, tokens=[OTHER_TOKEN], secrets=()),
        make_source("both", auth=Auth.BOTH, tokens=[TOKEN], **signed_),
        make_source("either", auth=Auth.EITHER, tokens=[TOKEN], **signed_),
    ]


@contextlib.asynccontextmanager
async def open_door(
    *,
    store: MemoryStore | None = None,
    with_sources: Sequence[Source] = (),
    rate: float = 10_000,
    burst: int = 10_000,
    requests_max: int = 100,
    bytes_max: int = 1 << 26,
    max_body_bytes: int = 1 << 20,
    body_timeout_s: float = 30.0,
    trusted_proxies: tuple = (),
    check_space=lambda: None,
    observe=unobserved,
    refusals=None,
    **intake_settings,
) -> AsyncIterator[Door]:
    """Listen on a free loopback port; afterwards nothing may be held any more."""
    store = store or MemoryStore()
    numbers = count(1)
    intake = make_intake(store, *(with_sources or sources()), now_ms=Clock(), **intake_settings)
    in_flight = InFlight(requests_max, bytes_max)
    receiver = Receiver(
        intake,
        ReceiverSettings(max_body_bytes, body_timeout_s, trusted_proxies),
        limiter=RateLimiter(rate=rate, burst=burst),
        in_flight=in_flight,
        check_space=check_space,
        new_request_id=lambda: f"made-{next(numbers)}",
        observe=observe,
        refusals=refusals,
    )
    server = QuietServer(
        receiver.handle,
        new_request_id=lambda: f"made-{next(numbers)}",
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=15,
        lingering_time=0.05,
        max_line_size=HEAD_BYTES_MAX,
        max_field_size=HEAD_BYTES_MAX,
        max_headers=100,
    )
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        yield Door(receiver, intake, store, in_flight, runner.addresses[0][1])
    finally:
        await runner.cleanup()
    assert (in_flight.requests, in_flight.bytes) == (0, 0)
