"""People settle what nobody else can: doubts, lost jobs, bills that were never said, searches that wait for a yes."""

import asyncio

import pytest

from stibgate.domain.budget import Reason, Verdict
from stibgate.domain.event import ID_CHARS_MAX
from stibgate.errors import UsageError, VendorError
from stibgate.pipeline.jobdesk import JobDesk
from stibgate.vendors.stibnite import NewJob
from tests.pipeline.jobs_world import IN_DOUBT, UNKNOWN, budget, document, full

BUDGETS = {"ops": budget(100)}


async def buy(house, limit=10, *, confirmed=False, **fields):
    wanted = NewJob("CMOs of SaaS companies", limit=limit, **fields)
    return await house.desk.submit(wanted, "ops", confirmed=confirmed, by="me")


async def doubtful(house, **fields):
    """Return the run of a submission whose answer was lost."""
    house.vendor.on_create = [IN_DOUBT]
    with pytest.raises(VendorError):
        await buy(house, **fields)
    return house.runs()[-1].run_id


async def lost(house, **fields):
    """Return the run of a job that was given up."""
    run_id = (await buy(house, **fields)).run_id
    assert await house.store.lose(run_id, "404, for 24 h", now_ms=house.clock())
    return run_id


async def finish(house, number=0, **fields):
    """Let the vendor finish a job and send its event; process it."""
    await house.post(full(house.vendor.jobs[house.vendor.finish(number, **fields)]))
    await house.process()


async def test_resolved_with_its_job(house):
    """A doubtful run whose job was found is asked for at once, and is settled with what it was billed."""
    house = house(budgets=BUDGETS)
    house.vendor.on_create = [IN_DOUBT]
    with pytest.raises(VendorError):
        await buy(house)
    house.vendor.jobs["job_found"] = document("job_found", people=4)
    await house.desk.resolve(house.run().run_id, "job_found", by="me")
    await house.settle_all(0.01)
    assert (house.run().job_id, house.run().state, house.spent(), len(house.held())) == (
        "job_found", "succeeded", (0, 4), 4,
    )  # fmt: skip


async def test_resolved_after_its_event(house):
    """The event of a doubtful run that came before anybody knew counts for the run, once it is known."""
    house = house(budgets=BUDGETS)
    house.vendor.on_create = [IN_DOUBT]
    with pytest.raises(VendorError):
        await buy(house)
    await house.post(full(document("job_found", people=4)))
    await house.process()
    run_id = next(run.run_id for run in house.runs() if run.asked is not None)
    assert (len(house.runs()), house.spent()) == (2, (10, 0))
    await house.desk.resolve(run_id, "job_found", by="me")
    assert (house.run().run_id, house.run().state, house.spent()) == (run_id, "succeeded", (0, 4))


async def test_resolved_without_a_job(house):
    """A doubtful run that surely was not taken gives its money back, and says who said so; only once."""
    house = house(budgets=BUDGETS)
    house.vendor.on_create = [IN_DOUBT]
    with pytest.raises(VendorError):
        await buy(house)
    run_id = house.run().run_id
    await house.desk.resolve(run_id, None, by="ann")
    assert (house.run().state, house.spent(), "ann" in house.run().reason) == ("refused", (0, 0), True)
    with pytest.raises(UsageError, match="not doubtful"):
        await house.desk.resolve(run_id, "job_1", by="ann")


async def test_resolved_with_another_runs_job(house):
    """A job cannot be two runs': the bill counts once."""
    house = house(budgets=BUDGETS)
    await buy(house)
    house.vendor.on_create = [IN_DOUBT]
    with pytest.raises(VendorError):
        await buy(house)
    (_, doubtful) = house.runs()
    with pytest.raises(UsageError, match="is run"):
        await house.desk.resolve(doubtful.run_id, "job_1", by="me")
    with pytest.raises(UsageError, match="not known"):
        await house.desk.resolve("run_9", None, by="me")
    assert (house.runs()[1].state, house.spent()) == ("doubtful", (20, 0))


@pytest.mark.parametrize("job_id", ["", " ", "job_1 ", "..", "a\nb", "j" * (ID_CHARS_MAX + 1)])
async def test_an_id_that_cannot_be_one(house, job_id):
    """A job's id is what can be asked for; anything else changes nothing."""
    house = house(budgets=BUDGETS)
    run_id = await doubtful(house)
    before = house.runs()
    with pytest.raises(UsageError):
        await house.desk.resolve(run_id, job_id, by="me")
    assert house.runs() == before


