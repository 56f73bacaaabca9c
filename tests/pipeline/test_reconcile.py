"""A job whose event never comes is asked for, and ends once, in the ledger and at the sinks, whichever way it came."""

from contextlib import suppress
from itertools import pairwise

import pytest

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.event import JOB_FAILED
from stibgate.errors import StoreUnavailable, UsageError, VendorUnauthorized, VendorUnavailable
from stibgate.pipeline.asking import HOLD_MAX_S
from stibgate.pipeline.fanout import Readback
from stibgate.pipeline.reconcile import BROKEN, GIVE_UP_POLLS, UNREACHABLE, USAGE_MS
from stibgate.signatures import PRESETS
from stibgate.stores import Processed
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


async def test_a_job_that_the_vendor_does_not_know(house):
    """A job of ours that the vendor says it does not know (the key may be another account's) has its whole day."""
    house = house(budgets=BUDGETS)
    await bought(house)
    house.vendor.on_read = [UNKNOWN] * 10_000
    await polls(house, 23.8)
    assert house.run().state == "submitted"
    await polls(house, 2)
    assert (house.run().state, house.run().reason) == ("lost", f"{UNKNOWN.message}, for 24 h")


@pytest.mark.parametrize("answer", [RUNNING, UNKNOWN, AFAR])
async def test_a_long_stop_is_no_search(light, answer):
    """A job that nobody asked for in a day, because the service stood still, is asked for several times all the same."""
    house = light(budgets=BUDGETS)
    await bought(house)
    house.clock.advance(3 * DAY_S)
    house.vendor.on_read = [answer] * (GIVE_UP_POLLS - 1)
    await polls(house, 0.9)
    assert (house.run().state, house.run().polls, house.vendor.on_read) == ("submitted", GIVE_UP_POLLS - 1, [])
    house.vendor.finish()
    await house.settle_all(1)
    assert (house.run().state, house.held()) == ("succeeded", BOTH)


async def test_reconcile_finds_what_was_given_up(house, lines):
    """Asked to, it asks for lost jobs and unknown bills once more; an alarm says of each that it should be."""
    house = house(budgets=BUDGETS)
    for token in ("one", "two"):
        await bought(house, dedupe_token=token)
    house.vendor.jobs["job_2"] = document("job_2", first=2)
    await house.post(full(document("job_2", first=2, billable_records=None)))
    await house.process()
    await house.deliver()
    house.vendor.on_read = [UNKNOWN] * 10_000
    await polls(house, 30)
    lost, billless = house.runs()
    assert (lost.state, lost.reason) == ("lost", f"{UNKNOWN.message}, for 24 h")
    assert (billless.state, billless.billed, billless.reason) == ("succeeded", None, f"{UNKNOWN.message}, for 24 h")
    await house.reconciler.look_around()
    assert sorted(line["alarm"] for line in lines.of("budget.alarm")) == ["bill_unknown", "job_lost"]
    assert {said for _, said in await house.desk.reconcile()} == {f"given up: {UNKNOWN.message}"}
    assert await house.store.next_poll_ms() is None
    house.vendor.on_read = []
    house.vendor.finish(1)
    assert [said for _, said in await house.desk.reconcile()] == ["succeeded", "settled"]
    await house.settle_all(0.01)
    assert [(run.state, run.billed, run.reason) for run in house.runs()] == [("succeeded", 2, None)] * 2
    assert (house.spent(), len(house.held()), await house.desk.reconcile()) == ((0, 4), 4, [])


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


@pytest.mark.parametrize("reason", ["job_unknown", "processing_failed", "envelope"])
async def test_a_poll_mends_what_broke_on_its_way(house, reason):
    """A delivery of our own job that was not understood, or not known, is mended by the vendor's own word."""
    house = house(budgets=BUDGETS)
    job_id = await bought(house)
    name = await house.post(full(house.vendor.jobs[house.vendor.finish()]))
    state = DeliveryState.QUARANTINED
    await house.store.process(Processed(name, house.clock(), state, reason=reason))
    await house.settle_all(1)
    assert (house.state(name)[0], house.held(), house.vendor.reads) == ("done", BOTH, [job_id])


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


@pytest.mark.parametrize("missing", ["pagination", "billable_records"])
@pytest.mark.parametrize("readback", Readback)
async def test_an_ended_job_that_does_not_say_all(light, missing, readback):
    """What the vendor itself answers is enough without a cursor, and without a bill: people are counted."""
    house = light(budgets=BUDGETS, readback=readback, continue_pages=True)
    job_id = await bought(house)
    house.vendor.jobs[job_id] = document(job_id, **{missing: None})
    await house.poll(121)
    assert [str(delivery.state) for delivery in house.deliveries()] == ["accepted"]
    await house.settle_all(0.1)
    (delivery,) = house.deliveries()
    assert (str(delivery.state), house.run().state, house.run().next_poll_at_ms) == ("done", "succeeded", None)
    assert (house.held(), house.spent()) == (BOTH, (0, 2))


