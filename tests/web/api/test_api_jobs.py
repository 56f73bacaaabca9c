"""The admin API's calls about jobs, on a real socket, in front of a vendor that follows a script."""

from dataclasses import dataclass, replace

import pytest

from stibgate.errors import (
    EXIT_FAILED,
    EXIT_PERMISSION,
    EXIT_TEMPORARY,
    StoreUnavailable,
    VendorMisbehaved,
    VendorUnauthorized,
)
from stibgate.stores.memory import MemoryStore
from tests.pipeline.jobs_world import AFAR, BAD, IN_DOUBT, House, budget
from tests.web.api.office import Office, make_application

CALLS = ("jobs", "jobs/reconcile", "jobs/resolve")
SUBMIT = {"q": "CMOs", "limit": 10, "budget": "ops"}


@dataclass
class Desk(Office):
    """The API of a house, and the house."""

    house: House = None


@pytest.fixture
def office(aiohttp_client):
    """Return a function that opens an office; *desk* makes something else of the house's desk."""

    async def opened(desk=lambda desk: desk, **settings):
        house = House(MemoryStore(), **{"budgets": {"ops": budget(15, confirm_above=12)}, **settings})

        async def read(query):
            return query(house.store)

        app, acts = make_application(house.store, read, house.clock, desk=desk(house.desk), sinks=())
        return Desk(await aiohttp_client(app), house.store, house.clock, acts, house=house)

    return opened


@pytest.mark.parametrize("path", CALLS)
async def test_token(office, path):
    """Without the token nothing is bought, asked or said, whatever the body is."""
    office = await office()
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert (await office.ask(path, SUBMIT, role=None, headers=headers))[0] == 401
    assert (await office.ask(path, SUBMIT, role="viewer"))[0] == 403
    assert (office.house.runs(), office.house.vendor.created) == ([], [])


@pytest.mark.parametrize("path", CALLS)
async def test_method(office, path):
    """A GET changes nothing: of `/jobs` it lists, and there is no job called as a call is."""
    office = await office()
    status, told = await office.ask(path, method="GET")
    assert (status, told.get("data")) == ((200, []) if path == "jobs" else (405, None))
    assert office.audit() == []


@pytest.mark.parametrize(("path", "body"), [
    ("jobs", None),
    ("jobs", b"no json"),
    ("jobs", []),
    ("jobs", {}),
    ("jobs", {**SUBMIT, "limits": 5}),
    ("jobs", {**SUBMIT, "limit": "5"}),
    ("jobs", {**SUBMIT, "limit": 0}),
    ("jobs", {**SUBMIT, "limit": 101}),
    ("jobs", {**SUBMIT, "max_records": 0}),
    ("jobs", {**SUBMIT, "q": " "}),
    ("jobs", {**SUBMIT, "confirmed": "yes"}),
    ("jobs", {**SUBMIT, "by": "x" * 101}),
    ("jobs", {**SUBMIT, "budget": "none"}),
    ("jobs/reconcile", b"no json"),
    ("jobs/reconcile", {"yes": True}),
    ("jobs/reconcile", {"confirmed": 1}),
    ("jobs/resolve", None),
    ("jobs/resolve", {}),
    ("jobs/resolve", {"run_id": "run_9"}),
    ("jobs/resolve", {"run_id": "run_1", "job": "job_1"}),
    ("jobs/resolve", {"run_id": "run_1", "job_id": ""}),
    ("jobs/resolve", {"run_id": "run_1", "job_id": " job_1"}),
    ("jobs/resolve", {"run_id": "run_1", "billed": -1}),
    ("jobs/resolve", {"run_id": "run_1", "billed": 10**9 + 1}),
    ("jobs/resolve", {"run_id": "run_1", "billed": 1.5}),
    ("jobs/resolve", {"run_id": "run_1", "billed": 1, "job_id": "job_1"}),
], ids=str)  # fmt: skip
async def test_bad_bodies(office, path, body):
    """What cannot be meant is 400 with a hint, and changes nothing."""
    office = await office()
    office.house.vendor.on_create = [IN_DOUBT]
    assert (await office.ask("jobs", {**SUBMIT, "budget": None}))[0] == 503
    before = office.house.runs()
    assert (await office.ask(path, body))[0] == 400
    assert (office.house.runs(), len(office.house.vendor.created)) == (before, 1)


async def test_no_api_key(office):
    """Without an API key every call says which variable to set."""
    office = await office(lambda _: None)
    for path, body in zip(CALLS, (SUBMIT, {}, {"run_id": "run_1"}), strict=True):
        status, problem = await office.ask(path, body)
        assert (status, "STIBGATE_STIBNITE__API_KEY" in problem["hint"]) == (400, True)


async def test_no_source(office):
    """Where no source takes the events of jobs nothing is submitted."""
    office = await office(lambda desk: replace(desk, takes_jobs=False))
    status, problem = await office.ask("jobs", SUBMIT)
    assert (status, "stibnite_jobs" in problem["hint"], office.house.vendor.created) == (400, True, [])


async def test_submit(office):
    """A job that is allowed is answered with its ids, what it may cost, and what the budget says."""
    office = await office()
    status, told = await office.ask("jobs", {**SUBMIT, "by": "ann"})
    assert (status, {**told, "decision": told["decision"]["reason"]}) == (200, {
        "run_id": "run_1", "job_id": "job_1", "unit": "stibnite.credit_unit", "ceiling": "10", "budget": "ops",
        "decision": "fits",
    })  # fmt: skip
    assert office.house.run().by == "ann"
    assert (await office.ask("jobs", {"q": "CMOs", "limit": 1}))[1]["decision"] is None


