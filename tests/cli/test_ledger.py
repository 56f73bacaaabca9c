"""`stibgate ledger` says what was paid for and where it went, by a real store, and what does not add up."""

from dataclasses import replace
from decimal import Decimal

import pytest

from stibgate.domain.budget import Budget, Period, Unit
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.event import JOB_SUCCEEDED
from stibgate.domain.job import JobResult, NewRun
from stibgate.domain.task import Signal
from stibgate.pipeline.alarms import GRACE_MS
from stibgate.stores.sqlite import SqliteStore
from stibgate.views.money import bill_row
from tests.cli.beside import Line
from tests.pipeline.bills import of_job, of_push
from tests.stores.world import NOW_MS, PATIENT, make_delivery, make_processed, make_settlement

KEYS = (
    "job_id provider unit estimated ceiling billed received delivered run_id search_id delivery_id state budget waiting"
    " missing page parent_job_id at variance"
)
CONFIG = """
[storage]
url = "sqlite:///{path}"

[budgets.team]
unit = "stibnite.credit_unit"
limit = 10
period = "month"
"""
TEAM = Budget("team", Unit.STIBNITE_CREDIT_UNIT, Decimal(10), Period.MONTH)


@pytest.fixture
def run(monkeypatch, capsys):
    """Return what runs a command line, half an hour after everything began."""
    monkeypatch.setattr("stibgate.app.clock.now_ms", lambda: NOW_MS + 2 * GRACE_MS)
    return Line(monkeypatch, capsys)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(path=tmp_path / "data/stibgate.db"))
    return path


@pytest.fixture
async def store(config):
    store = SqliteStore(config.parent / "data/stibgate.db", durability="normal")
    yield store
    await store.close()


async def job(store, number, *, at_ms=NOW_MS, estimated=4):
    """Submit job `job_<number>` for two people, with `budgets.team`."""
    asked = {"q": "canary-query", "limit": 2}
    run = NewRun(f"run_{number}", asked, Unit.STIBNITE_CREDIT_UNIT, Decimal(4), Decimal(estimated), at_ms, "somebody")
    await store.reserve(run, TEAM, confirmed=False)
    await store.submitted(f"run_{number}", f"job_{number}", now_ms=at_ms, poll_at_ms=at_ms)


async def brought(store, number, *, billed=2, signal=Signal.TAKEN, **fields):
    """Let delivery `d<number>`, a push unless *fields* say otherwise, bring two people, and settle its task."""
    await store.admit(make_delivery(number, records=2, billed=billed, search_id=f"search_{number}", **fields))
    job_id = fields.get("job_id")
    result = None if job_id is None else JobResult(job_id, succeeded=True, received=2, billed=billed)
    await store.process(make_processed(number, job=result))
    if signal is not None:
        claim = await store.claim("crm", PATIENT, now_ms=NOW_MS + 1, limit=9)
        (task,) = (task for task in claim.tasks if task.delivery_id == f"d{number}")
        await store.settle(make_settlement(task, signal))


@pytest.fixture
async def filled(store):
    """Fill the store: a push that arrived, a job that arrived, a push that was refused, a job that is on its way."""
    await brought(store, 1)
    await job(store, 1, at_ms=NOW_MS + 1)
    await brought(store, 2, event_type=JOB_SUCCEEDED, job_id="job_1", received_at_ms=NOW_MS + 2)
    await brought(store, 3, signal=Signal.REJECTED, received_at_ms=NOW_MS + 3)
    await job(store, 2, at_ms=NOW_MS + 4)


async def test_rows(run, config, filled):
    """Jobs and pushes, newest first, each with the documented keys; nothing else on either stream."""
    ran = await run("ledger", "--json", "--config", config)
    assert (ran.code, ran.err) == (0, "")
    assert {" ".join(one) for one in ran.objects} == {KEYS}
    submitted, refused, job_1, push = ran.objects
    assert push == dict.fromkeys(KEYS.split()) | {
        "provider": "stibnite",
        "unit": "stibnite.credit_unit",
        "billed": 2,
        "received": 2,
        "delivered": 2,
        "search_id": "search_1",
        "delivery_id": "d1",
        "state": "done",
        "waiting": 0,
        "missing": 0,
        "at": "2026-05-17T18:42:10.004Z",
    }
    assert job_1 == push | {
        "job_id": "job_1",
        "estimated": 4,
        "ceiling": 4,
        "run_id": "run_1",
        "search_id": "search_2",
        "delivery_id": "d2",
        "state": "succeeded",
        "budget": "team",
        "page": 1,
        "at": "2026-05-17T18:42:10.005Z",
        "variance": 0.5,
    }
    assert (refused["delivery_id"], refused["delivered"], refused["missing"]) == ("d3", 0, 2)
    assert (submitted["job_id"], submitted["state"], submitted["billed"]) == ("job_2", "submitted", None)
    assert submitted["variance"] is submitted["delivery_id"] is None


