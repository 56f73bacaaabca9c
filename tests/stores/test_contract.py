"""Every store keeps the laws of a store."""

import asyncio

import pytest

from stibgate.domain.task import Signal
from stibgate.stores.ledger import open_ledger
from stibgate.stores.memory import MemoryStore
from stibgate.stores.scheduling import LOOKS_MAX
from stibgate.stores.sqlite import SqliteStore
from tests.stores.contract import StoreContract
from tests.stores.world import MemoryLedger, make_delivery, make_people, make_processed


class TestMemory(StoreContract):
    @pytest.fixture(autouse=True)
    def _only(self):
        self.only = MemoryStore()

    async def open(self):
        return self.only

    def read(self, store):
        return MemoryLedger(store)


class TestSqlite(StoreContract):
    @pytest.fixture(autouse=True)
    def _path(self, tmp_path):
        self.path = tmp_path / "data" / "stibgate.db"

    async def open(self):
        return SqliteStore(self.path)

    async def close(self, store):
        await store.close()

    def read(self, store):
        return open_ledger(self.path)

    async def test_a_crowd_behind_one_person(self, store):
        """Who stands behind a crowd about one person is reached, in steps that do not grow with the crowd."""
        count = LOOKS_MAX + 50
        await asyncio.gather(*(store.admit(make_delivery(number, records=1)) for number in range(count + 1)))
        people = [make_people("ann")] * count + [make_people("bob")]
        await asyncio.gather(*(store.process(make_processed(n, records=who)) for n, who in enumerate(people)))
        claims = [await self.ask(store) for _ in range(2)]
        assert [[task.delivery_id for task in claim.tasks] for claim in claims if claim.tasks] in (
            [["d0"], [f"d{count}"]], [["d0", f"d{count}"]],
        )  # fmt: skip
        assert claims[0].more == (len(claims[0].tasks) == 1)
        assert not claims[1].more
        (first, _) = [task for claim in claims for task in claim.tasks]
        await self.settle(store, first, Signal.TAKEN)
        claim = await self.ask(store)
        assert ([task.delivery_id for task in claim.tasks], claim.more) == (["d1"], False)
