"""The account is looked at before anything is sent, and what is wrong with it is said exactly."""

from dataclasses import replace

import pytest

from stibgate.errors import SinkHeld, SinkUnavailable
from stibgate.sandbox.hubspot import ALL_SCOPES
from stibgate.sandbox.hubspot.values import one_of
from tests.sinks.hubspot.sink_world import batch, kinds, record, world

UNIQUE = {"hasUniqueValue": True}
OURS = {
    "contacts": {"stibnite_person_id": UNIQUE, "stibnite_prospect_id": {}},
    "companies": {"stibnite_company_id": UNIQUE, "stibnite_industry": {}, "stibnite_sic": {}, "stibnite_naics": {}},
}
READS = frozenset(scope for scope in ALL_SCOPES if "schemas" not in scope)


async def by_hand(account, **more):
    for kind, names in OURS.items():
        for name, definition in names.items():
            await account.make_property(kind, name, **{**definition, **more.get(name, {})})


async def test_missing_properties_are_made_once():
    """A new account gets our properties, the keys unique; a second start makes nothing and asks little."""
    async with world() as account:
        async with account.opened():
            pass
        assert account.sandbox.counters.by_path["POST /crm/properties/contacts"] == 2
        assert account.sandbox.counters.by_path["POST /crm/properties/companies"] == 4
        before = account.spent()
        async with account.opened():
            pass
        assert account.spent() - before == 3


async def test_made_by_hand_without_schema_scopes():
    """A key that may not touch schemas is as good as any when somebody has made the properties."""
    async with world(scopes=ALL_SCOPES) as account:
        await by_hand(account)
        async with account.opened(create_properties=False) as sink:
            assert kinds(await sink.deliver(batch("t1", [record(1)]))) == ["created"]
        assert account.sandbox.counters.by_path["POST /crm/properties/contacts"] == 2


async def test_a_key_without_schema_scopes_is_told_what_to_do():
    """What must be made by hand is named, and so are the scopes that would do it; the sink is held, not failed."""
    async with world(scopes=READS) as account:
        sink = account.make()
        try:
            with pytest.raises(SinkHeld) as opened:
                await sink.open()
            with pytest.raises(SinkHeld) as delivered:
                await sink.deliver(batch("t1", [record(1)]))
        finally:
            await sink.close()
    for caught in (opened, delivered):
        assert "crm.schemas.contacts.write" in caught.value.hint
        assert "stibnite_person_id" in caught.value.hint
        assert "stibnite_naics" in caught.value.hint
        assert caught.value.retry_after_s


@pytest.mark.parametrize(
    "name, definition, words",
    [
        ("stibnite_person_id", {"hasUniqueValue": False}, "does not require unique values"),
        ("stibnite_company_id", {"hasUniqueValue": False}, "does not require unique values"),
        ("stibnite_person_id", {"type": "number", "fieldType": "number"}, "has the type number, not string"),
        ("stibnite_sic", {"type": "number", "fieldType": "number"}, "has the type number, not string"),
        ("stibnite_prospect_id", {"type": "date", "fieldType": "date"}, "has the type date, not string"),
    ],
)
async def test_a_property_that_will_not_do_holds_the_sink(name, definition, words):
    """A key that is not unique, or a field of another type, holds everything until somebody has changed it."""
    async with world() as account:
        await by_hand(account, **{name: definition})
        sink = account.make()
        try:
            with pytest.raises(SinkHeld, match=f"{name}.*{words}") as caught:
                await sink.open()
            assert "Settings > Properties" in caught.value.hint
            findings = await sink.check()
        finally:
            await sink.close()
        assert account.contacts() == {}
    assert [f.ok for f in findings if name in f.what] == [False]


@pytest.mark.parametrize(
    "properties, words",
    [
        ({"job_title": "no_such_title"}, "no_such_title .for job_title. does not exist"),
        ({"job_title": "createdate"}, "createdate .for job_title. is read-only"),
        ({"company_name": "is_public"}, "is_public .for company_name. has the type bool"),
    ],
)
async def test_a_mapping_that_cannot_work_holds_the_sink(properties, words):
    """A property of the operator's own must be there and take what it is sent; it is never made by us."""
    async with world() as account:
        sink = account.make(properties=properties)
        try:
            with pytest.raises(SinkHeld, match=words):
                await sink.open()
        finally:
            await sink.close()
        assert "POST /crm/properties/contacts" not in account.sandbox.counters.by_path


