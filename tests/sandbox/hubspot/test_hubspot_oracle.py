"""The official client as an independent witness: what it sends is understood, what it gets has the declared shape.

It was generated from the vendor's documents for 2026-03 and validates strictly here; it refuses a null property value,
which the real service sends, so the rows it reads are whole ones.
"""

import httpx
import pytest

hubspot_sdk = pytest.importorskip("hubspot_sdk")

USUAL = ["createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"]
WHOLE = {"email": "jo@example.com", "firstname": "Jo", "lastname": "Lee"}


@pytest.fixture
async def portal(make_desk):
    return await make_desk(owners={f"rep{i}@example.com": str(100 + i) for i in range(3)})


@pytest.fixture
async def client(portal):
    async with hubspot_sdk.AsyncHubSpot(
        access_token=portal.sandbox.token, base_url=portal.url, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture
def contacts(client):
    return client.crm.objects.contacts


def upsert(key: str, **more) -> dict:
    return {"id": key, "id_property": "stibnite_person_id", "properties": WHOLE, **more}


async def test_upsert_read_and_update(portal, contacts):
    """Ids, times, `new` and properties have their declared types; the same request twice makes one contact."""
    first = await contacts.batch.upsert(inputs=[upsert("p1")])
    again = await contacts.batch.upsert(inputs=[upsert("p1", object_write_trace_id="t1")])
    assert (first.results[0].new, again.results[0].new) == (True, False)
    record_id = first.results[0].id
    read = await contacts.batch.get(
        inputs=[{"id": "p1"}], id_property="stibnite_person_id", properties=USUAL, properties_with_history=["email"]
    )
    assert read.results[0].properties["email"] == "jo@example.com"
    assert read.results[0].properties_with_history["email"][-1].value == "jo@example.com"
    updated = await contacts.batch.update(inputs=[{"id": record_id, "properties": {"city": "Boise"}}])
    assert updated.results[0].properties["city"] == "Boise"
    assert len(portal.sandbox.contacts()) == 1


async def test_create_get_merge_and_archive(portal, client, contacts):
    """Inline associations, single reads, and what merging and archiving do to them."""
    companies = client.crm.objects.companies
    firm = await companies.batch.create(inputs=[{"properties": {"name": "Acme", "domain": "acme.example.com"},
                                                 "associations": []}])  # fmt: skip
    types = [{"association_category": "HUBSPOT_DEFINED", "association_type_id": 279}]
    link = [{"to": {"id": firm.results[0].id}, "types": types}]
    made = await contacts.batch.create(inputs=[{"properties": WHOLE, "associations": link}])
    got = await contacts.get(made.results[0].id, associations=["companies"], properties=USUAL)
    assert got.associations["companies"].results[0].id == firm.results[0].id
    other = await contacts.batch.upsert(inputs=[upsert("p2") | {"properties": {"firstname": "Al", "lastname": "Lee"}}])
    merged = await contacts.merge(object_id_to_merge=other.results[0].id, primary_object_id=made.results[0].id)
    await contacts.delete(merged.id)
    assert portal.sandbox.contacts() == []


async def test_a_207_reaches_it_with_its_errors(contacts):
    """The client has no class for it; the errors are there as they were sent."""
    answer = await contacts.batch.upsert(
        inputs=[
            upsert("p1", object_write_trace_id="0"),
            upsert("p2", object_write_trace_id="1") | {"properties": {"email": "nope"}},
        ]
    )
    assert len(answer.results) == 1
    assert answer.model_extra["numErrors"] == 1
    assert answer.model_extra["errors"][0]["context"]["objectWriteTraceId"] == ["1"]


async def test_search(portal, client, contacts, clock):
    """Found after the lag, in the declared shape, page by page."""
    inputs = [{"id": f"p{i}", "id_property": "stibnite_person_id", "properties": WHOLE | {"email": f"u{i}@example.com"}}
              for i in range(3)]  # fmt: skip
    await contacts.batch.upsert(inputs=inputs)
    clock.now_s += 3
    emails = [f"u{i}@example.com" for i in range(3)]
    asked = {
        "filter_groups": [{"filters": [{"property_name": "email", "operator": "IN", "values": emails}]}],
        "properties": USUAL, "limit": 2, "sorts": [],
    }  # fmt: skip
    first = await contacts.search(after="0", **asked)
    second = await contacts.search(after=first.paging.next.after, **asked)
    assert (first.total, len(first.results), len(second.results), second.paging) == (3, 2, 1, None)


async def test_lists(portal, contacts):
    """The client's own pager sees every contact once."""
    for i in range(3):
        await contacts.batch.upsert(
            inputs=[upsert(f"p{i}") | {"properties": WHOLE | {"email": f"u{i}@example.com"}}]
        )  # fmt: skip
    seen = [each.properties["email"] async for each in contacts.list(limit=2, properties=USUAL)]
    assert seen == ["u0@example.com", "u1@example.com", "u2@example.com"]


async def test_associations(portal, client, contacts):
    """The default association and its reading; an error of a pair is declared for a 200."""
    contact = (await contacts.batch.upsert(inputs=[upsert("p1")])).results[0].id
    company = await portal.firm("c1", name="Acme")
    batch = client.crm.associations.batch
    ends = {"from_object_type": "contacts", "to_object_type": "companies"}
    pair = {"from": {"id": contact}, "to": {"id": company}}
    made = await batch.create_default(**ends, inputs=[pair])
    assert [each.association_spec.association_type_id for each in made.results] == [279, 280]
    read = await batch.get(**ends, inputs=[{"id": contact}])
    assert [each.type_id for each in read.results[0].to[0].association_types] == [1, 279]


async def test_properties_and_groups(portal, client):
    """Definitions, 409, batch reading, groups."""
    properties = client.crm.properties
    await properties.groups.create("contacts", name="stibnite", label="Stibnite")
    new = {"name": "stibnite_sic", "label": "SIC", "type": "string", "field_type": "text", "group_name": "stibnite"}
    made = await properties.create("contacts", **new, has_unique_value=False)
    assert (made.name, made.has_unique_value) == ("stibnite_sic", False)
    with pytest.raises(hubspot_sdk.ConflictError) as caught:
        await properties.create("contacts", **new)
    assert caught.value.body["subCategory"] == "Properties.PROPERTY_WITH_NAME_EXISTS"
    read = await properties.batch.get(
        "companies", archived=False, data_sensitivity="non_sensitive", inputs=[{"name": "industry"}]
    )
    assert len(read.results[0].options) > 140
    listed = await properties.list("contacts")
    assert "stibnite_sic" in {each.name for each in listed.results}
    assert {each.name for each in (await properties.groups.list("contacts")).results} >= {"stibnite"}


async def test_owners_and_account(portal, client):
    """Paged owners, details, usage."""
    seen = [each.email async for each in client.crm.owners.list(limit=2)]
    assert seen == [f"rep{i}@example.com" for i in range(3)]
    details = await client.account.get()
    assert (details.portal_id, details.time_zone) == (48_151_623, "America/New_York")
    usage = await client.account.get_daily_private_apps_usage()
    assert usage.results[0].current_usage == 6


async def test_it_raises_what_the_status_means(portal, client, contacts):
    """Refusals are its own errors, bodies and all."""
    with pytest.raises(hubspot_sdk.BadRequestError) as caught:
        await contacts.batch.upsert(inputs=[upsert("p1"), upsert("p1")])
    assert caught.value.body["context"]["ids"] == ["p1"]
    portal.sandbox.fail_next("429_ten_secondly")
    with pytest.raises(hubspot_sdk.RateLimitError):
        await client.account.get()
    portal.sandbox.fail_next("cut_before")
    with pytest.raises(hubspot_sdk.APIConnectionError) as cut:
        await client.account.get()
    assert isinstance(cut.value.__cause__, httpx.RemoteProtocolError | httpx.ReadError)
