"""People get into HubSpot, once each, and nothing of what people wrote there is lost."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from stibgate.domain.record import Issue, IssueReason, Record
from stibgate.domain.task import OutcomeKind
from stibgate.testing import RECEIVED_AT_MS, make_context
from tests.sinks.hubspot.sink_world import VERSIONS, batch, kinds, record, world

NEVER = "10000h"


@pytest.fixture(params=VERSIONS)
async def account(request):
    async with world(request.param) as account:
        yield account


async def test_a_person_arrives_with_their_company(account):
    """A contact, its company and the association between them; every value under its property."""
    async with account.opened() as sink:
        (outcome,) = await sink.deliver(batch("t1", [record(1, company_industry="Software", company_sic="0111")]))
    assert outcome.kind is OutcomeKind.CREATED
    contact, company = account.contacts()["person_1"], account.companies()["company_1"]
    assert (contact["email"], contact["firstname"], contact["company"]) == ("p1@example.com", "Zoë", "Acme 1")
    assert (company["name"], company["industry"], company["stibnite_sic"]) == ("Acme 1", "COMPUTER_SOFTWARE", "0111")
    assert account.sandbox.associations() == {(contact["hs_object_id"], company["hs_object_id"])}


async def test_the_sink_that_the_settings_build(account):
    """`build` makes a sink that works, with nothing but what the program gives every sink."""
    sink = account.settings().build(make_context(now_ms=account.now_ms))
    try:
        await sink.open()
        assert kinds(await sink.deliver(batch("t1", [record(1)]))) == ["created"]
        assert all(finding.ok for finding in await sink.check())
    finally:
        await sink.close()


async def test_a_hundred_new_people_cost_five_requests(account):
    """Search, companies, e-mail addresses, contacts, associations; with nothing new none; with new content one."""
    people = [record(n, company_domain=f"acme{n}.example.org") for n in range(100)]
    policy = {"job_title": "overwrite"}
    async with account.opened(field_policy=policy) as sink:
        before = account.spent()
        assert kinds(await sink.deliver(batch("t1", people))) == ["created"] * 100
        assert account.spent() - before == 5
        assert kinds(await sink.deliver(batch("t2", people))) == ["unchanged"] * 100
        assert account.spent() - before == 5
        promoted = [replace(person, job_title="CEO") for person in people]
        assert kinds(await sink.deliver(batch("t3", promoted))) == ["updated"] * 100
        assert account.spent() - before == 6
    assert len(account.sandbox.associations()) == 100
    assert {contact["jobtitle"] for contact in account.contacts().values()} == {"CEO"}


async def test_one_poisoned_record_does_not_hurt_its_neighbours(account):
    """99 arrive, one is refused with category, code, property and correlation id, and is named by the record's field."""
    people = [record(n) for n in range(100)]
    people[37] = replace(people[37], business_email="p37@example.notatld")
    async with account.opened() as sink:
        outcomes = await sink.deliver(batch("t1", people))
    refused = outcomes[37]
    assert [o.position for o in outcomes if o.kind is not OutcomeKind.CREATED] == [37]
    assert (refused.kind, refused.category, refused.code) == (OutcomeKind.REFUSED, "VALIDATION_ERROR", "INVALID_EMAIL")
    assert refused.property == "email"
    assert refused.correlation_id
    assert "business_email" in refused.message
    assert "p37" not in refused.message
    assert len(account.contacts()) == 99


async def test_what_people_wrote_is_kept(account):
    """Blanks are filled, what is filled stays; our own fields and what an operator chose to overwrite are kept current."""
    async with account.opened(field_policy={"last_name": "overwrite"}) as sink:
        await sink.deliver(batch("t1", [record(1, mobile_phone=None)]))
        await account.edit("contacts", "person_1", jobtitle="President", firstname="", email="zoe@example.org")
        await account.edit("companies", "company_1", name="Acme Worldwide", city="")
        newer = record(
            1, job_title="CEO", last_name="Roe", prospect_id="prs_9", company_city="Boise", company_sic="0111"
        )
        (outcome,) = await sink.deliver(batch("t2", [newer]))
    contact, company = account.contacts()["person_1"], account.companies()["company_1"]
    assert outcome.kind is OutcomeKind.UPDATED
    assert (contact["jobtitle"], contact["email"]) == ("President", "zoe@example.org")
    assert (contact["firstname"], contact["lastname"], contact["mobilephone"]) == ("Zoë", "Roe", "+12085550123")
    assert contact["stibnite_prospect_id"] == "prs_9"
    assert (company["name"], company["city"], company["stibnite_sic"]) == ("Acme Worldwide", "Boise", "0111")


