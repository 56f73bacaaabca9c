"""Smaller people searches, tried out as data: what each would cost, and which of them to suggest.

The model is the documented one: one discovery charge for each provider page of up to 25 people, contacts for each
field and person. Source: The Hog, "Estimate people search". It serves suggestions only; what is submitted has an
estimate of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Context, Decimal

from stibgate.domain.budget import Budget, Decision, Quote, Suggestion, Unit, Verdict, decide, round_up

PAGE_PEOPLE = 25
SUGGESTIONS_MAX = 3

_UP = Context(prec=60, rounding=ROUND_CEILING)


@dataclass(frozen=True, slots=True)
class SearchSize:
    """What a people search is charged by.

    Attributes:
        people: How many are asked for, from 1.
        contact_fields: Which contacts of each, `email`, `phone`; empty for none.
    """

    people: int
    contact_fields: tuple[str, ...] = ()

    @property
    def pages(self) -> int:
        """How many discovery charges it is."""
        return -(-self.people // PAGE_PEOPLE)

    def covers(self, other: "SearchSize") -> bool:
        """Whether it asks for all that *other* asks for."""
        return self.people >= other.people and set(self.contact_fields) >= set(other.contact_fields)


@dataclass(frozen=True, slots=True)
class Priced:
    """The estimate of one search, by its parts, and what follows from it for others.

    Attributes:
        size: What was estimated.
        base: The discovery part of its ceiling.
        contacts: The contacts' part.
        within_plan: Whether the vendor's plan covers it.
    """

    size: SearchSize
    base: Decimal
    contacts: Decimal
    within_plan: bool = True

    def quote(self, other: SearchSize) -> Quote | None:
        """Return what *other*, which is not larger, costs by the same prices, never less; None when nobody knows.

        Of two contact fields nobody knows each one's share, and of a search outside of the plan nobody knows where
        the plan ends: ask the vendor.
        """
        if not self.within_plan or not self.size.covers(other):
            return None
        ceiling = _share(self.base, other.pages, self.size.pages)
        if other.contact_fields:
            if set(other.contact_fields) != set(self.size.contact_fields):
                return None
            ceiling = _UP.add(ceiling, _share(self.contacts, other.people, self.size.people))
        return Quote(Unit.THEHOG_CREDIT, round_up(ceiling))


def cheaper(size: SearchSize) -> tuple[SearchSize, ...]:
    """Return all smaller searches worth trying, in the order in which people give up value.

    First one change (no phone; fewer people, by whole pages; no contacts), then two.
    """
    fewer = range((size.people - 1) // PAGE_PEOPLE * PAGE_PEOPLE, 0, -PAGE_PEOPLE)
    both = len(set(size.contact_fields)) > 1
    no_phone = [replace(size, contact_fields=("email",))] if both else []
    no_contacts = [replace(size, contact_fields=())] if size.contact_fields else []
    one = [*no_phone, *(replace(size, people=people) for people in fewer), *no_contacts]
    two = [replace(less, people=people) for less in (*no_phone, *no_contacts) for people in fewer]
    return (*one, *two)


def change(size: SearchSize, smaller: SearchSize) -> dict[str, object]:
    """Return what to change in a request for *size* to make it one for *smaller*, in The Hog's names."""
    changed: dict[str, object] = {}
    if smaller.people != size.people:
        changed["limit"] = smaller.people
    if set(smaller.contact_fields) != set(size.contact_fields):
        contacts = {"contactFields": list(smaller.contact_fields)}
        changed |= contacts if smaller.contact_fields else {"includeContacts": False}
    return changed


def suggest(
    budget: Budget,
    decision: Decision,
    size: SearchSize,
    tried: Iterable[tuple[SearchSize, Quote]],
    *,
    reserved: Decimal,
    settled: Decimal,
) -> Decision:
    """Return *decision* with suggestions: at most three of *tried* that fare better and give up different things.

    Args:
        budget: The budget.
        decision: What became of the run.
        size: The run's.
        tried: Smaller searches in the order of `cheaper`, and what each may cost, by `Priced` or by the vendor; no
            more of them are taken than needed.
        reserved: As in `decide`.
        settled: As in `decide`.
    """
    if decision.verdict is Verdict.ALLOW:
        return decision
    found: dict[SearchSize, Suggestion] = {}
    for smaller, quote in tried:
        verdict = decide(budget, quote, reserved=reserved, settled=settled).verdict
        if verdict in {decision.verdict, Verdict.DENY} or any(kept.covers(smaller) for kept in found):
            continue
        found[smaller] = Suggestion(change(size, smaller), quote.ceiling, verdict)
        if len(found) == SUGGESTIONS_MAX:
            break
    return replace(decision, suggestions=tuple(found.values()))


def _share(whole: Decimal, part: int, of: int) -> Decimal:
    """Return *part* / *of* of *whole*, rounded up far behind the point."""
    return _UP.divide(_UP.multiply(whole, part), of)
