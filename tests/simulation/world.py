"""A seed is a world: what is sent, how the sinks misbehave, and where the process dies.

The process dies at its k-th step: each call of the store or of a sink is two steps, one before it has happened
and one after, when nobody has seen its answer yet. From then on the dead process can do nothing more; a new one
opens the same store, and the sender comes again with whatever was not acknowledged.
"""

import asyncio
import contextlib
import json
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from stibgate.domain.backoff import Policy
from stibgate.domain.circuit import CircuitPolicy
from stibgate.domain.delivery import AdmissionStatus, DeliveryState
from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED, RECORDS_PUSHED
from stibgate.domain.record import Record
from stibgate.domain.routing import Condition, Route, Router
from stibgate.domain.task import Outcome, OutcomeKind, TaskState
from stibgate.errors import SinkHeld, SinkRejected, SinkUnavailable
from stibgate.pipeline.dispatch import Outlet
from stibgate.pipeline.intake import Receipt
from stibgate.sandbox.samples import Sample
from stibgate.signatures import candidates
from stibgate.sinks import Batch, Finding
from stibgate.stores import DeliveryFilter, Ledger, TaskFilter
from stibgate.stores.ledger import open_ledger
from stibgate.stores.memory import MemoryStore
from stibgate.stores.sqlite import SqliteStore
from tests.pipeline.world import delivery, ids, make_dispatcher, make_intake, make_source, receive, signed
from tests.virtual import VirtualLoop, now_ms

POLICY = Policy(
    schedule_s=(0, 5, 60, 60, 60, 60, 60, 60),
    max_age_s=36_000,
    timeout_s=10,
    concurrency=2,
    lease_s=30,
    circuit=CircuitPolicy(failures=3, open_for_s=20),
)
PEOPLE = ("ann", "bob", "eve", "kim", "lee")
STATES = ("ID", "WA")
SINKS = ("drop", "crm")
ROUTER = Router(
    [
        Route("idaho", Condition(company_state=frozenset({"ID"})), ("crm",), go_on=True),
        Route("all", Condition(), ("drop",)),
    ]
)
"""Everything goes to the drop, and who works in Idaho to the CRM too."""

THIN = b'{"event": "person_search.job.succeeded", "job_id": "thin"}'
_STEPS = frozenset({"admit", "pin", "accepted", "process", "claim", "owed", "settle", "recover", "next_due_ms"})


class Crash(BaseException):
    """The process is gone. No handler of the code under test may catch it."""


@dataclass
class Process:
    """One life: it counts its steps and dies at the one it was told."""

    dies_at: int | None
    steps: int = 0
    died: asyncio.Event = field(default_factory=asyncio.Event)

    def step(self) -> None:
        if self.died.is_set():
            raise Crash
        self.steps += 1
        if self.steps == self.dies_at:
            self.died.set()
            raise Crash


class MortalStore:
    """A store as one process sees it."""

    def __init__(self, store: Any, process: Process) -> None:
        self._store = store
        self._process = process

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return self._mortal(method) if name in _STEPS else method

    def _mortal(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: object, **arguments: object) -> Any:
            self._process.step()
            result = await outside(method(*args, **arguments))
            self._process.step()
            return result

        return call


