"""What The Hog is asked for: a people search, checked here before anything is sent.

What cannot be right raises `UsageError`, which names the field and shows nothing of the search. Source: The Hog,
"Estimate people search"; `title_match`, `confirm` and the shape of the filters from the vendor's OpenAPI document.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from stibgate.domain.preflight import SearchSize
from stibgate.errors import UsageError

QUERY_CHARS_MAX = 500
LIMIT_MAX = 100
LIMIT_DEFAULT = 25
BODY_MAX_BYTES = 256 * 1024

ContactField = Literal["email", "phone"]
TitleMatch = Literal["exact", "similar"]
CONTACT_FIELDS: tuple[ContactField, ...] = ("email", "phone")
TITLE_MATCHES: tuple[TitleMatch, ...] = ("exact", "similar")


@dataclass(frozen=True, slots=True)
class CountRange:
    """How many employees, either end open."""

    min: int | None = None
    max: int | None = None

    def __post_init__(self) -> None:
        """Check it."""
        for end in (self.min, self.max):
            _check(end is None or (type(end) is int and end >= 0), "employee_count", "whole numbers from 0")
        if self.min is not None and self.max is not None:
            _check(self.min <= self.max, "employee_count", "a min that is not above its max")

    def body(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return _given({"min": self.min, "max": self.max})


@dataclass(frozen=True, slots=True, repr=False)
class CompanyFilters:
    """Which companies."""

    names: Sequence[str] = ()
    domains: Sequence[str] = ()
    linkedin_urls: Sequence[str] = ()
    industries: Sequence[str] = ()
    employee_count: CountRange | None = None
    signals: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check it."""
        for name in ("names", "domains", "linkedin_urls", "industries", "signals"):
            _check_texts(f"company.{name}", getattr(self, name))

    def body(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return _given(
            {
                "names": list(self.names),
                "domains": list(self.domains),
                "linkedinUrls": list(self.linkedin_urls),
                "industries": list(self.industries),
                "employeeCount": self.employee_count and self.employee_count.body(),
                "signals": list(self.signals),
            }
        )


@dataclass(frozen=True, slots=True, repr=False)
class PeopleFilters:
    """Which people."""

    titles: Sequence[str] = ()
    title_match: TitleMatch | None = None
    locations: Sequence[str] = ()
    industries: Sequence[str] = ()
    employee_count: CountRange | None = None
    signals: Sequence[str] = ()
    company: CompanyFilters | None = None

    def __post_init__(self) -> None:
        """Check it."""
        for name in ("titles", "locations", "industries", "signals"):
            _check_texts(name, getattr(self, name))
        _check(self.title_match in {None, *TITLE_MATCHES}, "title_match", " or ".join(TITLE_MATCHES))

    def body(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return _given(
            {
                "titles": list(self.titles),
                "titleMatch": self.title_match,
                "locations": list(self.locations),
                "industries": list(self.industries),
                "employeeCount": self.employee_count and self.employee_count.body(),
                "signals": list(self.signals),
                "company": self.company and self.company.body(),
            }
        )


@dataclass(frozen=True, slots=True)
class PeopleSearch:
    """A people search, as the estimate and the search itself take it.

    Attributes:
        query: The search in words, at most 500 characters.
        limit: How many people, 1 to 100.
        contact_fields: Which contacts to look up when they are included; None means both, as it does over there.
        max_credits: The most that the search may charge; None leaves that to the account.
        confirm: Goes on although the vendor asked for a confirmation; only ever set by a person.
    """

    query: str = field(repr=False)
    limit: int = LIMIT_DEFAULT
    include_signals: bool = False
    include_contacts: bool = False
    contact_fields: Sequence[ContactField] | None = None
    max_credits: Decimal | None = None
    filters: PeopleFilters | None = field(default=None, repr=False)
    confirm: bool | None = None

    def __post_init__(self) -> None:
        """Check it."""
        _check_texts("query", [self.query])
        _check(len(self.query) <= QUERY_CHARS_MAX, "query", f"at most {QUERY_CHARS_MAX} characters")
        _check(
            type(self.limit) is int and 1 <= self.limit <= LIMIT_MAX, "limit", f"a whole number from 1 to {LIMIT_MAX}"
        )
        if self.contact_fields is not None:
            named = tuple(self.contact_fields)
            known = bool(named) and len(set(named)) == len(named) and set(named) <= set(CONTACT_FIELDS)
            _check(known, "contact_fields", f"{' or '.join(CONTACT_FIELDS)}, or both")
        if self.max_credits is not None:
            exact = self.max_credits.is_finite() and self.max_credits >= 0
            exact = exact and Decimal(str(float(self.max_credits))) == self.max_credits
            _check(exact, "max_credits", "a number from 0 with at most 15 digits")
        _check(len(self.body()) <= BODY_MAX_BYTES, "filters", f"at most {BODY_MAX_BYTES} bytes as JSON")

    @property
    def size(self) -> SearchSize:
        """What it is charged by."""
        fields = CONTACT_FIELDS if self.contact_fields is None else tuple(self.contact_fields)
        return SearchSize(self.limit, fields if self.include_contacts else ())

    def resized(self, size: SearchSize) -> "PeopleSearch":
        """Return the same search for *size*.

        Raises:
            UsageError: There is no such search.
        """
        fields: Any = size.contact_fields or self.contact_fields
        return replace(self, limit=size.people, include_contacts=bool(size.contact_fields), contact_fields=fields)

    @property
    def private(self) -> tuple[str, ...]:
        """Every text of it, for what must not be repeated."""
        return (self.query, *_texts_of(self.filters.body() if self.filters else {}))

    def body(self) -> bytes:
        """Return the request's JSON, without what was not given, the documented defaults written out."""
        document = {
            "query": self.query,
            "limit": self.limit,
            "includeSignals": self.include_signals,
            "includeContacts": self.include_contacts,
            "contactFields": None if self.contact_fields is None else list(self.contact_fields),
            "maxCredits": None if self.max_credits is None else _json_number(self.max_credits),
            "filters": self.filters and self.filters.body(),
            "confirm": self.confirm,
        }
        return json.dumps(_given(document), separators=(",", ":"), allow_nan=False).encode()


def _check(right: bool, name: str, meant: str) -> None:  # noqa: FBT001  (what is checked)
    if not right:
        raise UsageError(f"{name} must be {meant}", hint="These are the vendor's documented limits.")


def _check_texts(name: str, values: Any) -> None:
    texts = isinstance(values, Sequence) and not isinstance(values, str | bytes)
    texts = texts and all(isinstance(value, str) and value.strip() and _sendable(value) for value in values)
    _check(texts, name, "text that is not empty")


def _sendable(text: str) -> bool:
    """Return whether *text* is Unicode: half of a pair is not, and would be refused over there."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _given(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None and value not in ([], {})}


def _json_number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts_of(list(value.values()))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts_of(inner)
