"""Points 4 to 8: upsert, update, create, and what their values must be."""

import json
import re

import pytest

TOO_MANY = 101


def told(error: dict) -> list[tuple[str, str]]:
    """Return code and property of every value that a message lists."""
    listed = json.loads(re.fullmatch(r"Property values were not valid: (\[.*\])", error["message"], re.DOTALL)[1])
    return [(each["error"], each["name"]) for each in listed]


async def test_upsert_creates_then_updates(desk, person):
    """`new` is true once; the record id stays; untouched values stay."""
    first = (await desk.batch("contacts", "upsert", [person("p1", firstname="Jordan", city="Boise")]))["results"][0]
    again = (await desk.batch("contacts", "upsert", [person("p1", firstname="Jo")]))["results"][0]
    assert (first["new"], again["new"], first["id"] == again["id"]) == (True, False, True)
    (contact,) = desk.sandbox.contacts()
    assert contact["properties"]["firstname"] == "Jo"
    assert contact["properties"]["city"] == "Boise"
    assert contact["properties"]["stibnite_person_id"] == "p1"


@pytest.mark.parametrize(
    "sent", [{}, {"stibnite_person_id": None}, {"stibnite_person_id": "p1"}, {"stibnite_person_id": ""}]
)
async def test_a_new_record_has_its_key_sent_or_not(one_desk, person, sent):
    """The id of the input is the value of its key property."""
    await one_desk.batch("contacts", "upsert", [person("p1", firstname="Jo", **sent)])
    await one_desk.batch("contacts", "upsert", [person("p1", firstname="Jo")])
    assert [each["properties"]["stibnite_person_id"] for each in one_desk.sandbox.contacts()] == ["p1"]


async def test_a_key_that_its_property_does_not_take_is_a_400(one_desk):
    """A number's key is a number, in writes and in reads."""
    await one_desk.property("contacts", "number_key", type="number", fieldType="number", hasUniqueValue=True)
    asked = {"id": "seven", "idProperty": "number_key", "properties": {"firstname": "Jo"}}
    got = await one_desk.batch("contacts", "upsert", [asked], status=400)
    assert told(got) == [("INVALID_INTEGER", "number_key")]
    await one_desk.batch("contacts", "read", [{"id": "seven"}], idProperty="number_key", status=400)


async def test_results_come_in_another_order(desk, person):
    """A client that maps results by position is wrong."""
    got = await desk.batch("contacts", "upsert", [person(f"p{i}") for i in range(30)])
    keys = [each["properties"]["stibnite_person_id"] for each in got["results"]]
    assert sorted(keys) == sorted(f"p{i}" for i in range(30))
    assert keys != [f"p{i}" for i in range(30)]


async def test_values_are_echoed_as_text_and_e_mails_in_lower_case(desk, firm, person):
    """A number comes back as a string, and an e-mail is not the one that was sent."""
    got = await desk.batch("companies", "upsert", [firm("c1", name="Acme", numberofemployees=82, annualrevenue=1.5e6)])
    kept = got["results"][0]["properties"]
    assert (kept["numberofemployees"], kept["annualrevenue"]) == ("82", "1500000")
    got = await desk.batch("contacts", "upsert", [person("p1", email=" Jordan.Lee@Example.COM ")])
    assert got["results"][0]["properties"]["email"] == "jordan.lee@example.com"


@pytest.mark.parametrize("on", [True, False])
async def test_trace_ids_are_in_results_when_the_portal_says_so(make_desk, person, on):
    """The documented results do not carry them."""
    desk = await make_desk(trace_id_in_results=on)
    got = await desk.batch("contacts", "upsert", [person("p1", "t1")])
    assert got["results"][0].get("objectWriteTraceId") == ("t1" if on else None)


