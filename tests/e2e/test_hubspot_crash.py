"""kill -9 while HubSpot and a drop are fed: in the end everybody is in both, once, with the company they work for."""

import json
import random
import signal
from collections import Counter
from functools import partial

import pytest

from stibgate.sandbox.hubspot import Portal
from tests.e2e.crm import Crm
from tests.e2e.gateway import DROP, PATIENCE_S, Gateway, configure, dropped, push_body, until

pytestmark = pytest.mark.e2e

ROUNDS = 5
PUSHES = 5

DELIVERY = """
[sinks.crm.delivery]
schedule = ["0s", "100ms", "100ms", "200ms", "200ms", "500ms", "500ms", "1s", "1s", "1s", "1s", "1s"]
timeout = "20s"
lease = "30s"
concurrency = 4

[delivery.circuit]
failures = 100
"""


def bodies_of(dice, number, before):
    """Return a round's bodies: new people, and in each some who came in an earlier round."""
    bodies = []
    for serial in range(number * PUSHES, (number + 1) * PUSHES):
        push = json.loads(push_body(dice.randint(1, 40), serial=serial))
        push["data"] += dice.sample(before, min(len(before), dice.randint(0, 3)))
        bodies.append(json.dumps(push).encode())
    return bodies


def reached(crm, requests, contacts):
    return crm.ask("counters").requests >= requests or len(crm.contacts()) == contacts


def test_nobody_is_lost_or_doubled_over_kills(tmp_path):
    """After kill -9 in the midst of HubSpot's requests: every person, company and association once, and every row once."""
    dice = random.Random(20261122)
    bodies, people = [], []
    with Crm(seed=3, portal=Portal(latency_s=0.04)) as crm:
        gateway = Gateway(configure(tmp_path, sinks=crm.sink + DROP + DELIVERY, routes=("crm", "drop")))
        for number in range(ROUNDS):
            with gateway:
                asked = crm.ask("counters").requests + dice.randint(1, 20)
                for body in bodies_of(dice, number, people):
                    assert gateway.push(body).status == 202
                    bodies.append(body)
                    people += json.loads(body)["data"]
                known = len({one["person_id"] for one in people})
                until("HubSpot is in the midst of it, or done", partial(reached, crm, asked, known))
                gateway.process.kill()
                assert gateway.process.wait(PATIENCE_S) == -signal.SIGKILL
        with gateway:
            assert {one["state"] for one in gateway.settled(within_s=90)} == {"done"}
            gateway.checked()
            tasks = gateway.rows("tasks", "list", "--limit", 1000)
            assert Counter((one["sink"], one["state"]) for one in tasks) == {
                (sink, "delivered"): len(bodies) for sink in ("crm", "drop")
            }
            crm.holds_exactly(people)
            assert dropped(tmp_path / "drops") == Counter(one["person_id"] for one in people)
            for one in gateway.rows("deliveries", "list", "--limit", 1000):
                shown = gateway.rows("deliveries", "show", one["delivery_id"])[0]
                for task in shown["tasks"]:
                    assert sum(task["outcomes"].values()) == task["records"] == one["records"]
            recovered = [line["recovered_tasks"] for line in gateway.events("service.started")]
            assert gateway.stop() == 0
        print(f"{ROUNDS} kills, {len(bodies)} bodies, {len(people)} records, leases taken over: {recovered}")
        assert sum(recovered) > 0
        assert not gateway.events("unhandled")
        assert not gateway.events("task.dead")
