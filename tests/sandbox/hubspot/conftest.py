"""A sandbox HubSpot on loopback, a clock that a test moves, and a client that holds its key."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from stibgate.sandbox.hubspot import HubSpotSandbox, Portal
from stibgate.sandbox.server import serve
from tests.sandbox.far_side import Clock, Got
from tests.sandbox.hubspot import described

SPOILING = {"html_200", "truncated", "short", "empty_2xx"}
"""Faults whose answers no document has."""

VERSIONS = ("2026-03", "2026-09")


@dataclass
class Desk:
    """A client at one sandbox."""

    sandbox: HubSpotSandbox
    clock: Clock
    http: aiohttp.ClientSession
    url: str
    version: str = "2026-03"

    async def call(self, method: str, path: str, body: Any = None, *, status: int | None = None, **headers: str) -> Got:
        """Return the answer, which the document must have; *path* may hold `{v}` for the version."""
        path = path.replace("{v}", self.version)
        sent = {"Authorization": f"Bearer {self.sandbox.token}", **headers}
        async with self.http.request(method, self.url + path, json=body, headers=sent) as response:
            kind = response.content_type
            answer = await response.json() if kind == "application/json" else await response.text()
            got = Got(response.status, answer, response.headers)
        assert status is None or got.status == status, got
        if not self.sandbox.counters.faults.keys() & SPOILING:
            described.check(method, path, got.status, got.body, got.headers)
        return got

    async def post(self, path: str, body: Any, *, status: int | None = 200) -> Any:
        return (await self.call("POST", path, body, status=status)).body

    async def get(self, path: str, *, status: int | None = 200) -> Any:
        return (await self.call("GET", path, status=status)).body

    async def batch(self, kind: str, verb: str, inputs: list, *, status: int | None = 200, **more: Any) -> Any:
        return await self.post(f"/crm/objects/{{v}}/{kind}/batch/{verb}", {"inputs": inputs, **more}, status=status)

    async def keys(self) -> None:
        """Create our two key properties."""
        for kind, name in (("contacts", "stibnite_person_id"), ("companies", "stibnite_company_id")):
            await self.property(kind, name, hasUniqueValue=True)

    async def property(self, kind: str, name: str, *, status: int = 201, **more: Any) -> Any:
        group = "contactinformation" if kind == "contacts" else "companyinformation"
        asked = {"name": name, "label": name, "type": "string", "fieldType": "text", "groupName": group, **more}
        return await self.post(f"/crm/properties/{{v}}/{kind}", asked, status=status)

    async def person(self, key: str = "p1", **properties: Any) -> str:
        """Upsert one contact and return its record id."""
        return await self._one("contacts", person(key, **properties))

    async def firm(self, key: str = "c1", **properties: Any) -> str:
        """Upsert one company and return its record id."""
        return await self._one("companies", firm(key, **properties))

    async def _one(self, kind: str, asked: dict[str, Any]) -> str:
        answer = await self.batch(kind, "upsert", [asked], status=None)
        assert not answer.get("errors"), answer
        assert "results" in answer, answer
        return answer["results"][0]["id"]

    async def value(self, kind: str, record_id: str, name: str) -> str | None:
        """Return one value as batch/read shows it."""
        answer = await self.batch(kind, "read", [{"id": record_id}], properties=[name])
        return answer["results"][0]["properties"][name]


def person(key: str, trace: str | None = None, **properties: Any) -> dict[str, Any]:
    """Return an upsert input of a contact."""
    named = properties or {"firstname": "Jordan"}
    asked = {"id": key, "idProperty": "stibnite_person_id", "properties": named}
    return asked | ({"objectWriteTraceId": trace} if trace is not None else {})


def firm(key: str, trace: str | None = None, **properties: Any) -> dict[str, Any]:
    """Return an upsert input of a company."""
    named = properties or {"name": "Acme"}
    asked = {"id": key, "idProperty": "stibnite_company_id", "properties": named}
    return asked | ({"objectWriteTraceId": trace} if trace is not None else {})


@pytest.fixture
def clock() -> Clock:
    return Clock()


MakeDesk = Callable[..., Awaitable[Desk]]


@pytest.fixture
async def make_desk(clock: Clock) -> AsyncIterator[MakeDesk]:
    async with AsyncExitStack() as stack:

        async def make(*, keys: bool = True, version: str = "2026-03", seed: int = 7, **portal: Any) -> Desk:
            sandbox = HubSpotSandbox(seed=seed, now=clock.now, pause=clock.pause, portal=Portal(**portal))
            http = await stack.enter_async_context(aiohttp.ClientSession())
            url = await stack.enter_async_context(serve(sandbox.app()))
            desk = Desk(sandbox, clock, http, url, version)
            if keys:
                await desk.keys()
            return desk

        yield make


@pytest.fixture(params=VERSIONS)
async def desk(request, make_desk: MakeDesk) -> Desk:
    """Return a desk at a sandbox with default settings, once in each version."""
    return await make_desk(version=request.param)


@pytest.fixture
async def one_desk(make_desk: MakeDesk) -> Desk:
    """Return a desk at a sandbox with default settings, in 2026-03: for long tables of cases."""
    return await make_desk()


@pytest.fixture(name="person")
def _person() -> Callable[..., dict[str, Any]]:
    return person


@pytest.fixture(name="firm")
def _firm() -> Callable[..., dict[str, Any]]:
    return firm
