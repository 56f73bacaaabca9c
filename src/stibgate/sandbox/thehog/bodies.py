"""What may be sent, and what is answered, in the documented names; the schemas of `/openapi.json` come from here.

Source: The Hog, "Estimate people search"; `filters.titleMatch`, `confirm`, `uniqueItems` and the members of
`breakdown` and `assumptions` from the vendor's OpenAPI document.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

QUERY_CHARS_MAX = 500
LIMIT_MAX = 100
LIMIT_DEFAULT = 25

ContactField = Literal["email", "phone"]
CONTACT_FIELDS: tuple[ContactField, ...] = ("email", "phone")


class Body(BaseModel):
    """JSON types as they are; null and unknown properties are refused, as a NestJS service that whitelists does."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


def _unique(fields: list[ContactField]) -> list[ContactField]:
    if len(set(fields)) < len(fields):
        raise ValueError("All contactFields's elements must be unique")
    return fields


def _number(value: Decimal) -> int | float:
    """Return *value* as JSON writes it: exact up to 15 digits."""
    return int(value) if value == value.to_integral_value() else float(value)


# What has no documented default gets it from a factory, so that no schema shows one.
Count = Annotated[float, Field(ge=0)]
Texts = list[str]
ContactFields = Annotated[
    list[ContactField],
    Field(min_length=1, max_length=2, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_unique),
]


class Range(Body):
    """How many people a company employs; a `min` above `max` is the caller's affair, as no document forbids it."""

    min: Count = Field(default_factory=float)
    max: Count = Field(default_factory=float)


class CompanyFilters(Body):
    """Which companies."""

    names: Texts = Field(default_factory=list)
    domains: Texts = Field(default_factory=list)
    linkedinUrls: Texts = Field(default_factory=list)  # noqa: N815
    industries: Texts = Field(default_factory=list)
    employeeCount: Range = Field(default_factory=Range)  # noqa: N815
    signals: Texts = Field(default_factory=list)


class Filters(Body):
    """Which people."""

    titles: Texts = Field(default_factory=list)
    titleMatch: Literal["exact", "similar"] = Field(default_factory=lambda: "similar")  # noqa: N815
    locations: Texts = Field(default_factory=list)
    industries: Texts = Field(default_factory=list)
    employeeCount: Range = Field(default_factory=Range)  # noqa: N815
    signals: Texts = Field(default_factory=list)
    company: CompanyFilters = Field(default_factory=CompanyFilters)


class PeopleSearch(Body):
    """The request of the estimate, which is that of the search."""

    query: Annotated[str, Field(max_length=QUERY_CHARS_MAX, examples=["VP Engineering at B2B SaaS companies"])]
    limit: Annotated[float, Field(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    includeSignals: bool = False  # noqa: N815
    includeContacts: bool = False  # noqa: N815
    contactFields: ContactFields = Field(default_factory=lambda: list(CONTACT_FIELDS))  # noqa: N815
    maxCredits: Count = Field(default_factory=float)  # noqa: N815
    filters: Filters = Field(default_factory=Filters)
    confirm: bool = Field(default_factory=bool)


Credits = Annotated[Decimal, Field(ge=0), PlainSerializer(_number, return_type=float)]


class ContactEnrichment(BaseModel):
    """What contacts add."""

    includeContacts: bool  # noqa: N815
    fields_: Annotated[list[ContactField], Field(serialization_alias="fields")]
    maxPeople: int  # noqa: N815
    contactAttemptsPerFieldPerPerson: int  # noqa: N815
    estimatedCredits: Credits  # noqa: N815


class Breakdown(BaseModel):
    """Where the credits go."""

    baseSearchCredits: Credits  # noqa: N815
    contactEnrichment: ContactEnrichment  # noqa: N815


class Assumptions(BaseModel):
    """How careful the estimate is; for people to read."""

    mode: str = "conservative_preflight_ceiling"
    description: str = (
        "One discovery charge for each provider page of up to 25 people, and every contact attempt charged. "
        "Settled credits follow measured usage and can be lower."
    )


class Estimate(BaseModel):
    """The answer; everything but `expectedLatencyRange` is always there."""

    estimatedCredits: Credits  # noqa: N815
    likelySyncOrAsync: Literal["sync", "async"]  # noqa: N815
    withinPlanLimits: bool  # noqa: N815
    breakdown: Breakdown
    assumptions: Assumptions
    expectedLatencyRange: str  # noqa: N815


class PropertyError(BaseModel):
    """What is wrong with one property of a request."""

    property: str
    message: str
    constraints: dict[str, str]


class ErrorEnvelope(BaseModel):
    """The body of every error; `errors` with 400 only."""

    statusCode: int  # noqa: N815
    error: str
    message: str
    path: str
    timestamp: str
    requestId: str  # noqa: N815
    errors: list[PropertyError] = []
