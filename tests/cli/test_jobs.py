"""`stibgate jobs`, on a store that no service uses, beside the sandbox."""

import time

import pytest

from stibgate.cli.budget import budget
from stibgate.cli.deliveries import deliveries
from stibgate.cli.explain import explain
from stibgate.cli.jobs import jobs
from stibgate.stores.sqlite import SqliteStore
from tests.cli.stibnite_account import account, answering, raw
from tests.pipeline.world import make_fanout

SECRET = "whsec_ZmFrZS1mb3ItdGVzdHMtb25seS1mYWtl"
BUDGETS = """
[budgets.team]
unit = "stibnite.credit_unit"
limit = 150
period = "month"
confirm_above = 90

[budgets.hog]
unit = "thehog.credit"
limit = 1000
period = "total"
"""
QUERY = "80 CMOs at SaaS companies"


__all__ = ["account"]  # a fixture


@pytest.fixture
def buyer(account):
    return account.configure(secret=SECRET, extra=BUDGETS)


async def listed(buyer, *words):
    return (await buyer.run(jobs, "list", "--json", *words)).objects


async def team(buyer):
    (row,) = (await buyer.run(budget, "team", "--json")).objects
    return row["reserved"], row["settled"], row["remaining"]


async def test_submit_prints_the_job(buyer):
    """A job that is allowed prints its id and nothing else, and holds its ceiling until it has ended."""
    ran = await buyer.run(jobs, "submit", QUERY, "--limit", "80", "--budget", "team")
    (row,) = await listed(buyer)
    assert (ran.code, ran.out) == (0, f"{row['job_id']}\n")
    assert (row["state"], row["page"], row["parent_job_id"], row["ceiling"]) == ("submitted", 1, None, 80)
    assert (row["q"], row["limit"], row["max_records"], row["budget"]) == (QUERY, 80, 80, "team")
    assert await team(buyer) == (80, 0, 70)


async def test_exit_codes(buyer):
    """4 needs confirmation, 0 with --yes, 3 when the rest is not enough, 2 for what no budget can decide."""
    asked = ("submit", QUERY, "--limit", "100", "--budget")
    needs = await buyer.run(jobs, *asked, "team")
    assert (needs.code, needs.out) == (4, "")
    assert "--yes confirms" in needs.err
    assert await listed(buyer) == []
    assert (await buyer.run(jobs, *asked, "team", "--yes")).code == 0
    denied = await buyer.run(jobs, *asked, "team", "--yes", "--json")
    assert (denied.code, denied.objects[0]["job_id"], denied.objects[0]["decision"]) == (3, None, "deny")
    assert denied.objects[0]["suggestions"] == [{"change": {"limit": 50}, "estimated": 50, "decision": "allow"}]
    for words in (
        (*asked, "nobody"),
        (*asked, "hog"),
        ("submit", " ", "--limit", "5"),
        ("submit", "x", "--limit", "0"),
    ):
        refused = await buyer.run(jobs, *words)
        assert (refused.code, refused.out) == (2, "")
    assert len(await listed(buyer)) == 1


async def test_no_key(buyer):
    """Without an API key nothing is written, and the error names the variable."""
    text = buyer.config.read_text()
    buyer.config.write_text("\n".join(line for line in text.splitlines() if not line.startswith("api_key")))
    refused = await buyer.run(jobs, "submit", QUERY)
    assert refused.code == 78
    assert "STIBGATE_STIBNITE__API_KEY" in refused.err
    assert not (buyer.folder / "data").exists()


async def test_wrong_key(buyer):
    """A wrong key is exit 77, nothing stays set aside, and no secret is shown."""
    buyer.configure(secret=SECRET, key="stib_live_canary_of_the_tests", extra=BUDGETS)
    refused = await buyer.run(jobs, "submit", QUERY, "--budget", "team", "--limit", "10")
    assert refused.code == 77
    assert "canary" not in refused.all
    assert await team(buyer) == (0, 0, 150)


