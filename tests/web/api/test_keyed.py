"""`Idempotency-Key`: the same request is done once, also when it comes twice at once or after a restart."""

import asyncio
import json
from functools import partial

import pytest

from stibgate.errors import StoreUnavailable
from stibgate.stores.sqlite import SqliteStore
from stibgate.web.api import ROUTES
from tests.pipeline.world import Clock
from tests.web.api.office import Office, make_application

KEYED = [route.path.strip("/") for route in ROUTES if route.keyed]
DEAD = {"of": "tasks", "filter": {"state": "dead"}}
KEY = {"Idempotency-Key": '"replay-1"'}


def test_which_calls_take_a_key():
    """Whatever moves records or money by a POST can be sent twice without harm."""
    assert KEYED == ["replays", "cancellations", "jobs"]


async def test_the_first_answer_comes_again(office):
    """The same key and request is done once: the second answer is the first, marked, and nothing happens."""
    first, done = await office.answer("replays", DEAD, headers=KEY)
    again, same = await office.answer("replays", DEAD, headers=KEY)
    assert (first.status, done["records"], again.status, same) == (200, 2, 200, done)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(office.store.replays(office.names[0])) == 1
    assert [line[1] for line in office.audit()] == ["replay"]
    assert (await office.ask("replays", DEAD, headers={"Idempotency-Key": "replay-1"}))[1] == done  # without quotes
    office.clock.advance(24 * 3600)
    assert (await office.ask("replays", DEAD, headers=KEY))[1]["records"] == 0


async def test_a_key_means_one_request(office):
    """The same key with another body, or on another call, is 422; another person's key is another key."""
    await office.ask("replays", DEAD, headers=KEY, role="operator", status=200)
    for path, body in (("replays", {**DEAD, "all": True}), ("cancellations", DEAD)):
        assert (await office.ask(path, body, headers=KEY, role="operator"))[0] == 422
    assert (await office.ask("replays", DEAD, headers=KEY, role="admin"))[1]["records"] == 0
    assert office.states() == ["queued", "delivered"]


@pytest.mark.parametrize("key", ['""', '"', "", "a b", '"a', 'a"', "x" * 256, "\u00e9", '"a\\"', "a,b"])
async def test_what_is_no_key(office, key):
    """A key that is none is 400, and nothing is done."""
    assert (await office.ask("replays", DEAD, headers={"Idempotency-Key": key}))[0] == 400
    assert office.states() == ["dead", "delivered"]


async def test_two_at_once(office, monkeypatch):
    """Of two that come at once one is done; the other is told to ask again, and then gets that one's answer."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    replay = office.store.replay

    async def slow(*args):
        begun.set()
        await go_on.wait()
        return await replay(*args)

    monkeypatch.setattr(office.store, "replay", slow)
    first = asyncio.create_task(office.ask("replays", DEAD, headers=KEY))
    await begun.wait()
    answer, _ = await office.answer("replays", DEAD, headers=KEY)
    assert (answer.status, answer.headers["Retry-After"]) == (409, "1")
    go_on.set()
    assert await first == await office.ask("replays", DEAD, headers=KEY)
    assert len(office.store.replays(office.names[0])) == 1


async def test_what_is_refused_may_be_sent_again(office, monkeypatch):
    """A request that failed did nothing, so its key is free: sent again once the fault is mended, it is done."""
    replay = office.store.replay

    async def full(*_args):
        raise StoreUnavailable("the disk is full", hint="Free some space.")

    monkeypatch.setattr(office.store, "replay", full)
    assert (await office.ask("replays", DEAD, headers=KEY))[0] == 503
    assert (await office.ask("replays", {"of": "people"}, headers=KEY))[0] == 400
    monkeypatch.setattr(office.store, "replay", replay)
    assert (await office.ask("replays", DEAD, headers=KEY))[1]["records"] == 2


async def test_over_a_restart(aiohttp_client, tmp_path):
    """The answer is kept on the disk; one that a crash cut short is forgotten at the start, and may be sent again."""
    clock, answers = Clock(), []
    for _ in range(2):
        store = SqliteStore(tmp_path / "stibgate.db", durability="normal")
        await store.forget_running_calls()
        app, acts = make_application(store, store.read, clock)
        office = Office(await aiohttp_client(app), store, clock, acts)
        answers.append(await office.answer("replays", DEAD, headers=KEY))
        assert (await office.ask("replays", DEAD, headers={"Idempotency-Key": "cut-short"}))[0] == 200
        with_key = partial(
            office.store._writer.submit, lambda db: db.execute("UPDATE calls SET status = NULL WHERE key = 'cut-short'")
        )
        await with_key()
        assert (await office.ask("replays", DEAD, headers={"Idempotency-Key": "cut-short"}))[0] == 409
        await office.client.close()
        await store.close()
    (first, done), (again, same) = answers
    assert (first.status, again.status) == (200, 200)
    assert json.dumps(same) == json.dumps(done)
    assert again.headers["Idempotency-Replayed"] == "true"
