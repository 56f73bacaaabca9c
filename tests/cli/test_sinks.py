"""`stibgate sinks` says where records go and whether they could, and changes nothing."""

import sqlite3
import sys

import pytest

from stibgate.cli.sinks import _in_short
from stibgate.config import load
from stibgate.config.kinds import settings_class
from stibgate.views.sinks import destination
from tests.e2e.gateway import Gateway, configure, push_body, stibgate
from tests.plugins.world import write_package

pytestmark = pytest.mark.e2e

KEY = "a-secret-nobody-may-see"

SINKS = """
[sinks.drop]
kind = "csv"
dir = "./drops"

[sinks.spare]
kind = "ndjson"
dir = "./spare"

[[routes]]
name = "Idaho"
when = { company_state = "ID" }
to = ["spare", "drop"]
continue = true
"""

FRAIL = f"""
import asyncio
from typing import Literal
from pydantic import SecretStr
from stibgate.errors import SinkUnavailable
from stibgate.sinks import Finding
from stibgate.sinks.settings import SinkSettings

class Settings(SinkSettings):
    kind: Literal["frail"]
    token: SecretStr = SecretStr("https://{KEY}.example.com/")
    url: str = "https://user:{KEY}@hooks.example.com:8443/{KEY}?k={KEY}"
    does: str

    def build(self, context):
        return Frail(self.does, context)

class Frail:
    def __init__(self, does, context):
        self.does = does
        self.memory = context.memory

    async def open(self):
        raise AssertionError("sinks test opens nothing")

    async def check(self):
        await self.memory.remember({{"seen": 1}})
        assert await self.memory.recall(["seen"]) == {{}}
        match self.does:
            case "refuse":
                raise SinkUnavailable("the token is not taken", hint="Ask for another.")
            case "fail":
                raise KeyError("{KEY}")
            case "hang":
                await asyncio.Event().wait()
        return [Finding("the door is open"), Finding("no \\x1b[31mroom", ok=False, hint="Make room.")]

    async def close(self):
        print("closed")
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A configuration whose store has tasks, one of them of a sink that is no longer configured."""
    path = configure(tmp_path_factory.mktemp("sinks"), sinks=SINKS, extra="")
    with Gateway(path) as gateway:
        for serial in range(3):
            assert gateway.push(push_body(2, serial=serial)).status == 202
        gateway.settled()
        assert gateway.stop() == 0
    with sqlite3.connect(path.parent / "data/stibgate.db") as db:
        db.execute("UPDATE tasks SET sink = 'gone', state = 'dead' WHERE sequence = (SELECT max(sequence) FROM tasks)")
    db.close()
    return path


@pytest.fixture
def frail(tmp_path, monkeypatch):
    """Return a function that runs `sinks test` with a sink that does what is asked."""
    monkeypatch.syspath_prepend(write_package(tmp_path, FRAIL, kind="frail", package="frail-post"))

    def run(does, *words):
        sinks = f'[sinks.frail]\nkind = "frail"\ndoes = "{does}"\n'
        path = configure(tmp_path, sinks=sinks, routes=["frail"])
        return stibgate("sinks", *(words or ("test",)), "--config", path)

    yield run
    settings_class.cache_clear()
    sys.modules.pop("frail_post", None)


def tree(folder):
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*") if "stibgate.db" not in path.name)


def test_list(config):
    """Each sink is listed with its kind, where it leads, what leads there, and its tasks by state."""
    rows = {row.pop("sink"): row for row in stibgate("sinks", "list", "--json", "--config", config).objects}
    folder = config.parent
    leads = ["Idaho", "sources.jobs", "sources.push"]
    counted = [rows["drop"].pop("tasks"), rows["spare"].pop("tasks"), rows["gone"].pop("tasks")]
    states = [row.pop("state") for row in rows.values()]
    assert [(one["sink"], one["circuit"], one["paused_at"], one["held"]) for one in states] == [
        (name, "closed", None, False) for name in rows
    ]
    assert rows == {
        "drop": {"kind": "csv", "destination": str(folder / "drops"), "routes": leads},
        "spare": {"kind": "ndjson", "destination": str(folder / "spare"), "routes": ["Idaho"]},
        "gone": {"kind": None, "destination": None, "routes": []},
    }
    assert counted[2] == {"dead": 1}
    assert sum(sum(one.values()) for one in counted) >= 3


def test_who_paused_it_stands_in_the_list(config):
    """Whoever finds a sink paused learns whom to ask."""
    paused = stibgate("sinks", "pause", "drop", "--offline", "--config", config, env={"LOGNAME": "dana"})
    assert paused.code == 0
    assert "paused by dana" in stibgate("sinks", "list", "--config", config).out


