"""kill -9 and SIGTERM under load: what was acknowledged is stored once, and in every drop exactly once."""

import asyncio
import hashlib
import http.client
import json
import random
import signal
import socket
from collections import Counter

import aiohttp
import pytest

from tests.e2e.gateway import PATIENCE_S, TOKEN, Gateway, configure, dropped, people_of, push_body, until

pytestmark = pytest.mark.e2e

CLIENTS = 8
KILLS = 5

SINKS = """
[sinks.each]
kind = "csv"
dir = "./each"

[sinks.roll]
kind = "csv"
dir = "./roll"
layout = "rolling"
rotate_rows = 50
"""


class Ledger:
    """What the load's clients know: the bodies they sent, and the delivery id that was acknowledged for each.

    Args:
        dice: Decides what is sent next.
    """

    def __init__(self, dice):
        self.dice = dice
        self.bodies = []
        self.acknowledged = {}
        self.answers = Counter()

    def next_body(self):
        """Return a body: most are new, some came before, acknowledged or not."""
        if self.bodies and self.dice.random() < 0.25:
            return self.dice.choice(self.bodies[-40:])
        body = push_body(self.dice.randint(1, 4), serial=len(self.bodies), seed=5)
        self.bodies.append(body)
        return body

    def note(self, body, status, answer):
        """Remember one answer; every 202 for the same bytes must name the same delivery."""
        self.answers[status] += 1
        if status == 202:
            first = self.acknowledged.setdefault(body, answer["delivery_id"])
            assert first == answer["delivery_id"], "one body became two deliveries"


async def load(gateway, ledger, *, until_acknowledged, act):
    """Post from several clients at once; call *act* once so many were acknowledged; return when all clients failed."""
    wanted = len(ledger.acknowledged) + until_acknowledged
    acted = False

    async def client(session):
        nonlocal acted
        while True:
            body = ledger.next_body()
            copies = 2 if ledger.dice.random() < 0.1 else 1
            try:
                for answer in await asyncio.gather(*(post(session, body) for _ in range(copies))):
                    ledger.note(body, *answer)
            except (aiohttp.ClientError, OSError):
                assert acted, gateway.err.read_text()
                return
            if not acted and len(ledger.acknowledged) >= wanted:
                acted = True
                act()

    async def post(session, body):
        headers = {"content-type": "application/json"}
        async with session.post(f"{gateway.url}/hooks/push/{TOKEN}", data=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    assert acted


def account_for(gateway, ledger):
    """Assert that every body is one delivery and that every person of it is in both drops exactly once."""
    for body in ledger.bodies:  # what got no answer may be stored or not; its sender would send it again
        if body not in ledger.acknowledged:
            answer = gateway.push(body)
            ledger.note(body, answer.status, answer.json)
    deliveries = gateway.settled()
    assert {one["delivery_id"] for one in deliveries} == set(ledger.acknowledged.values())
    assert {one["state"] for one in deliveries} == {"done"}
    pairs = [line.split("\t")[1] for line in gateway.run("deliveries", "list", "--ids").lines]
    assert Counter(pairs) == Counter(hashlib.sha256(body).hexdigest() for body in ledger.bodies)
    expected = Counter(person for body in ledger.bodies for person in people_of(body))
    assert set(expected.values()) == {1}
    assert dropped(gateway.folder / "each") == expected
    assert dropped(gateway.folder / "roll") == expected
    tasks = gateway.rows("tasks", "list", "--limit", 100_000)
    assert Counter(task["sink"] for task in tasks) == {"each": len(deliveries), "roll": len(deliveries)}
    gateway.checked()


def test_nothing_acknowledged_is_lost_or_doubled_over_kills(tmp_path):
    """After kill -9 at any moment, every delivery that got a 202 is stored once and dropped once, in every sink."""
    dice = random.Random(20260517)
    ledger = Ledger(dice)
    gateway = Gateway(configure(tmp_path, sinks=SINKS, routes=("each", "roll")))
    recovered = 0
    for _ in range(KILLS):
        with gateway:
            goal = dice.randint(15, 60)
            asyncio.run(load(gateway, ledger, until_acknowledged=goal, act=gateway.process.kill))
            assert gateway.process.wait(PATIENCE_S) == -signal.SIGKILL
    with gateway:
        account_for(gateway, ledger)
        recovered = sum(line["recovered_tasks"] for line in gateway.events("service.started"))
        assert gateway.stop() == 0
    print(
        f"{KILLS} kills, {len(ledger.bodies)} bodies, {dict(ledger.answers)}, {recovered} leases taken over,"
        f" start to ready {gateway.started_s:.2f} s"
    )
    assert not gateway.events("unhandled")


def test_nothing_is_lost_or_doubled_over_orderly_stops(tmp_path):
    """SIGTERM under load ends with 0 each time, and the next start goes on where the last one stopped."""
    ledger = Ledger(random.Random(8))
    gateway = Gateway(configure(tmp_path, sinks=SINKS, routes=("each", "roll")))
    for _ in range(2):
        with gateway:
            asyncio.run(load(gateway, ledger, until_acknowledged=40, act=gateway.process.terminate))
            assert gateway.process.wait(PATIENCE_S) == 0
    with gateway:
        account_for(gateway, ledger)
    assert [line["exit_code"] for line in gateway.events("service.stopped")] == [0, 0, 0]
    assert not gateway.events("unhandled")


def test_a_delivery_in_flight_at_sigterm_is_answered(tmp_path):
    """A request whose head was taken before SIGTERM gets its 202; one that comes after it is told to come again."""
    body = push_body(3, serial=1)
    with Gateway(configure(tmp_path)) as gateway:
        host, port = gateway.url.removeprefix("http://").split(":")
        head = (
            f"POST /hooks/push/{TOKEN} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            f"expect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode()
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as early:
            early.sendall(head)
            assert early.recv(100).startswith(b"HTTP/1.1 100")
            early.sendall(body[:100])
            gateway.process.terminate()
            until("it drains", lambda: gateway.events("service.draining"))
            assert gateway.events("service.draining")[0]["inflight_requests"] == 1
            late = gateway.push(push_body(1, serial=2))
            assert (late.status, late.headers["retry-after"]) == (503, "5")
            assert gateway.readyz().json["checks"]["draining"] == "draining"
            early.sendall(body[100:])
            answer = http.client.HTTPResponse(early)
            answer.begin()
            told = json.loads(answer.read())
            assert (answer.status, told["status"]) == (202, "accepted")
            answer.close()
        assert gateway.process.wait(PATIENCE_S) == 0
        assert [one["delivery_id"] for one in gateway.rows("deliveries", "list")] == [told["delivery_id"]]
