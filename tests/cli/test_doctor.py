"""`stibgate doctor` alone looks at this machine, the store, the keys and the sinks, and changes nothing."""

import asyncio
import os
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from time import time

import pytest
from aiohttp.test_utils import TestServer

from stibgate.cli.doctor_backlog import backlog, refused
from stibgate.domain.rejection import Evidence, Rejections
from stibgate.domain.stats import DAY_MS, HOUR_MS
from stibgate.domain.tally import NO_SOURCE
from stibgate.errors import SinkHeld, SinkRejected
from stibgate.pipeline.dispatch import Outlet
from stibgate.sandbox.stibnite import StibniteSandbox
from stibgate.sandbox.thehog import TheHogSandbox
from stibgate.stores.lock import running_service
from stibgate.stores.memory import MemoryStore
from tests.cli.doctor_world import findings, run, served
from tests.e2e.gateway import Gateway, configure, free_port
from tests.pipeline.world import (
    NOW_MS,
    POLICY,
    Clock,
    ScriptedSink,
    admit,
    delivery,
    make_dispatcher,
    make_fanout,
    make_intake,
)

KEY = "stib_live_a_key_that_nobody_may_see"


def look(config, *, code=0, env=None):
    found = findings("--config", config, code=code, env=env)
    assert all(one.keys() == {"check", "state", "message", "hint"} for one in found)
    assert all(one["hint"] for one in found if one["state"] in {"warning", "wrong"})
    assert KEY not in str(found)
    return {one["check"]: one for one in found}


def test_a_new_configuration_is_well(tmp_path):
    """A configuration that nobody has served yet has nothing wrong, and no file is made by looking."""
    config = configure(tmp_path)
    found = look(config)
    assert found["store"]["state"] == "note"
    assert "not there yet" in found["store"]["message"]
    assert {found[name]["state"] for name in ("clock", "stibnite", "thehog", "listeners")} == {"note"}
    assert found["disk of store"]["state"] == found["disk of sink drop"]["state"] == "ok"
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.e2e
def test_a_running_service_is_seen(tmp_path):
    """With a service running, the store's holder and both listeners are told; people get one line each."""
    with Gateway(configure(tmp_path)) as gateway:
        found = look(gateway.config)
        assert found["admin listener"]["state"] == found["public listener"]["state"] == "ok"
        assert found["store"]["message"] == f"process {gateway.process.pid} runs on it"
        code, out, _ = run("--config", gateway.config)
        assert code == 0
        assert "ok: public listener: " in out
        assert gateway.stop() == 0
    assert look(gateway.config)["store"]["message"] == "no service runs on it"


def test_a_configuration_that_does_not_load_is_told(tmp_path):
    """Every problem of the configuration is a finding, and the exit code is that of the configuration."""
    config = configure(tmp_path, extra="[nonsense]\n[server.limits.more]\n")
    found = findings("--config", config, code=78)
    assert {one["check"] for one in found} == {"config"}
    assert {one["state"] for one in found} == {"wrong"}
    assert len(found) >= 2


def test_an_option_without_effect_is_refused(tmp_path):
    """--json before a subcommand would be lost, so it is a usage error; --config before it counts."""
    config = configure(tmp_path)
    assert run("--json", "url", "--config", config)[0] == 2
    code, _, err = run("--config", config, "url")
    assert (code, "public_url" in err) == (2, True)


def test_too_little_room_is_wrong(tmp_path):
    """Less free space than min_free, for the store or a drop folder, is wrong."""
    found = look(configure(tmp_path, storage='min_free = "900000GiB"'), code=1)
    assert found["disk of store"]["state"] == found["disk of sink drop"]["state"] == "wrong"


