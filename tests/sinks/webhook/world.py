"""Receivers on loopback: polite ones that verify and dedupe, and ones that answer whatever a test says."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver

from stibgate.errors import SinkError
from stibgate.sinks.webhook import WebhookSettings, WebhookSink
from stibgate.sinks.webhook.network import Network
from stibgate.testing import RECEIVED_AT_MS, make_context

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict:
        return json.loads(self.body)


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def raw(data: bytes, *, then: str = "close") -> Answer:
    """Return an answer of these bytes, after which the connection closes, resets or stays."""

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then == "reset":
            writer.transport.abort()
        elif then == "hang":
            await asyncio.Event().wait()
        elif then == "close":
            writer.close()

    return answer


def http(status: int, body: bytes = b"", *, kind: str = "application/json", headers: str = "") -> Answer:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return raw(head.encode() + body, then="stay")


class Far:
    """An HTTP server of few words; every whole request is kept."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.connections = 0
        self.tls: ssl.SSLContext | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/in"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while not writer.is_closing():
            request = await self._read(reader)
            self.requests.append(request)
            await self.answer(request, writer)

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.rstrip().split("\r\n")
        method, path, _ = line.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (item.partition(":") for item in rest)}
        return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


@contextlib.asynccontextmanager
async def listening(serve: Serve, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Yield the port where *serve* meets each connection; whatever is open in the end is closed."""
    open_now: dict[asyncio.Task, asyncio.StreamWriter] = {}

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now[asyncio.current_task()] = writer
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await serve(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            del open_now[asyncio.current_task()]

    server = await asyncio.start_server(meet, "127.0.0.1", 0, limit=1 << 22, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task, writer in open_now.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)
        await server.wait_closed()


@contextlib.asynccontextmanager
async def far(answer: Answer | None = None, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Far]:
    """Yield a receiver; without *answer* it takes everything."""
    there = Far(answer or http(200))
    there.tls = tls
    async with listening(there.serve, tls=tls) as there.port:
        yield there


def make_settings(url: str, **keys: object) -> WebhookSettings:
    return WebhookSettings.model_validate(
        {"kind": "webhook", "allow_private": True, "secret": SECRET, "url": url, **keys}
    )


@contextlib.asynccontextmanager
async def opened(
    url: str, *, network: Network | None = None, now_ms: Callable[[], int] = lambda: RECEIVED_AT_MS, **keys: object
) -> AsyncIterator[WebhookSink]:
    """Yield a sink that posts to *url*, over *network* when one is given."""
    settings = make_settings(url, **keys)
    sink = (
        settings.build(make_context(now_ms=now_ms))
        if network is None
        else WebhookSink(settings.receiver(), network, now_ms=now_ms)
    )
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


async def refused(sink: WebhookSink, batch) -> SinkError:
    """Return the error that *batch* meets."""
    try:
        await sink.deliver(batch)
    except SinkError as error:
        return error
    raise AssertionError("it was taken")


class Names(AbstractResolver):
    """A name server that answers its lists one after the other, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.calls = 0

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC):
        self.calls += 1
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}
            for address in addresses
        ]

    async def close(self) -> None:
        pass
