"""Points 9 and 10: reading by id and by key, lists, archive, merge."""

import pytest


async def test_a_requested_property_is_always_there(desk):
    """Null without a value, left out when there is no such property."""
    contact = await desk.person("p1", firstname="Jo")
    got = await desk.batch("contacts", "read", [{"id": contact}], properties=["firstname", "city", "nowhere"])
    kept = got["results"][0]["properties"]
    assert (kept["firstname"], kept["city"], "nowhere" in kept) == ("Jo", None, False)
    assert kept["hs_object_id"] == got["results"][0]["id"] == contact
    assert {"createdate", "lastmodifieddate"} <= kept.keys()


async def test_nothing_asked_for_is_the_usual_properties(desk):
    """And not our own."""
    contact = await desk.person("p1")
    got = await desk.batch("contacts", "read", [{"id": contact}])
    usual = {"createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"}
    assert got["results"][0]["properties"].keys() == usual


@pytest.mark.parametrize("key", ["email", "stibnite_person_id"])
async def test_reading_by_a_key(one_desk, key):
    """Without regard to the case of an e-mail; what is not there is one error of a 207."""
    contact = await one_desk.person("p1", email="jo@example.com")
    asked = "JO@example.com" if key == "email" else "p1"
    got = await one_desk.batch("contacts", "read", [{"id": asked}, {"id": "nobody"}], idProperty=key, status=207)
    assert [each["id"] for each in got["results"]] == [contact]
    assert got["numErrors"] == 1
    assert got["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert got["errors"][0]["context"]["ids"] == ["nobody"]
    assert "CONTACT objects" in got["errors"][0]["message"]


async def test_reading_by_what_is_not_unique_is_a_400(desk):
    """As writing is."""
    await desk.batch("companies", "read", [{"id": "acme.example.com"}], idProperty="domain", status=400)


async def test_reading_duplicates_is_a_400(desk):
    """As writing is."""
    got = await desk.batch("contacts", "read", [{"id": "1"}, {"id": "1"}], status=400)
    assert got["context"]["ids"] == ["1"]


async def test_reads_come_in_another_order(desk, person):
    """A client that maps results by position is wrong."""
    await desk.batch("contacts", "upsert", [person(f"p{i}") for i in range(30)])
    asked = [{"id": f"p{i}"} for i in range(30)]
    got = await desk.batch(
        "contacts", "read", asked, idProperty="stibnite_person_id", properties=["stibnite_person_id"]
    )
    keys = [each["properties"]["stibnite_person_id"] for each in got["results"]]
    assert keys != [each["id"] for each in asked]
    assert sorted(keys) == sorted(each["id"] for each in asked)


async def test_history_is_read_50_at_a_time(desk, person, clock):
    """Newest first; 51 inputs are a 400 that says so."""
    contact = await desk.person("p1", firstname="Jo")
    clock.now_s += 1
    await desk.person("p1", firstname="Jordan")
    got = await desk.batch("contacts", "read", [{"id": contact}], propertiesWithHistory=["firstname"])
    values = got["results"][0]["propertiesWithHistory"]["firstname"]
    assert [each["value"] for each in values] == ["Jordan", "Jo"]
    assert values[0]["timestamp"] > values[1]["timestamp"]
    many = [{"id": str(i)} for i in range(51)]
    got = await desk.batch("contacts", "read", many, propertiesWithHistory=["firstname"], status=400)
    assert "property histories is 50" in got["message"]


async def test_the_list_pages_through_everything(desk, person):
    """Each record once, oldest first, with what was asked for."""
    await desk.batch("contacts", "upsert", [person(f"p{i}") for i in range(25)])
    seen: list[str] = []
    after = ""
    while True:
        page = await desk.get(f"/crm/objects/{{v}}/contacts?limit=10&properties=stibnite_person_id,city{after}")
        seen += [each["properties"]["stibnite_person_id"] for each in page["results"]]
        if "paging" not in page:
            break
        after = f"&after={page['paging']['next']['after']}"
    assert seen == [f"p{i}" for i in range(25)]
    await desk.get("/crm/objects/{v}/contacts?after=x", status=400)
    await desk.get("/crm/objects/{v}/contacts?limit=none", status=400)


async def test_a_record_is_shown_with_its_associations(desk):
    """The unlabelled type for each company, and the primary one for the first."""
    contact = await desk.person("p1")
    first, second = await desk.firm("c1"), await desk.firm("c2")
    for company in (first, second):
        pair = {"from": {"id": contact}, "to": {"id": company}}
        await desk.post("/crm/associations/{v}/contacts/companies/batch/associate/default", {"inputs": [pair]})
    got = await desk.get(f"/crm/objects/{{v}}/contacts/{contact}?associations=companies")
    assert got["associations"]["companies"]["results"] == [
        {"id": first, "type": "contact_to_company_unlabeled"},
        {"id": first, "type": "contact_to_company"},
        {"id": second, "type": "contact_to_company_unlabeled"},
    ]
    await desk.get("/crm/objects/{v}/contacts/404", status=404)


async def test_an_archived_record_is_gone_and_its_keys_are_free(desk):
    """204; no read, list or update finds it, a read of archived ones does; its e-mail makes a new contact."""
    contact = await desk.person("p1", email="jo@example.com")
    await desk.call("DELETE", f"/crm/objects/{{v}}/contacts/{contact}", status=204)
    await desk.batch("contacts", "read", [{"id": contact}], status=207)
    await desk.batch("contacts", "update", [{"id": contact, "properties": {"city": "Boise"}}], status=404)
    assert (await desk.get("/crm/objects/{v}/contacts"))["results"] == []
    archived = "/crm/objects/{v}/contacts/batch/read?archived=true"
    got = await desk.post(archived, {"inputs": [{"id": contact}]})
    assert got["results"][0]["archived"] is True
    assert await desk.person("p1", email="jo@example.com") != contact


async def test_merging_makes_a_new_record_that_both_old_ids_find(desk):
    """The primary's values win, the other's fill its holes, both e-mails stay taken, associations follow."""
    one = await desk.person("p1", email="a@example.com", city="Boise")
    two = await desk.person("p2", email="b@example.com", city="Austin", jobtitle="CEO")
    company = await desk.firm("c1")
    pair = {"from": {"id": two}, "to": {"id": company}}
    await desk.post("/crm/associations/{v}/contacts/companies/batch/associate/default", {"inputs": [pair]})
    merged = await desk.post("/crm/objects/{v}/contacts/merge", {"primaryObjectId": one, "objectIdToMerge": two})
    assert merged["id"] not in {one, two}
    assert desk.sandbox.associations() == {(merged["id"], company)}
    for old in (one, two):
        got = await desk.batch("contacts", "read", [{"id": old}], properties=["city", "jobtitle", "stibnite_person_id"])
        assert got["results"][0]["id"] == merged["id"]
        kept = got["results"][0]["properties"]
        assert (kept["city"], kept["jobtitle"], kept["stibnite_person_id"]) == ("Boise", "CEO", "p1")
    got = await desk.batch("contacts", "update", [{"id": two, "properties": {"city": "Miami"}}])
    assert got["results"][0]["id"] == merged["id"]
    both = [{"id": old, "properties": {"city": "Miami"}} for old in (one, two)]
    await desk.batch("contacts", "update", both, status=400)
    await desk.post("/crm/objects/{v}/contacts/merge", {"primaryObjectId": one, "objectIdToMerge": two}, status=400)


async def test_an_additional_e_mail_is_taken_and_finds_its_contact(desk, person):
    """After a merge the other's e-mail conflicts, reads and upserts as an identifier of the merged record."""
    one, two = await desk.person("p1", email="a@example.com"), await desk.person("p2", email="b@example.com")
    merged = await desk.post("/crm/objects/{v}/contacts/merge", {"primaryObjectId": one, "objectIdToMerge": two})
    assert await desk.value("contacts", merged["id"], "hs_additional_emails") == "b@example.com"
    got = await desk.batch("contacts", "upsert", [person("p3", "0", email="b@example.com")], status=207)
    assert got["errors"][0]["context"]["existingId"] == [merged["id"]]
    got = await desk.batch("contacts", "read", [{"id": "b@example.com"}], idProperty="email")
    assert got["results"][0]["id"] == merged["id"]
    both = [{"id": email, "idProperty": "email", "properties": {}} for email in ("a@example.com", "b@example.com")]
    await desk.batch("contacts", "upsert", both, status=400)
