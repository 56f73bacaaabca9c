"""What operators can do: replay, add, cancel; and what sinks remember."""

import asyncio
from dataclasses import replace

import pytest

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import OutcomeKind, Signal, TaskState
from stibgate.stores import ReplayNote, ReplayResult
from tests.stores.base import StoreLaws, add_tasks, created, new_task, replay, replay_delivery, replay_task
from tests.stores.world import (
    EVERY_TASK,
    HOUR_MS,
    NOW_MS,
    PATIENT,
    make_delivery,
    make_processed,
    make_records,
    snapshot,
)

LATER_MS = NOW_MS + HOUR_MS
AGEING = replace(PATIENT, max_age_s=100)
REPLAYED, NOTHING_LEFT, ON_THE_WAY = ReplayResult.REPLAYED, ReplayResult.NOTHING_LEFT, ReplayResult.ON_THE_WAY


class ReplayLaws(StoreLaws):
    """A replay makes due again what is not done, under the same task."""

    async def test_dead(self, store):
        """A dead task comes again at once, with tries and age anew, attempts going on, and its delivery is open."""
        await self.end(store, 1, "dead")
        await self.add(store, 2)
        assert self.ledger.delivery("d1").state is DeliveryState.DONE
        assert await replay_task(store, "d1/crm", replay(LATER_MS)) is REPLAYED
        task = self.ledger.task("d1/crm")
        assert (task.state, task.next_attempt_at_ms, task.owed_at_ms, task.tries) == ("queued", LATER_MS, LATER_MS, 0)
        assert (task.attempts, task.resend, task.forced, task.records) == (1, 0, False, 2)
        assert self.ledger.delivery("d1").state is DeliveryState.PROCESSING
        assert await store.next_due_ms("crm") == NOW_MS
        (again,) = [t for t in await self.claim(store, at_ms=LATER_MS) if t.task_id == "d1/crm"]
        assert again.attempts == 2
        await self.settle(store, again, Signal.TAKEN)
        assert self.ledger.delivery("d1").state is DeliveryState.DONE
        assert [attempt.number for attempt in self.ledger.attempts("d1/crm")] == [1, 2]
        assert list(self.ledger.replays("d1")) == [
            ReplayNote("d1", "d1/crm", LATER_MS, "me", forced=False, state="dead", records=2)
        ]

    @pytest.mark.parametrize(
        ("state", "forced", "result", "resend", "owed"),
        [
            ("dead", False, REPLAYED, 0, [0, 1]),
            ("dead", True, REPLAYED, 0, [0, 1]),
            ("rejected", False, REPLAYED, 0, [0, 1]),
            ("cancelled", False, REPLAYED, 0, [0, 1]),
            ("waiting", False, REPLAYED, 0, [0, 1]),
            ("waiting", True, REPLAYED, 0, [0, 1]),
            ("partial", False, REPLAYED, 1, [0]),
            ("partial", True, REPLAYED, 1, [0, 1]),
            ("delivered", False, NOTHING_LEFT, 0, []),
            ("delivered", True, REPLAYED, 1, [0, 1]),
        ],
    )
    async def test_from_each_state(self, store, state, forced, result, resend, owed):
        """What comes again is what is not done, or all of it where that was asked for; the sink is told how often."""
        before = await self.end(store, 1, state)
        wish = replay(forced=forced)
        assert await replay_task(store, "d1/crm", wish) is result
        if result is NOTHING_LEFT:
            assert self.ledger.task("d1/crm") == before
            assert list(self.ledger.replays("d1")) == []
            return
        (task,) = await self.claim(store, at_ms=wish.at_ms)
        assert (task.resend, task.forced, task.records, task.attempts) == (resend, forced, 2, before.attempts + 1)
        left = await store.owed(task)
        assert ([record.position for record in left.records], left.refused) == (owed, 0)
        await self.settle(store, task, Signal.TAKEN, outcomes=created(*owed, kind=OutcomeKind.UPDATED))
        assert self.ledger.task("d1/crm").state is TaskState.DELIVERED
        assert [position for position, _ in self.kinds("d1/crm")] == [0, 1]
        (note,) = self.ledger.replays("d1")
        noted = "dead" if state == "rejected" else state
        assert (note.state, note.records, note.forced) == (noted, len(owed), forced)

    @pytest.mark.parametrize("state", ["queued", "leased", "paused"])
    async def test_on_the_way(self, store, state):
        """What comes by itself is not replayed, forced or not."""
        await self.add(store)
        if state == "leased":
            await self.claim(store)
        if state == "paused":
            await store.pause("crm", now_ms=NOW_MS, by="me")
        before = snapshot(self.ledger)
        for forced in (False, True):
            assert await replay_task(store, "d1/crm", replay(forced=forced), (0, 1)) is ON_THE_WAY
        assert await replay_task(store, "nobody", replay()) is ReplayResult.UNKNOWN
        assert snapshot(self.ledger) == before

    async def test_resend_counts(self, store):
        """Each replay of what the sink had taken is another resend; one of what it never took is not."""
        await self.end(store, 1, "partial")
        for number in range(1, 4):
            assert await replay_task(store, "d1/crm", replay(LATER_MS, forced=True)) is REPLAYED
            (task,) = await self.claim(store, at_ms=LATER_MS)
            assert (task.resend, task.attempts) == (number, number + 1)
            await self.settle(store, task, Signal.TAKEN)
        await replay_task(store, "d1/crm", replay(LATER_MS, forced=True))
        (task,) = await self.claim(store, at_ms=LATER_MS)
        await self.settle(store, task, Signal.EXHAUSTED)
        await replay_task(store, "d1/crm", replay(LATER_MS))
        assert self.ledger.task("d1/crm").resend == 4
        assert [note.state for note in self.ledger.replays("d1")] == ["partial", *["delivered"] * 3, "dead"]

    async def test_forced_is_of_one_replay(self, store):
        """A task that was forced once is not forced for ever."""
        await self.end(store, 1, "delivered")
        await replay_task(store, "d1/crm", replay(LATER_MS, forced=True))
        (task,) = await self.claim(store, at_ms=LATER_MS)
        await self.settle(store, task, Signal.EXHAUSTED)
        await replay_task(store, "d1/crm", replay(LATER_MS))
        (task,) = await self.claim(store, at_ms=LATER_MS)
        assert task.forced is False
        await self.settle(store, task, Signal.TAKEN)

    async def test_history(self, store):
        """What was answered before a replay stays in the history, and only the newest answer counts."""
        await self.end(store, 1, "partial")
        await replay_task(store, "d1/crm", replay(LATER_MS))
        assert self.kinds("d1/crm") == [(1, "created")]
        (task,) = await self.claim(store, at_ms=LATER_MS)
        await self.settle(store, task, Signal.TAKEN, outcomes=created(0))
        assert self.kinds("d1/crm") == [(0, "created"), (1, "created")]
        history = [(attempt, answer.position, str(answer.kind)) for attempt, answer in self.ledger.history("d1/crm")]
        assert history == [(1, 0, "refused"), (1, 1, "created"), (2, 0, "created")]

    @pytest.mark.parametrize("kind", [OutcomeKind.SUPPRESSED, OutcomeKind.SKIPPED, OutcomeKind.REFUSED], ids=str)
    async def test_what_is_not_done_comes_again(self, store, kind):
        """A record that the sink has is done; one that was refused, suppressed or skipped is not."""
        task = await self.leased(store)
        split = [*created(0), *created(1, kind=kind)]
        signal = Signal.SPLIT if kind is OutcomeKind.REFUSED else Signal.TAKEN
        await self.settle(store, task, signal, outcomes=split)
        assert await replay_task(store, "d1/crm", replay(NOW_MS)) is REPLAYED
        (task,) = await self.claim(store)
        assert [record.position for record in (await store.owed(task)).records] == [1]

    async def test_positions_are_widened(self, store):
        """Records that routes now send there too are owed from then on; none of the old ones is dropped."""
        await self.add(store, records=4, tasks=[new_task("d1/crm", (2,))])
        (task,) = await self.claim(store)
        await self.settle(store, task, Signal.TAKEN, outcomes=created(2))
        assert await replay_task(store, "d1/crm", replay(NOW_MS), ()) is NOTHING_LEFT
        assert await replay_task(store, "d1/crm", replay(NOW_MS), (3, 0)) is REPLAYED
        assert list(self.ledger.positions("d1/crm")) == [0, 2, 3]
        (task,) = await self.claim(store)
        assert ([r.position for r in (await store.owed(task)).records], task.records) == ([0, 3], 3)
        await self.settle(store, task, Signal.TAKEN, outcomes=created(0, 3))
        await replay_task(store, "d1/crm", replay(NOW_MS), range(4))
        assert list(self.ledger.positions("d1/crm")) == [0, 1, 2, 3]
        (task,) = await self.claim(store)
        await self.settle(store, task, Signal.TAKEN, outcomes=created(1))

    async def test_while_paused(self, store):
        """A replay while the sink is paused waits for the resume, and does not grow old till then."""
        await self.end(store, 1, "dead")
        await store.pause("crm", now_ms=NOW_MS, by="me")
        assert await replay_task(store, "d1/crm", replay(NOW_MS + 1000)) is REPLAYED
        assert self.states() == {"d1/crm": "paused"}
        assert await replay_task(store, "d1/crm", replay(NOW_MS + 1000)) is ON_THE_WAY
        await store.resume("crm", now_ms=LATER_MS)
        (task,) = await self.claim(store, at_ms=LATER_MS)
        assert task.owed_at_ms == LATER_MS

    async def test_age_begins_anew(self, store):
        """A replayed task is as young as its replay, however old its delivery is."""
        await self.end(store, 1, "waiting")
        claim = await self.ask(store, at_ms=LATER_MS, policy=AGEING)
        assert len(claim.given_up) == 1
        await replay_task(store, "d1/crm", replay(LATER_MS))
        assert len(await self.claim(store, at_ms=LATER_MS + 100_000, policy=AGEING)) == 1

    async def test_a_thousand_interleaved(self, store):
        """A thousand dead tasks among others are all replayed while they are listed page by page, each once."""
        count = 1_000
        await asyncio.gather(*(store.admit(make_delivery(number, records=1)) for number in range(count)))
        new = [make_processed(number, ["crm", "drop"], records=1) for number in range(count)]
        await asyncio.gather(*map(store.process, new))
        policy = replace(PATIENT, schedule_s=())
        for sink in ("crm", "drop"):
            dead = 0
            while dead < count:
                claim = await self.ask(store, sink, policy=policy if sink == "crm" else PATIENT, limit=count)
                dead += len(claim.given_up) + len(claim.tasks)
        where = replace(EVERY_TASK, state=TaskState.DEAD)
        before, replayed = None, 0
        while page := self.ledger.tasks(where, limit=37, before=before):
            results = await asyncio.gather(*(replay_task(store, task.task_id, replay(LATER_MS)) for _, task in page))
            assert set(results) == {REPLAYED}
            replayed += len(page)
            before = page[-1][0]
        assert replayed == count
        assert dict(self.ledger.status().tasks) == {"queued": count, "leased": count}

    # -- deliveries

    @pytest.mark.parametrize("state", [DeliveryState.QUARANTINED, DeliveryState.IGNORED], ids=str)
    @pytest.mark.parametrize("when", ["on arrival", "when processed"])
    async def test_a_delivery(self, store, state, when):
        """A delivery that was not understood or not routed is accepted again, and processed as if it were new."""
        if when == "on arrival":
            await store.admit(make_delivery(1, state=state, reason="why", records=2))
        else:
            await store.admit(make_delivery(1, records=2))
            await store.process(make_processed(1, (), state=state, reason="why"))
        assert await replay_delivery(store, "d1", replay(LATER_MS)) is REPLAYED
        stored = self.ledger.delivery("d1")
        assert (stored.state, stored.reason, stored.processed_at_ms) == (DeliveryState.ACCEPTED, None, None)
        assert await replay_delivery(store, "d1", replay(LATER_MS)) is ON_THE_WAY
        (waiting,) = await store.accepted(limit=9)
        assert (waiting.delivery.delivery_id, waiting.body) == ("d1", make_delivery(1).body)
        await store.process(make_processed(1, at_ms=LATER_MS))
        assert list(self.ledger.records("d1")) == make_records(2)
        assert await self.names(store, at_ms=LATER_MS) == ["d1"]
        assert list(self.ledger.replays("d1")) == [
            ReplayNote("d1", None, LATER_MS, "me", forced=False, state=str(state), records=2)
        ]

    async def test_deliveries_that_have_tasks(self, store):
        """A delivery that was processed is not processed again: its tasks are what can be replayed."""
        await self.end(store, 1, "dead")
        await self.add(store, 2)
        before = snapshot(self.ledger)
        for name, result in [("d1", NOTHING_LEFT), ("d2", NOTHING_LEFT), ("d9", ReplayResult.UNKNOWN)]:
            assert await replay_delivery(store, name, replay()) is result
        assert snapshot(self.ledger) == before

    async def test_add_tasks(self, store):
        """Tasks for sinks that routes name now are added to a delivery, once, and it is open until they are final."""
        await self.end(store, 1, "delivered")
        tasks = [new_task("n1", (1,), "drop"), new_task("n2", (0, 1), "crm"), new_task("n3", (0, 1), "hook")]
        assert await add_tasks(store, "d1", tasks, replay(LATER_MS)) == 2
        assert self.states() == {"d1/crm": "delivered", "n1": "queued", "n3": "queued"}
        assert self.ledger.delivery("d1").state is DeliveryState.PROCESSING
        again = [replace(task, task_id=f"{task.task_id} again") for task in tasks]
        assert await add_tasks(store, "d1", again, replay(LATER_MS)) == 0
        notes = [(note.task_id, note.state, note.records) for note in self.ledger.replays("d1")]
        assert notes == [("n1", "new", 1), ("n3", "new", 2)]
        for sink, positions in (("drop", (1,)), ("hook", (0, 1))):
            (task,) = await self.claim(store, sink, at_ms=LATER_MS)
            assert [record.position for record in (await store.owed(task)).records] == list(positions)
            await self.settle(store, task, Signal.TAKEN, outcomes=created(*positions))
        assert self.ledger.delivery("d1").state is DeliveryState.DONE

    async def test_add_tasks_to_what_has_none(self, store):
        """A delivery that is done without tasks can get some; one that was not processed, or not stored, cannot."""
        await store.admit(make_delivery(1, records=2))
        await store.process(make_processed(1, ()))
        await store.admit(make_delivery(2, records=2))
        await store.admit(make_delivery(3, state=DeliveryState.IGNORED))
        assert await add_tasks(store, "d1", [new_task("n1")], replay()) == 1
        for name in ("d2", "d3", "d9"):
            assert await add_tasks(store, name, [new_task("n2")], replay()) == 0
        assert self.states() == {"n1": "queued"}

    async def test_added_tasks_know_their_place(self, store):
        """A task that is added waits for its persons like any other, and while its sink is paused."""
        await self.end(store, 1, "delivered", "ann", "bob")
        await self.leased(store, 2, "ann", sinks=["drop"])
        await add_tasks(store, "d1", [new_task("n1", (0,), "drop")], replay(NOW_MS))
        assert await self.claim(store, "drop") == []
        await store.pause("hook", now_ms=NOW_MS, by="me")
        await add_tasks(store, "d1", [new_task("n2", (0,), "hook")], replay(NOW_MS))
        assert self.states()["n2"] == "paused"

    # -- cancel

    @pytest.mark.parametrize("state", ["queued", "waiting", "paused", "dead"])
    async def test_cancel(self, store, state):
        """A task that is not under way can be ended, and keeps what the sink said last."""
        if state in {"waiting", "dead"}:
            await self.end(store, 1, state)
        else:
            await self.add(store)
        if state == "paused":
            await store.pause("crm", now_ms=NOW_MS, by="me")
        assert await store.cancel(["d1/crm"], now_ms=LATER_MS, by="Zoë") == ["d1/crm"]
        task = self.ledger.task("d1/crm")
        assert (task.state, task.next_attempt_at_ms, task.updated_at_ms) == (TaskState.CANCELLED, None, LATER_MS)
        said = f"; the last error was: it is {state}" if state in {"waiting", "dead"} else ""
        assert task.error == f"cancelled by Zoë{said}"
        assert self.ledger.delivery("d1").state is DeliveryState.DONE
        assert await store.cancel(["d1/crm"], now_ms=LATER_MS, by="me") == []
        await store.resume("crm", now_ms=LATER_MS)
        assert await self.claim(store, at_ms=LATER_MS) == []

    @pytest.mark.parametrize("state", ["leased", "delivered", "partial", "cancelled"])
    async def test_what_cannot_be_cancelled(self, store, state):
        """What is under way or over, and what does not exist, is not cancelled."""
        await (self.leased(store) if state == "leased" else self.end(store, 1, state))
        before = snapshot(self.ledger)
        assert await store.cancel(["d1/crm"], now_ms=LATER_MS, by="me") == []
        assert await store.cancel(["nobody"], now_ms=LATER_MS, by="me") == []
        assert snapshot(self.ledger) == before

    async def test_cancel_keeps_what_was_answered(self, store):
        """Answers of earlier attempts outlive a cancel, and a replay leaves them out."""
        task = await self.leased(store)
        await self.settle(store, task, Signal.UNAVAILABLE, outcomes=created(1))
        await store.cancel(["d1/crm"], now_ms=LATER_MS, by="me")
        assert self.kinds("d1/crm") == [(1, "created")]
        await replay_task(store, "d1/crm", replay(LATER_MS))
        (task,) = await self.claim(store, at_ms=LATER_MS)
        assert [record.position for record in (await store.owed(task)).records] == [0]


