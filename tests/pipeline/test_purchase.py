"""Money is set aside before the vendor is asked, and comes back only when the vendor surely did not take the job."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stibgate.domain.budget import Budget, Period, Reason, Unit, Verdict
from stibgate.domain.job import JobState
from stibgate.errors import (
    JobBusy,
    StoreTimeout,
    StoreUnavailable,
    UsageError,
    VendorError,
    VendorMisbehaved,
    VendorUnauthorized,
    VendorUnavailable,
)
from stibgate.pipeline.purchase import TRIES, WAIT_MAX_S
from stibgate.stores.memory import MemoryStore
from stibgate.vendors.stibnite import NewJob
from tests.pipeline.jobs_world import AFAR, BAD, IN_DOUBT, LIMITED, House, budget, document, full, opened

BUDGETS = {"ops": budget(100)}
RETRIED = [1.0, 2.0, 4.0]


def search(limit: int = 10, **fields) -> NewJob:
    return NewJob("CMOs of SaaS companies", limit=limit, **fields)


async def buy(house, wanted=None, *, name="ops", confirmed=False):
    return await house.desk.submit(wanted or search(), name, confirmed=confirmed, by="me")


async def finish(house, number=0, **fields):
    """Let the vendor finish a job and send its event; process it."""
    await house.post(full(house.vendor.jobs[house.vendor.finish(number, **fields)]))
    await house.process()


async def test_reserve_submit_settle(house):
    """The ceiling is set aside while the vendor is asked, and what was billed takes its place in the end."""
    house = house(budgets=BUDGETS)
    seen = []

    async def look():
        seen.append((house.spent(), house.run().state))

    house.vendor.on_create = [look]
    purchase = await buy(house, search(10))
    assert (seen, purchase.job_id, purchase.ceiling) == ([((10, 0), "reserved")], "job_1", 10)
    run = house.run()
    assert (run.state, run.by, run.budget, run.next_poll_at_ms - house.clock()) == ("submitted", "me", "ops", 120_000)
    await finish(house, people=7)
    assert (house.spent(), house.run().state, house.run().billed) == ((0, 7), "succeeded", 7)


async def test_without_a_budget(house):
    """A job that names no budget is bought, is in the ledger, and counts against none."""
    house = house(budgets=BUDGETS)
    assert (await buy(house, name=None)).decision is None
    await finish(house)
    assert (house.spent(), house.run().billed, house.run().budget) == ((0, 0), 10, None)


async def test_a_failed_job_costs_nothing(house):
    """What was set aside for a job comes back when it failed."""
    house = house(budgets=BUDGETS)
    await buy(house)
    house.vendor.jobs["job_1"] = document("job_1", "failed")
    await house.poll(121)
    await house.process()
    assert (house.spent(), house.run().state, house.run().reason) == ((0, 0), "failed", "the search failed")


@pytest.mark.parametrize(("wanted", "sent"), [
    (search(10), (10, 10)),
    (search(100, max_records=250), (100, 250)),
    (search(100, max_records=7), (7, 7)),
])  # fmt: skip
async def test_max_records_is_always_sent(light, wanted, sent):
    """Every submission says how many people it may bring, and no page is larger than that: it is its ceiling."""
    house = light(budgets={"ops": budget(1000)})
    purchase = await buy(house, wanted)
    (asked,) = house.vendor.created
    assert ((asked.limit, asked.max_records), purchase.ceiling) == (sent, sent[0])
    assert (house.run().asked["max_records"], house.run().left) == (sent[1], sent[1])


async def test_denied(house, lines):
    """What is left decides: a run that does not fit is not submitted, not kept, and leaves a line."""
    house = house(budgets={"ops": budget(15)})
    await buy(house, search(10))
    purchase = await buy(house, search(10))
    assert (purchase.job_id, purchase.decision.verdict, purchase.decision.reason) == (
        None, Verdict.DENY, Reason.OVER_BUDGET,
    )  # fmt: skip
    assert (len(house.vendor.created), len(house.runs()), house.spent()) == (1, 1, (10, 0))
    assert [(line["budget"], line["reason"], line["estimated"], line["remaining"]) for line in lines.of("budget.denied")] == [
        ("ops", "over_budget", "10", "5")
    ]  # fmt: skip


async def test_confirmation(house):
    """A run above the limit of confirmation is submitted only once somebody said yes; a denied one never."""
    house = house(budgets={"ops": budget(50, confirm_above=20)})
    first = await buy(house, search(30))
    assert (first.job_id, first.decision.verdict) == (None, Verdict.NEEDS_CONFIRMATION)
    second = await buy(house, search(30), confirmed=True)
    assert (second.job_id, second.decision.reason) == ("job_1", Reason.CONFIRMED)
    assert (await buy(house, search(30), confirmed=True)).decision.verdict is Verdict.DENY


@pytest.mark.parametrize("limit", [1, 10, 25, 40, 100])
@pytest.mark.parametrize("confirm_above", [None, 0, 7, 60])
@pytest.mark.parametrize("left", [0, 1, 12, 30, 80])
async def test_suggestions_fit(limit, confirm_above, left):
    """What is suggested in place of a run is allowed when it is asked for; nothing is suggested where nothing is."""
    house = House(MemoryStore(), budgets={"ops": budget(200, confirm_above=confirm_above)})
    house.budgets["spender"] = budget(200)
    spender = house.budgets["spender"]
    for _ in range((200 - left) // 10):
        await house.buyer.submit(search(10), spender, confirmed=True, by="me")
    for _ in range((200 - left) % 10):
        await house.buyer.submit(search(1), spender, confirmed=True, by="me")
    decision = (await buy(house, search(limit))).decision
    fits = left if confirm_above is None else min(left, confirm_above)
    if decision.verdict is Verdict.ALLOW:
        assert limit <= fits
        return
    suggested = [suggestion.change for suggestion in decision.suggestions]
    assert suggested == ([{"limit": min(fits, limit)}] if fits else [])
    for change in suggested:
        assert (await buy(house, search(**change))).job_id is not None


async def test_units_do_not_meet(light):
    """A budget of another vendor's credits buys nothing here; neither does one that is not configured."""
    house = light(budgets={"hog": Budget("hog", Unit.THEHOG_CREDIT, Decimal(100), Period.DAY)})
    for name in ("hog", "none"):
        with pytest.raises(UsageError, match=r"counts|no budget"):
            await buy(house, name=name)
    assert (house.vendor.created, house.runs()) == ([], [])


