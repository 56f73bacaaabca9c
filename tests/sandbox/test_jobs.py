"""Async person searches."""

import asyncio
import re

import pytest

CREATED = {
    "job_id": "018f4f8f-1f42-7a8c-8cf2-8a4c2b0d3a4e",
    "status": "queued",
    "search_strategy": "indexed_dynamic",
    "interpretation": {
        "roles": [{"key": "dynamic_role", "label": "CMO"}],
        "industries": [{"key": "dynamic_industry", "label": "SaaS companies"}],
        "warnings": [],
    },
    "created_at": "2026-05-17T18:42:10.000Z",
}
SUCCEEDED = {
    "job_id": "018f4f8f-1f42-7a8c-8cf2-8a4c2b0d3a4e",
    "status": "succeeded",
    "search_strategy": "indexed_dynamic",
    "interpretation": CREATED["interpretation"],
    "pagination": {
        "limit": 100,
        "total_records": 101,
        "total_records_relation": "gte",
        "total_pages": 2,
        "next_cursor": "opaque-cursor-or-null",
        "max_records": 2000,
    },
    "data": [
        {
            "person_id": "person_123",
            "first_name": "Jordan",
            "last_name": "Lee",
            "job_title": "Chief Marketing Officer",
            "business_email": "jordan@example.com",
            "company": {"company_id": "company_123", "name": "Example SaaS Co", "domain": "example.com"},
        }
    ],
    "billable_records": 1,
    "timings_ms": {"interpretation": 0, "search": 842, "total": 851, "search_strategy": "indexed_dynamic"},
}
"""The document's examples, for q = "CMOs at SaaS companies"."""
PATH = "/v1/persons/search/jobs"
Q = "CMOs at SaaS companies"


async def test_created_as_documented(world):
    """Creating a job answers the documented example, but for the id, which is a UUID of version 7 too."""
    answer = await world.call("POST", PATH, {"q": Q})
    job_id = answer["job_id"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", job_id)
    assert list(answer.items()) == list((CREATED | {"job_id": job_id}).items())


async def test_succeeded_as_documented(world, shape):
    """A succeeded job has the documented keys, types and order, and the example's pagination."""
    answer = await world.search(Q)
    assert list(answer) == list(SUCCEEDED)
    cursor = answer["pagination"]["next_cursor"]
    assert answer["pagination"] == SUCCEEDED["pagination"] | {"next_cursor": cursor}
    for key in ("search_strategy", "interpretation", "status"):
        assert answer[key] == SUCCEEDED[key]
    assert shape(answer["timings_ms"]) == shape(SUCCEEDED["timings_ms"])
    assert answer["billable_records"] == len(answer["data"]) == 100
    for person in answer["data"]:
        wanted = SUCCEEDED["data"][0]
        assert person.keys() >= wanted.keys()
        assert person["company"].keys() >= wanted["company"].keys()
        assert not person.keys() & {"prospect_id", "reveal_state"}


async def test_failed_as_documented(world):
    """A search with the word "fail" fails with an error string, without data, and bills nothing."""
    answer = await world.search("CEOs of companies that fail")
    assert list(answer) == ["job_id", "status", "search_strategy", "interpretation", "error"]
    assert answer["status"] == "failed"
    assert isinstance(answer["error"], str)
    assert (await world.call("GET", "/v1/usage"))["billable_records"] == 0
    assert (await world.search("failure analysts"))["status"] == "succeeded"


async def test_life_of_a_job(make_world):
    """A job is queued, then running, then succeeded, and has results only at its end."""
    gates: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def pause(_seconds):
        gate = asyncio.Event()
        await gates.put(gate)
        await gate.wait()

    world = await make_world(pause=pause)
    job = await world.call("POST", PATH, {"q": Q})
    for status in ("queued", "running"):
        gate = await gates.get()
        seen = await world.call("GET", f"{PATH}/{job['job_id']}")
        assert seen == {key: job[key] for key in seen} | {"status": status}
        gate.set()
    await world.sandbox.idle()
    assert (await world.call("GET", f"{PATH}/{job['job_id']}"))["status"] == "succeeded"


async def test_pages(world):
    """Following next_cursor gives everybody once; the last page has no cursor and knows the total."""
    pages, cursor = [], {}
    while cursor is not None:
        page = await world.search(Q, **cursor)
        pages.append(page)
        following = page["pagination"]["next_cursor"]
        cursor = {"cursor": following} if following is not None else None
    assert [len(page["data"]) for page in pages] == [100, 100, 50]
    assert len({person["person_id"] for page in pages for person in page["data"]}) == 250
    last = pages[-1]["pagination"]
    assert (last["total_records"], last["total_records_relation"], last["total_pages"]) == (250, "eq", 3)


async def test_max_records_caps_all_pages(world):
    """max_records caps the search over its pages."""
    first = await world.search(Q, max_records=130)
    second = await world.search(Q, max_records=130, cursor=first["pagination"]["next_cursor"])
    assert (len(first["data"]), len(second["data"])) == (100, 30)
    assert second["pagination"]["next_cursor"] is None
    assert second["pagination"]["max_records"] == 130


@pytest.mark.parametrize(
    "changed", [{"q": "CTOs"}, {"location_city": "Boise"}, {"location_state": "ID"}, {"cursor": "AAAA"}]
)
async def test_cursor_is_bound_to_its_filters(world, changed):
    """A cursor that does not belong to the filters is a 400."""
    cursor = (await world.search(Q))["pagination"]["next_cursor"]
    await world.call("POST", PATH, {"q": Q, "cursor": cursor} | changed, status=400)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"q": None}, "q: "),
        ({"q": "  "}, "q: "),
        ({"limit": 0}, "limit: "),
        ({"limit": -1}, "limit: "),
        ({"limit": "ten"}, "limit: "),
        ({"limit": "10"}, "limit: "),
        ({"limit": 1.5}, "limit: "),
        ({"limit": True}, "limit: "),
        ({"max_records": 0}, "max_records: "),
        ({"cursor": "é"}, "cursor is not valid"),
        ({"cursor": ""}, "cursor is not valid"),
        ({"location_state": ""}, "location_state: "),
    ],
)
async def test_refused(world, more, named):
    """A wrong search is a 400 whose JSON message names the field, and no job."""
    answer = await world.call("POST", PATH, {"q": Q} | more, status=400)
    assert answer["message"].startswith(named)


