"""Leases and settlements: who may do what when, and what is left of it."""

import asyncio
from dataclasses import replace

import pytest

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import TRANSITIONS, Outcome, OutcomeKind, Settlement, Signal, TaskState
from stibgate.errors import IllegalTransition
from tests.stores.base import StoreLaws, created, new_task, replay, replay_task
from tests.stores.world import (
    HOUR_MS,
    LEASE_MS,
    NOW_MS,
    PATIENT,
    make_delivery,
    make_outcomes,
    make_processed,
    make_settlement,
    snapshot,
)

LEGAL = sorted(TRANSITIONS[TaskState.LEASED])
ILLEGAL = sorted(set(Signal) - set(LEGAL))
LARGE = 1_200


class QueueLaws(StoreLaws):
    """What the worker sees."""

    async def test_claim_respects_the_due_time(self, store):
        """A task is claimed from the millisecond on which it is due, not before."""
        await self.add(store)
        assert await self.claim(store, at_ms=NOW_MS - 1) == []
        (task,) = await self.claim(store)
        assert (task.state, task.attempts, task.lease_until_ms) == (TaskState.LEASED, 1, NOW_MS + LEASE_MS)
        assert (task.tries, task.records, task.owed_at_ms, task.resend, task.forced) == (1, 2, NOW_MS, 0, False)
        assert task == self.ledger.task("d1/crm")
        (attempt,) = self.ledger.attempts("d1/crm")
        assert (attempt.number, attempt.started_at_ms, attempt.ended_at_ms, attempt.signal) == (1, NOW_MS, None, None)

    @pytest.mark.parametrize(("limit", "count"), [(9, 4), (3, 3), (1, 1), (0, 0), (-1, 0)])
    async def test_claim_limit(self, store, limit, count):
        """A lane gets at most as many as it asks for, of its own sink."""
        for number in range(4):
            await self.add(store, number, sinks=["crm", "drop"])
        tasks = await self.claim(store, limit=limit)
        assert [task.task_id for task in tasks] == [f"d{number}/crm" for number in range(count)]
        assert len(await self.claim(store, limit=9)) == 4 - count
        assert len(await self.claim(store, "drop")) == 4
        assert await self.claim(store, "nobody") == []

    async def test_claim_order(self, store):
        """Tasks are claimed in the order in which they fell due, then in the order in which they were enqueued."""
        for number, at_ms in enumerate([NOW_MS + 2, NOW_MS + 1, NOW_MS + 2, NOW_MS + 1]):
            await self.add(store, number, at_ms=at_ms)
        assert await self.names(store, at_ms=NOW_MS + 9) == ["d1", "d3", "d0", "d2"]

    async def test_a_first_delay(self, store):
        """A task whose sink wants a delay before the first attempt is due after it, and as old as the others."""
        await self.add(store, tasks=[new_task("d1/crm", delay_ms=700)])
        assert await self.claim(store, at_ms=NOW_MS + 699) == []
        assert await store.next_due_ms("crm") == NOW_MS + 700
        (task,) = await self.claim(store, at_ms=NOW_MS + 700)
        assert (task.created_at_ms, task.owed_at_ms) == (NOW_MS, NOW_MS)

    async def test_claims_at_once(self, store):
        """Two claims at the same time never lease one task twice."""
        for number in range(6):
            await self.add(store, number)
        claims = await asyncio.gather(*(self.claim(store, limit=4) for _ in range(3)))
        assert sorted(t.task_id for tasks in claims for t in tasks) == [f"d{n}/crm" for n in range(6)]

    async def test_a_lease_holds(self, store):
        """A leased task is nobody else's until its lease ends."""
        await self.leased(store)
        assert await self.claim(store, at_ms=NOW_MS + LEASE_MS - 1) == []

    async def test_an_expired_lease_is_claimed_again(self, store):
        """When a lease ends the task is claimed as the next attempt, and the old attempt can settle nothing."""
        old = await self.leased(store)
        later_ms = NOW_MS + LEASE_MS
        (new,) = await self.claim(store, at_ms=later_ms)
        assert (new.task_id, new.attempts, new.lease_until_ms) == (old.task_id, 2, later_ms + LEASE_MS)
        assert new.tries == 2, "a lost lease costs a try"
        first, second = self.ledger.attempts(old.task_id)
        assert (first.ended_at_ms, first.signal, bool(first.error)) == (later_ms, Signal.RELEASED, True)
        assert (second.number, second.ended_at_ms) == (2, None)
        before = snapshot(self.ledger)
        for signal in LEGAL:
            assert await store.settle(make_settlement(old, signal)) is None
        assert await store.settle(make_settlement(old, Signal.TAKEN, outcomes=make_outcomes(LARGE))) is None
        assert snapshot(self.ledger) == before
        assert await self.settle(store, new, Signal.TAKEN) is not None

    async def test_expired_but_not_claimed(self, store):
        """A lease that ended while its sink had no room is given back all the same; other sinks' are left alone."""
        old = await self.leased(store)
        assert await self.claim(store, "other", at_ms=NOW_MS + LEASE_MS) == []
        assert self.ledger.task(old.task_id).state is TaskState.LEASED
        assert await self.claim(store, at_ms=NOW_MS + LEASE_MS, limit=0) == []
        assert self.ledger.task(old.task_id).state is TaskState.QUEUED
        assert await self.settle(store, old, Signal.TAKEN) is None

    # -- given up

    async def test_the_schedule_ends_at_the_claim(self, store):
        """A task whose every try was lost is dead at the next claim, without another attempt."""
        policy = replace(PATIENT, schedule_s=(0, 0))
        task = await self.leased(store, policy=policy)
        await self.settle(store, task, Signal.UNAVAILABLE, error="503", next_attempt_at_ms=NOW_MS + 100)
        await self.claim(store, at_ms=NOW_MS + 100, policy=policy)
        claim = await self.ask(store, at_ms=NOW_MS + 100 + LEASE_MS, policy=policy)
        (dead,) = claim.given_up
        assert (list(claim.tasks), dead) == ([], self.ledger.task("d1/crm"))
        assert (dead.state, dead.attempts, dead.tries, dead.next_attempt_at_ms) == (TaskState.DEAD, 2, 2, None)
        assert dead.error == "every attempt of the schedule was used; the last error was: 503"
        assert [attempt.signal for attempt in self.ledger.attempts("d1/crm")] == [Signal.UNAVAILABLE, Signal.RELEASED]
        assert self.ledger.delivery("d1").state is DeliveryState.DONE
        assert await store.next_due_ms("crm") is None

    @pytest.mark.parametrize(("late_ms", "dead"), [(0, False), (1, True)])
    async def test_max_age_at_the_claim(self, store, late_ms, dead):
        """A task older than `max_age` is dead at the claim, one that is exactly as old gets its attempt."""
        policy = replace(PATIENT, max_age_s=60)
        await self.add(store)
        claim = await self.ask(store, at_ms=NOW_MS + 60_000 + late_ms, policy=policy)
        assert (len(claim.tasks), len(claim.given_up)) == (not dead, dead)
        assert self.ledger.task("d1/crm").error == ("max_age has passed" if dead else None)
        assert len(self.ledger.attempts("d1/crm")) == (not dead)

    async def test_giving_up_takes_nobodys_place(self, store):
        """Tasks that are given up do not count against what a lane may begin."""
        policy = replace(PATIENT, max_age_s=60)
        for number in range(3):
            await self.add(store, number)
        await self.add(store, 9, at_ms=NOW_MS + 60_001)
        claim = await self.ask(store, at_ms=NOW_MS + 60_001, policy=policy, limit=1)
        assert [task.task_id for task in claim.given_up] == ["d0/crm", "d1/crm", "d2/crm"]
        assert [task.task_id for task in claim.tasks] == ["d9/crm"]

    # -- settling

    @pytest.mark.parametrize("signal", LEGAL, ids=str)
    async def test_settle(self, store, signal):
        """Every signal that a leased task allows leads where TRANSITIONS says, and ends the attempt."""
        task = await self.leased(store)
        settlement = make_settlement(task, signal, error="the reason")
        settled = await store.settle(settlement)
        after = self.ledger.task(task.task_id)
        state = TRANSITIONS[TaskState.LEASED][signal]
        assert settled.state is after.state is state
        assert (after.lease_until_ms, after.error) == (None, "the reason")
        assert (after.updated_at_ms, after.attempts) == (settlement.ended_at_ms, 1)
        assert after.tries == (signal not in {Signal.RELEASED, Signal.HELD})
        assert (after.next_attempt_at_ms is None) == state.final
        (attempt,) = self.ledger.attempts(task.task_id)
        assert (attempt.ended_at_ms, attempt.signal, attempt.error) == (settlement.ended_at_ms, signal, "the reason")
        assert list(self.ledger.outcomes(task.task_id)) == list(settlement.outcomes)
        expected = DeliveryState.DONE if state.final else DeliveryState.PROCESSING
        assert self.ledger.delivery("d1").state is expected
        assert await store.settle(settlement) is None

    @pytest.mark.parametrize("signal", ILLEGAL, ids=str)
    @pytest.mark.parametrize("outcomes", [2, LARGE])
    async def test_illegal_signals(self, store, signal, outcomes):
        """A signal that a leased task does not allow raises, and nothing is changed, not even in part."""
        task = await self.leased(store)
        before = snapshot(self.ledger)
        with pytest.raises(IllegalTransition):
            await store.settle(make_settlement(task, signal, outcomes=make_outcomes(outcomes)))
        assert snapshot(self.ledger) == before
        assert await self.settle(store, task, Signal.TAKEN)

    async def test_settle_the_unknown(self, store):
        """A settlement of a task that does not exist, or of an attempt not begun, is refused."""
        task = await self.leased(store)
        before = snapshot(self.ledger)
        assert await store.settle(Settlement("nobody", 1, Signal.TAKEN, NOW_MS)) is None
        assert await store.settle(make_settlement(replace(task, attempts=2), Signal.TAKEN)) is None
        assert await store.settle(make_settlement(replace(task, attempts=0), Signal.TAKEN)) is None
        assert snapshot(self.ledger) == before

    @pytest.mark.parametrize("signal", [Signal.UNAVAILABLE, Signal.RELEASED], ids=str)
    async def test_nothing_waits_for_ever(self, store, signal):
        """An open task always has a time: the one that the settlement names, else its end."""
        task = await self.leased(store)
        await self.settle(store, task, signal, next_attempt_at_ms=None)
        assert await store.next_due_ms("crm") == NOW_MS + 100
        (again,) = await self.claim(store, at_ms=NOW_MS + 100)
        await self.settle(store, again, signal, next_attempt_at_ms=NOW_MS + 777)
        assert await store.next_due_ms("crm") == NOW_MS + 777

    async def test_a_final_task_is_never_due(self, store):
        """A final task has no time, also when the settlement names one."""
        task = await self.leased(store)
        await self.settle(store, task, Signal.EXHAUSTED, next_attempt_at_ms=NOW_MS + 1)
        assert self.ledger.task(task.task_id).next_attempt_at_ms is None
        assert await store.next_due_ms("crm") is None

    async def test_attempts_are_numbered(self, store):
        """Attempts are numbered 1..n without a gap, each with its own end; tries leave out those given back."""
        await self.add(store)
        now_ms = NOW_MS
        for number in range(1, 6):
            (task,) = await self.claim(store, at_ms=now_ms)
            assert task.attempts == number
            now_ms += 1000
            signal = Signal.RELEASED if number % 2 else Signal.UNAVAILABLE
            await self.settle(store, task, signal, error=f"no {number}", at_ms=now_ms - 1, next_attempt_at_ms=now_ms)
        attempts = self.ledger.attempts("d1/crm")
        assert [(a.number, a.error) for a in attempts] == [(n, f"no {n}") for n in range(1, 6)]
        assert self.ledger.task("d1/crm").tries == 2

    # -- answers

    @pytest.mark.parametrize("signal", [Signal.UNAVAILABLE, Signal.HELD], ids=str)
    async def test_partial_answers_are_kept(self, store, signal):
        """Of a batch that is not through, only the records without an answer are owed."""
        task = await self.leased(store, records=4)
        refused = Outcome(0, OutcomeKind.REFUSED, "CATEGORY", "code", "email", "corr", "message")
        await self.settle(store, task, signal, outcomes=[refused, *created(2)])
        store = await self.reopen()
        (again,) = await self.claim(store, at_ms=NOW_MS + HOUR_MS)
        owed = await store.owed(again)
        assert [record.position for record in owed.records] == [1, 3]
        assert (owed.refused, owed.delivery.delivery_id, again.records) == (1, "d1", 4)
        await self.settle(store, again, Signal.SPLIT, outcomes=created(1, 3))
        assert list(self.ledger.outcomes("d1/crm")) == [refused, *created(1, 2, 3)]
        assert [(attempt, o.position) for attempt, o in self.ledger.history("d1/crm")] == [
            (1, 0),
            (1, 2),
            (2, 1),
            (2, 3),
        ]
        assert self.ledger.task("d1/crm").state is TaskState.PARTIAL

    async def test_everything_answered(self, store):
        """A task whose every record was answered before its end was known owes nothing any more."""
        task = await self.leased(store)
        await self.settle(store, task, Signal.UNAVAILABLE, outcomes=created(0, 1))
        (again,) = await self.claim(store, at_ms=NOW_MS + HOUR_MS)
        assert list((await store.owed(again)).records) == []
        await self.settle(store, again, Signal.TAKEN, outcomes=[])
        assert self.ledger.task("d1/crm").state is TaskState.DELIVERED

    async def test_a_later_word_replaces_an_earlier_one(self, store):
        """Of two answers for one record the later stands, whole, and the earlier is history; others keep theirs."""
        task = await self.leased(store)
        early = [
            Outcome(0, OutcomeKind.REFUSED, "CATEGORY", "code", "email", "corr", "message"),
            Outcome(1, OutcomeKind.CREATED),
        ]
        await self.settle(store, task, Signal.UNAVAILABLE, outcomes=early)
        assert list(self.ledger.outcomes(task.task_id)) == early
        (task,) = await self.claim(store, at_ms=NOW_MS + HOUR_MS)
        late = Outcome(0, OutcomeKind.UPDATED)
        await self.settle(store, task, Signal.TAKEN, outcomes=[late])
        assert list(self.ledger.outcomes(task.task_id)) == [late, early[1]]
        assert list(self.ledger.history(task.task_id)) == [(1, early[0]), (1, early[1]), (2, late)]

    async def test_a_large_answer_of_a_lost_attempt(self, store):
        """Answers larger than any chunk are kept by attempt, none twice."""
        task = await self.leased(store, records=LARGE)
        await self.settle(store, task, Signal.UNAVAILABLE, outcomes=make_outcomes(LARGE - 1, OutcomeKind.REFUSED))
        (task,) = await self.claim(store, at_ms=NOW_MS + HOUR_MS)
        owed = await store.owed(task)
        assert ([record.position for record in owed.records], owed.refused) == ([LARGE - 1], LARGE - 1)
        await self.settle(store, task, Signal.SPLIT, outcomes=make_outcomes(LARGE))
        assert len(self.ledger.outcomes(task.task_id)) == LARGE
        assert len(self.ledger.history(task.task_id)) == 2 * LARGE - 1
        assert {outcome.kind for outcome in self.ledger.outcomes(task.task_id)} == {OutcomeKind.CREATED}
        # a partial task without a refused record is what the check would name: make it whole again
        await replay_task(store, task.task_id, replay(forced=True))

    async def test_a_task_owes_its_positions(self, store):
        """A task owes the records that were routed to it, and no others."""
        await self.add(store, records=5, tasks=[new_task("d1/crm", (1, 3)), new_task("d1/drop", (4,), "drop")])
        (task,) = await self.claim(store)
        assert [record.position for record in (await store.owed(task)).records] == [1, 3]
        assert (list(self.ledger.positions("d1/crm")), list(self.ledger.positions("d1/drop"))) == ([1, 3], [4])
        assert (task.records, self.ledger.task("d1/drop").records) == (2, 1)
        await self.settle(store, task, Signal.TAKEN, outcomes=created(1, 3))
        assert self.kinds("d1/crm") == [(1, "created"), (3, "created")]

    # -- the end of a delivery, and of a process

    async def test_done_when_all_tasks_are_final(self, store):
        """A delivery is done with the last of its tasks, however each of them ended, not before."""
        sinks = ["a", "b", "c", "d"]
        await self.add(store, sinks=sinks)
        tasks = [(await self.claim(store, sink))[0] for sink in sinks]
        signals = [Signal.EXHAUSTED, Signal.TAKEN, Signal.UNAVAILABLE, Signal.SPLIT]
        for task, signal in zip(tasks, signals, strict=True):
            await self.settle(store, task, signal)
            assert self.ledger.delivery("d1").state is DeliveryState.PROCESSING
        assert await store.unfinished() == 1
        (last,) = await self.claim(store, "c", at_ms=NOW_MS + HOUR_MS)
        await self.settle(store, last, Signal.REJECTED)
        assert self.ledger.delivery("d1").state is DeliveryState.DONE
        assert await store.unfinished() == 0

    async def test_recover(self, store):
        """A new process gets every lease back at once, however long it had to run."""
        tasks = [await self.leased(store, number) for number in (1, 2)]
        store = await self.reopen()
        assert await store.recover(now_ms=NOW_MS + 1) == 2
        assert await store.recover(now_ms=NOW_MS + 1) == 0
        assert await self.settle(store, tasks[0], Signal.TAKEN) is None
        again = await self.claim(store, at_ms=NOW_MS + 1)
        assert [(t.task_id, t.attempts) for t in again] == [("d1/crm", 2), ("d2/crm", 2)]
        assert self.ledger.attempts("d1/crm")[0].signal is Signal.RELEASED

    async def test_next_due(self, store):
        """The next moment of a sink is its earliest due time or end of a lease, and none when nothing is open."""
        assert await store.next_due_ms("crm") is None
        task = await self.leased(store)
        assert await store.next_due_ms("crm") == NOW_MS + LEASE_MS
        await self.add(store, 2, at_ms=NOW_MS + 50)
        assert await store.next_due_ms("crm") == NOW_MS + 50
        await self.settle(store, task, Signal.UNAVAILABLE, next_attempt_at_ms=NOW_MS + 49)
        assert await store.next_due_ms("crm") == NOW_MS + 49
        assert await store.next_due_ms("other") is None

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
