"""What The Hog answers: typed, in exact decimals, and nothing lost.

Unknown fields are kept, and documented ones may be missing unless an estimate means nothing without them: only what
it may cost and whether the plan covers that decide anything. `assumptions.mode` and `likelySyncOrAsync` are open
sets. Source: The Hog, "Estimate people search": its own example lacks `likelySyncOrAsync`, which it calls required.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool
from pydantic.alias_generators import to_camel

from stibgate.domain.budget import AMOUNT_BELOW, Quote, Unit, format_amount, round_up
from stibgate.domain.preflight import Priced, SearchSize

_TEXT_CHARS_MAX = 1_000
_FLOAT_DUST = Decimal("0.000001")
"""A sum made over there in floats may end in 0.30000000000000004."""


def _no_text(value: object) -> object:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return value
    raise ValueError("not a number")


def _on_one_line(text: str) -> str:
    """Return *text* as a terminal may show it."""
    return "".join(char if char.isprintable() else " " for char in text[:_TEXT_CHARS_MAX])


Number = Annotated[Decimal, BeforeValidator(_no_text), Field(ge=0, lt=AMOUNT_BELOW)]
Text = Annotated[str, AfterValidator(_on_one_line)]


class Reply(BaseModel):
    """What every answer is."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True, alias_generator=to_camel)

    def to_document(self) -> dict[str, Any]:
        """Return the answer's fields by their documented names, unknown ones too; credits are text, to stay exact."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Return what a `repr` shows: documented fields only."""
        return [(name, getattr(self, name)) for name in type(self).model_fields]


class ContactEnrichment(Reply):
    """What contacts add.

    Attributes:
        max_people: The limit after defaults.
        contact_attempts_per_field_per_person: In the worst case.
    """

    include_contacts: StrictBool | None = None
    fields_: list[Text] | None = Field(default=None, alias="fields")
    max_people: Number | None = None
    contact_attempts_per_field_per_person: Number | None = None
    estimated_credits: Number | None = None


class Breakdown(Reply):
    """Where the credits go.

    Attributes:
        base_search_credits: One discovery charge for each provider page of up to 25 people.
    """

    base_search_credits: Number | None = None
    contact_enrichment: ContactEnrichment | None = None


class Assumptions(Reply):
    """How careful the estimate is; for people to read."""

    mode: Text | None = None
    description: Text | None = None


class Estimate(Reply):
    """What a search may cost at most; what it is billed can be less.

    Attributes:
        estimated_credits: The ceiling.
        within_plan_limits: Whether the plan covers it.
        likely_sync_or_async: Whether the search would answer 200 (`sync`) or 202 (`async`).
        expected_latency_range: For people to read, `30s-5m`.
    """

    estimated_credits: Number
    within_plan_limits: StrictBool
    likely_sync_or_async: Text | None = None
    breakdown: Breakdown | None = None
    assumptions: Assumptions | None = None
    expected_latency_range: Text | None = None

    @property
    def quote(self) -> Quote:
        """What a budget is asked about."""
        return Quote(Unit.THEHOG_CREDIT, round_up(self.estimated_credits), self.within_plan_limits)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What does not add up; the estimate holds all the same."""
        parts = self._parts()
        if parts is None:
            return ("the estimate has no whole breakdown",)
        if abs(sum(parts) - self.estimated_credits) > _FLOAT_DUST:
            said = " + ".join(format_amount(round_up(part)) for part in parts)
            return (f"the breakdown, {said}, is not the estimate, {format_amount(round_up(self.estimated_credits))}",)
        return ()

    def priced(self, size: SearchSize) -> Priced | None:
        """Return what follows for smaller searches, *size* being this one's; None when the parts do not add up."""
        parts = self._parts()
        return None if parts is None or self.warnings else Priced(size, *parts, self.within_plan_limits)

    def _parts(self) -> tuple[Decimal, Decimal] | None:
        """Return discovery and contacts."""
        base = self.breakdown.base_search_credits if self.breakdown else None
        enrichment = self.breakdown.contact_enrichment if self.breakdown else None
        contacts = enrichment.estimated_credits if enrichment else None
        return None if base is None or contacts is None else (base, contacts)
