"""Pause and resume: a paused sink queues and never drops, and nobody grows old meanwhile."""

from dataclasses import replace

import pytest

from stibgate.domain.task import Signal
from tests.stores.base import StoreLaws
from tests.stores.world import HOUR_MS, NOW_MS, PATIENT, snapshot

LATER_MS = NOW_MS + HOUR_MS
AGEING = replace(PATIENT, max_age_s=100)


class PauseLaws(StoreLaws):
    """A paused sink queues and never drops."""

    async def pause(self, store, at_ms=NOW_MS):
        return await store.pause("crm", now_ms=at_ms, by="me")

    async def test_pause(self, store):
        """A paused sink leases nothing: what waits stays, what comes is paused too, what runs ends and rests paused."""
        await self.end(store, 1, "waiting")
        tasks = [await self.leased(store, number) for number in (2, 3, 4, 5)]
        await self.add(store, 6)
        assert await self.pause(store) is True
        assert await self.pause(store, LATER_MS) is False
        state = self.ledger.sinks()["crm"]
        assert (state.paused, state.paused_at_ms, state.paused_by) == (True, NOW_MS, "me")
        await self.add(store, 7, sinks=["crm", "drop"])
        signals = [Signal.TAKEN, Signal.UNAVAILABLE, Signal.RELEASED, Signal.HELD]
        settled = [await self.settle(store, task, signal) for task, signal in zip(tasks, signals, strict=True)]
        assert [each.state for each in settled] == ["delivered", "paused", "paused", "paused"]
        expected = {"d1": "paused", "d2": "delivered"} | {f"d{n}": "paused" for n in range(3, 8)}
        assert {name[:2]: state for name, state in self.states().items() if "crm" in name} == expected
        assert await self.claim(store, at_ms=LATER_MS) == []
        assert await store.next_due_ms("crm") is None
        assert await self.names(store, "drop") == ["d7"]
        assert await store.unfinished() == 6

    async def test_resume(self, store):
        """A resume makes all that is paused due at once, whatever its time was, and keeps its tries."""
        await self.end(store, 1, "waiting")
        await self.add(store, 2)
        await self.pause(store)
        store = await self.reopen()
        assert await store.recover(now_ms=NOW_MS) == 0
        assert set(self.states().values()) == {"paused"}
        assert await store.resume("crm", now_ms=NOW_MS + 10) is True
        assert await store.resume("crm", now_ms=NOW_MS + 11) is False
        assert not self.ledger.sinks()["crm"].paused
        tasks = await self.claim(store, at_ms=NOW_MS + 10)
        assert [(task.task_id, task.tries) for task in tasks] == [("d1/crm", 2), ("d2/crm", 1)]

    async def test_resume_of_what_goes(self, store):
        """A sink that is neither paused nor left alone has nothing to resume, and nothing is written."""
        await self.add(store)
        before = snapshot(self.ledger)
        assert await store.resume("crm", now_ms=NOW_MS) is False
        assert await store.resume("nobody", now_ms=NOW_MS) is False
        assert snapshot(self.ledger) == before

    async def test_a_lease_that_runs_out_while_paused(self, store):
        """A lease that ends while its sink is paused, or that a dead process held, leaves a paused task."""
        await self.leased(store, 1)
        await self.leased(store, 2)
        await self.pause(store)
        assert await self.claim(store, at_ms=LATER_MS) == []
        assert set(self.states().values()) == {"paused"}
        await store.resume("crm", now_ms=LATER_MS)
        await self.claim(store, at_ms=LATER_MS, limit=1)
        await self.pause(store, LATER_MS)
        assert await store.recover(now_ms=LATER_MS) == 1
        assert set(self.states().values()) == {"paused"}

    async def test_age_stands_still(self, store):
        """The time of a pause does not count towards `max_age`, for each task from when it came to rest."""
        task = await self.leased(store, 1, policy=AGEING)
        await self.add(store, 2)
        await self.pause(store, NOW_MS + 40_000)
        await self.settle(store, task, Signal.UNAVAILABLE, at_ms=NOW_MS + 50_000)
        await self.add(store, 3, at_ms=NOW_MS + 60_000)
        await store.resume("crm", now_ms=LATER_MS)
        assert [LATER_MS - self.ledger.task(f"d{n}/crm").owed_at_ms for n in (1, 2, 3)] == [50_000, 40_000, 0]
        claim = await self.ask(store, at_ms=LATER_MS + 60_000, policy=AGEING)
        assert [task.task_id for task in claim.given_up] == ["d1/crm"]
        assert [task.task_id for task in claim.tasks] == ["d2/crm", "d3/crm"]

    async def test_resume_closes_the_breaker(self, store):
        """A resume closes the breaker, open or held, whether the sink was paused or not."""
        for number in range(1, 4):
            task = await self.leased(store, number)
            await self.settle(store, task, Signal.HELD, next_attempt_at_ms=LATER_MS)
            assert await store.resume("crm", now_ms=NOW_MS + 200) is True
            assert self.ledger.sinks()["crm"].circuit.closed
            if number == 2:
                await self.pause(store, NOW_MS + 200)
                await store.resume("crm", now_ms=NOW_MS + 200)
        tasks = await self.claim(store, at_ms=LATER_MS)
        assert len(tasks) == 3

    @pytest.mark.parametrize("paused_first", [True, False])
    async def test_a_pause_in_a_hold_is_counted_once(self, store, paused_first):
        """Time in which a sink was both held and paused is taken out of an age once, not twice."""
        first = await self.leased(store, 1)
        await self.add(store, 2)
        begins = [NOW_MS + 10_000, NOW_MS + 20_000]
        if paused_first:
            await self.pause(store, begins[0])
        await self.settle(store, first, Signal.HELD, at_ms=begins[paused_first], next_attempt_at_ms=NOW_MS + 50_000)
        if not paused_first:
            await self.pause(store, begins[1])
        await store.resume("crm", now_ms=LATER_MS)
        ages = [LATER_MS - self.ledger.task(f"d{number}/crm").owed_at_ms for number in (1, 2)]
        assert ages == ([20_000, 10_000] if paused_first else [10_000, 10_000])

    async def test_the_breaker_stays_through_a_pause(self, store):
        """Pausing a sink that is left alone does not lose why it was."""
        task = await self.leased(store)
        await self.settle(store, task, Signal.HELD, next_attempt_at_ms=LATER_MS, error="quota")
        await self.pause(store, NOW_MS + 500)
        circuit = self.ledger.sinks()["crm"].circuit
        assert (circuit.open_until_ms, circuit.reason, circuit.held_since_ms is not None) == (LATER_MS, "quota", True)

    async def test_order_through_a_pause(self, store):
        """Who waited for whom before a pause does so after it."""
        await self.end(store, 1, "waiting", "ann")
        await self.add(store, 2, "ann")
        assert await self.names(store) == []
        await self.pause(store)
        await self.add(store, 3, "ann")
        await store.resume("crm", now_ms=LATER_MS)
        assert await self.names(store, at_ms=LATER_MS) == ["d1"]