async def test_nothing_to_fill_is_unchanged(account):
    """When everything that would be sent is there, nothing is sent."""
    async with account.opened() as sink:
        await sink.deliver(batch("t1", [record(1)]))
        (outcome,) = await sink.deliver(batch("t2", [record(1, job_title="CEO")]))
    assert outcome.kind is OutcomeKind.UNCHANGED
    assert not any("contacts/batch/update" in path for path in account.sandbox.counters.by_path)


async def test_after_a_day_the_same_content_is_compared_again(account):
    """`skip_unchanged_for` ends: what a person has blanked meanwhile is filled again."""
    async with account.opened() as sink:
        await sink.deliver(batch("t1", [record(1)]))
        await account.edit("contacts", "person_1", jobtitle="")
        assert kinds(await sink.deliver(batch("t2", [record(1)]))) == ["unchanged"]
        account.shift_s += 86_400
        assert kinds(await sink.deliver(batch("t3", [record(1)]))) == ["updated"]
    assert account.contacts()["person_1"]["jobtitle"] == "VP Sales"


async def test_an_operator_may_ask_for_everything_again(account):
    """A forced resend compares with HubSpot, also what was acknowledged a moment ago or is older."""
    async with account.opened() as sink:
        await sink.deliver(batch("t1", [record(1)], received_at_ms=RECEIVED_AT_MS + 5))
        await account.edit("contacts", "person_1", jobtitle="")
        again = batch("t0", [record(1)], resend=1, forced=True)
        assert kinds(await sink.deliver(again)) == ["updated"]
        assert kinds(await sink.deliver(replace(again, attempt=3))) == ["updated"]
    assert account.contacts()["person_1"]["jobtitle"] == "VP Sales"


async def test_an_older_delivery_changes_nothing(account):
    """What comes late does not overwrite what came after it, neither the contact nor its company."""
    async with account.opened(field_policy={"job_title": "overwrite", "company_name": "overwrite"}) as sink:
        newer = record(1, job_title="CEO", company_name="New")
        await sink.deliver(
            batch(
                "t2",
                [newer, record(2, company_id="company_1", company_name="New")],
                received_at_ms=RECEIVED_AT_MS + 1000,
            )
        )
        outcomes = await sink.deliver(
            batch("t1", [record(1, company_name="Old"), record(3, company_id="company_1", company_name="Old")])
        )
    assert kinds(outcomes) == ["skipped", "created"]
    assert "newer" in outcomes[0].message
    assert account.contacts()["person_1"]["jobtitle"] == "CEO"
    assert account.companies()["company_1"]["name"] == "New"
    assert len(account.sandbox.associations()) == 3


async def test_unchanged_content_still_makes_older_deliveries_old(account):
    """A delivery that changed nothing is remembered as the newest all the same."""
    async with account.opened(field_policy={"job_title": "overwrite"}) as sink:
        await sink.deliver(batch("t1", [record(1)]))
        await sink.deliver(batch("t3", [record(1)], received_at_ms=RECEIVED_AT_MS + 2000))
        late = batch("t2", [record(1, job_title="Intern")], received_at_ms=RECEIVED_AT_MS + 1000)
        assert kinds(await sink.deliver(late)) == ["skipped"]
    assert account.contacts()["person_1"]["jobtitle"] == "VP Sales"


async def test_one_person_twice_in_a_batch_is_written_once(account):
    """Records of one person are merged, the newer says what both say; the older outcome names the newer."""
    first = record(1, position=0, last_name="Old", linkedin_url="https://linkedin.com/in/zoe-example")
    second = record(1, position=5, job_title=None)
    async with account.opened() as sink:
        outcomes = await sink.deliver(batch("t1", [first, record(2, position=3), second]))
    assert [(o.position, str(o.kind)) for o in outcomes] == [(0, "skipped"), (3, "created"), (5, "created")]
    assert "record 5" in outcomes[0].message
    contact = account.contacts()["person_1"]
    assert (contact["lastname"], contact["jobtitle"]) == ("Doe1", "VP Sales")
    assert contact["hs_linkedin_url"] == "https://linkedin.com/in/zoe-example"