async def test_pages_and_filters(run, config, filled):
    """--limit and --cursor page through all rows once, --since and --short leave out the others."""
    seen, cursor = [], []
    while not seen or cursor:
        ran = await run("ledger", "--limit", "1", "--json", *cursor, "--config", config)
        assert ran.code == 0, ran
        seen += [one["job_id"] or one["delivery_id"] for one in ran.objects]
        cursor = ran.err.split()[1:]
    assert seen == ["job_2", "d3", "job_1", "d1"]
    since = await run("ledger", "--json", "--since", "2026-05-17T18:42:10.007Z", "--config", config)
    assert [one["at"][-5:] for one in since.objects] == [".008Z", ".007Z"]
    short = await run("ledger", "--json", "--short", "--config", config)
    assert [one["delivery_id"] for one in short.objects] == ["d3"]


async def test_for_people(run, config, filled):
    """People read a table, totals, how exact estimates were, and then what to look at."""
    ran = await run("ledger", "--config", config)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].split() == [
        "AT",
        "WHAT",
        "STATE",
        *map(str.upper, ["estimated", "ceiling", "billed", "received", "delivered", "waiting", "missing"]),
    ]
    assert lines[1].split()[1:] == ["job", "job_2", "submitted", "4", "4", "-", "0", "0", "0", "0"]
    assert lines[5].split() == ["total", "-", "-", "-", "-", "6", "6", "4", "0", "2"]
    assert lines[6] == "accuracy of estimates: 2 billed of 4 estimated (50.0%)"
    assert lines[7] == "1 alarm"
    assert lines[8].startswith(
        "  push d3: 2 missing of 2 billed (2 received, 0 delivered, 0 waiting); delivery d3 is done"
    )
    assert "stibgate explain d3" in lines[9]
    assert "canary" not in ran.out


async def test_alarms_only(run, config, filled, store):
    """--alarms prints alarms alone, whatever the page; as JSON with stable keys; budgets and usage among them."""
    await store.note_usage(100, at_ms=NOW_MS - 1)
    await store.note_usage(109, at_ms=NOW_MS + 10)
    await job(store, 3)
    ran = await run("ledger", "--alarms", "--json", "--limit", "1", "--config", config)
    assert (ran.code, ran.err) == (0, "")
    assert [one["key"] for one in ran.objects] == [
        "billed_not_delivered:d3",
        f"usage_unexplained:{NOW_MS - 1}:1",
        "budget_100:team:2026-05",
    ]
    assert {" ".join(one) for one in ran.objects} == {"alarm key message hint at job_id run_id delivery_id budget"}
    ran = await run("ledger", "--alarms", "--config", config)
    assert ran.out.splitlines()[0] == "3 alarms"
    assert "job_1" not in ran.out
    assert len((await run("ledger", "--alarms", "--json", "--since", "2026-06-01", "--config", config)).objects) == 1


async def test_old_losses_are_found(run, config, filled, monkeypatch):
    """What misses records is an alarm however much came after it."""
    monkeypatch.setattr("stibgate.views.money.RECENT", 1)
    ran = await run("ledger", "--alarms", "--json", "--config", config)
    assert [one["delivery_id"] for one in ran.objects] == ["d3"]


async def test_nothing_yet(run, config):
    """Without a store the error says so; an empty store has no rows and no alarms, and says so beside the output."""
    ran = await run("ledger", "--config", config)
    assert (ran.code, ran.out) == (1, "")
    assert "hint: " in ran.err
    await SqliteStore(config.parent / "data/stibgate.db", durability="normal").close()
    ran = await run("ledger", "--config", config)
    assert (ran.code, ran.out, ran.err) == (0, "", "nothing was paid for\nno alarms\n")
    for words in ((), ("--alarms",)):
        ran = await run("ledger", "--json", *words, "--config", config)
        assert (ran.code, ran.out) == (0, "")


@pytest.mark.parametrize("words", [("--limit", "0"), ("--cursor", "x"), ("--since", "yesterday")])
async def test_wrong_options(run, config, words):
    """A wrong option is a usage error."""
    assert (await run("ledger", *words, "--config", config)).code == 2


@pytest.mark.parametrize(
    ("bill", "variance"),
    [
        (of_job(billed=4, estimated=Decimal(3)), 1.333),
        (of_job(billed=3, estimated=Decimal(3)), 1),
        (of_job(billed=0, estimated=Decimal(3)), 0),
        (of_job(billed=3, estimated=Decimal(0)), None),
        (of_job(billed=3, estimated=None), None),
        (of_job(billed=None), None),
        (of_push(), None),
    ],
)
def test_variance(bill, variance):
    """It is what was billed by what was estimated, where both are known."""
    assert bill_row(bill)["variance"] == variance


async def test_what_a_sender_chose_never_reaches_the_terminal(run, config, filled):
    """Control characters in ids are replaced in the table and in alarms, and escaped as JSON."""
    nasty = of_push(delivered=0)
    nasty = replace(nasty, delivery=replace(nasty.delivery, delivery_id="d\x1b[31m\u202e", state=DeliveryState.DONE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stibgate.stores.ledger.SqliteLedger.bills", lambda *_, **__: [nasty])
        ran = await run("ledger", "--config", config)
        told = await run("ledger", "--json", "--config", config)
    assert ran.out.replace("\n", "").isprintable()
    assert told.out.isascii()
    assert told.out.strip().isprintable()
