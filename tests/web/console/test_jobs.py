"""What was bought: who sees what, what does not add up, and where the list goes on."""

import asyncio
import csv
import io
import json
import re
import threading
from decimal import Decimal

import pytest

from stibgate.domain.access import Role
from stibgate.domain.budget import Unit
from stibgate.domain.job import JobState, NewRun
from stibgate.web.console import twins
from stibgate.web.console.filters import cursor_of
from stibgate.web.console.twins import ROWS, csv_text
from tests.stores.world import make_delivery, make_processed
from tests.web.console.annex import BAD, INJECTED, make_annex

QUERY = "CEO Zoë Example at example.com"


async def bought(annex, number, *, q=QUERY, budget=None, by="dana", state=None):
    """Put run *number* into the ledger, submitted unless it has another *state*."""
    amount = Decimal(30)
    run = NewRun(f"run_{number}", {"q": q, "limit": 30}, Unit.STIBNITE_CREDIT_UNIT, amount, amount, annex.clock(), by)
    await annex.store.reserve(run, None if budget is None else annex.settings.budget(budget), confirmed=True)
    if state is None:
        await annex.store.submitted(f"run_{number}", f"job_{number}", now_ms=annex.clock(), poll_at_ms=annex.clock())
    else:
        await annex.store.unsubmitted(f"run_{number}", state, "the answer was lost", now_ms=annex.clock())


async def test_budgets_jobs_and_alarms(annex):
    """A budget is a bar with its numbers; a job has its state and money; an alarm says what to do."""
    await bought(annex, 1, budget="trial")
    await bought(annex, 2, state=JobState.DOUBTFUL)
    page = await (await annex.login(Role.OPERATOR)).open("/jobs")
    assert "trial 30 % 0 30 100 70 stibnite.credit_unit" in page.words
    assert 'max="100" high="80.0" optimum="0" value="30"' in page.text
    assert f"submitted asked for now job_1 1 {QUERY} 30 - - trial" in page.words
    assert "run run_2 is doubtful" in page.words
    assert "<code>stibgate jobs resolve run_2 --job JOB_ID</code>" in page.text
    assert "Everything that was paid for has arrived" not in page.words


async def test_the_overview_knows_of_money(annex):
    """All is not well while something in the ledger does not add up; the line leads to where it can be read."""
    browser = await annex.login(Role.VIEWER)
    assert "All is well." in (await browser.open("/")).words
    await bought(annex, 2, state=JobState.DOUBTFUL)
    async with asyncio.timeout(60):
        while "run run_2 is doubtful" not in (page := await browser.open("/")).words:
            pass
    assert "All is well." not in page.words
    assert re.search(r'health-bad">run run_2 is doubtful[^<]* <a href="/jobs"', page.text)


@pytest.mark.parametrize("path", ["/jobs", "/jobs.json", "/jobs.csv", "/jobs/run_1"])
async def test_a_viewer_does_not_see_the_search(annex, path):
    """Its text may name people: operators see it, viewers see that it is there."""
    await bought(annex, 1)
    page = await (await annex.login(Role.VIEWER)).open(path)
    assert page.status == 200
    assert "Example at" not in page.text
    assert "hidden: for operators" in page.text
    assert "Example at" in (await (await annex.login(Role.OPERATOR)).open(path)).text


@pytest.mark.parametrize("path", ["/jobs", "/jobs/bills", "/audit", "/deliveries", "/dead"])
async def test_no_csv_is_made_on_the_loop(annex, monkeypatch, path):
    """Ten thousand rows take longer than a sender's request should wait."""
    makers = []

    def noted(rows, columns):
        makers.append(threading.get_ident())
        return csv_text(rows, columns)

    monkeypatch.setattr(twins, "csv_text", noted)
    page = await (await annex.login(Role.ADMIN)).open(f"{path}.csv")
    assert page.status == 200
    assert len(makers) == 1
    assert threading.get_ident() not in makers


async def test_filters_and_cursor(annex):
    """State and budget leave out; the list goes on where it ended, and a cursor of another list is refused."""
    for number in range(2 * ROWS):
        await bought(annex, number, budget="trial" if number < 3 else None)
    browser = await annex.login()
    first = json.loads((await browser.open("/jobs.json")).text)
    second = json.loads((await browser.open(first["next"])).text)
    names = [row["run_id"] for row in first["data"] + second["data"]]
    assert names == [f"run_{number}" for number in reversed(range(2 * ROWS))]
    assert second["next"] is None
    trial = json.loads((await browser.open("/jobs.json?budget=trial&state=submitted")).text)["data"]
    assert [row["run_id"] for row in trial] == ["run_2", "run_1", "run_0"]
    cursor = first["next"].partition("cursor=")[2]
    for bad in (f"budget=trial&cursor={cursor}", "cursor=1", "state=none", "budget=none", "q=x"):
        assert (await browser.open(f"/jobs?{bad}")).status == 400, bad
    assert "No job matches these filters" in (await browser.open("/jobs?state=lost")).words
    rows = list(csv.DictReader(io.StringIO((await browser.open("/jobs.csv?budget=trial")).text)))
    assert [row["run_id"] for row in rows] == ["run_2", "run_1", "run_0"]


