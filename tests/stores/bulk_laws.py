"""Replays by the page, and those in the background: what each means and how far it has come outlives the process."""

from dataclasses import replace

import pytest

from stibgate.domain.access import Principal, Role
from stibgate.domain.audit import Action, Actor, AuditEntry
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.record import lookup_hash
from stibgate.domain.task import TaskState
from stibgate.stores import (
    AuditFilter,
    Bulk,
    BulkState,
    DeliveryFilter,
    Page,
    ReplayResult,
    Selection,
    Step,
    TaskFilter,
)
from tests.stores.base import StoreLaws, new_task, replay
from tests.stores.world import HOUR_MS, NOW_MS, make_delivery, make_processed

REPLAYED, NOTHING_LEFT, ON_THE_WAY = ReplayResult.REPLAYED, ReplayResult.NOTHING_LEFT, ReplayResult.ON_THE_WAY
DANA = Actor(Principal("dana", Role.OPERATOR), "127.0.0.1", "dana: the CRM was down")
ALL_TASKS = Selection(TaskFilter())


def bulk_of(number=1, **fields):
    """Return replay `r<number>`, which begins."""
    return Bulk(f"r{number}", DANA, **{"forced": False, "started_at_ms": NOW_MS, **fields})


def line(action=Action.REPLAY_STARTED, target="r1"):
    """Return a line of the audit."""
    return AuditEntry(NOW_MS, "dana", Role.OPERATOR, action, target)


def over(bulk):
    """Return the line about the end of *bulk*."""
    return replace(line(Action.REPLAY, bulk.replay_id), detail={"state": str(bulk.state)})


def step(number, **fields):
    """Return the step that sends `d<number>/crm` again."""
    return Step(f"d{number}", REPLAYED, **{"records": 2, "sink": "crm", "task_id": f"d{number}/crm", **fields})


def page(begins, ends, *steps, **fields):
    """Return a page."""
    return Page(begins, ends, steps, **{"things": len(steps), **fields})


