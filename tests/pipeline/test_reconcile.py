"""A job whose event never comes is asked for, and ends once, in the ledger and at the sinks, whichever way it came."""

from itertools import pairwise

import pytest

from stibgate.domain.event import JOB_FAILED
from stibgate.errors import StoreUnavailable, VendorUnavailable
from stibgate.pipeline.asking import UNKNOWN_TRIES
from stibgate.pipeline.fanout import Readback
from stibgate.signatures import PRESETS
from stibgate.stores.memory import MemoryStore
from tests.pipeline.jobs_world import AFAR, UNKNOWN, House, bought, budget, document, full, thin

BUDGETS = {"ops": budget(1000)}
DAY_S = 86_400
RUNNING = {"job_id": "job_1", "status": "running"}
BOTH = ["person_0", "person_1"]


async def polls(house, hours) -> list[float]:
    """Ask whenever it is time to; return the seconds between the questions."""
    at_ms, since_ms = [house.clock()], house.clock()
    while house.clock() - since_ms < hours * 3_600_000:
        due_ms = await house.store.next_poll_ms()
        if due_ms is None:
            break
        house.clock.ms = max(due_ms, house.line.free_at_ms, house.clock())
        await house.reconciler.run_once()
        at_ms.append(house.clock())
    return [(later - earlier) / 1000 for earlier, later in pairwise(at_ms)]


# -- asking


async def test_not_before_its_time(light):
    """A job is asked for once its event is late, not a moment earlier."""
    house = light(budgets=BUDGETS)
    job_id = await bought(house)
    assert await house.reconciler.next_due_ms() <= house.clock() + 120_000
    await house.poll(119.9)
    assert house.vendor.reads == []
    await house.poll(0.1)
    assert house.vendor.reads == [job_id]


async def test_pauses_grow(light):
    """A job that runs on is asked for less and less often, ten minutes apart in the end."""
    house = light(budgets=BUDGETS)
    await bought(house)
    pauses = await polls(house, 2)
    assert pauses[:3] == [120, 132, 198]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 660


async def test_a_job_that_does_not_end(house, lines):
    """A job that did not end in a day is lost, with the reason; what it may cost stays set aside; nobody asks on."""
    house = house(budgets=BUDGETS)
    await bought(house)
    await polls(house, 23.8)
    assert house.run().state == "submitted"
    await polls(house, 30)
    run = house.run()
    assert (run.state, run.reason, run.next_poll_at_ms) == ("lost", "still running, for 24 h", None)
    assert (house.spent(), [line["reason"] for line in lines.of("job.failed")]) == ((2, 0), ["lost"])


async def test_a_late_event_of_a_lost_job(house):
    """The event of a job that was given up still counts, and settles what it cost."""
    house = house(budgets=BUDGETS)
    await bought(house)
    await polls(house, 30)
    await house.post(full(house.vendor.jobs[house.vendor.finish()]))
    await house.settle_all(0.01)
    assert (house.run().state, house.run().reason, house.spent(), house.held()) == ("succeeded", None, (0, 2), BOTH)


async def test_a_job_that_the_vendor_forgot(light):
    """A job that the vendor does not know several times in a row is lost; a few times in between are nothing."""
    house = light(budgets=BUDGETS)
    await bought(house)
    no, some = UNKNOWN, UNKNOWN_TRIES - 1
    house.vendor.on_read = [RUNNING] * 9 + [no] * some + [AFAR] + [no] * some + [RUNNING] + [no] * some
    await polls(house, 6)
    assert (house.run().state, house.vendor.on_read) == ("submitted", [])
    house.vendor.on_read = [no] * UNKNOWN_TRIES
    await polls(house, 3)
    assert (house.run().state, house.run().reason, house.vendor.on_read) == ("lost", UNKNOWN.message, [])


async def test_after_a_long_stop(house):
    """A job that ended while nobody looked for days is not lost but taken."""
    house = house(budgets=BUDGETS)
    await bought(house)
    house.vendor.finish()
    house.clock.advance(3 * DAY_S)
    await house.settle_all(0.01)
    assert (house.run().state, house.held()) == ("succeeded", BOTH)


