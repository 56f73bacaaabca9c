"""Bills: what was paid for, where it went, and what of it is nowhere."""

import pytest

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import Outcome, OutcomeKind, Signal
from stibgate.stores import NewTask
from tests.stores.base import CRM, StoreLaws, add_tasks, created, new_task, replay, replay_task
from tests.stores.world import HOUR_MS, NOW_MS, make_delivery, make_processed, make_run, snapshot

REFUSED = Outcome(1, OutcomeKind.REFUSED)
GONE = DeliveryState.QUARANTINED


class BillLaws(StoreLaws):
    """`Ledger.bills`."""

    def bill(self, name):
        """Return the one bill of the delivery or run *name*."""
        (bill,) = [
            bill
            for bill in self.ledger.bills(limit=None)
            if name in {bill.delivery and bill.delivery.delivery_id, bill.job and bill.job.run_id}
        ]
        return bill

    def counts(self, name="d1"):
        """Return what a bill says: billed, received, delivered, waiting, missing."""
        bill = self.bill(name)
        assert (bill in self.ledger.bills(limit=None, short=True)) == (bill.missing > 0)
        return bill.billed, bill.received, bill.delivered, bill.waiting, bill.missing

    async def push(self, store, number=1, *, billed=2, records=2, tasks=None, sinks=(CRM,), **fields):
        """Admit and process push `d<number>`."""
        await store.admit(make_delivery(number, billed=billed, records=records, **fields))
        tasks = {} if tasks is None else {"tasks": tasks}
        await store.process(make_processed(number, sinks, records=records, **tasks))

    async def answer(self, store, signal=Signal.TAKEN, sink=CRM, *, outcomes, at_ms=NOW_MS + HOUR_MS):
        (task,) = await self.claim(store, sink, at_ms=at_ms)
        await self.settle(store, task, signal, outcomes=outcomes, at_ms=at_ms)

    async def test_a_push(self, store):
        """A push is paid for when it comes, on its way until it is answered for, and then delivered or missing."""
        await store.admit(make_delivery(1, billed=2, records=2))
        assert self.counts() == (2, 2, 0, 0, 0)
        await store.process(make_processed(1))
        assert self.counts() == (2, 2, 0, 2, 0)
        await self.answer(store, Signal.UNAVAILABLE, outcomes=created(0))
        assert self.counts() == (2, 2, 1, 1, 0)
        await self.answer(store, outcomes=created(1), at_ms=NOW_MS + 2 * HOUR_MS)
        assert self.counts() == (2, 2, 2, 0, 0)
        bill = self.bill("d1")
        assert (bill.at_ms, bill.job, bill.delivery) == (NOW_MS, None, self.ledger.delivery("d1"))

    @pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.REFUSED], ids=str)
    async def test_only_what_is_done_is_delivered(self, store, kind):
        """A record that a sink left out is not delivered, however well its task ended."""
        await self.push(store)
        await self.answer(store, outcomes=[*created(0), Outcome(1, kind)])
        assert self.counts() == (2, 2, 1 + kind.done, 0, 1 - kind.done)

    async def test_refused(self, store):
        """A record that was refused is missing until somebody sends it again, and then once it is taken is not."""
        await self.push(store)
        await self.answer(store, Signal.SPLIT, outcomes=[*created(0), REFUSED])
        assert self.counts() == (2, 2, 1, 0, 1)
        await replay_task(store, "d1/crm", replay(NOW_MS + HOUR_MS))
        assert self.counts() == (2, 2, 1, 1, 0)
        await self.answer(store, outcomes=created(1))
        assert self.counts() == (2, 2, 2, 0, 0)
        await replay_task(store, "d1/crm", replay(NOW_MS + HOUR_MS, forced=True))
        assert self.counts() == (2, 2, 0, 2, 0)
        await store.cancel(["d1/crm"], now_ms=NOW_MS, by="me")
        assert self.counts() == (2, 2, 0, 0, 2)

    async def test_dead(self, store):
        """A task that was given up leaves what it owed missing."""
        await self.push(store)
        await self.answer(store, Signal.EXHAUSTED, outcomes=created(0))
        assert self.counts() == (2, 2, 1, 0, 1)

    async def test_two_sinks(self, store):
        """A record is delivered when every sink has it that owes it, and waits while one of them is still tried."""
        await self.push(store, sinks=(CRM, "drop"))
        await self.answer(store, outcomes=created(0, 1))
        assert self.counts() == (2, 2, 0, 2, 0)
        await self.answer(store, Signal.SPLIT, "drop", outcomes=[*created(0), REFUSED])
        assert self.counts() == (2, 2, 1, 0, 1)

    async def test_who_owes_it(self, store):
        """A record goes only where it was routed; one that was routed nowhere is missing."""
        await self.push(store, records=3, billed=3, tasks=[new_task("d1/crm", (0,)), new_task("d1/drop", (1,), "drop")])
        await self.answer(store, outcomes=created(0))
        assert self.counts() == (3, 3, 1, 1, 0)
        await self.answer(store, sink="drop", outcomes=created(1))
        assert self.counts() == (3, 3, 2, 0, 1)
        assert await add_tasks(store, "d1", [NewTask("d1/more", "more", (0, 1, 2))], replay()) == 1
        assert self.counts() == (3, 3, 0, 3, 0)
        await self.answer(store, sink="more", outcomes=created(0, 1, 2))
        assert self.counts() == (3, 3, 3, 0, 0)

    async def test_halves_make_a_whole(self, store):
        """Two sinks with a half each have everything."""
        await self.push(store, tasks=[new_task("d1/crm", (0,)), new_task("d1/drop", (1,), "drop")])
        await self.answer(store, outcomes=created(0))
        await self.answer(store, sink="drop", outcomes=created(1))
        assert self.counts() == (2, 2, 2, 0, 0)

    @pytest.mark.parametrize(("billed", "missing"), [(None, 0), (0, 0), (1, 0), (2, 0), (5, 3)])
    async def test_billed_and_not_received(self, store, billed, missing):
        """Who is billed for more than came misses the rest; who is billed nothing misses nothing."""
        await self.push(store, billed=billed)
        await self.answer(store, outcomes=created(0, 1))
        assert self.counts() == (billed, 2, 2, 0, missing)

    @pytest.mark.parametrize("state", [DeliveryState.QUARANTINED, DeliveryState.IGNORED], ids=str)
    async def test_what_went_nowhere(self, store, state):
        """A push that was not understood or not routed is paid for and missing, whole."""
        await store.admit(make_delivery(1, billed=2, records=2, state=state))
        assert self.counts() == (2, 2, 0, 0, 2)

    async def test_a_job(self, store):
        """A job has a bill from the moment it is asked for; what brought its records is on it."""
        await store.reserve(make_run(1), None, confirmed=False)
        assert self.counts("r1") == (None, 0, 0, 0, 0)
        await store.submitted("r1", "j1", now_ms=NOW_MS, poll_at_ms=NOW_MS)
        job = await self.ended(store, 1, sinks=(CRM,), billed=3)
        bill = self.bill("r1")
        assert (bill.at_ms, bill.job, bill.delivery) == (NOW_MS, job, self.ledger.delivery("d1"))
        assert self.counts("r1") == (3, 2, 0, 2, 0)
        await self.answer(store, outcomes=created(0, 1))
        assert self.counts("r1") == (3, 2, 2, 0, 1)

    async def test_a_job_billed_later(self, store):
        """What a job was billed counts when it is known at last; until then what its delivery says."""
        await self.bought(store)
        await self.ended(store, billed=None)
        assert self.counts("r1") == (None, 2, 0, 0, 0)
        await store.amend("j1", billed=2, next_cursor=None)
        assert self.counts("r1") == (2, 2, 0, 0, 2)
        await store.admit(make_delivery(2, job_id="j2", records=1, billed=4, event_type="e"))
        await store.process(make_processed(2, (), records=1))
        assert len(self.ledger.bills(limit=None)) == 1, "a delivery that is no push has no bill but its job's"

    async def test_order_and_pages(self, store):
        """Jobs and pushes share one order, of when they began; pages of any size are the whole list, each bill once."""
        moments = [5, 3, 5, 9, 1, 5, 3]
        for number, moment in enumerate(moments):
            at_ms = NOW_MS + moment
            if number % 2:
                await store.reserve(make_run(number, at_ms=at_ms), None, confirmed=False)
            else:
                await store.admit(make_delivery(number, received_at_ms=at_ms, billed=1, state=GONE))
        whole = list(self.ledger.bills(limit=None))
        assert [bill.at_ms - NOW_MS for bill in whole] == sorted(moments, reverse=True)
        assert [bill.sequence for bill in whole] == sorted({bill.sequence for bill in whole}, reverse=True)
        assert all(0 <= bill.sequence < 2**63 for bill in whole)
        for size in (1, 2, 3, 9):
            pages, before = [], None
            while page := self.ledger.bills(limit=size, before=before):
                assert len(page) <= size
                pages += page
                before = page[-1].sequence
            assert pages == whole
        short = [bill for bill in whole if bill.missing]
        assert len(short) == 4
        assert list(self.ledger.bills(limit=None, short=True)) == short
        assert list(self.ledger.bills(limit=1, short=True, before=short[1].sequence)) == [short[2]]
        assert list(self.ledger.bills(limit=None, since_ms=NOW_MS + 5)) == [b for b in whole if b.at_ms >= NOW_MS + 5]
        assert list(self.ledger.bills(limit=0)) == []

    async def test_a_bill_keeps_its_place(self, store):
        """Whatever happens to a job, its bill stays where it is."""
        await self.bought(store)
        place = self.bill("r1").sequence
        await self.ended(store)
        assert self.bill("r1").sequence == place
        before = snapshot(self.ledger)
        await self.reopen()
        assert snapshot(self.ledger) == before
