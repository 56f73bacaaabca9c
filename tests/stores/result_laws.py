"""Deliveries that are completed by the vendor's API, and what makes two of them the same, however they came."""

import pytest

from stibgate.domain.delivery import DeliveryState, IdempotencyKey
from stibgate.domain.event import QuarantineReason
from stibgate.domain.record import lookup_hash
from stibgate.stores import Awaited
from tests.stores.base import StoreLaws, replay, replay_delivery
from tests.stores.world import DAY_MS, NOW_MS, make_delivery, make_processed, make_records, snapshot

QUARANTINED = DeliveryState.QUARANTINED
HELD_MS = 1000


class ResultLaws(StoreLaws):
    """The read-backs of `Queue`, and the second key of `Inbox`."""

    async def thin(self, store, number=1, **fields):
        """Admit `d<number>`, a job event without its records."""
        await store.admit(make_delivery(number, **{"job_id": f"j{number}", "event_type": "e", **fields}))

    async def ready(self, store):
        return [(one.delivery.delivery_id, one.result) for one in await store.accepted(limit=9)]

    # -- waiting

    async def test_what_waits_is_not_processed(self, store):
        """A delivery that waits for its job is accepted, unfinished, and not given out for processing."""
        for number in (1, 2, 3):
            await self.thin(store, number)
        for _ in range(2):
            await store.await_result("d2", now_ms=NOW_MS + 5)
        assert await self.ready(store) == [("d1", None), ("d3", None)]
        assert (self.ledger.delivery("d2").state, await store.unfinished()) == (DeliveryState.ACCEPTED, 3)
        assert await store.awaiting(now_ms=NOW_MS + 4, limit=9) == []
        assert list(await store.awaiting(now_ms=NOW_MS + 5, limit=9)) == [Awaited("d2", "j2", NOW_MS + 5, 0)]
        store = await self.reopen()
        assert list(await store.awaiting(now_ms=NOW_MS + 5, limit=9)) == [Awaited("d2", "j2", NOW_MS + 5, 0)]

    async def test_who_is_asked_for_next(self, store):
        """Who waits longest comes first, at most *limit*; a try in vain is counted and puts it off."""
        assert await store.next_result_due_ms() is None
        for number, since in ((1, 7), (2, 5), (3, 5)):
            await self.thin(store, number)
            await store.await_result(f"d{number}", now_ms=NOW_MS + since)

        async def due(at_ms, limit=9):
            return [(one.delivery_id, one.tries) for one in await store.awaiting(now_ms=NOW_MS + at_ms, limit=limit)]

        assert await store.next_result_due_ms() == NOW_MS + 5
        assert (await due(9), await due(9, 2)) == ([("d2", 0), ("d3", 0), ("d1", 0)], [("d2", 0), ("d3", 0)])
        await store.postpone_result("d2", next_try_at_ms=NOW_MS + 50)
        await store.postpone_result("d9", next_try_at_ms=NOW_MS + 1)
        assert (await due(9), await due(50)) == ([("d3", 0), ("d1", 0)], [("d2", 1), ("d3", 0), ("d1", 0)])
        await store.postpone_result("d2", next_try_at_ms=NOW_MS + 2)
        assert await store.next_result_due_ms() == NOW_MS + 2
        assert (await store.awaiting(now_ms=NOW_MS + 2, limit=9))[0] == Awaited("d2", "j2", NOW_MS + 5, 2)

    async def test_who_cannot_wait(self, store):
        """What is not accepted, has no job or is unknown waits for nothing."""
        await self.thin(store, 1, state=QUARANTINED, reason="records_missing")
        await self.thin(store, 2, job_id=None)
        before = snapshot(self.ledger)
        for number in (1, 2, 9):
            await store.await_result(f"d{number}", now_ms=NOW_MS)
        assert (await store.next_result_due_ms(), snapshot(self.ledger)) == (None, before)
        assert await self.ready(store) == [("d2", None)]

    async def test_processed_anyway(self, store):
        """A delivery that is processed waits for nothing any more."""
        await self.thin(store)
        await store.await_result("d1", now_ms=NOW_MS)
        await store.process(make_processed(1))
        assert await store.next_result_due_ms() is None
        assert not await store.abandon_result("d1", "readback_failed", at_ms=NOW_MS)

    async def test_awaited(self, store):
        """Readers see since when a delivery waits, for which job, and how often it was asked for; then nothing."""
        await self.thin(store)
        assert self.ledger.awaited("d1") is None
        await store.await_result("d1", now_ms=NOW_MS)
        await store.postpone_result("d1", next_try_at_ms=NOW_MS + 5)
        seen = self.ledger.awaited("d1")
        assert (seen.delivery_id, seen.since_ms, seen.tries) == ("d1", NOW_MS, 1)
        assert seen.job_id == self.ledger.delivery("d1").job_id
        await store.fetched("d1", b"r", at_ms=NOW_MS)
        assert self.ledger.awaited("d1") is None

    async def test_forgone(self, store):
        """When nobody can read back any more, what waits goes on without its result."""
        for number in (1, 2):
            await self.thin(store, number)
            await store.await_result(f"d{number}", now_ms=NOW_MS)
        assert (await self.ready(store), await store.forgo_results()) == ([], 2)
        assert [name for name, _ in await self.ready(store)] == ["d1", "d2"]
        assert (await store.next_result_due_ms(), await store.forgo_results()) == (None, 0)

    # -- the result

    async def test_fetched(self, store):
        """What was read back is kept byte for byte and given out with the delivery, which waits no more."""
        await self.thin(store)
        await store.await_result("d1", now_ms=NOW_MS)
        assert self.ledger.result("d1") is None
        assert await store.fetched("d1", b'{"a":\x00\xff', at_ms=NOW_MS + 1)
        assert (await self.ready(store), await store.next_result_due_ms()) == ([("d1", b'{"a":\x00\xff')], None)
        assert await store.fetched("d1", b"newer", at_ms=NOW_MS + 2)
        store = await self.reopen()
        assert (await self.ready(store), self.ledger.result("d1")) == ([("d1", b"newer")], b"newer")
        await store.process(make_processed(1))
        assert (self.ledger.delivery("d1").records, self.ledger.result("d1")) == (2, b"newer")

    @pytest.mark.parametrize("reason", QuarantineReason, ids=str)
    async def test_fetched_for_what_was_quarantined(self, store, reason):
        """A result mends what its absence broke, and nothing else."""
        await self.thin(store)
        await store.process(make_processed(1, (), records=0, state=QUARANTINED, reason=reason))
        before = snapshot(self.ledger)
        assert await store.fetched("d1", b"r", at_ms=NOW_MS) == reason.awaits_result
        if not reason.awaits_result:
            assert snapshot(self.ledger) == before
            return
        stored = self.ledger.delivery("d1")
        assert (stored.state, stored.reason, stored.processed_at_ms) == (DeliveryState.ACCEPTED, None, None)
        assert await self.ready(store) == [("d1", b"r")]

    @pytest.mark.parametrize("state", ["processing", "done", "ignored", "unknown"])
    async def test_fetched_too_late(self, store, state):
        """What is processed, ignored or unknown takes no result."""
        await self.thin(store, reason=None if state != "ignored" else "records_missing")
        if state == "ignored":
            await store.process(make_processed(1, (), state=DeliveryState.IGNORED, reason="records_missing"))
        elif state != "unknown":
            await store.process(make_processed(1, ("crm",) if state == "processing" else ()))
        before = snapshot(self.ledger)
        assert not await store.fetched("d9" if state == "unknown" else "d1", b"r", at_ms=NOW_MS)
        assert snapshot(self.ledger) == before

    async def test_abandoned(self, store):
        """A delivery whose job cannot be had is quarantined for that; a later result still mends it."""
        await self.thin(store)
        assert not await store.abandon_result("d1", "readback_failed", at_ms=NOW_MS)
        await store.await_result("d1", now_ms=NOW_MS)
        assert await store.abandon_result("d1", "readback_failed", at_ms=NOW_MS + 7)
        stored = self.ledger.delivery("d1")
        assert (stored.state, stored.reason, stored.processed_at_ms) == (QUARANTINED, "readback_failed", NOW_MS + 7)
        assert await store.next_result_due_ms() is None
        assert not await store.abandon_result("d1", "readback_failed", at_ms=NOW_MS)
        assert await store.fetched("d1", b"r", at_ms=NOW_MS)

    @pytest.mark.parametrize("count", [0, 1, 2, 3])
    async def test_the_result_counts(self, store, count):
        """Of a delivery that was read back the records are those of the result, were there more or fewer in the event."""
        await self.thin(store, records=2)
        await store.process(make_processed(1, (), records=2, state=QUARANTINED, reason="records_missing"))
        await store.fetched("d1", b"r", at_ms=NOW_MS)
        await store.process(make_processed(1, ("crm",) if count else (), records=count))
        assert (self.ledger.delivery("d1").records, list(self.ledger.records("d1"))) == (count, make_records(count))
        second = lookup_hash(self.ledger.hash_key, "person_id", "person_1_1")
        assert list(self.ledger.find_person([second])) == [("d1", 1)] * (count > 1)

    @pytest.mark.parametrize(("state", "kept"), [(QUARANTINED, None), (DeliveryState.IGNORED, b"r")])
    async def test_a_replay_and_the_result(self, store, state, kept):
        """What was read back of an ignored delivery serves again; of a quarantined one it is asked for anew."""
        await self.thin(store)
        await store.fetched("d1", b"r", at_ms=NOW_MS)
        await store.process(make_processed(1, (), records=0, state=state, reason="envelope"))
        await replay_delivery(store, "d1", replay())
        assert (await self.ready(store), self.ledger.result("d1")) == ([("d1", kept)], kept)

    # -- two keys

    async def job(self, store, number, signed, job, *, at_ms=NOW_MS, only_if_new=False, **fields):
        """Admit `d<number>` under the signed id *signed* and the job *job*, which is forgotten much later."""
        keys = {
            "key": signed,
            "other_keys": () if job is None else (IdempotencyKey(job, at_ms + DAY_MS),),
            "ttl_ms": HELD_MS,
            "received_at_ms": at_ms,
        }
        return await store.admit(make_delivery(number, **{**keys, **fields}), only_if_new=only_if_new)

    async def test_either_key(self, store):
        """With two keys a delivery is a duplicate when either is held, of the holder of the signed id first."""
        assert not (await self.job(store, 1, b"s1", b"j1")).duplicate
        assert not (await self.job(store, 2, b"s2", b"j2")).duplicate
        said = [
            await self.job(store, n, *keys)
            for n, keys in enumerate([(b"s1", b"j3"), (b"s3", b"j1"), (b"s2", b"j1")], 3)
        ]
        assert [(one.delivery_id, one.duplicate) for one in said] == [("d1", True), ("d1", True), ("d2", True)]
        assert not (await self.job(store, 6, b"s3", b"j3")).duplicate, "a duplicate takes no key"
        assert [(await self.job(store, 9, key, None)).delivery_id for key in (b"j1", b"j2", b"j3")] == [
            "d1",
            "d2",
            "d6",
        ]

    async def test_two_keys_expire(self, store):
        """An expired key holds nobody up and is taken over; what repeats names the holder of its signed id."""
        await self.job(store, 1, b"s1", b"j1")
        late = NOW_MS + HELD_MS
        assert (await self.job(store, 2, b"s1", b"j1", at_ms=late)).delivery_id == "d1", "the job is still held"
        said = await self.job(store, 3, b"s1", b"j2", at_ms=late)
        assert (said.delivery_id, said.duplicate, said.repeat_of) == ("d3", False, "d1")
        assert (await self.job(store, 4, b"s1", b"j1", at_ms=late)).delivery_id == "d3"
        said = await self.job(store, 5, b"s5", b"j1", at_ms=NOW_MS + DAY_MS)
        assert (said.delivery_id, said.duplicate, said.repeat_of) == ("d5", False, None)
        assert (await self.job(store, 6, b"j1", None, at_ms=NOW_MS + DAY_MS)).delivery_id == "d5"

    async def test_only_if_new_by_either(self, store):
        """With `only_if_new` a key that was ever seen, either of them, is a duplicate that leaves no trace."""
        await self.job(store, 1, b"s1", b"j1")
        before = snapshot(self.ledger)
        for keys in ((b"s1", b"j9"), (b"s9", b"j1")):
            said = await self.job(store, 2, *keys, at_ms=NOW_MS + 9 * DAY_MS, only_if_new=True)
            assert (said.delivery_id, said.duplicate) == ("d1", True)
        assert snapshot(self.ledger) == before
        assert not (await self.job(store, 3, b"s3", b"j3", only_if_new=True)).duplicate

    @pytest.mark.parametrize(
        ("first", "second"), [("http", "poll"), ("poll", "http"), ("http", "http"), ("poll", "poll")]
    )
    async def test_conflicts_are_of_one_way(self, store, first, second):
        """An event and an answer of the API are never compared; two that came the same way are."""
        await store.admit(make_delivery(1, key=b"k", via=first))
        said = await store.admit(make_delivery(2, key=b"k", via=second))
        assert (said.duplicate, said.conflict) == (True, first == second)
        assert [one.conflict for one in self.ledger.sightings("d1")] == [first == second]
        assert self.ledger.delivery("d1").conflicts == (first == second)
