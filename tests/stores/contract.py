"""What every store must do, wherever it remembers: subclass `StoreContract` and say how to open and read one."""

import asyncio

import pytest

from stibgate.domain.delivery import DeliveryState, Sighting, join_key
from stibgate.domain.task import Outcome, OutcomeKind, Signal
from stibgate.stores import NewTask
from tests.stores.bill_laws import BillLaws
from tests.stores.bulk_laws import BulkLaws
from tests.stores.circuit_laws import CircuitLaws
from tests.stores.desk_laws import DeskLaws
from tests.stores.job_laws import JobLaws
from tests.stores.ledger_laws import LedgerLaws
from tests.stores.office_laws import OfficeLaws
from tests.stores.order_laws import OrderLaws
from tests.stores.pause_laws import PauseLaws
from tests.stores.queue_laws import QueueLaws
from tests.stores.result_laws import ResultLaws
from tests.stores.run_laws import RunLaws
from tests.stores.tally_laws import TallyLaws
from tests.stores.world import (
    EVERY_TASK,
    EVERYTHING,
    HOUR_MS,
    NOW_MS,
    make_delivery,
    make_processed,
    make_records,
    snapshot,
)

LARGE = 1_200


class StoreContract(
    QueueLaws,
    OrderLaws,
    CircuitLaws,
    PauseLaws,
    DeskLaws,
    LedgerLaws,
    OfficeLaws,
    BulkLaws,
    RunLaws,
    JobLaws,
    BillLaws,
    ResultLaws,
    TallyLaws,
):
    """The laws of `stibgate.stores`."""

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
            billed=6,
        )
        admission = await store.admit(delivery)
        assert (admission.delivery_id, admission.duplicate, admission.repeat_of, admission.records) == (
            "d1", False, None, 7,
        )  # fmt: skip
        stored = self.ledger.delivery("d1")
        same = (
            "delivery_id", "source", "state", "reason", "event_type", "received_at_ms", "body_sha256", "records",
            "job_id", "search_id", "partner_customer_id", "partner_user_id", "authenticated_by", "stale", "via",
            "billed",
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
        again = make_delivery(2, key=b"k", body=b"one", received_at_ms=NOW_MS + 5, authenticated_by="t_v1/2")
        admission = await store.admit(again)
        assert (admission.delivery_id, admission.duplicate, admission.conflict) == ("d1", True, False)
        assert (admission.first_seen_at_ms, admission.records, admission.repeat_of) == (NOW_MS, 3, None)
        assert self.ledger.delivery("d2") is None
        sighting = Sighting("d1", NOW_MS + 5, again.body_sha256, conflict=False, authenticated_by="t_v1/2")
        assert list(self.ledger.sightings("d1")) == [sighting]
        assert self.ledger.body("d1", again.body_sha256) == b"one"
        assert (self.ledger.delivery("d1").duplicates, self.ledger.delivery("d1").conflicts) == (1, 0)

    async def test_conflict(self, store):
        """Another body under the same key is flagged, and kept beside the first."""
        await store.admit(make_delivery(1, key=b"k", body=b"one"))
        bodies = [b"two", b"three", b"two", b"one"]
        admissions = [await store.admit(make_delivery(n, key=b"k", body=body)) for n, body in enumerate(bodies, 2)]
        assert [(a.delivery_id, a.duplicate, a.conflict) for a in admissions] == [
            ("d1", True, True), ("d1", True, True), ("d1", True, True), ("d1", True, False),
        ]  # fmt: skip
        assert self.ledger.body("d1") == b"one"
        assert [self.ledger.body("d1", one.body_sha256) for one in self.ledger.sightings("d1")] == bodies
        assert self.ledger.body("d1", b"x" * 32) is None
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
        assert [(one.delivery.delivery_id, one.body, one.result) for one in waiting] == [
            ("d3", make_delivery(3).body, None),
            ("d2", make_delivery(2).body, None),
        ]
        assert [one.delivery.delivery_id for one in await store.accepted(limit=1)] == ["d3"]

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
        assert await store.next_due_ms("crm") is None

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
        await store.process(
            make_processed(
                1, tasks=[NewTask(*named, (0, 1)) for named in (("t1", "crm"), ("t2", "drop"), ("t3", "crm"))]
            )
        )
        assert [(n, t.task_id) for n, t in self.ledger.tasks(EVERY_TASK, limit=None)] == [(2, "t2"), (1, "t1")]

    async def test_large_delivery(self, store):
        """A delivery larger than any chunk keeps every record and every outcome, in order."""
        task = await self.leased(store, records=LARGE)
        owed = await store.owed(task)
        assert (owed.delivery.delivery_id, owed.delivery.records, owed.refused, task.records) == ("d1", LARGE, 0, LARGE)
        assert list(owed.records) == list(self.ledger.records("d1")) == make_records(LARGE)
        outcomes = [Outcome(position, OutcomeKind.CREATED, message=f"no. {position}") for position in range(LARGE)]
        assert await self.settle(store, task, Signal.TAKEN, outcomes=list(reversed(outcomes)))
        assert list(self.ledger.outcomes(task.task_id)) == outcomes
        assert self.ledger.delivery("d1").state is DeliveryState.DONE
