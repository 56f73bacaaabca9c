"""Reading, searching, associating: at the sandbox, in both versions, and by script."""

import asyncio
import time

import pytest

from stibgate.errors import SinkHeld, SinkUnavailable
from stibgate.sinks.hubspot.objects import Objects
from stibgate.sinks.hubspot.shapes import Found, Input, Refusal, Written
from tests import virtual
from tests.sinks.hubspot.transport import Canned, Script, company, in_virtual_time, person, sandboxed

VERSIONS = ["2026-03", "2026-09"]


@pytest.mark.parametrize("version", VERSIONS)
def test_reading(version):
    """By address in any case, by key, by record id: what is there under the ids as asked for, the rest left out."""

    async def main():
        async with sandboxed(version=version) as (_, client):
            objects = Objects(client)
            written = await objects.upsert("contacts", [person(n) for n in range(250)])
            ids = [f"P{n}@Example.com" for n in range(260)]
            found = await objects.read("contacts", ids, id_property="email", properties=["firstname", "phone"])
            assert list(found) == ids[:250]
            assert found["P7@Example.com"] == Found(written[7].id, {"firstname": "Zoë7", "phone": None})
            both = await objects.read(
                "contacts", ["P1@Example.com", "p1@example.com"], id_property="email", properties=[]
            )
            assert both.keys() == {"P1@Example.com", "p1@example.com"}
            by_key = await objects.read(
                "contacts", ["person_3"], id_property="stibnite_person_id", properties=["email"]
            )
            assert by_key == {"person_3": Found(written[3].id, {"email": "p3@example.com"})}
            by_id = await objects.read("contacts", [written[3].id, "1"], id_property=None, properties=["email"])
            assert by_id == {written[3].id: Found(written[3].id, {"email": "p3@example.com"})}
            assert await objects.read("contacts", [], id_property=None, properties=[]) == {}

    virtual.run(main())


@in_virtual_time
async def test_a_further_address_finds_its_contact():
    """A contact that HubSpot finds by a secondary address is told under the address that was asked for."""
    contact = {
        "id": "5",
        "properties": {"email": "first@example.com", "hs_additional_emails": "a@example.com;b@example.com"},
    }
    script = Script(Canned({"results": [contact]}))
    async with script.client() as client:
        objects = Objects(client)
        ids = ["B@example.com", "c@example.com", "d@example.com"]
        found = await objects.read("contacts", ids, id_property="email", properties=["email"])
        assert found == {"B@example.com": Found("5", {"email": "first@example.com"})}
    assert set(script.seen[0].body["properties"]) == {"email", "hs_additional_emails"}


@in_virtual_time
async def test_merged_records_are_found_under_their_old_ids():
    """Several ids that now are other records each find theirs."""
    async with sandboxed() as (_, client):
        objects = Objects(client)
        made = await objects.upsert("companies", [company(n) for n in range(6)])
        for first, second in ((0, 1), (2, 3)):
            merge = {"primaryObjectId": made[first].id, "objectIdToMerge": made[second].id}
            await client.request("POST", "crm/objects/{version}/companies/merge", merge)
        ids = [made[1].id, made[3].id, made[5].id, "404"]
        found = await objects.read("companies", ids, id_property=None, properties=["stibnite_company_id"])
        assert {id_: each.properties["stibnite_company_id"] for id_, each in found.items()} == {
            made[1].id: "company_0", made[3].id: "company_2", made[5].id: "company_5"
        }  # fmt: skip


@in_virtual_time
async def test_a_lost_read_is_no_absence():
    """When HubSpot does not answer, nobody is told that there is no such record."""
    async with Script(Canned({}, 503)).client() as client:
        with pytest.raises(SinkUnavailable):
            await Objects(client).read("contacts", ["a@example.com"], id_property="email", properties=[])


