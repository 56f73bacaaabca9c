"""Whatever is done to both, the SQLite store and the store in memory say the same, also after a restart.

Beside that every rule is watched from outside: what the scheduler may never do is looked for after each step,
in what the stores answered and not in how they work.
"""

import hashlib

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from stibgate.domain.backoff import Policy
from stibgate.domain.circuit import CircuitPolicy
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import FINAL, TRANSITIONS, Outcome, OutcomeKind, Settlement, Signal, TaskState
from stibgate.stores import DeliveryFilter, NewTask, Replay
from stibgate.stores.filing import file_some
from tests.stores.base import add_tasks, replay_delivery, replay_task
from tests.stores.machine import LEASE_MS, MAX_AGE_MS, PEOPLE, TTL_MS, USUAL, Stores
from tests.stores.world import (
    PATIENT,
    make_delivery,
    make_people,
    make_processed,
)

SINKS = ("crm", "drop")
POLICY = Policy(
    schedule_s=(0, 0, 0, 0),
    max_age_s=MAX_AGE_MS / 1000,
    timeout_s=0.02,
    concurrency=3,
    lease_s=LEASE_MS / 1000,
    circuit=CircuitPolicy(failures=3, open_for_s=0.02, open_for_max_s=0.1),
)
LEGAL = sorted(TRANSITIONS[TaskState.LEASED])
ILLEGAL = sorted(set(Signal) - set(LEGAL))
OPEN = frozenset(TaskState) - FINAL


class StoresAgree(Stores):
    """Admission, with the same keys again and again."""

    @rule(key=st.integers(0, 2), body=st.integers(0, 2), records=st.integers(0, 2), only_if_new=st.booleans())
    def admit(self, key, body, records, only_if_new):
        self.count += 1
        delivery = make_delivery(
            self.count,
            key=b"key %d" % key,
            body=b"body %d" % body,
            received_at_ms=self.now_ms,
            ttl_ms=TTL_MS,
            records=records,
            search_id=f"s{body}" if records else None,
        )
        self.both(lambda store: store.admit(delivery, only_if_new=only_if_new))

    @rule()
    def file(self):
        async def file():
            await self.sqlite._writer.submit(file_some)

        self.runner.run(file())

    @rule(number=st.integers(0, 2))
    def look_up(self, number):
        digest = hashlib.sha256(b"body %d" % number).digest()
        for where in (DeliveryFilter(search_id=f"s{number}"), DeliveryFilter(body_sha256=(digest, digest))):
            assert list(self.ledger.deliveries(where, limit=None)) == list(self.plain.deliveries(where, limit=None))

    @rule(source=st.sampled_from("ab"), scheme=st.sampled_from(["t_v1", "sha256_hex"]))
    def pin(self, source, scheme):
        self.both(lambda store: store.pin(source, {"name": scheme}))

    @rule(sinks=st.lists(st.sampled_from(SINKS), unique=True), state=st.sampled_from(["ignored", "quarantined", ""]))
    def process(self, sinks, state):
        waiting = self.both(lambda store: store.accepted(limit=3))
        numbers = [(int(one.delivery.delivery_id[1:]), one.delivery.records) for one in waiting] or [(999, 1)]
        fields = {"state": DeliveryState(state), "tasks": ()} if state else {}
        for number, records in [*numbers, numbers[0]]:
            processed = make_processed(number, sinks, records=records, at_ms=self.now_ms, **fields)
            self.both(lambda store, processed=processed: store.process(processed))

    @rule(number=st.integers(1, 20))
    def replay(self, number):
        self.both(lambda store: replay_delivery(store, f"d{number}", Replay(self.now_ms, "me")))


