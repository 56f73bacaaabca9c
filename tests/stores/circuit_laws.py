"""Breaker and hold: a sink that fails is left alone, one that says so itself costs nobody anything."""

from dataclasses import replace

import pytest

from stibgate.domain.circuit import CLOSED, CircuitPolicy, CircuitState
from stibgate.domain.task import Signal, TaskState
from stibgate.stores import ReplayResult
from tests.stores.base import StoreLaws, created, replay, replay_task
from tests.stores.world import EVERY_TASK, HOUR_MS, NOW_MS, PATIENT

BREAKER = CircuitPolicy(failures=3, open_for_s=30, open_for_max_s=600)
POLICY = replace(PATIENT, circuit=BREAKER)
TWO_PROBES = replace(PATIENT, circuit=replace(BREAKER, half_open_probes=2))
OPEN_MS = 30_000


class CircuitLaws(StoreLaws):
    """The breaker opens after three failures, for 30 s at first."""

    def circuit(self, sink="crm"):
        state = self.ledger.sinks().get(sink)
        return CLOSED if state is None else state.circuit

    async def fail(self, store, task, *, at_ms=NOW_MS, policy=POLICY, signal=Signal.UNAVAILABLE, due_ms=0, **fields):
        """Let *task* fail at *at_ms*; it is due again at once."""
        fields = {"outcomes": [], "error": "503", **fields}
        return await self.settle(
            store, task, signal, policy=policy, at_ms=at_ms, next_attempt_at_ms=due_ms or at_ms, **fields
        )

    async def opened(self, store, *, tasks=5, policy=POLICY, at_ms=NOW_MS):
        """Enqueue *tasks* and let as many fail as open the breaker."""
        for number in range(1, tasks + 1):
            await self.add(store, number)
        for task in await self.claim(store, limit=policy.circuit.failures, policy=policy):
            await self.fail(store, task, policy=policy)
        assert self.circuit().state is CircuitState.OPEN

    # -- the breaker

    async def test_it_opens_after_failures_in_a_row(self, store):
        """The breaker opens with the third failure in a row, and says why and until when."""
        for number in (1, 2, 3):
            await self.add(store, number)
        first, second, third = await self.claim(store)
        settled = await self.fail(store, first)
        assert (settled.before.closed, settled.after.closed, settled.after.failures) == (True, True, 1)
        await self.fail(store, second)
        settled = await self.fail(store, third, at_ms=NOW_MS + 7)
        assert (settled.before.failures, settled.before.closed) == (2, True)
        opened = settled.after
        assert (opened.state, opened.failures, opened.open_until_ms) == (CircuitState.OPEN, 3, NOW_MS + 7 + OPEN_MS)
        assert (opened.held_since_ms, opened.reason) == (None, "503")
        assert opened == self.circuit()

    @pytest.mark.parametrize("held", [False, True])
    async def test_who_sends_again_gets_a_probe(self, store, held):
        """A replay is not kept waiting by a breaker: one probe goes at once, and it decides as ever."""
        await self.opened(store)
        (waiting,) = [task for _, task in self.ledger.tasks(EVERY_TASK, limit=None) if task.delivery_id == "d2"]
        if held:
            (probe,) = await self.claim(store, at_ms=NOW_MS + OPEN_MS, policy=POLICY)
            await self.fail(store, probe, signal=Signal.HELD, at_ms=NOW_MS + OPEN_MS, due_ms=NOW_MS + HOUR_MS)
        at_ms = NOW_MS + OPEN_MS + 1
        assert await replay_task(store, waiting.task_id, replay(at_ms)) is ReplayResult.REPLAYED
        assert await store.next_due_ms("crm") <= at_ms
        (probe,) = await self.claim(store, at_ms=at_ms, policy=POLICY)
        assert await self.claim(store, at_ms=at_ms, policy=POLICY) == []
        await self.fail(store, probe, at_ms=at_ms)
        assert self.circuit().state is CircuitState.OPEN
        assert self.circuit().open_until_ms > at_ms

    @pytest.mark.parametrize("signal", [Signal.TAKEN, Signal.SPLIT, Signal.REJECTED], ids=str)
    async def test_an_answer_between_failures(self, store, signal):
        """Whatever the sink answers, an answer is one: failures begin to count anew."""
        for number in range(5):
            await self.add(store, number)
        tasks = await self.claim(store)
        for task in tasks[:2]:
            await self.fail(store, task)
        await self.settle(store, tasks[2], signal, policy=POLICY)
        for task in tasks[3:]:
            await self.fail(store, task)
        assert (self.circuit().closed, self.circuit().failures) == (True, 2)

    async def test_what_is_given_back_is_no_failure(self, store):
        """A release and a lost lease say nothing about the sink; a task whose schedule ended does."""
        for number in range(4):
            await self.add(store, number)
        tasks = await self.claim(store)
        await self.settle(store, tasks[0], Signal.RELEASED, policy=POLICY)
        await store.recover(now_ms=NOW_MS)
        assert self.circuit() == CLOSED
        for task in await self.claim(store, limit=3):
            await self.fail(store, task, signal=Signal.EXHAUSTED)
        assert self.circuit().state is CircuitState.OPEN

    async def test_nothing_is_leased_while_it_is_open(self, store):
        """While the breaker is open nothing of the sink is leased, of others everything; it is due when it may be."""
        await self.opened(store)
        await self.add(store, 9, sinks=["drop"])
        for at_ms in (NOW_MS, NOW_MS + OPEN_MS - 1):
            assert await self.claim(store, at_ms=at_ms, policy=POLICY) == []
        assert await self.names(store, "drop") == ["d9"]
        assert await store.next_due_ms("crm") == NOW_MS + OPEN_MS

    @pytest.mark.parametrize(("policy", "probes"), [(POLICY, 1), (TWO_PROBES, 2)])
    async def test_probes(self, store, policy, probes):
        """When its time is over exactly so many probes begin, and no more until one of them ends."""
        await self.opened(store, policy=policy)
        at_ms = NOW_MS + OPEN_MS
        assert len(await self.claim(store, at_ms=at_ms, policy=policy)) == probes
        assert self.circuit().state is CircuitState.HALF_OPEN
        assert await self.claim(store, at_ms=at_ms + 1, policy=policy) == []

    async def test_a_probe_that_is_answered_closes_it(self, store):
        """The breaker closes with the first answer, and everything goes on."""
        await self.opened(store)
        (probe,) = await self.claim(store, at_ms=NOW_MS + OPEN_MS, policy=POLICY)
        settled = await self.settle(store, probe, Signal.TAKEN, policy=POLICY)
        assert (settled.before.closed, settled.after) == (False, CLOSED)
        assert len(await self.claim(store, at_ms=NOW_MS + OPEN_MS, policy=POLICY)) == 4

    async def test_it_doubles(self, store):
        """Each probe that fails doubles the time up to ten minutes; a closed breaker begins with 30 s again."""
        await self.opened(store)
        at_ms, waits = NOW_MS, [OPEN_MS]
        for _ in range(6):
            at_ms += waits[-1]
            (probe,) = await self.claim(store, at_ms=at_ms, policy=POLICY)
            at_ms += 5
            await self.fail(store, probe, at_ms=at_ms)
            waits.append(self.circuit().open_until_ms - at_ms)
            assert await self.claim(store, at_ms=at_ms + waits[-1] - 1, policy=POLICY) == []
        assert waits == [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000]
        at_ms += waits[-1]
        (probe,) = await self.claim(store, at_ms=at_ms, policy=POLICY)
        await self.settle(store, probe, Signal.TAKEN, policy=POLICY, at_ms=at_ms)
        for task in await self.claim(store, at_ms=at_ms, limit=3, policy=POLICY):
            await self.fail(store, task, at_ms=at_ms)
        assert self.circuit().open_until_ms - at_ms == OPEN_MS

    async def test_late_failures_change_nothing(self, store):
        """Attempts that began before the breaker opened do not open it further, nor do they fail a probe."""
        for number in range(1, 9):
            await self.add(store, number)
        tasks = await self.claim(store, policy=TWO_PROBES)
        for task in tasks[:3]:
            await self.fail(store, task, policy=TWO_PROBES)
        before = self.circuit()
        for task in tasks[3:7]:
            await self.fail(store, task, at_ms=NOW_MS + 9, policy=TWO_PROBES)
        assert self.circuit() == before
        at_ms = NOW_MS + OPEN_MS
        assert len(await self.claim(store, at_ms=at_ms, policy=TWO_PROBES)) == 1, "the one that hangs counts as running"
        before = self.circuit()
        await self.fail(store, tasks[7], at_ms=at_ms + 9, policy=TWO_PROBES)
        assert self.circuit() == before

    async def test_a_late_answer_closes_it(self, store):
        """An attempt that began before and is answered after all says that the sink is back."""
        for number in range(1, 5):
            await self.add(store, number)
        tasks = await self.claim(store, policy=POLICY)
        for task in tasks[:3]:
            await self.fail(store, task)
        await self.settle(store, tasks[3], Signal.TAKEN, policy=POLICY)
        assert self.circuit() == CLOSED

    async def test_a_probe_that_nobody_saw_end(self, store):
        """A probe whose lease ran out, or that was given back, makes room for another one."""
        await self.opened(store)
        at_ms = NOW_MS + OPEN_MS
        (probe,) = await self.claim(store, at_ms=at_ms, policy=POLICY)
        await self.settle(store, probe, Signal.RELEASED, policy=POLICY, at_ms=at_ms)
        (probe,) = await self.claim(store, at_ms=at_ms, policy=POLICY)
        assert await store.next_due_ms("crm") <= probe.lease_until_ms
        (again,) = await self.claim(store, at_ms=probe.lease_until_ms, policy=POLICY)
        assert again.attempts > 1 or again.task_id != probe.task_id
        assert self.circuit().open_for_ms == OPEN_MS

    async def test_it_survives_a_restart(self, store):
        """Breaker, hold and all that belongs to them are there after the store was opened again."""
        await self.opened(store)
        before = self.circuit()
        store = await self.reopen()
        assert self.circuit() == before
        assert await self.claim(store, at_ms=NOW_MS + OPEN_MS - 1, policy=POLICY) == []
        (probe,) = await self.claim(store, at_ms=NOW_MS + OPEN_MS, policy=POLICY)
        await self.fail(store, probe, at_ms=NOW_MS + OPEN_MS, signal=Signal.HELD, due_ms=NOW_MS + HOUR_MS)
        before = self.circuit()
        store = await self.reopen()
        assert self.circuit() == before
        assert await self.claim(store, at_ms=NOW_MS + HOUR_MS - 1, policy=POLICY) == []
        assert len(await self.claim(store, at_ms=NOW_MS + HOUR_MS, policy=POLICY)) == 1

    async def test_each_sink_has_its_own(self, store):
        """What one sink does says nothing about another one."""
        for number in range(3):
            await self.add(store, number, sinks=["crm", "drop"])
        for task in await self.claim(store, policy=POLICY):
            await self.fail(store, task)
        assert self.circuit("drop") == CLOSED
        assert len(await self.claim(store, "drop", policy=POLICY)) == 3

    # -- a hold

    async def test_a_hold_costs_no_try(self, store):
        """A sink that says it takes nothing opens its breaker until then, and the attempt does not count."""
        task = await self.leased(store)
        until_ms = NOW_MS + HOUR_MS
        settled = await self.fail(store, task, signal=Signal.HELD, error="quota", due_ms=until_ms)
        held = settled.after
        assert (held.state, held.open_until_ms, held.reason) == (CircuitState.OPEN, until_ms, "quota")
        assert held.held_since_ms is not None
        after = self.ledger.task("d1/crm")
        assert (after.state, after.tries, after.attempts) == (TaskState.QUEUED, 0, 1)
        assert (after.next_attempt_at_ms, after.error) == (NOW_MS, "quota"), (
            "the breaker keeps it, and may close sooner"
        )
        assert await self.claim(store, at_ms=until_ms - 1) == []
        assert [attempt.signal for attempt in self.ledger.attempts("d1/crm")] == [Signal.HELD]

    async def test_one_probe_after_a_hold(self, store):
        """When the hold's time is over one batch is tried; an answer lets the others go, another hold stops them."""
        for number in range(1, 5):
            await self.add(store, number)
        tasks = await self.claim(store, policy=POLICY, limit=3)
        until_ms = NOW_MS + HOUR_MS
        for task in tasks:
            await self.fail(store, task, signal=Signal.HELD, due_ms=until_ms)
        assert await self.claim(store, at_ms=until_ms - 1, policy=POLICY) == []
        assert await store.next_due_ms("crm") == until_ms
        (probe,) = await self.claim(store, at_ms=until_ms, policy=POLICY)
        assert await self.claim(store, at_ms=until_ms, policy=POLICY) == []
        await self.fail(store, probe, signal=Signal.HELD, at_ms=until_ms, due_ms=until_ms + 1000)
        (probe,) = await self.claim(store, at_ms=until_ms + 1000, policy=POLICY)
        await self.settle(store, probe, Signal.TAKEN, policy=POLICY, at_ms=until_ms + 1000)
        assert len(await self.claim(store, at_ms=until_ms + 1000, policy=POLICY)) == 3
        assert all(task.tries <= 1 for _, task in self.ledger.tasks(EVERY_TASK, limit=None))

    async def test_only_a_probe_ends_a_hold(self, store):
        """An answer to what began before the hold ends nothing; a probe's does, and what was held is due at once."""
        until_ms = NOW_MS + HOUR_MS
        tasks = [await self.leased(store, number) for number in (1, 2, 3)]
        for task in tasks[:2]:
            await self.fail(store, task, signal=Signal.HELD, due_ms=until_ms)
        await self.settle(store, tasks[2], Signal.TAKEN, policy=POLICY)
        assert await store.next_due_ms("crm") == until_ms
        (probe,) = await self.claim(store, at_ms=until_ms, policy=POLICY)
        await self.settle(store, probe, Signal.TAKEN, policy=POLICY, at_ms=until_ms)
        assert await self.names(store, at_ms=until_ms) == ["d2"]

    async def test_nobody_grows_old_while_held(self, store):
        """However long a sink is held, no task of it comes nearer to `max_age`, and before and after they all do."""
        policy = replace(POLICY, max_age_s=100)
        task = await self.leased(store, 1, policy=policy)
        await self.add(store, 2)
        hold_ms = NOW_MS + 40_000
        await self.fail(store, task, signal=Signal.HELD, at_ms=hold_ms, due_ms=hold_ms + HOUR_MS)
        await self.add(store, 3, at_ms=hold_ms + HOUR_MS // 2)
        at_ms = hold_ms + HOUR_MS
        for _ in range(5):  # each probe takes a second and is held again
            (probe,) = await self.claim(store, at_ms=at_ms, policy=policy)
            await self.fail(store, probe, signal=Signal.HELD, at_ms=at_ms + 1000, due_ms=at_ms + HOUR_MS)
            at_ms += HOUR_MS
        (probe,) = await self.claim(store, at_ms=at_ms, policy=policy)
        at_ms += 1000
        await self.settle(store, probe, Signal.TAKEN, policy=policy, at_ms=at_ms)
        ages = {task.task_id: at_ms - task.owed_at_ms for _, task in self.ledger.tasks(EVERY_TASK, limit=None)}
        ages.pop(probe.task_id)
        expected = {"d1/crm": 40_000, "d2/crm": 40_000, "d3/crm": 0}
        assert ages == {task_id: expected[task_id] for task_id in ages}
        claim = await self.ask(store, at_ms=at_ms + 60_000, policy=policy)
        assert (len(claim.tasks), len(claim.given_up)) == (2, 0)
        await store.recover(now_ms=at_ms + 60_000)
        claim = await self.ask(store, at_ms=at_ms + 60_001, policy=policy)
        assert len(claim.given_up) == 2 - ("d3/crm" in ages)

    async def test_a_held_sink_that_then_fails(self, store):
        """A probe after a hold that fails keeps the sink held: the breaker's own time begins, and nobody grows old."""
        policy = replace(POLICY, max_age_s=100)
        task = await self.leased(store, 1, policy=policy)
        await self.add(store, 2)
        await self.fail(store, task, signal=Signal.HELD, due_ms=NOW_MS + HOUR_MS)
        at_ms = NOW_MS + HOUR_MS
        (probe,) = await self.claim(store, at_ms=at_ms, policy=policy)
        await self.fail(store, probe, at_ms=at_ms + 10)
        assert (self.circuit().held_since_ms is not None, self.circuit().open_for_ms) == (True, OPEN_MS)
        at_ms += 10 + OPEN_MS
        (probe,) = await self.claim(store, at_ms=at_ms, policy=policy)
        await self.settle(store, probe, Signal.TAKEN, policy=policy, at_ms=at_ms)
        assert {at_ms - self.ledger.task(f"d{number}/crm").owed_at_ms for number in (1, 2)} == {0}

    async def test_answers_of_a_held_batch_are_kept(self, store):
        """What was answered before the sink held is not sent again."""
        task = await self.leased(store, records=3)
        await self.fail(store, task, signal=Signal.HELD, due_ms=NOW_MS + 1000, outcomes=created(0, 2))
        (again,) = await self.claim(store, at_ms=NOW_MS + 1000, policy=POLICY)
        assert [record.position for record in (await store.owed(again)).records] == [1]
