"""Job events are completed by the vendor's own word, and whatever is in the way, nothing is lost."""

import json
from contextlib import suppress

import pytest

from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED
from stibgate.errors import StoreFull, VendorMisbehaved, VendorRefused, VendorUnauthorized, VendorUnavailable
from stibgate.pipeline.asking import HOLD_MAX_S, UNKNOWN_MS, UNKNOWN_TRIES
from stibgate.pipeline.fanout import Readback
from stibgate.stores import Replay
from stibgate.vendors.paths import segment
from stibgate.vendors.stibnite import NewJob
from tests.pipeline.jobs_world import House, document, full, thin
from tests.stores.base import replay_delivery

DAY_S = 86_400
GONE = VendorUnavailable("GET /v1/persons/search/jobs/{job_id}: no connection")


class UnpackedError(Exception):
    """What nobody expects."""


async def fetch_until(house, hours=25.0):
    """Ask whenever it is time to, until nothing waits or *hours* have passed."""
    until_ms = house.clock() + hours * 3_600_000
    while (due_ms := await house.fetcher.next_due_ms()) is not None and house.clock() < until_ms:
        house.clock.ms = max(due_ms, house.clock())
        await house.fetcher.run_once()


async def replay(house, delivery_id):
    await replay_delivery(house.store, delivery_id, Replay(house.clock(), "me"))
    await house.process()


async def test_a_thin_event_gets_its_records(house, lines):
    """A succeeded job without records waits for its read-back, and is then processed with what the vendor has."""
    house = house()
    house.vendor.jobs["job_1"] = document("job_1", people=3)
    name = await house.post(thin("job_1"))
    await house.process()
    assert (house.state(name), house.woken, house.tasks()) == (("accepted", None), ["admitted", "job"], 0)
    assert await house.fetcher.run_once()
    await house.process()
    await house.deliver()
    assert (house.state(name)[0], house.held(), house.woken[-2:]) == (
        "done", ["person_0", "person_1", "person_2"], ["fetched", "job"],
    )  # fmt: skip
    assert (house.ledger.delivery(name).records, house.run().billed, house.vendor.reads) == (3, 3, ["job_1"])
    assert not await house.fetcher.run_once()
    assert [line["records"] for line in lines.of("result.fetched")] == [3]


@pytest.mark.parametrize("people", [0, 2])
async def test_a_full_event_is_not_asked_for(light, people):
    """An event with its records, be it none, is taken at its word."""
    house = light()
    name = await house.post(full(document("job_1", people=people)))
    await house.process()
    await house.deliver()
    assert (house.state(name)[0], house.vendor.reads, len(house.held())) == ("done", [], people)


@pytest.mark.parametrize("body", [full(document("job_1", people=1)), thin("job_1"), thin("job_1", JOB_FAILED)])
async def test_always_asks(house, body):
    """With `always` no event counts before its job was read back, whatever it carries."""
    house = house(readback=Readback.ALWAYS)
    house.vendor.jobs["job_1"] = document("job_1", people=2)
    await house.post(body)
    await house.process()
    assert (house.tasks(), house.runs()) == (0, [])
    await house.settle_all()
    assert (house.held(), house.vendor.reads) == (["person_0", "person_1"], ["job_1"])


async def test_never_asks(house):
    """With `never` an event without records is quarantined at once, and the answer says so."""
    house = house(readback=Readback.NEVER)
    name = await house.post(thin("job_1"))
    assert house.state(name) == ("quarantined", "records_missing")
    await replay(house, name)
    assert (house.state(name), house.vendor.reads) == (("quarantined", "records_missing"), [])


async def test_a_success_that_failed(house, lines):
    """An event of success whose job failed brings nothing, and the job is failed; the log says that they differ."""
    house = house(readback=Readback.ALWAYS)
    house.vendor.jobs["job_1"] = document("job_1", "failed")
    name = await house.post(full(document("job_1")))
    await house.process()
    await fetch_until(house)
    await house.process()
    assert (house.state(name)[0], house.tasks(), house.run().state) == ("done", 0, "failed")
    assert [(line["reason"], line["event_type"]) for line in lines.of("delivery.conflict")] == [
        ("readback", JOB_FAILED)
    ]


