"""Bringing objects of one kind to HubSpot: find where each one is, then update it there or create it under our key.

What is found is written by its record id, without touching a key that it has: so a contact that people have merged
or that we know by a weaker key is never torn apart. What is not found is upserted on our own unique property: so a
write whose answer was lost is found again, and never doubled.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from stibgate.domain.task import OutcomeKind
from stibgate.sinks.hubspot.mapping import Kind
from stibgate.sinks.hubspot.objects import Objects
from stibgate.sinks.hubspot.policy import Want, digest, fills, for_existing, for_new
from stibgate.sinks.hubspot.shapes import Found, Input, Refusal, Written
from stibgate.sinks.hubspot.state import Known, State

ROUNDS = 4
"""An object is lost, found elsewhere, in conflict: each costs one more round; more than that is somebody's loop."""

_GONE = frozenset({"OBJECT_NOT_FOUND", "RESOURCE_NOT_FOUND", "NOT_FOUND"})


@dataclass(frozen=True, slots=True)
class Run:
    """What is the same for all objects of one batch.

    Attributes:
        state: What is remembered.
        batch: The batch's idempotency key.
        received_at_ms: When its delivery came.
        now_ms: Now.
        skip_ms: For how long an acknowledged content is not sent again.
        forced: Everything is compared with HubSpot again, also what nothing has changed in.
        complete: Of which kinds what is not remembered cannot be in HubSpot under our key.
        adopt: Whether records that are not ours are taken over.
        replay: An operator asks for everything again, also when something newer was written.
        left_out: By kind of object, the properties that HubSpot does not let anybody write at present.
    """

    state: State
    batch: str
    received_at_ms: int
    now_ms: int
    skip_ms: int
    forced: bool
    complete: Collection[Kind]
    adopt: bool
    replay: bool
    left_out: Callable[[Kind], Iterable[str]]


@dataclass(slots=True)
class Work:
    """One object on its way.

    Attributes:
        key: What our key property holds for it.
        wants: What it should have; loses what turns out not to be sendable.
        known: What is remembered about it.
        lookup: The e-mail address or domain that an existing record of it may have.
        hint: A record that HubSpot said has its e-mail address already.
        content: Fingerprint of all that was wanted at first.
        record_id: Where it is; None while nobody knows, and when it is nowhere.
        there: What it has, when that was read.
        claim: Whether our key is to be written to it.
        look: Whether it may be there under our key although it is not remembered.
        looked: Whether that was looked up.
        kind: What became of it; None while that is open.
        refusal: Why it was refused.
        notes: What the outcome's message should say, without personal data.
    """

    key: str
    wants: dict[str, Want]
    known: Known | None = None
    lookup: str | None = None
    hint: str | None = None
    content: str = ""
    record_id: str | None = None
    there: Mapping[str, str | None] | None = None
    claim: bool = False
    look: bool = False
    looked: bool = False
    kind: OutcomeKind | None = None
    refusal: Refusal | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.content = self.content or digest(self.wants)

    @property
    def open(self) -> bool:
        """Whether nothing final became of it yet."""
        return self.kind is None

    def recollect(self, known: Known | None) -> None:
        """Begin where *known* says that it is; what was begun and not finished has to be looked for."""
        self.known = known
        self.record_id = known.record_id if known else None
        self.look = known is not None and known.record_id is None

    def is_fresh(self, run: Run) -> bool:
        """Return whether HubSpot has acknowledged this very content not long ago."""
        known = self.known
        return (
            known is not None
            and known.record_id is not None
            and not run.forced
            and known.content == self.content
            and run.now_ms - known.checked_at_ms < run.skip_ms
        )

    def begun(self, run: Run) -> OutcomeKind | None:
        """Return what an earlier attempt at this very batch has begun and nobody saw the end of: created or updated."""
        known = self.known
        return OutcomeKind(known.outcome) if known and known.begun and known.batch == run.batch else None

    def take(self, found: Found, *, claim: bool) -> None:
        """Say that it is *found*; *claim* it by writing our key to it."""
        self.record_id = found.id
        self.there = found.properties
        self.claim = claim

    def lose(self) -> None:
        """Say that it is not where it was; it may still be there under our key."""
        self.record_id = None
        self.there = None
        self.claim = False
        self.look, self.looked = True, False

    def step_back(self) -> None:
        """Wait for another round, because another object goes to the same record in this one."""
        self.there = None
        if self.claim:
            self.claim = False
            self.record_id = None

    def refuse(self, refusal: Refusal) -> None:
        """Say that HubSpot will not take it."""
        self.kind = OutcomeKind.REFUSED
        self.refusal = refusal


class Habits(Protocol):
    """What is different between contacts and companies."""

    async def find(self, works: Sequence[Work], run: Run) -> None:
        """Look for records that are not ours yet, and `take` those that may be."""
        ...

    def refused(self, work: Work, refusal: Refusal, run: Run) -> None:
        """Change *work* so that another round helps, or `refuse` it."""
        ...