class MemoryLaws(StoreLaws):
    """What sinks remember is theirs, and durable."""

    async def test_memories(self, store):
        """Documents are found under their keys, the newest of each, by their own sink only, also after a restart."""
        first = {"a": {"n": [1, None, "é\x00"]}, "": [], "b'; DROP TABLE memories": "x"}
        await store.remember("crm", first)
        await store.remember("drop", {"a": 1})
        await store.remember("crm", {"b": 2.5, "": {}})
        store = await self.reopen()
        assert await store.recall("crm", ["a", "b", "", "c", "a"]) == {"a": first["a"], "b": 2.5, "": {}}
        assert await store.recall("drop", ["a", "b"]) == {"a": 1}
        assert await store.recall("hook", ["a"]) == await store.recall("crm", []) == {}
        assert await store.recall("crm", list(first)[2:]) == {"b'; DROP TABLE memories": "x"}

    async def test_many_memories(self, store):
        """Thousands of keys are remembered and recalled at once."""
        documents = {f"key {number}": {"hash": "x" * 32, "number": number} for number in range(5_000)}
        await store.remember("crm", documents)
        assert await store.recall("crm", list(documents)) == documents

    async def test_memories_are_copies(self, store):
        """What is changed after it was remembered or recalled changes nothing."""
        document = {"n": [1]}
        await store.remember("crm", {"a": document})
        document["n"].append(2)
        recalled = await store.recall("crm", ["a"])
        recalled["a"]["n"].append(3)
        assert await store.recall("crm", ["a"]) == {"a": {"n": [1]}}


class DeskLaws(ReplayLaws, MemoryLaws):
    """Everything at the operators' desk."""