async def test_a_run_that_nobody_submits_any_more(house):
    """A run that is reserved can be resolved once no live call holds it, and not before."""
    house = house(budgets=BUDGETS)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def wait():
        asked.set()
        await answer.wait()

    house.vendor.on_create = [wait]
    buying = asyncio.create_task(buy(house))
    await asked.wait()
    with pytest.raises(UsageError, match="being submitted"):
        await house.desk.resolve("run_1", None, by="me")
    assert (house.run().state, house.buyer.under_way) == ("reserved", {"run_1"})
    house.buyer.under_way.clear()
    await house.desk.resolve("run_1", None, by="ann")
    assert (house.run().state, house.spent()) == ("refused", (0, 0))
    answer.set()
    await buying
    assert house.run().state == "refused"


async def test_resolved_as_what_it_is(house):
    """Saying what is noted already is no mistake."""
    house = house(budgets=BUDGETS)
    await buy(house)
    assert await house.desk.resolve("run_1", "job_1", by="me") == "run_1 is job_1"
    with pytest.raises(UsageError, match="submitted, not doubtful"):
        await house.desk.resolve("run_1", "job_2", by="me")


async def test_resolved_by_its_job_id(house):
    """A run may be named by its job's id as well."""
    house = house(budgets=BUDGETS)
    await lost(house)
    await house.desk.resolve("job_1", None, by="ann")
    assert (house.run().state, house.spent()) == ("refused", (0, 0))


async def test_a_lost_run_is_given_up(house):
    """A lost run gives its ceiling back when a person says so; its event still counts, for its budget too."""
    house = house(budgets=BUDGETS)
    run_id = await lost(house)
    assert house.spent() == (10, 0)
    assert "given up" in await house.desk.resolve(run_id, None, by="ann")
    assert (house.run().state, house.run().reason, house.spent()) == ("refused", "was given up, says ann", (0, 0))
    await finish(house, 1, people=7)
    assert (house.run().state, house.spent()) == ("succeeded", (0, 7))


async def test_a_lost_run_is_asked_for_again(house):
    """A lost run goes on as its own job, and is asked for at once, with a whole day before it; as no other job."""
    house = house(budgets=BUDGETS)
    run_id = await lost(house)
    house.clock.advance(3 * 86_400)
    with pytest.raises(UsageError, match="is job job_1"):
        await house.desk.resolve(run_id, "job_9", by="me")
    assert await house.desk.resolve(run_id, "job_1", by="me") == f"{run_id} is job_1"
    assert (house.run().state, house.run().reason, house.run().ended_at_ms, house.spent()) == (
        "submitted", None, None, (10, 0),
    )  # fmt: skip
    house.vendor.on_read = [UNKNOWN]
    await house.poll()
    assert (house.vendor.reads, house.run().state) == (["job_1"], "submitted")
    house.vendor.finish(1)
    await house.settle_all(0.5)
    assert (house.run().state, house.spent()) == ("succeeded", (0, 10))


async def test_a_bill_that_nobody_said(house):
    """A job that succeeded without a bill is settled by hand, once; an event that says otherwise later counts."""
    house = house(budgets=BUDGETS)
    await buy(house)
    await finish(house, billable_records=None)
    assert (house.run().state, house.run().billed, house.spent()) == ("succeeded", None, (10, 0))
    with pytest.raises(UsageError, match="not doubtful") as caught:
        await house.desk.resolve("run_1", None, by="me")
    assert "--billed" in caught.value.hint
    with pytest.raises(UsageError):
        await house.desk.resolve("run_1", "job_1", billed=8, by="me")
    await house.desk.resolve("run_1", None, billed=8, by="me")
    assert (house.run().billed, house.run().next_poll_at_ms, house.spent()) == (8, None, (0, 8))
    with pytest.raises(UsageError, match="billed 8"):
        await house.desk.resolve("run_1", None, billed=9, by="me")


