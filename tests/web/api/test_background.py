"""Replays in the background: begun at once, watched, ended early, gone on with after a crash, noted in the audit."""

import asyncio

import pytest

from stibgate.errors import StoreFull
from stibgate.pipeline.bulk import RUNNING_MAX
from stibgate.pipeline.dispatch import Outlet
from stibgate.stores.sqlite import SqliteStore
from tests.pipeline.world import POLICY, Clock, ScriptedSink, make_dispatcher
from tests.web.api.office import Office, make_application, make_office
from tests.web.backroom import fill, samples

ALL = {"of": "tasks", "all": True, "background": True}


async def ended(office, name):
    """Return the replay once it is over."""
    await asyncio.gather(*office.acts.bulks._running)
    return await office.get(f"replays/{name}", role="viewer")


async def test_from_its_beginning_to_its_end(aiohttp_client):
    """202 with an id and where to look; at its end the counts, and a line in the audit for each."""
    office = await make_office(aiohttp_client, count=5)
    answer, begun = await office.answer("replays", ALL, role="operator")
    name = begun["replay_id"]
    assert (answer.status, answer.headers["Location"], begun["state"]) == (202, f"/api/v1/replays/{name}", "counting")
    told = await ended(office, name)
    assert (told["state"], told["total"], told["done"], told["records"]) == ("done", 5, 5, 10)
    assert (told["results"], told["sinks"], told["by"]) == (
        {"replayed": 5},
        {"drop": 10},
        "operator-dana, by the admin API",
    )
    assert told["ended_at"] >= told["started_at"]
    assert set(office.states()) == {"queued"}
    assert (await office.get("replays", role="viewer"))["data"] == [told]
    assert office.audit() == [
        ("operator-dana", "replay_started", name, {"of": "tasks", "ids": 0, "all": True}),
        ("operator-dana", "replay", name, {"state": "done", "records": 10, "count_replayed": 5}),
    ]


@pytest.fixture
def _one_by_one(monkeypatch):
    """Every task is a page of its own."""
    monkeypatch.setattr("stibgate.pipeline.operations.PAGE", 2)
    monkeypatch.setattr("stibgate.pipeline.operations.STEPS_MAX", 1)


class Gate:
    """Stands before a call of the store, and lets only the first ones through until it is opened."""

    def __init__(self, monkeypatch, store, name, *, through):
        self.call, self.through = getattr(store, name), through
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(store, name, self.pass_through)

    async def pass_through(self, *args):
        self.through -= 1
        if self.through < 0:
            self.reached.set()
            await self.open.wait()
        return await self.call(*args)


async def test_asked_again_under_its_key(aiohttp_client):
    """The same key is the same replay: the answer comes again, and says again where its progress is."""
    office = await make_office(aiohttp_client, count=2)
    key = {"Idempotency-Key": "once"}
    (first, begun), (again, same) = [await office.answer("replays", ALL, headers=key) for _ in range(2)]
    assert (again.status, same, again.headers["Idempotency-Replayed"]) == (202, begun, "true")
    assert again.headers["Location"] == first.headers["Location"]
    assert len((await office.get("replays"))["data"]) == 1


@pytest.mark.usefixtures("_one_by_one")
async def test_it_can_be_stopped(aiohttp_client, monkeypatch):
    """A replay that is cancelled stops after what it is at; what was sent again stays so, and whoever did it is told."""
    office = await make_office(aiohttp_client, count=5)
    gate = Gate(monkeypatch, office.store, "replay_page", through=2)
    _, begun = await office.answer("replays", ALL)
    await gate.reached.wait()
    running = await office.get(f"replays/{begun['replay_id']}")
    assert (running["state"], running["total"], running["done"], running["records"]) == ("running", 5, 2, 4)
    _, stopped = await office.ask(f"replays/{begun['replay_id']}/cancel", role="operator", status=200)
    gate.open.set()
    told = await ended(office, begun["replay_id"])
    assert (told["state"], told["records"]) == ("cancelled", 4)
    assert told == stopped
    assert office.states().count("queued") == 2
    stop = ("operator-dana", "replay", begun["replay_id"], {"state": "cancelled", "records": 4, "count_replayed": 2})
    assert office.audit()[1:] == [stop]
    assert (await office.ask(f"replays/{begun['replay_id']}/cancel", status=200))[1] == told
    assert office.audit()[1:] == [stop]
    assert await office.acts.bulks.go_on() == 0, "cancelled is final"


