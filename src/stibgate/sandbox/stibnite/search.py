"""What a query means, and which people it finds.

Source: Stibnite Person Data API, "Create async person search job", "Get async person search job", "Person search
taxonomy". Left open there, and decided here so that a developer can ask for what they need:

- a whole number in the query is how many people there are ("40 owners of law firms"), 250 without one;
- the word "fail" makes the search fail, once it runs;
- a query without a letter is an unsupported search;
- searches that are understood as the same find the same people, so that a dedupe token can hold for "the interpreted
  criteria", however they were written;
- a taxonomy search knows its total ("eq"); any other only that there is one more ("gte"), as in the example.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from stibgate.sandbox.dice import dice
from stibgate.sandbox.people import People
from stibgate.sandbox.stibnite.cursors import Cursors
from stibgate.sandbox.stibnite.refusals import Refused

TOTAL_DEFAULT = 250
TOTAL_MAX = 5_000
RECORDS_MAX_DEFAULT = 2_000
"""`max_records` when a search names none: the example's."""

ROLES: Mapping[str, tuple[str, str]] = {
    "ceo": ("chief_executive", "CEO / Chief Executive Officer"),
    "owner": ("owner", "Owner"),
    "partner": ("partner", "Partner"),
    "real estate agent": ("real_estate_agent", "Real estate agent"),
    "financial advisor": ("financial_advisor", "Financial advisor"),
    "attorney": ("attorney", "Attorney"),
    "broker": ("broker", "Broker"),
    "doctor": ("doctor", "Doctor"),
    "provider": ("provider", "Provider"),
}
INDUSTRIES: Mapping[str, tuple[str, str]] = {
    "marketing agencies": ("marketing_agency", "Marketing agencies"),
    "law firms": ("law_firm", "Law firms"),
    "real estate brokerages": ("real_estate", "Real estate brokerages"),
    "insurance agencies": ("insurance_agency", "Insurance agencies"),
    "software companies": ("software", "SaaS and software companies"),
    "healthcare practices": ("healthcare_practice", "Healthcare practices"),
}
"""What a taxonomy search is made of: a phrase, and the key and label that it is known by."""

_AT = re.compile(r"\s+(?:at|of|in|for)\s+", re.IGNORECASE)
_NUMBER = re.compile(r"\b\d{1,7}\b")
_FAIL = re.compile(r"\bfail\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a search filters by; a cursor is bound to it."""

    q: str
    location_city: str | None = None
    location_state: str | None = None

    @property
    def total(self) -> int:
        """How many people it finds, before any cap."""
        number = _NUMBER.search(self.q)
        return min(int(number[0]), TOTAL_MAX) if number else TOTAL_DEFAULT

    @property
    def fails(self) -> bool:
        """Whether it was asked to fail."""
        return _FAIL.search(self.q) is not None

    def require_supported(self) -> None:
        """Return when it names anybody.

        Raises:
            Refused: 400, when it does not.
        """
        if not any(map(str.isalpha, self.q)):
            raise Refused(400, "q is not a supported search; say in words whom to find")


@dataclass(frozen=True, slots=True)
class Interpretation:
    """How a query was understood, once, before anything runs."""

    strategy: str
    document: dict[str, Any]

    def key(self, criteria: Criteria) -> str:
        """Return the interpreted criteria as text: what was understood, and where."""
        place = [(text or "").strip() for text in (criteria.location_city, criteria.location_state)]
        return json.dumps([self.document, place], ensure_ascii=False).casefold()


def interpret(criteria: Criteria) -> Interpretation:
    """Return the strategy and the documented `interpretation` of *criteria*."""
    asked = _NUMBER.sub("", criteria.q).strip()
    who, *where = _AT.split(asked, maxsplit=1)
    label = re.sub(r"(?<=[A-Za-z]{2})s$", "", who) or criteria.q
    role = ROLES.get(label.lower())
    industry = INDUSTRIES.get(where[0].lower()) if where else None
    if role and industry:
        strategy = "taxonomy"
    elif where or criteria.location_city or criteria.location_state:
        strategy = "indexed_dynamic"
    else:
        strategy = "dynamic"
    key, industry_label = industry or ("dynamic_industry", where[0] if where else "")
    return Interpretation(
        strategy,
        {
            "roles": [{"key": role[0] if role else "dynamic_role", "label": label}],
            "industries": [{"key": key, "label": industry_label}] if where else [],
            "warnings": [],
        },
    )


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search: whom it found, and the documented `pagination`."""

    numbers: tuple[int, ...]
    pagination: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Searcher:
    """Finds the people of one seed, always the same for the same criteria."""

    seed: int
    people: People
    cursors: Cursors

    def all_found(self, criteria: Criteria) -> tuple[int, ...]:
        """Return the numbers of all people that *criteria* finds, in the vendor's order."""
        first = dice(self.seed, "search", interpret(criteria).key(criteria)).randrange(0, 40_000, 4)
        found = self.people.found(first, city=criteria.location_city, state=criteria.location_state)
        return tuple(islice(found, criteria.total))

    def page(
        self, criteria: Criteria, *, offset: int, limit: int, records_max: int, without: Collection[int] = ()
    ) -> Page:
        """Return the page at *offset*, leaving out *without* (people delivered before under a dedupe token)."""
        found = self.all_found(criteria)[:records_max]
        end = offset
        numbers: list[int] = []
        while end < len(found) and len(numbers) < limit:
            if found[end] not in without:
                numbers.append(found[end])
            end += 1
        more = end < len(found)
        bound_only = more and interpret(criteria).strategy != "taxonomy"
        total = end + 1 if bound_only else len(found)
        pagination = {
            "limit": limit,
            "total_records": total,
            "total_records_relation": "gte" if bound_only else "eq",
            "total_pages": -(-total // limit),
            "next_cursor": self.cursor(criteria, end) if more else None,
            "max_records": records_max,
        }
        return Page(tuple(numbers), pagination)

    def cursor(self, criteria: Criteria, offset: int) -> str:
        """Return the opaque cursor of *offset* in what *criteria* finds."""
        return self.cursors.cursor(offset, "search", criteria)

    def offset(self, criteria: Criteria, cursor: str | None) -> int:
        """Return the offset that *cursor* names, 0 without one.

        Raises:
            Refused: 400, when the cursor was not made for *criteria*, or they are not supported.
        """
        criteria.require_supported()
        return self.cursors.place(cursor, "search", criteria)
