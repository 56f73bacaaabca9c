"""Points 1 and 2: keys, scopes, versions and the admin's rules."""

import pytest

from stibgate.sandbox.hubspot import ALL_SCOPES, Condition

UPSERT = "/crm/objects/{v}/contacts/batch/upsert"


@pytest.mark.parametrize("sent", ["", "Bearer pat-na1-wrong", "pat-na1-wrong"])
async def test_a_request_without_the_key_is_a_401(one_desk, sent):
    """No other key opens the account, and nothing of its limits is spent."""
    got = await one_desk.call("GET", "/account-info/{v}/details", status=401, Authorization=sent)
    assert got.body["category"] == "INVALID_AUTHENTICATION"
    assert got.body["status"] == "error"
    assert got.body["correlationId"] == got.headers["X-HubSpot-Correlation-Id"]


async def test_the_key_looks_like_a_private_apps_and_follows_the_seed(make_desk):
    """One seed is one key, in the shape that a redaction filter knows."""
    one, same, other = [await make_desk(keys=False, seed=seed) for seed in (1, 1, 2)]
    assert one.sandbox.token.startswith("pat-na1-")
    assert one.sandbox.token == same.sandbox.token != other.sandbox.token


@pytest.mark.parametrize(
    ("method", "path", "body", "scope"),
    [
        ("POST", UPSERT, {"inputs": []}, "crm.objects.contacts.write"),
        ("POST", "/crm/objects/{v}/companies/batch/read", {"inputs": []}, "crm.objects.companies.read"),
        ("POST", "/crm/objects/{v}/companies/search", {}, "crm.objects.companies.read"),
        ("POST", "/crm/properties/{v}/contacts", {}, "crm.schemas.contacts.write"),
        ("GET", "/crm/owners/{v}", None, "crm.objects.owners.read"),
        ("POST", "/crm/associations/{v}/contacts/companies/batch/associate/default", {"inputs": []},
         "crm.objects.contacts.write"),
    ],
)  # fmt: skip
async def test_a_missing_scope_is_a_403_that_names_it(make_desk, method, path, body, scope):
    """The body says which scope the key would need, before it looks at what was sent."""
    desk = await make_desk(keys=False, scopes=ALL_SCOPES - {scope})
    got = await desk.call(method, path, body, status=403)
    assert got.body["category"] == "MISSING_SCOPES"
    assert got.body["errors"][0]["context"]["requiredGranularScopes"] == [scope]


async def test_properties_can_be_read_with_the_object_scope_alone(make_desk):
    """A key that may not touch schemas can still look at what an admin made by hand."""
    desk = await make_desk(keys=False, scopes=ALL_SCOPES - {"crm.schemas.contacts.read", "crm.schemas.contacts.write"})
    body = {"archived": False, "inputs": [{"name": "email"}]}
    answer = await desk.post("/crm/properties/{v}/contacts/batch/read", body)
    assert [each["name"] for each in answer["results"]] == ["email"]


@pytest.mark.parametrize("path", ["/crm/v3/objects/contacts/batch/upsert", "/crm/objects/2025-09/contacts/batch/upsert",
                                  "/crm/objects/{v}/people/batch/upsert", "/nowhere"])  # fmt: skip
async def test_other_versions_and_paths_are_a_404(one_desk, path):
    """Only the two date versions are served; the answer is JSON."""
    got = await one_desk.call("POST", path, {"inputs": []}, status=404)
    assert got.body["status"] == "error"


async def test_the_wrong_method_is_a_405(desk):
    """A path answers to its own method only."""
    got = await desk.call("GET", UPSERT, status=405)
    assert got.body["status"] == "error"


async def test_objects_go_by_name_or_by_number(desk, person):
    """`0-1` is contacts."""
    await desk.post("/crm/objects/{v}/0-1/batch/upsert", {"inputs": [person("p1")]})
    assert [each["properties"]["stibnite_person_id"] for each in desk.sandbox.contacts()] == ["p1"]


@pytest.mark.parametrize("raw", [b"{", b"[1]", b'{"inputs": NaN}', b""])
async def test_a_body_that_is_not_the_documented_json_is_a_400(one_desk, raw):
    """Broken JSON, another shape and nothing at all are refused alike."""
    headers = {"Authorization": f"Bearer {one_desk.sandbox.token}", "Content-Type": "application/json"}
    url = one_desk.url + UPSERT.replace("{v}", one_desk.version)
    async with one_desk.http.post(url, data=raw, headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["category"] == "VALIDATION_ERROR"


async def test_a_body_of_another_type_is_a_415(desk):
    """JSON has to say that it is JSON."""
    headers = {"Authorization": f"Bearer {desk.sandbox.token}", "Content-Type": "text/plain"}
    async with desk.http.post(desk.url + UPSERT.replace("{v}", desk.version), data=b"{}", headers=headers) as response:
        assert response.status == 415


async def test_the_admins_required_properties_bind_the_newer_version_only(make_desk, person):
    """A sparse new record is a MISSING_REQUIRED_PROPERTY under 2026-09, and fine under 2026-03."""
    desk = await make_desk(required={"contacts": ("jobtitle",)})
    desk.version = "2026-09"
    got = await desk.batch("contacts", "upsert", [person("p1")], status=400)
    assert [(each["code"], each["context"]["propertyName"]) for each in got["errors"]] == [
        ("MISSING_REQUIRED_PROPERTY", ["jobtitle"])
    ]
    desk.version = "2026-03"
    await desk.person("p1")
    desk.version = "2026-09"
    await desk.person("p1", lastname="Lee")
    got = await desk.batch("contacts", "upsert", [person("p1", jobtitle="")], status=400)
    assert got["errors"][0]["code"] == "MISSING_REQUIRED_PROPERTY"


async def test_the_admins_conditional_rules_bind_every_write_of_the_newer_version(make_desk, firm):
    """What a value makes necessary must be on the record after the write, by whichever write."""
    rule = Condition("companies", "type", "PARTNER", "phone")
    desk = await make_desk(version="2026-09", conditional=(rule,))
    await desk.firm("c1", name="Acme", type="VENDOR")
    got = await desk.batch("companies", "upsert", [firm("c1", "0", type="PARTNER")], status=207)
    assert "MISSING_CONDITIONAL_REQUIRED_PROPERTY" in got["errors"][0]["message"]
    await desk.firm("c1", phone="+12085550101")
    await desk.firm("c1", type="PARTNER")
