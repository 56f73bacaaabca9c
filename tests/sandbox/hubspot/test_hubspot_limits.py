"""Point 12: the rolling window, the day, their headers, the account's information."""

from datetime import UTC, datetime

from stibgate.domain.instant import from_rfc3339

DETAILS = "/account-info/{v}/details"


async def test_the_window_rolls(make_desk, clock):
    """The first request leaves after exactly ten seconds, and makes room for one."""
    desk = await make_desk(keys=False, limit_ten_s=10)
    for _ in range(10):
        await desk.get(DETAILS)
        clock.now_s += 0.5
    got = await desk.call("GET", DETAILS, status=429)
    assert "category" not in got.body
    assert got.body["policyName"] == "TEN_SECONDLY_ROLLING"
    assert got.body["message"] == "You have reached your ten_secondly_rolling limit."
    assert got.body["errorType"] == "RATE_LIMIT"
    assert got.body["requestId"]
    assert got.headers["X-HubSpot-RateLimit-Remaining"] == "0"
    assert "Retry-After" not in got.headers
    clock.now_s += 4.999
    await desk.get(DETAILS, status=429)
    clock.now_s += 0.001
    await desk.get(DETAILS, status=200)
    await desk.get(DETAILS, status=429)


async def test_headers_tell_what_is_left(make_desk):
    """Maximum, remaining, interval and the day."""
    desk = await make_desk(keys=False)
    await desk.get(DETAILS)
    got = await desk.call("GET", DETAILS)
    told = {name.removeprefix("X-HubSpot-RateLimit-"): value for name, value in got.headers.items()}
    assert (told["Max"], told["Remaining"], told["Interval-Milliseconds"]) == ("190", "188", "10000")
    assert (told["Daily"], told["Daily-Remaining"]) == ("625000", "624998")
    silent = await make_desk(keys=False, send_rate_headers=False)
    got = await silent.call("GET", DETAILS)
    assert not [name for name in got.headers if "RateLimit" in name]


async def test_the_day_ends_at_midnight_of_the_account(make_desk, clock):
    """The quota is whole again then, and not before."""
    desk = await make_desk(keys=False, limit_daily=3, time_zone="Asia/Tokyo")
    for _ in range(3):
        await desk.get(DETAILS)
    got = await desk.call("GET", DETAILS, status=429)
    assert (got.body["policyName"], got.body["message"]) == ("DAILY", "You have reached your daily limit.")
    midnight = datetime(2026, 5, 18, 15, tzinfo=UTC).timestamp()
    clock.now_s = midnight - 0.001
    await desk.get(DETAILS, status=429)
    clock.now_s = midnight
    got = await desk.call("GET", DETAILS, status=200)
    assert got.headers["X-HubSpot-RateLimit-Daily-Remaining"] == "2"


async def test_usage_is_what_was_counted(make_desk, clock):
    """Searches count for the day; refused requests do not; the reset is told."""
    desk = await make_desk(keys=False, limit_search_s=1)
    await desk.post("/crm/objects/{v}/contacts/search", {})
    await desk.post("/crm/objects/{v}/contacts/search", {}, status=429)
    await desk.call("GET", DETAILS, status=401, Authorization="Bearer no")
    usage = (await desk.get("/account-info/{v}/api-usage/daily/private-apps"))["results"][0]
    assert (usage["currentUsage"], usage["usageLimit"], usage["fetchStatus"]) == (2, 625_000, "SUCCESS")
    assert from_rfc3339(usage["resetsAt"]) == datetime(2026, 5, 18, 4, tzinfo=UTC).timestamp() * 1000


async def test_details_tell_zone_and_currency(make_desk):
    """With the offset that holds on the clock's day."""
    desk = await make_desk(keys=False, company_currency="EUR", portal_id=99)
    got = await desk.get(DETAILS)
    assert (got["portalId"], got["companyCurrency"], got["timeZone"]) == (99, "EUR", "America/New_York")
    assert (got["utcOffset"], got["utcOffsetMilliseconds"]) == ("-04:00", -4 * 3_600_000)


async def test_owners_are_paged_and_found_by_e_mail(make_desk):
    """Each once; an owner's id is a value of `hubspot_owner_id`."""
    desk = await make_desk(owners={f"rep{i}@example.com": str(100 + i) for i in range(5)})
    seen: list[str] = []
    after = ""
    while True:
        page = await desk.get(f"/crm/owners/{{v}}?limit=2{after}")
        seen += [each["email"] for each in page["results"]]
        if "paging" not in page:
            break
        after = f"&after={page['paging']['next']['after']}"
    assert seen == [f"rep{i}@example.com" for i in range(5)]
    (owner,) = (await desk.get("/crm/owners/{v}?email=REP3@example.com"))["results"]
    assert owner["id"] == "103"
    assert (await desk.get("/crm/owners/{v}/103"))["email"] == "rep3@example.com"
    await desk.get("/crm/owners/{v}/999", status=404)
    await desk.get("/crm/owners/{v}?limit=0", status=400)
    contact = await desk.person("p1", firstname="Jo", hubspot_owner_id="103")
    assert await desk.value("contacts", contact, "hubspot_owner_id") == "103"


async def test_the_keys_information(make_desk):
    """Account and scopes, without a limit spent; another key is not known."""
    desk = await make_desk(keys=False, scopes=frozenset({"oauth"}))
    path = "/oauth/v2/private-apps/get/access-token-info"
    got = await desk.post(path, {"tokenKey": desk.sandbox.token})
    assert (got["hubId"], got["scopes"]) == (48_151_623, ["oauth"])
    await desk.post(path, {"tokenKey": "pat-na1-other"}, status=401)
