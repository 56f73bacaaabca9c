"""Order per person: at one sink nobody is overtaken, and nobody is written to twice at once."""

from dataclasses import replace

import pytest

from stibgate.domain.record import Record
from stibgate.domain.task import Signal, TaskState
from stibgate.stores import ReplayResult, TaskFilter
from tests.stores.base import StoreLaws, created, new_task, replay, replay_task
from tests.stores.world import HOUR_MS, LEASE_MS, NOW_MS, PATIENT, make_delivery, make_processed

LATER_MS = NOW_MS + HOUR_MS
LONG_LEASE = replace(PATIENT, lease_s=10 * HOUR_MS / 1000)


class OrderLaws(StoreLaws):
    """Deliveries are d1, d2, ... in the order in which they were enqueued."""

    @pytest.mark.parametrize("state", ["queued", "waiting", "leased", "paused and resumed"])
    async def test_a_later_task_waits(self, store, state):
        """While an earlier task with a person in common is open, in whatever state, a later one is not leased."""
        await self.add(store, 1, "ann", "bob", at_ms=NOW_MS)
        if state != "queued":
            (first,) = await self.claim(store)
        if state == "waiting":
            await self.settle(store, first, Signal.UNAVAILABLE, next_attempt_at_ms=LATER_MS)
        if state == "paused and resumed":
            await store.pause("crm", now_ms=NOW_MS, by="me")
            await self.settle(store, first, Signal.RELEASED)
        await self.add(store, 2, "bob", "eve", at_ms=NOW_MS + 1)
        if state == "paused and resumed":
            await store.resume("crm", now_ms=NOW_MS + 2)
        expected = ["d1"] if state in {"queued", "paused and resumed"} else []
        assert await self.names(store, at_ms=NOW_MS + 2) == expected
        assert await self.names(store, at_ms=NOW_MS + 3) == []
        assert self.ledger.task("d2/crm").attempts == 0

    @pytest.mark.parametrize("state", ["delivered", "partial", "dead", "rejected", "cancelled"])
    async def test_a_final_task_holds_up_nobody(self, store, state):
        """Once the earlier task is final, however it ended, the later one is leased."""
        await self.end(store, 1, state, "ann", "bob")
        await self.add(store, 2, "bob")
        assert await self.names(store) == ["d2"]

    @pytest.mark.parametrize("signal", [Signal.TAKEN, Signal.SPLIT, Signal.REJECTED, Signal.EXHAUSTED], ids=str)
    async def test_what_waited_goes_on(self, store, signal):
        """A task that was found to wait is due again the moment the one before it is final."""
        first = await self.leased(store, 1, "ann", "bob")
        await self.add(store, 2, "bob")
        assert await self.names(store) == []
        assert self.ledger.blocker("d2/crm") == "d1/crm"
        await self.settle(store, first, signal)
        assert await store.next_due_ms("crm") == NOW_MS
        assert self.ledger.blocker("d2/crm") is None
        assert await self.names(store) == ["d2"]

    async def test_a_cancelled_task_lets_go(self, store):
        """Cancelling the task that others wait for lets them go on."""
        await self.end(store, 1, "waiting", "ann")
        await self.add(store, 2, "ann")
        assert await self.names(store) == []
        assert await store.cancel(["d1/crm"], now_ms=NOW_MS, by="me")
        assert await self.names(store) == ["d2"]

    async def test_a_task_given_up_lets_go(self, store):
        """A task that is given up at a claim holds up nobody in that very claim."""
        policy = replace(PATIENT, max_age_s=60)
        await self.end(store, 1, "waiting", "ann")
        await self.add(store, 2, "ann", at_ms=NOW_MS + 1)
        await self.add(store, 3, "ann", at_ms=NOW_MS + 1)
        assert await self.names(store, at_ms=NOW_MS + 2) == []
        claim = await self.ask(store, at_ms=NOW_MS + 60_001, policy=policy)
        assert [task.task_id for task in claim.given_up] == ["d1/crm"]
        assert [task.task_id for task in claim.tasks] == ["d2/crm"]

    async def test_who_is_freed_keeps_its_place(self, store):
        """A task that is freed by a giving up is leased before others that fell due after it, in that very claim."""
        policy = replace(PATIENT, max_age_s=60)
        await self.end(store, 1, "waiting", "ann")
        await self.add(store, 2, "ann", at_ms=NOW_MS + 1)
        await self.add(store, 3, "bob", at_ms=NOW_MS + 6_000)
        assert await self.names(store, at_ms=NOW_MS + 1) == []
        claim = await self.ask(store, at_ms=NOW_MS + 60_001, policy=policy, limit=1)
        assert [task.delivery_id for task in (*claim.given_up, *claim.tasks)] == ["d1", "d2"]

    async def test_other_sinks_and_persons_go_on(self, store):
        """A task that waits for a person holds up no other sink and no other person."""
        first = await self.leased(store, 1, "ann", sinks=["crm", "drop"])
        await self.settle(store, first, Signal.UNAVAILABLE, next_attempt_at_ms=LATER_MS)
        for number, names in enumerate([["ann", "bob"], ["eve"], ["ann"], ["kim"]], start=2):
            await self.add(store, number, *names, sinks=["crm", "drop"])
        assert await self.names(store) == ["d3", "d5"]
        assert await self.names(store, "drop") == ["d1", "d3", "d5"]

    async def test_nobody_in_particular(self, store):
        """Records that nothing names hold up nobody, not even others like them."""
        await self.add(store, 1, None, None)
        await self.add(store, 2, None)
        await self.add(store, 3, None, "ann")
        await self.add(store, 4, None, "bob")
        assert await self.names(store) == ["d1", "d2", "d3", "d4"]

    async def test_what_is_the_same_person(self, store):
        """A person is who the strongest name says: other names in common do not count, the case of an e-mail neither."""
        records = [
            Record(person_id="ann", business_email="x@example.com", position=0),
            Record(person_id="bob", business_email="x@example.com", position=0),
            Record(prospect_id="ann", position=0),
            Record(business_email="Zoe@example.com", position=0),
            Record(business_email="zoe@example.com", position=0),
            Record(linkedin_url="https://linkedin.com/in/Zoe", position=0),
            Record(linkedin_url="https://linkedin.com/in/zoe", mobile_phone="+12085550123", position=0),
            Record(mobile_phone="+12085550123", position=0),
        ]
        for number, record in enumerate(records):
            await store.admit(make_delivery(number, records=1))
            await store.process(make_processed(number, records=[record]))
        assert await self.names(store) == ["d0", "d1", "d2", "d3", "d5", "d7"]

    async def test_only_the_records_that_are_owed(self, store):
        """A task is about the persons that were routed to its sink, not about all of its delivery."""
        await self.add(store, 1, "ann", "bob", tasks=[new_task("d1/crm", (0,))])
        await self.add(store, 2, "bob")
        await self.add(store, 3, "ann")
        assert await self.names(store) == ["d1", "d2"]

    async def test_a_chain(self, store):
        """Tasks about one person come one by one, in their order, also when they fell due in another."""
        for number in (1, 2, 3, 4):
            await self.add(store, number, "ann", at_ms=NOW_MS + 10 - number)
        seen = []
        for step in range(4):
            (task,) = await self.claim(store, at_ms=LATER_MS + step)
            seen.append(task.delivery_id)
            await self.settle(
                store, task, Signal.UNAVAILABLE, at_ms=LATER_MS + step, next_attempt_at_ms=LATER_MS + step
            )
            (task,) = await self.claim(store, at_ms=LATER_MS + step)
            seen.append(task.delivery_id)
            await self.settle(store, task, Signal.TAKEN, at_ms=LATER_MS + step)
        assert seen == ["d1", "d1", "d2", "d2", "d3", "d3", "d4", "d4"]

    async def test_a_chain_over_several_persons(self, store):
        """A task waits for each of its persons; one that is free of all of them does not wait for the others."""
        for number, names in enumerate([["ann"], ["bob"], ["ann", "bob"], ["bob", "eve"], ["eve"], ["kim"]], start=1):
            await self.add(store, number, *names)
        assert await self.names(store) == ["d1", "d2", "d6"]
        for number, then in [(2, []), (1, ["d3"]), (3, ["d4"]), (4, ["d5"])]:
            await self.settle(store, self.ledger.task(f"d{number}/crm"), Signal.TAKEN)
            assert await self.names(store) == then

    async def test_many_wait_for_one(self, store):
        """However many tasks wait for one, it is that one which is due, and then they all come, each once."""
        await self.end(store, 1, "waiting", "ann", "bob", "eve")
        for number in range(2, 32):
            await self.add(store, number, ["ann", "bob", "eve"][number % 3])
        assert await self.names(store) == []
        assert await store.next_due_ms("crm") == NOW_MS + 5_000
        seen = []
        for step in range(20):
            tasks = await self.claim(store, at_ms=NOW_MS + 5_000 + step)
            for task in tasks:
                seen.append(int(task.delivery_id[1:]))
                await self.settle(store, task, Signal.TAKEN, at_ms=NOW_MS + 5_000 + step)
        assert sorted(seen) == list(range(1, 32))
        for rest in range(3):
            mine = [number for number in seen if number % 3 == rest and number > 1]
            assert mine == sorted(mine)

    async def test_a_lost_lease_keeps_its_place(self, store):
        """A task whose lease ran out comes before those that waited for it."""
        await self.leased(store, 1, "ann")
        await self.add(store, 2, "ann")
        assert await self.names(store) == []
        assert await self.names(store, at_ms=NOW_MS + LEASE_MS) == ["d1"]
        store = await self.reopen()
        await store.recover(now_ms=LATER_MS)
        assert await self.names(store, at_ms=LATER_MS) == ["d1"]

    # -- next_due

    async def test_next_due_ignores_who_waits(self, store):
        """A task that waits for a person is not what a lane wakes up for."""
        await self.end(store, 1, "waiting", "ann")
        await self.add(store, 2, "ann")
        assert await self.names(store) == []
        assert await store.next_due_ms("crm") == NOW_MS + 5_000
        (first,) = await self.claim(store, at_ms=NOW_MS + 5_000)
        assert await store.next_due_ms("crm") == NOW_MS + 5_000 + LEASE_MS
        await self.settle(store, first, Signal.UNAVAILABLE, at_ms=NOW_MS + 6_000, next_attempt_at_ms=LATER_MS)
        assert await self.names(store, at_ms=NOW_MS + 6_000) == []
        assert await store.next_due_ms("crm") == LATER_MS

    # -- replay beside newer ones

    async def test_a_replay_waits_for_a_newer_one_that_runs(self, store):
        """An old task that is replayed is not leased beside a newer leased one with the same person."""
        await self.end(store, 1, "dead", "ann", "bob")
        newer = await self.leased(store, 2, "bob", policy=LONG_LEASE)
        assert await replay_task(store, "d1/crm", replay()) is ReplayResult.REPLAYED
        assert await self.names(store, at_ms=LATER_MS - 1, policy=LONG_LEASE) == []
        assert self.ledger.blocker("d1/crm") == "d2/crm"
        await self.settle(store, newer, Signal.UNAVAILABLE, next_attempt_at_ms=NOW_MS + 1)
        assert await self.names(store, at_ms=LATER_MS) == ["d1"], "and it is the earlier one that goes first then"

    async def test_a_replay_takes_its_old_place(self, store):
        """A replayed task comes before newer ones that have not begun."""
        await self.end(store, 1, "dead", "ann")
        await self.add(store, 2, "ann")
        await self.add(store, 3, "ann")
        await replay_task(store, "d1/crm", replay(NOW_MS))
        assert await self.names(store) == ["d1"]
        assert await self.names(store) == []

    async def test_a_replay_holds_up_only_what_it_owes(self, store):
        """A replayed task is about the persons whose records come again, not about those that are done."""
        await self.end(store, 1, "partial", "ann", "bob")
        await replay_task(store, "d1/crm", replay(NOW_MS))
        (first,) = await self.claim(store)
        await self.add(store, 2, "bob")
        await self.add(store, 3, "ann")
        assert await self.names(store) == ["d2"]
        await self.settle(store, first, Signal.TAKEN, outcomes=created(0))
        assert await self.names(store) == ["d3"]

    async def test_records_that_are_added_count(self, store):
        """Records that a replay adds to a task are its persons from then on."""
        await self.add(store, 1, "ann", "bob", tasks=[new_task("d1/crm", (0,))])
        (first,) = await self.claim(store)
        await self.settle(store, first, Signal.UNAVAILABLE, next_attempt_at_ms=LATER_MS)
        await replay_task(store, "d1/crm", replay(NOW_MS), (1,))
        await self.add(store, 2, "bob")
        assert await self.names(store) == ["d1"]

    async def test_nothing_is_leased_beside_a_leased_task(self, store):
        """Whatever is replayed, no two leased tasks of a sink ever have a person in common."""
        names = [["ann", "bob"], ["bob", "eve"], ["eve", "ann"], ["ann"], ["bob"], ["eve"]]
        for number, people in enumerate(names):
            await self.end(store, number, "dead", *people)
        for number in (3, 5, 1, 0, 2, 4):
            await replay_task(store, f"d{number}/crm", replay(NOW_MS))
            await self.claim(store, limit=1)
        for step in range(9):
            running = self.states_of("leased")
            people = [name for task in running for name in names[int(task.delivery_id[1:])]]
            assert len(people) == len(set(people))
            for task in running[:1]:
                await self.settle(store, task, Signal.TAKEN)
            await self.claim(store, at_ms=NOW_MS + step)
        assert set(self.states().values()) == {"delivered"}

    def states_of(self, state):
        return [task for _, task in self.ledger.tasks(TaskFilter(state=TaskState(state)), limit=None)]