@pytest.mark.parametrize(
    ("circuit", "held", "told"),
    [("open", False, "left alone: 503"), ("half_open", False, "being tried: 503"), ("open", True, "held: 503")],
)
def test_a_breaker_is_said_as_it_is_meant(circuit, held, told):
    """An open breaker is no good sign, and the list does not leave that to the reader."""
    assert _in_short({"paused_at": None, "circuit": circuit, "held": held, "reason": "503"}) == told


def test_list_for_people(config):
    """The table has a line for each sink, with what is not there as a dash."""
    ran = stibgate("sinks", "list", "--config", config)
    assert ran.code == 0
    assert ran.lines[0].split() == ["SINK", "KIND", "DESTINATION", "ROUTES", "STATE", "TASKS"]
    assert ran.lines[-1].split() == ["gone", "-", "-", "-", "gone", "1", "dead"]


def test_a_mistyped_sink_is_no_empty_queue(config):
    """Who asks for tasks of a sink that never was is not told that all is done."""
    for command in ("tasks", "dead"):
        told = stibgate(command, "list", "--sink", "drpo", "--config", config)
        assert (told.code, told.out) == (0, "")
        assert "nothing was ever owed to 'drpo', only to " in told.err
    assert "ever" not in stibgate("dead", "list", "--sink", "drop", "--config", config).err


def test_list_without_a_store(tmp_path):
    """Before anything was received there is no store: sinks are listed, without counts."""
    path = configure(tmp_path)
    [row] = stibgate("sinks", "list", "--json", "--config", path).objects
    assert row["tasks"] is None
    assert not (tmp_path / "data").exists()


def test_test_of_drops(config):
    """Every sink is looked at in turn, and nothing on the disk changes."""
    before = tree(config.parent)
    ran = stibgate("sinks", "test", "--config", config)
    assert ran.code == 0, ran
    assert {line.split(": ")[0] for line in ran.lines} == {"drop", "spare"}
    assert {line.split(": ")[1] for line in ran.lines} == {"ok"}
    one = stibgate("sinks", "test", "spare", "--json", "--config", config)
    assert {row["sink"] for row in one.objects} == {"spare"}
    assert tree(config.parent) == before


def test_an_unknown_name(config):
    """A name that is no sink is a usage error that names those that there are."""
    ran = stibgate("sinks", "test", "drip", "--config", config)
    assert "'drip'" in ran.complaint(2)
    assert "drop, spare" in ran.err


def test_a_folder_that_cannot_be_used(tmp_path):
    """What is in the way of a drop is a finding with a hint, and exit code 1."""
    path = configure(tmp_path)
    (tmp_path / "drops").write_text("a file")
    ran = stibgate("sinks", "test", "--json", "--config", path)
    assert ran.code == 1
    assert [row["ok"] for row in ran.objects] == [False]
    assert ran.objects[0]["hint"]


def test_findings_in_order(frail):
    """Good and bad findings come in order, the bad with its hint, and what a sink says does nothing to a terminal."""
    ran = frail("look")
    assert ran.code == 1
    assert ran.lines == [
        "closed",
        "frail: ok: the door is open",
        "frail: not ok: no \N{REPLACEMENT CHARACTER}[31mroom",
        "  hint: Make room.",
    ]


@pytest.mark.parametrize(
    ("does", "what", "hint"),
    [
        ("refuse", "the token is not taken", "Ask for another."),
        ("fail", "the sink failed with KeyError", "This is a bug in the sink."),
    ],
)
def test_a_check_that_raises(frail, does, what, hint):
    """A check that raises is a finding; the sink is closed all the same, and no text of a bug is shown."""
    ran = frail(does)
    assert (ran.code, ran.lines) == (1, ["closed", f"frail: not ok: {what}", f"  hint: {hint}"]), ran
    assert KEY not in ran.out + ran.err


def test_a_check_that_does_not_end(frail, monkeypatch):
    """A far side that does not answer in time is a finding."""
    monkeypatch.setattr("stibgate.app.looking.ANSWER_MAX_S", 0.05)
    ran = frail("hang")
    assert ran.code == 1
    assert "frail: not ok: no answer within 0.05 s" in ran.lines


def test_a_destination_holds_no_secret(frail):
    """Of a web address only the origin is shown: its path, its query and its user may be secrets."""
    ran = frail("look", "list", "--json")
    assert ran.objects[0]["destination"] == "https://hooks.example.com:8443"
    assert KEY not in ran.out


@pytest.mark.parametrize(
    ("keys", "shown"),
    [('dir = "/srv/drops"', "/srv/drops"), ('url = "file:///srv/drops"', "file:///srv/drops")],
)
def test_destinations(tmp_path, keys, shown):
    """A folder is shown whole, and so is the place of an object store."""
    (tmp_path / "config.toml").write_text(f'[sinks.a]\nkind = "csv"\n{keys}\n')
    assert destination(load(tmp_path / "config.toml", environ={}).settings.sinks["a"]) == shown
