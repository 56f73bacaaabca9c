"""A reload: whole or not at all, and nobody who is being served notices."""

import asyncio
import os
import random
import re
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import ClientSession

from stibgate.app import admin_token, open_store_ledger
from stibgate.app.gateway import Gateway
from stibgate.config import load, restart_only
from stibgate.sandbox.samples import sample
from stibgate.sandbox.server import serve
from stibgate.sandbox.stibnite import StibniteSandbox
from stibgate.signatures import candidates, sign
from stibgate.sinks.drops import DropSettings
from stibgate.stores import DeliveryFilter, TaskFilter
from stibgate.stores.lock import running_service
from tests.e2e.gateway import SECRET, SUCCEEDED, TOKEN, configure, dropped, people_of, push_body

NEWER = "whsec_bmV3ZXItc2VjcmV0LXRoYXQtbm9ib2R5LWhhcw=="
SECOND = """
[sinks.second]
kind = "ndjson"
dir = "./second"
"""
ROLL = """
[sinks.roll]
kind = "csv"
dir = "./roll"
layout = "rolling"
"""
AUTO = f"""
[sources.auto]
kind = "stibnite_jobs"
secrets = ["{SECRET}"]
routes = ["drop"]
"""

FIXED = {
    "server.bind": "127.0.0.1:1",
    "server.admin_bind": "127.0.0.1:2",
    "server.ack_timeout": "3s",
    "server.keepalive": "3s",
    "storage.url": "sqlite:///./data/other.db",
    "storage.durability": "normal",
    "storage.commit_max_rows": "7",
    "log.format": "ecs",
    "metrics.enabled": "false",
    "tracing.enabled": "true",
    "tracing.endpoint": "https://collector.example/v1/traces",
    "tracing.sample": "0.5",
    "tracing.headers": "x-key: fake",
}
"""A value other than the usual for every key that needs a restart; `server.workers` has no other."""


class House:
    """A service in this process, whose configuration is a file that the test writes anew."""

    def __init__(self, folder, **how):
        self.folder, self.environ = folder, {}
        self.path = configure(folder, **how)
        self.gateway = Gateway(self.read(), reread=self.read)

    def read(self):
        return load(self.path, environ=self.environ).settings

    @property
    def jobs_source(self):
        """The text of the source of jobs, as it is in the file."""
        return re.search(r"\[sources\.jobs\].*?routes = .*?\n", self.path.read_text(), re.DOTALL)[0]

    def edit(self, *pairs):
        """Put each second text in the first one's place."""
        text = self.path.read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        self.path.write_text(text)

    async def reload(self, *pairs):
        """Change the file, reload, and wait until the sinks have changed too; return how it ended."""
        self.edit(*pairs)
        await self.gateway._reloader.reload()
        await self.gateway._works.worker.changed()
        return self.gateway.reload_status

    async def post(self, path, body, headers=()):
        headers = {"content-type": "application/json", **dict(headers)}
        async with self.http.post(f"{self.gateway.url}{path}", data=body, headers=headers) as answer:
            return answer.status

    async def push(self, body):
        return await self.post(f"/hooks/push/{TOKEN}", body)

    async def job(self, serial, *, source="jobs", **how):
        return await self.post(f"/hooks/{source}", *signed_job(serial, **how))

    async def metric(self, name):
        async with self.http.get(f"{self.gateway.admin_url}/metrics") as answer:
            (line,) = [line for line in (await answer.text()).splitlines() if line.startswith(f"{name} ")]
        return float(line.split()[1])

    async def settled(self):
        await asyncio.wait_for(self.gateway.idle(), 60)

    def tasks(self):
        ledger = open_store_ledger(self.gateway.settings)
        try:
            return [task for _, task in ledger.tasks(TaskFilter(), limit=None)]
        finally:
            ledger.close()