async def test_q_is_required(world):
    """A search without a query, or without JSON, is a 400."""
    assert await world.call("POST", PATH, {}, status=400) == {"message": "q is required"}
    headers = {"x-api-key": world.sandbox.api_key}
    async with world.client.post(PATH, data=b"\xff{", headers=headers) as response:
        assert response.status == 400
        assert "message" in await response.json()


@pytest.mark.parametrize(("limit", "size"), [(1, 1), (99, 99), (100, 100), (101, 100), (10**30, 100)])
async def test_limit_is_capped(world, limit, size):
    """A page size above 100 is 100."""
    answer = await world.search(Q, limit=limit)
    assert len(answer["data"]) == answer["pagination"]["limit"] == size


async def test_number_in_the_query_is_the_total(world):
    """A number in the query is how many people there are; the search itself does not mind."""
    answer = await world.search("3 owners of law firms")
    assert len(answer["data"]) == 3
    assert answer["search_strategy"] == "taxonomy"
    assert answer["interpretation"]["roles"] == [{"key": "owner", "label": "owner"}]
    assert (await world.search("0 unicorns"))["data"] == []


async def test_place_filters(world):
    """The geo filters find only people whose company is there."""
    answer = await world.search(Q, location_city="Boise", location_state="ID", limit=10)
    places = {(p["company"].get("city", "Boise"), p["company"].get("state", "ID")) for p in answer["data"]}
    assert places == {("Boise", "ID")}
    assert (await world.search(Q, location_state="Atlantis"))["data"] == []


async def test_dedupe_token(world):
    """A dedupe token prevents repeat delivery, for its criteria and its user only."""
    ids = [
        {person["person_id"] for person in (await world.search(Q, **more))["data"]}
        for more in (
            {"dedupe_token": "a"},
            {"dedupe_token": "a"},
            {"dedupe_token": "b"},
            {"dedupe_token": "a", "dedupe_user_id": "u"},
            {},
        )
    ]
    assert not ids[0] & ids[1]
    assert ids[0] == ids[2] == ids[3] == ids[4]


async def test_usage(world, shape):
    """Usage counts successful requests and billed records; reading a job again bills nothing."""
    job = await world.search(Q, limit=34)
    for _ in range(3):
        await world.call("GET", f"{PATH}/{job['job_id']}")
    await world.call("POST", PATH, {}, status=400)
    answer = await world.call("GET", "/v1/usage")
    assert answer == {"requests": 5, "billable_records": 34}
    assert shape(answer) == shape({"requests": 12, "billable_records": 34})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", PATH),
        ("GET", f"{PATH}/x"),
        ("GET", "/v1/usage"),
        ("GET", "/v1/webhooks/endpoints"),
        ("POST", "/v1/webhooks/endpoints"),
        ("DELETE", "/v1/webhooks/endpoints/x"),
        ("POST", "/v1/prospecting/embed-keys"),
        ("GET", "/v1/persons/search"),
        ("GET", "/v1/persons/search/taxonomy"),
        ("GET", "/v1/persons/lookup"),
        ("GET", "/v1/domains"),
        ("GET", "/v1/companies/example.com/people"),
        ("GET", "/v1/partner-customers/x/wallet"),
        ("POST", "/v1/partner-customers/x/wallet/credits"),
    ],
)
@pytest.mark.parametrize("key", ["", "stib_live_wrong", "schlüssel"])
async def test_without_the_key(world, method, path, key):
    """Without the account's key every endpoint answers 401 with a JSON message."""
    assert list(await world.call(method, path, {}, status=401, x_api_key=key)) == ["message"]


async def test_not_there(world):
    """What is not there answers 404, a wrong method 405, both with a JSON message."""
    for path in (f"{PATH}/nope", "/v1/nope"):
        assert list(await world.call("GET", path, status=404)) == ["message"]
    assert list(await world.call("PUT", PATH, status=405)) == ["message"]
