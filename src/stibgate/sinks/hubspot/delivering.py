"""One slice of a batch: companies first, then contacts, then who works where.

Companies come first because HubSpot may make a company of a new contact's e-mail domain by itself; and a record
counts as settled only when its association is there too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stibgate.domain.task import Outcome, OutcomeKind
from stibgate.sinks.hubspot.associations import associate, is_gone
from stibgate.sinks.hubspot.companies import Companies, Housed
from stibgate.sinks.hubspot.locks import Locks
from stibgate.sinks.hubspot.mapping import FieldMap, email
from stibgate.sinks.hubspot.objects import Objects
from stibgate.sinks.hubspot.people import Employer, Person, same_person
from stibgate.sinks.hubspot.shapes import Refusal
from stibgate.sinks.hubspot.state import Known
from stibgate.sinks.hubspot.writing import Run, Work, Writing, remembered

CONTRADICTIONS = frozenset({"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE", "INVALID_OPTION"})
"""Codes that say that the account is not as we found it."""
COMPANIES_KEPT = 50


@dataclass(slots=True)
class Case:
    """One person in hand.

    Attributes:
        person: Who.
        work: The contact, when something is to be written or compared.
        known: What is remembered about the contact; current after each step.
        answer: What this very batch was answered before.
        pair: Contact id and company id to associate.
    """

    person: Person
    known: Known | None
    work: Work | None = None
    answer: Outcome | None = None
    pair: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Whom another pass may help.

    Attributes:
        people: Who.
        contradicted: Whether HubSpot said that the account has changed.
    """

    people: list[Person]
    contradicted: bool