@pytest.mark.parametrize("order", ["failed first", "succeeded first", "failed alone"])
async def test_a_failure_that_succeeded(house, lines, order):
    """A job that is reported failed and did succeed comes in once, whether its other event comes or not."""
    house = house(readback=Readback.ALWAYS)
    house.vendor.jobs["job_1"] = job = document("job_1")
    events = [thin("job_1", JOB_FAILED), full(job)]
    if order == "succeeded first":
        events.reverse()
    names = [await house.post(body) for body in (events[:1] if order == "failed alone" else events)]
    await house.settle_all()
    assert (house.held(), house.run().state, house.run().billed) == (["person_0", "person_1"], "succeeded", 2)
    assert [house.state(name)[0] for name in names] == ["done"] * len(names)
    assert [line["event_type"] for line in lines.of("delivery.conflict")] == [JOB_SUCCEEDED]


async def test_a_failure_mends_a_success(house):
    """A success that nobody could read back is completed by the read-back of its failure that was none."""
    house = house(readback=Readback.ALWAYS)
    house.vendor.jobs["job_1"] = {"job_id": "job_1", "status": "running"}
    name = await house.post(thin("job_1"))
    await house.process()
    await fetch_until(house)
    assert house.state(name) == ("quarantined", "job_unfinished")
    house.vendor.jobs["job_1"] = document("job_1")
    await house.post(thin("job_1", JOB_FAILED))
    await house.settle_all(0.01)
    assert (house.state(name)[0], house.held()) == ("done", ["person_0", "person_1"])


async def test_other_counts_than_the_event_said(light, lines):
    """Where event and job differ in their counts, the job counts and the log says so."""
    house = light(readback=Readback.ALWAYS)
    house.vendor.jobs["job_1"] = document("job_1", people=3)
    name = await house.post(full(document("job_1", people=2)))
    await house.settle_all()
    assert (house.ledger.delivery(name).records, len(house.held())) == (3, 3)
    assert [line["records"] for line in lines.of("delivery.conflict")] == [3]


async def test_an_unknown_job(house, lines):
    """A job that the vendor does not know a few times in a row, for ten minutes, is quarantined as such."""
    house = house()
    name = await house.post(thin("job_1"))
    await house.process()
    await fetch_until(house)
    assert house.state(name) == ("quarantined", "job_unknown")
    assert len(house.vendor.reads) > UNKNOWN_TRIES
    assert UNKNOWN_MS <= house.clock() - house.ledger.delivery(name).received_at_ms < 2 * UNKNOWN_MS
    assert [line["reason"] for line in lines.of("delivery.quarantined")] == ["job_unknown"]


async def test_refusals_must_follow_each_other(light):
    """Refusals between outages and answers do not add up: only a row of them is believed, however long it takes."""
    house = light()
    house.vendor.jobs["job_1"] = document("job_1")
    no = VendorRefused(404, "404")
    house.vendor.on_read = [{"job_id": "job_1", "status": "running"}] * 20  # the pauses are minutes by then
    house.vendor.on_read += [no, no, no, GONE, no, no, no, {"job_id": "job_1", "status": "running"}, no, no, no]
    name = await house.post(thin("job_1"))
    await house.settle_all(4)
    assert (house.state(name)[0], len(house.held()), len(house.vendor.reads)) == ("done", 2, 32)


@pytest.mark.parametrize("error", [
    GONE,
    VendorUnauthorized(401, "GET: 401"),
    VendorMisbehaved("GET: 200 with a web page in place of JSON"),
    VendorUnavailable("GET: 429", retry_after_s=30),
], ids=lambda error: type(error).__name__)  # fmt: skip
async def test_the_vendor_is_away(light, lines, error):
    """An outage holds every question and costs a line, not one for each job; afterwards nothing is missing."""
    house = light()
    names = []
    for number in range(12):
        house.vendor.jobs[f"job_{number}"] = document(f"job_{number}", first=2 * number)
        names.append(await house.post(thin(f"job_{number}")))
    await house.process()
    house.vendor.on_read = [error] * 30
    await house.fetcher.run_once()
    asked = len(house.vendor.reads)
    assert not await house.fetcher.run_once()
    house.clock.ms = house.line.free_at_ms - 1
    assert not await house.fetcher.run_once()
    assert (len(house.vendor.reads), house.line.free) == (asked, False)
    house.clock.advance(0.001)
    await house.settle_all()
    assert (len(house.held()), {house.state(name)[0] for name in names}) == (24, {"done"})
    assert len(lines.of("vendor.unavailable")) == 1


