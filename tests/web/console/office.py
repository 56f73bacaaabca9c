"""A console over a store in memory, with what a small morning leaves there; and browsers of three people.

Every field of every record of the hostile delivery carries markup, so that each page that shows one is a test.
"""

import asyncio
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from aiohttp import DummyCookieJar, web
from aiohttp.test_utils import TestClient

from stibgate.config import ReloadStatus, Settings
from stibgate.domain.access import Role, grant
from stibgate.errors import SinkRejected
from stibgate.log.rendering import as_json
from stibgate.pipeline.acts import Acts
from stibgate.stores import AuditFilter, TaskFilter
from stibgate.stores.memory import MemoryStore
from stibgate.web.console import Console, ConsoleParts
from stibgate.web.live import Feed, LiveStream
from tests.pipeline.world import Clock, ScriptedSink
from tests.web.backroom import access_of, acts_of, fill, samples

TOKENS = {role: f"console-token-of-the-{role}-0123456789abcdef" for role in Role}
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
COOKIE = "stibgate_session"
NOT_RELOADED = ReloadStatus(0, 0)
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
    acts: Acts
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

    async def settled(self, path):
        """Return when the replay whose page is *path* has ended."""
        await asyncio.gather(*self.acts.bulks._running)
        assert self.store.bulk(path.rpartition("/")[2]).ended

    def audit(self):
        return self.store.audit(AuditFilter(), limit=None)

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
        pairs = [(name, value) for name, value in (fields.items() if isinstance(fields, dict) else fields)]
        token = [] if any(name == "csrf" for name, _ in pairs) else [("csrf", await self.csrf())]
        return await self.office.send(path, token + pairs, cookies=self.cookies, headers=headers)


def hidden_fields(page: Page, form=r'action="/replays"') -> list[tuple[str, str]]:
    """Return the hidden fields of a page's form, but for the token."""
    inside = re.search(rf"<form[^>]*{form}.*?</form>", page.text, re.DOTALL)[0]
    pairs = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', inside)
    return [(name, html.unescape(value)) for name, value in pairs if name != "csrf"]


def _cookie(cookies):
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}


def make_parts(**given) -> ConsoleParts:
    """Return what the console is made of; what is not *given* cannot be used."""
    settings = Settings.model_validate(SETTINGS)
    usual = dict.fromkeys(ConsoleParts.__dataclass_fields__)
    known = {
        "settings": lambda: settings,
        "ready": lambda: {"store": "ok"},
        "now_ms": Clock(),
        "reading": lambda: NOT_RELOADED,
    }
    return ConsoleParts(**{**usual, **known, **given})


MORNING = samples()


async def make_office(aiohttp_client, *, deliveries=MORNING) -> Office:
    """Return a console with *deliveries*; of the first one the sink takes nothing."""
    clock, store, sink = Clock(), MemoryStore(), ScriptedSink(script=[SinkRejected("the sink said no")])
    names = await fill(store, clock, sink, deliveries)

    async def read(query):
        return query(store)

    async def look(sink):
        return ()

    acts = acts_of(store, read, clock, look)
    grants = [grant(f"{role}-person", role, token) for role, token in TOKENS.items()]
    app = web.Application()
    feed = Feed(encode=as_json, run="test", clock_s=asyncio.get_running_loop().time)
    live = LiveStream(feed, lambda: {"source": ["push", "jobs"], "sink": ["drop", "crm"]})
    Console(make_parts(read=read, acts=acts, access=access_of(grants, clock), now_ms=clock, live=live)).add_to(app)
    client = await aiohttp_client(app, cookie_jar=DummyCookieJar())
    return Office(app, client, store, clock, acts, names, [one.body for one in deliveries], grants)