@pytest.mark.parametrize("state", ["doubtful", "lost", "submitted"])
async def test_a_bill_of_what_did_not_succeed(house, state):
    """What did not succeed has no bill to give."""
    house = house(budgets=BUDGETS)
    run_id = await {"doubtful": doubtful, "lost": lost}.get(state, _submitted)(house)
    with pytest.raises(UsageError, match=state):
        await house.desk.resolve(run_id, None, billed=1, by="me")
    assert house.spent() == (10, 0)


async def _submitted(house):
    return (await buy(house)).run_id


async def test_nothing_could_take_the_result(light):
    """Without a source of job events nothing is bought."""
    house = light(budgets=BUDGETS)
    house.desk = JobDesk(
        house.store, house.read, house.buyer, house.reconciler, BUDGETS, house.clock, takes_jobs=False
    )  # fmt: skip
    with pytest.raises(UsageError, match="no source") as caught:
        await buy(house)
    assert "stibnite_jobs" in caught.value.hint
    assert (house.vendor.created, house.runs()) == ([], [])


# -- what was confirmed


def later(house, first, *, ids, confirm_above=100):
    """Return the same house after a restart, with `continue_pages` on."""

    def makers(prefix):
        numbers = iter(range(1, 99))
        return lambda: f"{prefix}_{ids}{next(numbers)}"

    return house(
        budgets={"ops": budget(1000, confirm_above=confirm_above)},
        continue_pages=True,
        clock=first.clock,
        vendor=first.vendor,
        new_ids=makers,
    )


async def first_page(house, *, confirm_above=100, **fields):
    """Return a house where the first page of a search is there, and nobody goes on by himself."""
    house = house(budgets={"ops": budget(1000, confirm_above=confirm_above)})
    asked = await buy(house, 50, **{"max_records": 250, **fields})
    assert (asked.decision.verdict, asked.decision.reason) == (Verdict.ALLOW, Reason.FITS)
    await finish(house)
    return house


async def go_on(house, rounds=8):
    for _ in range(rounds):
        await house.reconciler.run_once()
        if house.vendor.jobs[f"job_{len(house.vendor.created)}"]["status"] == "queued":
            await finish(house)


async def test_pages_that_nobody_confirmed(house):
    """A search that was allowed by its first page stops, once pages follow, where all of it needs a confirmation."""
    second = later(house, await first_page(house), ids="b")
    await go_on(second)
    assert (len(second.vendor.created), second.run().stopped, second.spent()) == (1, "needs_confirmation", (0, 50))
    for _ in range(2):
        ((job, said),) = await second.desk.reconcile()
        assert (job.run_id, "250" in said, "--yes" in said) == ("run_1", True, True)
        assert (len(second.vendor.created), second.run().stopped) == (1, "needs_confirmation")
    assert not await second.reconciler.run_once()


async def test_pages_that_somebody_confirms_later(house):
    """With a yes to all its pages it goes on to its end, and nobody is asked again."""
    second = later(house, await first_page(house), ids="b")
    await go_on(second)
    assert "confirmed: 250" in (await second.desk.reconcile(confirmed=True))[0][1]
    await go_on(second)
    assert (len(second.vendor.created), second.spent()) == (5, (0, 250))
    assert [run.stopped for run in second.runs()] == [None] * 5
    assert await second.desk.reconcile(confirmed=True) == []


async def test_the_rest_is_not_the_whole(house):
    """What is held against `confirm_above` is the whole search, not what is left of it."""
    second = later(house, await first_page(house, max_records=150), ids="b")
    await go_on(second)
    assert (len(second.vendor.created), second.run().stopped) == (1, "needs_confirmation")


async def test_a_search_that_needs_no_confirmation(house):
    """A search that is small with all its pages follows by itself."""
    second = later(house, await first_page(house, max_records=100), ids="b")
    await go_on(second)
    assert (len(second.vendor.created), second.spent()) == (2, (0, 100))


async def test_what_was_confirmed_stays_so(house):
    """A lower `confirm_above` asks nobody again for what was said yes to with all its pages."""
    first = house(budgets={"ops": budget(1000, confirm_above=300)}, continue_pages=True)
    await buy(first, 50, max_records=250)
    await finish(first)
    assert first.run().confirmed == 250
    second = later(house, first, ids="b", confirm_above=60)
    await go_on(second)
    assert (len(second.vendor.created), second.spent()) == (5, (0, 250))
