"""Embed keys, embed sessions, and pushes."""

import json

import pytest

KEY = {
    "public_key": "stib_embed_pk_abc123",
    "embed_key": {
        "id": "embed_key_123",
        "key_prefix": "stib_embed_pk_abc",
        "label": "Partner app loader",
        "status": "active",
        "allowed_origins": ["https://partner.example"],
        "result_delivery_url": "https://partner.example/api/prospects",
        "result_delivery_cta": "Add to HubSpot",
        "csv_export_enabled": True,
        "default_credit_enforcement_mode": "metered",
        "default_credit_reset_policy": "monthly_reset",
        "default_limits": {"monthly_credit_units": None},
    },
}
SESSION = {
    "token": "signed-short-lived-embed-token",
    "partner_customer_id": "customer_123",
    "external_customer_id": "partner-customer-123",
    "expires_at": "2026-05-17T19:42:10.000Z",
}
PUSHED = {
    "delivered": True,
    "delivery_status": 202,
    "search_id": "search_123",
    "partner_customer_id": "customer_123",
    "selection": {"mode": "selected", "prospect_ids": ["5x5-person-123"]},
    "pushed_records": 1,
    "net_new_billable_records": 1,
    "already_purchased_records": 0,
}
PAYLOAD = {
    "event": "prospecting.records.pushed",
    "search_id": "search_123",
    "partner_customer_id": "customer_123",
    "partner_user_id": "user_123",
    "selection": {"mode": "selected", "prospect_ids": ["5x5-person-123"], "filters": {}, "total_records": 1},
    "pushed_records": 1,
    "net_new_billable_records": 1,
    "already_purchased_records": 0,
    "data": [
        {
            "prospect_id": "5x5-person-123",
            "person_id": "person_123",
            "first_name": "Jane",
            "last_name": "Doe",
            "job_title": "VP Sales",
            "business_email": "jane@example.com",
            "mobile_phone": "+12085550123",
            "linkedin_url": "https://linkedin.com/in/janedoe",
            "company": {
                "company_id": "company_123",
                "name": "Example Inc",
                "domain": "example.com",
                "phone": "+12085550100",
                "linkedin_url": "https://linkedin.com/company/example",
                "revenue": 10000000,
                "employee_count": 42,
                "industry": "Software",
                "sic": "7372",
                "naics": "541511",
                "city": "Austin",
                "state": "TX",
            },
            "reveal_state": "purchased",
        }
    ],
}
"""The document's examples."""
KEYS, SESSIONS, SEARCHES = "/v1/prospecting/embed-keys", "/v1/prospecting/embed-sessions", "/v1/prospecting/sessions"


async def opened(world, token, q="CMOs", **more):
    return await world.call("POST", SEARCHES, {"q": q, **more}, authorization=token)


async def pushed(world, token, search_id, **body):
    return await world.call("POST", f"{SEARCHES}/{search_id}/push", body, authorization=token)


async def test_key_as_documented(world, shape):
    """Creating an embed key answers the documented example; a page's path is normalised to its origin."""
    asked = {
        "allowed_origins": ["https://partner.example/app/page?x=1"],
        "result_delivery_url": "https://partner.example/api/prospects",
        "result_delivery_cta": "Add to HubSpot",
        "csv_export_enabled": True,
    }
    answer = await world.call("POST", KEYS, asked)
    assert shape(answer) == shape(KEY)
    public = answer["public_key"]
    new = {"id": answer["embed_key"]["id"], "key_prefix": public[:17]}
    assert public.startswith("stib_embed_pk_")
    assert list(answer["embed_key"].items()) == list((KEY["embed_key"] | new).items())


async def test_key_defaults(world):
    """Without options a key is metered, pushes under "Push", exports no CSV and delivers nowhere."""
    answer = (await world.call("POST", KEYS, {"allowed_origins": ["https://partner.example"]}))["embed_key"]
    assert answer["result_delivery_url"] is None
    assert answer["result_delivery_cta"] == "Push"
    assert answer["csv_export_enabled"] is False
    assert answer["default_credit_enforcement_mode"] == "metered"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "allowed_origins is required"),
        ({"allowed_origins": []}, "allowed_origins: "),
        ({"allowed_origins": ["http://partner.example"]}, "allowed_origins.0: must be https"),
        (
            {"allowed_origins": ["https://a.example"], "result_delivery_url": "http://a.example"},
            "result_delivery_url: ",
        ),
        ({"allowed_origins": ["https://a.example"], "credit_enforcement_mode": "free"}, "credit_enforcement_mode: "),
    ],
)
async def test_key_refused(world, body, named):
    """A wrong embed key is a 400 whose JSON message names the field."""
    assert (await world.call("POST", KEYS, body, status=400))["message"].startswith(named)


