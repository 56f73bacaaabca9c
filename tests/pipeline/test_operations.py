"""What operators ask for: a plan first, then the writes; nothing is swallowed and nothing is sent twice unasked."""

import pytest

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.routing import Condition, Route, Router
from stibgate.domain.task import Outcome, OutcomeKind, TaskState
from stibgate.errors import SinkRejected, UsageError
from stibgate.pipeline.dispatch import Outlet
from stibgate.pipeline.operations import Operations
from stibgate.stores import DeliveryFilter, Selection, TaskFilter
from stibgate.stores.memory import MemoryStore
from tests.pipeline.world import (
    POLICY,
    Clock,
    ScriptedSink,
    admit,
    delivery,
    ids,
    make_dispatcher,
    make_fanout,
    make_intake,
    receive,
    signed,
    to_sinks,
)

DEAD = Selection(TaskFilter(state=TaskState.DEAD))
EVERYTHING = Selection(DeliveryFilter())


class Office:
    """A store with one sink, `drop`, and somebody who operates it."""

    def __init__(self, *, router: Router | None = None) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.sink = ScriptedSink()
        self.woken = 0
        self.intake = make_intake(self.store, now_ms=self.clock)
        self.fanout = make_fanout(self.store, ["drop"], now_ms=self.clock)
        self.dispatcher = make_dispatcher(self.store, {"drop": Outlet(self.sink, POLICY)}, now_ms=self.clock)
        self.operations = Operations(
            self.store, self._read, router or to_sinks("drop"), ("drop", "crm"), self.clock, ids("new"), self._wake
        )

    async def _read(self, query):
        return query(self.store)

    def _wake(self) -> None:
        self.woken += 1

    async def receive(self, serial: int, *, records: int = 2) -> str:
        receipt = await admit(self.intake, delivery(records=records, serial=serial))
        return receipt.delivery_id

    async def work(self) -> None:
        """Process what came and make every attempt that is due."""
        while await self.fanout.run_once():
            pass
        while (claim := await self.store.claim("drop", POLICY, now_ms=self.clock(), limit=10)).tasks:
            for task in claim.tasks:
                await self.dispatcher.attempt(task)

    def states(self) -> list[str]:
        return [str(task.state) for _, task in reversed(self.store.tasks(TaskFilter(), limit=None))]

    async def replay(self, selection: Selection, *, forced: bool = False, dry_run: bool = False):
        return await self.operations.replay(selection, forced=forced, by="ann", dry_run=dry_run)


async def test_a_dry_run_counts_and_changes_nothing():
    """A dry run says what would be sent where, and leaves every task as it was."""
    office = Office()
    office.sink.script = [SinkRejected("never")]
    await office.receive(1)
    await office.work()
    report = await office.replay(DEAD, dry_run=True)
    assert (report.records, dict(report.sinks), dict(report.results)) == (2, {"drop": 2}, {"replayed": 1})
    assert office.states() == ["dead"]
    assert office.woken == 0


async def test_a_dead_letter_goes_the_same_way_again():
    """A replayed dead letter is delivered by the usual path, under the same key, and noted with who asked."""
    office = Office()
    office.sink.script = [SinkRejected("never")]
    name = await office.receive(1)
    await office.work()
    await office.replay(DEAD)
    assert office.woken == 1
    await office.work()
    assert office.states() == ["delivered"]
    assert [batch.key for batch in office.sink.batches] == ["tsk_1", "tsk_1"]
    assert [(note.by, note.state, note.records) for note in office.store.replays(name)] == [("ann", "dead", 2)]


async def test_many_dead_letters_all_move():
    """However many there are, each is replayed once: none is skipped between pages, none met twice."""
    office = Office()
    names = [await office.receive(serial, records=1) for serial in range(120)]
    office.sink.script = [SinkRejected("never") for _ in names]
    await office.work()
    report = await office.replay(DEAD)
    assert report.results == {"replayed": 120}
    await office.work()
    assert set(office.states()) == {"delivered"}
    assert len(office.sink.batches) == 240


