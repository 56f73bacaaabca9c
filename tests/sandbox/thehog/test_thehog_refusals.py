"""What is refused, and how: keys, rate, bodies, and the envelope of every error."""

import io

import pytest

PATH = "/api/v1/people/search/estimate"


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({}, {"query": "isDefined"}),
        ({"query": None}, {"query": "isValid"}),
        ({"query": 5}, {"query": "isValid"}),
        ({"query": "x" * 501}, {"query": "maxLength"}),
        ({"query": "x", "limit": 0}, {"limit": "min"}),
        ({"query": "x", "limit": 101}, {"limit": "max"}),
        ({"query": "x", "limit": "25"}, {"limit": "isValid"}),
        ({"query": "x", "limit": True}, {"limit": "isValid"}),
        ({"query": "x", "limit": None}, {"limit": "isValid"}),
        ({"query": "x", "includeContacts": 1}, {"includeContacts": "isValid"}),
        ({"query": "x", "contactFields": []}, {"contactFields": "arrayMinSize"}),
        ({"query": "x", "contactFields": ["email", "email"]}, {"contactFields": "isValid"}),
        ({"query": "x", "contactFields": ["email", "phone", "email"]}, {"contactFields": "arrayMaxSize"}),
        ({"query": "x", "contactFields": ["fax"]}, {"contactFields.0": "isEnum"}),
        ({"query": "x", "contactFields": "email"}, {"contactFields": "isValid"}),
        ({"query": "x", "maxCredits": -1}, {"maxCredits": "min"}),
        ({"query": "x", "maxCredits": "1"}, {"maxCredits": "isValid"}),
        ({"query": "x", "confirm": "yes"}, {"confirm": "isValid"}),
        ({"query": "x", "filters": []}, {"filters": "isValid"}),
        ({"query": "x", "filters": {"titleMatch": "close"}}, {"filters.titleMatch": "isEnum"}),
        ({"query": "x", "filters": {"titles": ["a", 1]}}, {"filters.titles.1": "isValid"}),
        ({"query": "x", "filters": {"employeeCount": {"min": -1}}}, {"filters.employeeCount.min": "min"}),
        ({"query": "x", "filters": {"company": {"website": []}}}, {"filters.company.website": "whitelistValidation"}),
        ({"query": "x", "Limit": 5, "q": "y"}, {"Limit": "whitelistValidation", "q": "whitelistValidation"}),
        ([], {"body": "isValid"}),
    ],
)
async def test_a_wrong_property_is_named(desk, asked, named):
    """A 400 names every property that is wrong, unknown ones too, and the constraint that it breaks."""
    assert await desk.refused(asked) == named


@pytest.mark.parametrize(
    "asked",
    [
        {"query": ""},
        {"query": "\U0001f600" * 500},
        {"query": "x", "limit": 1.5},
        {"query": "x", "limit": 25.0},
        {"query": "x", "maxCredits": 0},
        {"query": "x", "maxCredits": 0.5},
        {"query": "x", "contactFields": ["phone", "email"]},
        {"query": "x", "filters": {}},
        {"query": "x", "filters": {"titleMatch": "exact", "employeeCount": {"max": 5}, "company": {}}},
    ],
)
async def test_the_edges_are_inside(desk, asked):
    """What the document allows is taken."""
    await desk.ask(**asked)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"nonsense", b'{"query": "\xff"}', b'{"query":"\\ud800"}', b'{"query":NaN}']
)
async def test_what_is_not_json(desk, data):
    """A body that is not JSON is a 400 in the envelope."""
    got = await desk.send(data)
    assert (got.status, got.body["error"]) == (400, "Bad Request")


async def test_another_content_type(desk):
    """Only JSON is read."""
    assert (await desk.send(b'{"query":"x"}', Content_Type="text/plain")).status == 400


async def test_a_body_without_end(desk):
    """More than a mebibyte is a 413 in the envelope."""
    got = await desk.send(io.BytesIO(b" " * (1 << 21)))
    assert (got.status, got.body["statusCode"]) == (413, 413)


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Access_Key": None},
        {"X_Secret_Key": None},
        {"X_Access_Key": "ak_0000000000000000"},
        {"X_Secret_Key": "sk_0000000000000000"},
        {"X_Secret_Key": "schlüssel"},
    ],
)
async def test_both_keys_are_needed(desk, headers):
    """A key that is missing or wrong is a 401, whatever the body, and tells nobody which one it was."""
    got = await desk.send(b"{", **headers)
    assert (got.status, got.body["message"]) == (401, "Invalid or missing API credentials")


async def test_a_bearer_is_no_key(desk):
    """The older generation's header opens nothing."""
    bearer = f"Bearer {desk.sandbox.secret_key}"
    got = await desk.send(b"{}", X_Access_Key=None, X_Secret_Key=None, Authorization=bearer)
    assert got.status == 401


async def test_the_envelope(desk):
    """Every error has the documented members, `errors` with a 400 only, and the id of its header."""
    got = await desk.send(b"{}")
    assert got.body.pop("errors")
    assert got.body == {
        "statusCode": 400,
        "error": "Bad Request",
        "message": "Validation failed",
        "path": PATH,
        "timestamp": "2026-05-17T18:42:10.000Z",
        "requestId": got.headers["X-Request-Id"],
    }
    unauthorized = await desk.send(b"{}", X_Secret_Key=None)
    assert set(unauthorized.body) == set(got.body)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", PATH, 405), ("POST", "/api/v1/people/search", 404)])
async def test_what_is_not_served(desk, method, path, status):
    """Other paths and methods are refused in the envelope."""
    got = await desk.send(b"", method=method, path=path)
    assert (got.status, got.body["statusCode"], got.headers.get("Allow")) == (status, status, "POST" if status == 405 else None)  # fmt: skip


async def test_the_rate(desk, clock):
    """So many requests a minute, said in the headers; then 429 with a `Retry-After` that is long enough."""
    desk.sandbox.rate_per_minute = 2
    first = await desk.send(b'{"query":"x"}')
    limits = {name: value for name, value in first.headers.items() if name.startswith("X-RateLimit")}
    assert limits == {"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "60"}
    clock.now_s += 10.5
    assert (await desk.send(b"{}")).headers["X-RateLimit-Remaining"] == "0"
    refused = await desk.send(b'{"query":"x"}')
    assert (refused.status, refused.headers["Retry-After"]) == (429, "50")
    clock.now_s += 50
    assert (await desk.send(b'{"query":"x"}')).status == 200


async def test_600_a_minute(desk):
    """The documented rate is the usual one."""
    assert (await desk.send(b'{"query":"x"}')).headers["X-RateLimit-Remaining"] == "599"
