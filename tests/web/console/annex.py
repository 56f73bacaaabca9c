"""A console over a store in memory that a test furnishes itself: settings, counts, refusals, sinks, jobs."""

import asyncio

from aiohttp import DummyCookieJar, web

from stibgate.config import Settings
from stibgate.domain.access import grant
from stibgate.domain.rejection import Evidence, Finding, Rejections
from stibgate.domain.stats import HOUR_MS
from stibgate.log.rendering import as_json
from stibgate.stores.memory import MemoryStore
from stibgate.web.console import Console, ConsoleParts
from stibgate.web.live import Feed, LiveStream
from tests.pipeline.world import Clock
from tests.web.backroom import access_of, acts_of
from tests.web.console.office import NOT_RELOADED, TOKENS, Office

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLDER = "whsec_older9r8GKYqrTwjUPD8ILPZIo2LaLaS"
URL_TOKEN = "0123456789abcdef0123456789abcdef"
SETTINGS = {
    "server": {"public_url": "https://hooks.example.com"},
    "sources": {
        "jobs": {"kind": "stibnite_jobs", "secrets": [SECRET, OLDER], "routes": ["drop"]},
        "push": {"kind": "stibnite_push", "tokens": [URL_TOKEN], "routes": ["drop"]},
    },
    "sinks": {
        "drop": {"kind": "csv", "dir": "./drops"},
        "crm": {"kind": "hubspot", "token": "pat-na1-0123456789abcdef0123"},
    },
    "budgets": {"trial": {"unit": "stibnite.credit_unit", "limit": 100, "period": "total"}},
}
BAD = """"'><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7777 * 8888 }}\u202e"""
"""What a field must never become part of a page as."""
INJECTED = ("<img src=x", "<script>alert", "69121976", "\u202e")


class Shelf(MemoryStore):
    """A store that is read only as the console reads, where `pins` is a query and not a call."""

    def pins(self):
        return dict(self._pins)


class Annex(Office):
    """The console, its store, its feed, and the clock that all live by."""

    def __init__(self, client, store, clock, feed, settings):
        self.client, self.store, self.clock, self.feed = client, store, clock, feed
        self.settings = settings
        self.reading = NOT_RELOADED
        self.findings = []

    async def read(self, query):
        return query(self.store)


async def make_annex(aiohttp_client, settings=SETTINGS) -> Annex:
    """Return a console with an empty store."""
    clock, store, valid = (
        Clock(),
        Shelf(),
        settings if isinstance(settings, Settings) else Settings.model_validate(settings),
    )
    feed = Feed(encode=as_json, run="test", clock_s=asyncio.get_running_loop().time)

    async def read(query):
        return await annex.read(query)

    async def look(sink):
        return annex.findings

    grants = [grant(f"{role}-person", role, token) for role, token in TOKENS.items()]
    parts = ConsoleParts(
        settings=lambda: valid,
        read=read,
        acts=acts_of(store, read, clock, look, valid.sinks),
        access=access_of(grants, clock),
        ready=lambda: {"store": "ok"},
        now_ms=clock,
        reading=lambda: annex.reading,
        live=LiveStream(feed, lambda: {"source": list(valid.sources), "sink": list(valid.sinks)}),
    )
    app = web.Application()
    Console(parts).add_to(app)
    client = await aiohttp_client(app, cookie_jar=DummyCookieJar())
    annex = Annex(client, store, clock, feed, valid)
    return annex


def refused(now_ms, source="jobs", reason="mismatch", *, text="curl/8", count=3, finding=True) -> Rejections:
    """Return a group of refused requests; *text* stands in everything that a stranger can choose."""
    found = Finding(now_ms, "wrong_secret", f"verdict {text}", f"hint {text}", (f"line {text}",)) if finding else None
    evidence = Evidence("req1", 401, text, text, (text,), (text,), 123, text)
    return Rejections(
        now_ms - now_ms % HOUR_MS, source, reason, count, now_ms - 90_000, now_ms - 60_000, evidence, found
    )
