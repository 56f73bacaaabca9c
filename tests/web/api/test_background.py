"""Replays in the background: begun at once, watched, ended early, noted in the audit when they are over."""

import asyncio

from stibgate.pipeline.bulk import RUNNING_MAX
from tests.web.api.office import make_office

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


async def test_it_can_be_stopped(aiohttp_client, monkeypatch):
    """A replay that is cancelled stops after what it is at; what was sent again stays so, and is told."""
    office = await make_office(aiohttp_client, count=5)
    replay, reached, go_on = office.store.replay_task, asyncio.Event(), asyncio.Event()
    calls = []

    async def slow(*args):
        calls.append(args)
        if len(calls) == 2:
            reached.set()
            await go_on.wait()
        return await replay(*args)

    monkeypatch.setattr(office.store, "replay_task", slow)
    _, begun = await office.answer("replays", ALL)
    await reached.wait()
    running = await office.get(f"replays/{begun['replay_id']}")
    assert (running["state"], running["total"], running["records"]) == ("running", 5, 2)
    await office.ask(f"replays/{begun['replay_id']}/cancel", role="operator", status=200)
    go_on.set()
    told = await ended(office, begun["replay_id"])
    assert (told["state"], told["records"], len(calls)) == ("cancelled", 4, 2)
    assert office.audit()[-1][3] == {"state": "cancelled", "records": 4, "count_replayed": 2}


async def test_it_can_be_stopped_while_it_counts(aiohttp_client, monkeypatch):
    """Counting a million takes a while; a stop, and the end of the service, do not wait for it."""
    monkeypatch.setattr("stibgate.pipeline.operations.PAGE", 1)
    office = await make_office(aiohttp_client, count=5)
    read, reached, go_on = office.acts.operations.read, asyncio.Event(), asyncio.Event()
    reads = []

    async def slow(query):
        reads.append(query)
        if len(reads) == 3:
            reached.set()
            await go_on.wait()
        return await read(query)

    office.acts.operations.read = slow
    _, begun = await office.answer("replays", ALL)
    await reached.wait()
    await office.ask(f"replays/{begun['replay_id']}/cancel", role="operator", status=200)
    go_on.set()
    told = await ended(office, begun["replay_id"])
    assert (told["state"], told["total"], told["records"], len(reads)) == ("cancelled", None, 0, 3)


async def test_a_dry_run_is_answered_at_once(office):
    """Counting changes nothing, so it is not begun in the background."""
    status, report = await office.ask("replays", {**ALL, "dry_run": True})
    assert (status, report["dry_run"], report["records"]) == (200, True, 4)
    assert office.audit() == []


async def test_a_failure_is_told(office, monkeypatch):
    """One that fails says why, and that is in the audit too."""

    async def broken(*_args):
        raise ValueError("ann@example.com")

    monkeypatch.setattr(office.store, "replay_task", broken)
    _, begun = await office.answer("replays", ALL)
    told = await ended(office, begun["replay_id"])
    assert (told["state"], told["error"]) == ("failed", "ValueError")
    assert office.audit()[-1][3] == {"state": "failed", "records": 0}


async def test_only_so_many_at_once(office, monkeypatch):
    """One too many is 503 and begins nothing; the end of the service ends them all."""
    go_on = asyncio.Event()

    async def never(*_args):
        await go_on.wait()

    monkeypatch.setattr(office.store, "replay_task", never)
    for _ in range(RUNNING_MAX):
        assert (await office.ask("replays", ALL))[0] == 202
    status, problem = await office.ask("replays", ALL)
    assert (status, problem["exit_code"]) == (503, 75)
    assert (await office.ask("replays", {**ALL, "sink": "crmm"}))[0] == 400
    go_on.set()
    await office.acts.bulks.close()
    assert {one["state"] for one in (await office.get("replays"))["data"]} == {"cancelled"}