async def test_denied(office):
    """What the budget does not allow is an answer, not an error: without a job, with what would fare better."""
    office = await office()
    status, needs = await office.ask("jobs", {**SUBMIT, "limit": 14})
    assert (status, needs["job_id"], needs["decision"]["verdict"]) == (200, None, "needs_confirmation")
    assert (await office.ask("jobs", {**SUBMIT, "limit": 14, "confirmed": True}))[1]["job_id"] == "job_1"
    status, denied = await office.ask("jobs", {**SUBMIT, "confirmed": True})
    assert (status, denied["job_id"], denied["decision"]["verdict"]) == (200, None, "deny")
    assert denied["decision"]["suggestions"] == [{"change": {"limit": 1}, "ceiling": "1", "verdict": "allow"}]


async def test_busy(office):
    """A second job with an open job's dedupe token may be tried again later."""
    office = await office(budgets={})
    asked = {"q": "CMOs", "dedupe_token": "t"}
    assert (await office.ask("jobs", asked))[0] == 200
    status, problem = await office.ask("jobs", asked)
    assert (status, problem["exit_code"], len(office.house.vendor.created)) == (503, EXIT_TEMPORARY, 1)


@pytest.mark.parametrize(("error", "status", "code", "states"), [
    (AFAR, 503, EXIT_TEMPORARY, []),
    (IN_DOUBT, 503, EXIT_TEMPORARY, ["doubtful"]),
    (BAD, 500, EXIT_FAILED, ["refused"]),
    (VendorUnauthorized(401, "401", hint="Look at the key."), 502, EXIT_PERMISSION, []),
    (VendorMisbehaved("a web page", maybe_done=True), 500, EXIT_FAILED, ["doubtful"]),
    (StoreUnavailable("the disk is gone"), 503, EXIT_TEMPORARY, ["doubtful"]),
], ids=["away", "doubt", "refused", "key", "web page", "store"])  # fmt: skip
async def test_errors_carry_their_exit_code(office, error, status, code, states):
    """What the vendor says, or does not, ends a command as it would without a service."""
    office = await office()
    if isinstance(error, StoreUnavailable):

        async def broken(*_, **__):
            raise error

        office.house.store.submitted = broken
    else:
        error.hint = error.hint or "Try."
        office.house.vendor.on_create = [error] * 4
    answer, problem = await office.ask("jobs", SUBMIT)
    assert (answer, problem["exit_code"], problem["title"]) == (status, code, error.message)
    assert [run.state for run in office.house.runs()] == states


@pytest.mark.parametrize("body", [None, {}, {"confirmed": True}])
async def test_reconcile(office, body):
    """Every open job is asked for, and what became of each is said; no body is a body that says nothing."""
    office = await office()
    assert (await office.ask("jobs/reconcile", body)) == (200, {"data": []})
    await office.ask("jobs", SUBMIT)
    office.house.vendor.finish()
    status, told = await office.ask("jobs/reconcile", body)
    row = {"run_id": "run_1", "job_id": "job_1", "page": 1, "result": "succeeded"}
    assert (status, told) == (200, {"data": [row]})


async def test_confirm(office):
    """A search that waits for a yes is named, and goes on once somebody said it."""
    office = await office(budgets={"ops": budget(100, confirm_above=12)}, continue_pages=True)
    house = office.house
    await office.ask("jobs", {**SUBMIT, "max_records": 20, "confirmed": True})
    await house.store.stop("run_1", "needs_confirmation")
    house.store._update("run_1", confirmed=None)
    house.vendor.finish()
    await house.poll(121)
    await house.process()
    _, told = await office.ask("jobs/reconcile", {})
    assert "--yes" in told["data"][-1]["result"]
    assert len(house.vendor.created) == 1
    _, told = await office.ask("jobs/reconcile", {"confirmed": True})
    assert ("20 with all its pages" in told["data"][0]["result"], len(house.vendor.created)) == (True, 2)


async def test_resolve(office):
    """A doubtful run becomes a job, or nothing; a bill that nobody said is settled; the answer says so in words."""
    office = await office()
    house = office.house
    house.vendor.on_create = [IN_DOUBT, IN_DOUBT]
    for _ in range(2):
        await office.ask("jobs", {**SUBMIT, "limit": 5})
    status, told = await office.ask("jobs/resolve", {"run_id": "run_1", "by": "ann"})
    words = "run_1 was not taken; nothing is set aside for it"
    assert (status, told) == (200, {"run_id": "run_1", "job_id": None, "result": words})
    assert house.runs()[0].reason == "was not taken, says ann"
    status, told = await office.ask("jobs/resolve", {"run_id": "run_2", "job_id": "job_2"})
    assert (status, told["result"], house.runs()[1].state) == (200, "run_2 is job_2", "submitted")
    house.vendor.finish(2, billable_records=None)
    await house.poll()
    await house.process()
    status, told = await office.ask("jobs/resolve", {"run_id": "run_2", "billed": 4})
    assert (status, told["result"], house.spent()) == (200, "run_2 was billed 4", (0, 4))
    assert (await office.ask("jobs/resolve", {"run_id": "run_2"}))[0] == 400


async def test_a_viewer_does_not_see_the_search(office):
    """Its text may name people: operators see it, viewers see that it is there."""
    at = await office()
    run_id = (await at.ask("jobs", {"q": "Dana Example at Meridian", "limit": 1}))[1]["run_id"]
    for role, shown in (("viewer", "hidden: for operators"), ("operator", "Dana Example at Meridian")):
        assert (await at.get(f"jobs/{run_id}", role=role))["q"] == shown
        assert [row["q"] for row in (await at.get("jobs", role=role))["data"]] == [shown]
