"""However the ways in which one job can come cross each other, it comes in once."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stibgate.domain.event import JOB_FAILED
from stibgate.pipeline.fanout import Readback
from stibgate.signatures import PRESETS
from stibgate.vendors.stibnite import NewJob
from tests.pipeline.jobs_world import House, budget, document, full, opened, shared_ids, thin

PEOPLE = ["person_0", "person_1", "person_2"]
BUDGETS = {"ops": budget(100)}
JOB = "job_1"
UNBILLED = {"billable_records": None}

STEPS = st.lists(
    st.sampled_from(
        ["full", "thin", "unbilled", "other body", "failed", "finish", "taken", "poll", "wait, poll", "fetch",
         "wait, fetch", "process", "deliver", "go on", "reconcile", "restart"]
    ),
    max_size=14,
)  # fmt: skip


class Story:
    """One job, and what happens around it in any order; the process may end between any two steps."""

    def __init__(self, store, readback, scheme=None, *, adopt=True) -> None:
        self.settings = {
            "readback": readback,
            "adopt_unknown": adopt,
            "schemes": None if scheme is None else PRESETS[scheme],
            "new_ids": shared_ids(),
        }
        self.store = store
        self.house = House(store, budgets=BUDGETS, **self.settings)
        self.answer = asyncio.Event()
        self.messages = 0

    async def begin(self):
        """Submit the job; the vendor has it, and its answer comes when it comes."""
        asked = asyncio.Event()

        async def wait():
            asked.set()
            await self.answer.wait()

        self.house.vendor.on_create = [wait]
        wanted = NewJob("CMOs", limit=3)
        self.buying = asyncio.create_task(self.house.desk.submit(wanted, "ops", confirmed=False, by="me"))
        await asked.wait()
        self.house.vendor.jobs[JOB] = {"job_id": JOB, "status": "running"}

    async def post(self, body):
        self.messages += 1
        await self.house.post(body, message_id=f"msg_{self.messages}")

    async def step(self, what):
        house = self.house
        bodies = {
            "full": full(document(JOB, people=3)),
            "thin": thin(JOB),
            "unbilled": full(document(JOB, people=3, **UNBILLED)),
            "other body": full(document(JOB, people=3, note="again")),
            "failed": thin(JOB, JOB_FAILED),
        }
        if what in bodies:
            if what != "failed":
                await self.step("finish")  # the vendor does not say so before it is so
            await self.post(bodies[what])
        elif what == "finish":
            house.vendor.jobs[JOB] = document(JOB, people=3)
        elif what == "taken":
            self.answer.set()
            await self.buying
        elif what == "restart":
            await self.restart()
        elif what.startswith("wait"):
            house.clock.advance(900)
            await (house.poll() if what == "wait, poll" else house.fetcher.run_once())
        else:
            await {
                "poll": house.poll,
                "fetch": house.fetcher.run_once,
                "process": house.process,
                "deliver": house.deliver,
                "go on": house.reconciler.go_on,
                "reconcile": house.desk.reconcile,
            }[what]()

    async def restart(self):
        """The process ends, and another one opens the store; an answer that is on its way is still noted."""
        old = self.house
        self.house = House(
            self.store, budgets=BUDGETS, clock=old.clock, vendor=old.vendor, sink=old.sink, **self.settings
        )

    async def end(self):
        """Everything that must come, has come: the answer, the job's end, its event; nothing is left to do."""
        await self.step("taken")
        await self.step("full")
        await self.house.settle_all(1)

    def check(self):
        house = self.house
        run = house.run()
        assert house.held() == PEOPLE, "everybody once"
        assert house.tasks() == 1
        assert (run.job_id, run.run_id, run.state, run.billed, run.received) == (JOB, "run_1", "succeeded", 3, 3)
        assert house.spent() == (0, 3)
        assert {str(delivery.state) for delivery in house.deliveries()} == {"done"}
        assert house.ledger.delivery(run.delivery_id).records == 3
        assert run.next_poll_at_ms is None


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("readback", ["auto", "always"])
def test_a_job_comes_in_once(kind, readback, tmp_path_factory):
    """Any order of events, polls, read-backs, late answers and deliveries ends with one delivery and one bill."""

    @settings(max_examples=60 if kind == "memory" else 10, suppress_health_check=list(HealthCheck), database=None)
    @given(steps=STEPS, scheme=st.sampled_from([None, "standard_webhooks"]), adopt=st.booleans())
    def law(steps, scheme, adopt):
        asyncio.run(live(steps, scheme, adopt))

    async def live(steps, scheme, adopt):
        folder = tmp_path_factory.mktemp("job") if kind == "sqlite" else None
        async with opened(kind, folder) as store:
            story = Story(store, Readback(readback), scheme, adopt=adopt)
            await story.begin()
            for step in steps:
                await story.step(step)
            await story.end()
            story.check()

    law()


PAIRS = [
    ("full", "poll"),
    ("thin", "poll"),
    ("failed", "poll"),
    ("full", "full"),
    ("thin", "failed"),
    ("full", "failed"),
]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("readback", ["auto", "always"])
@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
async def test_both_at_once(kind, readback, pair, tmp_path):
    """Two ways at the same moment, with everything that looks for work running beside them, are one delivery."""
    async with opened(kind, tmp_path) as store:
        story = Story(store, Readback(readback))
        await story.begin()
        await story.step("taken")
        await story.step("finish")
        story.house.clock.advance(121)
        await asyncio.gather(*(story.step(step) for step in [*pair, "process", "fetch", *pair, "process", "deliver"]))
        await story.end()
        story.check()
