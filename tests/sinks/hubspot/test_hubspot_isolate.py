"""One bad record among many, at the sandbox and at servers that answer by a script."""

import asyncio
from random import Random

import pytest

from stibgate.errors import SinkHeld, SinkUnavailable
from stibgate.sinks.hubspot.disabled import DISABLED_S
from stibgate.sinks.hubspot.objects import Objects
from stibgate.sinks.hubspot.shapes import Input, Refusal, Written
from tests import virtual
from tests.sinks.hubspot.transport import Canned, Script, company, in_virtual_time, person, sandboxed

UPSERT = "POST /crm/objects/contacts/batch/upsert"
VERSIONS = ["2026-03", "2026-09"]


def portal(**switches):
    from stibgate.sandbox.hubspot import Portal

    return Portal(**switches)


def refusals(results) -> dict[int, Refusal]:
    return {index: result for index, result in enumerate(results) if isinstance(result, Refusal)}


def check_arrived(sandbox, people, results) -> None:
    """Fail unless exactly those that are `Written` are in the account, each under its own id."""
    there = {contact["properties"].get("stibnite_person_id"): contact["id"] for contact in sandbox.contacts()}
    for item, result in zip(people, results, strict=True):
        assert isinstance(result, (Written, Refusal))
        assert there.get(item.id) == (result.id if isinstance(result, Written) else None)
    assert sandbox.duplicates() == {name: {} for name in sandbox.duplicates()}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("trace_ids", "most"), [(True, 2), (False, 16)])
@pytest.mark.parametrize("place", [0, 37, 50, 99])
def test_one_poison_record_in_a_hundred(version, trace_ids, most, place):
    """99 arrive, one is refused with HubSpot's words, in at most 2 requests with trace ids and 16 without."""

    async def main():
        async with sandboxed(version=version) as (sandbox, client):
            people = [person(n) for n in range(100)]
            people[place] = person(place, email="zoë at example")
            results = await Objects(client, trace_ids=trace_ids).upsert("contacts", people)
            check_arrived(sandbox, people, results)
            return results, sandbox.counters.by_path[UPSERT], [each.body for each in sandbox.requests]

    results, requests, bodies = virtual.run(main())
    ((index, refusal),) = refusals(results).items()
    assert index == place
    assert (refusal.category, refusal.code, refusal.property) == ("VALIDATION_ERROR", "INVALID_EMAIL", "email")
    assert refusal.correlation_id
    assert "zoë" not in repr(refusal)
    assert requests <= most
    assert any("objectWriteTraceId" in str(body) for body in bodies) is trace_ids


@pytest.mark.parametrize("shape", ["modern", "legacy"])
@pytest.mark.parametrize("partial", ["207", "whole_409"])
@pytest.mark.parametrize("trace_ids", [True, False])
def test_a_conflict_names_the_record_in_the_way(shape, partial, trace_ids):
    """An address that another contact has refuses one record and gives the other's id, in each shape."""

    async def main():
        async with sandboxed(portal(conflict_shape=shape, upsert_partial=partial)) as (sandbox, client):
            objects = Objects(client, trace_ids=trace_ids)
            (other,) = await objects.upsert("contacts", [person(1000, email="taken@example.com")])
            people = [person(n) for n in range(100)]
            people[61] = person(61, email="Taken@example.com")
            results = await objects.upsert("contacts", people)
            check_arrived(sandbox, people, results)
            return other, results

    other, results = virtual.run(main())
    ((index, refusal),) = refusals(results).items()
    assert index == 61
    assert refusal.category in {"CONFLICT", "OBJECT_ALREADY_EXISTS"}
    assert refusal.existing_id == other.id


@pytest.mark.parametrize("trace_ids", [True, False])
@pytest.mark.parametrize("count", [2, 5, 20, 100])
def test_many_poison_records(count, trace_ids):
    """Exactly the bad ones are refused, and looking for them costs little more than sending each alone."""

    async def main():
        draw = Random(count)
        async with sandboxed() as (sandbox, client):
            bad = set(draw.sample(range(100), count))
            people = [person(n, **({"email": "nope"} if n in bad else {})) for n in range(100)]
            results = await Objects(client, trace_ids=trace_ids).upsert("contacts", people)
            check_arrived(sandbox, people, results)
            assert refusals(results).keys() == bad
            return sandbox.counters.by_path[UPSERT]

    assert virtual.run(main()) <= (1 if trace_ids else 125)