class Scheduler(Stores):
    """Forwarding: two sinks, three people, and everybody does something at the wrong time."""

    def __init__(self):
        super().__init__()
        # Who answers for the last record and gives the task back all the same leaves it owing nothing until a replay.
        # Only then is such a task leased: the dispatcher ends it without a word to its sink.
        self.answered: set[str] = set()

    @rule(
        people=st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3),
        sinks=st.sampled_from([("crm",), ("crm", "drop")]),
        routed=st.integers(1, 7),
        delay_ms=st.sampled_from([0, 0, 7]),
    )
    def enqueue(self, people, sinks, routed, delay_ms):
        self.count += 1
        count = len(people)
        positions = tuple(p for p in range(count) if routed >> p & 1) or (0,)
        delivery = make_delivery(self.count, records=count, received_at_ms=self.now_ms)
        tasks = [NewTask(f"d{self.count}/{sink}", sink, positions, delay_ms) for sink in sinks]
        new = make_processed(self.count, sinks, records=make_people(*people), at_ms=self.now_ms, tasks=tasks)
        self.both(lambda store: store.admit(delivery))
        self.both(lambda store: store.process(new))

    @rule(sink=st.sampled_from(SINKS), limit=st.integers(0, 3))
    def claim(self, sink, limit):
        before = {task.task_id: task for task in self.tasks(sink=sink)}
        paused = sink in self.plain.sinks() and self.plain.sinks()[sink].paused
        claim = self.both(lambda store: store.claim(sink, POLICY, now_ms=self.now_ms, limit=limit))
        assert len(claim.tasks) <= limit
        assert not (paused and (claim.tasks or claim.given_up))
        for task in claim.tasks:
            was = before[task.task_id]
            expired = was.state is TaskState.LEASED and was.lease_until_ms <= self.now_ms
            assert was.state in {TaskState.QUEUED, TaskState.WAITING} or expired, "two leases at once"
            assert expired or was.next_attempt_at_ms <= self.now_ms, "before its time"
            assert task.attempts == was.attempts + 1
            assert task.tries <= len(POLICY.schedule_s), "more tries than the schedule has"
            assert self.now_ms - task.owed_at_ms <= MAX_AGE_MS, "after max_age"
            assert self.nobody_is_overtaken(task), "overtaken"
            owed = self.both(lambda store, task=task: self.owed(store, task))
            assert bool(owed[0]) != (task.task_id in self.answered), "asked for nothing, or left with something"
        self.leases += [(task.task_id, task.attempts) for task in claim.tasks]
        if len(claim.tasks) < limit:
            self.nothing_was_left(sink)

    async def owed(self, store, task):
        owed = await store.owed(task)
        return list(owed.records), owed.refused, owed.delivery

    def nobody_is_overtaken(self, task):
        """Return whether no earlier open task of the sink owes anything about a person of *task*."""
        mine = self.persons(task)
        for other in self.tasks(sink=task.sink):
            if other.task_id == task.task_id:
                return True
            if not other.state.final and self.persons(other) & mine:
                return False
        return True

    def nothing_was_left(self, sink):
        """A claim that leased less than it could leaves nothing due; nobody wakes up too late for what is next."""
        state = self.plain.sinks().get(sink)
        if state is not None and (state.paused or not state.circuit.closed):
            return
        due_ms, exact_ms = (self.runner.run(store.next_due_ms(sink)) for store in (self.sqlite, self.memory))
        assert (due_ms is None) == (exact_ms is None)
        assert due_ms is None or self.now_ms < due_ms <= exact_ms  # SQLite finds out who waits as it looks

    @precondition(lambda self: self.leases)
    @rule(
        choice=st.integers(0, 99),
        off_by=st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1]),
        signal=st.sampled_from([*LEGAL, *LEGAL, *LEGAL, *ILLEGAL]),
        kinds=st.lists(st.sampled_from(OutcomeKind), min_size=3, max_size=3),
        answered=st.integers(0, 7),
        due_in_ms=st.none() | st.integers(0, 20),
        error=st.none() | st.text(st.characters(codec="utf-8"), max_size=5),
    )
    def settle(self, choice, off_by, signal, kinds, answered, due_in_ms, error):
        task_id, attempt = self.leases[-1 - choice % min(len(self.leases), 4)]
        task = self.plain.task(task_id)
        owed = self.runner.run(self.memory.owed(task))
        positions = [record.position for record in owed.records]
        if signal not in {Signal.TAKEN, Signal.SPLIT}:
            positions = [p for n, p in enumerate(positions) if answered >> n & 1]
        outcomes = [Outcome(p, kind, message=error) for p, kind in zip(positions, kinds, strict=False)]
        if signal in {Signal.TAKEN, Signal.SPLIT}:  # as the dispatcher says it
            refused = owed.refused + sum(outcome.kind is OutcomeKind.REFUSED for outcome in outcomes)
            signal = Signal.SPLIT if refused else Signal.TAKEN
        due_ms = None if due_in_ms is None else self.now_ms + due_in_ms
        settlement = Settlement(task_id, attempt + off_by, signal, self.now_ms, due_ms, error, outcomes)
        settled = self.both(lambda store: store.settle(settlement, POLICY.circuit))
        if settled is not None and not isinstance(settled, str):
            assert (task.state, task.attempts) == (TaskState.LEASED, settlement.attempt)
            assert settled.state is self.plain.task(task_id).state
            if len(outcomes) == len(owed.records):
                self.answered.add(task_id)

    @rule()
    def recover(self):
        self.both(lambda store: store.recover(now_ms=self.now_ms))
        assert self.tasks(state=TaskState.LEASED) == []

    @rule(sink=st.sampled_from(SINKS))
    def pause(self, sink):
        self.both(lambda store: store.pause(sink, now_ms=self.now_ms, by="me"))

    @rule(sink=st.sampled_from(SINKS))
    def resume(self, sink):
        self.both(lambda store: store.resume(sink, now_ms=self.now_ms))
        assert self.tasks(sink=sink, state=TaskState.PAUSED) == []

    @precondition(lambda self: self.count)
    @rule(choice=st.integers(0, 99), forced=st.booleans(), widen=st.booleans())
    def replay(self, choice, forced, widen):
        all_tasks = self.tasks()
        over = [task for task in all_tasks if task.state.final] or all_tasks
        task = over[choice % len(over)]
        records = self.plain.delivery(task.delivery_id).records
        more = range(records) if widen else ()
        wish = Replay(self.now_ms, "me", forced)
        result = self.both(lambda store: replay_task(store, task.task_id, wish, more))
        after = self.plain.task(task.task_id)
        if result == "replayed":
            self.answered.discard(task.task_id)
            assert (after.tries, after.owed_at_ms, after.attempts) == (0, self.now_ms, task.attempts)
            assert not after.state.final
        else:
            assert after == task

    @precondition(lambda self: self.count)
    @rule(choice=st.integers(0, 99))
    def cancel(self, choice):
        task = self.tasks()[choice % len(self.tasks())]
        self.both(lambda store: store.cancel([task.task_id], now_ms=self.now_ms, by="me"))

    @precondition(lambda self: self.count)
    @rule(choice=st.integers(0, 99), sink=st.sampled_from(SINKS))
    def add_task(self, choice, sink):
        number = 1 + choice % self.count
        new = [NewTask(f"d{number}/{sink}/added", sink, (0,))]
        self.both(lambda store: add_tasks(store, f"d{number}", new, Replay(self.now_ms, "me")))

    @invariant()
    def nobody_is_written_to_twice_at_once(self):
        if not hasattr(self, "ledger"):
            return
        for sink in SINKS:
            running = [self.persons(task) for task in self.tasks(sink=sink, state=TaskState.LEASED)]
            assert sum(map(len, running)) == len(set().union(*running))

    @invariant()
    def nothing_is_lost(self):
        """What a task owes is its current answers and what still waits for one; nothing open is without a time."""
        if not hasattr(self, "ledger"):
            return
        assert list(self.ledger.check()) == []
        tasks = self.tasks()
        for task in tasks:
            answered = {outcome.position for outcome in self.ledger.outcomes(task.task_id)}
            left = {record.position for record in self.runner.run(self.sqlite.owed(task)).records}
            assert answered.isdisjoint(left)
            assert answered | left == set(self.ledger.positions(task.task_id))
            assert len(answered) + len(left) == task.records
            if task.state in {TaskState.DELIVERED, TaskState.PARTIAL}:
                assert not left
            if task.state not in FINAL | {TaskState.LEASED}:
                assert task.next_attempt_at_ms is not None
        for sink in SINKS:
            moving = any(task.sink == sink and task.state in OPEN - {TaskState.PAUSED} for task in tasks)
            assert (self.runner.run(self.sqlite.next_due_ms(sink)) is not None) == moving

    @invariant()
    def who_waits_waits_for_somebody(self):
        if not hasattr(self, "ledger"):
            return
        for task in self.tasks():
            blocker = self.ledger.blocker(task.task_id)
            assert blocker is None or not self.plain.task(blocker).state.final

    def teardown(self):
        try:
            if hasattr(self, "ledger"):
                self.it_ends()
        finally:
            super().teardown()

    def it_ends(self):
        """Whatever happened: with sinks that answer, everything comes to an end, in the order of its persons."""
        for sink in SINKS:
            self.resume(sink)
            for _ in range(100):
                claim = self.both(lambda store, sink=sink: store.claim(sink, PATIENT, now_ms=self.now_ms, limit=2))
                for task in claim.tasks:
                    assert self.nobody_is_overtaken(task)
                for task in claim.tasks:
                    owed = self.runner.run(self.memory.owed(task))
                    outcomes = [Outcome(record.position, OutcomeKind.CREATED) for record in owed.records]
                    signal = Signal.SPLIT if owed.refused else Signal.TAKEN
                    end = Settlement(task.task_id, task.attempts, signal, self.now_ms, outcomes=outcomes)
                    self.both(lambda store, end=end: store.settle(end))
                due_ms = self.runner.run(self.sqlite.next_due_ms(sink))  # may be early: it looks only as it leases
                if due_ms is None:
                    break
                self.now_ms = max(self.now_ms, due_ms)
        assert self.both(lambda store: store.unfinished()) == 0
        self.they_say_the_same()