class Delivery:
    """Takes people to HubSpot.

    Args:
        objects: HubSpot.
        fields: The mapping.
        contacts: Writes contacts.
        companies: Writes companies.
    """

    def __init__(self, objects: Objects, fields: FieldMap, contacts: Writing, companies: Companies) -> None:
        self._objects = objects
        self._fields = fields
        self._contacts = contacts
        self._companies = companies
        self._addresses = Locks()

    async def take(
        self,
        people: Sequence[Person],
        employers: Mapping[str, Employer],
        run: Run,
        outcomes: dict[int, Outcome],
        *,
        last: bool,
    ) -> Again:
        """Settle *people*, noting each outcome as soon as it is final; return whom another pass may help.

        Args:
            people: At most a few hundred.
            employers: Their companies, by key.
            run: The batch.
            outcomes: By position; gets those of the settled.
            last: Whether what a second pass might help is final.

        Raises:
            SinkUnavailable: Those without an outcome are not settled.
        """
        cases = await self._open(people, run, outcomes, last=last)
        housed = await self._house(cases, employers, run)
        works = [case.work for case in cases if case.work is not None and case.work.open]
        # Two batches that find one contact by its address would both take it over.
        async with self._addresses.holding(work.lookup for work in works if work.lookup):
            await self._contacts.write(works, run)
        await self._note_contacts(cases, housed, run)
        again: list[Person] = []
        contradicted = False
        gone = await self._associate([case for case in cases if case.pair is not None], run)
        for case in cases:
            home = housed.get(case.person.company or "")
            refusal = case.work.refusal if case.work else None
            stale = CONTRADICTIONS.intersection({refusal.code if refusal else None, home.code if home else None})
            lost = case.person.key in gone and is_gone(gone[case.person.key])
            if (stale or lost) and not last:
                contradicted |= bool(stale)
                again.append(case.person)
                continue
            for outcome in self._outcomes(case, home, gone.get(case.person.key)):
                outcomes[outcome.position] = outcome
        return Again(again, contradicted)

    async def _open(
        self, people: Sequence[Person], run: Run, outcomes: dict[int, Outcome], *, last: bool
    ) -> list[Case]:
        known = await run.state.recall("contacts", [person.key for person in people])
        cases: list[Case] = []
        for person in people:
            case = Case(person, known.get(person.key))
            past = case.known or Known()
            answered = past.batch == run.batch and past.record_id is not None and not past.begun
            if answered:
                case.answer = past.answer(person.position)
            elif past.received_at_ms > run.received_at_ms and not run.replay:
                older = "a newer delivery of this person was written already"
                outcomes[person.position] = Outcome(person.position, OutcomeKind.SKIPPED, message=older)
                outcomes.update({outcome.position: outcome for outcome in same_person(person)})
                continue
            if not answered or last:
                case.work = Work(person.key, dict(person.wants), lookup=email(person.record), notes=list(person.notes))
                case.work.recollect(case.known)
                if case.work.is_fresh(run):
                    case.work.kind = OutcomeKind.UNCHANGED
            cases.append(case)
        return cases

    async def _house(self, cases: Sequence[Case], employers: Mapping[str, Employer], run: Run) -> dict[str, Housed]:
        keys = sorted({case.person.company for case in cases if case.person.company})
        works = [Work(key, dict(employers[key].wants), lookup=employers[key].domain) for key in keys]
        return await self._companies.settle(works, run) if works else {}

    async def _note_contacts(self, cases: Sequence[Case], housed: Mapping[str, Housed], run: Run) -> None:
        """Remember the contacts that are there, and see which associations are not."""
        documents: dict[str, Known] = {}
        for case in cases:
            work = case.work
            home = housed.get(case.person.company or "")
            if work is not None and work.kind is not OutcomeKind.REFUSED:
                lacking = self._contacts.left_out(work, run)
                work.notes += [f"{self._fields.field_of('contacts', name)} was left out" for name in lacking]
                if case.answer is not None:
                    case.answer = replace(case.answer, message=_message(work.notes, home))
                case.known = _settled(work, run, case.answer, _message(work.notes, home), whole=not lacking)
                documents[case.person.key] = case.known
            known = case.known
            if work is not None and work.kind is OutcomeKind.REFUSED:
                continue
            if home and home.record_id and known and known.record_id and home.record_id not in known.companies:
                case.pair = (known.record_id, home.record_id)
        await run.state.remember("contacts", documents)

    async def _associate(self, cases: Sequence[Case], run: Run) -> dict[str, Refusal]:
        """Associate what is not yet; return the refusals by person key."""
        pairs = {case.person.key: case.pair for case in cases if case.pair is not None}
        results = await associate(self._objects, pairs)
        documents: dict[str, Known] = {}
        for case in cases:
            if case.pair is not None and case.known is not None and results[case.person.key] is None:
                companies = (*case.known.companies, case.pair[1])[-COMPANIES_KEPT:]
                documents[case.person.key] = case.known = replace(case.known, companies=companies)
        await run.state.remember("contacts", documents)
        return {key: refusal for key, refusal in results.items() if refusal is not None}

    def _outcomes(self, case: Case, home: Housed | None, unlinked: Refusal | None) -> list[Outcome]:
        position = case.person.position
        work = case.work
        if work is not None and work.refusal is not None:
            outcome = self._refused(position, work.refusal)
        elif case.answer is not None:
            outcome = case.answer
        else:
            notes = work.notes if work else []
            outcome = Outcome(
                position, (work.kind if work else None) or OutcomeKind.UNCHANGED, message=_message(notes, home)
            )
        if unlinked is not None:
            why = unlinked.code or unlinked.category or "no reason given"
            said = [outcome.message] if outcome.message else []
            outcome = replace(outcome, message="; ".join([*said, f"its company could not be associated ({why})"]))
        return [outcome, *same_person(case.person)]

    def _refused(self, position: int, refusal: Refusal) -> Outcome:
        name = self._fields.field_of("contacts", refusal.property)
        said = refusal.message
        if name is not None:
            said = said.replace(f" {refusal.property}:", f" {name}:")
            said = said if name in said else f"{name}: {said}"
        return Outcome(
            position,
            OutcomeKind.REFUSED,
            category=refusal.category,
            code=refusal.code or refusal.category,
            property=refusal.property,
            correlation_id=refusal.correlation_id,
            message=said,
        )


def _settled(work: Work, run: Run, answer: Outcome | None, message: str | None, *, whole: bool) -> Known:
    """Return what is remembered about a contact; a fresh one keeps what HubSpot acknowledged, and when."""
    kind = answer.kind if answer else work.kind or OutcomeKind.UNCHANGED
    if work.known is not None and work.kind is OutcomeKind.UNCHANGED and work.there is None:
        received_at_ms = max(run.received_at_ms, work.known.received_at_ms)
        return replace(
            work.known,
            received_at_ms=received_at_ms,
            batch=run.batch,
            outcome=str(kind),
            begun=False,
            message=message,
        )
    return replace(remembered(work, run, whole=whole, message=message), outcome=str(kind))


def _message(notes: Sequence[str], home: Housed | None) -> str | None:
    said = [*notes, *([home.note] if home and home.note else [])]
    return "; ".join(said) or None
