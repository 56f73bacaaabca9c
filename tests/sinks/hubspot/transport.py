"""What the tests of the transport stand on: the sandbox, or a server that answers by a script, in virtual time."""

import asyncio
import functools
import json
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp.web
from aiohttp.test_utils import TestServer

from stibgate.sinks.hubspot.client import HubSpotClient
from stibgate.sinks.hubspot.shapes import Input
from tests import virtual

TOKEN = "pat-na1-5a4db0c5-0000-4000-a000-00000000feed"


def in_virtual_time(test):
    """Run the coroutine function *test* on a loop whose clock jumps."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        return virtual.run(test(*args, **kwargs))

    return run


@dataclass
class Canned:
    """One scripted answer: JSON (or raw bytes), status, headers; `cut` aborts the connection instead."""

    document: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut: bool = False
    delay_s: float = 0.0


@dataclass
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at_s: float


def make_client(base_url: str, *, token: str = TOKEN, version: str = "2026-03", **options) -> HubSpotClient:
    options = {"now_ms": virtual.now_ms, "jitter": lambda: 0.5, **options}
    return HubSpotClient(base_url=base_url, token=token, api_version=version, **options)


class Script:
    """A server that answers in order, the last answer again and again; or by a function of the request.

    Attributes:
        seen: What came.
        most: How many requests were there at once, by path.
    """

    def __init__(self, *answers: Canned, by: Callable[[Seen], Canned] | None = None) -> None:
        self.seen: list[Seen] = []
        self.most: Counter[str] = Counter()
        self._now: Counter[str] = Counter()
        self._answers = list(answers)
        self._by = by

    async def handle(self, request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        path = request.path
        self._now[path] += 1
        self.most[path] = max(self.most[path], self._now[path])
        try:
            return await self._handle(request)
        finally:
            self._now[path] -= 1

    async def _handle(self, request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        loop = asyncio.get_running_loop()
        seen = Seen(request.method, request.path_qs, dict(request.headers), body, loop.time())
        self.seen.append(seen)
        answer = self._by(seen) if self._by else self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.cut:
            request.transport.abort()
            return aiohttp.web.Response()
        content = json.dumps(answer.document).encode() if answer.raw is None else answer.raw
        kind = "application/json" if answer.raw is None else "text/html"
        return aiohttp.web.Response(status=answer.status, body=content, content_type=kind, headers=answer.headers)

    @asynccontextmanager
    async def client(self, **options):
        """Start the server and a client that talks to it."""
        app = aiohttp.web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self.handle)
        async with TestServer(app, host="127.0.0.1") as server:
            client = make_client(str(server.make_url("/")), **options)
            await client.start()
            try:
                yield client
            finally:
                await client.close()


@asynccontextmanager
async def sandboxed(portal=None, *, seed: int = 7, version: str = "2026-03", now=None, **options):
    """Start HubSpot's sandbox, with our key properties in it, and a client that talks to it."""
    from stibgate.sandbox.hubspot import HubSpotSandbox

    now = now or (lambda: virtual.now_ms() / 1000)
    sandbox = HubSpotSandbox(seed=seed, now=now, portal=portal)
    async with TestServer(sandbox.app(), host="127.0.0.1") as server:
        client = make_client(str(server.make_url("/")), token=sandbox.token, version=version, **options)
        await client.start()
        try:
            for kind, name in (("contacts", "stibnite_person_id"), ("companies", "stibnite_company_id")):
                await client.request(
                    "POST", f"crm/properties/{{version}}/{kind}/groups", {"name": "stibnite", "label": "S"}
                )
                definition = {"groupName": "stibnite", "name": name, "label": name, "type": "string"}
                definition |= {"fieldType": "text", "hasUniqueValue": True}
                await client.request("POST", f"crm/properties/{{version}}/{kind}", definition)
            sandbox.counters.by_path.clear()
            yield sandbox, client
        finally:
            await client.close()


def person(number: int, **properties: str) -> Input:
    """Return an invented person to upsert."""
    values = {"firstname": f"Zoë{number}", "email": f"p{number}@example.com", **properties}
    return Input(f"person_{number}", values, "stibnite_person_id")


def company(number: int, **properties: str) -> Input:
    """Return an invented company to upsert."""
    return Input(f"company_{number}", {"name": f"Acme {number}", **properties}, "stibnite_company_id")
