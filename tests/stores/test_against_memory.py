"""Whatever is done to both, the SQLite store and the store in memory say the same, also after a restart."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stibgate.domain.record import lookup_hash
from stibgate.domain.task import Outcome, OutcomeKind, Settlement, Signal, TaskState
from stibgate.errors import IllegalTransition
from stibgate.stores.ledger import open_ledger
from stibgate.stores.memory import MemoryStore
from stibgate.stores.sqlite import SqliteStore
from tests.stores.world import NOW_MS, MemoryLedger, make_delivery, make_processed, snapshot

SINKS = ("crm", "drop")
TTL_MS = 40
LEASE_MS = 30


class StoresAgree(RuleBasedStateMachine):
    """One event loop a run; every rule does the same to both stores and compares what they answer."""

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="stibgate-"))
        self.path = self.folder / "stibgate.db"
        self.now_ms = NOW_MS
        self.admitted = 0
        self.records: dict[int, int] = {}
        self.leases: list[tuple[str, int]] = []

    @initialize()
    def begin(self):
        self.sqlite = self.runner.run(self._open())
        self.ledger = open_ledger(self.path)
        self.memory = MemoryStore(hash_key=self.sqlite.hash_key)

    async def _open(self):
        return SqliteStore(self.path, durability="normal")

    def both(self, call):
        """Return what both stores answer to *call*, which must be the same."""

        async def ask(store):
            try:
                return await call(store)
            except IllegalTransition as error:
                return str(error)

        said = self.runner.run(ask(self.sqlite))
        assert self.runner.run(ask(self.memory)) == said
        return said

    @rule(ms=st.sampled_from([1, 5, LEASE_MS, TTL_MS]))
    def wait(self, ms):
        self.now_ms += ms

    @rule(key=st.integers(0, 2), body=st.integers(0, 2), records=st.integers(0, 2), only_if_new=st.booleans())
    def admit(self, key, body, records, only_if_new):
        self.admitted += 1
        delivery = make_delivery(
            self.admitted,
            key=b"key %d" % key,
            body=b"body %d" % body,
            received_at_ms=self.now_ms,
            ttl_ms=TTL_MS,
            records=records,
        )
        admission = self.both(lambda store: store.admit(delivery, only_if_new=only_if_new))
        if not admission.duplicate:
            self.records[self.admitted] = records

    @rule(source=st.sampled_from("ab"), scheme=st.sampled_from(["t_v1", "sha256_hex"]))
    def pin(self, source, scheme):
        self.both(lambda store: store.pin(source, {"name": scheme}))

    @rule(choice=st.integers(0, 9), sinks=st.lists(st.sampled_from(SINKS), max_size=3))
    def process(self, choice, sinks):
        waiting = self.both(lambda store: store.accepted(limit=3))
        known = [int(delivery.delivery_id[1:]) for delivery, _ in waiting] or list(self.records) or [999]
        number = known[choice % len(known)]
        tasks = [(f"d{number}/{sink}/{n}", sink) for n, sink in enumerate(sinks)]
        processed = make_processed(number, sinks, records=self.records.get(number, 1), at_ms=self.now_ms, tasks=tasks)
        self.both(lambda store: store.process(processed))

    @rule(free=st.dictionaries(st.sampled_from(SINKS), st.integers(-1, 2)))
    def claim(self, free):
        tasks = self.both(lambda store: store.claim(now_ms=self.now_ms, lease_ms=LEASE_MS, free=free))
        self.leases += [(task.task_id, task.attempts) for task in tasks]
        for task in tasks:
            self.both(lambda store, task=task: store.batch(task))

    @precondition(lambda self: self.leases)
    @rule(
        choice=st.integers(0, 99),
        newest=st.booleans(),
        off_by=st.sampled_from([0, 0, 0, 0, 1, -1]),
        signal=st.sampled_from(Signal),
        kinds=st.lists(st.sampled_from(OutcomeKind), min_size=2, max_size=2),
        due_in_ms=st.none() | st.integers(0, 20),
        error=st.none() | st.text(st.characters(codec="utf-8"), max_size=5),
    )
    def settle(self, choice, newest, off_by, signal, kinds, due_in_ms, error):
        task_id, attempt = self.leases[-1] if newest else self.leases[choice % len(self.leases)]
        records = self.records[int(task_id[1:].split("/")[0])]
        outcomes = [Outcome(n, kind, message=error) for n, kind in enumerate(kinds[:records])]
        due_ms = None if due_in_ms is None else self.now_ms + due_in_ms
        settlement = Settlement(task_id, attempt + off_by, signal, self.now_ms, due_ms, error, outcomes)
        self.both(lambda store: store.settle(settlement))

    @rule()
    def recover(self):
        self.both(lambda store: store.recover(now_ms=self.now_ms))

    @rule()
    def reopen(self):
        self.ledger.close()
        self.runner.run(self.sqlite.close())
        self.begin_again()

    def begin_again(self):
        key = self.sqlite.hash_key
        self.sqlite = self.runner.run(self._open())
        assert self.sqlite.hash_key == key
        self.ledger = open_ledger(self.path)

    @invariant()
    def they_say_the_same(self):
        if not hasattr(self, "ledger"):
            return
        memory = MemoryLedger(self.memory)
        assert snapshot(self.ledger) == snapshot(memory)
        self.both(lambda store: store.next_due_ms())
        self.both(lambda store: store.unfinished())
        person = [lookup_hash(self.memory.hash_key, "person_id", "person_1")]
        assert list(self.ledger.find_person(person)) == list(memory.find_person(person))

    @invariant()
    def nothing_is_lost(self):
        if not hasattr(self, "ledger"):
            return
        stuck = "a delivery that is processing although every task is final"
        assert [line for line in self.ledger.check() if not line.startswith(stuck)] == []
        open_states = {TaskState.QUEUED, TaskState.WAITING, TaskState.LEASED}
        is_open = any(state in open_states for state in self.ledger.status().tasks)
        assert (self.runner.run(self.sqlite.next_due_ms()) is not None) == is_open

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.runner.run(self.sqlite.close())
        self.runner.close()
        shutil.rmtree(self.folder)


class TestStoresAgree(StoresAgree.TestCase):
    """Over any sequence of moves both ledgers are equal after each of them."""

    settings = settings(
        max_examples=40,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
