"""Point 3: property definitions and groups."""

import pytest


async def test_a_property_is_created_once(desk):
    """The second creation is a 409 with the sub-category that clients look for."""
    await desk.property("contacts", "stibnite_sic")
    got = await desk.property("contacts", "stibnite_sic", status=409)
    assert (got["category"], got["subCategory"]) == (
        "OBJECT_ALREADY_EXISTS", "Properties.PROPERTY_WITH_NAME_EXISTS",
    )  # fmt: skip


async def test_an_archived_name_comes_back_as_it_was(desk):
    """201 says nothing about uniqueness: the old definition is restored, whatever the new one asked for."""
    await desk.property("contacts", "code", hasUniqueValue=False)
    await desk.call("DELETE", "/crm/properties/{v}/contacts/code", status=204)
    await desk.get("/crm/properties/{v}/contacts/code", status=404)
    got = await desk.property("contacts", "code", hasUniqueValue=True, label="New")
    assert (got["hasUniqueValue"], got["label"], got["archived"]) == (False, "code", False)


async def test_at_most_ten_properties_have_unique_values(desk):
    """The eleventh is refused; HubSpot's own record id does not count."""
    for i in range(9):
        await desk.property("contacts", f"key_{i}", hasUniqueValue=True)
    got = await desk.property("contacts", "key_9", status=400, hasUniqueValue=True)
    assert got["category"] == "VALIDATION_ERROR"
    await desk.property("companies", "key_9", hasUniqueValue=True)


@pytest.mark.parametrize("wrong", [
    {"name": "Upper"}, {"name": "1st"}, {"name": "a" * 101}, {"type": "text"}, {"fieldType": "number"},
    {"groupName": "nowhere"}, {"unique": True}, {"type": "enumeration", "fieldType": "select"}, {"label": None},
])  # fmt: skip
async def test_a_definition_that_makes_no_sense_is_a_400(one_desk, wrong):
    """Names, types, groups and members are checked, and nothing is created."""
    before = await one_desk.get("/crm/properties/{v}/contacts")
    asked = {"name": "fine", "label": "x", "type": "string", "fieldType": "text", "groupName": "contactinformation"}
    await one_desk.post("/crm/properties/{v}/contacts", asked | wrong, status=400)
    assert await one_desk.get("/crm/properties/{v}/contacts") == before


async def test_batch_read_answers_207_for_names_that_are_not_there(desk):
    """What is known comes, what is not is listed, and `archived` may not be left out."""
    path = "/crm/properties/{v}/companies/batch/read"
    asked = {"archived": False, "inputs": [{"name": "industry"}, {"name": "nowhere"}]}
    got = await desk.post(path, asked, status=207)
    assert [each["name"] for each in got["results"]] == ["industry"]
    assert (got["numErrors"], got["errors"][0]["category"]) == (1, "OBJECT_NOT_FOUND")
    await desk.post(path, {"inputs": [{"name": "industry"}]}, status=400)


async def test_definitions_say_what_a_client_must_know(desk):
    """Types, internal option values, read-only values and uniqueness are in the definition; the e-mail's is not."""
    companies = {each["name"]: each for each in (await desk.get("/crm/properties/{v}/companies"))["results"]}
    contacts = {each["name"]: each for each in (await desk.get("/crm/properties/{v}/contacts"))["results"]}
    assert (companies["industry"]["type"], companies["annualrevenue"]["type"]) == ("enumeration", "number")
    assert "COMPUTER_SOFTWARE" in {option["value"] for option in companies["industry"]["options"]}
    assert len(companies["industry"]["options"]) > 140
    assert contacts["createdate"]["modificationMetadata"]["readOnlyValue"] is True
    assert contacts["stibnite_person_id"]["hasUniqueValue"] is True
    assert contacts["email"]["hasUniqueValue"] is False


async def test_groups_are_created_once_and_needed(desk):
    """A group exists before its properties do."""
    path = "/crm/properties/{v}/contacts/groups"
    await desk.property("contacts", "early", groupName="stibnite", status=400)
    await desk.post(path, {"name": "stibnite", "label": "Stibnite"}, status=201)
    await desk.post(path, {"name": "stibnite", "label": "Stibnite"}, status=409)
    assert {each["name"] for each in (await desk.get(path))["results"]} == {"contactinformation", "stibnite"}
    await desk.property("contacts", "early", groupName="stibnite")


async def test_a_batch_of_properties_is_created_whole_or_not_at_all(desk):
    """One taken name leaves none of the batch behind."""
    new = {"label": "x", "type": "string", "fieldType": "text", "groupName": "contactinformation"}
    path = "/crm/properties/{v}/contacts/batch/create"
    await desk.post(path, {"inputs": [new | {"name": "one"}, new | {"name": "email"}]}, status=409)
    await desk.get("/crm/properties/{v}/contacts/one", status=404)
    await desk.post(path, {"inputs": [new | {"name": "one"}, new | {"name": "two"}]}, status=201)
    await desk.get("/crm/properties/{v}/contacts/two")


async def test_hubspots_own_properties_cannot_be_archived(desk):
    """`email` stays."""
    await desk.call("DELETE", "/crm/properties/{v}/contacts/email", status=400)