class Writing:
    """Writes objects of one kind.

    Args:
        objects: HubSpot.
        kind: Which objects.
        key_property: The property that holds our key.
        names: The properties that are written, and read for it.
        habits: What is different about this kind.
    """

    def __init__(
        self, objects: Objects, kind: Kind, *, key_property: str, names: Sequence[str], habits: Habits
    ) -> None:
        self._objects = objects
        self._kind = kind
        self._key_property = key_property
        self._names = [key_property, *(name for name in names if name != key_property)]
        self._habits = habits

    def left_out(self, work: Work, run: Run) -> list[str]:
        """Return the properties that *work* went without because HubSpot does not let them be written at present."""
        return sorted(set(run.left_out(self._kind)).intersection(work.wants))

    async def write(self, works: Sequence[Work], run: Run) -> None:
        """Settle all *works*: each gets its `kind`, and its `record_id` unless it was refused.

        Raises:
            SinkUnavailable: Nothing is known about those that are still open.
        """
        for _ in range(ROUNDS):
            still = [work for work in works if work.open]
            if not still:
                return
            await self._locate(still, run)
            # Before the update: what turns out there not to be where it was is looked for first.
            new = [work for work in still if work.open and work.record_id is None]
            await self._update([work for work in still if work.open and work.record_id is not None], run)
            await self._create(new, run)
        for work in works:
            if work.open:
                work.refuse(Refusal(code="UNSETTLED", message="HubSpot gave contradictory answers about the record"))

    async def _locate(self, works: Sequence[Work], run: Run) -> None:
        await self._read_by_id([work for work in works if work.record_id and work.there is None], run)
        homeless = [work for work in works if not work.record_id]
        unsure = [work for work in homeless if not work.looked and (work.look or self._kind not in run.complete)]
        if unsure:
            found = await self._read([work.key for work in unsure], id_property=self._key_property)
            for work in unsure:
                work.looked = True
                if work.key in found:
                    work.take(found[work.key], claim=False)
        await self._habits.find([work for work in homeless if not work.record_id], run)

    async def _read_by_id(self, works: Sequence[Work], run: Run) -> None:
        readers = [(work, work.record_id) for work in works if work.record_id and _needs_reading(work, run)]
        found = await self._read([record_id for _, record_id in readers], id_property=None) if readers else {}
        for work, record_id in readers:
            if record_id in found:
                work.take(found[record_id], claim=not found[record_id].properties.get(self._key_property))
            else:
                work.lose()

    async def _read(self, ids: Sequence[str], *, id_property: str | None) -> Mapping[str, Found]:
        return await self._objects.read(self._kind, ids, id_property=id_property, properties=self._names)

    async def _begin(self, works: Sequence[Work], kind: OutcomeKind, run: Run) -> None:
        """Remember what is about to become of these: when the answer is lost, the next attempt knows."""
        new = kind is OutcomeKind.CREATED
        documents = {
            work.key: replace(
                Known() if new else work.known or Known(),
                content="",
                fills="",
                batch=run.batch,
                outcome=str(kind),
                begun=True,
            )
            for work in works
            if work.begun(run) not in {OutcomeKind.CREATED, kind}
        }
        await run.state.remember(self._kind, documents)

    async def _update(self, works: Sequence[Work], run: Run) -> None:
        inputs: list[tuple[Work, Input]] = []
        taken: set[str | None] = set()
        for work in works:
            if work.record_id in taken:  # two of ours that people have merged, or that want the same record
                work.step_back()
                continue
            taken.add(work.record_id)
            properties = for_existing(work.wants, work.there)
            if work.claim:
                properties[self._key_property] = work.key
            if properties:
                inputs.append((work, Input(str(work.record_id), properties)))
            else:
                work.kind = work.begun(run) or OutcomeKind.UNCHANGED
        await self._begin([work for work, _ in inputs], OutcomeKind.UPDATED, run)
        results = await self._objects.update(self._kind, [item for _, item in inputs]) if inputs else ()
        for (work, _), result in zip(inputs, results, strict=True):
            self._took(work, result, run)

    async def _create(self, works: Sequence[Work], run: Run) -> None:
        await self._begin(works, OutcomeKind.CREATED, run)
        inputs = [Input(work.key, for_new(work.wants), self._key_property) for work in works]
        results = await self._objects.upsert(self._kind, inputs) if inputs else ()
        for work, result in zip(works, results, strict=True):
            self._took(work, result, run)
            if work.kind is OutcomeKind.UPDATED:
                # It was not there before: what HubSpot calls an update is our own request, sent again unanswered.
                work.kind = OutcomeKind.CREATED

    def _took(self, work: Work, result: Written | Refusal, run: Run) -> None:
        if isinstance(result, Written):
            work.record_id = result.id
            begun = work.begun(run) is OutcomeKind.CREATED and not work.claim
            work.kind = OutcomeKind.CREATED if result.new or begun else OutcomeKind.UPDATED
        elif work.record_id is not None and _GONE.intersection({result.category, result.code}):
            work.lose()
        else:
            self._habits.refused(work, result, run)


def remembered(work: Work, run: Run, *, whole: bool, message: str | None = None) -> Known:
    """Return what is to be remembered about a settled *work*; unless *whole*, it is sent again the next time."""
    known = work.known or Known()
    same = work.record_id == known.record_id
    return Known(
        record_id=work.record_id,
        content=work.content if whole else "",
        fills=digest(fills(work.wants)) if whole else "",
        checked_at_ms=run.now_ms,
        received_at_ms=max(run.received_at_ms, known.received_at_ms),
        batch=run.batch,
        outcome=str(work.kind),
        message=message,
        companies=known.companies if same else (),
    )


def _needs_reading(work: Work, run: Run) -> bool:
    """Return whether what HubSpot has decides what is sent: blanks may only be filled where they are."""
    filled = fills(work.wants)
    known = work.known or Known()
    stale = run.now_ms - known.checked_at_ms >= run.skip_ms
    return run.forced or (bool(filled) and (stale or digest(filled) != known.fills))