@pytest.mark.parametrize("verb", ["upsert", "update", "create", "read"])
async def test_more_than_100_inputs_are_a_400(one_desk, verb):
    """And so is none."""
    inputs = [{"id": str(i), "properties": {}, "idProperty": "stibnite_person_id"} for i in range(TOO_MANY)]
    got = await one_desk.batch("contacts", verb, inputs, status=400)
    assert "maximum number of inputs supported in a batch request is 100" in got["message"]
    await one_desk.batch("contacts", verb, [], status=400)
    assert one_desk.sandbox.contacts() == []


async def test_100_inputs_are_taken(desk, person):
    """The bound itself is in."""
    got = await desk.batch("contacts", "upsert", [person(f"p{i}", str(i)) for i in range(100)])
    assert len(got["results"]) == len(desk.sandbox.contacts()) == 100


async def test_duplicate_ids_refuse_the_batch_even_with_trace_ids(desk, person):
    """The whole request fails, naming the id, and nothing is written."""
    inputs = [person("p1", "0"), person("p2", "1"), person("p1", "2", lastname="Lee")]
    got = await desk.batch("contacts", "upsert", inputs, status=400)
    assert (got["category"], got["context"]["ids"]) == ("VALIDATION_ERROR", ["p1"])
    assert "p1" in got["message"]
    assert desk.sandbox.contacts() == []


async def test_two_spellings_of_one_e_mail_are_duplicates(desk):
    """The key is compared as it is kept."""
    inputs = [{"id": each, "idProperty": "email", "properties": {"city": "Boise"}, "objectWriteTraceId": each}
              for each in ("jo@example.com", "JO@example.com")]  # fmt: skip
    got = await desk.batch("contacts", "upsert", inputs, status=400)
    assert got["context"]["ids"] == ["jo@example.com"]


@pytest.mark.parametrize("name", ["domain", "name", "nowhere", "hs_object_id"])
async def test_a_key_that_is_not_unique_is_a_400(one_desk, name):
    """Companies cannot be upserted by domain; the message names property and portal."""
    got = await one_desk.batch("companies", "upsert", [{"id": "x", "idProperty": name, "properties": {}}], status=400)
    wanted = f"Unable to perform update/upsert by non-unique 0-2 property {name} in portal ID 48151623"
    assert got["message"] == wanted


@pytest.mark.parametrize("wrong", [
    {"idproperty": "email"}, {"properties": None}, {"id": 7}, {"properties": {"city": True}},
    {"properties": {"city": ["Boise"]}}, {"properties": {"city": {}}}, {"idProperty": None}, {"id": ""},
])  # fmt: skip
async def test_an_input_of_another_shape_refuses_the_batch(one_desk, person, wrong):
    """Unknown members, other types and a missing key are no matter of one record, trace ids or not."""
    got = await one_desk.batch("contacts", "upsert", [person("p1", "0"), person("p2", "1") | wrong], status=400)
    assert got["category"] == "VALIDATION_ERROR"
    assert one_desk.sandbox.contacts() == []


BAD = [
    ({"email": "nope"}, "INVALID_EMAIL", "email"),
    ({"email": "jo@example.notatld"}, "INVALID_EMAIL", "email"),
    ({"email": "jo..lee@example.com"}, "INVALID_EMAIL", "email"),
    ({"lifecyclestage": "Lead"}, "INVALID_OPTION", "lifecyclestage"),
    ({"hubspot_owner_id": "1"}, "INVALID_OPTION", "hubspot_owner_id"),
    ({"nowhere": "x"}, "PROPERTY_DOESNT_EXIST", "nowhere"),
    ({"hs_object_id": "5"}, "READ_ONLY_VALUE", "hs_object_id"),
    ({"createdate": None}, "READ_ONLY_VALUE", "createdate"),
    ({"city": "x" * 65_537}, "VALUE_TOO_LONG", "city"),
]


@pytest.mark.parametrize(("values", "code", "name"), BAD)
async def test_without_trace_ids_one_bad_value_refuses_all(one_desk, person, values, code, name):
    """400, the code, the property, and nothing written; not whose value it was."""
    got = await one_desk.batch("contacts", "upsert", [person("p1"), person("p2", firstname="Al", **values)], status=400)
    assert (got["category"], told(got)) == ("VALIDATION_ERROR", [(code, name)])
    assert [(each["code"], each["context"]) for each in got["errors"]] == [(code, {"propertyName": [name]})]
    assert "p2" not in json.dumps(got)
    assert one_desk.sandbox.contacts() == []


