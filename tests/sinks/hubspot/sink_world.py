"""A HubSpot account on loopback and sinks that write to it, all on one clock."""

import asyncio
import contextlib
import random

import aiohttp
from aiohttp import web

from stibgate.domain.record import Provenance
from stibgate.sandbox.hubspot import HubSpotSandbox, Portal
from stibgate.sandbox.server import serve
from stibgate.sinks import Batch
from stibgate.sinks.hubspot.client import HubSpotClient
from stibgate.sinks.hubspot.objects import Objects
from stibgate.sinks.hubspot.settings import HubspotSettings
from stibgate.sinks.hubspot.sink import HubspotSink
from stibgate.testing import RECEIVED_AT_MS, DictMemory, make_context, make_record

UNBOUND = {"limit_ten_s": 1_000_000, "limit_daily": 100_000_000, "limit_search_s": 1_000_000}
VERSIONS = ("2026-03", "2026-09")


class World:
    """One account, one clock, one memory, and a person who works in the account by hand."""

    def __init__(self, url: str, sandbox: HubSpotSandbox, version: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session
        self.interludes = []
        self.sandbox = sandbox
        self.version = version
        self.memory = DictMemory()
        self.shift_s = 0.0
        self.begun_s = asyncio.get_running_loop().time()
        self.jitter = random.Random(1).random

    def now_s(self) -> float:
        return RECEIVED_AT_MS / 1000 + asyncio.get_running_loop().time() - self.begun_s + self.shift_s

    def now_ms(self) -> int:
        return round(self.now_s() * 1000)

    def settings(self, **keys) -> HubspotSettings:
        usual = {"kind": "hubspot", "base_url": self.url, "token": self.sandbox.token, "api_version": self.version}
        return HubspotSettings(**{**usual, **keys})

    def make(self, **keys) -> HubspotSink:
        """Return a sink as `HubspotSettings.build` makes it, but one whose waits before another try take no time."""
        settings = self.settings(**keys)
        context = make_context(memory=self.memory, now_ms=self.now_ms)
        token = settings.token.get_secret_value()
        client = HubSpotClient(
            base_url=settings.base_url,
            token=token,
            api_version=settings.api_version,
            now_ms=self.now_ms,
            jitter=self.jitter,
            timeout_s=5,
            sleep=lambda _: asyncio.sleep(0),
        )
        return HubspotSink(client, Objects(client), context, settings.options(), token=token)

    @contextlib.asynccontextmanager
    async def opened(self, **keys):
        sink = self.make(**keys)
        try:
            await sink.open()
            yield sink
        finally:
            await sink.close()

    def contacts(self) -> dict[str, dict[str, str]]:
        """Return the contacts' properties, by our key."""
        return {
            row["properties"].get("stibnite_person_id", row["id"]): row["properties"] for row in self.sandbox.contacts()
        }

    def companies(self) -> dict[str, dict[str, str]]:
        rows = self.sandbox.companies()
        return {row["properties"].get("stibnite_company_id", row["id"]): row["properties"] for row in rows}

    def record_id(self, kind: str, key: str) -> str:
        return (self.contacts() if kind == "contacts" else self.companies())[key]["hs_object_id"]

    async def add(self, kind: str, **values: str) -> str:
        """Make a record by hand; return its id."""
        created = await self._call(
            "POST", f"objects/{VERSIONS[0]}/{kind}/batch/create", {"inputs": [{"properties": values}]}
        )
        return created["results"][0]["id"]

    async def edit(self, kind: str, key: str, **values: str) -> None:
        """Change a record by hand; "" clears."""
        inputs = [{"id": self.record_id(kind, key), "properties": values}]
        await self._call("POST", f"objects/{VERSIONS[0]}/{kind}/batch/update", {"inputs": inputs})

    async def archive(self, kind: str, key: str) -> str:
        """Delete a record by hand; return the id that it had."""
        id_ = self.record_id(kind, key)
        await self._call("DELETE", f"objects/{VERSIONS[0]}/{kind}/{id_}")
        return id_

    async def merge(self, primary: str, other: str) -> None:
        """Merge two contacts, given by record id."""
        body = {"primaryObjectId": primary, "objectIdToMerge": other}
        await self._call("POST", f"objects/{VERSIONS[0]}/contacts/merge", body)

    async def make_property(self, kind: str, name: str, **more) -> None:
        body = {
            "groupName": f"{kind[:-1] if kind == 'contacts' else 'company'}information",
            "name": name,
            "label": name,
            "type": "string",
            "fieldType": "text",
        }
        await self._call("POST", f"properties/{VERSIONS[0]}/{kind}", {**body, **more})

    async def remove_property(self, kind: str, name: str) -> None:
        await self._call("DELETE", f"properties/{VERSIONS[0]}/{kind}/{name}")

    async def _call(self, method: str, path: str, body=None):
        headers = {"Authorization": f"Bearer {self.sandbox.token}"}
        async with self.session.request(method, f"{self.url}/crm/{path}", json=body, headers=headers) as response:
            assert response.status < 300, (response.status, await response.text())
            return await response.json() if response.status != 204 else None

    def before(self, path: str, interlude) -> None:
        """Run *interlude* once, just before the next request of anybody whose path contains *path*."""
        self.interludes.append((path, interlude))

    async def play(self, request, handler):
        due = next((each for each in self.interludes if each[0] in request.path), None)
        if due is not None:
            self.interludes.remove(due)
            await due[1]()
        return await handler(request)

    def check_sound(self) -> None:
        """Fail when anything is doubled."""
        assert not any(self.sandbox.duplicates().values()), self.sandbox.duplicates()
        assert len({row["id"] for row in self.sandbox.contacts()}) == len(self.sandbox.contacts())

    def spent(self) -> int:
        return self.sandbox.counters.requests


@contextlib.asynccontextmanager
async def world(version: str = "2026-03", **portal):
    """Give a new account."""
    holder: list[World] = []

    def now() -> float:
        return holder[0].now_s() if holder else RECEIVED_AT_MS / 1000

    sandbox = HubSpotSandbox(seed=7, now=now, portal=Portal(**{**UNBOUND, **portal}), pause=lambda _: asyncio.sleep(0))
    app = sandbox.app()

    @web.middleware
    async def play(request, handler):
        return await holder[0].play(request, handler)

    app.middlewares.append(play)
    async with serve(app) as url, aiohttp.ClientSession() as session:
        holder.append(World(url, sandbox, version, session))
        yield holder[0]


def record(number: int, **fields):
    """Return an invented person who works at a company of their own, without a domain: that costs no search."""
    usual = {
        "last_name": f"Doe{number}",
        "job_title": "VP Sales",
        "company_id": f"company_{number}",
        "company_name": f"Acme {number}",
    }
    return make_record(number, **{**usual, **fields})


def batch(
    task_id: str,
    records,
    *,
    received_at_ms: int = RECEIVED_AT_MS,
    attempt: int = 1,
    resend: int = 0,
    forced=False,
    **origin,
):
    provenance = Provenance(
        **{
            "delivery_id": f"dlv_{task_id}",
            "source": "stibnite",
            "event_type": "prospecting.records.pushed",
            "received_at": "2026-05-17T18:42:10.004Z",
            "partner_user_id": "user_1",
            **origin,
        }
    )
    return Batch(task_id, attempt, received_at_ms, provenance, list(records), resend, forced)


def kinds(outcomes):
    return [str(outcome.kind) for outcome in outcomes]
