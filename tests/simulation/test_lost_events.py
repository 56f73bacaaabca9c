"""An hour without a webhook: what is left in the end is what would have been left anyway, but for times and ids."""

import random
from collections import Counter
from typing import Any

import pytest

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.job import Job, JobState
from stibgate.domain.task import TaskState
from stibgate.stores import DeliveryFilter, JobFilter, Ledger, TaskFilter
from tests.simulation.searches import BUDGETS
from tests.simulation.vendor_world import LOST_FROM_S, LOST_UNTIL_S, Disturbance, VendorWorld, lost_hour

SEEDS = (1, 2, 3)
ON_DISK = 1
"""The other worlds are in memory, as the undisturbed ones are: both stores end the same."""
MINUTE_S = 60
AT_THE_API = {
    "busy": {"http429": 0.6},
    "failing": {"http500": 0.5},
    "cut off": {"cut": 0.5},
    "down": {"http500": 1.0},
}
FATES = (
    (("create_job done", 7), ("admit", 3), ("process done", 2), ("submitted", 2), ("fetched done", 1)),
    (("create_job", 9), ("admit done", 3), ("submitted done", 2), ("read_job done", 3), ("settle done", 4)),
)
AFTERWARDS = {"delay": 0.5, "duplicate": 0.5, "reorder": 0.5}
_FINAL = {TaskState.DELIVERED, TaskState.PARTIAL, TaskState.DEAD}


def page_of(ledger: Ledger, world: VendorWorld, job: Job) -> dict[str, Any]:
    """Return all that is left of one page of a search, without times and ids."""
    assert job.delivery_id is not None, f"{job.by}, page {job.page}, is {job.state}: {job.reason}"
    delivery = ledger.delivery(job.delivery_id)
    tasks = [task for _, task in ledger.tasks(TaskFilter(delivery_id=job.delivery_id), limit=None)]
    return {
        "asked": job.asked,
        "job": (job.state, job.page, job.budget, job.window, job.estimated, job.ceiling, job.left),
        "bill": (job.billed, job.received, job.reserved, job.settled, job.next_cursor),
        # Why a job failed is not in a thin event, but in the job: the row of one that was asked for knows more.
        "end": (job.continued, job.stopped, None if job.state is JobState.FAILED else job.reason),
        "delivery": (delivery.state, delivery.reason, delivery.event_type, delivery.records, delivery.issues),
        "records": list(ledger.records(job.delivery_id)),
        "tasks": {task.sink: (task.state, [*ledger.positions(task.task_id)]) for task in tasks},
        "outcomes": {task.sink: [(one.position, one.kind) for one in ledger.outcomes(task.task_id)] for task in tasks},
        "drops": [path.read_bytes() for path in sorted(world.drops.rglob(f"*{job.delivery_id}.csv"))],
        "crm": {
            position: person
            for (task_id, position), person in world.crm.held.items()
            if task_id in {task.task_id for task in tasks}
        },
    }


def end_of(world: VendorWorld) -> dict[str, Any]:
    """Return what is left of *world*, by search and page; nothing in it may be there twice, or unfinished."""
    ledger = world.ledger()
    try:
        jobs = ledger.jobs(JobFilter(), limit=None)
        pages = {(job.by, job.page): page_of(ledger, world, job) for job in jobs}
        check_nothing_twice(ledger, world, jobs)
        return {
            **pages,
            "budgets": {name: ledger.spent(name, job.window) for job in jobs for name in BUDGETS if job.budget == name},
            "billed": world.billed,
            "bills": Counter(
                (bill.billed, bill.received, bill.delivered, bill.waiting) for bill in ledger.bills(limit=None)
            ),
        }
    finally:
        ledger.close()