@pytest.mark.parametrize(("values", "code", "name"), BAD)
async def test_with_trace_ids_one_bad_value_refuses_its_record(one_desk, person, values, code, name):
    """207, the trace id in the error's context, and the others written."""
    inputs = [person("p1", "a"), person("p2", "b", firstname="Al", **values)]
    got = await one_desk.batch("contacts", "upsert", inputs, status=207)
    assert (got["numErrors"], len(got["results"])) == (1, 1)
    assert got["errors"][0]["context"] == {"objectWriteTraceId": ["b"]}
    assert told(got["errors"][0]) == [(code, name)]
    assert [each["properties"]["stibnite_person_id"] for each in one_desk.sandbox.contacts()] == ["p1"]


@pytest.mark.parametrize("traces", [("a", None), ("a", "a")])
async def test_trace_ids_count_only_when_every_input_has_its_own(one_desk, person, traces):
    """One that is missing or repeated leaves the batch all or nothing."""
    inputs = [person("p1", traces[0]), person("p2", traces[1], email="nope")]
    await one_desk.batch("contacts", "upsert", inputs, status=400)
    assert one_desk.sandbox.contacts() == []


@pytest.mark.parametrize("value", ["1,000", "1e+06", "1.0.0", "a lot", "$5"])
async def test_numbers_are_plain(one_desk, firm, value):
    """No commas, no exponent, one period at most."""
    got = await one_desk.batch("companies", "upsert", [firm("c1", "0", name="Acme", annualrevenue=value)], status=207)
    assert told(got["errors"][0]) == [("INVALID_INTEGER", "annualrevenue")]


async def test_an_option_is_its_internal_value(desk, firm):
    """The label is refused, and the message lists what there is; space around a value does no harm."""
    got = await desk.batch("companies", "upsert", [firm("c1", "0", name="A", industry="Computer Software")], status=207)
    assert told(got["errors"][0]) == [("INVALID_OPTION", "industry")]
    assert "COMPUTER_SOFTWARE" in got["errors"][0]["message"]
    company = await desk.firm("c1", name="A", industry=" COMPUTER_SOFTWARE")
    assert await desk.value("companies", company, "industry") == "COMPUTER_SOFTWARE"


async def test_the_longest_text_is_taken(desk):
    """65,536 characters are in."""
    contact = await desk.person("p1", city="é" * 65_536, firstname="Jo")
    assert len(await desk.value("contacts", contact, "city")) == 65_536


async def test_an_e_mail_belongs_to_one_contact(desk, person):
    """A conflict tells the existing record's id, in the entry of a 207 and in a 409 without trace ids."""
    existing = await desk.person("p1", email="jo@example.com")
    got = await desk.batch("contacts", "upsert", [person("p2", "x", email="JO@example.com")], status=207)
    assert got["errors"] == [
        {"status": "error", "category": "CONFLICT", "message": f"Contact already exists. Existing ID: {existing}",
         "context": {"objectWriteTraceId": ["x"], "existingId": [existing]}}
    ]  # fmt: skip
    got = await desk.batch("contacts", "upsert", [person("p2", email="JO@example.com")], status=409)
    assert (got["category"], got["message"]) == ("CONFLICT", f"Contact already exists. Existing ID: {existing}")
    assert [each["id"] for each in desk.sandbox.contacts()] == [existing]


async def test_two_inputs_may_not_bring_the_same_e_mail(desk, person):
    """The first one gets it; without trace ids neither does."""
    inputs = [person("p1", "0", email="jo@example.com"), person("p2", "1", email="jo@example.com")]
    bare = [{name: value for name, value in each.items() if name != "objectWriteTraceId"} for each in inputs]
    await desk.batch("contacts", "upsert", bare, status=409)
    assert desk.sandbox.contacts() == []
    got = await desk.batch("contacts", "upsert", inputs, status=207)
    assert got["errors"][0]["context"]["existingId"] == [got["results"][0]["id"]]