async def test_the_sink_goes_on_when_the_account_is_put_right():
    """The first batch after the change is taken; the process need not be started again."""
    async with world() as account:
        sink = account.make(properties={"job_title": "our_title"})
        try:
            with pytest.raises(SinkHeld):
                await sink.open()
            await account.make_property("contacts", "our_title")
            assert kinds(await sink.deliver(batch("t1", [record(1)]))) == ["created"]
        finally:
            await sink.close()
        assert account.contacts()["person_1"]["our_title"] == "VP Sales"


async def test_an_archived_key_property_comes_back():
    """Making an archived property brings the old one back; what it is then, is looked at."""
    async with world() as account:
        await account.make_property("contacts", "stibnite_person_id")
        await account.remove_property("contacts", "stibnite_person_id")
        sink = account.make()
        try:
            with pytest.raises(SinkHeld, match="does not require unique values"):
                await sink.open()
        finally:
            await sink.close()


async def test_a_property_that_disappears_is_made_again():
    """Somebody archives one of our properties while we run: it comes back, no record is refused for it."""
    async with world() as account, account.opened() as sink:
        await sink.deliver(batch("t1", [record(1)]))
        await account.remove_property("contacts", "stibnite_prospect_id")
        assert kinds(await sink.deliver(batch("t2", [record(2)]))) == ["created"]
        assert account.sandbox.counters.by_path["POST /crm/properties/contacts"] == 3


async def test_a_key_property_that_disappears_costs_no_record():
    """Without the key property nothing is refused for good: the sink makes it again, or is held."""
    async with world() as account, account.opened() as sink:
        await sink.deliver(batch("t1", [record(1)]))
        await account.remove_property("contacts", "stibnite_person_id")
        with pytest.raises(SinkUnavailable) as caught:
            await sink.deliver(batch("t2", [record(2)]))
        assert not caught.value.outcomes
        account.shift_s += 3_700
        assert kinds(await sink.deliver(batch("t2", [record(2)], attempt=2))) == ["created"]


async def test_an_option_that_disappears_is_left_out():
    """Options are read anew when HubSpot refuses one; the record goes without it, and nobody is refused."""
    async with world() as account:
        options = [{"label": "VP Sales", "value": "vp"}, {"label": "CEO", "value": "ceo"}]
        await account.make_property("contacts", "our_title", type="enumeration", fieldType="select", options=options)
        async with account.opened(properties={"job_title": "our_title"}) as sink:
            await sink.deliver(batch("t1", [record(1)]))
            # HubSpot's own API has no way to take one option away; its settings page has.
            definitions = account.sandbox._records["contacts"].definitions
            title = definitions.live["our_title"]
            definitions.live["our_title"] = replace(title, options=title.options[1:])
            definitions.checks["our_title"] = one_of(("ceo",))
            outcomes = await sink.deliver(batch("t2", [record(2), record(3, job_title="CEO")]))
        assert kinds(outcomes) == ["created", "created"]
        contacts = account.contacts()
        assert contacts["person_1"]["our_title"] == "vp"
        assert "our_title" not in contacts["person_2"]
        assert contacts["person_3"]["our_title"] == "ceo"


async def test_an_account_in_euros_gets_no_dollars():
    """Revenue in dollars is left out where the account shows another currency."""
    async with world(company_currency="EUR") as account, account.opened() as sink:
        await sink.deliver(batch("t1", [record(1)]))
        assert "annualrevenue" not in account.companies()["company_1"]


