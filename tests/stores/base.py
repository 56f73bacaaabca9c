"""What the laws of a store have in common: one store a test, and short words for what is done to it."""

from collections.abc import Sequence

import pytest

from stibgate.domain.budget import Verdict
from stibgate.domain.event import JOB_SUCCEEDED
from stibgate.domain.job import Job
from stibgate.domain.task import Outcome, OutcomeKind, Signal, Task
from stibgate.stores import Claim, Ledger, NewTask, Replay, ReplayResult, Step
from tests.stores.world import (
    EVERY_TASK,
    MONTHLY,
    NOW_MS,
    PATIENT,
    make_delivery,
    make_people,
    make_processed,
    make_result,
    make_run,
    make_settlement,
)

CRM = "crm"


class StoreLaws:
    """Laws of `stibgate.stores`; after each test the store's own check finds nothing."""

    async def open(self):
        """Return an empty store, the same again after `close`."""
        raise NotImplementedError

    async def close(self, store):
        """Let *store* go."""

    def read(self, store) -> Ledger:
        """Return what people read of *store*."""
        raise NotImplementedError

    @pytest.fixture
    async def store(self):
        self.current = await self.open()
        self.ledger = self.read(self.current)
        yield self.current
        found = list(self.ledger.check())
        self.ledger.close()
        await self.close(self.current)
        assert found == []

    async def reopen(self):
        """Return the store as the next process finds it."""
        self.ledger.close()
        await self.close(self.current)
        self.current = await self.open()
        self.ledger = self.read(self.current)
        return self.current

    async def add(self, store, number=1, *names, sinks=(CRM,), records=2, at_ms=NOW_MS, **fields):
        """Enqueue the tasks of a new delivery: about people of its own, or about *names*."""
        people = make_people(*names) if names else records
        count = len(names) if names else records
        await store.admit(make_delivery(number, records=count, received_at_ms=at_ms))
        await store.process(make_processed(number, sinks, records=people, at_ms=at_ms, **fields))

    async def ask(self, store, sink=CRM, *, at_ms=NOW_MS, limit=99, policy=PATIENT) -> Claim:
        """Return what *sink* may do at *at_ms*."""
        return await store.claim(sink, policy, now_ms=at_ms, limit=limit)

    async def claim(self, store, sink=CRM, *, at_ms=NOW_MS, limit=99, policy=PATIENT) -> list[Task]:
        """Lease what is due; nothing is given up by it."""
        claim = await self.ask(store, sink, at_ms=at_ms, limit=limit, policy=policy)
        assert not claim.given_up
        return list(claim.tasks)

    async def names(self, store, sink=CRM, **arguments) -> list[str]:
        """Lease what is due; return the numbers of the deliveries."""
        return [task.task_id.partition("/")[0] for task in await self.claim(store, sink, **arguments)]

    async def leased(self, store, number=1, *names, at_ms=NOW_MS, policy=PATIENT, **fields) -> Task:
        """Return the one task of a new delivery, leased."""
        await self.add(store, number, *names, at_ms=at_ms, **fields)
        (task,) = await self.claim(store, fields.get("sinks", (CRM,))[0], at_ms=at_ms, policy=policy)
        return task

    async def settle(self, store, task, signal, *, policy=PATIENT, at_ms=NOW_MS + 100, **fields):
        """End the lease of *task*; its breaker is that of *policy*."""
        if fields.get("outcomes") is None:
            fields.pop("outcomes", None)
            fields["records"] = len(self.ledger.positions(task.task_id))
        return await store.settle(make_settlement(task, signal, ended_at_ms=at_ms, **fields), policy.circuit)

    async def end(self, store, number=1, state="delivered", *names, **fields) -> Task:
        """Return the task of a new delivery that has come to *state*; of a partial one record 0 was refused."""
        if state == "cancelled":
            await self.add(store, number, *names, **fields)
            assert await store.cancel([f"d{number}/crm"], now_ms=NOW_MS, by="me")
            return self.ledger.task(f"d{number}/crm")
        task = await self.leased(store, number, *names, **fields)
        count = len(self.ledger.positions(task.task_id))
        kinds = [OutcomeKind.REFUSED] + [OutcomeKind.CREATED] * (count - 1)
        split = [Outcome(position, kind) for position, kind in enumerate(kinds)]
        signal, outcomes = {
            "delivered": (Signal.TAKEN, None),
            "partial": (Signal.SPLIT, split),
            "dead": (Signal.EXHAUSTED, []),
            "rejected": (Signal.REJECTED, None),
            "waiting": (Signal.UNAVAILABLE, []),
        }[state]
        settled = await self.settle(store, task, signal, outcomes=outcomes, error=f"it is {state}")
        assert settled is not None
        return self.ledger.task(task.task_id)

    async def bought(self, store, number=1, ceiling="25", *, budget=MONTHLY, confirmed=False, **fields) -> Job:
        """Return run `r<number>`, allowed and submitted as job `j<number>`."""
        reservation = await store.reserve(make_run(number, ceiling, **fields), budget, confirmed=confirmed)
        assert reservation.busy_run_id is None
        assert reservation.decision is None or reservation.decision.verdict is Verdict.ALLOW
        await store.submitted(f"r{number}", f"j{number}", now_ms=NOW_MS + 1, poll_at_ms=NOW_MS + 60)
        return self.ledger.job(f"j{number}")

    async def ended(self, store, number=1, delivery=None, *, sinks=(), at_ms=NOW_MS + 9, **result) -> Job:
        """Return job `j<number>` once delivery `d<delivery>`, of that number too, told how it ended."""
        delivery = number if delivery is None else delivery
        said = make_result(number, **result)
        count = said.received
        await store.admit(
            make_delivery(delivery, job_id=f"j{number}", event_type=JOB_SUCCEEDED, records=count, billed=said.billed)
        )
        await store.process(make_processed(delivery, sinks, records=count, at_ms=at_ms, job=said))
        return self.ledger.job(f"j{number}")

    def states(self) -> dict[str, str]:
        """Return the state of each task."""
        return {task.task_id: str(task.state) for _, task in self.ledger.tasks(EVERY_TASK, limit=None)}

    def kinds(self, task_id: str) -> list[tuple[int, str]]:
        """Return the current answers of a task."""
        return [(outcome.position, str(outcome.kind)) for outcome in self.ledger.outcomes(task_id)]