@pytest.mark.parametrize("version", VERSIONS)
def test_searching(version):
    """One IN filter for a hundred values, callers share it, and domains that several records have give all of them."""

    async def main():
        async with sandboxed(version=version) as (sandbox, client):
            objects = Objects(client)
            made = await objects.upsert("companies", [company(n, domain=f"d{n % 120}.example") for n in range(150)])
            await asyncio.sleep(5)
            one, two = await asyncio.gather(
                objects.search("companies", "domain", [f"D{n}.example" for n in range(60)], ["name"]),
                objects.search("companies", "domain", ["d100.example", "d119.example", "none.example"], ["name"]),
            )
            assert {found.id for found in one} == {made[n].id for n in (*range(60), *range(120, 150))}
            assert [found.properties for found in two] == [{"name": "Acme 100"}, {"name": "Acme 119"}]
            assert sandbox.counters.by_path["POST /crm/objects/companies/search"] == 1

    virtual.run(main())


@in_virtual_time
async def test_searches_go_by_their_own_clock():
    """Searches as fast as they may be meet no limit of their own."""
    async with sandboxed() as (sandbox, client):
        objects = Objects(client)
        await objects.search("companies", "domain", [f"d{n}.example" for n in range(2_500)], ["name"])
        assert sandbox.counters.by_path["POST /crm/objects/companies/search"] == 25
        assert sandbox.counters.too_many == 0
        assert asyncio.get_running_loop().time() <= 8


@in_virtual_time
async def test_all_pages_are_read():
    """A search is followed to its last page, with the same values."""

    def answer(seen):
        start = int(seen.body["after"])
        results = [
            {"id": str(n), "properties": {"domain": "Acme.example"}} for n in range(start, min(start + 200, 450))
        ]
        return Canned(
            {"results": results, **({"paging": {"next": {"after": str(start + 200)}}} if start < 400 else {})}
        )

    script = Script(by=answer)
    async with script.client() as client:
        found = await Objects(client).search("companies", "domain", ["acme.example"], [])
    assert len(found) == 450
    assert [seen.body["filterGroups"][0]["filters"][0]["values"] for seen in script.seen] == [["acme.example"]] * 3


@in_virtual_time
async def test_a_search_that_cannot_be_is_configuration():
    """A property that is not there holds the sink; no record is given up for it."""
    async with sandboxed() as (_, client):
        with pytest.raises(SinkHeld):
            await Objects(client).search("companies", "nonsense", ["x"], ["name"])


@pytest.mark.parametrize("version", VERSIONS)
def test_associating(version):
    """Pairs are associated, twice as well as once; those that cannot be are refused each by itself."""

    async def main():
        async with sandboxed(version=version) as (sandbox, client):
            objects = Objects(client)
            contacts = await objects.upsert("contacts", [person(n) for n in range(150)])
            companies = await objects.upsert("companies", [company(n) for n in range(150)])
            pairs = [(one.id, two.id) for one, two in zip(contacts, companies, strict=True)]
            pairs[70] = ("404", pairs[70][1])
            for _ in range(2):
                results = await objects.associate([*pairs, pairs[0]])
                assert [index for index, result in enumerate(results) if result is not None] == [70]
                assert isinstance(results[70], Refusal)
            assert sandbox.associations() == set(pairs) - {pairs[70]}
            assert await objects.associate([]) == []

    virtual.run(main())


@in_virtual_time
async def test_the_same_number_at_both_ends():
    """A contact and a company may have each other's numbers: the direction of a result tells them apart."""

    def answer(seen):
        (first, second) = seen.body["inputs"]
        assert first["from"]["id"] == second["to"]["id"]
        reverse = {"from": {"id": "2"}, "to": {"id": "1"}, "associationSpec": {"associationTypeId": 280}}
        error = {"category": "VALIDATION_ERROR", "context": {"fromObjectId": ["2"], "toObjectId": ["1"]}}
        return Canned({"results": [reverse], "errors": [error], "numErrors": 1})

    async with Script(by=answer).client() as client:
        done, refused = await Objects(client).associate([("1", "2"), ("2", "1")])
    assert done is None
    assert isinstance(refused, Refusal)


