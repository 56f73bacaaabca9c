"""kill -9 at any moment loses nothing that was acknowledged."""

import random
import subprocess
import sys

import pytest

from stibgate.stores.ledger import open_ledger
from stibgate.stores.sqlite import SqliteStore
from tests.stores.world import EVERYTHING, make_delivery

ROUNDS = 6
ADMIT_FOR_EVER = """
import asyncio, hashlib, itertools, sys
from pathlib import Path
from stibgate.domain.delivery import Delivery, DeliveryState, IdempotencyKey
from stibgate.stores.sqlite import SqliteStore

async def main(path, round):
    store = SqliteStore(path)
    numbers = itertools.count()

    async def sender():
        for number in numbers:
            name = f"r{round}-{number}"
            body = name.encode() * 200
            await store.admit(Delivery(
                name, "stibnite", 1_000, body, hashlib.sha256(body).digest(), DeliveryState.ACCEPTED, "e",
                IdempotencyKey(name.encode(), 2_000),
            ))
            print(name, flush=True)

    await asyncio.gather(*(sender() for _ in range(8)))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def test_kill_nine(tmp_path):
    """Every delivery that was acknowledged before a kill -9 is in the file, whole, and the file is sound."""
    path = tmp_path / "stibgate.db"
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    acknowledged: list[str] = []
    for number in range(ROUNDS):
        command = [sys.executable, "-c", ADMIT_FOR_EVER, str(path), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            lines = [process.stdout.readline() for _ in range(moments.randrange(1, 400))]
            process.kill()
            rest = process.stdout.read().split("\n")
        said = [line.removesuffix("\n") for line in lines] + rest[
            :-1
        ]  # what follows the last line break is half a line
        assert len(said) >= len(lines)
        acknowledged += said
        ledger = open_ledger(path)
        stored = {delivery.delivery_id for delivery in ledger.deliveries(EVERYTHING, limit=None)}
        assert set(acknowledged) <= stored
        assert all(ledger.body(name) == name.encode() * 200 for name in said)
        assert list(ledger.check()) == []
        ledger.close()
    assert len(set(acknowledged)) == len(acknowledged)
    store = SqliteStore(path)
    assert await store.unfinished() == len(stored)
    await store.close()


@pytest.mark.parametrize("durability", ["full", "normal"])
async def test_acknowledged_means_visible(tmp_path, durability):
    """At the moment of the answer another connection sees the delivery."""
    path = tmp_path / "stibgate.db"
    store = SqliteStore(path, durability=durability)
    ledger = open_ledger(path)
    for number in range(20):
        await store.admit(make_delivery(number))
        assert ledger.delivery(f"d{number}") is not None
    ledger.close()
    await store.close()
