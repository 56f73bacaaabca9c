"""What every sink must do, whatever it writes to: for authors of sinks, with plain pytest.

Subclass `SinkContract`, say how to make the sink and how to read its far side, and pytest holds it to every law:

    class TestJsonLog(SinkContract):
        @pytest.fixture(autouse=True)
        def _far_side(self, tmp_path):
            self.path = tmp_path / "people.jsonl"

        def make(self):
            return JsonLogSettings(kind="jsonlog", path=self.path).build(make_context(memory=self.memory))

        def held(self):
            return [json.loads(line)["person_id"] for line in self.path.read_text().splitlines()]

The laws are coroutines: pytest-asyncio runs them with `asyncio_mode = "auto"`, and so does pytest-aiohttp.
"""

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from stibgate.domain.record import Provenance, Record
from stibgate.domain.task import Outcome
from stibgate.sinks import Batch, Finding, Memory, Sink, SinkContext

RECEIVED_AT_MS = 1_779_043_330_004  # 2026-05-17T18:42:10.004Z

_TURNS_BEFORE_CANCEL = (0, 1, 2, 3, 5, 8, 13)


def make_record(number: int, **fields: Any) -> Record:
    """Return an invented person; `person_id` is what `held()` gives back.

    Args:
        number: Makes the identifiers, and is the position.
        fields: Fields of `Record` in place of the invented ones.
    """
    values: dict[str, Any] = {
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
    task_id: str,
    numbers: Sequence[int],
    *,
    attempt: int = 1,
    received_at_ms: int = RECEIVED_AT_MS,
    resend: int = 0,
    forced: bool = False,
    **fields: Any,
) -> Batch:
    """Return the batch of *task_id* whose records have these numbers, in a delivery of its own.

    Args:
        task_id: Also names the delivery.
        numbers: One record each, see `make_record`.
        attempt: From 1.
        received_at_ms: When the delivery was admitted.
        resend: How often an operator asked again; part of `Batch.key`.
        forced: Whether everything is asked for again.
        fields: Fields of every record in place of the invented ones.
    """
    provenance = Provenance(
        delivery_id=f"dlv_{task_id}",
        source="stibnite",
        event_type="prospecting.records.pushed",
        received_at="2026-05-17T18:42:10.004Z",
        search_id="search_1",
        partner_user_id="user_1",
    )
    records = [make_record(number, **fields) for number in numbers]
    return Batch(task_id, attempt, received_at_ms, provenance, records, resend, forced)


