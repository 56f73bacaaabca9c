"""What every sink must do, whatever it writes to: subclass `SinkContract` and say how to make and read one."""

import asyncio
import contextlib
from collections.abc import Sequence

from stibgate.domain.record import Provenance, Record
from stibgate.sinks import Batch, Sink

RECEIVED_AT_MS = 1_779_043_330_004  # 2026-05-17T18:42:10.004Z


def make_record(number: int, **fields: object) -> Record:
    """Return an invented person; `person_id` is what `held()` gives back."""
    values = {
        "prospect_id": f"prs_{number}",
        "person_id": f"person_{number}",
        "first_name": "Zoë",
        "business_email": f"p{number}@example.com",
        "mobile_phone": "+12085550123",
        "company_revenue": 4_200_000,
        "company_naics": "005112",
        "position": number,
    }
    return Record(**{**values, **fields})


def make_batch(
    task_id: str, numbers: Sequence[int], *, attempt: int = 1, received_at_ms: int = RECEIVED_AT_MS, **fields: object
) -> Batch:
    """Return the batch of *task_id* whose records have these numbers, in a delivery of its own."""
    provenance = Provenance(
        delivery_id=f"dlv_{task_id}",
        source="stibnite",
        event_type="prospecting.records.pushed",
        received_at="2026-05-17T18:42:10.004Z",
        search_id="search_1",
        partner_user_id="user_1",
    )
    records = [make_record(number, **fields) for number in numbers]
    return Batch(task_id, attempt, received_at_ms, provenance, records)


class SinkContract:
    """The laws of `stibgate.sinks.Sink`."""

    def make(self) -> Sink:
        """Return a new sink on the same far side as every other one of this test."""
        raise NotImplementedError

    def held(self) -> list[str]:
        """Return the `person_id` of every record on the far side, in its order, doubles included."""
        raise NotImplementedError

    def check_at_rest(self) -> None:
        """Fail when something half done lies on the far side after `close`."""

    @contextlib.asynccontextmanager
    async def opened(self):
        sink = self.make()
        await sink.open()
        try:
            yield sink
        finally:
            await sink.close()

    async def test_one_outcome_per_record_in_order(self):
        """Every record gets one outcome, in the order of the batch, under its own position."""
        async with self.opened() as sink:
            outcomes = await sink.deliver(make_batch("t1", [0, 1, 4, 2]))
        assert [outcome.position for outcome in outcomes] == [0, 1, 4, 2]
        assert sorted(self.held()) == ["person_0", "person_1", "person_2", "person_4"]

    async def test_the_same_task_twice_doubles_nothing(self):
        """A task that comes again gets its outcomes again and leaves one copy."""
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 1]))
            outcomes = await sink.deliver(make_batch("t1", [0, 1], attempt=2))
        assert [outcome.position for outcome in outcomes] == [0, 1]
        assert sorted(self.held()) == ["person_0", "person_1"]

    async def test_concurrent_batches_all_arrive(self):
        """Batches delivered at once all arrive whole."""
        async with self.opened() as sink:
            await asyncio.gather(*(sink.deliver(make_batch(f"t{n}", [2 * n, 2 * n + 1])) for n in range(5)))
        assert sorted(self.held()) == sorted(f"person_{n}" for n in range(10))

    async def test_an_empty_batch_leaves_nothing(self):
        """No records: no outcomes and nothing on the far side."""
        async with self.opened() as sink:
            assert list(await sink.deliver(make_batch("t1", []))) == []
        assert self.held() == []

    async def test_after_close_nothing_is_half_done(self):
        """What `close` leaves is finished."""
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 1]))
            await sink.deliver(make_batch("t2", [2]))
        self.check_at_rest()
        assert sorted(self.held()) == ["person_0", "person_1", "person_2"]

    async def test_close_without_work(self):
        """A sink that got nothing closes and leaves nothing."""
        async with self.opened():
            pass
        assert self.held() == []

    async def test_it_survives_reopening(self):
        """A new sink on the same far side adds to it, and still knows the tasks of the old one."""
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 1]))
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 1], attempt=2))
            await sink.deliver(make_batch("t2", [2]))
        self.check_at_rest()
        assert sorted(self.held()) == ["person_0", "person_1", "person_2"]

    async def test_a_caller_that_gives_up_doubles_nothing(self):
        """A delivery that is cancelled half-way and comes again leaves one copy."""
        async with self.opened() as sink:
            for delay in range(4):
                impatient = asyncio.create_task(sink.deliver(make_batch("t1", [0, 1])))
                for _ in range(delay):
                    await asyncio.sleep(0)
                impatient.cancel()
                await asyncio.gather(impatient, return_exceptions=True)
            await sink.deliver(make_batch("t1", [0, 1], attempt=2))
        assert sorted(self.held()) == ["person_0", "person_1"]