async def test_refused(house):
    """A refusal of the vendor gives the money back, is remembered with its reason, and is not tried again."""
    house = house(budgets=BUDGETS)
    house.vendor.on_create = [BAD]
    with pytest.raises(VendorError):
        await buy(house)
    assert (house.run().state, house.run().reason, house.spent()) == ("refused", BAD.message, (0, 0))
    assert len(house.vendor.created) == 1


async def test_surely_not_done_is_tried_again(light):
    """What the vendor surely did not take is asked again a few times, as late as it says; then it is bought once."""
    house = light(budgets=BUDGETS)
    house.vendor.on_create = [AFAR, LIMITED, AFAR]
    assert (await buy(house)).job_id == "job_4"
    assert (house.slept, len(house.runs()), house.spent()) == ([1.0, 7.0, 4.0], 1, (10, 0))


@pytest.mark.parametrize(("errors", "slept"), [
    ([AFAR] * 9, RETRIED),
    ([VendorUnavailable("429", retry_after_s=WAIT_MAX_S)] * 9, [WAIT_MAX_S] * (TRIES - 1)),
    ([VendorUnavailable("429", retry_after_s=WAIT_MAX_S + 1)], []),
    ([VendorUnauthorized(401, "401")], []),
    ([VendorMisbehaved("302, a redirect")], []),
], ids=["away", "30 s", "31 s", "wrong key", "redirect"])  # fmt: skip
async def test_not_for_ever(light, errors, slept):
    """When it goes on so, or the wait is too long, the run is forgotten: nothing was bought, nothing is set aside."""
    house = light(budgets=BUDGETS)
    house.vendor.on_create = list(errors)
    with pytest.raises(VendorError) as caught:
        await buy(house)
    assert (house.slept, len(house.vendor.created)) == (slept, len(slept) + 1)
    assert (house.runs(), house.spent(), "nothing is set aside" in caught.value.hint) == ([], (0, 0), True)


@pytest.mark.parametrize("before", [[], [AFAR]])
async def test_doubtful(house, before):
    """When nobody knows whether it was taken, nothing is asked again and all that it may cost stays set aside."""
    house = house(budgets=BUDGETS)
    house.vendor.on_create = [*before, IN_DOUBT]
    with pytest.raises(VendorError) as caught:
        await buy(house)
    assert (house.run().state, house.spent(), len(house.vendor.created)) == ("doubtful", (10, 0), len(before) + 1)
    assert f"stibgate jobs resolve {house.run().run_id}" in caught.value.hint
    house.clock.advance(9 * 86_400)
    await house.reconciler.reconcile()
    assert (house.run().state, house.spent()) == ("doubtful", (10, 0))


