"""What an adversary found: two batches after one contact, figures after a failure, memories that promised too much."""

import asyncio

import pytest
from aiohttp import web

from stibgate.errors import SinkUnavailable
from stibgate.testing import RECEIVED_AT_MS, DictMemory
from tests.sinks.hubspot.sink_world import batch, kinds, record, world

LATER_MS = RECEIVED_AT_MS + 1000


async def test_two_batches_do_not_adopt_one_contact():
    """Of two people with one address, in two batches at once, one takes the contact over and the other gets their own."""
    async with world() as account, account.opened() as sink:
        await account.add("contacts", email="shared@example.com", firstname="By hand")
        people = [record(n, business_email="shared@example.com") for n in (1, 2)]
        answers = await asyncio.gather(*(sink.deliver(batch(f"t{p.position}", [p])) for p in people))
        assert sorted(kind for outcomes in answers for kind in kinds(outcomes)) == ["created", "updated"]
        assert {"person_1", "person_2"} <= set(account.contacts())
        account.check_sound()


@pytest.mark.parametrize("path", ["contacts/batch/update", "contacts/batch/upsert", "associate/default"])
async def test_a_failure_does_not_turn_updated_into_unchanged(path):
    """What an attempt has updated is still told as updated by the attempt that sees the end, with new people or not."""
    known, adopted, new = record(1), record(2), record(3)
    async with world() as account:
        async with account.opened() as sink:
            await sink.deliver(batch("t0", [record(1, job_title=None)]))
            await account.add("contacts", email="p2@example.com", firstname="By hand")
            account.sandbox.fail_next("cut_after", path=path)
            account.sandbox.fail_next("502", count=7, path=path)
            with pytest.raises(SinkUnavailable):
                await sink.deliver(batch("t1", [known, adopted, new], received_at_ms=LATER_MS))
        account.sandbox._border.faults._waiting.clear()
        async with account.opened() as sink:
            again = await sink.deliver(batch("t1", [known, adopted, new], received_at_ms=LATER_MS, attempt=2))
        assert kinds(again) == ["updated", "updated", "created"]


async def test_what_was_begun_is_not_an_answer():
    """A batch whose update nobody saw the end of is sent again, not answered from memory."""
    async with world() as account, account.opened() as sink:
        await sink.deliver(batch("t0", [record(1, job_title=None)]))
        account.sandbox.fail_next("502", count=8, path="contacts/batch/update")
        with pytest.raises(SinkUnavailable):
            await sink.deliver(batch("t1", [record(1)], received_at_ms=LATER_MS))
        account.sandbox._border.faults._waiting.clear()
        assert kinds(await sink.deliver(batch("t1", [record(1)], received_at_ms=LATER_MS, attempt=2))) == ["updated"]
        assert account.contacts()["person_1"]["jobtitle"] == "VP Sales"


async def _written_and_edited(account):
    """Let a sink of another memory write person 1, whom somebody then edits by hand."""
    mine, account.memory = account.memory, DictMemory()
    async with account.opened() as sink:
        await sink.deliver(batch("t0", [record(1, business_email=None)]))
    await account.edit("contacts", "person_1", jobtitle="By hand")
    account.memory = mine


async def test_a_key_property_that_comes_back_is_not_empty():
    """A deleted key property that HubSpot restores has old values: they are looked up, and what people wrote stays."""
    async with world() as account:
        await _written_and_edited(account)
        await account.remove_property("contacts", "stibnite_person_id")
        await account.remove_property("companies", "stibnite_company_id")
        async with account.opened() as sink:
            assert kinds(await sink.deliver(batch("t1", [record(1, business_email=None)]))) == ["unchanged"]
        assert account.contacts()["person_1"]["jobtitle"] == "By hand"


async def test_another_key_property_is_another_promise():
    """That one key property was empty once says nothing about the next one that the configuration names."""
    async with world() as account:
        async with account.opened() as sink:
            await sink.deliver(batch("t0", [record(9)]))
        await account.make_property("contacts", "ext_id", hasUniqueValue=True)
        await account.add("contacts", ext_id="person_1", firstname="By hand")
        async with account.opened(properties={"person_id": "ext_id"}) as sink:
            assert kinds(await sink.deliver(batch("t1", [record(1)]))) == ["updated"]
        found = next(row for row in account.contacts().values() if row.get("ext_id") == "person_1")
        assert found["firstname"] == "By hand"


async def test_contacts_alone_promise_nothing_about_companies():
    """Companies that were there before companies were switched on are looked up, and what people wrote stays."""
    async with world() as account:
        await account.make_property("companies", "stibnite_company_id", hasUniqueValue=True)
        await account.add("companies", stibnite_company_id="company_1", name="By hand")
        async with account.opened(companies=False) as sink:
            await sink.deliver(batch("t0", [record(9)]))
        async with account.opened() as sink:
            await sink.deliver(batch("t1", [record(1)]))
        assert account.companies()["company_1"]["name"] == "By hand"


async def test_a_claim_that_fails_is_looked_up_before_anything_is_created():
    """When our key turns out to be on another contact, that one is read first: only its blanks are filled."""
    async with world() as account, account.opened(field_policy={"business_email": "never"}) as mine:
        await _written_and_edited(account)
        await account.add("contacts", email="p1@example.com")
        assert kinds(await mine.deliver(batch("t1", [record(1)]))) == ["unchanged"]
        assert account.contacts()["person_1"]["jobtitle"] == "By hand"
        account.check_sound()


async def test_two_merged_people_are_both_compared():
    """Both of two people whose contacts were merged are read before anything is said about them."""
    async with world() as account, account.opened() as sink:
        people = [record(n, mobile_phone=None) for n in (1, 2)]
        await sink.deliver(batch("t0", people))
        await account.merge(account.record_id("contacts", "person_1"), account.record_id("contacts", "person_2"))
        await sink.deliver(batch("t1", [record(n, mobile_phone=None, job_title="CTO") for n in (1, 2)]))
        phones = ["+12085550101", "+12085550102"]
        third = [record(n, mobile_phone=phone) for n, phone in zip((1, 2), phones, strict=True)]
        assert "updated" in kinds(await sink.deliver(batch("t2", third, received_at_ms=LATER_MS)))
        (contact,) = account.contacts().values()
        assert contact["mobilephone"] == phones[0]


async def test_a_second_look_that_fails_is_not_repeated_by_every_batch():
    """While the account's details do not come, what was seen an hour ago serves, and one batch a minute asks again."""
    async with world() as account, account.opened() as sink:
        await sink.deliver(batch("t0", [record(0)]))
        account.shift_s += 3700
        account.sandbox.set_fault_rate("500", 1.0, path="account-info")
        asked = account.sandbox.counters.by_path["GET /account-info/details"]
        await asyncio.gather(*(sink.deliver(batch(f"t{n}", [record(n)])) for n in range(1, 6)))
        assert account.sandbox.counters.by_path["GET /account-info/details"] - asked == 4


@pytest.mark.parametrize("path", ["access-token-info", "api-usage"])
async def test_what_hubspot_does_not_tell_is_no_failure(path):
    """Scopes and quota that this kind of token cannot ask for say nothing about whether records get in."""

    async def nothing_there():
        raise web.HTTPNotFound(text='{"status": "error", "category": "OBJECT_NOT_FOUND", "message": "not found"}')

    async with world() as account, account.opened() as sink:
        account.before(path, nothing_there)
        findings = await sink.check()
    assert all(finding.ok for finding in findings), findings
    assert any("does not say" in finding.what for finding in findings)
