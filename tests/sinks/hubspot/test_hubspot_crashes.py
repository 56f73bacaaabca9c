"""Whatever breaks between us and HubSpot: nobody is lost, nobody is doubled, and no figure changes."""

import asyncio
import random
from dataclasses import replace

import pytest

from stibgate.errors import SinkHeld, SinkUnavailable
from stibgate.testing import RECEIVED_AT_MS, DictMemory
from tests.sinks.hubspot.sink_world import VERSIONS, batch, kinds, record, world

CUTS = 200
ATTEMPTS_MAX = 60


async def until_settled(account, sink, first, after=lambda: None):
    """Deliver as the pipeline does: what is settled does not come again; return all outcomes."""
    outcomes = {}
    for attempt in range(1, ATTEMPTS_MAX):
        records = [each for each in first.records if each.position not in outcomes]
        try:
            answered = await sink.deliver(replace(first, records=records, attempt=attempt))
        except SinkUnavailable as error:
            outcomes |= {outcome.position: outcome for outcome in error.outcomes}
            after()
        else:
            outcomes |= {outcome.position: outcome for outcome in answered}
        if len(outcomes) == len(first.records):
            return [outcomes[each.position] for each in first.records]
    raise AssertionError("it never settled")


def check(account, people):
    """Everybody is there once, with their company and nothing else."""
    account.check_sound()
    contacts, companies = account.contacts(), account.companies()
    assert set(contacts) == {person.person_id for person in people}
    assert set(companies) == {person.company_id for person in people}
    pairs = {(contacts[p.person_id]["hs_object_id"], companies[p.company_id]["hs_object_id"]) for p in people}
    assert account.sandbox.associations() == pairs


@pytest.mark.parametrize("version", VERSIONS)
async def test_connections_cut_after_the_commit(version):
    """Two hundred cut connections, most of them after HubSpot had done its work: everybody once, all of them created."""
    draw = random.Random(version)
    people, results = [], []
    async with world(version) as account, account.opened() as sink:
        account.sandbox.recording = False
        account.sandbox.set_fault_rate("cut_after", 0.35)
        account.sandbox.set_fault_rate("cut_before", 0.1)
        faults = account.sandbox.counters.faults
        while faults["cut_after"] < CUTS // len(VERSIONS):
            batches = []
            for _ in range(3):
                start = len(people)
                people += [
                    record(n, company_id=f"company_{draw.randrange(start // 2 + 1)}", company_name="Acme")
                    for n in range(start, start + draw.randrange(1, 5))
                ]
                batches.append(batch(f"t{start}", people[start:]))
            results += await asyncio.gather(*(until_settled(account, sink, each) for each in batches))
        check(account, people)
    assert {kind for outcomes in results for kind in kinds(outcomes)} == {"created"}
    assert sum(map(len, results)) == len(people)


async def test_cuts_with_a_memory_that_is_lost_each_time():
    """The same without any memory of what was begun: figures may differ, the account is as it should be."""
    people = [record(n, company_id=f"company_{n % 4}", company_name="Acme") for n in range(30)]
    async with world() as account:
        for start in range(0, len(people), 5):
            account.memory = DictMemory()
            async with account.opened() as sink:
                account.sandbox.set_fault_rate("cut_after", 0.4, path="/crm/objects/")
                account.sandbox.set_fault_rate("cut_after", 0.4, path="/crm/associations/")
                await until_settled(account, sink, batch(f"t{start}", people[start : start + 5]))
                account.sandbox.set_fault_rate("cut_after", 0, path="/crm/objects/")
                account.sandbox.set_fault_rate("cut_after", 0, path="/crm/associations/")
        check(account, people)
        assert account.sandbox.counters.faults["cut_after"] > 5


@pytest.mark.parametrize(
    "path",
    ["companies/search", "companies/batch/upsert", "contacts/batch/read", "contacts/batch/upsert", "associate/default"],
)
async def test_a_failure_at_each_step_changes_no_figure(path):
    """A batch that fails at any step and comes again to a new process has the outcomes of one that did not fail."""
    people = [record(n, company_domain=f"acme{n}.example.org") for n in range(3)]
    async with world() as account:
        async with account.opened() as sink:
            account.sandbox.fail_next("cut_after", path=path)
            account.sandbox.fail_next("502", count=50, path=path)
            with pytest.raises(SinkUnavailable):
                await sink.deliver(batch("t1", people))
        account.sandbox._border.faults._waiting.clear()
        account.shift_s += 60
        async with account.opened() as sink:
            assert kinds(await sink.deliver(batch("t1", people, attempt=2))) == ["created"] * 3
            before = account.spent()
            assert kinds(await sink.deliver(batch("t1", people, attempt=3))) == ["created"] * 3
            assert account.spent() == before
        check(account, people)


