"""/api/v1/openapi.json: it describes what is served, and what is served is what it describes, whatever is sent."""

import json
from contextlib import asynccontextmanager

import pytest
import schemathesis
from click.testing import CliRunner
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from stibgate.cli import cli
from stibgate.errors import SinkRejected
from stibgate.sandbox.server import serve
from stibgate.stores import TaskFilter
from stibgate.stores.sqlite import SqliteStore
from stibgate.web.api import PREFIX, ROUTES
from stibgate.web.api.openapi import document
from tests.apart import apart, some
from tests.pipeline.world import Clock, ScriptedSink
from tests.web.api.office import bearer, make_application
from tests.web.backroom import fill, samples

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


@asynccontextmanager
async def running(path):
    """Serve an API over a SQLite store with something in it, on loopback, while the block runs."""
    clock, store = Clock(), SqliteStore(path, durability="normal")
    names = await fill(store, clock, ScriptedSink(script=[SinkRejected("never")]), samples(3))
    app, acts = make_application(store, store.read, clock)
    _, task = store.ledger.tasks(TaskFilter(), limit=1)[0]
    async with serve(app) as url:
        yield url, {"deliveries": names[0], "tasks": task.task_id, "sinks": "drop"}
    await acts.bulks.close()
    await store.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with apart(running(tmp_path_factory.mktemp("api") / "stibgate.db")) as served:
        yield served


@schema.parametrize()
@some(EXAMPLES)
def test_any_input_gets_a_described_answer(case, server):
    """Whatever is sent to whichever call, the answer is one that the description has, and never a 5xx."""
    url, ids = server
    room = case.path.removeprefix(f"{PREFIX}/").partition("/")[0]
    for name in case.path_parameters or {}:
        case.path_parameters[name] = ids.get(room, case.path_parameters[name])
    response = case.call(base_url=url, headers=bearer())
    excluded = [positive_data_acceptance]
    if response.status_code == 413:  # too large to be looked at is a refusal, too
        excluded.append(negative_data_rejection)
    case.validate_response(response, headers=bearer(), excluded_checks=excluded)