async def test_two_people_with_one_address_in_a_batch(account):
    """The newest keeps the address, the other goes without it and says so."""
    async with account.opened() as sink:
        outcomes = await sink.deliver(
            batch("t1", [record(1, business_email="a@example.com"), record(2, business_email="A@example.com")])
        )
    assert kinds(outcomes) == ["created", "created"]
    assert "business_email" in outcomes[0].message
    assert "email" not in account.contacts()["person_1"]
    assert account.contacts()["person_2"]["email"] == "a@example.com"


async def test_a_stand_in_key_is_the_same_person_by_address(account):
    """A record without an id and one with an id and the same address are one contact, in one batch and over batches."""
    bare = Record(first_name="Zoë", job_title="CEO", business_email="a@example.com", position=0)
    full = record(1, business_email="a@example.com", position=1)
    async with account.opened() as sink:
        assert kinds(await sink.deliver(batch("t1", [bare, full]))) == ["skipped", "created"]
        assert kinds(await sink.deliver(batch("t2", [bare]))) == ["unchanged"]
        other = Record(first_name="Ann", business_email="b@example.com", position=0)
        assert kinds(await sink.deliver(batch("t3", [other]))) == ["created"]
        assert kinds(await sink.deliver(batch("t4", [record(2, business_email="b@example.com")]))) == ["updated"]
    assert set(account.contacts()) == {"person_1", "person_2"}


async def test_a_record_of_nobody_is_refused_without_a_request(account):
    """No key, or neither name nor address: refused by us, with a reason, and HubSpot is not asked."""
    nobody = Record(first_name="Zoë", position=0)
    nameless = record(1, first_name=None, last_name=None, business_email=None)
    invalid = replace(
        record(2, first_name=None, last_name=None, business_email="nope"),
        issues=(Issue("business_email", IssueReason.INVALID, "nope"),),
    )
    async with account.opened() as sink:
        before = account.spent()
        outcomes = await sink.deliver(batch("t1", [nobody, nameless, invalid]))
        assert account.spent() == before
    assert [(str(o.kind), o.code) for o in outcomes] == [
        ("refused", "NO_KEY"),
        ("refused", "NO_NAME"),
        ("refused", "NO_NAME"),
    ]
    assert all(o.message for o in outcomes)


async def test_an_address_that_we_found_invalid_is_left_out(account):
    """The contact goes without it."""
    person = replace(record(1, business_email="nope"), issues=(Issue("business_email", IssueReason.INVALID, "nope"),))
    async with account.opened() as sink:
        assert kinds(await sink.deliver(batch("t1", [person]))) == ["created"]
    assert "email" not in account.contacts()["person_1"]


async def test_a_contact_with_the_address_is_adopted(account):
    """Somebody's contact with this address becomes ours; what it says stays, blanks are filled, no second one is made."""
    theirs = await account.add("contacts", email="p1@example.com", jobtitle="President")
    async with account.opened() as sink:
        assert kinds(await sink.deliver(batch("t1", [record(1, business_email="P1@Example.com")]))) == ["updated"]
    assert [row["id"] for row in account.sandbox.contacts()] == [theirs]
    contact = account.contacts()["person_1"]
    assert (contact["jobtitle"], contact["lastname"]) == ("President", "Doe1")


async def test_without_adoption_the_address_is_a_conflict(account):
    """`adopt = false` leaves other people's contacts alone; the record is refused, not doubled."""
    await account.add("contacts", email="p1@example.com")
    async with account.opened(adopt=False) as sink:
        (outcome,) = await sink.deliver(batch("t1", [record(1)]))
    assert (outcome.kind, outcome.category) == (OutcomeKind.REFUSED, "CONFLICT")
    assert len(account.sandbox.contacts()) == 1


async def test_an_address_of_another_person_stays_theirs(account):
    """A second person with the first one's address gets a contact without it; without a name they are refused."""
    async with account.opened() as sink:
        await sink.deliver(batch("t1", [record(1, business_email="a@example.com")]))
        two = record(2, business_email="a@example.com")
        three = record(3, business_email="a@example.com", first_name=None, last_name=None)
        (second,) = await sink.deliver(batch("t2", [two]))
        (third,) = await sink.deliver(batch("t3", [three]))
    assert second.kind is OutcomeKind.CREATED
    assert "belongs to another contact" in second.message
    assert (third.kind, third.code) == (OutcomeKind.REFUSED, "OWNED_BY_OTHER_PERSON")
    assert account.contacts()["person_1"]["email"] == "a@example.com"
    assert "email" not in account.contacts()["person_2"]


