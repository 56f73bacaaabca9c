"""Point 14: associations."""

import pytest

DEFAULT = "/crm/associations/{v}/contacts/companies/batch/associate/default"
READ = "/crm/associations/{v}/contacts/companies/batch/read"


def pair(near: str, far: str) -> dict:
    return {"from": {"id": near}, "to": {"id": far}}


async def test_a_default_association_has_both_types_and_the_first_is_primary(desk):
    """279 and 280 in the answer; the first company is type 1 too, the second is not."""
    contact, first, second = await desk.person("p1"), await desk.firm("c1"), await desk.firm("c2")
    got = await desk.post(DEFAULT, {"inputs": [pair(contact, first), pair(contact, second)]})
    specs = [(each["from"]["id"], each["to"]["id"], each["associationSpec"]["associationTypeId"])
             for each in got["results"]]  # fmt: skip
    assert specs == [
        (contact, first, 279), (first, contact, 280), (contact, second, 279), (second, contact, 280),
    ]  # fmt: skip
    assert desk.sandbox.associations() == {(contact, first), (contact, second)}
    (read,) = (await desk.post(READ, {"inputs": [{"id": contact}]}))["results"]
    types = {each["toObjectId"]: [one["typeId"] for one in each["associationTypes"]] for each in read["to"]}
    assert types == {first: [1, 279], second: [279]}


async def test_associating_twice_changes_nothing(desk):
    """Also within one request, and from the other side."""
    contact, company = await desk.person("p1"), await desk.firm("c1")
    await desk.post(DEFAULT, {"inputs": [pair(contact, company), pair(contact, company)]})
    turned = DEFAULT.replace("contacts/companies", "0-2/0-1")
    got = await desk.post(turned, {"inputs": [pair(company, contact)]})
    assert got["results"][0]["associationSpec"]["associationTypeId"] == 280
    assert desk.sandbox.associations() == {(contact, company)}


async def test_a_pair_that_cannot_be_is_an_error_in_a_200(desk):
    """The others are associated; the error names both ends."""
    contact, company = await desk.person("p1"), await desk.firm("c1")
    got = await desk.post(DEFAULT, {"inputs": [pair(contact, company), pair(contact, "404"), pair("404", company)]})
    assert got["numErrors"] == 2
    assert [each["context"] for each in got["errors"]] == [
        {"fromObjectId": [contact], "toObjectId": ["404"]},
        {"fromObjectId": ["404"], "toObjectId": [company]},
    ]
    assert desk.sandbox.associations() == {(contact, company)}


async def test_the_admins_limit_refuses_pair_by_pair(make_desk):
    """An associated pair may be sent again; one more may not."""
    desk = await make_desk(companies_per_contact=1)
    contact, first, second = await desk.person("p1"), await desk.firm("c1"), await desk.firm("c2")
    got = await desk.post(DEFAULT, {"inputs": [pair(contact, first), pair(contact, second), pair(contact, first)]})
    assert (got["numErrors"], len(got["results"])) == (1, 4)
    assert got["errors"][0]["context"]["toObjectId"] == [second]
    assert got["errors"][0]["category"] == "VALIDATION_ERROR"


@pytest.mark.parametrize(("path", "body"), [
    (DEFAULT, {"inputs": [pair("1", "2")] * 101}), (DEFAULT, {"inputs": []}), (READ, {"inputs": [{"id": "1"}] * 1001}),
    (DEFAULT, {"inputs": [{"from": "1", "to": "2"}]}), (DEFAULT, {"inputs": [pair("1", "2") | {"type": 279}]}),
    (DEFAULT.replace("companies", "contacts"), {"inputs": [pair("1", "2")]}),
])  # fmt: skip
async def test_another_shape_or_size_is_a_400(one_desk, path, body):
    """100 pairs a request; a thousand reads."""
    await one_desk.post(path, body, status=400)


async def test_reading_what_has_no_association_is_a_207(desk):
    """The error names who has none."""
    contact = await desk.person("p1")
    got = await desk.post(READ, {"inputs": [{"id": contact}]}, status=207)
    assert (got["results"], got["numErrors"]) == ([], 1)
    assert got["errors"][0]["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert got["errors"][0]["context"]["fromObjectId"] == [contact]


async def test_an_archived_end_ends_the_association(desk):
    """It is gone from both sides."""
    contact, company = await desk.person("p1"), await desk.firm("c1")
    await desk.post(DEFAULT, {"inputs": [pair(contact, company)]})
    await desk.call("DELETE", f"/crm/objects/{{v}}/companies/{company}", status=204)
    assert desk.sandbox.associations() == set()