async def test_lost_answer(buyer):
    """When the answer is lost the run is doubtful and held; `resolve` gives it back, or makes it the job."""
    buyer.sandbox.faults = {"cut"}
    lost = await buyer.run(jobs, "submit", QUERY, "--limit", "80", "--budget", "team")
    buyer.sandbox.faults = frozenset()
    (row,) = await listed(buyer)
    assert (lost.code, row["state"], row["job_id"]) == (75, "doubtful", None)
    assert f"jobs resolve {row['run_id']}" in lost.err
    assert await team(buyer) == (80, 0, 70)
    assert (await buyer.run(jobs, "resolve", row["run_id"])).code == 0
    assert await team(buyer) == (0, 0, 150)
    assert (await listed(buyer))[0]["state"] == "refused"
    again = await buyer.run(jobs, "resolve", row["run_id"])
    assert (again.code, "refused, not doubtful" in again.err) == (2, True)


async def test_why(buyer):
    """The table says below it why a run is doubtful or refused, and what to do; `get` says it too."""
    buyer.sandbox.faults = {"cut"}
    await buyer.run(jobs, "submit", QUERY, "--limit", "80", "--budget", "team")
    buyer.sandbox.faults = frozenset()
    (row,) = await listed(buyer)
    shown = (await buyer.run(jobs, "list")).out.splitlines()[-1]
    assert shown == f"{row['run_id']} is doubtful: {row['reason']}; `stibgate jobs resolve {row['run_id']}`"
    await buyer.run(jobs, "resolve", row["run_id"])
    shown = (await buyer.run(jobs, "list")).out.splitlines()[-1]
    assert shown.startswith(f"{row['run_id']} is refused: was not taken, says ")
    assert "was not taken, says " in (await buyer.run(jobs, "get", row["run_id"])).out


@pytest.mark.parametrize("words", [
    ("--job", ""), ("--job", "job_1 "), ("--billed", "-1"), ("--billed", "1"), ("--billed", "1", "--job", "job_1"),
], ids=" ".join)  # fmt: skip
async def test_resolve_with_what_cannot_be(buyer, words):
    """What cannot be said of a doubtful run is exit 2, and changes nothing."""
    buyer.sandbox.faults = {"cut"}
    await buyer.run(jobs, "submit", QUERY, "--limit", "80", "--budget", "team")
    buyer.sandbox.faults = frozenset()
    before = await listed(buyer)
    assert (await buyer.run(jobs, "resolve", before[0]["run_id"], *words)).code == 2
    assert await listed(buyer) == before


async def test_confirmed_later(buyer):
    """A search that was allowed by its first page stops when pages follow, and goes on with `reconcile --yes`."""
    assert (
        await buyer.run(jobs, "submit", QUERY, "--limit", "40", "--max-records", "120", "--budget", "team")
    ).code == 0
    await buyer.sandbox.idle()
    assert (await buyer.run(jobs, "reconcile")).code == 0
    await ended(buyer)
    pages = {"STIBGATE_STIBNITE__CONTINUE_PAGES": "true"}
    needs = await buyer.run(jobs, "reconcile", env=pages)
    assert "120 with all its pages; --yes confirms" in needs.out
    assert (
        "has no next page: needs_confirmation; `stibgate jobs reconcile --yes`" in (await buyer.run(jobs, "list")).out
    )
    assert len(await listed(buyer)) == 1
    said = await buyer.run(jobs, "reconcile", "--yes", env=pages)
    assert "confirmed: 120 with all its pages" in said.out
    assert [row["page"] for row in await listed(buyer)] == [2, 1]


async def ended(buyer):
    """Process what came in, as the service would."""
    store = SqliteStore(buyer.folder / "data" / "stibgate.db", durability="normal")
    try:
        assert await make_fanout(store, ["drop"], now_ms=lambda: round(time.time() * 1000)).run_once()
    finally:
        await store.close()


async def test_web_page(buyer):
    """A web page in place of an answer leaves the run doubtful, with what to do."""
    async with answering(lambda *_: raw(200, "<html>a proxy</html>")) as url:
        buyer.configure(secret=SECRET, url=url, extra=BUDGETS)
        lost = await buyer.run(jobs, "submit", QUERY, "--limit", "5", "--budget", "team")
    assert (lost.code, (await listed(buyer))[0]["state"]) == (1, "doubtful")
    assert "web page" in lost.err