def check_nothing_twice(ledger: Ledger, world: VendorWorld, jobs: Any) -> None:
    """Assert that every job has one row, one delivery and one file, and is over; and that the store is sound."""
    assert list(ledger.check()) == []
    assert len({(job.by, job.page) for job in jobs}) == len(jobs), "a page was bought twice"
    assert {job.job_id for job in jobs} == set(world.vendor_jobs), "the vendor has jobs that the ledger does not know"
    deliveries = ledger.deliveries(DeliveryFilter(), limit=None)
    assert Counter(one.job_id for one in deliveries) == Counter(job.job_id for job in jobs), "one delivery for each job"
    assert {one.state for one in deliveries} == {DeliveryState.DONE}
    assert not any(job.more for job in jobs), "a search that may go on does not"
    tasks = [task for _, task in ledger.tasks(TaskFilter(), limit=None)]
    assert {task.state for task in tasks} <= _FINAL
    files = [path for path in world.drops.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert len(files) == sum(task.sink == "drop" for task in tasks), "a file for each task, and no other"
    assert sum(job.billed or 0 for job in jobs) == world.billed, "the bill and the ledger differ"


def by_poll(world: VendorWorld) -> int:
    """Return how many deliveries were asked for."""
    ledger = world.ledger()
    try:
        return sum(one.via == "poll" for one in ledger.deliveries(DeliveryFilter(), limit=None))
    finally:
        ledger.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a function of a seed: what is left when nothing goes wrong; made once."""
    known: dict[int, dict[str, Any]] = {}

    def of(seed: int) -> dict[str, Any]:
        if seed not in known:
            world = VendorWorld(seed, tmp_path_factory.mktemp(f"undisturbed-{seed}"), Disturbance(), in_memory=True)
            known[seed] = end_of(world.run())
            assert not by_poll(world)
        return known[seed]

    return of


@pytest.mark.parametrize("seed", SEEDS)
def test_every_webhook_of_an_hour_is_lost(seed, undisturbed, tmp_path):
    """Without the events of an hour the end is the same, in the store on disk, in the drops and at every sink."""
    world = VendorWorld(seed, tmp_path, lost_hour(), in_memory=seed != ON_DISK).run()
    assert end_of(world) == undisturbed(seed)
    lost = [one for one in world.sent if not one.attempts]
    assert by_poll(world) == len(lost) >= 10


@pytest.mark.parametrize(("seed", "how"), [(1, "busy"), (2, "failing"), (3, "cut off"), (1, "down")])
def test_the_api_is_in_trouble_meanwhile(seed, how, undisturbed, tmp_path, lines):
    """With an API that fails too, for twenty minutes of the hour, nothing is lost and nothing is bought twice."""
    world = VendorWorld(seed, tmp_path, lost_hour(during=AT_THE_API[how]), in_memory=True).run()
    assert end_of(world) == undisturbed(seed)
    assert by_poll(world)
    assert lines.of("vendor.unavailable")
    assert bool(world.resolved) == (how != "busy"), "only what was refused for sure leaves no doubt"


def test_events_are_late_twice_and_out_of_order_afterwards(undisturbed, tmp_path):
    """Events that come after their job was asked for are duplicates, whatever order they come in."""
    world = VendorWorld(2, tmp_path, lost_hour(after=AFTERWARDS), in_memory=True).run()
    assert end_of(world) == undisturbed(2)
    polled = [one for one in world.memory.deliveries(DeliveryFilter(), limit=None) if one.via == "poll"]
    assert any(one.duplicates for one in polled)


def test_lost_events_come_after_all(undisturbed, tmp_path):
    """The vendor sends everything again that was lost: each is a duplicate of what was asked for, and no conflict."""
    disturbance = Disturbance(lost_hour().faults, resent_at_s=LOST_UNTIL_S + 10 * MINUTE_S)
    world = VendorWorld(3, tmp_path, disturbance, in_memory=True).run()
    assert end_of(world) == undisturbed(3)
    polled = [one for one in world.memory.deliveries(DeliveryFilter(), limit=None) if one.via == "poll"]
    assert polled
    assert {(one.duplicates, one.conflicts) for one in polled} == {(1, 0)}


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_the_process_dies_meanwhile(seed, undisturbed, tmp_path):
    """A process that dies at any two steps, while events are lost, leaves the same end."""
    dice = random.Random(f"deaths {seed}")
    deaths = (dice.randrange(300, 2500), dice.randrange(1, 900))
    world = VendorWorld(seed, tmp_path, Disturbance(lost_hour().faults, deaths=deaths), in_memory=seed != ON_DISK).run()
    assert world.lives == 3
    assert end_of(world) == undisturbed(seed)


@pytest.mark.parametrize(("seed", "deaths"), [(2, FATES[0]), (3, FATES[1])])
def test_the_process_dies_while_it_buys_and_asks(seed, deaths, undisturbed, tmp_path):
    """Nothing is bought twice or lost by who dies between two words with the vendor; an operator says what is doubtful."""
    world = VendorWorld(seed, tmp_path, Disturbance(lost_hour().faults, deaths=deaths), in_memory=True).run()
    assert world.lives == 1 + len(deaths)
    assert world.resolved
    assert end_of(world) == undisturbed(seed)


def test_read_backs_meet_an_outage(undisturbed, tmp_path, lines):
    """Every event's job is read back once the API answers again, however often it did not: the end is the same."""
    outage = Disturbance([(LOST_FROM_S, {"http500": 0.7}), (LOST_UNTIL_S, {})])
    world = VendorWorld(1, tmp_path, outage, in_memory=True, readback="always").run()
    assert end_of(world) == undisturbed(1)
    assert lines.of("vendor.unavailable")
    assert len(lines.of("result.fetched")) > 20


def test_the_comparison_is_not_blind(tmp_path):
    """A world in which nobody asks for jobs does not end as it should: the comparison sees it."""
    world = VendorWorld(1, tmp_path, lost_hour(), in_memory=True, reconcile_after_s=24 * 60 * MINUTE_S)
    with pytest.raises(AssertionError, match="is submitted"):
        end_of(world.run())