@in_virtual_time
async def test_looking_for_culprits_leaves_the_rate_to_others():
    """While one caller's batch is taken apart, others keep four fifths of the rate."""
    async with sandboxed() as (sandbox, client):
        bad = Objects(client, trace_ids=False).upsert("contacts", [person(n, email="nope") for n in range(100)])
        task = asyncio.ensure_future(bad)
        loop, done = asyncio.get_running_loop(), 0
        started = loop.time()
        while loop.time() < started + 20:
            await client.request("GET", "account-info/{version}/details")
            done += 1
        assert not task.done()
        assert done >= 0.78 * 20 * 17.5
        assert sandbox.counters.too_many == 0
        await task


@pytest.mark.parametrize("trace_ids", [True, False])
@pytest.mark.parametrize(
    ("name", "code"), [("stibnite_naics", "PROPERTY_DOESNT_EXIST"), ("hs_object_id", "READ_ONLY_VALUE")]
)
def test_a_property_that_nobody_may_write_is_left_out(trace_ids, name, code):
    """An unknown or read-only property costs one more request and no record; it is reported, and tried again later."""

    async def main():
        async with sandboxed() as (sandbox, client):
            told = []
            client.disabled.on_disabled = lambda *what: told.append(what)
            objects = Objects(client, trace_ids=trace_ids)
            people = [person(n, **{name: "7"}) for n in range(100)]
            results = await objects.upsert("contacts", people)
            check_arrived(sandbox, people, results)
            assert refusals(results) == {}
            assert sandbox.counters.by_path[UPSERT] == 2
            assert client.disabled_properties("contacts") == {name: code}
            assert client.disabled_properties("companies") == {}
            assert told == [("contacts", name, code)]
            await objects.upsert("contacts", people[:5])
            assert sandbox.counters.by_path[UPSERT] == 3
            await asyncio.sleep(DISABLED_S)
            assert client.disabled_properties("contacts") == {}
            await objects.upsert("contacts", people[:5])
            assert sandbox.counters.by_path[UPSERT] == 5

    virtual.run(main())


@pytest.mark.parametrize("trace_ids", [True, False])
def test_a_bad_property_and_a_bad_record(trace_ids):
    """Both at once: the property is left out, the record is refused for its own fault."""

    async def main():
        async with sandboxed() as (sandbox, client):
            people = [person(n, stibnite_naics="7", **({"email": "nope"} if n == 5 else {})) for n in range(20)]
            results = await Objects(client, trace_ids=trace_ids).upsert("contacts", people)
            check_arrived(sandbox, people, results)
            assert [(n, refusal.code) for n, refusal in refusals(results).items()] == [(5, "INVALID_EMAIL")]

    virtual.run(main())


@pytest.mark.parametrize("key", ["stibnite_prospect_id", "lastname"])
def test_a_key_that_is_none_holds_the_sink(key):
    """An unknown key or one that is not unique is configuration: no record is given up for it."""

    async def main():
        async with sandboxed() as (_, client):
            with pytest.raises(SinkHeld, match=key):
                await Objects(client).upsert("contacts", [Input(f"x{n}", {"firstname": "Z"}, key) for n in range(9)])

    virtual.run(main())


@pytest.mark.parametrize("trace_ids", [True, False])
def test_duplicates_never_meet(trace_ids):
    """The same key twice, in one call or two, in any case: HubSpot sees one after the other, the last one wins."""

    async def main():
        async with sandboxed() as (sandbox, client):
            objects = Objects(client, trace_ids=trace_ids)
            same = [Input("PERSON_1 ", {"firstname": name}, "stibnite_person_id") for name in "AB"]
            first, second = await asyncio.gather(
                objects.upsert("contacts", [person(1), person(2), same[0]]),
                objects.upsert("contacts", [person(1, firstname="C")]),
            )
            assert all(isinstance(result, Written) for result in (*first, *second))
            assert sandbox.counters.statuses[400] == 0
            names = {
                contact["properties"]["stibnite_person_id"]: contact["properties"]["firstname"]
                for contact in sandbox.contacts()
            }
            assert names["person_1"] == "C"

    virtual.run(main())


@pytest.mark.parametrize("drop", [1, 3, 100])
@pytest.mark.parametrize("trace_ids", [True, False])
def test_a_short_answer_is_read_back(drop, trace_ids):
    """Fewer results than inputs is no success: what is missing is looked up, and answered for when it is there."""

    async def main():
        async with sandboxed() as (sandbox, client):
            sandbox.fail_next("short", path="batch/upsert", drop=drop)
            people = [person(n) for n in range(100)]
            results = await Objects(client, trace_ids=trace_ids).upsert("contacts", people)
            check_arrived(sandbox, people, results)
            assert sandbox.counters.by_path[UPSERT] == 1

    virtual.run(main())