def signed_job(serial, *, secret=SECRET, preset="t_v1"):
    """Return the body and the headers of a job's event."""
    body = sample(SUCCEEDED, records=1, rng=random.Random(serial), serial=serial).body
    (scheme, *_) = candidates(preset)
    headers = sign(scheme, secret, body, unix_s=int(time.time()), message_id="msg_1")
    return body, [*headers, ("stibnite-event-type", SUCCEEDED)]


@asynccontextmanager
async def house(folder, **how):
    made = House(folder, **how)
    async with AsyncExitStack() as stack:
        made.http = await stack.enter_async_context(ClientSession())
        await made.gateway.start()
        stack.push_async_callback(made.gateway.stop)
        yield made


@pytest.fixture(autouse=True)
def _clean(lines):
    """Nothing unexpected was logged."""
    yield
    assert not lines.of("unhandled")
    assert not [line for line in lines.all if "dropped" in line]


def test_every_key_that_needs_a_restart_is_tried():
    """A key that is new here is either taken up by a reload, or is refused by one: say which in `config/changes.py`."""
    assert set(restart_only()) - {"server.workers"} == set(FIXED)


@pytest.mark.parametrize("key", FIXED)
async def test_a_key_that_needs_a_restart(tmp_path, lines, key):
    """Its reload is refused whole, what could have changed too, and the key is named."""
    async with house(tmp_path) as at:
        before = at.gateway.settings
        at.environ[f"STIBGATE_{key.upper().replace('.', '__')}"] = FIXED[key]
        status = await at.reload(('rate = "100000/s"', 'rate = "1/s"'))
        assert (status.ok, status.errors) == (False, 1)
        assert status.succeeded_at_ms <= status.at_ms
        assert at.gateway.settings is before
        assert [await at.push(push_body(1, serial=serial)) for serial in range(3)] == [202] * 3
    (line,) = lines.of("config.reload_failed")
    assert line["kept"]
    assert line["setting"] in {key, f"{key}.x-key"}
    assert key in line["hint"]
    assert not lines.of("config.reloaded")


async def test_an_error_in_the_file(tmp_path, lines):
    """A file with mistakes changes nothing; how many there are and the first is logged, without values."""
    async with house(tmp_path) as at:
        text = at.path.read_text()
        status = await at.reload((f'tokens = ["{TOKEN}"]', 'tokens = ["hunter2"]'), ('["drop"]', '["dorp"]'))
        assert not status.ok
        assert status.errors == len(lines.of("config.reload_failed")) * 3
        assert await at.push(push_body(1, serial=1)) == 202
        assert await at.metric("stibgate_config_last_reload_successful") == 0
        at.path.write_text(text)
        assert (await at.reload()).ok
        assert await at.metric("stibgate_config_last_reload_successful") == 1
    (line,) = lines.of("config.reload_failed")
    assert re.search(r"config\.toml:\d+$", line["config_path"])
    assert (line["errors"], line["level"]) == (3, "error")
    assert line["setting"].startswith("sources.")
    assert "hunter2" not in lines.text
    (line,) = lines.of("config.reloaded")
    assert line["changed"] == []
    assert line["duration_ms"] > 0


async def test_the_file_is_gone(tmp_path, lines):
    """A file that cannot be read is an error as any other."""
    async with house(tmp_path) as at:
        at.path.rename(tmp_path / "away")
        await at.gateway._reloader.reload()
        assert not at.gateway.reload_status.ok
        assert await at.push(push_body(1, serial=1)) == 202
    assert lines.of("config.reload_failed")


