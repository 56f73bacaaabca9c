"""A budget is never overdrawn, by however many at once and in whatever order they settle."""

import asyncio
import tempfile
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stibgate.domain.budget import Budget, Period, Verdict
from stibgate.domain.job import ZERO, JobState
from stibgate.stores import JobFilter
from stibgate.stores.memory import MemoryStore
from stibgate.stores.sqlite import SqliteStore
from tests.stores.machine import USUAL
from tests.stores.world import (
    CREDITS,
    EVERY_JOB,
    NOW_MS,
    MemoryLedger,
    make_delivery,
    make_processed,
    make_result,
    make_run,
)

LIMIT = Decimal("20.000000000001")
BUDGET = Budget("all", CREDITS, LIMIT, Period.TOTAL, confirm_above=Decimal("1.5"))
RUNS = 50
AMOUNTS = st.decimals(min_value=0, max_value=3, places=12) | st.sampled_from(["0.1", "0.3", "1.5", "2.999999999999"])
FATES = st.sampled_from(["held", "billed", "free", "failed", "refused", "withdrawn", "lost", "unsaid"])
RUN = st.tuples(AMOUNTS.map(Decimal), st.booleans(), FATES, st.integers(0, 3))


@asynccontextmanager
async def opened(kind):
    """Yield an empty store and its ledger."""
    if kind == "memory":
        store = MemoryStore()
        yield store, MemoryLedger(store)
        return
    with tempfile.TemporaryDirectory(prefix="stibgate-") as folder:
        store = SqliteStore(Path(folder) / "stibgate.db", durability="normal")
        yield store, store.ledger
        assert list(store.ledger.check()) == []
        await store.close()


async def live(store, number, run, look):
    """Reserve one run, and if it may begin bring it to its fate; look at the budget after each step."""
    ceiling, confirmed, fate, pause = run
    for _ in range(pause):
        await store.flush()
    said = await store.reserve(make_run(number, str(ceiling)), BUDGET, confirmed=confirmed)
    look()
    if said.decision.verdict is not Verdict.ALLOW or fate == "held":
        return said
    if fate == "withdrawn":
        await store.withdraw(f"r{number}")
    elif fate == "refused":
        await store.unsubmitted(f"r{number}", JobState.REFUSED, "402", now_ms=NOW_MS)
    else:
        await store.submitted(f"r{number}", f"j{number}", now_ms=NOW_MS, poll_at_ms=NOW_MS)
        look()
        if fate == "lost":
            await store.lose(f"r{number}", "too late", now_ms=NOW_MS)
        billed = {"billed": int(ceiling), "free": 0}.get(fate)
        await store.admit(make_delivery(number, job_id=f"j{number}"))
        if fate != "lost":
            job = make_result(number, billed, succeeded=fate != "failed")
            await store.process(make_processed(number, (), records=0, job=job))
    look()
    return said


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(USUAL, max_examples=12)
@given(runs=st.lists(RUN, min_size=RUNS, max_size=RUNS))
def test_fifty_at_once(kind, runs):
    """Fifty runs that ask at once, with fractions, confirmations and settlements between, never have more than there is."""

    async def all_at_once():
        async with opened(kind) as (store, ledger):

            def look():
                spent = ledger.spent("all", "total")
                assert spent.reserved + spent.settled <= LIMIT, "overdrawn"

            said = await asyncio.gather(*(live(store, n, run, look) for n, run in enumerate(runs)))
            jobs = ledger.jobs(EVERY_JOB, limit=None)
            spent = ledger.spent("all", "total")
            assert spent.reserved == sum((job.reserved for job in jobs), ZERO)
            assert spent.settled == sum((job.settled for job in jobs), ZERO)
            for (ceiling, confirmed, _, _), one in zip(runs, said, strict=True):
                decision = one.decision
                assert (decision.verdict is Verdict.DENY) == (ceiling > decision.remaining)
                if decision.verdict is Verdict.NEEDS_CONFIRMATION:
                    assert not confirmed
                    assert ceiling > BUDGET.confirm_above
            allowed = sum(one.decision.verdict is Verdict.ALLOW for one in said)
            withdrawn = sum(
                run[2] == "withdrawn" and one.decision.verdict is Verdict.ALLOW
                for run, one in zip(runs, said, strict=True)
            )
            assert len(ledger.jobs(JobFilter(budget="all"), limit=None)) == allowed - withdrawn

    asyncio.run(all_at_once())


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_one_of_many_gets_the_rest(kind):
    """Of fifty runs that each want all that there is one gets it."""
    async with opened(kind) as (store, ledger):
        asked = (store.reserve(make_run(n, str(LIMIT)), BUDGET, confirmed=True) for n in range(RUNS))
        said = await asyncio.gather(*asked)
        assert [one.decision.verdict for one in said].count(Verdict.ALLOW) == 1
        assert ledger.spent("all", "total").reserved == LIMIT
