"""A sandbox The Hog on loopback, a clock that a test moves, and a client that holds its keys."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from stibgate.sandbox.server import serve
from stibgate.sandbox.thehog import TheHogSandbox
from tests.sandbox.far_side import Clock, Got

PATH = "/api/v1/people/search/estimate"


@dataclass
class Desk:
    """A client at one sandbox."""

    sandbox: TheHogSandbox
    clock: Clock
    http: aiohttp.ClientSession
    url: str

    async def send(self, data: Any, *, method: str = "POST", path: str = PATH, **headers: str | None) -> Got:
        """Send *data*; a header that is None is left out."""
        sent = {
            "X-Access-Key": self.sandbox.access_key,
            "X-Secret-Key": self.sandbox.secret_key,
            "Content-Type": "application/json",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in sent.items() if value is not None}
        async with self.http.request(method, self.url + path, data=data, headers=sent) as response:
            text = await response.text()
            body = json.loads(text) if response.content_type == "application/json" and text else text
            return Got(response.status, body, response.headers)

    async def ask(self, *, status: int = 200, **asked: Any) -> Any:
        """Return the body of the answer to *asked*, with a query in any case."""
        got = await self.send(json.dumps({"query": "VP Engineering at B2B SaaS companies"} | asked).encode())
        assert got.status == status, got
        return got.body

    async def refused(self, asked: Any) -> dict[str, str]:
        """Return which properties of *asked* a 400 names, with the constraint of each."""
        got = await self.send(json.dumps(asked).encode())
        assert got.status == 400, got
        return {error["property"]: "".join(error["constraints"]) for error in got.body["errors"]}


@pytest.fixture
def clock() -> Clock:
    return Clock()


MakeDesk = Callable[..., Awaitable[Desk]]


@pytest.fixture
async def make_desk(clock: Clock) -> AsyncIterator[MakeDesk]:
    async with AsyncExitStack() as stack:

        async def make(*, seed: int = 7, **options: Any) -> Desk:
            sandbox = TheHogSandbox(seed=seed, now=clock.now, pause=clock.pause, **options)
            http = await stack.enter_async_context(aiohttp.ClientSession())
            return Desk(sandbox, clock, http, await stack.enter_async_context(serve(sandbox.app())))

        yield make


@pytest.fixture
async def desk(make_desk: MakeDesk) -> Desk:
    return await make_desk()