async def test_what_is_done_is_not_sent_again():
    """A partial task sends only what was refused; a delivered one nothing, unless everything is asked for."""
    office = Office()
    office.sink.script = [[Outcome(0, OutcomeKind.WRITTEN), Outcome(1, OutcomeKind.REFUSED)]]
    await office.receive(1)
    await office.work()
    assert office.states() == ["partial"]
    await office.replay(EVERYTHING)
    await office.work()
    assert [[r.position for r in batch.records] for batch in office.sink.batches] == [[0, 1], [1]]
    assert (await office.replay(EVERYTHING)).results == {"nothing_left": 1}
    await office.replay(EVERYTHING, forced=True)
    await office.work()
    last = office.sink.batches[-1]
    assert (len(last.records), last.forced, last.key) == (2, True, "tsk_1.2")


async def test_a_quarantined_delivery_is_read_anew():
    """A delivery that was not understood is processed again from its body once it is."""
    office = Office()
    body = b"not json"
    receipt = await receive(office.intake, body, signed(body))
    report = await office.replay(Selection(DeliveryFilter(), [receipt.delivery_id]))
    assert report.results == {"replayed": 1}
    await office.work()
    held = office.store.delivery(receipt.delivery_id)
    assert held.state is DeliveryState.QUARANTINED, "read again, and still not understood"
    assert [note.state for note in office.store.replays(receipt.delivery_id)] == ["quarantined"]


async def test_an_ignored_delivery_is_routed_anew():
    """A delivery that had no route goes to the sink that it is routed to by now."""
    office = Office()
    office.intake = make_intake(office.store, now_ms=office.clock, router=to_sinks())
    await office.receive(1)
    await office.work()
    assert office.states() == []
    await office.replay(Selection(DeliveryFilter(state=DeliveryState.IGNORED)))
    await office.work()
    assert office.states() == ["delivered"]


async def test_a_new_route_brings_new_tasks():
    """Replaying a delivery that is done gives a task to each sink that it is routed to since."""
    office = Office(router=to_sinks("drop", "crm"))
    name = await office.receive(1)
    await office.work()
    report = await office.replay(EVERYTHING)
    assert report.results == {"nothing_left": 1, "replayed": 1}
    assert dict(report.sinks) == {"crm": 2}
    tasks = {task.sink: task for _, task in office.store.tasks(TaskFilter(delivery_id=name), limit=None)}
    assert (tasks["crm"].state, tasks["drop"].state) == (TaskState.QUEUED, TaskState.DELIVERED)
    assert office.store.delivery(name).state is DeliveryState.PROCESSING


async def test_a_wider_route_brings_the_other_records():
    """A route that takes more records by now sends the added ones, and no other."""
    office = Office(router=Router([Route("all", Condition(), ("drop",))]))
    narrow = Router([Route("one", Condition(company_state=frozenset({"ZZ"})), ("drop",))])
    office.fanout = type(office.fanout)(
        office.store, narrow, office.fanout.rules, now_ms=office.clock, new_id=ids("tsk")
    )
    name = await office.receive(1)
    await office.work()
    assert office.store.delivery(name).state is DeliveryState.IGNORED
    office.fanout = make_fanout(office.store, ["drop"], now_ms=office.clock)
    assert (await office.replay(EVERYTHING)).results == {"replayed": 1}
    await office.work()
    assert office.states() == ["delivered"]


async def test_only_one_sink():
    """With a sink, what is owed to others stays as it is."""
    office = Office(router=to_sinks("drop", "crm"))
    await office.receive(1)
    await office.work()
    report = await office.replay(Selection(DeliveryFilter(), sink="drop"), forced=True)
    assert dict(report.sinks) == {"drop": 2}


async def test_a_person_is_found_by_what_names_them():
    """A filter by person takes the tasks that owe that person, and no others."""
    office = Office()
    first, second = await office.receive(1), await office.receive(2)
    await office.work()
    person = office.store.records(second)[0].person_id
    selection = Selection(DeliveryFilter(), identifiers=[("person_id", person)])
    report = await office.replay(selection, forced=True)
    assert report.results == {"replayed": 1}
    assert office.store.replays(first) == []
    assert len(office.store.replays(second)) == 1


