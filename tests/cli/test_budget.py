"""`stibgate budget` says what each budget's current window has gone to, by a real store."""

from decimal import Decimal

import pytest

from stibgate.domain.budget import Budget, Period, Unit
from stibgate.domain.job import JobState, NewRun
from stibgate.stores.sqlite import SqliteStore
from tests.cli.beside import Line

NOW_MS = 1_779_043_330_004  # 2026-05-17T18:42:10.004Z
DAY_MS = 86_400_000

CONFIG = """
[storage]
url = "sqlite:///{path}"

[budgets.team]
unit = "stibnite.credit_unit"
limit = 100
period = "day"
confirm_above = 90

[budgets.free]
unit = "stibnite.credit_unit"
limit = 20.5
period = "total"

[budgets.hog]
unit = "thehog.credit"
limit = 0
period = "month"
"""
UNIT = Unit.STIBNITE_CREDIT_UNIT
TEAM = Budget("team", UNIT, Decimal(100), Period.DAY)


@pytest.fixture
def run(monkeypatch, capsys):
    """Return what runs a command line, with the clock at `NOW_MS`."""
    monkeypatch.setattr("stibgate.app.clock.now_ms", lambda: NOW_MS)
    return Line(monkeypatch, capsys)


@pytest.fixture
def config(tmp_path):
    """Return the path of a configuration with three budgets, and no store yet."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(path=tmp_path / "data/stibgate.db"))
    return path


@pytest.fixture
async def store(config):
    store = SqliteStore(config.parent / "data/stibgate.db", durability="normal")
    yield store
    await store.close()


async def reserve(store, number, amount, *, at_ms=NOW_MS, budget=TEAM):
    """Set *amount* of *budget* aside for run *number*."""
    run = NewRun(f"run_{number}", {"q": "x", "limit": 5}, UNIT, Decimal(amount), Decimal(amount), at_ms, "somebody")
    reservation = await store.reserve(run, budget, confirmed=True)
    assert reservation.busy_run_id is None


def row(**fields):
    zeros = {"unit": "stibnite.credit_unit", "limit": 100, "reserved": 0, "settled": 0, "remaining": 100}
    return {"name": "team", **zeros, "window": "2026-05-17", "period": "day", "state": "ok"} | fields


async def test_before_there_is_a_store(run, config):
    """Without a store nothing is spent, and none is made; an amount that is whole is an integer."""
    ran = await run("budget", "--json", "--config", config)
    assert (ran.code, ran.err) == (0, "")
    assert ran.objects == [
        row(),
        row(name="free", limit=20.5, remaining=20.5, period="total", window="total"),
        row(
            name="hog", unit="thehog.credit", limit=0, remaining=0, period="month", window="2026-05", state="exhausted"
        ),
    ]
    assert not (config.parent / "data").exists()


async def test_what_a_window_has_gone_to(run, config, store):
    """What is set aside in this window counts; other windows and budgets do not, nor what was refused."""
    await reserve(store, 1, 30)
    await reserve(store, 2, "9.5")
    await reserve(store, 3, 40)
    await store.unsubmitted("run_3", JobState.REFUSED, "no", now_ms=NOW_MS)
    await reserve(store, 4, 50, at_ms=NOW_MS - DAY_MS)
    await reserve(store, 5, 60, budget=None)
    ran = await run("budget", "team", "--json", "--config", config)
    assert ran.object == row(reserved=39.5, remaining=60.5)


@pytest.mark.parametrize(
    ("amount", "state", "note"), [(79, "ok", ""), (80, "80%", "20 are left"), (100, "exhausted", "nothing is left")]
)
async def test_near_the_end(run, config, store, amount, state, note):
    """From 80 % on, and at the end, the state says so, and people are told beside the table."""
    await reserve(store, 1, amount)
    assert (await run("budget", "team", "--json", "--config", config)).object["state"] == state
    ran = await run("budget", "--config", config)
    assert ran.code == 0
    header, team, free, _ = (line.split() for line in ran.out.splitlines())
    assert header == [
        name.upper()
        for name in ("name", "unit", "limit", "reserved", "settled", "remaining", "period", "window", "state")
    ]
    assert team == [
        "team",
        "stibnite.credit_unit",
        "100",
        str(amount),
        "0",
        str(100 - amount),
        "day",
        "2026-05-17",
        state,
    ]
    assert free[2] == "20.5"
    assert (note in ran.err) if note else ran.err == ""
    assert ran.err.count("alarm: ") == bool(note)


async def test_no_such_budget(run, config):
    """An unknown name is a usage error that names those that there are; without budgets there is a notice."""
    ran = await run("budget", "nobody", "--config", config)
    assert (ran.code, "team, free, hog" in ran.err) == (2, True)
    config.write_text("")
    ran = await run("budget", "--config", config)
    assert (ran.code, ran.out, ran.err) == (0, "", "no budgets\n")


async def test_a_store_that_cannot_be_read(run, config):
    """A store that is there and cannot be read is an error, never zeros."""
    (config.parent / "data").mkdir()
    (config.parent / "data/stibgate.db").write_bytes(b"no database" * 999)
    ran = await run("budget", "--json", "--config", config)
    assert (ran.code, ran.out) == (1, "")