def test_a_store_that_is_none_is_wrong(tmp_path):
    """A file that is no store is told with the store's own words."""
    config = configure(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/stibgate.db").write_text("not a database, but a long enough text " * 100)
    assert look(config, code=1)["store"]["state"] == "wrong"


def test_a_sink_that_could_not_deliver_is_wrong(tmp_path):
    """What `sinks test` finds wrong is wrong here."""
    (tmp_path / "drops").write_text("a file where a folder should be")
    found = look(configure(tmp_path), code=1)
    assert found["sink drop"]["state"] == "wrong"
    assert found["disk of sink drop"]["state"] == "wrong"


def test_the_version_of_sqlite_is_judged(tmp_path, monkeypatch):
    """Before 3.51.3 the WAL-reset bug is named with the extra that mends it; from then on all is well."""
    import stibgate.app

    config = configure(tmp_path)
    for version, state in (("3.51.2", "warning"), ("3.51.3", "ok"), ("3.52.0", "ok")):
        monkeypatch.setattr(stibgate.app, "sqlite_version", lambda version=version: version)
        found = look(config)["sqlite"]
        assert found["state"] == state
        assert ("stibgate[sqlite]" in found["hint"]) == (state == "warning")


@pytest.mark.parametrize(
    ("ahead_s", "state", "code"),
    [(0, "ok", 0), (20, "warning", 0), (-20, "warning", 0), (100, "wrong", 1), (-100, "wrong", 1)],
)
def test_the_clock_is_compared(tmp_path, ahead_s, state, code):
    """A clock that is off by more than 5 s is warned about, by more than 60 s wrong, on either side."""

    class Clock(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

        def date_time_string(self, timestamp=None):
            return formatdate(time() - ahead_s, usegmt=True)

        def log_message(self, *_):
            pass

    with served(Clock) as url:
        found = look(configure(tmp_path), code=code, env={"STIBGATE_SERVER__PUBLIC_URL": url})
    assert found["clock"]["state"] == state
    assert (" ahead of " if ahead_s > 0 else " behind ") in found["clock"]["message"] or ahead_s == 0


def test_a_clock_that_cannot_be_compared_is_a_note(tmp_path):
    """When nobody answers, the clock was not compared, and that is said."""
    env = {"STIBGATE_SERVER__PUBLIC_URL": f"http://127.0.0.1:{free_port()}"}
    assert "not compared" in look(configure(tmp_path), env=env)["clock"]["message"]


async def test_keys_are_tried_for_free(tmp_path):
    """A good key of each vendor is ok, a wrong one is wrong and not shown, and what was asked billed nothing."""
    config = configure(tmp_path)
    stibnite = StibniteSandbox(seed=1, now=time)
    hog = TheHogSandbox(seed=1, now=time)
    async with TestServer(stibnite.app()) as one, TestServer(hog.app()) as two:
        env = {
            "STIBGATE_STIBNITE__BASE_URL": f"http://127.0.0.1:{one.port}",
            "STIBGATE_STIBNITE__API_KEY": stibnite.api_key,
            "STIBGATE_THEHOG__BASE_URL": f"http://127.0.0.1:{two.port}",
            "STIBGATE_THEHOG__ACCESS_KEY": hog.access_key,
            "STIBGATE_THEHOG__SECRET_KEY": hog.secret_key,
        }
        found = await asyncio.to_thread(look, config, env=env)
        assert found["stibnite"]["state"] == found["thehog"]["state"] == "ok"
        assert "billable records 0" in found["stibnite"]["message"]
        assert found["clock"]["state"] == "ok"
        bad = {**env, "STIBGATE_STIBNITE__API_KEY": KEY, "STIBGATE_THEHOG__SECRET_KEY": "sk_" + KEY}
        found = await asyncio.to_thread(look, config, env=bad, code=1)
        assert found["stibnite"]["state"] == found["thehog"]["state"] == "wrong"
        assert "is not taken" in found["stibnite"]["message"]
    found = await asyncio.to_thread(look, config, env=env)
    assert found["stibnite"]["state"] == found["thehog"]["state"] == "warning"


def test_a_lock_without_a_living_process_holds_nothing(tmp_path):
    """Only a living process counts as the store's holder; looking does not take the lock."""
    store = tmp_path / "s.db"
    assert running_service(store) is None
    (tmp_path / "s.db.lock").write_text(f"{os.getpid()}\n")
    assert running_service(store)[0] == os.getpid()
    for text in ("", "nonsense", "99999999", "9" * 30, f"{os.getpid()} command"):
        (tmp_path / "s.db.lock").write_text(text)
        assert running_service(store) is None


def test_what_this_user_may_not_see_is_wrong(tmp_path, monkeypatch):
    """Over another user's login the look goes on to its end, and says that it is not the service's user who looks."""
    config, exists = configure(tmp_path), Path.exists

    def hidden(path):
        if path.is_relative_to(tmp_path / "data") or path.is_relative_to(tmp_path / "drops"):
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", hidden)
    monkeypatch.setattr(os, "access", lambda place, *_: Path(place).name == "config.toml")
    found = look(config, code=1)
    assert "service's user" in found["disk of store"]["hint"]
    assert found["store"]["state"] == "wrong"
    assert found["listeners"]["state"] == "note"


async def test_what_waits_is_told():
    """A sink that is paused or left alone, dead tasks and quarantine are warnings, each with its command."""
    store, clock = MemoryStore(), Clock()
    intake, fanout = make_intake(store, now_ms=clock), make_fanout(store, ["crm", "drop"], now_ms=clock)
    for serial in (1, 2):
        await admit(intake, delivery(serial=serial))
        await fanout.run_once()
    assert list(backlog(store)) == []
    for serial in (3, 4):
        await admit(intake, replace(delivery(serial=serial), body=b"[%d]" % serial))
    await store.pause("drop", by="ann", now_ms=clock())
    sink = ScriptedSink(script=[SinkRejected("the sink said no"), SinkHeld("the token is refused", retry_after_s=60)])
    dispatcher = make_dispatcher(store, {"crm": Outlet(sink, POLICY)}, now_ms=clock)
    for task in (await store.claim("crm", POLICY, now_ms=clock(), limit=2)).tasks:
        await dispatcher.attempt(task)
    found = list(backlog(store))
    assert [(one.check, one.message) for one in found] == [
        ("tasks of sink crm", "left alone for now: the token is refused; 1 task not through"),
        ("tasks of sink crm", "1 task dead: sent again by hand only"),
        ("tasks of sink drop", "paused by ann; 2 tasks not through"),
        ("quarantine", "2 deliveries authentic, kept whole, and not understood"),
    ]
    assert all(one.state == "warning" and "`stibgate " in one.hint for one in found)


async def test_what_was_refused_is_told():
    """Each source of ours whose requests were refused in a day is a warning with the reason in words; no stranger is."""
    store, last = MemoryStore(), Evidence("req_1", 401, "192.0.2.7")
    groups = [
        Rejections(at_ms, source, reason, 3, at_ms, at_ms, last)
        for source, reason, at_ms in (
            ("stib", "stale", NOW_MS), (NO_SOURCE, "unknown_source", NOW_MS), ("stib", "mismatch", NOW_MS - 3 * DAY_MS),
        )
    ]  # fmt: skip
    await store.add_counts("batch_1", [], groups)
    (found,) = refused(store, {"stib"}, now_ms=NOW_MS + HOUR_MS)
    assert (found.check, found.state) == ("source stib", "warning")
    assert found.message.startswith("3 requests refused as stale, the last at 20")
    assert found.message.endswith(": a late retry, a replay, or a clock that is wrong")
    assert "accept_if_new" in found.hint