@pytest.mark.parametrize("there", [None, "Another"])
def test_what_is_not_there_is_not_assumed(there):
    """An input that the answer forgets and that cannot be seen to be written comes again later."""

    def answer(seen):
        if seen.path.endswith("read"):
            properties = {"stibnite_person_id": "person_1", "firstname": there, "email": "p1@example.com"}
            return Canned({"results": [{"id": "11", "properties": properties}] if there else []})
        return Canned({"results": [{"id": "10", "properties": {"stibnite_person_id": "PERSON_0"}, "new": True}]})

    async def main():
        async with Script(by=answer).client() as client:
            objects = Objects(client)
            good, open_ = await asyncio.gather(
                objects.upsert("contacts", [person(0)]), objects.upsert("contacts", [person(1)]), return_exceptions=True
            )
        assert good == [Written("10", new=True)]
        assert type(open_) is SinkUnavailable

    virtual.run(main())


def test_results_that_name_nobody_are_looked_up():
    """Results without trace and key are matched by a read under the key, never by their order."""

    def answer(seen):
        ids = [each["id"] for each in seen.body["inputs"]]
        if seen.path.endswith("read"):
            shown = [{"id": f"9{id_[-1]}", "properties": {"stibnite_person_id": id_}} for id_ in ids]
            return Canned({"results": shown[::-1]})
        return Canned({"results": [{"id": f"9{id_[-1]}", "properties": {}, "new": True} for id_ in reversed(ids)]})

    async def main():
        script = Script(by=answer)
        async with script.client() as client:
            results = await Objects(client).upsert("contacts", [person(n) for n in range(5)])
        assert results == [Written(f"9{n}", new=True) for n in range(5)]
        assert [seen.path.rsplit("/", 1)[1] for seen in script.seen] == ["upsert", "read"]

    virtual.run(main())


@pytest.mark.parametrize("echoed", [True, False])
def test_every_answer_is_matched_whatever_it_echoes(echoed):
    """Shuffled results reach their inputs by trace id, or by key where that is not repeated."""

    async def main():
        async with sandboxed(portal(trace_id_in_results=echoed)) as (sandbox, client):
            people = [person(n) for n in range(100)]
            objects = Objects(client)
            first = await objects.upsert("contacts", people)
            check_arrived(sandbox, people, first)
            assert all(result.new for result in first)
            second = await objects.upsert("contacts", people)
            assert [result.id for result in second] == [result.id for result in first]
            assert not any(result.new for result in second)
            updated = await objects.update(
                "contacts", [Input(result.id, {"phone": "+12085550123"}) for result in first]
            )
            assert [result.id for result in updated] == [result.id for result in first]
            assert sandbox.counters.by_path["POST /crm/objects/contacts/batch/read"] == 0

    virtual.run(main())


@pytest.mark.parametrize("status", [200, 207])
def test_errors_count_whatever_the_status(status):
    """`errors` in a 200 refuse like those of a 207; what is only counted is found by asking again."""

    def answer(seen):
        inputs = [each for each in seen.body["inputs"] if each["id"] != "person_1"]
        results = [{"id": each["id"][-1] + "0", "properties": {"stibnite_person_id": each["id"]}} for each in inputs]
        errors = [] if len(inputs) == len(seen.body["inputs"]) else [{"category": "VALIDATION_ERROR"}]
        listed = errors if len(seen.body["inputs"]) == 1 else []
        return Canned(
            {"results": results[1:] if listed else results, "numErrors": len(errors), "errors": listed}, status
        )

    async def main():
        async with Script(by=answer).client() as client:
            results = await Objects(client, trace_ids=False).upsert("contacts", [person(n) for n in range(3)])
        assert [type(result) for result in results] == [Written, Refusal, Written]
        return results[1].category

    assert virtual.run(main()) in {None, "VALIDATION_ERROR"}


