"""/openapi.json: it describes what is served, and what is served is what it describes, whatever is sent."""

import json
import re
from contextlib import asynccontextmanager

import aiohttp
import jsonschema_rs
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

from stibgate.sandbox.server import serve
from stibgate.sandbox.stibnite import Pace, StibniteSandbox
from stibgate.sandbox.stibnite.openapi import OPERATIONS, document
from tests.apart import apart, some

EXAMPLES = 5
ORIGIN = "https://partner.example"
NOWHERE = "http://127.0.0.1:9/"


def without_security():
    """Return the description without credentials, which each call gets anyway; `test_jobs` has those without."""
    plain = json.loads(json.dumps(document()))
    for path in plain["paths"].values():
        for operation in path.values():
            del operation["security"]
    return plain


schema = schemathesis.openapi.from_dict(without_security())


async def test_served(world):
    """/openapi.json is served without a key, as JSON, and is the description."""
    async with world.client.get("/openapi.json") as response:
        assert response.content_type == "application/json"
        assert await response.json() == document()
    assert document()["openapi"].startswith("3.1.")


def test_every_route_is_described(clock):
    """Each route that is served is described, and each that is described is served."""
    served = {
        (route.method, route.resource.canonical)
        for route in StibniteSandbox(seed=7, now=clock.now).app().router.routes()
        if route.method != "HEAD"
    }
    described = {(operation.method.upper(), operation.path) for operation in OPERATIONS}
    assert served == described | {("GET", "/openapi.json")}


def test_every_schema_is_valid():
    """Every component is a JSON Schema, and every reference leads somewhere."""
    components = document()["components"]["schemas"]
    for component in components.values():
        jsonschema_rs.meta.validate(component)
    assert set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document()))) == set(components)


class Running:
    """A sandbox on loopback, with a customer in it."""

    def __init__(self):
        # A clock that stands: with one seed, every run of this test meets the same world.
        self.sandbox = StibniteSandbox(seed=7, now=lambda: 1_779_043_330.0, pace=PACE)
        self.url, self.token, self.ids = "", "", {}

    async def prepare(self):
        async with aiohttp.ClientSession(self.url, headers={"x-api-key": self.sandbox.api_key}) as session:

            async def call(path, body, **headers):
                async with session.post(path, json=body, headers=headers) as response:
                    return await response.json()

            asked = {"allowed_origins": [ORIGIN], "result_delivery_url": NOWHERE, "csv_export_enabled": True}
            key = await call("/v1/prospecting/embed-keys", asked)
            asked = {"partner_key": key["public_key"], "customer_id": "c"}
            embedded = await call("/v1/prospecting/embed-sessions", asked, origin=ORIGIN)
            self.token = f"Bearer {embedded['token']}"
            search = await call("/v1/prospecting/sessions", {"q": "5 CMOs"}, authorization=self.token)
            job = await call("/v1/persons/search/jobs", {"q": "5 CMOs"})
            self.ids = {
                "search_id": search["search_id"],
                "job_id": job["job_id"],
                "partner_customer_id": embedded["partner_customer_id"],
            }


PACE = Pace(requests_a_minute=1_000_000, retries=0)


@asynccontextmanager
async def running():
    """Serve a sandbox, prepared, while the block runs."""
    world = Running()
    async with serve(world.sandbox.app()) as world.url:
        await world.prepare()
        yield world


@pytest.fixture(scope="module")
def server():
    with apart(running()) as world:
        yield world


@schema.parametrize()
@some(EXAMPLES)
def test_any_input_gets_a_described_answer(case, server):
    """Whatever is sent to whichever endpoint, the answer is one that the description has, and never a 5xx."""
    for name in case.path_parameters or {}:
        case.path_parameters[name] = server.ids.get(name, case.path_parameters[name])
    if isinstance(case.body, dict) and str(case.body.get("url")).startswith("http"):
        case.body["url"] = NOWHERE  # the sandbox would call whatever host was made up
    security = document()["paths"][case.path][case.operation.method]["security"]
    token = {"Authorization": server.token}
    credentials = token if {"embed_token": []} in security else {"x-api-key": server.sandbox.api_key}
    response = case.call(base_url=server.url, headers=credentials)
    case.validate_response(response, headers=credentials, excluded_checks=[positive_data_acceptance])