async def test_a_conflict_in_the_older_shape(make_desk, person):
    """The id is in the identity profile."""
    desk = await make_desk(conflict_shape="legacy")
    existing = await desk.person("p1", email="jo@example.com")
    got = await desk.batch("contacts", "upsert", [person("p2", email="jo@example.com")], status=409)
    assert (got["category"], got["error"]) == ("OBJECT_ALREADY_EXISTS", "CONTACT_EXISTS")
    assert got["identityProfile"]["vid"] == int(existing)


async def test_a_conflict_refuses_the_whole_upsert_where_the_portal_does_so(make_desk, person):
    """`whole_409`: trace ids do not help against a conflict, though they do against a bad value."""
    desk = await make_desk(upsert_partial="whole_409")
    await desk.person("p1", email="jo@example.com")
    inputs = [person("p2", "0", email="jo@example.com"), person("p3", "1")]
    await desk.batch("contacts", "upsert", inputs, status=409)
    assert len(desk.sandbox.contacts()) == 1
    await desk.batch("contacts", "upsert", [person("p2", "0", email="nope"), person("p3", "1")], status=207)


async def test_another_unique_value_that_is_taken_is_a_validation_error(desk, person):
    """Our key of another record cannot be taken over by an update."""
    await desk.person("p1")
    other = await desk.person("p2")
    asked = {"id": other, "properties": {"stibnite_person_id": "p1"}, "objectWriteTraceId": "0"}
    got = await desk.batch("contacts", "update", [asked], status=207)
    assert told(got["errors"][0]) == [("CONFLICTING_UNIQUE_VALUE", "stibnite_person_id")]


async def test_a_domain_belongs_to_any_number_of_companies(desk):
    """HubSpot does not deduplicate by domain."""
    assert await desk.firm("c1", domain="acme.example.com") != await desk.firm("c2", domain="acme.example.com")


@pytest.mark.parametrize(("kind", "values", "enough"), [
    ("contacts", {"jobtitle": "CEO"}, {"lastname": "Lee"}),
    ("contacts", {"jobtitle": "CEO", "email": None}, {"email": "jo@example.com"}),
    ("companies", {"city": "Boise"}, {"domain": "acme.example.com"}),
    ("companies", {"name": ""}, {"name": "Acme"}),
])  # fmt: skip
async def test_a_new_record_needs_an_identity(one_desk, person, firm, kind, values, enough):
    """A contact an e-mail or a name, a company a name or a domain; what is there already needs none."""
    make = person if kind == "contacts" else firm
    await one_desk.batch(kind, "upsert", [make("k1", **values)], status=400)
    await one_desk.batch(kind, "upsert", [make("k1", **(values | enough))])
    await one_desk.batch(kind, "upsert", [make("k1", city="Austin")])


async def test_empty_clears_and_null_does_nothing(desk, person):
    """`""` removes the value, null leaves it, and a cleared e-mail is free."""
    contact = await desk.person("p1", firstname="Jo", email="jo@example.com", city="Boise")
    await desk.batch("contacts", "upsert", [person("p1", city=None, email="")])
    assert await desk.value("contacts", contact, "city") == "Boise"
    assert await desk.value("contacts", contact, "email") is None
    await desk.person("p2", email="jo@example.com")


@pytest.mark.parametrize("shape", ["silent", "error"])
async def test_a_lifecycle_stage_moves_forward_only(make_desk, person, shape):
    """A step back does not take effect, said or unsaid; cleared first, any stage may be set."""
    desk = await make_desk(lifecycle_step_back=shape)
    contact = await desk.person("p1", firstname="Jo", lifecyclestage="customer")
    status = 200 if shape == "silent" else 400
    await desk.batch("contacts", "upsert", [person("p1", lifecyclestage="lead")], status=status)
    assert await desk.value("contacts", contact, "lifecyclestage") == "customer"
    await desk.person("p1", lifecyclestage="")
    await desk.person("p1", lifecyclestage="lead")
    assert await desk.value("contacts", contact, "lifecyclestage") == "lead"