async def test_holds_grow(light):
    """Questions that were under way together fail once; holds double with each failure, up to a minute."""
    house = light()
    for number in range(8):
        await house.post(thin(f"job_{number}"))
    await house.process()
    holds = []
    for _ in range(8):
        house.vendor.on_read = [GONE] * 8
        house.clock.ms = await house.fetcher.next_due_ms()
        await house.fetcher.run_once()
        holds.append((house.line.free_at_ms - house.clock()) / 1100)
    assert holds == [2, 4, 8, 16, 32, HOLD_MAX_S, HOLD_MAX_S, HOLD_MAX_S]


@pytest.mark.parametrize(("answer", "reason"), [
    ({"job_id": "job_1", "status": "running"}, "job_unfinished"),
    ({"job_id": "job_1", "status": "paused_by_a_new_word"}, "job_unfinished"),
    (GONE, "readback_failed"),
    (document("job_other"), "readback_failed"),
    ({"job_id": "job_1", "status": "succeeded", "billable_records": 2}, "records_missing"),
    ({"job_id": "job_1", "status": "succeeded", "data": None}, "records_missing"),
    (UnpackedError(), "readback_failed"),
], ids=["running", "new status", "away", "another job", "no records", "null", "a bug"])  # fmt: skip
async def test_a_day_is_enough(light, answer, reason):
    """What is not there after a day is quarantined with the reason, was asked for ever more rarely, and not before."""
    house = light()
    house.vendor.on_read = [answer] * 10_000
    name = await house.post(thin("job_1"))
    await house.process()
    await fetch_until(house, 23.9)
    assert (house.state(name), 200 < len(house.vendor.reads) < 700) == (("accepted", None), True)
    await fetch_until(house)
    assert (house.state(name), house.tasks()) == (("quarantined", reason), 0)
    assert 0 <= house.clock() - house.ledger.delivery(name).received_at_ms - DAY_S * 1000 < 600_000


async def test_an_id_that_cannot_be_asked_for(light, lines):
    """A job id that a store of an earlier version holds, and no path, is given up at once, its neighbours are not."""
    house = light()
    house.vendor.jobs["job_1"] = document("job_1")
    names = [await house.post(thin(job_id)) for job_id in ("job_0", "job_1")]
    real = house.vendor.read_job

    async def read(job_id):
        segment("job_id", job_id.replace("job_0", ".."))
        return await real(job_id)

    house.vendor.read_job = read
    await house.settle_all(0.01)
    assert [house.state(name) for name in names] == [("quarantined", "readback_failed"), ("done", None)]
    assert "job_id must be 1 to 512" in lines.of("delivery.quarantined")[0]["error"]


async def test_a_store_without_room(light):
    """While the store cannot keep an answer, the vendor is asked for it less and less often."""
    house = light()
    house.vendor.jobs["job_1"] = document("job_1")
    name = await house.post(thin("job_1"))
    await house.process()
    real = house.store.fetched

    async def full_disk(*_, **__):
        raise StoreFull("0 MiB free")

    house.store.fetched = full_disk
    asked_s = []
    for second in range(70):
        before = len(house.vendor.reads)
        with suppress(StoreFull):
            await house.fetcher.run_once()
        asked_s += [second] * (len(house.vendor.reads) - before)
        house.clock.advance(1)
    assert asked_s == [0, 3, 8, 17, 35]
    house.store.fetched = real
    await house.settle_all(0.1)
    assert (house.state(name)[0], len(house.held())) == ("done", 2)


async def test_a_result_that_was_bad_is_asked_for_anew(house):
    """A replay of what could not be read asks the vendor again, and does not read the same answer once more."""
    house = house()
    house.vendor.jobs["job_1"] = document("job_1")
    house.vendor.on_read = [b'{"job_id": "job_1", "status": "succeeded", "data": [7]}']
    name = await house.post(thin("job_1"))
    await house.settle_all(0.01)
    assert house.state(name) == ("quarantined", "envelope")
    await replay(house, name)
    await house.settle_all(0.01)
    assert (house.state(name)[0], len(house.held()), house.vendor.reads) == ("done", 2, ["job_1", "job_1"])