async def test_an_outage(light, lines):
    """While the vendor is away nobody asks, one line says so, and afterwards every job is found."""
    house = light(budgets=BUDGETS)
    for number in range(12):
        await bought(house, dedupe_token=f"token_{number}")
    house.vendor.on_read = [AFAR] * 20
    await house.poll(121)
    assert len(house.vendor.reads) == 8
    await house.poll()
    assert len(house.vendor.reads) == 8
    for number in range(12):
        house.vendor.finish(number + 1)
    await house.settle_all(1)
    assert {run.state for run in house.runs()} == {"succeeded"}
    assert (len(lines.of("vendor.unavailable")), len(house.held())) == (1, 24)


# -- a job comes in once


async def test_polled(house, lines):
    """A finished job whose event did not come is a delivery like its event's, via `poll`."""
    house = house(budgets=BUDGETS)
    await bought(house)
    house.vendor.finish()
    await house.poll(121)
    await house.settle_all(0.01)
    (line,) = lines.of("job.reconciled")
    delivery = house.ledger.delivery(line["delivery_id"])
    assert (delivery.via, delivery.authenticated_by, delivery.event_type, delivery.source) == (
        "poll", "api_key", "person_search.job.succeeded", "stib",
    )  # fmt: skip
    assert (str(delivery.state), house.held(), house.run().delivery_id) == ("done", BOTH, delivery.delivery_id)


@pytest.mark.parametrize("body", [full(document("job_1")), full(document("job_1", people=1)), thin("job_1")])
async def test_a_poll_beats_the_event(house, lines, body):
    """The event that comes after its job was polled is a duplicate; that it looks different is no conflict."""
    house = house(budgets=BUDGETS)
    await bought(house)
    house.vendor.finish()
    await house.poll(121)
    await house.process()
    name = await house.post(body)
    await house.settle_all(0.01)
    stored = house.ledger.delivery(name)
    assert (stored.via, stored.duplicates, stored.conflicts) == ("poll", 1, 0)
    assert (house.held(), house.spent(), lines.of("delivery.conflict")) == (BOTH, (0, 2), [])
    assert len(lines.of("delivery.duplicate")) == 1


async def test_an_event_beats_the_poll(house):
    """A job whose event came in time is never asked for."""
    house = house(budgets=BUDGETS)
    await bought(house)
    await house.post(full(house.vendor.jobs[house.vendor.finish()]))
    await house.settle_all()
    assert (house.vendor.reads, house.held(), house.spent()) == ([], BOTH, (0, 2))


@pytest.mark.parametrize("processed", [True, False])
async def test_an_event_during_the_poll(house, processed):
    """An event that comes while its job is asked for is the delivery; the answer adds nothing to it but its records."""
    house = house(budgets=BUDGETS)
    await bought(house)
    job = house.vendor.jobs[house.vendor.finish()]

    async def meanwhile():
        await house.post(full(job))
        if processed:
            await house.process()

    house.vendor.on_read = [meanwhile]
    await house.poll(121)
    await house.settle_all(0.01)
    (delivery,) = house.deliveries()
    assert (delivery.via, delivery.duplicates, delivery.conflicts) == ("http", 1, 0)
    assert (house.held(), house.spent(), house.tasks()) == (BOTH, (0, 2), 1)


async def test_a_signed_id(house):
    """A job whose events carry signed ids of their own is still one job, polled or posted."""
    house = house(budgets=BUDGETS, schemes=PRESETS["standard_webhooks"])
    await bought(house)
    job = house.vendor.jobs[house.vendor.finish()]
    await house.poll(121)
    for number in range(3):
        await house.post(full(job), message_id=f"msg_{number}")
    await house.settle_all()
    (delivery,) = house.deliveries()
    assert (delivery.duplicates, house.held()) == (3, BOTH)


async def test_a_failed_job(house):
    """A job that is polled as failed costs nothing, and its late event is a duplicate."""
    house = house(budgets=BUDGETS)
    job_id = await bought(house)
    house.vendor.jobs[job_id] = document(job_id, "failed")
    await house.poll(121)
    name = await house.post(thin(job_id, JOB_FAILED))
    await house.settle_all()
    assert (house.state(name)[0], house.ledger.delivery(name).via, house.run().state) == ("done", "poll", "failed")
    assert (house.spent(), house.run().reason) == ((0, 0), "the search failed")