@pytest.mark.parametrize("answer", [
    {"job_id": "job_1", "status": "succeeded", "billable_records": 2},
    {"job_id": "job_1", "status": "succeeded", "data": None},
], ids=["missing", "null"])  # fmt: skip
async def test_a_success_without_its_people(house, answer):
    """A job that succeeded without a list of people is not there yet: it is asked for until it is, or is lost."""
    house = house(budgets=BUDGETS)
    await bought(house)
    house.vendor.jobs["job_1"] = answer
    await polls(house, 3)
    assert (house.run().state, house.deliveries()) == ("submitted", [])
    house.vendor.finish()
    await house.settle_all(1)
    assert (house.run().state, house.held(), house.spent()) == ("succeeded", BOTH, (0, 2))


async def test_a_success_of_nobody(house):
    """An empty list of people is a page of nobody."""
    house = house(budgets=BUDGETS)
    await bought(house)
    house.vendor.finish(people=0)
    await house.poll(121)
    await house.settle_all(0.01)
    assert (house.run().state, house.run().received, house.spent()) == ("succeeded", 0, (0, 0))


async def test_a_bill_without_its_people(house):
    """A bill that was missing is taken from an answer without people, and never counted from one."""
    house = house(budgets=BUDGETS)
    job_id = await bought(house)
    await house.post(full(document(job_id, billable_records=None)))
    await house.process()
    house.vendor.jobs[job_id] = {"job_id": job_id, "status": "succeeded"}
    await house.poll(1)
    assert (house.run().billed, house.spent()) == (None, (2, 0))
    house.vendor.jobs[job_id]["billable_records"] = 2
    await house.poll(300)
    assert (house.run().billed, house.spent()) == (2, (0, 2))


@pytest.mark.parametrize("billed", [-500, 2**63, 10**400, "2", True])
async def test_a_bill_that_is_none(house, billed):
    """A bill that cannot be one is not said, whether an event or the API says it: people are counted."""
    house = house(budgets=BUDGETS)
    job_id = await bought(house)
    house.vendor.finish(billable_records=billed)
    await house.post(full(house.vendor.jobs[job_id]))
    await house.process()
    assert (house.run().billed, house.spent()) == (None, (2, 0))
    await house.settle_all(0.1)
    assert (house.run().billed, house.spent(), house.run().next_poll_at_ms) == (2, (0, 2), None)


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
    """What the vendor says was billed is noted every half hour, across restarts too."""
    house = light(budgets=BUDGETS)
    house.vendor.used = 40
    await house.poll()
    house.vendor.used = 55
    await house.poll(USAGE_MS / 1000 - 1)
    assert house.ledger.usage_notes()[1].billable_records == 40
    house = House(house.store, vendor=house.vendor, clock=house.clock)
    await house.poll()
    assert house.ledger.usage_notes()[1].billable_records == 40
    await house.poll(301)
    first, latest = house.ledger.usage_notes()
    assert (first.billable_records, latest.billable_records) == (40, 55)


@pytest.mark.parametrize("error", [AFAR, VendorUnauthorized(403, "GET /v1/usage: 403")], ids=["away", "restricted key"])
async def test_usage_that_is_not_said(house, lines, error):
    """A key that may not ask for usage, or usage that is away, holds no question about a job, and costs one line."""
    house = house(budgets=BUDGETS)
    house.vendor.used = error
    await bought(house)
    house.vendor.finish()
    name = await house.post(thin("job_9"))
    house.vendor.jobs["job_9"] = document("job_9", first=2)
    await house.process()
    await house.reconciler.run_once()
    assert house.line.free
    await house.settle_all(3)
    assert (house.state(name)[0], len(house.held()), len(lines.of("vendor.unavailable"))) == ("done", 4, 1)


async def test_usage_that_nobody_here_explains(light, lines):
    """What the vendor billed to nobody here is an alarm of a healthy service, after the grace; what is late is none."""
    house = light(budgets=BUDGETS)
    house.vendor.used = 0
    await house.poll()
    await bought(house)
    house.vendor.used = 2
    house.vendor.finish()
    await house.poll(119)
    house.clock.advance(USAGE_MS / 1000)
    await house.settle_all(2)
    assert (house.run().billed, lines.of("budget.alarm")) == (2, [])
    house.vendor.used = 502
    for _ in range(60):
        await house.poll(60)
    assert [line["alarm"] for line in lines.of("budget.alarm")] == ["usage_unexplained"]