@in_virtual_time
async def test_a_transient_error_of_one_input_comes_again():
    """An input that met a failure inside HubSpot is not refused; its neighbours are done."""
    error = {"category": "INTERNAL_ERROR", "context": {"objectWriteTraceId": ["1"]}}
    result = {"id": "10", "properties": {}, "objectWriteTraceId": "0"}
    async with Script(Canned({"results": [result], "errors": [error], "numErrors": 1}, 207)).client() as client:
        objects = Objects(client)
        good, bad = await asyncio.gather(
            objects.upsert("contacts", [person(0)]), objects.upsert("contacts", [person(1)]), return_exceptions=True
        )
    assert good == [Written("10", new=False)]
    assert type(bad) is SinkUnavailable


@pytest.mark.parametrize("fault", ["cut_after", "truncated", "empty_2xx", "html_200", "cut_before", "423", "503"])
def test_a_lost_answer_doubles_nothing(fault):
    """Whatever is lost on the way, the same request once more leads to the same account."""

    async def main():
        async with sandboxed() as (sandbox, client):
            sandbox.fail_next(fault, path="batch/upsert")
            people = [person(n) for n in range(20)]
            results = await Objects(client).upsert("contacts", people)
            check_arrived(sandbox, people, results)
            assert len(sandbox.contacts()) == 20

    virtual.run(main())


@in_virtual_time
async def test_ids_that_a_refusal_names_go_alone():
    """A refusal that names an id costs two more requests: the rest, and the one."""

    def answer(seen):
        ids = [each["id"] for each in seen.body["inputs"]]
        if "person_7" in ids:
            return Canned({"category": "VALIDATION_ERROR", "message": "no", "context": {"ids": ["person_7"]}}, 400)
        return Canned({"results": [{"id": id_[7:], "properties": {"stibnite_person_id": id_}} for id_ in ids]})

    script = Script(by=answer)
    async with script.client() as client:
        results = await Objects(client).upsert("contacts", [person(n) for n in range(100)])
    assert refusals(results).keys() == {7}
    assert [len(seen.body["inputs"]) for seen in script.seen] == [100, 99, 1]


@in_virtual_time
async def test_only_who_was_refused_alone_is_refused():
    """A refusal that does not come again refuses nobody."""

    def answer(seen):
        ids = [each["id"] for each in seen.body["inputs"]]
        if len(ids) == 100:
            return Canned({"category": "CONFLICT", "message": "a race"}, 409)
        return Canned({"results": [{"id": id_[7:], "properties": {"stibnite_person_id": id_}} for id_ in ids]})

    async with Script(by=answer).client() as client:
        results = await Objects(client).upsert("contacts", [person(n) for n in range(100)])
    assert refusals(results) == {}


@in_virtual_time
async def test_one_callers_poison_is_not_anothers():
    """Callers that shared a request with a bad record get their own results, before the culprit is found."""
    async with sandboxed() as (_, client):
        objects = Objects(client, trace_ids=False)
        good = asyncio.ensure_future(objects.upsert("contacts", [person(n) for n in range(50)]))
        bad = asyncio.ensure_future(objects.upsert("contacts", [person(n, email="nope") for n in range(50, 60)]))
        assert all(isinstance(result, Written) for result in await good)
        assert not bad.done()
        assert all(isinstance(result, Refusal) for result in await bad)


@in_virtual_time
async def test_trouble_while_looking_for_a_culprit():
    """When HubSpot fails half-way, what is settled stays settled and the rest comes again."""
    async with sandboxed() as (sandbox, client):
        objects = Objects(client, trace_ids=False)
        good = asyncio.ensure_future(objects.upsert("contacts", [person(n) for n in range(50)]))
        bad = asyncio.ensure_future(objects.upsert("contacts", [person(n, email="nope") for n in range(50, 60)]))
        await good
        sandbox.fail_next("477", path="batch/upsert")
        with pytest.raises(SinkHeld):
            await bad


@in_virtual_time
async def test_an_update_of_what_is_gone():
    """An id that no record has is refused as not found, with trace ids and without; a merged one answers anew."""
    async with sandboxed() as (_, client):
        for trace_ids in (True, False):
            objects = Objects(client, trace_ids=trace_ids)
            one, two, three = await objects.upsert("companies", [company(n) for n in range(3)])
            merge = {"primaryObjectId": one.id, "objectIdToMerge": two.id}
            merged = (await client.request("POST", "crm/objects/{version}/companies/merge", merge)).document["id"]
            results = await objects.update(
                "companies", [Input(id_, {"phone": "5"}) for id_ in (one.id, three.id, "404")]
            )
            assert results[:2] == [Written(merged, new=False), Written(three.id, new=False)]
            assert results[2].category == "OBJECT_NOT_FOUND"
