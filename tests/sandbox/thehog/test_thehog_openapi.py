"""/openapi.json: what is served is what it describes, whatever is sent."""

import json

import jsonschema_rs
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

from stibgate.sandbox.server import serve
from stibgate.sandbox.thehog import TheHogSandbox
from stibgate.sandbox.thehog.openapi import document
from stibgate.sandbox.thehog.server import ESTIMATE
from tests.apart import apart, some
from tests.sandbox.far_side import NOW_S


def without_security():
    """Return the document without credentials, which each call gets anyway; `test_thehog_refusals` has those without."""
    plain = json.loads(json.dumps(document(ESTIMATE, wrapped=False)))
    del plain["security"]
    return plain


schema = schemathesis.openapi.from_dict(without_security())


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_document_is_valid(wrapped):
    """It is an OpenAPI 3.1 document, and every component is a JSON Schema."""
    found = document(ESTIMATE, wrapped=wrapped)
    schemathesis.openapi.from_dict(json.loads(json.dumps(found))).validate()
    for component in found["components"]["schemas"].values():
        jsonschema_rs.meta.validate(component)


def test_every_route_is_described():
    """What is served is described, and what is described is served."""
    routes = TheHogSandbox(seed=7, now=lambda: NOW_S).app().router.routes()
    served = {(route.method, route.resource.canonical) for route in routes}
    paths = document(ESTIMATE, wrapped=False)["paths"]
    described = {(verb.upper(), path) for path, verbs in paths.items() for verb in verbs}
    assert served == described | {("GET", "/openapi.json")}


async def test_never_limited_or_spoilt(make_desk):
    """Neither the rate nor a fault is for it, and it counts towards neither."""
    desk = await make_desk()
    desk.sandbox.rate_per_minute = 1
    desk.sandbox.fail_next("500")
    for _ in range(2):
        got = await desk.send(b"", method="GET", path="/openapi.json", X_Access_Key=None, X_Secret_Key=None)
        assert (got.status, got.body) == (200, json.loads(json.dumps(document(ESTIMATE, wrapped=False))))
    assert not desk.sandbox.requests
    await desk.ask(status=500)
    await desk.ask()


@pytest.fixture(scope="module")
def send():
    """Return what sends a case to a sandbox of its own, with the keys."""
    # A clock that stands: with one seed, every run of this test meets the same world.
    sandbox = TheHogSandbox(seed=7, now=lambda: NOW_S)
    sandbox.rate_per_minute = 1_000_000
    keys = {"X-Access-Key": sandbox.access_key, "X-Secret-Key": sandbox.secret_key}
    with apart(serve(sandbox.app())) as url:
        yield lambda case: case.call(base_url=url, headers=keys)


@schema.parametrize()
@some(examples=40)
def test_any_input_gets_a_described_answer(case, send):
    """Whatever is sent, the answer is one that the document has, and never a 5xx."""
    case.validate_response(send(case), excluded_checks=[positive_data_acceptance])
