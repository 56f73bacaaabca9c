"""A search is continued page by page as far as it was allowed, and each page is bought once."""

import asyncio
from contextlib import suppress

import pytest

from stibgate.domain.budget import Unit
from stibgate.errors import UsageError, VendorError, VendorRefused, VendorUnavailable
from stibgate.pipeline.asking import AT_ONCE
from stibgate.vendors.stibnite import NewJob
from tests.pipeline.jobs_world import AFAR, BAD, IN_DOUBT, House, bought, budget, document, full
from tests.pipeline.world import ids


def paging(house, limit=1000, **settings):
    return house(budgets={"ops": budget(limit)}, continue_pages=True, **settings)


async def next_pages(house, times=1, **fields):
    """Let the vendor finish its last job and the house go on, several times."""
    for _ in range(times):
        await house.post(full(house.vendor.jobs[house.vendor.finish(**fields)]))
        await house.process()
        await house.reconciler.run_once()


def asked(house) -> list[tuple[str | None, int]]:
    return [(job.cursor, job.limit) for job in house.vendor.created]


async def test_pages_up_to_the_cap(house):
    """Next pages follow up to `max_records`, the last one shortened; all else is asked for as on the first."""
    house = paging(house)
    wanted = {"location_state": "ID", "dedupe_token": "token", "dedupe_user_id": "ann", "max_records": 125}
    await bought(house, 50, **wanted)
    await next_pages(house, 5)
    assert asked(house) == [(None, 50), ("50", 50), ("100", 25)]
    assert len({(job.q, *(getattr(job, name) for name in wanted)) for job in house.vendor.created}) == 1
    assert [(run.page, run.parent_job_id, run.left) for run in house.runs()] == [
        (1, None, 125), (2, "job_1", 75), (3, "job_2", 25),
    ]  # fmt: skip
    await house.settle_all()
    assert (house.spent(), len(house.held())) == ((0, 125), 125)


async def test_off_by_default(light):
    """Without `continue_pages` there is one page."""
    house = light(budgets={"ops": budget(1000)})
    await bought(house, 50, max_records=100)
    await next_pages(house)
    await house.desk.reconcile()
    assert len(house.vendor.created) == 1


async def test_the_last_page(light):
    """A search ends where the vendor says that it does, although more were allowed."""
    house = paging(light)
    house.vendor.people = 70
    await bought(house, 50, max_records=500)
    await next_pages(house, 3)
    assert (asked(house), house.spent()) == ([(None, 50), ("50", 50)], (0, 70))


async def test_foreign_jobs_have_no_pages(house):
    """A job that was only seen in an event is not continued: nobody here said how much it may cost."""
    house = paging(house)
    await house.post(full(document("job_x", pagination={"next_cursor": "2"})))
    await house.settle_all()
    assert (house.vendor.created, house.run().next_cursor) == ([], "2")


async def test_one_page_at_a_time_for_each_token(house):
    """A next page waits while another search with its token is on its way, and follows once that has ended."""
    house = paging(house)
    await bought(house, 50, max_records=100, dedupe_token="token")
    job = house.vendor.jobs[house.vendor.finish()]
    await house.post(full(job))
    await house.process()
    await bought(house, 10, dedupe_token="token", name=None)
    await house.reconciler.run_once()
    assert asked(house) == [(None, 50), (None, 10)]
    await house.post(full(house.vendor.jobs[house.vendor.finish()]))
    await house.process()
    await house.reconciler.run_once()
    assert asked(house)[2:] == [("50", 50)]


async def test_a_page_is_bought_once(house):
    """The background and an operator who go on at the same moment buy a page once."""
    house = paging(house)
    await bought(house, 50, max_records=100)
    await house.post(full(house.vendor.jobs[house.vendor.finish()]))
    await house.process()
    await asyncio.gather(house.reconciler.go_on(), house.reconciler.go_on(), house.desk.reconcile())
    assert asked(house) == [(None, 50), ("50", 50)]


async def test_a_budget_stops_and_lets_go_on(house):
    """A page that does not fit stops its search with the reason; reconciling goes on once the budget allows it."""
    house = paging(house, 70)
    await bought(house, 50, max_records=200)
    await next_pages(house)
    assert (len(house.vendor.created), house.runs()[0].stopped, house.spent()) == (1, "over_budget", (0, 50))
    await house.reconciler.run_once()
    await house.desk.reconcile()
    assert (len(house.vendor.created), house.runs()[0].stopped) == (1, "over_budget")
    house.budgets["ops"] = budget(200)
    await house.desk.reconcile()
    assert (asked(house)[1:], house.runs()[0].stopped, house.runs()[0].continued) == ([("50", 50)], None, True)