@pytest.mark.usefixtures("_one_by_one")
async def test_it_can_be_stopped_while_it_counts(aiohttp_client):
    """Counting a million takes a while; a stop, and the end of the service, do not wait for it."""
    office = await make_office(aiohttp_client, count=9)
    read, reached, go_on = office.acts.operations.read, asyncio.Event(), asyncio.Event()
    reads = []

    async def slow(query):
        reads.append(query)
        if len(reads) == 4:  # who is meant, the replay, the filter, the first page
            reached.set()
            await go_on.wait()
        return await read(query)

    office.acts.operations.read = slow
    _, begun = await office.answer("replays", ALL)
    await reached.wait()
    cancel = asyncio.create_task(office.ask(f"replays/{begun['replay_id']}/cancel", role="operator", status=200))
    while not office.acts.bulks._stops[begun["replay_id"]].is_set():
        await asyncio.sleep(0)
    go_on.set()
    await cancel
    told = await ended(office, begun["replay_id"])
    assert (told["state"], told["total"], told["records"]) == ("cancelled", None, 0)
    assert len(reads) <= 6, "it counted on"


async def test_a_dry_run_is_answered_at_once(office):
    """Counting changes nothing, so it is not begun in the background."""
    status, report = await office.ask("replays", {**ALL, "dry_run": True})
    assert (status, report["dry_run"], report["records"]) == (200, True, 4)
    assert office.audit() == []


async def test_a_failure_is_told(office, monkeypatch):
    """One that fails says why, and that is in the audit too."""

    async def broken(*_args):
        raise ValueError("ann@example.com")

    monkeypatch.setattr(office.store, "replay_page", broken)
    _, begun = await office.answer("replays", ALL)
    told = await ended(office, begun["replay_id"])
    assert (told["state"], told["error"]) == ("failed", "ValueError")
    assert office.audit()[-1][3] == {"state": "failed", "records": 0}


async def test_only_so_many_at_once(office, monkeypatch):
    """One too many is 503 and begins nothing; the end of the service leaves them to the next one."""
    gate = Gate(monkeypatch, office.store, "replay_page", through=0)
    for _ in range(RUNNING_MAX):
        assert (await office.ask("replays", ALL))[0] == 202
    status, problem = await office.ask("replays", ALL)
    assert (status, problem["exit_code"]) == (503, 75)
    assert (await office.ask("replays", {**ALL, "sink": "crmm"}))[0] == 400
    end = asyncio.create_task(office.acts.bulks.close())
    await asyncio.sleep(0)
    gate.open.set()
    await end
    assert (await office.ask("replays", ALL))[0] == 202, "during the drain: kept, and not begun"
    assert {one["state"] for one in (await office.get("replays"))["data"]} == {"running", "counting"}
    assert not office.acts.bulks._running
    assert await office.acts.bulks.go_on() == RUNNING_MAX + 1
    await asyncio.gather(*office.acts.bulks._running)
    assert {one["state"] for one in (await office.get("replays"))["data"]} == {"done"}


async def test_the_end_does_not_wait_for_ever(office, monkeypatch):
    """A replay that waits for a slow store is left where it is, and gone on with like any other."""
    monkeypatch.setattr("stibgate.pipeline.bulk.CLOSE_S", 0)
    gate = Gate(monkeypatch, office.store, "replay_page", through=0)
    _, begun = await office.answer("replays", ALL)
    await gate.reached.wait()
    await office.acts.bulks.close()
    gate.open.set()
    assert await office.acts.bulks.go_on() == 1
    assert (await ended(office, begun["replay_id"]))["results"] == {"replayed": 2}


@pytest.mark.usefixtures("_one_by_one")
async def test_a_store_that_cannot_now_ends_nothing(office, monkeypatch):
    """While the disk is full it is tried again; then it goes on where it was."""
    monkeypatch.setattr("stibgate.pipeline.bulk.AGAIN_S", 0)
    page, tries = office.store.replay_page, []

    async def full(*args):
        tries.append(args)
        if len(tries) == 2:
            raise StoreFull("the disk is full", hint="Free some space.")
        return await page(*args)

    monkeypatch.setattr(office.store, "replay_page", full)
    _, begun = await office.answer("replays", ALL)
    told = await ended(office, begun["replay_id"])
    assert (told["state"], told["done"], told["results"], len(tries)) == ("done", 2, {"replayed": 2}, 3)


async def test_nobody_is_kept_by_name(office):
    """A person is kept as a hash, an id that is none of ours not at all; an error that may name somebody is refused."""
    record = office.store.records(office.names[0])[0]
    asked = {**ALL, "filter": {"person": record.business_email}}
    _, begun = await office.answer("replays", asked)
    told = await ended(office, begun["replay_id"])
    assert (told["total"], told["records"]) == (1, 2)
    assert office.audit()[0][3]["filters"] == "person"
    await office.answer("replays", {**ALL, "ids": [record.business_email]})
    for error in (record.business_email, "call +15550100200"):
        assert (await office.ask("replays", {**ALL, "filter": {"error": error}}))[0] == 400
    assert len(office.store._bulks) == 2
    assert record.business_email not in repr([office.store._bulks, office.store.bulks()])
    assert office.states().count("queued") == 1


