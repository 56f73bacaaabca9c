"""The admin API on a real socket, with a store that has something in it, and a token for each role."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp.test_utils import TestClient

from stibgate.config import Settings
from stibgate.domain.access import Role, grant
from stibgate.errors import SinkRejected
from stibgate.pipeline.acts import Acts
from stibgate.sinks import Finding
from stibgate.stores import AuditFilter, TaskFilter
from stibgate.stores.memory import MemoryStore
from stibgate.web.api import Api, Door, add_api
from stibgate.web.api.cursors import Cursors
from stibgate.web.health import health_application
from tests.pipeline.world import Clock, ScriptedSink
from tests.web.backroom import access_of, acts_of, fill, samples

TOKENS = {role: f"{role}-token-that-nobody-else-has-12345" for role in Role}
LOCAL = "local-token-that-nobody-else-has-1234567"
SINKS = ("drop", "crm")
PROBLEM = {"type", "title", "status", "hint", "request_id"}


def bearer(role: Role | str = "local") -> dict[str, str]:
    """Return the header of a token; the local one is the file's beside the store."""
    return {"Authorization": f"Bearer {LOCAL if role == 'local' else TOKENS[Role(role)]}"}


@dataclass
class Office:
    """The API, what is behind it, and short words for asking it."""

    client: TestClient
    store: Any
    clock: Clock
    acts: Acts
    bodies: list[bytes] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    read: Any = None

    async def ask(self, path, body=None, *, method="POST", role="local", headers=None, status=None):
        """Return the status and the document of an answer; every refusal must be a problem with a hint."""
        answer, document = await self.answer(path, body, method=method, role=role, headers=headers)
        assert status in {None, answer.status}, document
        return answer.status, document

    async def get(self, path, *, role="local", status=200, **more):
        """Return the document that a GET answers."""
        return (await self.ask(path, method="GET", role=role, status=status, **more))[1]

    async def answer(self, path, body=None, *, method="POST", role="local", headers=None):
        """Return an answer and its document."""
        data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode()) if body is not None else None
        sent = {**(bearer(role) if role else {}), **(headers or {})}
        url = path if path.startswith("/") else f"/api/v1/{path}"
        answer = await self.client.request(method, url, data=data, headers=sent)
        text = await answer.read()
        document = json.loads(text) if "json" in answer.content_type and text else text
        assert answer.headers["Server"] == "stibgate"
        assert answer.headers["X-Request-Id"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if answer.status >= 400 and method != "HEAD":
            self.is_problem(answer, document)
        return answer, document

    def is_problem(self, answer, document):
        assert answer.content_type == "application/problem+json"
        assert document.keys() - {"exit_code"} == PROBLEM
        assert document["status"] == answer.status
        assert document["title"]
        assert document["hint"]
        assert document["request_id"] == answer.headers["X-Request-Id"]

    def states(self):
        return [str(task.state) for _, task in reversed(self.store.tasks(TaskFilter(), limit=None))]

    def audit(self) -> list[tuple[str, str, str | None, Mapping[str, Any]]]:
        """Return (actor, action, target, detail) of every line, oldest first."""
        lines = (self.read or self.store).audit(AuditFilter(), limit=None)
        entries = [line.entry for line in reversed(lines)]
        return [(one.actor, str(one.action), one.target, dict(one.detail)) for one in entries]


def make_application(
    store, read, clock, *, desk=None, settings=None, sinks=SINKS, hosts=(), look=None, live=None, grants=None
):
    """Return the application of the API over *store*, and what people do through it."""

    async def well(sink):
        return [Finding(f"{sink} is there"), Finding("it is full", ok=False, hint="Empty it.")]

    acts = acts_of(store, read, clock, look or well, sinks)
    settings = settings or Settings(
        sinks={name: {"kind": "csv", "dir": f"/srv/{name}"} for name in sinks},
        sources={"stib": {"kind": "stibnite_push", "auth": "token", "tokens": ["tok_" + "x" * 30], "routes": ["drop"]}},
    )
    grants = [] if grants is None else grants
    grants += [grant(f"{role}-dana", role, token) for role, token in TOKENS.items()]
    grants.append(grant("local", Role.ADMIN, LOCAL))
    key = getattr(store, "hash_key", b"k" * 32)
    api = Api(
        settings=lambda: settings,
        read=read,
        acts=acts,
        office=store,
        desk=lambda: desk,
        cursors=Cursors(lambda: key),
        draining=lambda: False,
        now_ms=clock,
        live=live,
    )
    app = health_application(alive=lambda: True, ready=dict)
    numbers = count(1)
    add_api(app, api, Door(access_of(grants, clock, hosts), new_request_id=lambda: f"req{next(numbers)}"))
    return app, acts


class Shelf:
    """What is read of a store in memory, whose `pins` is the one that intake waits for."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def pins(self):
        return self._store._pins


async def make_office(aiohttp_client, *, count=2, **more) -> Office:
    """Return an office with a delivery whose task is dead, and *count* - 1 whose task is delivered."""
    clock, store, sink = Clock(), MemoryStore(), ScriptedSink(script=[SinkRejected("never")])
    deliveries = samples(count)
    names = await fill(store, clock, sink, deliveries)

    async def read(query):
        return query(Shelf(store))

    app, acts = make_application(store, read, clock, **more)
    office = Office(await aiohttp_client(app), store, clock, acts, [one.body for one in deliveries], names)
    assert office.states()[:2] == ["dead", "delivered"]
    return office
