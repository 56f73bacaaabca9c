"""Every store keeps the laws of a store."""

import pytest

from stibgate.stores.ledger import open_ledger
from stibgate.stores.memory import MemoryStore
from stibgate.stores.sqlite import SqliteStore
from tests.stores.contract import StoreContract
from tests.stores.world import MemoryLedger


class TestMemory(StoreContract):
    async def open(self):
        return MemoryStore()

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
