"""A receiver that keeps raw bytes, a clock that stands, and a sandbox on loopback."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from stibgate.sandbox.stibnite import Pace, StibniteSandbox
from tests.sandbox import far_side


@dataclass
class Got:
    """One request as it came."""

    headers: list[tuple[str, str]]
    body: bytes
    path: str

    def header(self, name: str) -> str:
        (value,) = [value for key, value in self.headers if key.lower() == name]
        return value


@dataclass
class Receiver:
    """Answers the statuses it was given, then 202; not before `release` is set, where a test gave one."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    release: asyncio.Event | None = None

    async def take(self, request: web.Request) -> web.Response:
        headers = [(name.decode(), value.decode()) for name, value in request.raw_headers]
        self.got.append(Got(headers, await request.read(), request.path))
        if self.release is not None:
            await self.release.wait()
        status = self.statuses.pop(0) if self.statuses else 202
        return web.Response(status=status, headers={"location": "/elsewhere"} if status == 307 else None)


@pytest.fixture
async def receiver(aiohttp_server) -> Receiver:
    receiver = Receiver()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{path:.*}", receiver.take)
    server: TestServer = await aiohttp_server(app)
    receiver.url = str(server.make_url("/hooks/jobs"))
    return receiver


class Clock(far_side.Clock):
    """A clock that a test moves, and no pause."""

    async def pause(self, seconds: float) -> None:
        """Take no time, but let others run, and remember how long it was asked for."""
        self.pauses.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass
class World:
    """A sandbox and a client that knows its key."""

    sandbox: StibniteSandbox
    client: TestClient

    async def call(
        self, method: str, path: str, body: Any = None, *, status: int = 200, **headers: str
    ) -> dict[str, Any]:
        headers = {"x-api-key": self.sandbox.api_key} | {k.replace("_", "-"): v for k, v in headers.items()}
        async with self.client.request(method, path, json=body, headers=headers) as response:
            answer = await response.json()
            assert response.status == status, answer
            return answer

    async def search(self, q: str = "CMOs at SaaS companies", **more: Any) -> dict[str, Any]:
        """Queue a job, let it end, and return what GET answers."""
        job = await self.call("POST", "/v1/persons/search/jobs", {"q": q, **more})
        await self.sandbox.idle()
        return await self.call("GET", f"/v1/persons/search/jobs/{job['job_id']}")

    async def listen(self, receiver: Receiver, **more: Any) -> dict[str, Any]:
        return await self.call("POST", "/v1/webhooks/endpoints", {"url": receiver.url, **more})

    async def embed(
        self, url: str | None, *, customer: str = "partner-customer-123", key: dict[str, Any] | None = None, **more: Any
    ) -> str:
        """Return the embed token of a customer whose pushes go to *url*, with a new embed key."""
        asked = {"allowed_origins": ["https://partner.example"], "result_delivery_url": url, **(key or {})}
        key = await self.call("POST", "/v1/prospecting/embed-keys", asked)
        asked = {"partner_key": key["public_key"], "customer_id": customer, **more}
        session = await self.call("POST", "/v1/prospecting/embed-sessions", asked, origin="https://partner.example")
        return f"Bearer {session['token']}"


MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def make_world(aiohttp_client, clock: Clock) -> MakeWorld:
    async def make(*, seed: int = 7, pause: Any = None, pace: Pace | None = None, **options: Any) -> World:
        sandbox = StibniteSandbox(seed=seed, now=clock.now, pause=pause or clock.pause, pace=pace, **options)
        return World(sandbox, await aiohttp_client(sandbox.app()))

    return make


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world()


@pytest.fixture
def example() -> Callable[[str], Any]:
    """Return a function that reads one of the document's example responses."""
    folder = Path(__file__).parent / "examples"
    return lambda name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def shape(value: Any) -> Any:
    """Return the keys and JSON types of *value*; a list stands for the shape of its first element."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


@pytest.fixture(name="shape")
def _shape() -> Callable[[Any], Any]:
    return shape