async def test_a_crash_while_the_vendor_is_asked(house):
    """A run whose process died before the answer is doubtful for the next one, its money still set aside."""
    first = house(budgets=BUDGETS)
    asked = asyncio.Event()

    async def hang():
        asked.set()
        await asyncio.Event().wait()

    first.vendor.on_create = [hang]
    buying = asyncio.create_task(buy(first))
    await asked.wait()
    assert await first.store.recover_runs(now_ms=first.clock()) == 1
    second = House(first.store, budgets=BUDGETS)
    assert (second.run().state, second.spent()) == ("doubtful", (10, 0))
    assert await second.store.recover_runs(now_ms=first.clock()) == 0
    buying.cancel()
    await asyncio.gather(buying, return_exceptions=True)


async def test_one_job_a_dedupe_token(house):
    """Of two submissions with one token at once one is busy; it may go when the other has ended, doubt included."""
    house = house(budgets=BUDGETS)
    wanted = search(dedupe_token="campaign", dedupe_user_id="ann")
    results = await asyncio.gather(buy(house, wanted), buy(house, wanted), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["JobBusy", "Purchase"]
    assert (len(house.vendor.created), house.spent()) == (1, (10, 0))
    await buy(house, search(dedupe_token="campaign", dedupe_user_id="bob"))
    await buy(house, search(dedupe_token="other", dedupe_user_id="ann"))
    await finish(house, 1)
    house.vendor.on_create = [IN_DOUBT]
    with pytest.raises(VendorError):
        await buy(house, wanted)
    with pytest.raises(JobBusy):
        await buy(house, wanted)
    assert len(house.vendor.created) == 4


def failing(house, name, error=None, *, done=False):
    """Let the store's next call of *name* fail, before it was *done* or although it is."""
    real = getattr(house.store, name)
    errors = [error or StoreUnavailable("the disk is gone")]

    async def once(*args, **arguments):
        result = await real(*args, **arguments) if done or not errors else None
        if errors:
            raise errors.pop()
        return result

    setattr(house.store, name, once)


async def test_the_store_fails_after_the_vendor_took_it(house, lines):
    """A job that the vendor took and the store could not note is named in the log and in the ledger, and noted later."""
    house = house(budgets=BUDGETS)
    failing(house, "submitted")
    with pytest.raises(StoreUnavailable) as caught:
        await buy(house)
    (line,) = lines.of("store.error")
    assert (line["job_id"], line["run_id"], house.spent()) == ("job_1", "run_1", (10, 0))
    assert "jobs resolve run_1 --job job_1" in line["hint"]
    assert caught.value.hint == line["hint"]
    assert (house.run().state, "job_1" in house.run().reason, house.buyer.under_way) == ("doubtful", True, set())
    await house.buyer.catch_up()
    assert (house.run().state, house.run().job_id, house.run().reason) == ("submitted", "job_1", None)


async def test_a_store_that_goes_on_failing(house):
    """What the store still does not take is kept until it does; whoever buys next finds it noted."""
    house = house(budgets=BUDGETS)
    for _ in range(2):
        failing(house, "submitted")
        with pytest.raises(StoreUnavailable):
            await buy(house)
        await house.buyer.catch_up()
    assert [(run.state, run.job_id) for run in house.runs()] == [("submitted", "job_1"), ("submitted", "job_2")]
    failing(house, "submitted")
    with pytest.raises(StoreUnavailable):
        await buy(house)
    failing(house, "submitted")
    await house.buyer.catch_up()
    assert house.runs()[-1].state == "doubtful"
    await buy(house)
    assert {run.state for run in house.runs()} == {"submitted"}


@pytest.mark.parametrize("done", [False, True])
async def test_a_reservation_that_comes_too_late(house, done):
    """A reservation that nobody waited for is undone, whether it was made or not; the vendor was never asked."""
    house = house(budgets=BUDGETS)
    failing(house, "reserve", StoreTimeout("not in time"), done=done)
    with pytest.raises(StoreTimeout):
        await buy(house, search(dedupe_token="campaign"))
    assert (house.runs(), house.spent(), house.vendor.created) == ([], (0, 0), [])
    assert (await buy(house, search(dedupe_token="campaign"))).job_id == "job_1"


async def test_a_next_page_that_is_reserved_too_late(house):
    """A next page whose reservation came too late is bought once, with one reservation."""
    house = house(budgets=BUDGETS, continue_pages=True)
    await buy(house, search(10, max_records=20))
    await finish(house)
    failing(house, "reserve", StoreTimeout("not in time"), done=True)
    with pytest.raises(StoreTimeout):
        await house.reconciler.go_on()
    assert (len(house.runs()), house.run().continued) == (1, False)
    assert await house.reconciler.go_on() == 1
    assert [(run.page, run.state) for run in house.runs()] == [(1, "succeeded"), (2, "submitted")]


@pytest.mark.parametrize(("error", "call", "becomes"), [
    (VendorUnauthorized(401, "401"), "withdraw", None),
    (BAD, "unsubmitted", "refused"),
    (IN_DOUBT, "unsubmitted", "doubtful"),
], ids=["not taken", "refused", "doubt"])  # fmt: skip
async def test_the_store_fails_after_the_vendor_did_not_take_it(house, error, call, becomes):
    """What came of a submission and could not be noted leaves the run doubtful, with its reason, until it can be."""
    house = house(budgets=BUDGETS)
    house.vendor.on_create = [error]
    failing(house, call)
    with pytest.raises(VendorError) as caught:
        await buy(house)
    assert (house.run().state, house.run().reason, house.spent()) == ("doubtful", error.message, (10, 0))
    assert "the disk is gone" in caught.value.hint
    assert "jobs resolve run_1" in caught.value.hint
    await house.buyer.catch_up()
    assert [run.state for run in house.runs()] == ([becomes] if becomes else [])


@pytest.mark.parametrize("error", [RuntimeError("a bug"), asyncio.CancelledError()], ids=["bug", "cancelled"])
async def test_cut_off_while_the_vendor_is_asked(house, error):
    """Whatever ends a submission without an answer leaves a doubt with a reason, not a run that nobody can settle."""
    house = house(budgets=BUDGETS)
    house.vendor.on_create = [error]
    with pytest.raises(type(error)):
        await buy(house)
    assert (house.run().state, house.spent(), house.buyer.under_way) == ("doubtful", (10, 0), set())
    assert type(error).__name__ in house.run().reason


async def test_cut_off_before_it_was_sent_again(house):
    """Whoever is stopped while waiting for a vendor that took nothing, bought nothing."""
    house = house(budgets=BUDGETS)
    house.vendor.on_create = [AFAR]

    async def stopped(_):
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await replace(house.buyer, sleep=stopped).submit(search(), BUDGETS["ops"], confirmed=False, by="me")
    assert (house.runs(), house.spent()) == ([], (0, 0))


ENDS = ("ok", "refused", "later", "doubt", "denied key")
ERRORS = {"refused": BAD, "later": AFAR, "doubt": IN_DOUBT, "denied key": VendorUnauthorized(401, "401")}
RUNS = st.lists(
    st.tuples(st.integers(1, 40), st.sampled_from(ENDS), st.sampled_from(["open", "billed", "less", "failed", "lost"])),
    min_size=50, max_size=50,
)  # fmt: skip


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_nobody_overdraws(kind, tmp_path_factory):
    """Fifty at once, whatever is asked, refused, unknown and settled: set aside and billed never exceed the limit."""

    @settings(max_examples=15 if kind == "memory" else 6, suppress_health_check=list(HealthCheck), database=None)
    @given(limit=st.integers(0, 400), runs=RUNS)
    def law(limit, runs):
        asyncio.run(_spend(kind, tmp_path_factory.mktemp("budget"), limit, runs))

    law()


async def _spend(kind, folder, limit, runs):
    """Submit *runs* (page, what the vendor does, how the job ends) at once, and watch the budget."""
    async with opened(kind, folder) as store:
        house = House(store, budgets={"ops": budget(limit)})
        script = {f"search {number}": run for number, run in enumerate(runs)}
        taken: dict[str, str] = {}

        async def create(job, plain=house.vendor.create_job):
            watch()
            await asyncio.sleep(0)
            how = script[job.q][1]
            if how != "ok":
                raise VendorUnavailable(AFAR.message) if how == "later" else ERRORS[how]
            answer = await plain(job)
            taken[answer.job_id] = job.q
            return answer

        def watch():
            reserved, settled = house.spent()
            assert reserved + settled <= limit

        house.vendor.create_job = create
        results = await asyncio.gather(
            *(buy(house, NewJob(q, limit=page)) for q, (page, _, _) in script.items()), return_exceptions=True
        )
        assert all(not isinstance(each, BaseException) or isinstance(each, VendorError) for each in results)
        settled = 0
        for job_id, q in taken.items():
            page, _, end = script[q]
            watch()
            if end in {"billed", "less"}:
                settled += (count := page if end == "billed" else page // 2)
                await house.post(full(document(job_id, people=count)))
            elif end == "failed":
                await house.post(full(document(job_id, "failed"), "person_search.job.failed"))
            elif end == "lost":
                run = house.ledger.job(job_id)
                await store.lose(run.run_id, "no end", now_ms=house.clock())
            await house.process()
        watch()
        bought = {q for q, result in zip(script, results, strict=True) if getattr(result, "job_id", None)}
        doubtful = [run for run in house.runs() if run.state is JobState.DOUBTFUL]
        kept = sum(script[q][0] for q in bought if script[q][2] in {"open", "lost"})
        assert house.spent() == (kept + int(sum(run.ceiling for run in doubtful)), settled)