async def test_session_as_documented(world, shape):
    """A bootstrap answers the documented example, and a customer keeps its id over sessions and keys."""
    key = await world.call("POST", KEYS, {"allowed_origins": ["https://partner.example"]})
    asked = {"partner_key": key["public_key"], "customer_id": "partner-customer-123", "user_id": "user_123"}
    first = await world.call("POST", SESSIONS, asked, origin="https://partner.example")
    second = await world.call("POST", SESSIONS, asked, origin="https://partner.example")
    assert shape(first) == shape(SESSION)
    assert list(first) == list(SESSION)
    assert first["expires_at"] == SESSION["expires_at"]
    assert first["external_customer_id"] == "partner-customer-123"
    assert first["partner_customer_id"] == second["partner_customer_id"]
    assert first["token"] != second["token"]


@pytest.mark.parametrize("origin", ["https://evil.example", "https://partner.example:444", "null"])
async def test_origin_is_checked(world, origin):
    """A bootstrap from an origin that the key does not list is refused; so is one with an unknown key."""
    key = await world.call("POST", KEYS, {"allowed_origins": ["https://partner.example"]})
    asked = {"partner_key": key["public_key"], "customer_id": "c"}
    assert list(await world.call("POST", SESSIONS, asked, status=403, origin=origin)) == ["message"]
    await world.call("POST", SESSIONS, asked, status=403)
    await world.call("POST", SESSIONS, asked | {"partner_key": "x"}, status=401, origin="https://partner.example")


async def test_push_headers(world, receiver):
    """A push carries exactly the documented headers, and beside them only what HTTP/1.1 demands."""
    token = await world.embed(receiver.url)
    search = await opened(world, token, limit=1)
    await pushed(world, token, search["search_id"], selection_mode="page")
    (got,) = receiver.got
    documented = [
        ("content-type", "application/json"),
        ("user-agent", "stibnite-prospecting/1.0"),
        ("stibnite-event-type", "prospecting.records.pushed"),
        ("stibnite-search-id", search["search_id"]),
    ]
    demanded = {"host", "content-length"}
    assert [pair for pair in got.headers if pair[0].lower() not in demanded] == documented
    assert len(got.headers) == 6


async def test_push_as_documented(world, receiver, shape):
    """A push sends the documented payload and answers the documented fields: same keys, order and types."""
    token = await world.embed(receiver.url, user_id="user_123")
    search = await opened(world, token, limit=50)
    full = None
    for preview in search["data"]:
        answer = await pushed(
            world, token, search["search_id"], selection_mode="selected", prospect_ids=[preview["prospect_id"]]
        )
        payload = json.loads(receiver.got[-1].body)
        if "mobile_phone" in payload["data"][0]:
            full = payload
            break
    assert json.dumps(shape(full)) == json.dumps(shape(PAYLOAD))
    assert json.dumps(shape(answer)) == json.dumps(shape(PUSHED))
    same = ("selection", "pushed_records", "net_new_billable_records", "already_purchased_records", "partner_user_id")
    wanted = PAYLOAD | {"selection": PAYLOAD["selection"] | {"prospect_ids": [preview["prospect_id"]]}}
    assert {key: full[key] for key in same} == {key: wanted[key] for key in same}
    assert answer["selection"] == {"mode": "selected", "prospect_ids": [preview["prospect_id"]]}
    assert (answer["delivered"], answer["delivery_status"]) == (True, 202)
    assert full["search_id"] == answer["search_id"] == search["search_id"]


async def test_modes(world, receiver):
    """`selected` pushes the ids, each once; `page` the loaded page; `all_results` everybody who was found."""
    token = await world.embed(receiver.url)
    search = await opened(world, token, "1200 CMOs", limit=40)
    ids = [preview["prospect_id"] for preview in search["data"]]
    assert len(ids) == 40
    for body, count in (
        ({"selection_mode": "selected", "prospect_ids": [ids[3], ids[1], ids[3]]}, 2),
        ({"selection_mode": "page", "prospect_ids": ids[:5]}, 5),
        ({"selection_mode": "page"}, 40),
        ({"selection_mode": "all_results"}, 1200),
    ):
        answer = await pushed(world, token, search["search_id"], **body)
        payload = json.loads(receiver.got[-1].body)
        assert answer["pushed_records"] == len(payload["data"]) == payload["selection"]["total_records"] == count
    first = json.loads(receiver.got[0].body)
    assert [record["prospect_id"] for record in first["data"]] == [ids[3], ids[1]]


async def test_applied_filters(world, receiver):
    """all_results pushes whom the refinement filters leave; an unknown filter is a 400."""
    token = await world.embed(receiver.url)
    search_id = (await opened(world, token))["search_id"]
    filters = {"company_state": ["ID", "TX"]}
    await pushed(world, token, search_id, selection_mode="all_results", applied_filters=filters)
    payload = json.loads(receiver.got[0].body)
    assert payload["selection"]["filters"] == filters
    assert {record["company"].get("state", "ID") for record in payload["data"]} == {"ID", "TX"}
    assert 0 < payload["pushed_records"] < 250
    body = {"selection_mode": "all_results", "applied_filters": {"shoe_size": 44}}
    await world.call("POST", f"{SEARCHES}/{search_id}/push", body, status=400, authorization=token)


