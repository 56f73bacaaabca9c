"""A story tells everything that happened to a delivery, a task or a record, in order, in words, and of nobody."""

import json
from dataclasses import fields, replace

import pytest

from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.event import QuarantineReason
from stibgate.domain.routing import Condition, Route, Router
from stibgate.domain.task import Outcome, OutcomeKind
from stibgate.errors import SinkHeld, SinkRejected, SinkUnavailable
from stibgate.normalise import Rules
from stibgate.pipeline.dispatch import Outlet
from stibgate.pipeline.drafts import EVENT_TYPE_UNKNOWN, NOT_ROUTED
from stibgate.pipeline.fanout import Fanout
from stibgate.pipeline.operations import Operations
from stibgate.stores import DeliveryFilter, Selection, TaskFilter
from stibgate.stores.memory import MemoryStore
from stibgate.views.reasons import reason_in_words
from stibgate.views.story import story_of_delivery, story_of_task
from tests.pipeline.world import (
    POLICY,
    Clock,
    ScriptedSink,
    admit,
    delivery,
    ids,
    make_dispatcher,
    make_intake,
    to_sinks,
)

REFUSED = Outcome(1, OutcomeKind.REFUSED, "VALIDATION_ERROR", "INVALID_EMAIL", "email", "c0ffee00", "not taken")


class Desk:
    """A store with the sinks `drop` and `crm`; a second passes with everything that happens."""

    def __init__(self, router=None):
        self.clock, self.store = Clock(), MemoryStore()
        self.sinks = {"drop": ScriptedSink(), "crm": ScriptedSink()}
        self.router = router or to_sinks("crm")
        self.intake = make_intake(self.store, now_ms=self.clock, router=self.router)
        outlets = {name: Outlet(sink, POLICY) for name, sink in self.sinks.items()}
        self.dispatcher = make_dispatcher(self.store, outlets, now_ms=self.clock)
        self.use(self.router)

    def use(self, router):
        """Route by *router* from now on."""
        new_id = ids("new") if hasattr(self, "fanout") else ids("tsk")
        self.fanout = Fanout(self.store, router, Rules(), now_ms=self.clock, new_id=new_id)
        self.operations = Operations(
            self.store, self._read, router, tuple(self.sinks), now_ms=self.clock, new_id=new_id, wake=lambda: None
        )

    async def _read(self, query):
        return query(self.store)

    async def receive(self, one):
        self.clock.advance(1)
        receipt = await admit(self.intake, one, at_ms=self.clock())
        self.clock.advance(1)
        while await self.fanout.run_once():
            pass
        return receipt.delivery_id

    async def attempt(self, sink="crm"):
        """Make the attempts of a sink that are due after a minute."""
        self.clock.advance(60)
        for task in (await self.store.claim(sink, POLICY, now_ms=self.clock(), limit=10)).tasks:
            self.clock.advance(1)
            await self.dispatcher.attempt(task)

    async def replay(self, where, **how):
        self.clock.advance(1)
        await self.operations.replay(Selection(where), by="ann", dry_run=False, **{"forced": False, **how})

    def story(self, name, *, position=None):
        lines = story_of_delivery(self.store, self.store.delivery(name), position=position)
        assert [line.at_ms for line in lines] == sorted(line.at_ms for line in lines)
        assert {line.delivery_id for line in lines} == {name}
        return [line.what for line in lines]


async def test_every_turn_of_a_task_is_told():
    """Held, unavailable, interrupted, refused and sent again: each is one line, in order, up to how it ended."""
    desk = Desk()
    desk.sinks["crm"].script = [
        SinkHeld("the token is refused", retry_after_s=60),
        SinkUnavailable("out for lunch", outcomes=[Outcome(0, OutcomeKind.CREATED)]),
        [REFUSED],
    ]
    name = await desk.receive(delivery(records=2))
    for _ in range(3):
        await desk.attempt()
    await desk.replay(TaskFilter())
    await desk.attempt()
    assert desk.story(name)[1:] == [
        "2 records normalised, 1 task for the sinks: 2 to crm",
        "owed to sink crm (task tsk_1)",
        "crm: attempt 1: the sink takes nothing for now, no attempt was counted: the token is refused",
        "crm: attempt 2: failed, to be tried again, 1 created: out for lunch",
        "crm: attempt 3: delivered in part, 1 refused",
        "tsk_1 sent again by ann: 1 record, it was partial",
        "crm: attempt 4: delivered, 1 written",
        f"{name} is now done",
    ]
    told = [line.what for line in story_of_task(desk.store, desk.store.task("tsk_1"))]
    assert told == [*desk.story(name)[:-1], "tsk_1 is now delivered"]