async def test_a_secret_is_rotated_under_load(tmp_path):
    """Deliveries come all the time while a secret is rotated, in two reloads, and every one of them is accepted."""
    async with house(tmp_path) as at:
        statuses, secret, ended = [], SECRET, asyncio.Event()

        async def send(number):
            serial = 0
            while not ended.is_set():
                statuses.append(await at.job(1000 * number + serial, secret=secret))
                serial += 1

        async with asyncio.TaskGroup() as senders:
            for number in range(4):
                senders.create_task(send(number))
            assert (await at.reload((f'secrets = ["{SECRET}"]', f'secrets = ["{NEWER}", "{SECRET}"]'))).ok
            secret = NEWER
            while statuses.count(202) < 20:
                await asyncio.sleep(0.01)
            for rate in range(10):
                assert (await at.reload((f'rate = "{100000 - rate}/s"', f'rate = "{99999 - rate}/s"'))).ok
            ended.set()
        assert set(statuses) == {202}
        assert (await at.reload((f'secrets = ["{NEWER}", "{SECRET}"]', f'secrets = ["{NEWER}"]'))).ok
        assert await at.job(9001, secret=SECRET) == 401
        assert await at.job(9002, secret=NEWER) == 202
        await at.settled()


async def half_sent(at, body, headers):
    """Return what lets the second half of *body* go, and the sending, once the first half is being received."""
    half, rest = asyncio.Event(), asyncio.Event()

    async def slowly():
        yield body[:100]
        half.set()
        await rest.wait()
        yield body[100:]

    sending = asyncio.create_task(at.post("/hooks/jobs", slowly(), headers))
    await half.wait()
    while at.gateway._in_flight.requests == 0:
        await asyncio.sleep(0.01)
    return rest, sending


async def test_a_delivery_that_is_on_its_way(tmp_path):
    """A body that began before the reload is taken by the rules of its beginning, its source gone or not."""
    async with house(tmp_path) as at:
        rest, sending = await half_sent(at, *signed_job(1))
        limits = 'max_body = "150B"\n[server.limits]\nbytes_in_flight = "150B"'
        status = await at.reload((at.jobs_source, ""), ("[server.limits]", limits))
        assert status.ok, status
        rest.set()
        assert await sending == 202
        assert await at.job(2) == 404
        assert await at.push(push_body(1, serial=2)) == 413
        await at.settled()
        ledger = open_store_ledger(at.gateway.settings)
        ((state, reason),) = [(one.state, one.reason) for one in ledger.deliveries(DeliveryFilter(), limit=9)]
        ledger.close()
        assert (state, reason) == ("ignored", "not_routed"), "its source leads nowhere any more, and that is said"


async def test_a_forged_delivery_that_is_on_its_way(tmp_path, lines):
    """A body whose signature is wrong is refused as such, also when its source goes while it comes."""
    async with house(tmp_path) as at:
        rest, sending = await half_sent(at, *signed_job(1, secret=NEWER))
        assert (await at.reload((at.jobs_source, ""))).ok
        rest.set()
        assert await sending == 401
        assert not lines.of("unhandled")


async def test_a_client_whose_proxy_is_not_trusted_any_more(tmp_path, lines):
    """Who a client is, is told by whoever was trusted when the request came; of the next one nobody else is believed."""
    async with house(tmp_path) as at:
        (body, headers), (other, proof) = signed_job(1), signed_job(2)
        forwarded = ("x-forwarded-for", "192.0.2.7")
        rest, sending = await half_sent(at, body, [*headers, forwarded])
        assert (await at.reload(("[server]", "[server]\ntrusted_proxies = []"))).ok
        rest.set()
        assert await sending == 202
        assert await at.post("/hooks/jobs", other, [*proof, forwarded]) == 202
        clients = [line["client_ip"] for line in lines.of("delivery.accepted")]
        assert clients == ["192.0.2.7", "127.0.0.1"]