class BulkLaws(StoreLaws):
    """Laws of `stibgate.stores.ReplayBook`, and of `Desk.replay`."""

    def actions(self):
        """Return the actions of the audit, oldest first."""
        return [str(one.entry.action) for one in reversed(self.ledger.audit(AuditFilter(), limit=None))]

    async def running(self, store, selection=ALL_TASKS, **fields):
        """Return a replay that sends."""
        bulk = await store.begin_replay(bulk_of(**fields), selection, line())
        await store.replay_counted(bulk.replay_id, 3)
        return self.ledger.bulk(bulk.replay_id)

    async def test_steps(self, store):
        """Every step of a page is done, in its order, and says what became of it; what is left out stays as it is."""
        await self.end(store, 1, "dead")
        await self.end(store, 2, "delivered")
        await store.admit(make_delivery(3, records=1))
        await store.process(make_processed(3, (), state=DeliveryState.IGNORED))
        steps = [
            step(1),
            step(2),
            step(9, task_id="nobody"),
            Step("d2", ON_THE_WAY, sink="crm", task_id="d2/crm"),
            Step("d2", REPLAYED, 2, "drop", new=new_task("d2/drop", sink="drop")),
            Step("d2", REPLAYED, 2, "drop", new=new_task("d2/drop2", sink="drop")),
            Step("d3", REPLAYED, 1),
        ]
        wanted = [REPLAYED, NOTHING_LEFT, ReplayResult.UNKNOWN, ON_THE_WAY, REPLAYED, ON_THE_WAY, REPLAYED]
        assert list(await store.replay(steps, replay())) == wanted
        assert self.states() == {"d1/crm": "queued", "d2/crm": "delivered", "d2/drop": "queued"}
        assert self.ledger.delivery("d3").state is DeliveryState.ACCEPTED

    @pytest.mark.parametrize(
        "selection",
        [
            Selection(TaskFilter(state=TaskState.DEAD, error="no", since_ms=1, until_ms=NOW_MS), sink="crm"),
            Selection(TaskFilter(person=(lookup_hash(b"k", "email", "ann@example.com"), bytes(16)))),
            Selection(DeliveryFilter(state=DeliveryState.DONE, source="s", event_type="e", partner_customer_id="c")),
            Selection(DeliveryFilter(), ("d1", "d2/crm"), sink="crm"),
            Selection(DeliveryFilter(body_sha256=(bytes(32), b"\xff" * 32))),
        ],
        ids=lambda one: repr(one.where)[:12],
    )
    async def test_what_is_meant_is_kept(self, store, selection):
        """Who began it, what it means and where it begins is there after a restart: behind all that came before it."""
        for number in (1, 2):
            await self.add(store, number, sinks=("crm", "drop"))
        begun = await store.begin_replay(bulk_of(forced=True, asked_as=b"key"), selection, line())
        rows = 4 if isinstance(selection.where, TaskFilter) else 2
        assert begun == bulk_of(forced=True, asked_as=b"key", position=0 if selection.ids else rows + 1)
        await self.reopen()
        assert self.ledger.bulk("r1") == begun
        assert list(self.ledger.bulks()) == [begun]
        assert [(one, replace(meant, ids=tuple(meant.ids))) for one, meant in self.ledger.open_bulks()] == [
            (begun, selection)
        ]
        assert self.actions() == ["replay_started"]

    async def test_nobody_is_kept_by_name(self, store):
        """A selection that says what people are called is refused, and leaves nothing behind."""
        with pytest.raises(ValueError, match="hashes of people"):
            await store.begin_replay(bulk_of(), replace(ALL_TASKS, identifiers=[("email", "ann@example.com")]), line())
        assert (list(self.ledger.bulks()), self.actions()) == ([], [])
        assert self.ledger.bulk("r1") is None

    async def test_the_same_call_begins_one(self, store):
        """A call that comes again within a day is told of what it began, whatever became of that."""
        first = await store.begin_replay(bulk_of(asked_as=b"key"), ALL_TASKS, line())
        again = bulk_of(2, asked_as=b"key", started_at_ms=NOW_MS + 24 * HOUR_MS - 1)
        assert await store.begin_replay(again, ALL_TASKS, line(target="r2")) == first
        assert self.actions() == ["replay_started"]
        for number, fields in enumerate(({"started_at_ms": NOW_MS + 24 * HOUR_MS}, {"asked_as": b"k"}, {"asked_as": None}, {"asked_as": None})):  # fmt: skip
            other = replace(again, replay_id=f"r{number + 3}", **fields)
            assert (await store.begin_replay(other, ALL_TASKS, line())).replay_id == other.replay_id

    async def test_page_by_page(self, store):
        """A page is done and saved at once, each only from where the one before it ended; a restart changes nothing."""
        for number in (1, 2, 3):
            await self.end(store, number, "dead")
        bulk = await self.running(store)
        assert (bulk.state, bulk.total, bulk.position) == (BulkState.RUNNING, 3, 4)
        first = page(4, 2, step(3), step(2), others={"queued": 1}, unknown=["dlv_0"])
        assert list(await store.replay_page("r1", first, replay())) == [REPLAYED, REPLAYED]
        store = await self.reopen()
        moved = self.ledger.bulk("r1")
        assert (moved.position, moved.done, moved.report.records) == (2, 2, 4)
        assert (dict(moved.report.results), dict(moved.report.sinks)) == ({"queued": 1, "replayed": 2}, {"crm": 4})
        assert moved.report.unknown == ["dlv_0"]
        for other in (first, page(3, 1, step(1)), page(None, 1, step(1))):
            assert await store.replay_page("r1", other, replay()) is None
        assert await store.replay_page("nobody", page(2, 1, step(1)), replay()) is None
        assert (self.ledger.bulk("r1"), self.states()["d1/crm"]) == (moved, "dead")
        assert list(await store.replay_page("r1", page(2, 1, step(1)), replay())) == [REPLAYED]
        assert (self.ledger.bulk("r1").done, self.ledger.bulk("r1").report.records) == (3, 6)
        assert [len(self.ledger.replays(f"d{number}")) for number in (1, 2, 3)] == [1, 1, 1]

    @pytest.mark.parametrize("state", [BulkState.DONE, BulkState.CANCELLED, BulkState.FAILED], ids=str)
    async def test_what_is_over_is_over(self, store, state):
        """The first end counts and has its line; nothing is sent behind it, and it is not gone on with."""
        await self.end(store, 1, "dead")
        bulk = await self.running(store)
        ended = await store.end_replay("r1", state, over, now_ms=NOW_MS + 5, error="why")
        assert ended == replace(bulk, state=state, ended_at_ms=NOW_MS + 5, error="why")
        assert await store.end_replay("r1", BulkState.DONE, over, now_ms=NOW_MS + 6) is None
        assert await store.end_replay("nobody", BulkState.DONE, over, now_ms=NOW_MS + 6) is None
        assert await store.replay_page("r1", page(2, 1, step(1)), replay()) is None
        await store.replay_counted("r1", 9)
        assert (self.ledger.bulk("r1"), list(self.ledger.open_bulks())) == (ended, [])
        assert self.states() == {"d1/crm": "dead"}
        assert self.actions() == ["replay_started", "replay"]
        assert self.ledger.audit(AuditFilter(), limit=1)[0].entry.detail == {"state": str(state)}

    async def test_nothing_is_sent_while_it_counts(self, store):
        """A page comes only after the count."""
        await self.end(store, 1, "dead")
        await store.begin_replay(bulk_of(), ALL_TASKS, line())
        assert await store.replay_page("r1", page(2, 1, step(1)), replay()) is None
        assert self.states() == {"d1/crm": "dead"}

    async def test_old_ones_are_forgotten(self, store, monkeypatch):
        """Of those that have ended the latest are remembered; one that goes on is never forgotten."""
        for keeper in ("bulks", "memory_replays"):
            monkeypatch.setattr(f"stibgate.stores.{keeper}.BULKS_KEPT", 3)
        await store.begin_replay(bulk_of(0), ALL_TASKS, line())
        for number in range(1, 7):
            await store.begin_replay(bulk_of(number), ALL_TASKS, line())
            await store.end_replay(f"r{number}", BulkState.DONE, over, now_ms=NOW_MS)
        await store.begin_replay(bulk_of(999), ALL_TASKS, line())
        names = [bulk.replay_id for bulk in self.ledger.bulks()]
        assert names == ["r999", *(f"r{number}" for number in range(6, 3, -1)), "r0"]
        assert [bulk.replay_id for bulk, _ in self.ledger.open_bulks()] == ["r0", "r999"]