async def test_a_record_s_story_is_its_own():
    """Of one record only the attempts that had it are told, with the sink's words where it was refused."""
    desk = Desk()
    desk.sinks["crm"].script = [[Outcome(0, OutcomeKind.CREATED, message="adopted"), REFUSED]]
    name = await desk.receive(delivery(records=2))
    await desk.attempt()
    await desk.replay(TaskFilter())
    await desk.attempt()
    first, second = desk.story(name, position=0), desk.story(name, position=1)
    assert "crm: attempt 1: delivered in part, created adopted" in first
    assert not any("attempt 2" in line for line in first)
    why = "refused VALIDATION_ERROR INVALID_EMAIL email not taken c0ffee00"
    assert f"crm: attempt 1: delivered in part, {why}" in second
    assert "crm: attempt 2: delivered, written" in second


async def test_records_that_no_route_takes_are_named():
    """What goes nowhere is told by position, and in the record's own story."""
    desk = Desk(Router([Route("mail", Condition(has=("business_email",)), ["crm"])]))
    body = json.loads(delivery(records=9).body)
    for record in body["data"][1:]:
        record.pop("business_email", None)
    body["data"][0]["business_email"] = "somebody@example.com"
    one = delivery(records=9)
    name = await desk.receive(type(one)(json.dumps(body).encode(), one.headers))
    told = desk.story(name)
    assert "9 records normalised, 1 task for the sinks: 1 to crm" in told
    assert "no route takes records 1, 2, 3, 4, 5 and 3 more: nothing of that goes anywhere" in told
    assert not any("no route" in line for line in desk.story(name, position=0))
    lost = desk.story(name, position=1)
    assert "no route takes this record: it goes nowhere (`stibgate routes test` says why)" in lost
    assert not any("owed to" in line for line in lost)


async def test_what_an_open_task_waits_for():
    """The end of a story says how much is owed and what keeps it: a pause, a breaker, another task, or only time."""
    desk = Desk()
    first, second = await desk.receive(delivery(records=1)), await desk.receive(delivery(serial=2))
    assert desk.story(first)[-1].startswith(
        f"{first} is now processing; crm queued: 1 record waiting, the next attempt at "
    )
    desk.sinks["crm"].script = [SinkUnavailable("out for lunch")] * 2
    await desk.attempt()
    assert "crm waiting: 2 records waiting, the next attempt at 2026-05-17T18:4" in desk.story(second)[-1]
    await desk.operations.pause("crm", by="ann")
    assert ", the sink is paused since 2026-05-17T18:4" in desk.story(second)[-1]
    assert desk.story(second)[-1].endswith("Z by ann")
    assert "next attempt" not in desk.story(second)[-1]
    await desk.operations.resume("crm")
    desk.sinks["crm"].script = [SinkHeld("the token is refused", retry_after_s=600)] * 2
    await desk.attempt()
    assert ", the sink is left alone until 2026-05-17T18:5" in desk.story(second)[-1]
    assert ": the token is refused" in desk.story(second)[-1]


async def test_a_task_behind_another_names_it():
    """A task that waits for another one with the same person says which."""
    desk = Desk()
    first = delivery(records=1)
    again = type(first)(first.body + b" ", first.headers)
    await desk.receive(first)
    name = await desk.receive(again)
    assert desk.story(name)[-1].endswith("crm queued: 1 record waiting, behind tsk_1, which has a person in common")


async def test_dead_and_cancelled_say_how_much_was_not_forwarded():
    """The end of a story counts what no sink got, and gives the reason."""
    desk = Desk()
    desk.sinks["crm"].script = [SinkRejected("it is not taken")]
    name = await desk.receive(delivery(records=2))
    await desk.attempt()
    assert desk.story(name)[-1] == f"{name} is now done; crm dead: 2 records refused: it is not taken"
    assert desk.story(name, position=0)[-1] == f"{name} is now done; crm dead: this record refused: it is not taken"
    desk.sinks["crm"].script = [SinkUnavailable("out for lunch")] * 3
    other = await desk.receive(delivery(records=2, serial=2))
    for _ in range(3):
        await desk.attempt()
    assert desk.story(other)[-1] == f"{other} is now done; crm dead: 2 records not forwarded: out for lunch"
    await desk.operations.cancel(Selection(TaskFilter(), [other]), by="ann", dry_run=False)
    assert desk.story(other)[-1].endswith(
        "2 records not forwarded: cancelled by ann; the last error was: out for lunch"
    )
    assert desk.story(other, position=1)[-1].count("this record not forwarded") == 1