async def test_a_further_address_of_a_merged_contact_is_found(account):
    """A conflict about an address that is a contact's second one leads to that contact, and its first one stays."""
    new = await account.add("contacts", email="new@example.com", firstname="Zoë")
    await account.merge(new, await account.add("contacts", email="p1@example.com"))
    async with account.opened() as sink:
        assert kinds(await sink.deliver(batch("t1", [record(1)]))) == ["updated"]
    assert len(account.sandbox.contacts()) == 1
    assert account.contacts()["person_1"]["email"] == "new@example.com"


async def test_two_people_do_not_adopt_one_contact(account):
    """Of two people with the two addresses of one contact, one gets it; the other is made without the address."""
    new = await account.add("contacts", email="p1@example.com", firstname="Zoë")
    await account.merge(new, await account.add("contacts", email="p2@example.com"))
    async with account.opened() as sink:
        outcomes = await sink.deliver(batch("t1", [record(1), record(2)]))
    assert kinds(outcomes) == ["updated", "created"]
    assert "belongs to another contact" in outcomes[1].message
    assert set(account.contacts()) == {"person_1", "person_2"}


async def test_two_conflicts_about_one_contact(account):
    """The same when the contact appears only between our look and our write."""

    async def meanwhile():
        new = await account.add("contacts", email="p1@example.com", firstname="Zoë")
        await account.merge(new, await account.add("contacts", email="p2@example.com"))

    account.before("contacts/batch/upsert", meanwhile)
    async with account.opened() as sink:
        outcomes = await sink.deliver(batch("t1", [record(1), record(2)]))
    assert kinds(outcomes) == ["updated", "created"]
    assert set(account.contacts()) == {"person_1", "person_2"}
    assert len(account.sandbox.contacts()) == 2


@pytest.mark.parametrize(
    "portal", [{"conflict_shape": "legacy", "upsert_partial": "whole_409"}, {"upsert_partial": "whole_409"}, {}]
)
async def test_a_conflict_that_no_look_up_showed_is_adopted(portal):
    """Somebody makes the contact between our look and our write: their record is adopted, in every shape of a 409."""
    async with world(**portal) as account, account.opened() as sink:
        await sink.deliver(batch("t0", [record(0)]))
        person = {"email": "p1@example.com", "jobtitle": "President"}
        account.before("contacts/batch/upsert", lambda: account.add("contacts", **person))
        assert kinds(await sink.deliver(batch("t1", [record(n) for n in range(1, 6)]))) == ["updated"] + ["created"] * 4
        assert account.contacts()["person_1"]["jobtitle"] == "President"
        assert len(account.contacts()) == 6
        account.check_sound()


async def test_two_people_on_one_merged_contact(account):
    """People merged two of our contacts: both go on writing to the one that is left, and neither tears it apart."""
    async with account.opened(field_policy={"job_title": "overwrite"}) as sink:
        await sink.deliver(batch("t1", [record(1), record(2)]))
        await account.merge(account.record_id("contacts", "person_1"), account.record_id("contacts", "person_2"))
        outcomes = await sink.deliver(batch("t2", [record(1, job_title="CEO"), record(2, job_title="CTO")]))
    assert kinds(outcomes) == ["updated", "updated"]
    assert len(account.sandbox.contacts()) == 1
    assert account.contacts()["person_1"]["jobtitle"] == "CTO"


async def test_a_deleted_contact_is_made_again(account):
    """A record id that HubSpot no longer has is no refusal: the person is created anew, with the association."""
    async with account.opened(field_policy={"job_title": "overwrite"}) as sink:
        await sink.deliver(batch("t1", [record(1), record(2)]))
        gone = await account.archive("contacts", "person_1")
        await account.archive("companies", "company_2")
        outcomes = await sink.deliver(batch("t2", [record(1, job_title="CEO"), record(2, job_title="CEO")]))
    assert kinds(outcomes) == ["created", "updated"]
    contact = account.contacts()["person_1"]
    assert contact["hs_object_id"] != gone
    company = account.companies()["company_1"]
    assert (contact["hs_object_id"], company["hs_object_id"]) in account.sandbox.associations()


