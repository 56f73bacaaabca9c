"""kill -9 at any moment loses nothing that was acknowledged."""

import random
import subprocess
import sys
from decimal import Decimal

import pytest

from stibgate.domain.job import JobState
from stibgate.stores import JobFilter
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


RESERVE_FOR_EVER = """
import asyncio, itertools, sys
from decimal import Decimal
from pathlib import Path
from stibgate.domain.budget import Budget, Period, Unit
from stibgate.domain.job import NewRun
from stibgate.stores.sqlite import SqliteStore

UNIT = Unit.STIBNITE_CREDIT_UNIT
BUDGET = Budget("all", UNIT, Decimal("40.5"), Period.TOTAL)

async def main(path, round):
    store = SqliteStore(path)
    numbers = itertools.count()

    async def buyer():
        for number in numbers:
            run = NewRun(f"r{round}-{number}", {}, UNIT, Decimal("0.1"), Decimal("0.1"), 1_000, "me")
            said = await store.reserve(run, BUDGET, confirmed=False)
            if said.decision.verdict != "allow":
                print("full", flush=True)
                continue
            print(run.run_id, flush=True)
            await store.submitted(run.run_id, f"job {run.run_id}", now_ms=1_000, poll_at_ms=2_000)

    await asyncio.gather(*(buyer() for _ in range(8)))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def test_kill_nine_while_buying(tmp_path):
    """Money that was set aside before a kill -9 is set aside after it, to the last tenth, and never more than there is."""
    path = tmp_path / "stibgate.db"
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    promised: set[str] = set()
    for number in range(3):
        command = [sys.executable, "-c", RESERVE_FOR_EVER, str(path), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            lines = [process.stdout.readline() for _ in range(moments.randrange(1, 300))]
            process.kill()
            rest = process.stdout.read().split("\n")
        promised |= {line.removesuffix("\n") for line in lines} | set(rest[:-1])
        ledger = open_ledger(path)
        runs = ledger.jobs(JobFilter(), limit=None)
        assert promised - {"full"} <= {run.run_id for run in runs}
        assert ledger.spent("all", "total").reserved == len(runs) * Decimal("0.1") <= Decimal("40.5")
        assert list(ledger.check()) == []
        ledger.close()
    store = SqliteStore(path)
    doubtful = await store.recover_runs(now_ms=3_000)
    assert len(store.ledger.jobs(JobFilter(state=JobState.DOUBTFUL), limit=None)) == doubtful
    assert store.ledger.spent("all", "total").reserved == len(runs) * Decimal("0.1")
    await store.close()


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