async def test_routes_and_sinks(tmp_path, lines):
    """A sink that is new is supplied, one that stays is not touched, and one that goes leaves its tasks where they are."""
    async with house(tmp_path, sinks='[sinks.drop]\nkind = "csv"\ndir = "./drops"\n') as at:
        assert await at.push(push_body(1, serial=1)) == 202
        await at.settled()
        kept = at.gateway._works.dispatcher.outlets["drop"].sink
        assert (await at.reload(("[sinks.drop]", f"{SECOND}\n[sinks.drop]"), ('["drop"]', '["drop", "second"]'))).ok
        assert lines.of("config.reloaded")[-1]["changed"] == [
            "sources.jobs.routes", "sources.push.routes", "sinks.second",
        ]  # fmt: skip
        assert at.gateway._works.dispatcher.outlets["drop"].sink is kept
        assert await at.push(push_body(1, serial=2)) == 202
        await at.settled()
        assert len(list((tmp_path / "second").rglob("*.ndjson"))) == 1
        await at.gateway.operations.pause("second", by="a test")
        assert await at.push(push_body(1, serial=3)) == 202
        while [task.sink for task in at.tasks() if not task.state.final] != ["second"]:
            await asyncio.sleep(0.01)
        assert (await at.reload((SECOND, ""), ('["drop", "second"]', '["drop"]'))).ok
        assert at.gateway.operations.sinks == ("drop",)
        (left,) = [task for task in at.tasks() if not task.state.final]
        assert left.sink == "second"
        assert await at.push(push_body(1, serial=4)) == 202
        assert (await at.reload(("[sinks.drop]", f"{SECOND}\n[sinks.drop]"))).ok
        await at.gateway.operations.resume("second")
        await at.settled()
        assert len(list((tmp_path / "second").rglob("*.ndjson"))) == 2, "it came back, and so did what was owed to it"


async def test_a_sink_that_is_changed(tmp_path):
    """It is closed, its file whole, before the other one opens in the same folder; no row is lost or doubled."""
    async with house(tmp_path, sinks=ROLL, routes=("roll",)) as at:
        people = []
        for serial in range(6):
            body = push_body(2, serial=serial)
            people += people_of(body)
            assert await at.push(body) == 202
            if serial % 2:
                rows = f"rotate_rows = {100 + serial}\n"
                assert (await at.reload(("[sinks.roll]\n", f"[sinks.roll]\n{rows}"))).ok
                at.edit((rows, ""))
        await at.settled()
        assert len(list((tmp_path / "roll").glob("*.sha256"))) >= 1
    assert dropped(tmp_path) == dict.fromkeys(people, 1)


async def test_a_sink_that_cannot_be_built(tmp_path, monkeypatch, lines):
    """One sink that cannot be built, and nothing of the configuration is taken up."""
    async with house(tmp_path) as at:

        def fail(*_):
            raise OSError("no such luck")

        before = at.gateway._works.dispatcher
        monkeypatch.setattr(DropSettings, "build", fail)
        status = await at.reload(("[sinks.drop]", f"{SECOND}\n[sinks.drop]"), (TOKEN, f"{TOKEN}-2"))
        monkeypatch.undo()
        assert not status.ok
        assert at.gateway._works.dispatcher is before
        assert await at.push(push_body(1, serial=1)) == 202
    (line,) = lines.of("config.reload_failed")
    assert line["setting"] == "sinks.second"


async def test_how_patiently_a_sink_is_tried(tmp_path):
    """Another policy is taken up by the same lane and the same sink."""
    async with house(tmp_path) as at:
        (lane,) = at.gateway._works.worker._lanes
        sink = lane.outlet.sink
        assert (await at.reload(("[sinks.drop]", '[delivery]\nconcurrency = 2\nrate = "7/s"\n\n[sinks.drop]'))).ok
        assert next(iter(at.gateway._works.worker._lanes)) is lane
        assert (lane.outlet.sink, lane._policy.concurrency, lane._rate._per_s) == (sink, 2, 7.0)
        assert await at.push(push_body(1, serial=1)) == 202
        await at.settled()


async def test_pins_survive(tmp_path):
    """What `auto` has found stays found: after a reload with other secrets another scheme is still refused."""
    async with house(tmp_path, sources=AUTO) as at:
        assert await at.job(1, preset="sha256_hex", source="auto") == 202
        assert (await at.reload((f'secrets = ["{SECRET}"]\nroutes', f'secrets = ["{NEWER}", "{SECRET}"]\nroutes'))).ok
        assert await at.job(2, preset="t_v1", source="auto", secret=NEWER) == 401
        assert await at.job(3, preset="sha256_hex", source="auto", secret=NEWER) == 202