def replay(at_ms: int = NOW_MS + 1000, *, by: str = "me", forced: bool = False) -> Replay:
    """Return an operator's wish."""
    return Replay(at_ms, by, forced)


async def replay_task(store, task_id: str, wish: Replay, positions: Sequence[int] = ()) -> ReplayResult:
    """Send one task again, with *positions* that it never owed; return what became of that."""
    step = Step("", ReplayResult.REPLAYED, task_id=task_id, positions=positions)
    (result,) = await store.replay([step], wish)
    return result


async def replay_delivery(store, delivery_id: str, wish: Replay) -> ReplayResult:
    """Have one delivery processed again; return what became of that."""
    (result,) = await store.replay([Step(delivery_id, ReplayResult.REPLAYED)], wish)
    return result


async def add_tasks(store, delivery_id: str, tasks: Sequence[NewTask], wish: Replay) -> int:
    """Enqueue *tasks* that a delivery does not have yet; return how many there were."""
    steps = [Step(delivery_id, ReplayResult.REPLAYED, new=task) for task in tasks]
    return list(await store.replay(steps, wish)).count(ReplayResult.REPLAYED)


def created(*positions: int, kind: OutcomeKind = OutcomeKind.CREATED) -> Sequence[Outcome]:
    """Return *kind* for each of *positions*."""
    return [Outcome(position, kind) for position in positions]


def new_task(task_id: str, positions: Sequence[int] = (0, 1), sink: str = CRM, *, delay_ms: int = 0) -> NewTask:
    """Return a task that owes *positions*."""
    return NewTask(task_id, sink, positions, delay_ms)
