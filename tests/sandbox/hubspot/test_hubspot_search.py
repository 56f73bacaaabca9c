"""Point 11: search."""

import pytest

PATH = "/crm/objects/{v}/companies/search"


def by_domain(*domains: str, **more) -> dict:
    filters = [{"propertyName": "domain", "operator": "IN", "values": list(domains)}]
    return {
        "filterGroups": [{"filters": filters}],
        "properties": ["domain"],
        "limit": 200,
        "after": "0",
        "sorts": [],
    } | more


async def test_a_change_is_found_when_the_index_has_caught_up(desk, clock):
    """Three seconds by default: until then a new record is not there, and a changed one is as it was."""
    await desk.firm("c1", domain="acme.example.com")
    assert (await desk.post(PATH, by_domain("acme.example.com")))["total"] == 0
    clock.now_s += 3
    assert (await desk.post(PATH, by_domain("acme.example.com")))["total"] == 1
    await desk.firm("c1", domain="new.example.com")
    assert (await desk.post(PATH, by_domain("new.example.com")))["total"] == 0
    got = await desk.post(PATH, by_domain("acme.example.com"))
    assert got["results"][0]["properties"]["domain"] == "acme.example.com"
    clock.now_s += 3
    assert (await desk.post(PATH, by_domain("acme.example.com")))["total"] == 0


async def test_operands_of_in_must_be_in_lower_case(desk, clock):
    """The record's own case does not matter, the operand's does; EQ does not care."""
    await desk.firm("c1", domain="Acme.example.com")
    clock.now_s += 3
    assert (await desk.post(PATH, by_domain("acme.example.com")))["total"] == 1
    assert (await desk.post(PATH, by_domain("Acme.example.com")))["total"] == 0
    equal = [{"propertyName": "domain", "operator": "EQ", "value": "ACME.example.com"}]
    assert (await desk.post(PATH, {"filterGroups": [{"filters": equal}]}))["total"] == 1


async def test_one_domain_may_find_several_and_pages(desk, firm, clock):
    """Everything comes once, over `paging.next.after`."""
    await desk.batch("companies", "upsert", [firm(f"c{i}", domain="acme.example.com") for i in range(5)])
    clock.now_s += 3
    seen: list[str] = []
    after = "0"
    while after:
        got = await desk.post(PATH, by_domain("acme.example.com", limit=2, after=after))
        assert got["total"] == 5
        seen += [each["id"] for each in got["results"]]
        after = got.get("paging", {}).get("next", {}).get("after")
    assert seen == [each["id"] for each in desk.sandbox.companies()]


async def test_archived_records_are_not_found(desk, clock):
    """At once, and also when they were not indexed yet."""
    one, two = await desk.firm("c1", domain="acme.example.com"), await desk.firm("c2", domain="acme.example.com")
    clock.now_s += 3
    assert (await desk.post(PATH, by_domain("acme.example.com")))["total"] == 2
    await desk.call("DELETE", f"/crm/objects/{{v}}/companies/{one}", status=204)
    got = await desk.post(PATH, by_domain("acme.example.com"))
    assert [each["id"] for each in got["results"]] == [two]
    three = await desk.firm("c3", domain="acme.example.com")
    await desk.call("DELETE", f"/crm/objects/{{v}}/companies/{three}", status=204)
    clock.now_s += 3
    assert (await desk.post(PATH, by_domain("acme.example.com")))["total"] == 1


@pytest.mark.parametrize(("operator", "operand", "found"), [
    ("GT", {"value": "9"}, ["c2"]), ("GTE", {"value": "9"}, ["c1", "c2"]), ("LT", {"value": "10"}, ["c1"]),
    ("LTE", {"value": "10"}, ["c1", "c2"]), ("BETWEEN", {"value": "1", "highValue": "9"}, ["c1"]),
    ("EQ", {"value": "9"}, ["c1"]), ("NEQ", {"value": "9"}, ["c2", "c3"]), ("HAS_PROPERTY", {}, ["c1", "c2"]),
    ("NOT_HAS_PROPERTY", {}, ["c3"]), ("IN", {"values": ["9"]}, ["c1"]), ("NOT_IN", {"values": ["9"]}, ["c2", "c3"]),
])  # fmt: skip
async def test_operators(one_desk, firm, clock, operator, operand, found):
    """Numbers compare as numbers."""
    await one_desk.batch("companies", "upsert", [
        firm("c1", name="A", numberofemployees="9"), firm("c2", name="B", numberofemployees="10"), firm("c3", name="C"),
    ])  # fmt: skip
    clock.now_s += 3
    filters = [{"propertyName": "numberofemployees", "operator": operator, **operand}]
    asked = {"filterGroups": [{"filters": filters}], "properties": ["stibnite_company_id"], "sorts": ["name"]}
    got = await one_desk.post(PATH, asked)
    assert [each["properties"]["stibnite_company_id"] for each in got["results"]] == found


