"""/openapi.json: it describes what is served, and what is served is what it describes, whatever is sent."""

import json
import re

import jsonschema_rs
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

from stibgate.sandbox.hubspot import HubSpotSandbox, Portal
from stibgate.sandbox.hubspot.openapi import OPERATIONS, document
from stibgate.sandbox.server import serve
from tests.apart import apart, some
from tests.sandbox.far_side import NOW_S

FREELY = Portal(
    limit_ten_s=10**9, limit_daily=10**9, limit_search_s=10**9, search_lag_s=0, owners={"jo@example.com": "7"}
)
FIXED = {"version": "2026-09", "kind": "contacts", "to": "companies"}


def narrowed():
    """Return the document with one version and one kind, so that few examples reach far, and without security.

    Each call gets the key anyway; `test_security_is_as_described` has calls without.
    """
    plain = json.loads(json.dumps(document(OPERATIONS)))
    for path in plain["paths"].values():
        for operation in path.values():
            del operation["security"]
            parameters = operation.pop("parameters", [])
            operation["parameters"] = [each for each in parameters if each["name"] not in FIXED]
    plain["paths"] = {
        path.format_map({"id": "{id}", "name": "{name}"} | FIXED): item for path, item in plain["paths"].items()
    }
    return plain


schema = schemathesis.openapi.from_dict(narrowed())
# Boundary by boundary would take a minute: the tests below have those that matter.
schema.config.phases.coverage.enabled = False


async def test_served(make_desk):
    """It is served as JSON to anybody, whatever the limits, faults and latency are, and is not counted."""
    desk = await make_desk(keys=False, limit_ten_s=0, limit_daily=0, latency_s=5.0)
    desk.sandbox.set_fault_rate("500", 1.0)
    async with desk.http.get(desk.url + "/openapi.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert await response.json() == json.loads(json.dumps(document(OPERATIONS)))
    assert (desk.sandbox.counters.requests, desk.sandbox.requests, desk.clock.pauses) == (0, [], [])


def test_every_route_is_described():
    """Each route that is served is described, and each that is described is served."""
    routes = HubSpotSandbox(seed=7, now=lambda: NOW_S).app().router.routes()
    served = {(route.method, route.resource.canonical) for route in routes}
    described = {(verb.upper(), path) for path, verbs in document(OPERATIONS)["paths"].items() for verb in verbs}
    assert served == described | {("GET", "/openapi.json")}
    assert len(described) == len(OPERATIONS)


def test_the_document_is_valid():
    """It is an OpenAPI 3.1 document, every component is a JSON Schema, and every reference leads somewhere."""
    found = document(OPERATIONS)
    assert found["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(json.loads(json.dumps(found))).validate()
    for component in found["components"]["schemas"].values():
        jsonschema_rs.meta.validate(component)
    references = set(re.findall(r'"#/components/(\w+)/(\w+)"', json.dumps(found)))
    assert references == {(room, name) for room in ("schemas", "headers") for name in found["components"][room]}


def path_of(template):
    """Return a path that matches *template*, of things that are not there."""
    return template.format_map({"id": "1", "name": "nothing"} | FIXED)


async def test_security_is_as_described(one_desk):
    """Without the key, every operation but the one that says so is a 401."""
    for template, item in document(OPERATIONS)["paths"].items():
        for verb, operation in item.items():
            got = await one_desk.call(verb.upper(), path_of(template), {}, Authorization="")
            assert (got.status == 401) is bool(operation["security"]), (verb, template)


async def test_another_method_is_a_405(one_desk):
    """The answer names the methods that the path has, which are those of the document."""
    for template, item in document(OPERATIONS)["paths"].items():
        got = await one_desk.call("PUT", path_of(template), {}, status=405)
        assert got.body["category"] == "VALIDATION_ERROR"
        assert {verb.lower() for verb in got.headers["Allow"].split(",")} == set(item)


LIST, OWNERS, READ = "/crm/objects/{v}/contacts", "/crm/owners/{v}", "/crm/objects/{v}/contacts/batch/read"
DIGITS = "9" * 5_000


@pytest.mark.parametrize(
    "path",
    [
        f"{path}?{query}"
        for path in (LIST, OWNERS)
        for query in (f"limit={DIGITS}", f"after={DIGITS}", "limit=0", "limit=", "after=", "after=%D9%A1", "archived=1")
    ],
)
async def test_a_query_that_is_not_described(one_desk, path):
    """What is no number of usual length, or no truth, is a 400."""
    got = await one_desk.call("GET", path, status=400)
    assert got.body["category"] == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"inputs": 1' + b"0" * 5_000 + b"}",
        b'{"inputs": [{"id": "\\ud800"}]}',
        b'{"\\ud800": 1}',
        b'{"inputs": [{"id": "1", "properties": {"numemployees": 1e999}}]}',
        "{}".encode("utf-16"),
    ],
)
@pytest.mark.parametrize("verb", ["update", "read"])
async def test_json_that_is_none(one_desk, verb, raw):
    """Depth without end, numbers without end, half a character and other encodings are a 400."""
    headers = {"Authorization": f"Bearer {one_desk.sandbox.token}", "Content-Type": "application/json"}
    url = f"{one_desk.url}/crm/objects/2026-03/contacts/batch/{verb}"
    async with one_desk.http.post(url, data=raw, headers=headers) as response:
        assert (response.status, (await response.json())["category"]) == (400, "VALIDATION_ERROR")


async def test_a_number_beyond_all_floats(one_desk):
    """A long whole number is kept as it was written."""
    number = 10**400
    record_id = await one_desk.person("p1", company=number, firstname=2.0, lastname=2.5)
    assert await one_desk.value("contacts", record_id, "company") == str(number)
    assert await one_desk.value("contacts", record_id, "firstname") == "2"
    assert await one_desk.value("contacts", record_id, "lastname") == "2.5"
    await one_desk.post("/crm/objects/{v}/contacts/search", {"after": DIGITS}, status=400)


async def test_only_live_records_are_merged(one_desk):
    """A merge takes nothing from its query."""
    ids = [await one_desk.person(f"p{i}") for i in range(2)]
    await one_desk.call("DELETE", f"/crm/objects/{{v}}/contacts/{ids[1]}", status=204)
    body = {"primaryObjectId": ids[0], "objectIdToMerge": ids[1]}
    await one_desk.post("/crm/objects/{v}/contacts/merge?archived=true", body, status=404)


@pytest.fixture(scope="module")
def send():
    """Return what sends a case to a sandbox of its own, with the key."""
    # A clock that stands: with one seed, every run of this test meets the same world.
    sandbox = HubSpotSandbox(seed=7, now=lambda: NOW_S, portal=FREELY)
    with apart(serve(sandbox.app())) as url:
        yield lambda case: case.call(base_url=url, headers={"Authorization": f"Bearer {sandbox.token}"})


@schema.parametrize()
@some(examples=10)
def test_any_input_gets_a_described_answer(case, send):
    """Whatever is sent to whichever endpoint, the answer is one that the document has, and never a 5xx."""
    case.validate_response(send(case), excluded_checks=[positive_data_acceptance])