async def test_a_confirmation_is_about_all_pages(house):
    """What a search may cost with all its pages is confirmed once, before the first; then nobody is asked again."""
    house = house(budgets={"ops": budget(1000, confirm_above=60)}, continue_pages=True)
    wanted = NewJob("CMOs", limit=50, max_records=100)
    asked = await house.desk.submit(wanted, "ops", confirmed=False, by="me")
    assert (asked.job_id, asked.decision.reason) == (None, "above_confirm")
    assert "100 with all its pages" in asked.decision.message
    assert [dict(one.change) for one in asked.decision.suggestions] == [{"max_records": 60}]
    await house.desk.submit(wanted, "ops", confirmed=True, by="me")
    await next_pages(house)
    assert (len(house.vendor.created), house.runs()[0].stopped) == (2, None)


async def test_a_page_that_was_not_taken(house):
    """A doubtful page that surely was not taken is asked for again, with its money."""
    house = paging(house, 200)
    await bought(house, 50, max_records=100)
    house.vendor.finish()
    house.vendor.on_create = [IN_DOUBT]
    await house.post(full(house.vendor.jobs["job_1"]))
    await house.process()
    await house.reconciler.run_once()
    _, doubtful = house.runs()
    assert (doubtful.state, house.spent()) == ("doubtful", (50, 50))
    await house.desk.resolve(doubtful.run_id, None, by="ann")
    assert (len(house.runs()), house.runs()[0].continued, house.spent()) == (1, False, (0, 50))
    house.clock.advance(3600)
    await house.reconciler.run_once()
    assert [(run.page, run.state) for run in house.runs()] == [(1, "succeeded"), (2, "submitted")]


@pytest.mark.parametrize("cursor", ["50", "100"])
async def test_a_cursor_that_comes_again(light, cursor):
    """A vendor that sends in circles is not followed: a cursor is asked for once."""
    house = paging(light)
    await bought(house, 50, max_records=500)
    await next_pages(house, 2)
    await next_pages(house, 3, pagination={"next_cursor": cursor})
    assert (len(house.vendor.created), house.runs()[-1].stopped) == (3, "cursor_repeated")


async def test_empty_pages(house):
    """After ten pages without anybody a search goes no further."""
    house = paging(house)
    await bought(house, 50, max_records=500)
    for number in range(15):
        await next_pages(house, people=0, pagination={"next_cursor": f"cursor_{number}"})
    assert (len(house.vendor.created), house.runs()[-1].stopped) == (10, "empty_pages")


@pytest.mark.parametrize("other", [None, "unit"])
async def test_a_budget_that_is_gone(house, other):
    """A search whose budget was taken out of the configuration, or counts something else now, waits until it is back."""
    house = paging(house)
    await bought(house, 50, max_records=200)
    del house.budgets["ops"]
    if other:
        house.budgets["ops"] = budget(1000, unit=Unit.THEHOG_CREDIT)
    await next_pages(house)
    assert (len(house.vendor.created), house.run().stopped) == (1, "budget_gone")
    with pytest.raises(UsageError):
        await bought(house)
    house.budgets["ops"] = budget(1000)
    await house.desk.reconcile()
    assert (asked(house)[1:], house.runs()[0].stopped) == ([("50", 50)], None)


async def test_a_page_that_is_refused(house):
    """A page that the vendor refuses stops its search and no other, and is paid by nobody."""
    house = paging(house)
    for token in ("one", "two"):
        await bought(house, 50, max_records=100, dedupe_token=token)
    for number in (1, 2):
        await house.post(full(house.vendor.jobs[house.vendor.finish(number)]))
    await house.process()
    house.vendor.on_create = [BAD]
    await house.reconciler.run_once()
    one, two, refused, page = house.runs()
    assert (one.stopped, refused.state, two.stopped, page.state) == ("refused", "refused", None, "submitted")
    assert house.spent() == (50, 100)
    await house.reconciler.run_once()
    await house.desk.reconcile()
    assert len(house.vendor.created) == 4


async def test_searches_that_must_wait_keep_no_other_from_its_turn(house):
    """However many searches wait for one dedupe token, those of other tokens go on."""
    house = house(budgets={"ops": budget(1000)})
    for number in range(AT_ONCE + 1):
        await bought(house, 2, max_records=4, dedupe_token="busy" if number < AT_ONCE else "other")
        await house.post(full(house.vendor.jobs[house.vendor.finish()]))
        await house.process()
    house.vendor.on_create = [IN_DOUBT]
    with suppress(VendorError):
        await bought(house, 2, dedupe_token="busy")
    later = House(house.store, budgets=house.budgets, continue_pages=True, vendor=house.vendor, new_ids=late_ids)
    await later.reconciler.run_once()
    assert [job.dedupe_token for job in house.vendor.created[AT_ONCE + 2 :]] == ["other"]


def late_ids(prefix):
    return ids(f"{prefix}_late")