async def test_update_goes_by_record_id_only(desk):
    """Any `idProperty` is refused, the record id's own included."""
    contact = await desk.person("p1", email="jo@example.com")
    for name, key in (("email", "jo@example.com"), ("hs_object_id", contact), ("stibnite_person_id", "p1")):
        asked = {"id": key, "idProperty": name, "properties": {"city": "Boise"}, "objectWriteTraceId": "0"}
        got = await desk.batch("contacts", "update", [asked], status=400)
        assert f"non-unique 0-1 property {name}" in got["message"]
    got = await desk.batch("contacts", "update", [{"id": contact, "properties": {"city": "Boise"}}])
    assert "new" not in got["results"][0]
    assert await desk.value("contacts", contact, "city") == "Boise"


async def test_updating_what_is_not_there(desk):
    """With trace ids an error of its record, without them of the request."""
    contact = await desk.person("p1")
    inputs = [{"id": contact, "properties": {"city": "Boise"}}, {"id": "404", "properties": {"city": "Austin"}}]
    got = await desk.batch("contacts", "update", inputs, status=404)
    assert got["context"]["ids"] == ["404"]
    assert await desk.value("contacts", contact, "city") is None
    traced = [each | {"objectWriteTraceId": str(i)} for i, each in enumerate(inputs)]
    got = await desk.batch("contacts", "update", traced, status=207)
    assert got["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert got["errors"][0]["context"] == {"objectWriteTraceId": ["1"], "ids": ["404"]}
    assert await desk.value("contacts", contact, "city") == "Boise"


async def test_create_makes_a_record_each_time(desk):
    """201; no key, so a second time is a second record; an e-mail conflicts."""
    firm = {"properties": {"name": "Acme"}}
    await desk.batch("companies", "create", [firm], status=201)
    await desk.batch("companies", "create", [firm], status=201)
    assert len(desk.sandbox.companies()) == 2
    jo = {"properties": {"email": "jo@example.com"}, "objectWriteTraceId": "0"}
    first = await desk.batch("contacts", "create", [jo], status=201)
    again = await desk.batch("contacts", "create", [jo], status=207)
    assert again["errors"][0]["context"]["existingId"] == [first["results"][0]["id"]]


async def test_create_with_associations(desk):
    """Inline associations are made; a type of another pair, or nobody at the end, refuses the record."""
    company = await desk.firm("c1")

    def asked(to: str, number: int) -> dict:
        types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": number}]
        return {"properties": {"firstname": "Jo"}, "associations": [{"to": {"id": to}, "types": types}]}

    got = await desk.batch("contacts", "create", [asked(company, 279)], status=201)
    assert desk.sandbox.associations() == {(got["results"][0]["id"], company)}
    await desk.batch("contacts", "create", [asked(company, 280)], status=400)
    await desk.batch("contacts", "create", [asked("404", 279)], status=404)
    assert len(desk.sandbox.contacts()) == 1


async def test_a_company_appears_by_itself_when_the_portal_makes_them(make_desk, clock):
    """After the delay the e-mail's domain has a company; one that is there is taken; free mail has none."""
    desk = await make_desk(auto_create_companies=True, auto_create_delay_s=2.0)
    ours = await desk.firm("c1", name="Acme", domain="acme.example.com")
    contacts = [await desk.person(f"p{i}", email=email) for i, email in
                enumerate(("a@acme.example.com", "b@other.example.com", "c@gmail.com"))]  # fmt: skip
    assert desk.sandbox.associations() == set()
    clock.now_s += 2
    companies = {each["properties"].get("domain"): each["id"] for each in desk.sandbox.companies()}
    assert companies.keys() == {"acme.example.com", "other.example.com"}
    assert desk.sandbox.associations() == {(contacts[0], ours), (contacts[1], companies["other.example.com"])}