async def test_a_poll_mends_a_quarantined_delivery(house):
    """A delivery that nobody could read back is completed when its job is polled."""
    house = house(budgets=BUDGETS, readback=Readback.NEVER)
    job_id = await bought(house)
    name = await house.post(thin(job_id))
    assert house.state(name) == ("quarantined", "records_missing")
    house.vendor.finish()
    await house.poll(121)
    await house.settle_all(0.01)
    assert (house.state(name)[0], house.held(), house.spent()) == ("done", BOTH, (0, 2))


async def test_an_event_that_does_not_say_what_was_billed(house):
    """A job that succeeded without a bill stays set aside until a poll brings it, and is not delivered again."""
    house = house(budgets=BUDGETS)
    job_id = await bought(house)
    house.vendor.finish()
    await house.post(full(document(job_id, billable_records=None)))
    await house.process()
    assert (house.run().state, house.spent()) == ("succeeded", (2, 0))
    await house.settle_all(0.01)
    assert (house.spent(), house.run().billed, house.tasks(), house.vendor.reads) == ((0, 2), 2, 1, [job_id])


@pytest.mark.parametrize("answer", [RUNNING, UNKNOWN, AFAR])
async def test_a_bill_that_never_comes(light, answer):
    """Nobody asks for a bill for ever; without one the ceiling stays set aside."""
    house = light(budgets=BUDGETS)
    job_id = await bought(house)
    await house.post(full(document(job_id, billable_records=None)))
    await house.process()
    house.vendor.on_read = [answer] * 10_000
    await polls(house, 30)
    assert (house.run().state, house.run().next_poll_at_ms, house.spent()) == ("succeeded", None, (2, 0))


# -- whom nobody wants


@pytest.mark.parametrize("way", ["full", "thin", "poll", "poll, then event", "event, then poll", "empty"])
async def test_a_job_that_is_not_routed(house, way):
    """A job that goes nowhere is answered `ignored` and stays so, but ends in the ledger with its bill, unasked for."""
    house = house(budgets=BUDGETS, sinks=())
    job_id = await bought(house)
    job = house.vendor.jobs[house.vendor.finish(people=0 if way == "empty" else 2)]
    if way.startswith("poll"):
        await house.poll(121)
    if way != "poll":
        await house.post(thin(job_id) if way == "thin" else full(job))
    if way.endswith("then poll"):
        await house.poll(121)
    await house.settle_all()
    (delivery,) = house.deliveries()
    assert (str(delivery.state), delivery.reason) == ("ignored", "not_routed")
    assert house.answers == {"poll": [], "poll, then event": ["duplicate"]}.get(way, ["ignored"])
    assert (house.run().state, house.spent(), house.run().delivery_id) == (
        "succeeded", (0, len(job["data"])), delivery.delivery_id,
    )  # fmt: skip
    asked = len(house.vendor.reads)
    house.clock.advance(DAY_S)
    await house.poll()
    assert (len(house.vendor.reads), asked <= 2) == (asked, True)


async def test_no_source_of_job_events(light):
    """Where no source takes job events a job is asked for no longer than a day, and is lost with that reason."""
    house = light(budgets=BUDGETS, has_door=False)
    await bought(house)
    house.vendor.finish()
    await polls(house, 30)
    assert (house.run().state, house.run().reason) == ("lost", "no source takes job events, for 24 h")


async def test_an_answer_that_is_no_job(light, lines):
    """A finished job that cannot be understood is asked for no longer than a day, and is lost with the reason."""
    house = light(budgets=BUDGETS)
    await bought(house)
    house.vendor.finish()
    house.vendor.on_read = [b'{"job_id": "job_1", "status": "succeeded", "data": [7]}'] * 1000
    await polls(house, 30)
    assert (house.run().state, house.run().reason.startswith("not understood: "), house.tasks()) == ("lost", True, 0)


async def test_another_jobs_answer(light):
    """An answer about another job than the one that was asked for is none."""
    house = light(budgets=BUDGETS)
    await bought(house)
    house.vendor.on_read = [document("job_other")]
    await house.poll(121)
    assert (house.run().state, house.deliveries()) == ("submitted", [])


