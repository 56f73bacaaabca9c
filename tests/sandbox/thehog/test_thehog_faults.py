"""Faults on demand, and the document of the server itself."""

import json

import aiohttp
import pytest

from stibgate.sandbox.thehog import FAULTS

ASKED = b'{"query":"x"}'


@pytest.mark.parametrize("name", [name for name in FAULTS if name.isdigit()])
async def test_an_error_on_demand(desk, name):
    """The documented envelope with its status, once."""
    desk.sandbox.fail_next(name)
    got = await desk.send(ASKED)
    assert (got.status, got.body["statusCode"], got.body["requestId"]) == (int(name), int(name), got.headers["X-Request-Id"])  # fmt: skip
    assert (await desk.send(ASKED)).status == 200


async def test_insufficient_credits(desk):
    """The one message that is documented."""
    desk.sandbox.fail_next("402")
    assert (await desk.send(ASKED)).body["message"] == "Insufficient credits: 8 required, 3 available"


@pytest.mark.parametrize(
    ("fault", "given", "sent"),
    [
        ("429", None, "2"),
        ("429", "", None),
        ("429", "Sun, 17 May 2026 18:42:20 GMT", "Sun, 17 May 2026 18:42:20 GMT"),
        ("503", None, None),
        ("503", "7", "7"),
    ],
)
async def test_retry_after(desk, fault, given, sent):
    """A 429 has one unless it is to have none; any error may have one in any form."""
    desk.sandbox.fail_next(fault, retry_after=given)
    assert (await desk.send(ASKED)).headers.get("Retry-After") == sent


@pytest.mark.parametrize(("name", "status"), [("html", 502), ("html_200", 200)])
async def test_a_page_instead_of_json(desk, name, status):
    """A web page, whatever the status says."""
    desk.sandbox.fail_next(name)
    got = await desk.send(ASKED)
    assert (got.status, got.headers["Content-Type"].split(";")[0]) == (status, "text/html")


async def test_half_a_body(desk):
    """A whole answer of half a document."""
    desk.sandbox.fail_next("truncated")
    with pytest.raises(json.JSONDecodeError):
        await desk.send(ASKED)


async def test_cut(desk):
    """The connection ends without an answer; the request was seen."""
    desk.sandbox.fail_next("cut")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await desk.send(ASKED)
    assert [each.body for each in desk.sandbox.requests] == [ASKED]


async def test_slow(desk, clock):
    """The answer is right, and late, by the clock of the test."""
    desk.sandbox.fail_next("slow", seconds=40)
    assert (await desk.send(ASKED)).status == 200
    assert clock.pauses == [40]


async def test_faults_come_in_turn(desk):
    """First come, first served, each as often as asked."""
    desk.sandbox.fail_next("500", count=2)
    desk.sandbox.fail_next("429")
    assert [(await desk.send(ASKED)).status for _ in range(4)] == [500, 500, 429, 200]


def test_an_unknown_fault(desk):
    """A typo in a test is not a pass."""
    with pytest.raises(ValueError, match="truncated"):
        desk.sandbox.fail_next("teapot")


async def test_its_own_document(desk):
    """OpenAPI 3.1 without keys: every documented field and limit, and no default that no document gives."""
    got = await desk.send(b"", method="GET", path="/openapi.json", X_Access_Key=None, X_Secret_Key=None)
    schemas = got.body["components"]["schemas"]
    search = schemas["PeopleSearch"]
    assert (got.body["openapi"], search["required"], search["additionalProperties"]) == ("3.1.0", ["query"], False)
    limits = {
        name: {key: value for key, value in rule.items() if key not in {"title", "examples"}}
        for name, rule in search["properties"].items()
    }
    assert limits == {
        "query": {"type": "string", "maxLength": 500},
        "limit": {"type": "number", "minimum": 1, "maximum": 100, "default": 25},
        "includeSignals": {"type": "boolean", "default": False},
        "includeContacts": {"type": "boolean", "default": False},
        "contactFields": {
            "type": "array", "items": {"type": "string", "enum": ["email", "phone"]},
            "minItems": 1, "maxItems": 2, "uniqueItems": True,
        },
        "maxCredits": {"type": "number", "minimum": 0},
        "filters": {"$ref": "#/components/schemas/Filters"},
        "confirm": {"type": "boolean"},
    }  # fmt: skip
    assert set(schemas["Estimate"]["required"]) == set(await desk.ask())
    assert set(schemas["ContactEnrichment"]["properties"]) == set((await desk.ask())["breakdown"]["contactEnrichment"])


async def test_the_document_of_the_older_generation(desk):
    """The document says what is answered: the estimate under `data`."""
    desk.sandbox.wrapped = True
    got = await desk.send(b"", method="GET", path="/openapi.json")
    (operation,) = [way["post"] for way in got.body["paths"].values()]
    assert operation["responses"]["200"]["content"]["application/json"]["schema"]["required"] == ["data"]