@pytest.mark.parametrize("drop", [1, 2, 5, 20])
def test_a_short_association_is_read_back(drop):
    """Pairs that the answer forgets are looked up before they count as associated."""

    async def main():
        async with sandboxed() as (sandbox, client):
            objects = Objects(client)
            contacts = await objects.upsert("contacts", [person(n) for n in range(10)])
            (employer,) = await objects.upsert("companies", [company(1)])
            sandbox.fail_next("short", path="associate", drop=drop)
            assert await objects.associate([(contact.id, employer.id) for contact in contacts]) == [None] * 10

    virtual.run(main())


@in_virtual_time
async def test_inputs_of_one_upsert_have_one_key():
    """An upsert without a key, or with two, is a mistake of ours and is not sent."""
    script = Script(Canned({}))
    async with script.client() as client:
        for inputs in ([Input("1", {})], [Input("1", {}, "a"), Input("1", {}, "b")]):
            with pytest.raises(ValueError):
                await Objects(client).upsert("contacts", inputs)
        assert await Objects(client).upsert("contacts", []) == []
    assert script.seen == []


@in_virtual_time
async def test_tasks_share_requests():
    """Ten deliveries of ten people at once are a few requests, not ten, and each gets its own results."""
    async with sandboxed() as (sandbox, client):
        await asyncio.sleep(10)
        objects = Objects(client)
        calls = [objects.upsert("contacts", [person(10 * c + n) for n in range(10)]) for c in range(10)]
        results = await asyncio.gather(*calls)
        there = {contact["properties"]["stibnite_person_id"]: contact["id"] for contact in sandbox.contacts()}
        assert [[result.id for result in each] for each in results] == [
            [there[f"person_{10 * c + n}"] for n in range(10)] for c in range(10)
        ]
        assert sandbox.counters.by_path["POST /crm/objects/contacts/batch/upsert"] <= 2


@in_virtual_time
async def test_closing_tells_callers():
    """Who waits when the sink closes is told; nobody hangs."""
    async with Script(Canned({}, delay_s=50)).client() as client:
        calls = [asyncio.ensure_future(Objects(client).upsert("contacts", [person(n)])) for n in range(20)]
        await asyncio.sleep(1)
        late = asyncio.ensure_future(Objects(client).upsert("contacts", [person(99)]))
        await asyncio.sleep(0)
        await client.close()
        async with asyncio.timeout(5):
            results = await asyncio.gather(*calls, late, return_exceptions=True)
    assert {type(result) for result in results} == {SinkUnavailable}


@in_virtual_time
async def test_a_storm_loses_and_doubles_nothing():
    """Under faults of every kind at random, retried by the caller, the account ends as it should."""
    async with sandboxed(seed=11) as (sandbox, client):
        sandbox.recording = False
        for fault, rate in (("cut_after", 0.08), ("truncated", 0.05), ("503", 0.08), ("423", 0.05), ("short", 0.1)):
            sandbox.set_fault_rate(fault, rate, path="batch/upsert")
        objects = Objects(client)

        async def deliver(numbers):
            while True:
                try:
                    return await objects.upsert("contacts", [person(n) for n in numbers])
                except SinkUnavailable:
                    continue

        results = await asyncio.gather(*(deliver(range(40 * c, 40 * c + 40)) for c in range(25)))
        assert all(isinstance(result, Written) for each in results for result in each)
        assert sandbox.missing("contacts", "stibnite_person_id", [f"person_{n}" for n in range(1_000)]) == set()
        assert sandbox.duplicates()["stibnite_person_id"] == {}
        assert len(sandbox.contacts()) == 1_000


@pytest.mark.benchmark
def test_client_cpu_of_a_hundred():
    """Prints what one upsert of a hundred costs the client, encoding to results."""

    async def main():
        people = [person(n) for n in range(100)]
        shown = [
            {"id": str(n), "new": False, "properties": dict(each.properties, stibnite_person_id=each.id)}
            for n, each in enumerate(people)
        ]
        async with Script(Canned({"results": shown})).client() as client:
            objects = Objects(client)
            client._limiter.learn({"X-HubSpot-RateLimit-Max": "1000000"})
            started = time.process_time()
            for _ in range(200):
                await objects.upsert("contacts", people)
            print(f"{(time.process_time() - started) / 200 * 1000:.2f} ms, the server's share included")

    virtual.run(main())