async def test_a_note_is_judged_before_the_next_one(light, lines):
    """A note that nobody judged before the service stopped is judged at its next start, not replaced unseen."""
    house = light(budgets=BUDGETS)
    house.vendor.used = 0
    await house.poll()
    house.vendor.used = 500
    await house.poll(USAGE_MS / 1000)
    assert (house.ledger.usage_notes()[1].billable_records, lines.of("budget.alarm")) == (500, [])
    house.clock.advance(7200)
    await House(house.store, vendor=house.vendor, clock=house.clock).poll()
    assert [line["alarm"] for line in lines.of("budget.alarm")] == ["usage_unexplained"]
    assert house.ledger.usage_notes()[1].at_ms == house.clock()


async def test_a_bill_that_came_after_the_note(light, lines):
    """What was billed before a note and came after it is no alarm, delivered as it is."""
    house = light(budgets=BUDGETS)
    house.vendor.used = 0
    await house.poll()
    await bought(house)
    house.vendor.finish()
    house.vendor.used = 2
    house.clock.advance(USAGE_MS / 1000)
    await house.reconciler.look_around()
    assert house.ledger.usage_notes()[1].known_records == 0
    await house.post(full(house.vendor.jobs["job_1"]))
    await house.process()
    await house.deliver()
    for _ in range(20):
        await house.poll(60)
    assert lines.of("budget.alarm") == []


async def test_alarms_that_concern_what_arrived(light, lines):
    """The service also sees what is wrong with jobs whose records all arrived: more than was asked for, or allowed."""
    house = light(budgets=BUDGETS)
    await bought(house)
    house.vendor.finish()
    await house.post(full(document("job_1", people=5)))
    await house.settle_all()
    assert sorted(line["alarm"] for line in lines.of("budget.alarm")) == ["over_ceiling", "received_over_asked"]


BUG = ZeroDivisionError("a bug")


@pytest.mark.parametrize("error", [BUG, UsageError("job_id must be 1 to 512 printable characters", hint="")], ids=["bug", "id"])  # fmt: skip
async def test_one_job_that_cannot_be_asked_for(house, lines, error):
    """What goes wrong with one job keeps no other from its turn, nor next pages; the job has its day, and a reason."""
    house = house(budgets=BUDGETS, continue_pages=True)
    for token in ("one", "two"):
        await bought(house, max_records=4, dedupe_token=token)
    house.vendor.finish(2)
    real = house.vendor.read_job

    async def read(job_id):
        if job_id == "job_1":
            raise error
        return await real(job_id)

    house.vendor.read_job = read
    await house.settle_all(1)
    one, two, page = house.runs()
    assert (one.state, two.state, page.page, page.state) == ("submitted", "succeeded", 2, "submitted")
    assert (bool(lines.of("unhandled")), house.line.free) == (error is BUG, True)
    house.vendor.finish(3)
    await house.settle_all(30)
    lost = house.runs()[0]
    assert (lost.state, len(house.held())) == ("lost", 4)
    assert lost.reason == (f"{BROKEN}, for 24 h" if error is BUG else f"{UNREACHABLE}: {error.message}, for 24 h")


async def test_a_bug_after_the_answer(light):
    """A store that cannot hold what one answer says costs that job its time, and no other its turn."""
    house = light(budgets=BUDGETS)
    for token in ("one", "two"):
        await bought(house, dedupe_token=token)
        house.vendor.finish()
    real = house.store.admit

    async def admit(delivery, **settings):
        if delivery.job_id == "job_1":
            raise OverflowError
        return await real(delivery, **settings)

    house.store.admit = admit
    await house.settle_all(1)
    assert [str(run.state) for run in house.runs()] == ["submitted", "succeeded"]


async def test_what_the_store_did_not_note(light):
    """What became of a submission and could not be written is written in the background, and the job is asked for."""
    house = light(budgets=BUDGETS)
    real = house.store.submitted

    async def ill(*_, **__):
        raise StoreUnavailable("the disk is full")

    house.store.submitted = ill
    with suppress(StoreUnavailable):
        await bought(house)
    house.store.submitted = real
    house.vendor.finish()
    await house.settle_all(0.1)
    assert (house.run().state, house.held()) == ("succeeded", BOTH)


class Frail(MemoryStore):
    """Admits nothing until it is well."""

    ill = True

    async def admit(self, delivery, **settings):
        if self.ill:
            raise StoreUnavailable("the disk is full")
        return await super().admit(delivery, **settings)


async def test_a_store_that_fails_during_a_poll():
    """A store that fails while a poll is let in costs no job, and fewer and fewer questions while it lasts."""
    house = House(Frail(), budgets=BUDGETS)
    await bought(house)
    house.vendor.finish()
    with pytest.raises(StoreUnavailable):
        await house.poll(121)
    asked_s = []
    for second in range(600):
        before = len(house.vendor.reads)
        with suppress(StoreUnavailable):
            await house.poll(1)
        asked_s += [second] * (len(house.vendor.reads) - before)
    assert asked_s[:4] == [2, 7, 16, 34]
    assert max(later - earlier for earlier, later in pairwise(asked_s)) == HOLD_MAX_S * 1.1
    house.store.ill = False
    await house.settle_all(0.1)
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