class DictMemory:
    """A `stibgate.sinks.Memory` in a dict; give it to the next context too, and the sink has been restarted."""

    def __init__(self) -> None:
        self._documents: dict[str, str] = {}

    async def recall(self, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return the documents of those *keys* that are known, each a copy of its own."""
        await asyncio.sleep(0)  # as a store does: somebody else may run meanwhile
        return {key: json.loads(self._documents[key]) for key in keys if key in self._documents}

    async def remember(self, documents: Mapping[str, Any]) -> None:
        """Keep *documents*, all or none.

        Raises:
            TypeError: One would not come back from JSON as it went: a tuple, a set, a key that is no text.
            ValueError: One holds a number that JSON has not: NaN, infinity.
        """
        texts = {key: json.dumps(document, allow_nan=False) for key, document in documents.items()}
        changed = [key for key, text in texts.items() if not _same(json.loads(text), documents[key])]
        if changed:
            raise TypeError(f"does not come back from JSON as it went: {', '.join(map(repr, changed))}")
        await asyncio.sleep(0)
        self._documents.update(texts)


def make_context(
    name: str = "sink", memory: Memory | None = None, now_ms: Callable[[], int] = lambda: RECEIVED_AT_MS
) -> SinkContext:
    """Return what a sink is built with: a clock that stands, no chance, and a memory.

    Args:
        name: The sink's key in the configuration.
        memory: What it remembers; by default a new `DictMemory`.
        now_ms: The clock, milliseconds since the epoch.
    """
    return SinkContext(name, now_ms, lambda: 0.5, DictMemory() if memory is None else memory)


class SinkContract:
    """The laws of `stibgate.sinks.Sink`; see the module for how to subclass it.

    Attributes:
        answers_in_part: Set it when the sink may answer for some records and have the others come again under the
            same key: with `SinkUnavailable.outcomes`. A sink that takes a batch whole or not at all need not.
    """

    answers_in_part: ClassVar[bool] = False

    def make(self) -> Sink:
        """Return a new sink, not opened, on the same far side and memory as every other one of this test."""
        raise NotImplementedError

    def held(self) -> Sequence[str] | Awaitable[Sequence[str]]:
        """Return the `person_id` of every record on the far side, in its order, doubles included.

        What the far side itself takes once by an idempotency key counts once. May be a coroutine function.
        """
        raise NotImplementedError

    def lose(self) -> bool:
        """Lose everything on the far side, and return True; False means that this cannot be done here."""
        return False

    def check_at_rest(self) -> None:
        """Fail when something half done lies on the far side after `close`."""

    @cached_property
    def memory(self) -> DictMemory:
        """What the sinks of this test remember; pass it to `make_context`."""
        return DictMemory()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Sink]:
        """Give a new sink, opened, and closed at the end of the block."""
        sink = self.make()
        await sink.open()
        try:
            yield sink
        finally:
            await sink.close()

    async def test_one_outcome_per_record_in_order(self) -> None:
        """Every record gets one outcome, in the order of the batch, under its own position, also with gaps."""
        async with self.opened() as sink:
            outcomes = await sink.deliver(make_batch("t1", [0, 1, 4, 2]))
        _expect_positions(outcomes, [0, 1, 4, 2])
        await self._expect_held([0, 1, 2, 4])

    async def test_the_same_task_twice_doubles_nothing(self) -> None:
        """A task that comes again gets its outcomes again and leaves one copy."""
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 1]))
            outcomes = await sink.deliver(make_batch("t1", [0, 1], attempt=2))
        _expect_positions(outcomes, [0, 1])
        await self._expect_held([0, 1])

    async def test_the_rest_of_a_batch_arrives(self) -> None:
        """Records that come alone, because the others are settled, are not taken for a repetition of those."""
        if not self.answers_in_part:
            return
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 3]))
            outcomes = await sink.deliver(make_batch("t1", [1, 2], attempt=2))
        _expect_positions(outcomes, [1, 2])
        await self._expect_held([0, 1, 2, 3])

    async def test_a_resend_is_not_swallowed(self) -> None:
        """What an operator asks for again arrives, even when the far side has lost it; twice under one key is once."""
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 1]))
        self.lose()
        async with self.opened() as sink:
            outcomes = await sink.deliver(make_batch("t1", [0, 1], attempt=2, resend=1, forced=True))
        first = await self._held()
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 1], attempt=3, resend=1, forced=True))
        _expect_positions(outcomes, [0, 1])
        _expect(set(first), {"person_0", "person_1"}, "the far side holds everybody after a resend")
        _expect(await self._held(), first, "the same resend twice adds nothing")

    async def test_concurrent_batches_all_arrive(self) -> None:
        """Batches delivered at once all arrive whole."""
        async with self.opened() as sink:
            await asyncio.gather(*(sink.deliver(make_batch(f"t{n}", [2 * n, 2 * n + 1])) for n in range(5)))
        await self._expect_held(range(10))

    async def test_an_empty_batch_leaves_nothing(self) -> None:
        """No records: no outcomes and nothing on the far side."""
        async with self.opened() as sink:
            outcomes = await sink.deliver(make_batch("t1", []))
        _expect_positions(outcomes, [])
        await self._expect_held([])

    async def test_after_close_nothing_is_half_done(self) -> None:
        """What `close` leaves is finished."""
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 1]))
            await sink.deliver(make_batch("t2", [2]))
        self.check_at_rest()
        await self._expect_held([0, 1, 2])

    async def test_close_without_work(self) -> None:
        """A sink that got nothing closes and leaves nothing."""
        async with self.opened():
            pass
        self.check_at_rest()
        await self._expect_held([])

    async def test_it_survives_reopening(self) -> None:
        """A new sink on the same far side adds to it, and still knows the tasks of the old one."""
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 1]))
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 1], attempt=2))
            await sink.deliver(make_batch("t2", [2]))
        self.check_at_rest()
        await self._expect_held([0, 1, 2])

    async def test_a_caller_that_gives_up_doubles_nothing(self) -> None:
        """A delivery that is cancelled half-way and comes again leaves one copy."""
        async with self.opened() as sink:
            for turns in _TURNS_BEFORE_CANCEL:
                impatient = asyncio.ensure_future(sink.deliver(make_batch("t1", [0, 1])))
                for _ in range(turns):
                    await asyncio.sleep(0)
                impatient.cancel()
                await asyncio.gather(impatient, return_exceptions=True)
            await sink.deliver(make_batch("t1", [0, 1], attempt=2))
        await self._expect_held([0, 1])

    async def test_check_of_a_sink_that_was_never_opened(self) -> None:
        """`check` needs no `open`, which may write; `stibgate sinks test` calls only it and `close`."""
        sink = self.make()
        try:
            findings = await sink.check()
        finally:
            await sink.close()
        _expect_findings(findings)
        await self._expect_held([])

    async def test_check_writes_nothing(self) -> None:
        """`check` says what it saw, finds nothing wrong with a far side that takes batches, and adds nothing."""
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 1]))
            findings = await sink.check()
        _expect_findings(findings)
        _expect([f.what for f in findings if not f.ok], [], "nothing is wrong with a far side that took a batch")
        await self._expect_held([0, 1])

    async def _held(self) -> list[str]:
        held = self.held()
        return list(await held if inspect.isawaitable(held) else held)

    async def _expect_held(self, numbers: Sequence[int]) -> None:
        wanted = sorted(f"person_{number}" for number in numbers)
        _expect(sorted(await self._held()), wanted, "the far side holds everybody once")


def _expect(found: object, wanted: object, law: str) -> None:
    __tracebackhide__ = True
    # Not `assert`: outside of test files pytest does not say what was compared.
    if found != wanted:
        raise AssertionError(f"{law}\nexpected: {wanted}\nfound:    {found}")


def _expect_positions(outcomes: Sequence[Outcome], wanted: Sequence[int]) -> None:
    __tracebackhide__ = True
    _expect([outcome.position for outcome in outcomes], wanted, "one outcome for each record, in the batch's order")


def _expect_findings(findings: Sequence[object]) -> None:
    __tracebackhide__ = True
    found = [finding for finding in findings if isinstance(finding, Finding)]
    if not found or len(found) != len(findings):
        raise AssertionError(f"check() returns stibgate.sinks.Finding objects, at least one\nfound:    {findings}")
    _expect([f for f in found if not f.what.strip() or "\n" in f.what], [], "each says what it saw, in one line")
    _expect([f.what for f in found if not f.ok and not f.hint], [], "each that is not ok says what to do about it")


def _same(decoded: object, given: object) -> bool:
    """Return whether two documents are equal with the same types all the way down."""
    if isinstance(given, dict) and isinstance(decoded, dict):
        return decoded.keys() == given.keys() and all(_same(decoded[key], given[key]) for key in given)
    if isinstance(given, list) and isinstance(decoded, list):
        return len(decoded) == len(given) and all(map(_same, decoded, given))
    return type(decoded) is type(given) and decoded == given