async def test_words_sorts_and_groups(desk, firm, clock):
    """One group suffices, all of its filters are needed; words are looked for in every value."""
    await desk.batch("companies", "upsert", [firm("c1", name="Acme Labs", city="Boise"), firm("c2", name="Bolt Labs")])
    clock.now_s += 3
    token = {"propertyName": "name", "operator": "CONTAINS_TOKEN", "value": "labs"}
    boise = {"propertyName": "city", "operator": "HAS_PROPERTY"}
    no_token = {"propertyName": "name", "operator": "NOT_CONTAINS_TOKEN", "value": "labs"}
    for groups, total in (([[token]], 2), ([[token, boise]], 1), ([[no_token], [boise]], 1), ([[no_token]], 0)):
        got = await desk.post(PATH, {"filterGroups": [{"filters": filters} for filters in groups]})
        assert got["total"] == total
    backward = {"propertyName": "name", "direction": "DESCENDING"}
    clock.now_s += 3
    got = await desk.post(PATH, {"query": "LABS", "sorts": [backward], "properties": ["name"]})
    assert [each["properties"]["name"] for each in got["results"]] == ["Bolt Labs", "Acme Labs"]


FILTER = {"propertyName": "name", "operator": "HAS_PROPERTY"}


@pytest.mark.parametrize(("wrong", "said"), [
    ({"limit": 201}, "200"),
    ({"limit": 200, "after": "9900"}, "10000"),
    ({"after": "next"}, "after"),
    ({"filterGroups": [{"filters": [FILTER]}] * 6}, "too many filterGroups (count: 6, max allowed: 5)"),
    ({"filterGroups": [{"filters": [FILTER] * 7}]}, "filters"),
    ({"filterGroups": [{"filters": [FILTER] * 4}] * 5}, "too many filters"),
    ({"filterGroups": [{"filters": [FILTER | {"propertyName": "nowhere"}]}]}, "nowhere"),
    ({"filterGroups": [{"filters": [FILTER | {"operator": "LIKE"}]}]}, "operator"),
    ({"filterGroups": [{"filters": [FILTER | {"operator": "IN"}]}]}, "values"),
    ({"filterGroups": [{"filters": [FILTER | {"operator": "IN", "values": ["x"] * 101}]}]}, "100"),
    ({"filterGroups": [{"filters": [FILTER | {"operator": "EQ"}]}]}, "value"),
    ({"query": "x" * 3_001}, "3000"),
    ({"propertyNames": ["name"]}, "propertyNames"),
])  # fmt: skip
async def test_a_search_beyond_its_bounds_is_a_400(one_desk, wrong, said):
    """Each bound says what it is."""
    got = await one_desk.post(PATH, wrong, status=400)
    assert said in got["message"]


async def test_five_searches_a_second(desk, clock):
    """The sixth is a 429 of its own policy; none of them has rate headers; others are not held up."""
    for _ in range(5):
        got = await desk.call("POST", PATH, {}, status=200)
        assert not [name for name in got.headers if name.lower().startswith("x-hubspot-ratelimit")]
    got = await desk.call("POST", PATH, {}, status=429)
    assert got.body["policyName"] == "SECONDLY"
    assert got.body["message"] == "You have reached your secondly limit."
    assert not [name for name in got.headers if name.lower().startswith("x-hubspot-ratelimit")]
    await desk.get("/account-info/{v}/details")
    clock.now_s += 1
    await desk.call("POST", PATH, {}, status=200)