@pytest.mark.parametrize("missing", ["data", "pagination", "billable_records"])
@pytest.mark.parametrize("readback", Readback)
async def test_an_ended_job_that_does_not_say_all(light, missing, readback):
    """What the vendor itself answers is never incomplete: without people there are none, without a bill it is counted."""
    house = light(budgets=BUDGETS, readback=readback, continue_pages=True)
    job_id = await bought(house)
    house.vendor.jobs[job_id] = document(job_id, **{missing: None})
    await house.poll(121)
    assert [str(delivery.state) for delivery in house.deliveries()] == ["accepted"]
    await house.settle_all(0.1)
    (delivery,) = house.deliveries()
    assert (str(delivery.state), house.run().state, house.run().next_poll_at_ms) == ("done", "succeeded", None)
    assert (house.held(), house.spent()) == ([] if missing == "data" else BOTH, (0, 2))


async def test_reconcile_during_an_outage(light):
    """Asked to reconcile while the vendor is away, it asks once and says that of every job."""
    house = light(budgets=BUDGETS)
    for number in range(10):
        await bought(house, dedupe_token=f"token_{number}")
    house.vendor.on_read = [AFAR] * 99
    results = await house.desk.reconcile()
    assert (len(house.vendor.reads), len(results)) == (1, 10)
    assert all("could not be asked" in said for _, said in results)
    assert {run.state for run in house.runs()} == {"submitted"}


async def test_reconcile_at_once(house):
    """Asked to, it asks for every open job at once, whatever is held, and says what became of each."""
    house = house(budgets=BUDGETS)
    for number in range(10):
        await bought(house, dedupe_token=f"token_{number}")
    house.vendor.finish(3)
    house.line.failed(VendorUnavailable("away", retry_after_s=300))
    results = {job.job_id: said for job, said in await house.desk.reconcile()}
    assert (results.pop("job_3"), set(results.values()), len(results)) == ("succeeded", {"still running"}, 9)


async def test_alarms_are_raised_once(house, lines):
    """What is wrong with the money is said once, also by the next process."""
    first = house(budgets={"ops": budget(2)}, sinks=())
    await bought(first)
    await first.post(full(first.vendor.jobs[first.vendor.finish()]))
    await first.settle_all()
    kinds = sorted(line["alarm"] for line in lines.of("budget.alarm"))
    assert kinds == ["billed_not_delivered", "budget_100"]
    second = House(first.store, budgets=first.budgets)
    await second.reconciler.look_around()
    assert len(lines.of("budget.alarm")) == 2


async def test_usage_is_noted(light):
    """What the vendor says was billed is noted now and then; when it does not say, the rest goes on."""
    house = light(budgets=BUDGETS)
    house.vendor.used = 40
    await house.poll()
    house.vendor.used = 55
    await house.poll(301)
    first, latest = house.ledger.usage_notes()
    assert (first.billable_records, latest.billable_records) == (40, 55)
    house.vendor.used = AFAR
    await house.poll(301)
    assert (house.ledger.usage_notes()[1].billable_records, house.line.free) == (55, False)


class Frail(MemoryStore):
    """Admits nothing until it is well."""

    ill = True

    async def admit(self, delivery, **settings):
        if self.ill:
            raise StoreUnavailable("the disk is full")
        return await super().admit(delivery, **settings)


async def test_a_store_that_fails_during_a_poll():
    """A store that fails while a poll is let in costs a round, and no job."""
    house = House(Frail(), budgets=BUDGETS)
    await bought(house)
    house.vendor.finish()
    with pytest.raises(StoreUnavailable):
        await house.poll(121)
    house.store.ill = False
    await house.settle_all(0.01)
    assert (house.run().state, house.held()) == ("succeeded", BOTH)


async def test_a_store_that_fails_during_a_hand_over():
    """A store that fails while a job that did not fail is let in quarantines nothing: it is done again."""
    house = House(Frail(), readback=Readback.ALWAYS)
    house.store.ill = False
    house.vendor.jobs["job_1"] = document("job_1")
    name = await house.post(thin("job_1", JOB_FAILED))
    await house.process()
    await house.fetcher.run_once()
    house.store.ill = True
    with pytest.raises(StoreUnavailable):
        await house.process()
    house.store.ill = False
    await house.settle_all(0.01)
    assert (house.state(name)[0], house.held()) == ("done", BOTH)