async def test_a_deleted_company_is_made_again(account):
    """A company that is gone is noticed when somebody new works there, and made again."""
    async with account.opened() as sink:
        await sink.deliver(batch("t1", [record(1)]))
        await account.archive("companies", "company_1")
        (outcome,) = await sink.deliver(batch("t2", [record(2, company_id="company_1", company_name="Acme 1")]))
    assert outcome.kind is OutcomeKind.CREATED
    assert outcome.message is None
    company = account.companies()["company_1"]
    assert account.sandbox.associations() == {(account.contacts()["person_2"]["hs_object_id"], company["hs_object_id"])}


async def test_a_refused_company_does_not_cost_the_contact():
    """The contact goes without the association, and its outcome says so."""
    async with world("2026-09", required={"companies": ("city",)}) as account, account.opened() as sink:
        people = [record(1, company_city="Boise"), record(2)]
        outcomes = await sink.deliver(batch("t1", people))
        again = await sink.deliver(batch("t1", people, attempt=2))
    assert kinds(outcomes) == ["created", "created"]
    assert outcomes[0].message is None
    assert "company was refused (MISSING_REQUIRED_PROPERTY, company_city)" in outcomes[1].message
    assert again == outcomes
    assert set(account.companies()) == {"company_1"}


async def test_an_association_that_is_refused_is_told(account):
    """A pair that the account does not allow is said in the outcome; the contact is there."""
    async with world(companies_per_contact=1) as bounded, bounded.opened() as sink:
        await sink.deliver(batch("t1", [record(1)]))
        (outcome,) = await sink.deliver(batch("t2", [record(1, company_id="company_9", company_name="Else")]))
    assert outcome.kind is OutcomeKind.UNCHANGED
    assert "could not be associated" in outcome.message


async def test_a_company_is_adopted_by_its_domain(account):
    """The oldest company with the domain becomes ours, and it is said that there are several."""
    one = await account.add("companies", name="Acme (old)", domain="acme.example.org")
    account.shift_s += 60
    await account.add("companies", name="Acme (new)", domain="acme.example.org")
    account.shift_s += 60
    async with account.opened() as sink:
        (outcome,) = await sink.deliver(batch("t1", [record(1, company_domain="acme.example.org")]))
    assert "several companies" in outcome.message
    assert len(account.sandbox.companies()) == 2
    company = account.companies()["company_1"]
    assert (company["hs_object_id"], company["name"], company["stibnite_company_id"]) == (
        one,
        "Acme (old)",
        "company_1",
    )


async def test_a_company_of_another_key_is_not_taken(account):
    """Two companies of ours with one domain stay two, although search does not know yet that the first is taken."""
    await account.add("companies", name="Acme", domain="acme.example.org")
    account.shift_s += 60
    async with account.opened() as sink:
        await sink.deliver(batch("t1", [record(1, company_domain="acme.example.org")]))
        await sink.deliver(batch("t2", [record(2, company_domain="acme.example.org")]))
        both = [record(n, company_domain="acme.example.org") for n in (3, 4)]
        await sink.deliver(batch("t3", both))
    assert set(account.companies()) == {"company_1", "company_2", "company_3", "company_4"}
    account.check_sound()


async def test_two_batches_do_not_adopt_one_company(account):
    """Of two companies of ours that want the same record at the same time, one gets it."""
    await account.add("companies", name="Acme", domain="acme.example.org")
    account.shift_s += 60

    async def until_both_have_looked():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.6):
                while account.sandbox.counters.by_path["POST /crm/objects/companies/batch/read"] < 2:
                    await asyncio.sleep(0.005)

    account.before("companies/batch/update", until_both_have_looked)
    batches = [batch(f"t{n}", [record(n, company_domain="acme.example.org")]) for n in (1, 2)]
    async with account.opened() as sink:
        await asyncio.gather(*map(sink.deliver, batches))
    assert set(account.companies()) == {"company_1", "company_2"}
    assert len({company for _, company in account.sandbox.associations()}) == 2


async def test_a_company_without_an_id_is_known_by_its_domain(account):
    """The domain stands in for the id, finds the company that has the id, and gives way to it."""
    domain = "acme.example.org"
    async with account.opened() as sink:
        await sink.deliver(batch("t1", [record(1, company_id=None, company_domain=domain)]))
        assert set(account.companies()) == {f"domain:{domain}"}
        account.shift_s += 60
        await sink.deliver(batch("t2", [record(2, company_id="company_2", company_domain=domain)]))
        assert set(account.companies()) == {"company_2"}
        account.shift_s += 60
        await sink.deliver(batch("t3", [record(3, company_id=None, company_domain=domain)]))
    assert set(account.companies()) == {"company_2"}
    assert len(account.sandbox.associations()) == 3