async def test_a_result_without_records(house):
    """An answer that says it succeeded without whom it found is never done with nobody, even one that was kept."""
    house = house()
    name = await house.post(thin("job_1"))
    await house.store.fetched(name, b'{"job_id": "job_1", "status": "succeeded"}', at_ms=house.clock())
    await house.process()
    assert house.state(name) == ("quarantined", "records_missing")


@pytest.mark.parametrize("reason", ["job_unknown", "job_unfinished"])
async def test_a_replay_asks_anew(house, reason):
    """A delivery whose read-back was given up is read back anew when an operator replays it, with all its patience."""
    house = house()
    if reason == "job_unfinished":
        house.vendor.jobs["job_1"] = {"job_id": "job_1", "status": "queued"}
    name = await house.post(thin("job_1"))
    await house.process()
    await fetch_until(house)
    assert house.state(name) == ("quarantined", reason)
    await replay(house, name)
    assert await house.fetcher.run_once()
    assert house.state(name) == ("accepted", None)
    house.vendor.jobs["job_1"] = document("job_1")
    await house.settle_all()
    assert (house.state(name)[0], len(house.held())) == ("done", 2)


async def test_a_crash_after_the_answer(house):
    """What was read back is durable: the next process goes on with it and does not ask again."""
    first = house()
    first.vendor.jobs["job_1"] = document("job_1")
    name = await first.post(thin("job_1"))
    await first.process()
    await first.fetcher.run_once()
    second = House(first.store)
    await second.settle_all()
    assert (second.state(name)[0], len(second.held()), second.vendor.reads) == ("done", 2, [])


async def test_results_survive_replays(house):
    """A delivery that was read back and ignored is replayed with its result, without another question."""
    first = house(sinks=())
    first.vendor.jobs["job_1"] = document("job_1")
    name = await first.post(thin("job_1"))
    await first.settle_all()
    assert first.state(name) == ("ignored", "not_routed")
    second = House(first.store)
    await replay(second, name)
    await second.deliver()
    assert (second.state(name)[0], len(second.held()), second.vendor.reads) == ("done", 2, [])


@pytest.mark.parametrize(("result", "reason"), [
    (b'{"job_id": "job_1", "status": "succeeded", "data": [], "score": NaN}', "not_finite"),
    (b'{"job_id": "job_1", "status": "succeeded", "data": [' + b'{"x":' * 80 + b"1" + b"}" * 80 + b"]}", "too_deep"),
    (b'{"job_id": "job_1", "status": "succeeded", "data": 7}', "envelope"),
    (b"[]", "not_json_object"),
    (b'{"job_id": "job_1", "status": "succeeded", "data": [', "not_json_object"),
], ids=["NaN", "deep", "data is a number", "a list", "half"])  # fmt: skip
async def test_a_result_that_cannot_be_read(light, result, reason):
    """A result that is not what it should be quarantines its delivery and holds up nobody."""
    house = light()
    for name in ("job_1", "job_2"):
        house.vendor.jobs[name] = document(name)
    house.vendor.on_read = [result]
    bad, good = await house.post(thin("job_1")), await house.post(thin("job_2"))
    await house.process()
    await house.fetcher.run_once()
    await house.process()
    await house.deliver()
    assert (house.state(bad), house.state(good)[0], house.tasks()) == (("quarantined", reason), "done", 1)


async def test_a_job_that_nobody_here_asked_for(house):
    """Where only own jobs count, another's event is quarantined without a question, until its submission is known."""
    house = house(adopt_unknown=False)
    house.vendor.on_create = [lambda: house.post(full({**document("job_1"), "note": json.dumps("early")}))]
    stranger = await house.post(full(document("job_9", first=50)))
    assert house.state(stranger) == ("quarantined", "job_unknown")
    await house.desk.submit(NewJob("CMOs", limit=2), None, confirmed=False, by="me")
    assert house.woken[-1] == "taken"
    await house.process()
    await house.deliver()
    assert (house.held(), house.run().state) == (["person_0", "person_1"], "succeeded")