async def test_since_when_it_applies(tmp_path):
    """Commands can tell when the service read its configuration: at its start, or with the last reload that was taken."""
    async with house(tmp_path) as at:
        store = at.gateway.settings.storage.path
        os.utime(f"{store}.lock", (1000, 1000))
        assert not (await at.reload(('rate = "100000/s"', 'rate = "fast"'))).ok
        assert running_service(store) == (os.getpid(), 1_000_000)
        before_ms = time.time_ns() // 1_000_000
        assert (await at.reload(('rate = "fast"', 'rate = "100/s"'))).ok
        assert before_ms <= running_service(store)[1] <= at.gateway.reload_status.at_ms


async def test_limits(tmp_path):
    """Rates, sizes and room in flight are those of the file from then on."""
    async with house(tmp_path) as at:
        limits = 'rate = "1/h"\nconcurrency = 7\nbytes_in_flight = "1MiB"'
        status = await at.reload(('rate = "100000/s"', limits), ("burst = 100000", "burst = 2"))
        assert status.ok
        assert [await at.push(push_body(1, serial=serial)) for serial in range(3)] == [202, 202, 429]
        assert (at.gateway._in_flight.requests_max, at.gateway._in_flight.bytes_max) == (7, 2**20)
        assert (await at.reload(("[storage]", '[storage]\nmin_free = "1000000GiB"'))).ok
        assert await at.job(1) == 507


async def test_asked_twice_in_a_row(tmp_path, lines):
    """Who asks while a reload is under way gets one more: what counts in the end is the file as it was written last."""
    async with house(tmp_path) as at:
        at.edit(('rate = "100000/s"', 'rate = "1000/s"'))
        at.gateway.reloading.ask()
        await asyncio.sleep(0)  # it has begun
        at.edit(('rate = "1000/s"', 'rate = "1001/s"'))
        at.gateway.reloading.ask()
        at.gateway.reloading.ask()
        while at.gateway.settings.server.limits.rate != 1001:
            await asyncio.sleep(0.01)
    assert 1 <= len(lines.of("config.reloaded")) <= 2


async def test_while_it_ends(tmp_path, lines):
    """A service that is about to end does not take up another configuration."""
    async with house(tmp_path) as at:
        at.gateway._receiver.draining = True
        before = at.gateway.reload_status
        assert await at.reload(('rate = "100000/s"', 'rate = "1000/s"')) is before
        assert at.gateway.settings.server.limits.rate == 100_000
    (line,) = lines.of("config.reload_failed")
    assert (line["reason"], line["level"]) == ("draining", "warning")


async def test_the_log_s_level(tmp_path, lines):
    """The level changes for loggers that are in use."""
    async with house(tmp_path) as at:
        assert await at.push(push_body(1, serial=1)) == 202
        assert (await at.reload(("[server]", '[log]\nlevel = "error"\n\n[server]'))).ok
        assert await at.push(push_body(1, serial=2)) == 202
        assert (await at.reload(('level = "error"', 'level = "info"'))).ok
        assert await at.push(push_body(1, serial=3)) == 202
    assert len(lines.of("delivery.accepted")) == 2


