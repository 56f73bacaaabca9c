"""Point 13: faults on demand and at random."""

import json

import aiohttp
import pytest

from stibgate.sandbox.hubspot import FAULTS

UPSERT = "/crm/objects/{v}/contacts/batch/upsert"


@pytest.mark.parametrize("fault", [each for each in FAULTS if each.isdigit()])
async def test_a_status_is_answered_once_and_nothing_is_done(one_desk, person, fault):
    """The next request is served."""
    one_desk.sandbox.fail_next(fault)
    got = await one_desk.call("POST", UPSERT, {"inputs": [person("p1")]}, status=int(fault))
    assert ("Retry-After" in got.headers) is (fault == "477")
    assert one_desk.sandbox.contacts() == []
    await one_desk.person("p1")
    assert one_desk.sandbox.counters.faults == {fault: 1}


@pytest.mark.parametrize(("fault", "policy"), [
    ("429_secondly", "SECONDLY"), ("429_ten_secondly", "TEN_SECONDLY_ROLLING"), ("429_daily", "DAILY"),
])  # fmt: skip
async def test_a_429_names_its_policy_and_no_category(one_desk, person, fault, policy):
    """The body is the one of a real limit."""
    one_desk.sandbox.fail_next(fault, retry_after_s=7)
    got = await one_desk.call("POST", UPSERT, {"inputs": [person("p1")]}, status=429)
    assert (got.body["policyName"], "category" in got.body) == (policy, False)
    assert got.headers["Retry-After"] == "7"
    assert one_desk.sandbox.counters.policies == {policy: 1}


@pytest.mark.parametrize(("fault", "stored"), [("cut_before", 0), ("cut_after", 1)])
async def test_a_cut_connection_leaves_the_client_without_an_answer(one_desk, person, fault, stored):
    """Before the work nothing is stored, after it everything is; only a replay by key is safe."""
    one_desk.sandbox.fail_next(fault, path="upsert")
    with pytest.raises(aiohttp.ClientError):
        await one_desk.post(UPSERT, {"inputs": [person("p1")]})
    assert len(one_desk.sandbox.contacts()) == stored
    assert one_desk.sandbox.requests[-1].status == 0
    await one_desk.person("p1")
    assert len(one_desk.sandbox.contacts()) == 1


async def test_a_truncated_answer_is_a_200_that_is_not_json(desk, person):
    """The work was done."""
    desk.sandbox.fail_next("truncated")
    with pytest.raises(json.JSONDecodeError):
        await desk.post(UPSERT, {"inputs": [person("p1")]})
    assert len(desk.sandbox.contacts()) == 1


@pytest.mark.parametrize(("fault", "status"), [("html", 502), ("html_200", 200)])
async def test_a_page_instead_of_json(one_desk, person, fault, status):
    """Nothing was done, whatever the status says."""
    one_desk.sandbox.fail_next(fault)
    got = await one_desk.call("POST", UPSERT, {"inputs": [person("p1")]}, status=status)
    assert got.headers["Content-Type"].startswith("text/html")
    assert got.body.startswith("<!DOCTYPE html>")
    assert one_desk.sandbox.contacts() == []


async def test_a_short_answer_leaves_results_out_without_a_word(desk, person):
    """All were written; some are not told."""
    desk.sandbox.fail_next("short", drop=2)
    got = await desk.batch("contacts", "upsert", [person(f"p{i}", str(i)) for i in range(5)])
    assert len(got["results"]) == 3
    assert "errors" not in got
    assert len(desk.sandbox.contacts()) == 5


async def test_an_empty_2xx(desk, person):
    """A status and no body; the work was done."""
    desk.sandbox.fail_next("empty_2xx")
    got = await desk.call("POST", UPSERT, {"inputs": [person("p1")]}, status=200)
    assert got.body == ""
    assert len(desk.sandbox.contacts()) == 1


async def test_slow_and_latency_use_the_pause(make_desk, clock):
    """No real time passes."""
    desk = await make_desk(keys=False, latency_s=0.25)
    desk.sandbox.fail_next("slow", seconds=40)
    await desk.get("/account-info/{v}/details")
    assert clock.pauses == [40, 0.25]


async def test_a_fault_waits_for_its_path_and_hits_as_often_as_asked(desk, person):
    """Other requests are not touched."""
    desk.sandbox.fail_next("503", count=2, path="batch/upsert")
    await desk.get("/account-info/{v}/details")
    statuses = [(await desk.call("POST", UPSERT, {"inputs": [person("p1")]})).status for _ in range(3)]
    assert statuses == [503, 503, 200]
    assert [each.body for each in desk.sandbox.requests[-3:]] == [{"inputs": [person("p1")]}] * 3


async def test_a_rate_follows_the_seed(make_desk):
    """About that share of the requests fails, the same ones for the same seed."""

    async def run(seed: int) -> list[int]:
        desk = await make_desk(keys=False, seed=seed)
        desk.sandbox.set_fault_rate("500", 0.3, path="details")
        return [(await desk.call("GET", "/account-info/{v}/details")).status for _ in range(100)]

    first, again, other = await run(1), await run(1), await run(2)
    assert first == again != other
    assert 15 <= first.count(500) <= 45


async def test_a_rate_has_the_details_of_a_single_fault(make_desk, clock):
    """Chaos may be a little slow instead of very."""
    desk = await make_desk(keys=False)
    desk.sandbox.set_fault_rate("slow", 1.0, seconds=0.5)
    await desk.get("/account-info/{v}/details")
    assert clock.pauses == [0.5]


async def test_a_rate_of_zero_ends_it(desk):
    """And only for its path."""
    desk.sandbox.set_fault_rate("500", 1.0)
    await desk.get("/account-info/{v}/details", status=500)
    desk.sandbox.set_fault_rate("500", 0)
    await desk.get("/account-info/{v}/details")


async def test_unknown_faults_and_shares_are_refused(desk):
    """A typo in a test is not a pass."""
    with pytest.raises(ValueError, match="502"):
        desk.sandbox.fail_next("teapot")
    with pytest.raises(ValueError, match="cut_after"):
        desk.sandbox.set_fault_rate("teapot", 0.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        desk.sandbox.set_fault_rate("500", 2)