async def test_what_is_on_its_way_is_left_alone():
    """A queued task is neither replayed nor counted as sent again."""
    office = Office()
    await office.receive(1)
    await office.fanout.run_once()
    assert (await office.replay(EVERYTHING)).results == {"on_the_way": 1}


async def test_a_sink_that_is_gone_is_said():
    """A task of a sink that the configuration does not name any more is not replayed into nowhere."""
    office = Office()
    office.operations = Operations(
        office.store, office._read, to_sinks("crm"), ("crm",), office.clock, ids("new"), office._wake
    )
    office.sink.script = [SinkRejected("never")]
    await office.receive(1)
    await office.work()
    assert (await office.replay(DEAD)).results == {"sink_gone": 1}
    assert office.states() == ["dead"]


async def test_unknown_ids_are_named():
    """An id that names nothing is told, and the others are done."""
    office = Office()
    name = await office.receive(1)
    await office.work()
    report = await office.replay(Selection(DeliveryFilter(), ["nonsense", name]), forced=True)
    assert report.unknown == ["nonsense"]
    assert report.results == {"replayed": 1}


async def test_cancelled_tasks_stay_and_come_back():
    """A cancelled task ends its delivery, keeps its records, and a replay sends them."""
    office = Office()
    name = await office.receive(1)
    await office.fanout.run_once()
    selection = Selection(TaskFilter(), [name])
    assert (await office.operations.cancel(selection, by="ann", dry_run=True)).results == {"cancelled": 1}
    assert office.states() == ["queued"]
    report = await office.operations.cancel(selection, by="ann", dry_run=False)
    assert (report.results, report.records) == ({"cancelled": 1}, 2)
    assert office.store.delivery(name).state is DeliveryState.DONE
    await office.replay(selection)
    await office.work()
    assert office.states() == ["delivered"]


async def test_pause_and_resume_say_whether_they_changed_something(lines):
    """Pausing twice, or resuming what goes on, changes nothing; an unknown sink is refused with the known ones."""
    office = Office()
    assert await office.operations.pause("drop", by="ann")
    assert not await office.operations.pause("drop", by="bob")
    await office.receive(1)
    await office.work()
    assert office.states() == ["paused"]
    assert await office.operations.resume("drop")
    assert not await office.operations.resume("drop")
    await office.work()
    assert office.states() == ["delivered"]
    with pytest.raises(UsageError, match="no sink 'dorp'"):
        await office.operations.pause("dorp", by="ann")


async def test_an_id_does_not_widen_what_is_asked_for():
    """An id of something in another state, or owed to another sink, is told as what it is and left alone."""
    office = Office()
    name = await office.receive(1)
    await office.work()
    dead_ones = Selection(TaskFilter(state=TaskState.DEAD), [name, "tsk_1"])
    assert (await office.replay(dead_ones, forced=True)).results == {"delivered": 1}
    other_sink = Selection(TaskFilter(), ["tsk_1"], sink="crm")
    assert (await office.replay(other_sink, forced=True)).results == {"delivered": 1}
    assert office.states() == ["delivered"]


@pytest.mark.parametrize(("steps", "records", "sizes"), [(2, 99, [2, 2, 1]), (99, 5, [2, 2, 1]), (99, 1, [1] * 5)])
async def test_pages_are_small_transactions(monkeypatch, steps, records, sizes):
    """No page has more tasks, nor more records where it has several tasks, than may wait; each begins where one ended."""
    monkeypatch.setattr("stibgate.pipeline.operations.STEPS_MAX", steps)
    monkeypatch.setattr("stibgate.pipeline.operations.CHUNK_RECORDS", records)
    office = Office()
    for serial in range(5):
        await office.receive(serial)
    await office.work()
    pages = [page async for page in office.operations.pages(EVERYTHING, forced=True, position=6)]
    assert [len(page.steps) for page in pages] == sizes
    assert [page.begins for page in pages] == [6, *(page.ends for page in pages[:-1])]
    assert [one.begins async for one in office.operations.pages(EVERYTHING, forced=True, position=1)] == []
