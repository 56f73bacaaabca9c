"""What people read of a store: exact, newest first, and the same after a restart."""

from dataclasses import replace

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.record import lookup_hash
from stibgate.domain.task import Signal, TaskState
from stibgate.stores import DeliveryFilter, NewTask, TaskFilter
from tests.stores.base import StoreLaws
from tests.stores.world import (
    EVERY_TASK,
    EVERYTHING,
    NOW_MS,
    make_delivery,
    make_people,
    make_processed,
    make_records,
)


class LedgerLaws(StoreLaws):
    """Lists, filters and look-ups."""

    async def test_what_is_not_there(self, store):
        """Asking for what is not there is answered with nothing, not an error."""
        assert (
            self.ledger.delivery("x")
            is self.ledger.body("x")
            is self.ledger.body("x", b"x" * 32)
            is self.ledger.task("x")
            is None
        )
        assert self.ledger.blocker("x") is None
        lists = (
            self.ledger.records("x"), self.ledger.sightings("x"),
            self.ledger.attempts("x"), self.ledger.outcomes("x"), self.ledger.find_person([]), self.ledger.positions("x"),
            self.ledger.history("x"), self.ledger.replays("x"), self.ledger.sinks(),
            self.ledger.find_person([b"x" * 16]), self.ledger.deliveries(EVERYTHING, limit=None),
            self.ledger.tasks(EVERY_TASK, limit=None),
        )  # fmt: skip
        assert [list(found) for found in lists] == [[]] * len(lists)

    async def test_some_of_the_records(self, store):
        """A part of a large delivery, or its flagged records only, is read without the rest."""
        await store.admit(make_delivery(1, records=5))
        await store.process(make_processed(1, ["crm"], records=5))
        everybody = make_records(5)
        assert list(self.ledger.records("d1", first=2)) == everybody[2:]
        assert list(self.ledger.records("d1", first=1, limit=2)) == everybody[1:3]
        assert list(self.ledger.records("d1", first=5, limit=2)) == []
        assert list(self.ledger.records("d1", flagged=True)) == [everybody[1], everybody[3]]

    async def test_delivery_filters(self, store):
        """Every filter that is given must hold, and each of them is exact."""
        await store.admit(make_delivery(1, source="a", job_id="j", event_type="e", received_at_ms=NOW_MS))
        await store.admit(make_delivery(2, source="a", search_id="s", received_at_ms=NOW_MS + 1, records=2))
        await store.admit(
            make_delivery(3, partner_customer_id="c", received_at_ms=NOW_MS + 2, state=DeliveryState.IGNORED)
        )
        await store.process(make_processed(2, ["crm"]))
        expected = {
            DeliveryFilter(): "321",
            DeliveryFilter(source="a"): "21",
            DeliveryFilter(source="A"): "",
            DeliveryFilter(state=DeliveryState.ACCEPTED): "1",
            DeliveryFilter(state=DeliveryState.PROCESSING): "2",
            DeliveryFilter(event_type="e"): "1",
            DeliveryFilter(job_id="j"): "1",
            DeliveryFilter(search_id="s"): "2",
            DeliveryFilter(partner_customer_id="c"): "3",
            DeliveryFilter(sink="crm"): "2",
            DeliveryFilter(sink="drop"): "",
            DeliveryFilter(since_ms=NOW_MS + 1): "32",
            DeliveryFilter(until_ms=NOW_MS + 1): "1",
            DeliveryFilter(since_ms=NOW_MS + 1, until_ms=NOW_MS + 2): "2",
            DeliveryFilter(source="a", sink="crm"): "2",
            DeliveryFilter(source="a", job_id="j", search_id="s"): "",
        }
        found = {
            where: "".join(d.delivery_id[1:] for d in self.ledger.deliveries(where, limit=None)) for where in expected
        }
        assert found == expected

    async def test_pages(self, store):
        """Pages by limit and cursor are the whole list, newest first, each row once."""
        for number in range(7):
            await store.admit(make_delivery(number, records=2))
            await store.process(make_processed(number, ["crm", "drop"]))
        whole = list(self.ledger.deliveries(EVERYTHING, limit=None))
        assert [d.delivery_id for d in whole] == [f"d{n}" for n in reversed(range(7))]
        pages, before = [], None
        while page := self.ledger.deliveries(EVERYTHING, limit=3, before=before):
            assert len(page) <= 3
            pages += page
            before = page[-1].sequence
        assert pages == whole
        all_tasks = list(self.ledger.tasks(EVERY_TASK, limit=None))
        assert len(all_tasks) == 14
        tasks, before = [], None
        while some := self.ledger.tasks(EVERY_TASK, limit=4, before=before):
            tasks += some
            before = some[-1][0]
        assert tasks == all_tasks

    async def test_task_filters(self, store):
        """Tasks are found by state, sink and delivery, all of which must hold."""
        await self.leased(store, 1, sinks=["crm", "drop"])
        await self.add(store, 2)
        expected = {
            TaskFilter(): ["d2/crm", "d1/drop", "d1/crm"],
            TaskFilter(state=TaskState.LEASED): ["d1/crm"],
            TaskFilter(sink="crm"): ["d2/crm", "d1/crm"],
            TaskFilter(delivery_id="d1"): ["d1/drop", "d1/crm"],
            TaskFilter(sink="crm", state=TaskState.QUEUED): ["d2/crm"],
            TaskFilter(sink="x"): [],
        }
        found = {where: [t.task_id for _, t in self.ledger.tasks(where, limit=None)] for where in expected}
        assert found == expected

    async def test_filters_of_a_bulk_replay(self, store):
        """Deliveries and tasks are found by error, time, job, search and person, all of which must hold."""
        people = {1: ["ann"], 2: ["bob"], 3: ["ann", "bob"], 4: ["eve", "kim"]}
        for number, names in people.items():
            at_ms = NOW_MS + number
            await store.admit(
                make_delivery(
                    number, source="ab"[number % 2], job_id=f"j{number}", search_id=f"s{number}", received_at_ms=at_ms,
                    records=len(names),
                )
            )  # fmt: skip
            tasks = [NewTask(f"d{number}/{sink}", sink, positions) for sink, positions in self.routed(names)]
            await store.process(make_processed(number, records=make_people(*names), at_ms=at_ms, tasks=tasks))
        errors = {"d1/crm": "503 from the far side", "d2/crm": "429 Too Many"}
        for task in await self.claim(store, at_ms=NOW_MS + 9):
            await self.settle(store, task, Signal.EXHAUSTED, error=errors.get(task.task_id))
        ann, bob, kim = (lookup_hash(self.ledger.hash_key, "person_id", name) for name in ("ann", "bob", "kim"))
        expected = [
            ({"error": "503"}, "1", "1c"),
            ({"error": "far SIDE"}, "", ""),
            ({"error": "%"}, "", ""),
            ({"error": "4"}, "2", "2c"),
            ({"source": "b"}, "31", "3d3c1d1c"),
            ({"source": "b", "error": "503"}, "1", "1c"),
            ({"since_ms": NOW_MS + 3}, "43", "4d4c3d3c"),
            ({"until_ms": NOW_MS + 2}, "1", "1d1c"),
            ({"since_ms": NOW_MS + 2, "until_ms": NOW_MS + 3}, "2", "2d2c"),
            ({"since_ms": NOW_MS + 3, "until_ms": NOW_MS + 3}, "", ""),
            ({"job_id": "j2"}, "2", "2d2c"),
            ({"search_id": "s4", "sink": "crm"}, "4", "4c"),
            ({"job_id": "j2", "search_id": "s4"}, "", ""),
            ({"person": (ann,)}, "31", "3c1d1c"),
            ({"person": (bob,), "sink": "drop"}, "32", "3d2d"),
            ({"person": (ann, bob), "source": "a"}, "2", "2d2c"),
            ({"person": (kim,)}, "4", "4d"),
            ({"person": ()}, "", ""),
            ({"person": (b"x" * 16,)}, "", ""),
        ]
        for fields, deliveries, tasks in expected:
            found = self.ledger.deliveries(DeliveryFilter(**fields), limit=None)
            listed = [task.task_id for _, task in self.ledger.tasks(TaskFilter(**fields), limit=None)]
            if "sink" not in fields or "person" not in fields:  # of a delivery the two may hold for different tasks
                assert "".join(d.delivery_id[1:] for d in found) == deliveries, fields
            assert "".join(name[1:4].replace("/", "") for name in listed) == tasks, fields

    def routed(self, names):
        """Return the first person to crm, the last to drop."""
        return [("crm", (0,)), ("drop", (len(names) - 1,))]

    async def test_find_person(self, store):
        """A person is found under every name that a record carries, oldest first, e-mail in any case."""
        people = [
            make_records(1, business_email="Zoe@Example.com", linkedin_url="https://linkedin.com/in/Zoe")[0],
            *make_records(2, person_id="person_9", mobile_phone="+12085550123")[1:],
        ]
        turned = [replace(people[0], position=1), replace(people[1], position=0)]
        for number, records in ((1, people), (2, turned)):
            await store.admit(make_delivery(number, records=2))
            await store.process(make_processed(number, records=records))
        key = self.ledger.hash_key

        def find(*names):
            return list(self.ledger.find_person([lookup_hash(key, kind, value) for kind, value in names]))

        assert find(("email", "zoe@example.COM")) == [("d1", 0), ("d2", 1)]
        assert find(("linkedin", "https://linkedin.com/in/zoe")) == [("d1", 0), ("d2", 1)]
        assert find(("phone", "+12085550123"), ("person_id", "person_9")) == [("d1", 1), ("d2", 0)]
        assert find(("person_id", "PERSON_9")) == find(("prospect_id", "person_9")) == []

    async def test_status(self, store):
        """The status counts deliveries and tasks by state."""
        await self.leased(store, 1, sinks=["crm", "drop"])
        await store.admit(make_delivery(2))
        status = self.ledger.status()
        assert dict(status.deliveries) == {"processing": 1, "accepted": 1}
        assert dict(status.tasks) == {"leased": 1, "queued": 1}
