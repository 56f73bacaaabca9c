"""/api/v1/openapi.json: it describes what is served, and what is served is what it describes, whatever is sent."""

import asyncio
import json
import threading
from contextlib import contextmanager

import pytest
import schemathesis
from aiohttp import web
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, settings
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from stibgate.cli import cli
from stibgate.errors import SinkRejected
from stibgate.stores.sqlite import SqliteStore
from stibgate.web.api import PREFIX, ROUTES
from stibgate.web.api.openapi import document
from tests.pipeline.world import Clock, ScriptedSink
from tests.web.api.office import bearer, fill, make_application

EXAMPLES = 2


def without_the_stream():
    """Return the description without credentials, which each call gets anyway, and without the call that never ends."""
    plain = json.loads(json.dumps(document()))
    del plain["security"]
    del plain["paths"][f"{PREFIX}/events"]
    return plain


schema = schemathesis.openapi.from_dict(without_the_stream())


async def test_served(office):
    """/openapi.json is the description, valid OpenAPI 3.1, and what the command prints."""
    served = await office.get("openapi.json", role="viewer")
    assert served == json.loads(json.dumps(document())) == json.loads(CliRunner().invoke(cli, ["openapi"]).output)
    assert served["openapi"].startswith("3.1.")
    validate(served)


def test_every_call_is_described():
    """Each call that is served is described with its role, its filters and whether it takes a key, and no other is."""
    described = document()["paths"]
    assert {(method.upper(), path) for path, calls in described.items() for method in calls} == {
        (route.method, PREFIX + route.path) for route in ROUTES
    }
    for route in ROUTES:
        operation = described[PREFIX + route.path][route.method.lower()]
        names = {one["name"] for one in operation["parameters"] if one["in"] == "query"}
        assert names == set(route.query.model_fields)
        assert f"role {route.role}" in operation["description"]
        assert ("409" in operation["responses"]) == route.keyed
        assert {"400", "401", "403", "421", "429"} <= operation["responses"].keys()
    assert len({one["operationId"] for calls in described.values() for one in calls.values()}) == len(ROUTES)


class Running:
    """An API over a SQLite store with something in it, on loopback, in a thread of its own."""

    def __init__(self, path):
        self.path = path
        self.url, self.ids = "", {}

    async def prepare(self, stack):
        store = SqliteStore(self.path, durability="normal")
        clock = Clock()
        _, names = await fill(store, clock, ScriptedSink(script=[SinkRejected("never")]), count=3)
        app, acts = make_application(store, store.read, clock)
        _, task = store.ledger.tasks(_no_task(), limit=1)[0]
        self.ids = {"deliveries": names[0], "tasks": task.task_id, "sinks": "drop"}
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        self.url = f"http://{host}:{port}"
        stack += [runner.cleanup, acts.bulks.close, store.close]


def _no_task():
    from stibgate.stores import TaskFilter

    return TaskFilter()


@contextmanager
def running(path):
    """Run an API in a thread while the block runs."""
    loop, started, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    world = Running(path)

    async def run():
        undo = []
        await world.prepare(undo)
        started.set()
        await done.wait()
        for one in undo:
            await one()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert started.wait(20)
        yield world
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(20)
        loop.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("api") / "stibgate.db") as world:
        yield world


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_any_input_gets_a_described_answer(case, server):
    """Whatever is sent to whichever call, the answer is one that the description has, and never a 5xx."""
    room = case.path.removeprefix(f"{PREFIX}/").partition("/")[0]
    for name in case.path_parameters or {}:
        case.path_parameters[name] = server.ids.get(room, case.path_parameters[name])
    response = case.call(base_url=server.url, headers=bearer())
    excluded = [positive_data_acceptance]
    if response.status_code == 413:  # too large to be looked at is a refusal, too
        excluded.append(negative_data_rejection)
    case.validate_response(response, headers=bearer(), excluded_checks=excluded)
