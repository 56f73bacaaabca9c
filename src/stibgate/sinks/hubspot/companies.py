"""Companies: written once for all people of a batch, adopted by domain, never by two batches at once.

HubSpot does not keep two companies from having one domain, and its search lags behind its writes. So what search
finds is read again before it is taken, and whoever works on a company or a domain works alone.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from stibgate.domain.task import OutcomeKind
from stibgate.sinks.hubspot.locks import Locks
from stibgate.sinks.hubspot.mapping import FieldMap, is_weak
from stibgate.sinks.hubspot.objects import Objects
from stibgate.sinks.hubspot.shapes import Found, Refusal
from stibgate.sinks.hubspot.writing import Run, Work, Writing, remembered

_AMBIGUOUS = "several companies in HubSpot have its domain; the oldest was taken"


@dataclass(frozen=True, slots=True)
class Housed:
    """What became of a company.

    Attributes:
        record_id: Where it is; None when it was refused.
        note: What the outcomes of its people should say.
        code: HubSpot's code when it was refused.
    """

    record_id: str | None
    note: str | None = None
    code: str | None = None


class CompanyHabits:
    """Adoption by domain.

    Args:
        objects: HubSpot.
        fields: The mapping.
    """

    def __init__(self, objects: Objects, fields: FieldMap) -> None:
        self._objects = objects
        self._key = fields.company_key
        self._domain = fields.property_of("company_domain")
        self._names = list(dict.fromkeys([self._key, *fields.names("companies")]))

    async def find(self, works: Sequence[Work], run: Run) -> None:
        """Look for companies with the domain of these *works*, and take those that may be theirs."""
        seeking = [work for work in works if work.lookup]
        if not seeking or not run.adopt or self._domain is None:
            return
        domains = list(dict.fromkeys(work.lookup for work in seeking if work.lookup))
        hits: dict[str, list[Found]] = defaultdict(list)
        for hit in await self._objects.search(
            "companies", self._domain, domains, [self._domain, self._key, "createdate"]
        ):
            hits[(hit.properties.get(self._domain) or "").lower()].append(hit)
        chosen = {work.key: best for work in seeking if (best := self._choose(work, hits[work.lookup or ""]))}
        if not chosen:
            return
        ids = list(dict.fromkeys(best.id for best in chosen.values()))
        now = await self._objects.read("companies", ids, id_property=None, properties=self._names)
        for work in seeking:
            found = now.get(chosen[work.key].id) if work.key in chosen else None
            if found is not None and self._may_take(work, found):
                work.take(found, claim=self._claims(work, found))

    def refused(self, work: Work, refusal: Refusal, run: Run) -> None:  # noqa: ARG002  (a contact's habits need the run)
        """Look for the company under our key when another one has it already; anything else is final."""
        if refusal.code == "CONFLICTING_UNIQUE_VALUE" and work.claim:
            work.lose()
            work.lookup = None
        else:
            work.refuse(refusal)

    def _choose(self, work: Work, hits: Sequence[Found]) -> Found | None:
        """Return the hit that is the company of *work*: its own, else the oldest that may be taken."""
        own = [hit for hit in hits if hit.properties.get(self._key) == work.key]
        free = sorted((hit for hit in hits if self._may_take(work, hit)), key=_age)
        if not own and len(free) > 1 and _AMBIGUOUS not in work.notes:
            work.notes.append(_AMBIGUOUS)
        return next(iter(own or free), None)

    def _may_take(self, work: Work, found: Found) -> bool:
        owner = found.properties.get(self._key)
        return not owner or owner == work.key or is_weak(owner) or is_weak(work.key)

    def _claims(self, work: Work, found: Found) -> bool:
        owner = found.properties.get(self._key)
        return not owner or (owner != work.key and not is_weak(work.key))


def _age(found: Found) -> tuple[str, int, str]:
    return (found.properties.get("createdate") or "", len(found.id), found.id)


class Companies:
    """Brings the companies of a batch to HubSpot.

    Args:
        objects: HubSpot.
        fields: The mapping.
        locks: One set for all batches of a sink.
    """

    def __init__(self, objects: Objects, fields: FieldMap, locks: Locks) -> None:
        self._fields = fields
        self._locks = locks
        habits = CompanyHabits(objects, fields)
        self._writing = Writing(
            objects, "companies", key_property=fields.company_key, names=fields.names("companies"), habits=habits
        )

    async def settle(self, works: Sequence[Work], run: Run) -> dict[str, Housed]:
        """Return where the company of each of *works* is, by our key.

        Raises:
            SinkUnavailable: Some of them could not be settled now.
        """
        housed = await self._settled(works, run)
        rest = [work for work in works if work.key not in housed]
        if not rest:
            return housed
        names = {f"key {work.key}" for work in rest} | {f"domain {work.lookup}" for work in rest if work.lookup}
        async with self._locks.holding(names):
            # Somebody else may have settled them while this batch waited.
            housed |= await self._settled(rest, run)
            still = [work for work in rest if work.key not in housed]
            await self._writing.write(still, run)
            settled = [work for work in still if work.kind is not OutcomeKind.REFUSED]
            await run.state.remember(
                "companies",
                {work.key: remembered(work, run, whole=not self._writing.left_out(work, run)) for work in settled},
            )
        return housed | {work.key: self._housed(work) for work in still}

    async def _settled(self, works: Sequence[Work], run: Run) -> dict[str, Housed]:
        known = await run.state.recall("companies", [work.key for work in works])
        housed: dict[str, Housed] = {}
        for work in works:
            work.recollect(known.get(work.key))
            older = work.known is not None and run.received_at_ms < work.known.received_at_ms and not run.forced
            if work.record_id and (work.is_fresh(run) or older):
                housed[work.key] = Housed(work.record_id)
        return housed

    def _housed(self, work: Work) -> Housed:
        if work.refusal is None:
            return Housed(work.record_id, work.notes[0] if work.notes else None)
        field = self._fields.field_of("companies", work.refusal.property)
        why = ", ".join(part for part in (work.refusal.code or work.refusal.category, field) if part)
        return Housed(
            None,
            f"its company was refused ({why or 'no reason given'}), the contact went without it",
            work.refusal.code,
        )
