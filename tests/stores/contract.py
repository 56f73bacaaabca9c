"""What every store must do, wherever it remembers: subclass `StoreContract` and say how to open and read one."""

import asyncio
from dataclasses import replace

import pytest

from stibgate.domain.delivery import DeliveryState, Sighting, join_key
from stibgate.domain.record import lookup_hash
from stibgate.domain.task import TRANSITIONS, Outcome, OutcomeKind, Settlement, Signal, TaskState
from stibgate.errors import IllegalTransition
from stibgate.stores import DeliveryFilter, Ledger, TaskFilter
from tests.stores.world import (
    EVERY_TASK,
    EVERYTHING,
    HOUR_MS,
    LEASE_MS,
    NOW_MS,
    make_delivery,
    make_outcomes,
    make_processed,
    make_records,
    make_settlement,
    snapshot,
)

LEGAL = sorted(TRANSITIONS[TaskState.LEASED])
ILLEGAL = sorted(set(Signal) - set(LEGAL))
LARGE = 1_200


class StoreContract:
    """The laws of `stibgate.stores`; after each test the store's own check finds nothing."""

    ledger: Ledger

    async def open(self):
        """Return an empty store."""
        raise NotImplementedError

    async def close(self, store):
        """Let *store* go."""

    def read(self, store) -> Ledger:
        """Return what people read of *store*."""
        raise NotImplementedError

    @pytest.fixture
    async def store(self):
        store = await self.open()
        self.ledger = self.read(store)
        yield store
        found = list(self.ledger.check())
        self.ledger.close()
        await self.close(store)
        assert found == []

    async def leased(self, store, number=1, *, sinks=("crm",), records=2, now_ms=NOW_MS):
        """Return the one task of a new delivery, leased."""
        await store.admit(make_delivery(number, records=records))
        await store.process(make_processed(number, sinks, records=records))
        (task,) = await store.claim(now_ms=now_ms, lease_ms=LEASE_MS, free={sinks[0]: 1})
        return task

    # -- Inbox

    async def test_new(self, store):
        """A key never seen makes a delivery, with every field and the body byte for byte."""
        delivery = make_delivery(
            1,
            body=bytes(range(256)) * 300,
            records=7,
            job_id="job_1",
            search_id="search_1",
            partner_customer_id="cust\x00omer",
            partner_user_id="üser",
            authenticated_by="t_v1/1",
            stale=True,
            evidence={"webhook-id": "wh_1", "x": "é"},
            reason="why not",
        )
        admission = await store.admit(delivery)
        assert (admission.delivery_id, admission.duplicate, admission.repeat_of, admission.records) == (
            "d1", False, None, 7,
        )  # fmt: skip
        stored = self.ledger.delivery("d1")
        same = (
            "delivery_id", "source", "state", "reason", "event_type", "received_at_ms", "body_sha256", "records",
            "job_id", "search_id", "partner_customer_id", "partner_user_id", "authenticated_by", "stale", "via",
        )  # fmt: skip
        assert {name: getattr(stored, name) for name in same} == {name: getattr(delivery, name) for name in same}
        assert dict(stored.evidence) == dict(delivery.evidence)
        assert (stored.sequence, stored.body_bytes, stored.processed_at_ms) == (1, 256 * 300, None)
        assert (stored.duplicates, stored.conflicts, stored.issues, stored.repeat_of) == (0, 0, 0, None)
        assert self.ledger.body("d1") == delivery.body

    @pytest.mark.parametrize(
        "state", [DeliveryState.ACCEPTED, DeliveryState.QUARANTINED, DeliveryState.IGNORED], ids=str
    )
    async def test_states_on_arrival(self, store, state):
        """A delivery keeps the state it came in; only an accepted one waits for processing."""
        await store.admit(make_delivery(1, state=state))
        assert self.ledger.delivery("d1").state is state
        assert len(await store.accepted(limit=9)) == (state is DeliveryState.ACCEPTED)
        assert await store.unfinished() == (state is DeliveryState.ACCEPTED)

    async def test_duplicate(self, store):
        """The same key and bytes again are a sighting of the first delivery, never a second one."""
        await store.admit(make_delivery(1, key=b"k", body=b"one", records=3))
        again = make_delivery(2, key=b"k", body=b"one", received_at_ms=NOW_MS + 5)
        admission = await store.admit(again)
        assert (admission.delivery_id, admission.duplicate, admission.conflict) == ("d1", True, False)
        assert (admission.first_seen_at_ms, admission.records, admission.repeat_of) == (NOW_MS, 3, None)
        assert self.ledger.delivery("d2") is None
        assert list(self.ledger.sightings("d1")) == [Sighting("d1", NOW_MS + 5, again.body_sha256, conflict=False)]
        assert list(self.ledger.conflict_bodies("d1")) == []
        assert (self.ledger.delivery("d1").duplicates, self.ledger.delivery("d1").conflicts) == (1, 0)

    async def test_conflict(self, store):
        """Another body under the same key is flagged, and each such body is kept once beside the first."""
        await store.admit(make_delivery(1, key=b"k", body=b"one"))
        bodies = [b"two", b"three", b"two", b"one"]
        admissions = [await store.admit(make_delivery(n, key=b"k", body=body)) for n, body in enumerate(bodies, 2)]
        assert [(a.delivery_id, a.duplicate, a.conflict) for a in admissions] == [
            ("d1", True, True), ("d1", True, True), ("d1", True, True), ("d1", True, False),
        ]  # fmt: skip
        assert self.ledger.body("d1") == b"one"
        assert list(self.ledger.conflict_bodies("d1")) == [b"two", b"three"]
        assert [s.conflict for s in self.ledger.sightings("d1")] == [True, True, True, False]
        assert (self.ledger.delivery("d1").duplicates, self.ledger.delivery("d1").conflicts) == (4, 3)

    async def test_expired(self, store):
        """At the instant a key expires the same bytes are a new delivery that names the one before."""
        await store.admit(make_delivery(1, key=b"k", ttl_ms=1000, body=b"one"))
        last = await store.admit(make_delivery(2, key=b"k", ttl_ms=1000, body=b"one", received_at_ms=NOW_MS + 999))
        assert last.duplicate
        repeat = await store.admit(make_delivery(3, key=b"k", ttl_ms=1000, body=b"one", received_at_ms=NOW_MS + 1000))
        assert (repeat.delivery_id, repeat.duplicate, repeat.repeat_of) == ("d3", False, "d1")
        assert self.ledger.delivery("d3").repeat_of == "d1"
        again = await store.admit(make_delivery(4, key=b"k", ttl_ms=1000, body=b"one", received_at_ms=NOW_MS + 1999))
        assert (again.delivery_id, again.duplicate) == ("d3", True)
        assert (self.ledger.delivery("d1").duplicates, self.ledger.delivery("d3").duplicates) == (1, 1)

    async def test_only_if_new_stores_what_is_new(self, store):
        """With `only_if_new` a key never seen is admitted as ever."""
        admission = await store.admit(make_delivery(1), only_if_new=True)
        assert not admission.duplicate
        assert self.ledger.body("d1") is not None

    @pytest.mark.parametrize("later_ms", [0, 10 * HOUR_MS], ids=["valid", "expired"])
    @pytest.mark.parametrize("body", [b"one", b"two"], ids=["same", "other"])
    async def test_only_if_new_writes_nothing(self, store, later_ms, body):
        """With `only_if_new` a key that was ever seen, expired or not, is a duplicate that leaves no trace."""
        await store.admit(make_delivery(1, key=b"k", ttl_ms=1000, body=b"one"))
        before = snapshot(self.ledger)
        admission = await store.admit(
            make_delivery(2, key=b"k", body=body, received_at_ms=NOW_MS + later_ms), only_if_new=True
        )
        assert (admission.delivery_id, admission.duplicate, admission.conflict) == ("d1", True, body != b"one")
        assert snapshot(self.ledger) == before

    async def test_twenty_at_once(self, store):
        """Of twenty copies arriving together one is new and nineteen are its duplicates."""
        copies = [make_delivery(n, key=b"k", body=b"one") for n in range(20)]
        admissions = await asyncio.gather(*map(store.admit, copies))
        assert sorted(a.duplicate for a in admissions) == [False] + [True] * 19
        assert len({a.delivery_id for a in admissions}) == 1
        (only,) = self.ledger.deliveries(EVERYTHING, limit=None)
        assert only.duplicates == len(self.ledger.sightings(only.delivery_id)) == 19

    async def test_keys_are_scoped_by_source(self, store):
        """Two sources never share a key, also when their names and parts run together."""
        keys = [join_key("a", "b", "c"), join_key("ab", "", "c"), join_key("a", "bc"), join_key("abc")]
        admissions = [await store.admit(make_delivery(n, key=key)) for n, key in enumerate(keys)]
        assert not any(a.duplicate for a in admissions)

    async def test_keys_are_bytes(self, store):
        """Keys are compared byte for byte: case, trailing zeros and half UTF-8 all count."""
        keys = [b"k", b"K", b"k\x00", b"\xff", b"", b"k "]
        admissions = [await store.admit(make_delivery(n, key=key)) for n, key in enumerate(keys)]
        assert not any(a.duplicate for a in admissions)

    async def test_pins(self, store):
        """The first pin of a source stands, and everybody is told which one that is."""
        first, second = {"name": "t_v1", "n": [1, None]}, {"name": "sha256_hex"}
        said = await asyncio.gather(store.pin("a", first), store.pin("a", second), store.pin("b", second))
        assert said == [first, first, second]
        assert dict(await store.pins()) == dict(self.ledger.pins()) == {"a": first, "b": second}

    # -- Queue: processing

    async def test_accepted(self, store):
        """What waits for processing comes oldest first, with its body, at most *limit* of it."""
        for number in (3, 1, 2):
            await store.admit(make_delivery(number, received_at_ms=NOW_MS - number))
        await store.process(make_processed(1))
        waiting = await store.accepted(limit=9)
        assert [(d.delivery_id, body) for d, body in waiting] == [
            ("d3", make_delivery(3).body),
            ("d2", make_delivery(2).body),
        ]
        assert [d.delivery_id for d, _ in await store.accepted(limit=1)] == ["d3"]

    async def test_process(self, store):
        """Processing stores the records in order, counts issues, and owes one task to each sink."""
        await store.admit(make_delivery(1, records=3))
        await store.process(make_processed(1, ["crm", "drop"], records=3, at_ms=NOW_MS + 7, reason="because"))
        stored = self.ledger.delivery("d1")
        assert (stored.state, stored.reason, stored.processed_at_ms) == ("processing", "because", NOW_MS + 7)
        assert (stored.records, stored.issues) == (3, 1)
        assert list(self.ledger.records("d1")) == make_records(3)
        tasks = [task for _, task in self.ledger.tasks(EVERY_TASK, limit=None)]
        assert [(t.task_id, t.sink, t.state, t.attempts) for t in tasks] == [
            ("d1/drop", "drop", "queued", 0),
            ("d1/crm", "crm", "queued", 0),
        ]
        assert {(t.next_attempt_at_ms, t.created_at_ms, t.lease_until_ms) for t in tasks} == {
            (NOW_MS + 7, NOW_MS + 7, None)
        }

    @pytest.mark.parametrize("state", [DeliveryState.DONE, DeliveryState.IGNORED, DeliveryState.QUARANTINED], ids=str)
    async def test_process_without_tasks(self, store, state):
        """A delivery that owes nothing ends at once, in the state and for the reason that was given."""
        await store.admit(make_delivery(1))
        await store.process(make_processed(1, (), records=0, state=state, reason="why"))
        assert (self.ledger.delivery("d1").state, self.ledger.delivery("d1").reason) == (state, "why")
        assert await store.unfinished() == 0
        assert await store.next_due_ms() is None

    @pytest.mark.parametrize("records", [1, 2, 3, LARGE])
    async def test_process_is_idempotent(self, store, records):
        """Processing what is processed changes nothing, whatever it brings."""
        await store.admit(make_delivery(1, records=2))
        await store.process(make_processed(1))
        before = snapshot(self.ledger)
        await store.process(make_processed(1, ["other"], records=records, at_ms=NOW_MS + 1))
        await store.process(make_processed(1, (), records=records, at_ms=NOW_MS + 1))
        assert snapshot(self.ledger) == before

    async def test_process_of_the_unknown(self, store):
        """Processing a delivery that nobody admitted stores nothing."""
        before = snapshot(self.ledger)
        await store.process(make_processed(99))
        assert snapshot(self.ledger) == before
        assert list(self.ledger.records("d99")) == []

    async def test_one_task_a_sink(self, store):
        """A sink that is named twice is owed one task."""
        await store.admit(make_delivery(1, records=2))
        await store.process(make_processed(1, tasks=[("t1", "crm"), ("t2", "drop"), ("t3", "crm")]))
        assert [(n, t.task_id) for n, t in self.ledger.tasks(EVERY_TASK, limit=None)] == [(2, "t2"), (1, "t1")]

    async def test_large_delivery(self, store):
        """A delivery larger than any chunk keeps every record and every outcome, in order."""
        task = await self.leased(store, records=LARGE)
        delivery, records = await store.batch(task)
        assert (delivery.delivery_id, delivery.records) == ("d1", LARGE)
        assert list(records) == list(self.ledger.records("d1")) == make_records(LARGE)
        outcomes = [Outcome(position, OutcomeKind.CREATED, message=f"no. {position}") for position in range(LARGE)]
        assert await store.settle(make_settlement(task, Signal.TAKEN, outcomes=list(reversed(outcomes))))
        assert list(self.ledger.outcomes(task.task_id)) == outcomes
        assert self.ledger.delivery("d1").state is DeliveryState.DONE

    # -- Queue: claiming

    async def test_claim_respects_the_due_time(self, store):
        """A task is claimed from the millisecond on which it is due, not before."""
        await store.admit(make_delivery(1, records=2))
        await store.process(make_processed(1))
        assert list(await store.claim(now_ms=NOW_MS - 1, lease_ms=LEASE_MS, free={"crm": 1})) == []
        (task,) = await store.claim(now_ms=NOW_MS, lease_ms=LEASE_MS, free={"crm": 1})
        assert (task.state, task.attempts, task.lease_until_ms) == (TaskState.LEASED, 1, NOW_MS + LEASE_MS)
        assert task == self.ledger.task("d1/crm")
        (attempt,) = self.ledger.attempts("d1/crm")
        assert (attempt.number, attempt.started_at_ms, attempt.ended_at_ms, attempt.signal) == (1, NOW_MS, None, None)

    async def test_claim_counts_by_sink(self, store):
        """Each sink gets at most its free count, and a sink that is not named, or full, gets nothing."""
        for number in range(4):
            await store.admit(make_delivery(number, records=2))
            await store.process(make_processed(number, ["crm", "drop", "hook", "full", "over"]))
        tasks = await store.claim(
            now_ms=NOW_MS, lease_ms=LEASE_MS, free={"crm": 3, "drop": 1, "none": 9, "full": 0, "over": -1}
        )
        assert [t.task_id for t in tasks] == ["d0/crm", "d1/crm", "d2/crm", "d0/drop"]
        again = await store.claim(now_ms=NOW_MS, lease_ms=LEASE_MS, free={"crm": 9})
        assert [t.task_id for t in again] == ["d3/crm"]

    async def test_claim_order(self, store):
        """Tasks are claimed in the order in which they fell due, then in the order in which they were enqueued."""
        for number, at_ms in enumerate([NOW_MS + 2, NOW_MS + 1, NOW_MS + 2, NOW_MS + 1]):
            await store.admit(make_delivery(number, records=2))
            await store.process(make_processed(number, at_ms=at_ms))
        tasks = await store.claim(now_ms=NOW_MS + 9, lease_ms=LEASE_MS, free={"crm": 9})
        assert [t.task_id for t in tasks] == ["d1/crm", "d3/crm", "d0/crm", "d2/crm"]

    async def test_claims_at_once(self, store):
        """Two claims at the same time never lease one task twice."""
        for number in range(6):
            await store.admit(make_delivery(number, records=2))
            await store.process(make_processed(number))
        free = {"crm": 4}
        claims = await asyncio.gather(*(store.claim(now_ms=NOW_MS, lease_ms=LEASE_MS, free=free) for _ in range(3)))
        assert sorted(t.task_id for tasks in claims for t in tasks) == [f"d{n}/crm" for n in range(6)]

    async def test_a_lease_holds(self, store):
        """A leased task is nobody else's until its lease ends."""
        await self.leased(store)
        assert list(await store.claim(now_ms=NOW_MS + LEASE_MS - 1, lease_ms=LEASE_MS, free={"crm": 9})) == []

    async def test_an_expired_lease_is_claimed_again(self, store):
        """When a lease ends the task is claimed as the next attempt, and the old attempt can settle nothing."""
        old = await self.leased(store)
        later_ms = NOW_MS + LEASE_MS
        (new,) = await store.claim(now_ms=later_ms, lease_ms=LEASE_MS, free={"crm": 9})
        assert (new.task_id, new.attempts, new.lease_until_ms) == (old.task_id, 2, later_ms + LEASE_MS)
        first, second = self.ledger.attempts(old.task_id)
        assert (first.ended_at_ms, first.signal, bool(first.error)) == (later_ms, Signal.RELEASED, True)
        assert (second.number, second.ended_at_ms) == (2, None)
        before = snapshot(self.ledger)
        for signal in LEGAL:
            assert await store.settle(make_settlement(old, signal)) is False
        large = make_settlement(old, Signal.TAKEN, outcomes=make_outcomes(LARGE))
        assert await store.settle(large) is False
        assert snapshot(self.ledger) == before
        assert await store.settle(make_settlement(new, Signal.TAKEN)) is True

    async def test_expired_but_not_claimed(self, store):
        """A lease that ended while its sink had no room is given back all the same."""
        old = await self.leased(store)
        assert list(await store.claim(now_ms=NOW_MS + LEASE_MS, lease_ms=LEASE_MS, free={"other": 1})) == []
        assert self.ledger.task(old.task_id).state is TaskState.QUEUED
        assert await store.settle(make_settlement(old, Signal.TAKEN)) is False

    # -- Queue: settling

    @pytest.mark.parametrize("signal", LEGAL, ids=str)
    async def test_settle(self, store, signal):
        """Every signal that a leased task allows leads where TRANSITIONS says, and ends the attempt."""
        task = await self.leased(store)
        settlement = make_settlement(task, signal, error="the reason")
        assert await store.settle(settlement) is True
        after = self.ledger.task(task.task_id)
        state = TRANSITIONS[TaskState.LEASED][signal]
        assert (after.state, after.lease_until_ms, after.error) == (state, None, "the reason")
        assert (after.updated_at_ms, after.attempts) == (settlement.ended_at_ms, 1)
        assert (after.next_attempt_at_ms is None) == state.final
        (attempt,) = self.ledger.attempts(task.task_id)
        assert (attempt.ended_at_ms, attempt.signal, attempt.error) == (settlement.ended_at_ms, signal, "the reason")
        assert list(self.ledger.outcomes(task.task_id)) == list(settlement.outcomes)
        expected = DeliveryState.DONE if state.final else DeliveryState.PROCESSING
        assert self.ledger.delivery("d1").state is expected
        assert await store.settle(settlement) is False

    @pytest.mark.parametrize("signal", ILLEGAL, ids=str)
    @pytest.mark.parametrize("outcomes", [2, LARGE])
    async def test_illegal_signals(self, store, signal, outcomes):
        """A signal that a leased task does not allow raises, and nothing is changed, not even in part."""
        task = await self.leased(store)
        before = snapshot(self.ledger)
        with pytest.raises(IllegalTransition):
            await store.settle(make_settlement(task, signal, outcomes=make_outcomes(outcomes)))
        assert snapshot(self.ledger) == before
        assert await store.settle(make_settlement(task, Signal.TAKEN))

    async def test_settle_the_unknown(self, store):
        """A settlement of a task that does not exist, or of an attempt not begun, is refused."""
        task = await self.leased(store)
        before = snapshot(self.ledger)
        assert await store.settle(Settlement("nobody", 1, Signal.TAKEN, NOW_MS)) is False
        assert await store.settle(make_settlement(replace(task, attempts=2), Signal.TAKEN)) is False
        assert await store.settle(make_settlement(replace(task, attempts=0), Signal.TAKEN)) is False
        assert snapshot(self.ledger) == before

    @pytest.mark.parametrize("signal", [Signal.UNAVAILABLE, Signal.RELEASED], ids=str)
    async def test_nothing_waits_for_ever(self, store, signal):
        """An open task always has a time: the one that the settlement names, else its end."""
        task = await self.leased(store)
        await store.settle(make_settlement(task, signal, next_attempt_at_ms=None))
        assert await store.next_due_ms() == NOW_MS + 100
        (again,) = await store.claim(now_ms=NOW_MS + 100, lease_ms=LEASE_MS, free={"crm": 1})
        await store.settle(make_settlement(again, signal, next_attempt_at_ms=NOW_MS + 777))
        assert await store.next_due_ms() == NOW_MS + 777

    async def test_a_final_task_is_never_due(self, store):
        """A final task has no time, also when the settlement names one."""
        task = await self.leased(store)
        await store.settle(make_settlement(task, Signal.EXHAUSTED, next_attempt_at_ms=NOW_MS + 1))
        assert self.ledger.task(task.task_id).next_attempt_at_ms is None
        assert await store.next_due_ms() is None

    async def test_attempts_are_numbered(self, store):
        """Attempts are numbered 1..n without a gap, each with its own end."""
        await store.admit(make_delivery(1, records=2))
        await store.process(make_processed(1))
        now_ms = NOW_MS
        for number in range(1, 6):
            (task,) = await store.claim(now_ms=now_ms, lease_ms=LEASE_MS, free={"crm": 1})
            assert task.attempts == number
            now_ms += 1000
            await store.settle(
                make_settlement(
                    task, Signal.UNAVAILABLE, error=f"no {number}", ended_at_ms=now_ms - 1, next_attempt_at_ms=now_ms
                )
            )
        attempts = self.ledger.attempts("d1/crm")
        assert [(a.number, a.error) for a in attempts] == [(n, f"no {n}") for n in range(1, 6)]

    async def test_a_later_word_replaces_an_earlier_one(self, store):
        """Of two outcomes for one record the later stands, whole; records not named keep theirs."""
        task = await self.leased(store)
        early = [
            Outcome(0, OutcomeKind.REFUSED, "CATEGORY", "code", "email", "corr", "message"),
            Outcome(1, OutcomeKind.CREATED),
        ]
        await store.settle(make_settlement(task, Signal.UNAVAILABLE, outcomes=early))
        assert list(self.ledger.outcomes(task.task_id)) == early
        (task,) = await store.claim(now_ms=NOW_MS + HOUR_MS, lease_ms=LEASE_MS, free={"crm": 1})
        late = Outcome(0, OutcomeKind.UPDATED)
        await store.settle(make_settlement(task, Signal.TAKEN, outcomes=[late]))
        assert list(self.ledger.outcomes(task.task_id)) == [late, early[1]]

    async def test_done_when_all_tasks_are_final(self, store):
        """A delivery is done with the last of its tasks, however each of them ended, not before."""
        sinks = ["a", "b", "c", "d"]
        await store.admit(make_delivery(1, records=2))
        await store.process(make_processed(1, sinks))
        tasks = await store.claim(now_ms=NOW_MS, lease_ms=LEASE_MS, free=dict.fromkeys(sinks, 1))
        signals = [Signal.EXHAUSTED, Signal.TAKEN, Signal.UNAVAILABLE, Signal.SPLIT]
        for task, signal in zip(tasks, signals, strict=True):
            await store.settle(make_settlement(task, signal))
            assert self.ledger.delivery("d1").state is DeliveryState.PROCESSING
        assert await store.unfinished() == 1
        (last,) = await store.claim(now_ms=NOW_MS + HOUR_MS, lease_ms=LEASE_MS, free={"c": 1})
        await store.settle(make_settlement(last, Signal.REJECTED))
        assert self.ledger.delivery("d1").state is DeliveryState.DONE
        assert await store.unfinished() == 0

    async def test_recover(self, store):
        """A new process gets every lease back at once, however long it had to run."""
        tasks = [await self.leased(store, number) for number in (1, 2)]
        assert await store.recover(now_ms=NOW_MS + 1) == 2
        assert await store.recover(now_ms=NOW_MS + 1) == 0
        assert await store.settle(make_settlement(tasks[0], Signal.TAKEN)) is False
        again = await store.claim(now_ms=NOW_MS + 1, lease_ms=LEASE_MS, free={"crm": 9})
        assert [(t.task_id, t.attempts) for t in again] == [("d1/crm", 2), ("d2/crm", 2)]
        assert self.ledger.attempts("d1/crm")[0].signal is Signal.RELEASED

    async def test_next_due(self, store):
        """The next moment of work is the earliest due time or end of a lease, and none when nothing is open."""
        assert await store.next_due_ms() is None
        task = await self.leased(store)
        assert await store.next_due_ms() == NOW_MS + LEASE_MS
        await store.admit(make_delivery(2, records=2))
        await store.process(make_processed(2, at_ms=NOW_MS + 50))
        assert await store.next_due_ms() == NOW_MS + 50
        await store.settle(make_settlement(task, Signal.UNAVAILABLE, next_attempt_at_ms=NOW_MS + 49))
        assert await store.next_due_ms() == NOW_MS + 49

    async def test_unfinished(self, store):
        """Unfinished is what is accepted or processing, and nothing else."""
        assert await store.unfinished() == 0
        for number in range(3):
            await store.admit(make_delivery(number, records=2))
        await store.admit(make_delivery(9, state=DeliveryState.QUARANTINED))
        assert await store.unfinished() == 3
        await store.process(make_processed(0))
        await store.process(make_processed(1, (), records=2))
        assert await store.unfinished() == 2

    # -- Ledger

    async def test_what_is_not_there(self, store):
        """Asking for what is not there is answered with nothing, not an error."""
        assert self.ledger.delivery("x") is self.ledger.body("x") is self.ledger.task("x") is None
        lists = (
            self.ledger.records("x"), self.ledger.sightings("x"), self.ledger.conflict_bodies("x"),
            self.ledger.attempts("x"), self.ledger.outcomes("x"), self.ledger.find_person([]),
            self.ledger.find_person([b"x" * 16]), self.ledger.deliveries(EVERYTHING, limit=None),
            self.ledger.tasks(EVERY_TASK, limit=None),
        )  # fmt: skip
        assert [list(found) for found in lists] == [[]] * len(lists)

    async def test_delivery_filters(self, store):
        """Every filter that is given must hold, and each of them is exact."""
        await store.admit(make_delivery(1, source="a", job_id="j", event_type="e", received_at_ms=NOW_MS))
        await store.admit(make_delivery(2, source="a", search_id="s", received_at_ms=NOW_MS + 1, records=2))
        await store.admit(
            make_delivery(3, partner_customer_id="c", received_at_ms=NOW_MS + 2, state=DeliveryState.IGNORED)
        )
        await store.process(make_processed(2, ["crm"]))
        expected = {
            DeliveryFilter(): "321",
            DeliveryFilter(source="a"): "21",
            DeliveryFilter(source="A"): "",
            DeliveryFilter(state=DeliveryState.ACCEPTED): "1",
            DeliveryFilter(state=DeliveryState.PROCESSING): "2",
            DeliveryFilter(event_type="e"): "1",
            DeliveryFilter(job_id="j"): "1",
            DeliveryFilter(search_id="s"): "2",
            DeliveryFilter(partner_customer_id="c"): "3",
            DeliveryFilter(sink="crm"): "2",
            DeliveryFilter(sink="drop"): "",
            DeliveryFilter(since_ms=NOW_MS + 1): "32",
            DeliveryFilter(until_ms=NOW_MS + 1): "1",
            DeliveryFilter(since_ms=NOW_MS + 1, until_ms=NOW_MS + 2): "2",
            DeliveryFilter(source="a", sink="crm"): "2",
            DeliveryFilter(source="a", job_id="j", search_id="s"): "",
        }
        found = {
            where: "".join(d.delivery_id[1:] for d in self.ledger.deliveries(where, limit=None)) for where in expected
        }
        assert found == expected

    async def test_pages(self, store):
        """Pages by limit and cursor are the whole list, newest first, each row once."""
        for number in range(7):
            await store.admit(make_delivery(number, records=2))
            await store.process(make_processed(number, ["crm", "drop"]))
        whole = list(self.ledger.deliveries(EVERYTHING, limit=None))
        assert [d.delivery_id for d in whole] == [f"d{n}" for n in reversed(range(7))]
        pages, before = [], None
        while page := self.ledger.deliveries(EVERYTHING, limit=3, before=before):
            assert len(page) <= 3
            pages += page
            before = page[-1].sequence
        assert pages == whole
        all_tasks = list(self.ledger.tasks(EVERY_TASK, limit=None))
        assert len(all_tasks) == 14
        tasks, before = [], None
        while some := self.ledger.tasks(EVERY_TASK, limit=4, before=before):
            tasks += some
            before = some[-1][0]
        assert tasks == all_tasks

    async def test_task_filters(self, store):
        """Tasks are found by state, sink and delivery, all of which must hold."""
        await self.leased(store, 1, sinks=["crm", "drop"])
        await store.admit(make_delivery(2, records=2))
        await store.process(make_processed(2, ["crm"]))
        expected = {
            TaskFilter(): ["d2/crm", "d1/drop", "d1/crm"],
            TaskFilter(state=TaskState.LEASED): ["d1/crm"],
            TaskFilter(sink="crm"): ["d2/crm", "d1/crm"],
            TaskFilter(delivery_id="d1"): ["d1/drop", "d1/crm"],
            TaskFilter(sink="crm", state=TaskState.QUEUED): ["d2/crm"],
            TaskFilter(sink="x"): [],
        }
        found = {where: [t.task_id for _, t in self.ledger.tasks(where, limit=None)] for where in expected}
        assert found == expected

    async def test_find_person(self, store):
        """A person is found under every name that a record carries, oldest first, e-mail in any case."""
        people = [
            make_records(1, business_email="Zoe@Example.com", linkedin_url="https://linkedin.com/in/Zoe")[0],
            *make_records(2, person_id="person_9", mobile_phone="+12085550123")[1:],
        ]
        turned = [replace(people[0], position=1), replace(people[1], position=0)]
        for number, records in ((1, people), (2, turned)):
            await store.admit(make_delivery(number, records=2))
            await store.process(make_processed(number, records=records))
        key = self.ledger.hash_key

        def find(*names):
            return list(self.ledger.find_person([lookup_hash(key, kind, value) for kind, value in names]))

        assert find(("email", "zoe@example.COM")) == [("d1", 0), ("d2", 1)]
        assert find(("linkedin", "https://linkedin.com/in/zoe")) == [("d1", 0), ("d2", 1)]
        assert find(("phone", "+12085550123"), ("person_id", "person_9")) == [("d1", 1), ("d2", 0)]
        assert find(("person_id", "PERSON_9")) == find(("prospect_id", "person_9")) == []

    async def test_status(self, store):
        """The status counts deliveries and tasks by state."""
        await self.leased(store, 1, sinks=["crm", "drop"])
        await store.admit(make_delivery(2))
        status = self.ledger.status()
        assert dict(status.deliveries) == {"processing": 1, "accepted": 1}
        assert dict(status.tasks) == {"leased": 1, "queued": 1}
