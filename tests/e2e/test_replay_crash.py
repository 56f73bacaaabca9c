"""kill -9 and SIGTERM in the middle of a replay in the background: the next start goes on, and sends nothing twice."""

import asyncio
import json
from collections import Counter

import pytest

from stibgate.domain.task import Signal
from stibgate.stores.ledger import open_ledger
from stibgate.stores.sqlite import SqliteStore
from tests.e2e.gateway import Gateway, configure, request, until
from tests.e2e.test_operating import SINKS
from tests.stores.world import PATIENT, make_delivery, make_processed, make_settlement

pytestmark = pytest.mark.e2e

COUNT = 400
ASKED = json.dumps({"of": "tasks", "filter": {"state": "dead"}, "background": True}).encode()


async def fill(path):
    """Make a store of dead letters, all of `bad`."""
    store = SqliteStore(path, durability="normal")
    numbers = range(COUNT)
    await asyncio.gather(*(store.admit(make_delivery(number, records=1)) for number in numbers))
    await asyncio.gather(*(store.process(make_processed(number, ["bad"], records=1)) for number in numbers))
    tasks = (await store.claim("bad", PATIENT, now_ms=make_delivery(1).received_at_ms, limit=COUNT)).tasks
    await asyncio.gather(
        *(store.settle(make_settlement(task, Signal.EXHAUSTED, error="no"), PATIENT.circuit) for task in tasks)
    )
    await store.close()


def test_a_replay_goes_on_over_kill_and_stop(tmp_path):
    """Each dead letter is sent again exactly once, though it dies again; counts, state and the key's answer hold."""
    (tmp_path / "blocked").write_text("a file where a folder should be")
    gateway = Gateway(configure(tmp_path, sinks=SINKS, routes=("bad",)))
    asyncio.run(fill(tmp_path / "data/stibgate.db"))
    with gateway:
        token = (tmp_path / "data/stibgate.db.admin-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": '"all-dead-letters"'}

        def ask(path="", method="GET", body=None):
            answer = request(f"{gateway.admin}/api/v1/replays{path}", method, body, headers)
            return answer.status, answer.json

        status, begun = ask("", "POST", ASKED)
        assert status == 202
        name = f"/{begun['replay_id']}"

        def came_to(least):
            return (one := ask(name)[1])["done"] >= least and one

        cut = [until("it is under way", lambda: came_to(1))]
        gateway.process.kill()
        gateway.process.wait(5)
        gateway.start()
        cut.append(until("it goes on", lambda: came_to(cut[0]["done"] + 1)))
        assert gateway.stop() == 0
        assert [one["state"] for one in cut] == ["running", "running"], cut
        gateway.start()
        told = until("it is over", lambda: (one := ask(name)[1])["ended_at"] and one)
        assert (told["state"], told["total"], told["done"], told["records"]) == ("done", COUNT, COUNT, COUNT)
        assert (told["results"], told["sinks"]) == ({"replayed": COUNT}, {"bad": COUNT})
        assert ask("", "POST", ASKED) == (202, begun)
        assert [one["replay_id"] for one in ask()[1]["data"]] == [begun["replay_id"]]
        assert [line.get("recovered_replays") for line in gateway.events("service.started")] == [None, 1, 1]
        assert gateway.stop() == 0
    ledger = open_ledger(tmp_path / "data/stibgate.db")
    assert Counter(len(ledger.replays(f"d{number}")) for number in range(COUNT)) == {1: COUNT}
    ledger.close()
    gateway.checked()
    assert not gateway.events("unhandled")