async def test_an_account_at_stibnite(tmp_path):
    """A key that comes with a reload is used at once, budgets too; without it nothing can be bought any more."""
    sandbox = StibniteSandbox(seed=1, now=time.time)
    async with serve(sandbox.app()) as url, house(tmp_path) as at:
        token = admin_token(at.gateway.settings.storage.path)

        async def buy(**more):
            call = f"{at.gateway.admin_url}/api/v1/jobs"
            body = {"q": "CMOs", "limit": 3, **more}
            async with at.http.post(call, json=body, headers={"Authorization": f"Bearer {token}"}) as answer:
                return answer.status, await answer.json()

        assert (await buy())[0] == 400
        account = f'[stibnite]\nbase_url = "{url}"\napi_key = "{sandbox.api_key}"\n'
        budget = '[budgets.month]\nunit = "stibnite.credit_unit"\nlimit = 2\nperiod = "month"\n'
        assert (await at.reload(("[server]\n", f"{account}\n[server]\n"))).ok
        errands = at.gateway._works.buying.parts.errands
        assert (await buy())[0] == 200
        assert (await buy(budget="month"))[0] == 400
        assert (await at.reload(("[server]\n", f"{budget}\n[server]\n"))).ok
        status, document = await buy(budget="month")
        assert (status, document["decision"]["verdict"]) == (200, "deny")
        await at.gateway._works.buying._change
        assert errands._loop.done(), "nothing is asked twice"
        assert (await at.reload((account, ""), (budget, ""))).ok
        assert (await buy())[0] == 400


async def test_who_may_use_the_admin_listener(tmp_path):
    """Tokens are those of the file from then on: who had one that is gone is turned away at the next call."""
    console = (
        '[console]\ntokens = [{ name = "ann", role = "viewer", token = "ann-has-this-token-and-nobody-else-1" }]\n'
    )
    async with house(tmp_path) as at:
        local = admin_token(at.gateway.settings.storage.path)

        async def ask(token, client="127.0.0.1"):
            headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": client}
            async with at.http.get(f"{at.gateway.admin_url}/api/v1/sinks", headers=headers) as answer:
                return answer.status

        assert await ask(local) == 200
        assert (await at.reload(("[server]\n", f"{console}[server]\n"))).ok
        assert (await ask(local), await ask("ann-has-this-token-and-nobody-else-1")) == (401, 200)
        assert (await at.reload(("-else-1", "-else-2"), ("[server]\n", "[server]\ntrusted_proxies = []\n"))).ok
        assert (
            await ask("ann-has-this-token-and-nobody-else-1"),
            await ask("ann-has-this-token-and-nobody-else-2"),
        ) == (401, 200)


async def test_files_are_reopened_while_sinks_change(tmp_path, monkeypatch):
    """A reload may take a sink away while files are reopened: the others' are, and nothing fails."""
    more = ROLL + ROLL.replace("roll", "gone").replace('layout = "gone', 'layout = "roll')
    more += ROLL.replace("[sinks.roll]", "[sinks.third]").replace("./roll", "./third")
    async with house(tmp_path, sinks=more, routes=("roll",)) as at:
        sinks = at.gateway._works.sinks
        reopen = sinks._open["roll"].reopen

        async def meanwhile():
            await reopen()
            await sinks.hand_over("gone", at.gateway._works.dispatcher.outlets["gone"], None)

        monkeypatch.setattr(sinks._open["roll"], "reopen", meanwhile)
        assert await sinks.reopen() == ["roll", "third"]


async def test_files_are_reopened(tmp_path, lines):
    """When asked to, a rolling drop completes its file; the next delivery begins another one, whatever was moved away."""
    async with house(tmp_path, sinks=ROLL, routes=("roll",)) as at:
        people = []
        for serial in range(3):
            body = push_body(1, serial=serial)
            people += people_of(body)
            assert await at.push(body) == 202
            await at.settled()
            if serial == 1:  # as log rotation does it: first moved, then told
                there = (tmp_path / "roll").glob("*.csv")  # named by the second of their beginning
                (open_file,) = (path for path in there if not path.with_name(f"{path.name}.sha256").exists())
                open_file.rename(tmp_path / "taken.csv")
            await at.gateway._reopen_files()
        names = sorted(path.name for path in (tmp_path / "roll").glob("*"))
        whole = [name for name in names if name.endswith(".csv")]
        assert [f"{name}.sha256" in names for name in whole] == [True] * len(whole) == [True, True]
        assert [line["sinks"] for line in lines.of("service.files_reopened")] == [["roll"]] * 3
    assert dropped(tmp_path) == dict.fromkeys(people, 1)
