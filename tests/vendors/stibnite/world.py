"""A Stibnite that answers whatever a test says, byte for byte, and a clock that only sleeping moves."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from stibgate.vendors.stibnite import Means, Patience, StibniteClient

API_KEY = "stib_live_canary-7f3a"
TOKEN = "embed-token-canary-91cc"
NOW_S = 1_779_043_330.0
SAMPLES = Path(__file__).parent / "samples"

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def sample(name: str) -> dict:
    """Return an example response of the vendor's document."""
    return json.loads((SAMPLES / f"{name}.json").read_text())


@dataclass
class Clock:
    now_s: float = NOW_S
    pauses: list[float] = field(default_factory=list)
    jitter: float = 1.0

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)

    @property
    def means(self) -> Means:
        return Means(lambda: self.now_s, self.sleep, lambda: self.jitter)


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict:
        return json.loads(self.body)


def raw(data: bytes, *, then: str = "close") -> Answer:
    """Return an answer of these bytes, after which the connection closes or hangs."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then == "hang":
            await asyncio.Event().wait()

    return answer


def http(status: int, body: bytes | dict | list = b"", **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content_type": "application/json", "content_length": str(len(data)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return raw(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + data)


@dataclass
class Far:
    """Gives its answers in turn, the last one for ever; every whole request is kept."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    got: list[Request] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, target, _ = first.split(" ")
            self.got.append(Request(method, target, headers, body))
            await (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def client(self, clock: Clock | None = None, **options) -> StibniteClient:
        options = {"means": (clock or Clock()).means, "patience": Patience(), "timeout_s": 5.0, **options}
        return StibniteClient(self.url, SecretStr(API_KEY), **options)


@asynccontextmanager
async def far(*answers: Answer):
    there = Far(answers=list(answers))
    tasks: set[asyncio.Task] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        tasks.add(task)
        await there.serve(reader, writer)
        tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    there.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield there
    finally:
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.close()
        await server.wait_closed()