@pytest.mark.parametrize("cursor", ["", " ", "\t"])
async def test_a_cursor_that_is_none(house, cursor):
    """A blank is no cursor, whoever says it: there is no next page."""
    house = paging(house)
    for token in ("event", "poll"):
        await bought(house, 50, max_records=100, dedupe_token=token)
    for number in (1, 2):
        house.vendor.finish(number, pagination={"next_cursor": cursor})
    await house.post(full(house.vendor.jobs["job_1"]))
    await house.settle_all(1)
    assert [(run.state, run.next_cursor) for run in house.runs()] == [("succeeded", None)] * 2
    assert len(house.vendor.created) == 2


@pytest.mark.parametrize(("error", "tries"), [(ZeroDivisionError("a bug"), 4), (UsageError("no", hint=""), 1)])
async def test_a_page_that_cannot_be_asked_for(light, lines, error, tries):
    """A page that cannot even be asked for stops its search in the end, with the reason, and no other's."""
    house = paging(light)
    for token in ("one", "two"):
        await bought(house, 50, max_records=100, dedupe_token=token)
        await house.post(full(house.vendor.jobs[house.vendor.finish()]))
    await house.process()
    real, seen = house.store.reserve, []

    async def reserve(run, *settings, **more):
        if run.parent_run_id == "run_1":
            seen.append(house.clock())
            raise error
        return await real(run, *settings, **more)

    house.store.reserve = reserve
    for _ in range(600):
        await house.poll(1)
    assert (len(seen), house.runs()[0].stopped) == (tries, "failed")
    assert (len(house.vendor.created), house.runs()[1].continued) == (3, True)
    assert [line["reason"] for line in lines.of("job.failed")] == ["failed"]


async def test_an_outage_before_a_next_page(light, lines):
    """While the vendor is away a next page that waits costs no line of its own; afterwards it is bought."""
    house = paging(light)
    await bought(house, 50, max_records=100)
    house.vendor.on_create = [AFAR] * 5
    await next_pages(house)
    for _ in range(100):
        await house.poll(5)
    assert (len(lines.of("vendor.unavailable")), lines.of("job.failed")) == (1, [])
    assert (len(house.vendor.created), house.runs()[1].state) == (7, "submitted")


async def test_a_page_that_must_wait(light):
    """A page that the vendor has no time for is withdrawn and asked for when it has, without a wait on the way."""
    house = paging(light)
    await bought(house, 50, max_records=100)
    house.vendor.on_create = [VendorUnavailable("429", retry_after_s=20)]
    await next_pages(house)
    assert (len(house.runs()), house.spent(), house.slept) == (1, (0, 50), [])
    assert 20_000 <= await house.reconciler.next_due_ms() - house.clock() <= 24_000
    await house.poll(19)
    assert len(house.vendor.created) == 2
    house.clock.ms = await house.reconciler.next_due_ms()
    await house.poll()
    assert (asked(house)[1:], house.runs()[1].state) == ([("50", 50)] * 2, "submitted")


async def test_a_page_in_doubt(house):
    """A page of which nobody knows whether it was taken is not asked for again."""
    house = paging(house)
    await bought(house, 50, max_records=200)
    house.vendor.on_create = [IN_DOUBT]
    await next_pages(house)
    for _ in range(5):
        await house.poll(600)
        await house.desk.reconcile()
    assert (len(house.vendor.created), house.runs()[1].state, house.spent()) == (2, "doubtful", (50, 50))


async def test_more_than_was_asked_for(house):
    """A page that is larger than it may be is taken whole, is settled, and has no successor."""
    house = paging(house)
    await bought(house, 50, max_records=60)
    await next_pages(house)
    await next_pages(house, people=90, pagination={"next_cursor": "more"})
    await house.settle_all()
    assert (asked(house), house.spent(), len(house.held())) == ([(None, 50), ("50", 10)], (0, 140), 140)


async def test_pages_that_are_polled(house):
    """Pages follow each other when no event ever comes."""
    house = paging(house)
    await bought(house, 50, max_records=125)
    for _ in range(3):
        house.vendor.finish()
        await house.settle_all(0.5)
    assert (asked(house), house.spent(), len(house.held())) == ([(None, 50), ("50", 50), ("100", 25)], (0, 125), 125)


async def test_a_page_without_credits(house, lines):
    """A page for which the account has no credits left is withdrawn, and its search goes on once somebody asks for it."""
    house = paging(house)
    await bought(house, 50, max_records=100)
    house.vendor.on_create = [VendorRefused(402, "POST /v1/persons/search/jobs: 402: no credits")] * 2
    await next_pages(house)
    assert (house.run().stopped, house.run().continued, house.spent()) == ("no_credits", False, (0, 50))
    house.clock.advance(86_400)
    await house.reconciler.run_once()
    assert (len(house.vendor.created), [line["reason"] for line in lines.of("job.failed")]) == (2, ["no_credits"])
    await house.desk.reconcile()
    assert (len(house.vendor.created), house.run().stopped) == (3, "no_credits")
    await house.desk.reconcile()
    assert [(run.stopped, run.state) for run in house.runs()] == [(None, "succeeded"), (None, "submitted")]