async def test_a_caller_that_gives_up_between_commit_and_answer():
    """A delivery that is cancelled at any moment and comes again counts as it would have the first time."""
    people = [record(n) for n in range(3)]
    async with world() as account, account.opened() as sink:
        for turns in range(0, 120, 7):
            impatient = asyncio.create_task(sink.deliver(batch("t1", people)))
            for _ in range(turns):
                await asyncio.sleep(0)
            impatient.cancel()
            await asyncio.gather(impatient, return_exceptions=True)
        assert kinds(await sink.deliver(batch("t1", people, attempt=2))) == ["created"] * 3
        check(account, people)


async def test_a_memory_that_is_lost_doubles_nothing():
    """A full account and an empty memory: nobody is doubled, and what people wrote is kept, also without an address."""
    people = [record(n, company_domain=f"acme{n}.example.org") for n in range(4)]
    people[3] = replace(people[3], business_email=None)
    async with world() as account:
        async with account.opened() as sink:
            await sink.deliver(batch("t1", people))
        for n in range(4):
            await account.edit("contacts", f"person_{n}", jobtitle="President", mobilephone="")
            await account.edit("companies", f"company_{n}", name=f"Acme {n} Worldwide")
        await account.edit("contacts", "person_1", email="zoe@example.org")
        account.memory = DictMemory()
        async with account.opened() as sink:
            outcomes = await sink.deliver(batch("t2", people, received_at_ms=RECEIVED_AT_MS + 1))
        check(account, people)
        contacts = account.contacts()
        assert kinds(outcomes) == ["updated"] * 4
        assert {contact["jobtitle"] for contact in contacts.values()} == {"President"}
        assert {contact["mobilephone"] for contact in contacts.values()} == {"+12085550123"}
        assert contacts["person_1"]["email"] == "zoe@example.org"
        assert account.companies()["company_0"]["name"] == "Acme 0 Worldwide"


async def test_memory_of_one_account_is_not_used_for_another():
    """A token of another account finds that account empty, whatever the first one has."""
    async with world() as first, world(portal_id=2) as second:
        second.memory = first.memory
        for account in (first, second):
            async with account.opened() as sink:
                assert kinds(await sink.deliver(batch("t1", [record(1)]))) == ["created"]
            check(account, [record(1)])


@pytest.mark.parametrize(
    "fault, details",
    [
        ("401", {}),
        ("403", {"scopes": ["crm.objects.contacts.write"]}),
        ("429_daily", {}),
        ("477", {"retry_after_s": 120}),
    ],
)
async def test_what_concerns_everybody_holds_the_sink(fault, details):
    """A token, a scope, the day's quota, an account on the move: nothing is refused, and it goes on afterwards."""
    async with world() as account:
        async with account.opened() as sink:
            account.sandbox.fail_next(fault, path="contacts/batch/upsert", **details)
            with pytest.raises(SinkHeld) as caught:
                await sink.deliver(batch("t1", [record(1)]))
            assert not caught.value.outcomes
            assert caught.value.retry_after_s
            assert all(scope in caught.value.hint for scope in details.get("scopes", ()))
        async with account.opened() as sink:
            assert kinds(await sink.deliver(batch("t1", [record(1)], attempt=2))) == ["created"]
        check(account, [record(1)])


@pytest.mark.parametrize("fault", ["html", "html_200", "truncated", "empty_2xx", "short", "500", "423", "slow"])
@pytest.mark.parametrize("path", ["contacts/batch/upsert", "companies/batch/upsert", "associate/default", "batch/read"])
async def test_an_answer_that_makes_no_sense_loses_nobody(fault, path):
    """Pages, half answers and short answers are tried again or looked up, never believed."""
    people = [record(n) for n in range(5)]
    async with world() as account, account.opened() as sink:
        account.sandbox.fail_next(fault, path=path, **({"seconds": 0.01} if fault == "slow" else {}))
        outcomes = await until_settled(account, sink, batch("t1", people))
        check(account, people)
    assert kinds(outcomes) == ["created"] * 5


async def test_what_is_settled_does_not_come_again():
    """When one slice of a large delivery fails, the others' outcomes are in the error."""
    people = [record(n, company_id=None) for n in range(250)]
    async with world() as account, account.opened() as sink:

        async def fail():
            account.sandbox.fail_next("502", count=50, path="contacts/batch/upsert")

        account.before("contacts/batch/upsert", lambda: asyncio.sleep(0))
        nobody = replace(
            people[0], person_id=None, prospect_id=None, business_email=None, mobile_phone=None, position=999
        )
        account.before("contacts/batch/read", fail)
        with pytest.raises(SinkUnavailable) as caught:
            await sink.deliver(batch("t1", [*people, nobody]))
        assert [(o.position, str(o.kind)) for o in caught.value.outcomes][:1] == [(999, "refused")]
        account.sandbox._border.faults._waiting.clear()
        rest = batch("t1", people, attempt=2)
        assert kinds(await sink.deliver(rest)) == ["created"] * 250
