"""The people of a batch: one entry for each person, however many records name them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

from stibgate.domain.record import Record
from stibgate.domain.task import Outcome, OutcomeKind
from stibgate.sinks import Batch
from stibgate.sinks.hubspot.contacts import NAMING
from stibgate.sinks.hubspot.mapping import (
    FieldMap,
    Terms,
    company_domain,
    company_key,
    email,
    is_weak,
    person_key,
    wants,
)
from stibgate.sinks.hubspot.policy import Want

COMPANY_NAMING = ("name", "domain")
"""HubSpot creates a company only with one of them. Source: companies guide."""

_TEXTS = tuple(f.name for f in fields(Record) if f.name not in {"position", "issues", "extra"})
_COMPANY = tuple(name for name in _TEXTS if name.startswith("company_"))


@dataclass(slots=True)
class Person:
    """One person of a batch.

    Attributes:
        key: What our key property holds.
        record: What the batch says, the newest record first.
        same: Positions of older records of the same person.
        notes: What the outcome's message should say.
        wants: What the contact should have.
        company: What our key property of the company holds; None when there is no company to write.
    """

    key: str
    record: Record
    same: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wants: dict[str, Want] = field(default_factory=dict)
    company: str | None = None

    @property
    def position(self) -> int:
        """The position that the outcome is told under."""
        return self.record.position


@dataclass(frozen=True, slots=True)
class Employer:
    """One company of a batch.

    Attributes:
        key: What our key property holds.
        domain: Its domain, when nobody else can have it.
        wants: What it should have.
    """

    key: str
    domain: str | None
    wants: dict[str, Want]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch comes to.

    Attributes:
        people: In the order of the batch.
        employers: By key.
        refused: Outcomes of records that cannot be sent at all.
    """

    people: list[Person]
    employers: dict[str, Employer]
    refused: list[Outcome]


def plan(batch: Batch, mapping: FieldMap, terms: Terms, *, companies: bool) -> Plan:
    """Return whom and what to write for *batch*; needs no request.

    Records of one person are merged, the newest first. An e-mail address that two people of the batch have stays with
    the newest, because HubSpot knows a person by it; if one of the two has no id of its own, they are one person.
    """
    people: dict[str, Person] = {}
    refused: list[Outcome] = []
    for record in batch.records:
        key = person_key(record)
        if key is None:
            refused.append(_refuse(record, "NO_KEY", "the record names nobody: no id, link, e-mail address or phone"))
            continue
        older = people.pop(key, None)
        people[key] = Person(key, record) if older is None else _merged(older, Person(key, record))
    _settle_addresses(people)
    employers: dict[str, Employer] = {}
    sendable: list[Person] = []
    for person in people.values():
        person.wants = wants(mapping, terms, "contacts", person.record, batch.provenance)
        if not any(name in person.wants for name in NAMING):
            why = "the record has neither a name nor a valid e-mail address; HubSpot makes no contact of that"
            refused += [_refuse(person.record, "NO_NAME", why), *same_person(person)]
            continue
        if companies:
            _employ(person, employers, batch, mapping, terms)
        sendable.append(person)
    return Plan(sendable, employers, refused)


def same_person(person: Person) -> list[Outcome]:
    """Return the outcomes of the older records of *person*."""
    message = f"the same person as record {person.position}, whose outcome is this one's too"
    return [Outcome(position, OutcomeKind.SKIPPED, message=message) for position in person.same]


def _employ(person: Person, employers: dict[str, Employer], batch: Batch, mapping: FieldMap, terms: Terms) -> None:
    key = company_key(person.record)
    if key is None:
        return
    wanted = wants(mapping, terms, "companies", person.record, batch.provenance)
    before = employers.get(key)
    domain = company_domain(person.record) or (before.domain if before else None)
    if before is not None:
        wanted = {**before.wants, **wanted}
    if any(name in wanted for name in COMPANY_NAMING):
        employers[key] = Employer(key, domain, wanted)
        person.company = key


def _settle_addresses(people: dict[str, Person]) -> None:
    """Leave every e-mail address with one person, the newest."""
    holders: dict[str, Person] = {}
    for person in list(people.values()):
        address = email(person.record)
        older = holders.get(address or "")
        if address is None:
            continue
        if older is not None and (is_weak(older.key) or is_weak(person.key)):
            del people[older.key]
            if is_weak(person.key) and not is_weak(older.key):
                del people[person.key]
                person.key = older.key
                people[person.key] = person
            _absorb(person, older)
        elif older is not None:
            older.record = replace(older.record, business_email=None)
            older.notes.append(f"business_email is also record {person.position}'s, which is newer; it went without")
        holders[address] = person


def _merged(older: Person, newer: Person) -> Person:
    _absorb(newer, older)
    return newer


def _absorb(newer: Person, older: Person) -> None:
    """Let *newer* say what only *older* says; what they say of different companies is not mixed."""
    there, past = newer.record, older.record
    names: Sequence[str] = _TEXTS
    if any(getattr(there, name) is not None for name in _COMPANY) and company_key(there) != company_key(past):
        names = [name for name in _TEXTS if name not in _COMPANY]
    filled = {
        name: getattr(past, name) for name in names if getattr(there, name) is None and getattr(past, name) is not None
    }
    issues = [issue for issue in there.issues if issue.field not in filled]
    issues += [issue for issue in past.issues if issue.field in filled]
    newer.record = replace(there, **filled, issues=tuple(issues))
    newer.same = [*older.same, *newer.same, past.position]


def _refuse(record: Record, code: str, message: str) -> Outcome:
    return Outcome(record.position, OutcomeKind.REFUSED, category="LOCAL", code=code, message=message)