async def test_owned_is_not_billed_again(world, receiver):
    """A customer pays for a person once, over sessions; another customer pays for itself."""
    token = await world.embed(receiver.url)
    for page, net_new in ((30, 30), (50, 20), (50, 0)):
        search = await opened(world, token, limit=page)
        answer = await pushed(world, token, search["search_id"], selection_mode="page")
        assert (answer["net_new_billable_records"], answer["already_purchased_records"]) == (net_new, page - net_new)
    assert {preview["reveal_state"] for preview in (await opened(world, token, limit=50))["data"]} == {"purchased"}
    other = await world.embed(receiver.url, customer="another")
    search = await opened(world, other, limit=30)
    assert {preview["reveal_state"] for preview in search["data"]} == {"preview"}
    assert (await pushed(world, other, search["search_id"], selection_mode="page"))["net_new_billable_records"] == 30
    assert (await world.call("GET", "/v1/usage"))["billable_records"] == 80


@pytest.mark.parametrize("status", [500, 503, 401, 307])
async def test_push_is_sent_once(world, receiver, status):
    """A push that is not taken is not tried again and not redirected: the user is told, and may press again free."""
    token = await world.embed(receiver.url)
    search = await opened(world, token, limit=3)
    receiver.statuses = [status]
    answer = await pushed(world, token, search["search_id"], selection_mode="page")
    assert (answer["delivered"], answer["delivery_status"], len(receiver.got)) == (False, status, 1)
    again = await pushed(world, token, search["search_id"], selection_mode="page")
    assert (again["delivered"], again["net_new_billable_records"]) == (True, 0)


async def test_push_without_an_answer(world, unused_tcp_port):
    """A receiver that is not there is delivered: false with status 0."""
    token = await world.embed(f"http://127.0.0.1:{unused_tcp_port}/")
    search = await opened(world, token)
    answer = await pushed(world, token, search["search_id"], selection_mode="page")
    assert (answer["delivered"], answer["delivery_status"]) == (False, 0)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"selection_mode": "everybody"},
        {"selection_mode": "selected"},
        {"selection_mode": "selected", "prospect_ids": []},
        {"selection_mode": "selected", "prospect_ids": ["5x5-person-0"]},
    ],
)
async def test_push_refused(world, receiver, body):
    """A wrong selection is a 400 with a JSON message; nothing is billed and nothing sent."""
    token = await world.embed(receiver.url)
    path = f"{SEARCHES}/{(await opened(world, token))['search_id']}/push"
    assert list(await world.call("POST", path, body, status=400, authorization=token)) == ["message"]
    assert receiver.got == []
    assert (await world.call("GET", "/v1/usage"))["billable_records"] == 0


async def test_push_needs_a_delivery_url(world):
    """Without a result_delivery_url there is nowhere to push to: 400."""
    token = await world.embed(None)
    path = f"{SEARCHES}/{(await opened(world, token))['search_id']}/push"
    await world.call("POST", path, {"selection_mode": "page"}, status=400, authorization=token)


async def test_embed_token_is_needed(world, receiver, clock):
    """Search and push take a live embed token of the session's own customer, never the API key."""
    token = await world.embed(receiver.url)
    path = f"{SEARCHES}/{(await opened(world, token))['search_id']}/push"
    for wrong in ("", "Bearer ", "Bearer x", f"Bearer {world.sandbox.api_key}", token.replace("Bearer", "Basic")):
        await world.call("POST", path, {"selection_mode": "page"}, status=401, authorization=wrong)
        await world.call("POST", SEARCHES, {"q": "CMOs"}, status=401, authorization=wrong)
    stranger = await world.embed(receiver.url, customer="another")
    await world.call("POST", path, {"selection_mode": "page"}, status=404, authorization=stranger)
    clock.now_s += 3_600
    await world.call("POST", path, {"selection_mode": "page"}, status=401, authorization=token)
    assert receiver.got == []


async def test_resend_push(world, receiver):
    """A resent push has the same bytes and headers."""
    token = await world.embed(receiver.url)
    search = await opened(world, token)
    await pushed(world, token, search["search_id"], selection_mode="page")
    assert await world.sandbox.resend(0) == 202
    assert receiver.got[0] == receiver.got[1]
    assert (world.sandbox.sent[0].kind, world.sandbox.sent[0].duplicates) == ("push", 1)


async def test_nothing_secret_in_the_record(world, receiver):
    """What was sent can be printed: no URL with its token, no body, no secret."""
    token = await world.embed(receiver.url)
    search = await opened(world, token)
    await pushed(world, token, search["search_id"], selection_mode="page")
    text = repr(world.sandbox.sent)
    assert receiver.url not in text
    assert "example.com" not in text