class TestStoresAgree(StoresAgree.TestCase):
    """Over any sequence of arrivals both ledgers are equal after each of them."""

    settings = settings(USUAL, max_examples=16)


class TestScheduler(Scheduler.TestCase):
    """Over any sequence of moves the scheduler keeps its laws, and both stores agree."""

    settings = settings(USUAL, max_examples=16)


def test_what_owes_nothing_is_leased():
    """The walk that is rare by chance: all is answered, nothing is wrong, and the task comes back all the same."""
    walk = Scheduler()
    try:
        walk.begin()
        walk.enqueue(people=["ann"], sinks=("crm",), routed=1, delay_ms=0)
        said = {"off_by": 0, "kinds": [OutcomeKind.CREATED] * 3, "answered": 7, "due_in_ms": 0, "error": None}
        for signal in (Signal.UNAVAILABLE, Signal.RELEASED, Signal.HELD):
            walk.claim("crm", 1)
            walk.settle(choice=0, signal=signal, **said)
            assert walk.answered == {"d1/crm"}
            walk.wait(1)
            walk.both(lambda store: store.resume("crm", now_ms=walk.now_ms))
            walk.replay(choice=0, forced=False, widen=False)
        walk.cancel(choice=0)
        walk.replay(choice=0, forced=True, widen=False)
        assert not walk.answered
        walk.claim("crm", 1)
        assert walk.leases == [("d1/crm", attempt) for attempt in range(1, 5)]
    finally:
        walk.teardown()