async def test_without_id_and_domain_there_is_no_company(account):
    """The contact goes alone, with the company's name in its own property."""
    async with account.opened() as sink:
        await sink.deliver(
            batch("t1", [record(1, company_id=None), record(2, company_id=None, company_domain="gmail.com")])
        )
        await sink.deliver(batch("t2", [record(3, company_name=None, company_id="company_3")]))
    assert account.companies() == {}
    assert account.contacts()["person_1"]["company"] == "Acme 1"


async def test_companies_may_be_switched_off(account):
    """`companies = false` writes contacts only, and asks for nothing about companies."""
    async with account.opened(companies=False) as sink:
        assert kinds(await sink.deliver(batch("t1", [record(1)]))) == ["created"]
    assert account.companies() == {}
    assert not any("companies" in path for path in account.sandbox.counters.by_path)


async def test_batches_at_once_share_their_companies(account):
    """Many batches whose people work at the same few companies make each of them once."""
    batches = [
        batch(
            f"t{n}",
            [
                record(
                    10 * n + i,
                    company_id=f"company_{i % 3}",
                    company_domain=f"c{i % 3}.example.org",
                    company_name="Acme",
                )
                for i in range(10)
            ],
        )
        for n in range(16)
    ]
    async with account.opened() as sink:
        results = await asyncio.gather(*map(sink.deliver, batches))
    assert [kinds(outcomes) for outcomes in results] == [["created"] * 10] * 16
    assert len(account.companies()) == 3
    assert len(account.contacts()) == len(account.sandbox.associations()) == 160


async def test_a_large_delivery_goes_in_slices(account):
    """Every record of a large delivery has its outcome, in order."""
    people = [record(n, company_id=f"company_{n % 7}", company_name="Acme") for n in range(950)]
    async with account.opened() as sink:
        outcomes = await sink.deliver(batch("t1", people))
    assert [o.position for o in outcomes] == list(range(950))
    assert set(kinds(outcomes)) == {"created"}
    assert (len(account.contacts()), len(account.companies())) == (950, 7)


async def test_owners_are_set_on_new_contacts():
    """`owners` names who owns what a user pushed: set on create, never changed; an unknown one is told."""
    async with world(owners={"jane@example.com": "77", "john@example.com": "78"}) as account:
        theirs = await account.add("contacts", email="p2@example.com", hubspot_owner_id="78")
        owners = {"user_1": "Jane@example.com", "user_2": "gone@example.com"}
        async with account.opened(owners=owners) as sink:
            await sink.deliver(batch("t1", [record(1), record(2)]))
            (unknown,) = await sink.deliver(batch("t2", [record(3)], partner_user_id="user_2"))
            await sink.deliver(batch("t3", [record(4)], partner_user_id="user_3"))
        contacts = account.contacts()
        assert contacts["person_1"]["hubspot_owner_id"] == "77"
        assert (contacts["person_2"]["hs_object_id"], contacts["person_2"]["hubspot_owner_id"]) == (theirs, "78")
        assert "hubspot_owner_id" not in contacts["person_3"]
        assert "hubspot_owner_id" not in contacts["person_4"]
        assert "owner" in unknown.message


async def test_required_properties_refuse_one_record():
    """What an admin requires is a permanent refusal of the records that lack it, in the version that enforces it."""
    async with world("2026-09", required={"contacts": ("jobtitle",)}) as account, account.opened() as sink:
        outcomes = await sink.deliver(batch("t1", [record(1), record(2, job_title=None)]))
    assert kinds(outcomes) == ["created", "refused"]
    assert (outcomes[1].code, outcomes[1].property) == ("MISSING_REQUIRED_PROPERTY", "jobtitle")
    assert "job_title" in outcomes[1].message


async def test_hubspot_making_companies_itself_makes_no_second_one():
    """Companies come first, so HubSpot finds ours by the contact's domain."""
    async with world(auto_create_companies=True, auto_create_delay_s=0) as account, account.opened() as sink:
        await sink.deliver(
            batch("t1", [record(1, business_email="zoe@acme.example.org", company_domain="acme.example.org")])
        )
        account.shift_s += 60
    assert len(account.sandbox.companies()) == 1