async def test_reconcile(buyer):
    """What has ended comes in as a delivery by way of `poll`, once, and settles the budget when it is processed."""
    assert (await buyer.run(jobs, "submit", QUERY, "--limit", "80", "--budget", "team")).code == 0
    await buyer.sandbox.idle()
    (result,) = (await buyer.run(jobs, "reconcile", "--json")).objects
    assert (result["page"], result["result"]) == (1, "succeeded")
    (again,) = (await buyer.run(jobs, "reconcile", "--json")).objects
    assert again["job_id"] == result["job_id"]
    (delivery,) = (await buyer.run(deliveries, "list", "--json")).objects
    assert (delivery["via"], delivery["records"], delivery["duplicates"]) == ("poll", 80, 1)


async def test_get(buyer):
    """`get` shows the ledger's row and what Stibnite says now, and no person."""
    assert (await buyer.run(jobs, "submit", QUERY, "--limit", "80")).code == 0
    await buyer.sandbox.idle()
    (row,) = await listed(buyer)
    for name in (row["job_id"], row["run_id"]):
        (shown,) = (await buyer.run(jobs, "get", name, "--json")).objects
        assert shown["vendor"] == {
            "status": "succeeded", "records": 80, "billable_records": 80, "total_records": 80,
            "total_records_relation": "eq", "next_page": False, "error": None,
        }  # fmt: skip
    assert "@" not in (await buyer.run(jobs, "get", row["job_id"])).all
    unknown = await buyer.run(jobs, "get", "no-such-job")
    assert (unknown.code, "404" in unknown.err) == (1, True)


async def test_nobody_answers(buyer):
    """While Stibnite cannot be reached, what the ledger knows is shown, and the exit code says that it is half."""
    assert (await buyer.run(jobs, "submit", QUERY, "--limit", "80")).code == 0
    (row,) = await listed(buyer)
    buyer.sandbox.faults = {"http500"}
    shown = await buyer.run(jobs, "get", row["job_id"], "--json")
    assert shown.code == 75
    asked = await buyer.run(jobs, "reconcile")
    assert (asked.code, row["job_id"] in asked.out) == (75, True)


async def test_explain(buyer):
    """`explain` tells a job's money and its deliveries, by the run's id and by the job's; never the query."""
    assert (await buyer.run(jobs, "submit", QUERY, "--limit", "80", "--budget", "team")).code == 0
    (row,) = await listed(buyer)
    waiting = (await buyer.run(explain, row["run_id"])).out
    assert "at most 80 stibnite.credit_unit, set aside in budget team" in waiting
    assert f"{row['run_id']} is job {row['job_id']}" in waiting
    assert "asked for again at" in waiting
    await buyer.sandbox.idle()
    assert (await buyer.run(jobs, "reconcile")).code == 0
    for name in (row["run_id"], row["job_id"]):
        told = (await buyer.run(explain, name)).out
        assert "80 stibnite.credit_unit stay set aside" in told
        assert "was asked for, as an event for source jobs had not come" in told
        assert QUERY not in told


async def test_dedupe_token(buyer):
    """A second job with the same token waits until the first has ended; another user's does not."""
    asked = ("submit", QUERY, "--limit", "10", "--dedupe-token", "spring")
    assert (await buyer.run(jobs, *asked)).code == 0
    busy = await buyer.run(jobs, *asked)
    assert (busy.code, "dedupe token" in busy.err) == (75, True)
    assert (await buyer.run(jobs, *asked, "--dedupe-user", "dana")).code == 0


async def test_list_pages(buyer):
    """`list` goes on where a page ended, and knows states and budgets."""
    for _ in range(3):
        assert (await buyer.run(jobs, "submit", QUERY, "--limit", "10")).code == 0
    first = await buyer.run(jobs, "list", "--json", "--limit", "2")
    cursor = first.err.rsplit(" ", 1)[1].strip()
    rest = await listed(buyer, "--cursor", cursor)
    assert len({row["job_id"] for row in [*first.objects, *rest]}) == 3
    assert await listed(buyer, "--budget", "team") == await listed(buyer, "--state", "failed") == []
    assert (await buyer.run(jobs, "list", "--cursor", "x")).code == 2