async def test_owners_need_their_scope_only_when_they_are_used():
    """A key that may not read owners is good enough without `owners`; with them, the scope is named."""
    async with world(scopes=ALL_SCOPES - {"crm.objects.owners.read"}) as account:
        async with account.opened() as sink:
            assert kinds(await sink.deliver(batch("t1", [record(1)]))) == ["created"]
        sink = account.make(owners={"user_1": "jane@example.com"})
        try:
            with pytest.raises(SinkHeld) as caught:
                await sink.open()
        finally:
            await sink.close()
        assert "crm.objects.owners.read" in caught.value.hint


async def test_the_account_is_looked_at_once_an_hour():
    """Between two looks no request is spent on it; an hour later one look is."""
    async with world() as account, account.opened() as sink:
        await sink.deliver(batch("t1", [record(1)]))
        account.shift_s += 3_000
        await sink.deliver(batch("t2", [record(2)]))
        looks = account.sandbox.counters.by_path["GET /account-info/details"]
        account.shift_s += 700
        await sink.deliver(batch("t3", [record(3)]))
        assert account.sandbox.counters.by_path["GET /account-info/details"] == looks + 1


async def test_a_look_that_fails_later_does_not_stop_the_sink():
    """While HubSpot does not answer the hourly questions, the last answers hold."""
    async with world() as account, account.opened() as sink:
        await sink.deliver(batch("t1", [record(1)]))
        account.shift_s += 4_000
        account.sandbox.set_fault_rate("502", 1.0, path="/account-info/")
        assert kinds(await sink.deliver(batch("t2", [record(2)]))) == ["created"]


async def test_a_refused_question_about_the_account_blames_no_record():
    """What HubSpot refuses at start-up holds the sink; a batch is never given up for it."""
    async with world() as account:
        await account.make_property("contacts", "stibnite_a", hasUniqueValue=True)
        for n in range(9):
            await account.make_property("contacts", f"other_{n}", hasUniqueValue=True)
        sink = account.make()
        try:
            with pytest.raises(SinkHeld, match="stibnite_person_id") as caught:
                await sink.open()
            assert "by hand" in caught.value.hint
            with pytest.raises(SinkHeld):
                await sink.deliver(batch("t1", [record(1)]))
        finally:
            await sink.close()


async def test_check_finds_nothing_wrong_with_a_good_account():
    """Token, scopes, properties, owners and quota are all looked at, and nothing is written."""
    async with world(owners={"jane@example.com": "77"}) as account:
        async with account.opened():
            pass
        made = {
            path: n
            for path, n in account.sandbox.counters.by_path.items()
            if "properties" in path and "read" not in path
        }
        sink = account.make(owners={"user_1": "jane@example.com"})
        findings = await sink.check()
        await sink.close()
        after = {
            path: n
            for path, n in account.sandbox.counters.by_path.items()
            if "properties" in path and "read" not in path
        }
    told = "\n".join(finding.what for finding in findings)
    assert all(finding.ok for finding in findings)
    assert made == after
    for word in ("account 48151623", "scopes", "properties", "1 of 1 owners", "requests are left"):
        assert word in told
    assert account.sandbox.token not in told


async def test_check_names_what_is_missing():
    """A scope, an owner and a quota that are missing are each one finding with a hint."""
    lacking = READS - {"crm.objects.companies.write"}
    async with world(scopes=lacking, owners={"jane@example.com": "77"}) as account:
        sink = account.make(owners={"user_1": "john@example.com"})
        findings = await sink.check()
        await sink.close()
        assert not any(
            "POST" in path and "batch/read" not in path and "token" not in path
            for path in account.sandbox.counters.by_path
        )
    bad = {finding.what: finding.hint for finding in findings if not finding.ok}
    assert all(bad.values())
    told = "\n".join(bad)
    assert "crm.objects.companies.write" in told
    assert "crm.schemas.contacts.write" in told
    assert "user_1" in told
    assert "john" not in told


async def test_check_of_a_wrong_token():
    """A token that HubSpot does not know is one finding, and no other question is asked."""
    async with world() as account:
        sink = account.make(token="pat-na1-wrong-wrong-wrong")
        findings = await sink.check()
        await sink.close()
    assert [finding.ok for finding in findings] == [False]
    assert "401" in findings[0].what
    assert "pat-na1" not in f"{findings}"