async def test_a_sink_that_was_added_later_has_its_own_beginning():
    """A replay that gives a new sink its task says so, and `all` says that what was done went out again."""
    desk = Desk()
    name = await desk.receive(delivery(records=2))
    await desk.attempt()
    desk.use(to_sinks("crm", "drop"))
    await desk.replay(DeliveryFilter(), forced=True)
    await desk.attempt()
    await desk.attempt("drop")
    told = desk.story(name)
    assert "tsk_1 sent again by ann: 2 records, done or not, it was delivered" in told
    assert "new_1 added by ann: 2 records are routed there by now" in told
    assert told[-1] == f"{name} is now done"
    for sink in ("crm", "drop"):
        assert any(line.startswith(f"{sink}: attempt ") and line.endswith(": delivered, 2 written") for line in told)


async def test_a_delivery_that_is_read_anew_says_what_it_was():
    """A replay of a delivery that was not routed tells its state before."""
    desk = Desk(Router([]))
    name = await desk.receive(delivery(records=2))
    assert desk.story(name)[-1].startswith(f"{name} is now ignored: ")
    desk.use(to_sinks("crm"))
    await desk.replay(DeliveryFilter())
    await desk.fanout.run_once()
    await desk.attempt()
    told = desk.story(name)
    assert "processed again by ann: it was ignored" in told
    assert told[-1] == f"{name} is now done"


@pytest.mark.parametrize("position", [None, 0, 1])
async def test_a_story_is_of_nobody(position):
    """No value of any record stands in any line, whatever happened to it."""
    desk = Desk()
    desk.sinks["crm"].script = [SinkUnavailable("out for lunch"), [Outcome(0, OutcomeKind.CREATED), REFUSED]]
    one = delivery(records=2)
    name = await desk.receive(one)
    for _ in range(2):
        await desk.attempt()
    text = "\n".join(desk.story(name, position=position))
    for record in json.loads(one.body)["data"]:
        assert not [
            value for key, value in record.items() if isinstance(value, str) and len(value) > 3 and value in text
        ]


async def test_a_sink_that_is_gone():
    """What is owed to a sink that the configuration does not have any more says so."""
    desk = Desk()
    one = await desk.receive(delivery("prospecting.records.pushed", records=1))
    found = desk.store.delivery(one)
    gone, there = (story_of_delivery(desk.store, found, configured=[name])[-1].what for name in ("drop", "crm"))
    assert "crm queued: 1 record waiting, the sink is not in the configuration any more" in gone
    assert "configuration" not in there


async def test_what_goes_no_further_says_why_and_what_next():
    """A delivery in quarantine, and one that nobody takes, end with the reason in words and the command to run."""
    desk = Desk(Router([]))
    name = await desk.receive(delivery(records=2))
    assert desk.story(name)[-1] == (
        f"{name} is now ignored: not_routed; no route takes any of it; `stibgate routes test` says why;"
        f" with another route `stibgate deliveries replay {name}` forwards it"
    )
    name = await desk.receive(replace(delivery(serial=2), body=b"[]"))
    assert desk.story(name)[-1] == (
        f"{name} is now quarantined: not_json_object; its body is not a JSON object in UTF-8;"
        f" `stibgate deliveries show {name} --raw` shows it; after a fix or an upgrade `stibgate deliveries replay {name}`"
    )


def test_every_reason_has_words():
    """No word of the closed set is left for the reader to guess."""
    base = StoredDelivery(**{field.name: None for field in fields(StoredDelivery)})
    for reason in (*QuarantineReason, NOT_ROUTED, EVENT_TYPE_UNKNOWN):
        stopped = replace(base, delivery_id="dlv_1", state=DeliveryState.QUARANTINED, reason=reason)
        assert len(reason_in_words(stopped)) == 2, reason
        assert reason_in_words(replace(stopped, state=DeliveryState.ACCEPTED)) == []


async def test_the_next_attempt_is_told_once():
    """While a sink is left alone, its tasks' own times say nothing: the sink's does; else theirs is told."""
    desk = Desk()
    desk.sinks["crm"].script = [SinkUnavailable("out for lunch"), SinkHeld("the token is refused", retry_after_s=60)]
    name = await desk.receive(delivery(records=2))
    await desk.attempt()
    assert "the next attempt at " in desk.story(name)[-1]
    await desk.attempt()
    assert desk.story(name)[-1].endswith("Z: the token is refused")
