"""A console over a store in memory, with what a small morning leaves there; and browsers of three people.

Every field of every record of the hostile delivery carries markup, so that each page that shows one is a test.
"""

import asyncio
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from urllib.parse import urlencode

from aiohttp import DummyCookieJar, web
from aiohttp.test_utils import TestClient

from stibgate.config import Settings
from stibgate.domain.access import Role, grant
from stibgate.errors import SinkRejected
from stibgate.log import as_json
from stibgate.pipeline.dispatch import Outlet
from stibgate.pipeline.operations import Operations
from stibgate.stores import TaskFilter
from stibgate.stores.memory import MemoryStore
from stibgate.web.console import Console, ConsoleParts
from stibgate.web.live import Feed, LiveStream
from tests.pipeline.world import (
    POLICY,
    Clock,
    ScriptedSink,
    admit,
    delivery,
    ids,
    make_dispatcher,
    make_fanout,
    make_intake,
    to_sinks,
)

TOKENS = {role: f"console-token-of-the-{role}-0123456789abcdef" for role in Role}
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
COOKIE = "stibgate_session"
NOT_RELOADED = SimpleNamespace(ok=True, at_ms=0, succeeded_at_ms=0, errors=0, error="")
SETTINGS = {
    "sinks": {"drop": {"kind": "csv", "dir": "./drops"}, "crm": {"kind": "csv", "dir": "./crm"}},
    "console": {"environment": "test-eu", "session": "1h"},
}


@dataclass
class Page:
    """One answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def words(self) -> str:
        """What a person reads: no markup, one space where there was any."""
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", self.text)).split())

    @property
    def csrf(self) -> str:
        return re.search(r'name="csrf" value="([^"]+)"', self.text)[1]


@dataclass
class Office:
    """The console, its store, and the clock that both live by."""

    app: web.Application
    client: TestClient
    store: MemoryStore
    clock: Clock
    operations: Operations
    deliveries: list[str]
    bodies: list[bytes]
    grants: list = field(default_factory=list)

    async def open(self, path, *, cookies=None, **headers) -> Page:
        """GET *path* as it stands, without following where it leads."""
        answer = await self.client.get(path, headers={**_cookie(cookies), **headers}, allow_redirects=False)
        return Page(answer.status, answer.headers, await answer.text())

    async def send(self, path, fields=(), *, cookies=None, headers=SAME_ORIGIN) -> Page:
        """POST a form."""
        answer = await self.client.post(
            path,
            data=urlencode(fields, doseq=True).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded", **_cookie(cookies), **headers},
            allow_redirects=False,
        )
        return Page(answer.status, answer.headers, await answer.text())

    async def login(self, role=Role.ADMIN) -> "Browser":
        """Return the browser of somebody with *role* who has logged in."""
        page = await self.send("/login", {"token": TOKENS[role]})
        assert page.status == 303, page.words
        session = re.match(rf"{COOKIE}=([^;]+);", page.headers["Set-Cookie"])[1]
        return Browser(self, {COOKIE: session})

    def states(self):
        return [str(task.state) for _, task in reversed(self.store.tasks(TaskFilter(), limit=None))]


@dataclass
class Browser:
    """Somebody who is logged in."""

    office: Office
    cookies: dict

    async def open(self, path, **headers) -> Page:
        return await self.office.open(path, cookies=self.cookies, **headers)

    async def csrf(self) -> str:
        return (await self.open("/")).csrf

    async def send(self, path, fields=(), *, headers=SAME_ORIGIN) -> Page:
        """POST a form with the session's token, unless *fields* has another."""
        return await self.office.send(
            path, {"csrf": await self.csrf(), **dict(fields)}, cookies=self.cookies, headers=headers
        )


def _cookie(cookies):
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}


async def make_office(aiohttp_client, *, samples=()) -> Office:
    """Return a console with a dead delivery, a delivered one, and those of *samples*."""
    clock, store, sink = Clock(), MemoryStore(), ScriptedSink(script=[SinkRejected("the sink said no")])
    intake, fanout = make_intake(store, now_ms=clock), make_fanout(store, ["drop"], now_ms=clock)
    dispatcher = make_dispatcher(store, {"drop": Outlet(sink, POLICY)}, now_ms=clock)
    every = [delivery(records=2, serial=1), delivery(records=2, serial=2), *samples]
    names = []
    for one in every:
        names.append((await admit(intake, one)).delivery_id)
        while await fanout.run_once():
            pass
        for task in (await store.claim("drop", POLICY, now_ms=clock(), limit=10)).tasks:
            await dispatcher.attempt(task)

    async def read(query):
        return query(store)

    operations = Operations(
        store, read, to_sinks("drop"), ("drop", "crm"), now_ms=clock, new_id=ids("new"), wake=lambda: None
    )
    settings = Settings.model_validate(SETTINGS)
    grants = [grant(f"{role}-person", role, token) for role, token in TOKENS.items()]
    app = web.Application()
    feed = Feed(encode=as_json, run="test", clock_s=asyncio.get_running_loop().time)
    parts = ConsoleParts(
        settings=lambda: settings,
        read=read,
        operations=operations,
        grants=lambda: grants,
        ready=lambda: {"store": "ok"},
        now_ms=clock,
        reading=lambda: NOT_RELOADED,
        live=LiveStream(feed, lambda: {"source": ["push", "jobs"], "sink": ["drop", "crm"]}),
    )
    Console(parts).add_to(app)
    client = await aiohttp_client(app, cookie_jar=DummyCookieJar())
    return Office(app, client, store, clock, operations, names, [one.body for one in every], grants)