async def test_bills_show_what_is_missing(annex):
    """A bill has what was estimated, billed, received and delivered; its filters are an error when unknown."""
    await bought(annex, 1)
    browser = await annex.login(Role.VIEWER)
    page = await browser.open("/jobs/bills")
    assert "job job_1 submitted 30 30 - 0 0 0 0 -" in page.words
    assert [row["job_id"] for row in json.loads((await browser.open("/jobs/bills.json")).text)["data"]] == ["job_1"]
    assert "job_1" in (await browser.open("/jobs/bills.csv")).text
    for number in range(2 * ROWS):
        await annex.store.admit(make_delivery(number, billed=3, records=2, received_at_ms=annex.clock() - number))
        await annex.store.process(make_processed(number, ()))
    page = await browser.open("/jobs/bills?short=yes")
    assert "push d0 done - - 3 2 0 0 3 open" in page.words
    assert "job_1" not in page.words
    first = json.loads((await browser.open("/jobs/bills.json?short=yes&since=1h")).text)
    second = json.loads((await browser.open(first["next"])).text)
    assert [row["delivery_id"] for row in first["data"] + second["data"]] == [
        f"d{number}" for number in range(2 * ROWS)
    ]
    forged = cursor_of(2**63, {})
    for bad in ("short=maybe", "since=tomorrow", "state=dead", "cursor=9", f"cursor={forged}"):
        assert (await browser.open(f"/jobs/bills?{bad}")).status == 400, bad


async def test_one_job_tells_its_story(annex):
    """By its job's or its run's id; one that is none is missing."""
    await bought(annex, 1, budget="trial")
    browser = await annex.login()
    for name in ("job_1", "run_1"):
        page = await browser.open(f"/jobs/{name}")
        assert "run_1: a search, asked for by dana; at most 30 stibnite.credit_unit" in page.words
        assert "run_1 is job job_1 at Stibnite" in page.words
    assert (await browser.open("/jobs/none%3Cscript%3E")).status == 404


async def test_nothing_of_a_search_is_markup(annex):
    """What was searched for, and who asked, stand on every page as text; a spreadsheet calculates none of it."""
    await bought(annex, 1, q=BAD, by=BAD)
    await bought(annex, 2, q="=1+1")
    browser = await annex.login()
    for path in ("/jobs", "/jobs/run_1", "/jobs/bills"):
        page = await browser.open(path)
        for bad in INJECTED:
            assert bad not in page.text, path
    assert "'=1+1" in (await browser.open("/jobs.csv")).text


async def test_a_page_does_not_wait_for_a_slow_look(annex, monkeypatch):
    """While thousands of bills are looked at the page is there without the alarms, and with them afterwards."""
    await bought(annex, 2, state=JobState.DOUBTFUL)
    begun, hold = asyncio.Event(), asyncio.Event()
    read = annex.read

    async def slowly(query):
        if asyncio.current_task().get_name() == "console-alarms":
            begun.set()
            await hold.wait()
        return await read(query)

    annex.read = slowly
    browser = await annex.login()
    monkeypatch.setattr("stibgate.web.console.alarms.PATIENCE_S", 0.01)
    for path in ("/jobs", "/jobs/bills?short=yes"):
        assert "still being looked for" in (await browser.open(path)).words
    assert begun.is_set()
    hold.set()
    async with asyncio.timeout(60):
        while "run run_2 is doubtful" not in (page := await browser.open("/jobs")).words:
            assert "still being looked for" in page.words


async def test_nothing_bought_teaches(aiohttp_client):
    """Empty lists say what would stand there and which command begins."""
    annex = await make_annex(aiohttp_client, {})
    browser = await annex.login()
    page = await browser.open("/jobs")
    assert "No budgets" in page.words
    assert "set stibnite.api_key first" in page.words
    assert "Everything that was paid for has arrived, or is on its way." in page.words
    assert "No bill matches" in (await browser.open("/jobs/bills?short=yes")).words
    assert "Nothing was paid for yet" in (await browser.open("/jobs/bills")).words