async def outside(call: Any) -> Any:
    """Await a call that threads work on; no virtual time passes meanwhile."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.outside(1)
    try:
        return await call
    finally:
        loop.outside(-1)


@dataclass
class FarSide:
    """What a sink writes to; it outlives every process and holds each record of a task once.

    Attributes:
        held: Whom it has, by task id and position, the idempotency key.
        taken: (delivery id, person) of everything that it ever took, in order, again and again.
        batches: Everything that was ever handed over.
    """

    held: dict[tuple[str, int], str] = field(default_factory=dict)
    taken: list[tuple[str, str]] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)

    def take(self, batch: Batch, records: Sequence[Record]) -> None:
        for record in records:
            self.held[batch.task_id, record.position] = str(record.person_id)
            self.taken.append((batch.provenance.delivery_id, str(record.person_id)))


ACTS = ("take", "take", "later", "bug", "hang", "hang after", "held", "part", "part held", "part unsaid")


class FlakySink:
    """Misbehaves as its dice say, a few times a delivery, and then does what it should."""

    def __init__(self, name: str, seed: int, far_side: FarSide, process: Process) -> None:
        self._name = name
        self._seed = seed
        self._far_side = far_side
        self._process = process
        self._inside: set[str] = set()
        self._answered: set[tuple[str, int]] = set()

    async def open(self) -> None:
        """Nothing to make ready."""

    async def check(self) -> Sequence[Finding]:
        return ()

    async def close(self) -> None:
        """Nothing to let go."""

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        mine = {batch.task_id, *(str(record.person_id) for record in batch.records)}
        assert self._inside.isdisjoint(mine), "one task or one person twice at once"
        known = {(batch.task_id, record.position) for record in batch.records}
        assert self._answered.isdisjoint(known), "an answer that this process had was asked for again"
        self._inside |= mine
        try:
            self._process.step()
            self._far_side.batches.append(batch)
            answer = await self._answer(batch)
            self._process.step()
            return answer
        finally:
            self._inside -= mine

    async def _answer(self, batch: Batch) -> Sequence[Outcome]:
        told = f"{self._seed} {self._name} {batch.provenance.search_id or batch.provenance.job_id}"
        dice = random.Random(f"{told} {batch.attempt}")
        act = dice.choice(ACTS) if batch.attempt < 4 else "take"
        wait_s = dice.choice([None, 20])
        if act == "later":
            raise SinkUnavailable("not now", retry_after_s=wait_s)
        if act == "held":
            raise SinkHeld("nothing at all now", retry_after_s=dice.choice([None, 0, 50]))
        if act == "bug":
            raise ZeroDivisionError
        if act == "hang":
            await asyncio.Event().wait()
        verdict = random.Random(told).random()
        if verdict < 0.1:
            raise SinkRejected("never")
        answers = [self._outcome(record, verdict) for record in batch.records]
        half = len(answers) // 2 if act.startswith("part") else len(answers)
        taken = answers if act == "part unsaid" else answers[:half]
        wanted = {outcome.position for outcome in taken if outcome.kind is OutcomeKind.WRITTEN}
        self._far_side.take(batch, [record for record in batch.records if record.position in wanted])
        if act == "hang after":  # it has the batch, and nobody will hear of it
            await asyncio.Event().wait()
        if act.startswith("part"):
            self._answered |= {(batch.task_id, outcome.position) for outcome in answers[:half]}
        if act == "part held":
            raise SinkHeld("half of it", retry_after_s=wait_s, outcomes=answers[:half])
        if act.startswith("part"):
            raise SinkUnavailable("half of it", outcomes=answers[:half])
        return answers

    def _outcome(self, record: Record, verdict: float) -> Outcome:
        refused = verdict < 0.3 and not record.position
        return Outcome(record.position, OutcomeKind.REFUSED if refused else OutcomeKind.WRITTEN)


def _about(one: Sample, dice: random.Random) -> bytes:
    """Return the body of *one* with its records about a few people who come again and again."""
    document = json.loads(one.body)
    for record in document.get("data", ()):
        record["person_id"] = dice.choice(PEOPLE)
        record["company"]["state"] = dice.choice(STATES)
    return json.dumps(document).encode()


@dataclass
class World:
    """What one seed means, and what is left of it."""

    seed: int
    path: Path | None = None
    size: int = 4

    def __post_init__(self) -> None:
        dice = random.Random(self.seed)
        self.messages = self._draw(dice)
        self.pauses_s = [dice.choice([0, 0, 1, 30]) for _ in self.messages]
        self.acknowledged: dict[int, Receipt] = {}
        self.far_sides = {name: FarSide() for name in SINKS}
        self.memory = MemoryStore()
        self.new_delivery_id, self.new_task_id = ids("dlv"), ids("tsk")
        self.lives = 0

    def _draw(self, dice: random.Random) -> list[bytes]:
        """Return what is sent, in order; the same body may come several times."""
        kinds = [RECORDS_PUSHED, RECORDS_PUSHED, JOB_SUCCEEDED, JOB_FAILED, b"not json", THIN, b'{"event": "a.b"}']
        bodies = []
        for serial in range(self.size):
            kind = RECORDS_PUSHED if serial == 0 else dice.choice(kinds)
            made = (
                kind
                if isinstance(kind, bytes)
                else _about(delivery(kind, records=dice.randrange(4), serial=serial), dice)
            )
            bodies.append(made)
        return bodies + [dice.choice(bodies) for _ in range(self.size // 2)]

    async def live(self, dies_at: int | None) -> Process:
        """Run one process until all is quiet, or until it dies; return it."""
        self.lives += 1
        process = Process(dies_at)
        store = self.memory if self.path is None else SqliteStore(self.path, durability="normal")
        try:
            worker = None
            with contextlib.suppress(Crash):
                worker = await self._start(store, process)
                await self._until_quiet_or_dead(store, process)
            await self._bury(worker)
        finally:
            if isinstance(store, SqliteStore):
                await outside(store.close())
        return process

    async def _start(self, store: Any, process: Process) -> Any:
        from stibgate.normalise import Rules
        from stibgate.pipeline.fanout import Fanout
        from stibgate.pipeline.worker import Worker

        mortal = MortalStore(store, process)
        outlets = {
            name: Outlet(FlakySink(name, self.seed, far_side, process), POLICY)
            for name, far_side in self.far_sides.items()
        }
        fanout = Fanout(mortal, ROUTER, Rules(), now_ms=now_ms, new_id=self.new_task_id)
        worker = Worker(mortal, fanout, make_dispatcher(mortal, outlets, now_ms=now_ms), now_ms=now_ms)
        self._intake = make_intake(
            mortal,
            make_source(schemes=candidates("auto"), pinning=True),
            router=ROUTER,
            now_ms=now_ms,
            new_id=self.new_delivery_id,
            on_admitted=worker.wake,
            pins=await outside(store.pins()),
        )
        await worker.start()
        return worker

    async def _until_quiet_or_dead(self, store: Any, process: Process) -> None:
        sending = asyncio.create_task(self._send())
        try:
            while not process.died.is_set():
                if sending.done() and not await outside(store.unfinished()):
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(5):
                        await process.died.wait()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self) -> None:
        """Send, each in its turn, whatever was not acknowledged yet; two neighbours may come at once."""
        coming = []
        for number, body in enumerate(self.messages):
            await asyncio.sleep(self.pauses_s[number])
            if number not in self.acknowledged:
                coming.append(asyncio.create_task(self._send_one(number, body)))
        await asyncio.gather(*coming)

    async def _send_one(self, number: int, body: bytes) -> None:
        self.acknowledged[number] = await receive(self._intake, body, signed(body, at_ms=now_ms()))

    async def _bury(self, worker: Any) -> None:
        """Make sure that nothing of a process goes on; a dead one gives nothing back."""
        if worker is None:
            return
        tasks = [
            *worker._loops,
            *worker._lanes._loops.values(),
            *(attempt for lane in worker._lanes for attempt in lane._running),
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def check(self) -> None:
        """Assert every guarantee that can be seen from outside."""
        ledger: Ledger = self.memory if self.path is None else open_ledger(self.path)
        try:
            assert list(ledger.check()) == []
            self._check_deliveries(ledger)
            for stored in ledger.deliveries(DeliveryFilter(), limit=None):
                self._check_tasks(ledger, stored)
            self._check_far_sides(ledger)
        finally:
            ledger.close()

    def _check_deliveries(self, ledger: Ledger) -> None:
        stored = ledger.deliveries(DeliveryFilter(), limit=None)
        assert len(stored) == len(set(self.messages)), "one delivery for each body"
        assert set(self.acknowledged) == set(range(len(self.messages))), "the sender got an answer to everything"
        first = defaultdict(list)
        for number, receipt in self.acknowledged.items():
            held = ledger.delivery(receipt.delivery_id)
            assert held is not None, "acknowledged and lost"
            assert ledger.body(receipt.delivery_id) == self.messages[number]
            assert held.state in {DeliveryState.DONE, DeliveryState.QUARANTINED, DeliveryState.IGNORED}
            first[receipt.delivery_id].append(receipt.status is not AdmissionStatus.DUPLICATE)
        assert all(sum(firsts) <= 1 for firsts in first.values()), "a delivery was new twice"

    def _check_tasks(self, ledger: Ledger, stored: Any) -> None:
        tasks = [task for _, task in ledger.tasks(TaskFilter(delivery_id=stored.delivery_id), limit=None)]
        records = ledger.records(stored.delivery_id)
        owed = {
            "drop": [record.position for record in records],
            "crm": [record.position for record in records if record.company_state == "ID"],
        }
        assert {task.sink: list(ledger.positions(task.task_id)) for task in tasks} == {
            s: p for s, p in owed.items() if p
        }
        for task in tasks:
            assert task.state in {TaskState.DELIVERED, TaskState.PARTIAL, TaskState.DEAD}
            positions = [outcome.position for outcome in ledger.outcomes(task.task_id)]
            assert positions == owed[task.sink], "one outcome for each record"
            answered = [answer.position for _, answer in ledger.history(task.task_id)]
            assert len(answered) == len(set(answered)), "an answer that was known was asked for again"
            attempts = ledger.attempts(task.task_id)
            assert [attempt.number for attempt in attempts] == list(range(1, task.attempts + 1))
            assert all(attempt.signal is not None for attempt in attempts)
            for before, after in pairwise(attempts):
                assert before.ended_at_ms <= after.started_at_ms, "two leases at once"

    def _check_far_sides(self, ledger: Ledger) -> None:
        for name, far_side in self.far_sides.items():
            seen = set()
            for batch in far_side.batches:
                held = ledger.delivery(batch.provenance.delivery_id)
                assert held is not None, "a sink saw what was never admitted"
                assert held.received_at_ms == batch.received_at_ms
                task = ledger.task(batch.task_id)
                assert (task.sink, task.delivery_id) == (name, held.delivery_id)
                assert 1 <= batch.attempt <= task.attempts
                assert (batch.task_id, batch.attempt) not in seen, "an attempt was made twice"
                seen.add((batch.task_id, batch.attempt))
            expected = {
                (task.task_id, answer.position): str(ledger.records(task.delivery_id)[answer.position].person_id)
                for _, task in ledger.tasks(TaskFilter(sink=name), limit=None)
                for answer in ledger.outcomes(task.task_id)
                if answer.kind is OutcomeKind.WRITTEN
            }
            assert far_side.held == expected, "every record once, and no other"
            self._check_order(ledger, far_side)

    def _check_order(self, ledger: Ledger, far_side: FarSide) -> None:
        for person in PEOPLE:
            seen = [ledger.delivery(delivery_id).sequence for delivery_id, about in far_side.taken if about == person]
            assert seen == sorted(seen), "somebody was overtaken"