# -- over a restart


class House:
    """The same store in one process after another; a sink that took everything, and does again."""

    def __init__(self, path, aiohttp_client):
        self.path, self.connect, self.clock = path, aiohttp_client, Clock()

    async def start(self) -> Office:
        self.store = SqliteStore(self.path, durability="normal")
        await self.store.forget_running_calls()
        app, acts = make_application(self.store, self.store.read, self.clock)
        return Office(await self.connect(app), self.store, self.clock, acts, read=self.store.ledger)

    async def die(self, office):
        """Kill -9, as far as the store is concerned: nothing more is said to it."""
        for task in office.acts.bulks._running:
            task.cancel()
        await asyncio.gather(*office.acts.bulks._running, return_exceptions=True)
        await office.client.close()
        await self.store.close()

    async def stop(self, office, gate):
        """SIGTERM: what a replay is at comes to its end."""
        end = asyncio.create_task(office.acts.bulks.close())
        await asyncio.sleep(0)
        gate.open.set()
        await end
        await self.die(office)

    async def take(self):
        """Have the sink take what waits."""
        dispatcher = make_dispatcher(self.store, {"drop": Outlet(ScriptedSink(), POLICY)}, now_ms=self.clock)
        for task in (await self.store.claim("drop", POLICY, now_ms=self.clock(), limit=10)).tasks:
            await dispatcher.attempt(task)

    async def forget(self, what):
        """Have the store as if a crash had come before it was told."""
        await self.store._writer.submit(lambda db: db.execute(f"UPDATE {what}"))

    def notes(self, names):
        """Return how often each delivery was sent again."""
        return [len(self.store.ledger.replays(name)) for name in names]


MEANT = {
    "tasks": lambda _: ALL,
    "deliveries": lambda _: {**ALL, "of": "deliveries"},
    "ids": lambda names: {**ALL, "of": "deliveries", "ids": [*names, "dlv_nothing", "ann@example.com"]},
    "ids of tasks": lambda names: {**ALL, "ids": [*names, names[0], "tsk_1", "tsk_5"]},
}


@pytest.mark.usefixtures("_one_by_one")
@pytest.mark.parametrize(
    ("meant", "done", "ended_by"),
    [
        ("tasks", 0, "kill"), ("tasks", 2, "stop"), ("deliveries", 3, "kill"), ("deliveries", 5, "kill"),
        ("ids", 3, "kill"), ("ids of tasks", 3, "kill"),
    ],
)  # fmt: skip
async def test_it_goes_on_after_a_restart(aiohttp_client, monkeypatch, tmp_path, meant, done, ended_by):
    """Whenever it is cut short, each is sent again exactly once, also what was taken meanwhile; its key finds it still."""
    house = House(tmp_path / "stibgate.db", aiohttp_client)
    office = await house.start()
    names = await fill(house.store, house.clock, ScriptedSink(), samples(5))
    gate = Gate(monkeypatch, house.store, "replay_page", through=done)
    asked, key = MEANT[meant](names), {"Idempotency-Key": "all-once-more"}
    _, begun = await office.answer("replays", asked, headers=key)
    if done < 5 or "ids" in asked:
        await gate.reached.wait()
    else:  # all is sent, and that it is over was not written
        await asyncio.gather(*office.acts.bulks._running)
        await house.forget("bulks SET state = 'running', ended_at = NULL")
    if done == 0:
        await house.forget("calls SET status = NULL, answer = NULL")
    await (house.die(office) if ended_by == "kill" else house.stop(office, gate))

    office = await house.start()
    await house.take()
    answer, again = await office.answer("replays", asked, headers=key)
    assert (answer.status, again["replay_id"], again["started_at"]) == (202, begun["replay_id"], begun["started_at"])
    assert await office.acts.bulks.go_on() == 1
    told = await ended(office, begun["replay_id"])
    assert (told["state"], told["total"], told["done"], told["records"]) == ("done", 5, 5, 10)
    assert told["results"] == {"replayed": 5}
    assert told["unknown"] == (["dlv_nothing", "no id of ours"] if meant == "ids" else [])
    assert told["started_at"] == begun["started_at"]
    assert house.notes(names) == [1] * 5
    assert (await office.get("replays"))["data"] == [told]
    assert [line[1:3] for line in office.audit()][-1] == ("replay", begun["replay_id"])
    await house.die(office)
    assert b"ann@example.com" not in house.path.read_bytes()
