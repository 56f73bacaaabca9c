"""Both stores side by side: whatever is done to one is done to the other, and they must say the same."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stibgate.domain.record import lookup_hash
from stibgate.errors import IllegalTransition, UsageError
from stibgate.stores import TaskFilter
from stibgate.stores.ledger import open_ledger
from stibgate.stores.memory import MemoryStore
from stibgate.stores.sqlite import SqliteStore
from tests.stores.world import NOW_MS, MemoryLedger, snapshot

PEOPLE = ("ann", "bob", "eve", None)
TTL_MS = 40
LEASE_MS = 30
MAX_AGE_MS = 200

USUAL = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    stateful_step_count=40,
)


class Stores(RuleBasedStateMachine):
    """One event loop a run; every rule does the same to both stores and compares what they answer."""

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="stibgate-"))
        self.path = self.folder / "stibgate.db"
        self.now_ms = NOW_MS
        self.count = 0
        self.leases: list[tuple[str, int]] = []

    @initialize()
    def begin(self):
        self.sqlite = self.runner.run(self._open())
        self.ledger = open_ledger(self.path)
        self.memory = MemoryStore(hash_key=self.sqlite.hash_key)
        self.plain = MemoryLedger(self.memory)

    async def _open(self):
        return SqliteStore(self.path, durability="normal")

    def both(self, call):
        """Return what both stores answer to *call*, which must be the same."""

        async def ask(store):
            try:
                return await call(store)
            except (IllegalTransition, UsageError) as error:
                return str(error)

        said = self.runner.run(ask(self.sqlite))
        assert self.runner.run(ask(self.memory)) == said
        return said

    def tasks(self, **where):
        """Return tasks in the order in which they were enqueued."""
        return [task for _, task in reversed(self.plain.tasks(TaskFilter(**where), limit=None))]

    def persons(self, task):
        """Return whom the records that *task* owes now are about."""
        owed = self.runner.run(self.memory.owed(task)).records
        return {record.person_id for record in owed if record.person_id}

    @rule(ms=st.sampled_from([1, 5, LEASE_MS, TTL_MS, MAX_AGE_MS]))
    def wait(self, ms):
        self.now_ms += ms

    @rule()
    def reopen(self):
        self.ledger.close()
        self.runner.run(self.sqlite.close())
        key = self.sqlite.hash_key
        self.sqlite = self.runner.run(self._open())
        assert self.sqlite.hash_key == key
        self.ledger = open_ledger(self.path)

    @invariant()
    def they_say_the_same(self):
        if not hasattr(self, "ledger"):
            return
        assert snapshot(self.ledger) == snapshot(self.plain)
        self.both(lambda store: store.unfinished())
        for name in PEOPLE[:3]:
            person = [lookup_hash(self.memory.hash_key, "person_id", name)]
            assert list(self.ledger.find_person(person)) == list(self.plain.find_person(person))
            where = TaskFilter(person=person)
            assert list(self.ledger.tasks(where, limit=None)) == list(self.plain.tasks(where, limit=None))

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.runner.run(self.sqlite.close())
        self.runner.close()
        shutil.rmtree(self.folder)
