"""What a route asks of a delivery and of a record, and how that is compared."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from math import inf
from typing import Any

from stibgate.domain.record import Provenance

Texts = frozenset[str]

_DELIVERY = ("event_type", "source", "partner_customer_id", "partner_user_id", "search_id", "job_id")
_TEXTS = (
    "job_title", "company_name", "company_domain", "company_industry", "company_sic", "company_naics",
    "company_city", "company_state", "reveal_state",
)  # fmt: skip
_NUMBERS = {"employee_count": "company_employee_count", "revenue": "company_revenue"}

_OF_DELIVERY = frozenset(f.name for f in fields(Provenance))

# What an explanation may show: words of the delivery, and codes that cannot hold anything personal.
_SHOWN = frozenset(_DELIVERY) - {"partner_user_id"}
_CODES = frozenset({"company_state", "company_sic", "company_naics"})
_CODE = re.compile(r"[A-Z]{2}|[0-9]{2,6}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Condition:
    """What a route asks for; all of it must hold, and an empty one holds always.

    Each set holds the values that are allowed; None asks for nothing. Those of the delivery are compared as they
    are, those of the record without regard to case and white space. A missing value is in no set and in no range.

    Attributes:
        has: Fields that must be there, of `domain.record.FIELDS`.
        lacks: Fields that must not be there.
        employee_count_min: Lower bound, inclusive like all bounds; a text in the field is in no range.
    """

    event_type: Texts | None = None
    source: Texts | None = None
    partner_customer_id: Texts | None = None
    partner_user_id: Texts | None = None
    search_id: Texts | None = None
    job_id: Texts | None = None
    has: Texts = frozenset()
    lacks: Texts = frozenset()
    job_title: Texts | None = None
    company_name: Texts | None = None
    company_domain: Texts | None = None
    company_industry: Texts | None = None
    company_sic: Texts | None = None
    company_naics: Texts | None = None
    company_city: Texts | None = None
    company_state: Texts | None = None
    reveal_state: Texts | None = None
    employee_count_min: int | None = None
    employee_count_max: int | None = None
    revenue_min: int | None = None
    revenue_max: int | None = None

    def covers(self, other: "Condition") -> bool:
        """Return whether whatever meets *other* meets this one too, as far as their words alone tell."""
        for name in (*_DELIVERY, *_TEXTS):
            mine, theirs = _allowed(self, name), _allowed(other, name)
            if mine is not None and (theirs is None or not theirs <= mine):
                return False
        for name in _NUMBERS:
            (low, high), (other_low, other_high) = _range(self, name), _range(other, name)
            if other_low < low or other_high > high:
                return False
        return self.has <= other.has and self.lacks <= other.lacks


@dataclass(frozen=True, slots=True)
class Check:
    """One condition, ready to be asked.

    Attributes:
        condition: What an explanation calls it.
        field: The attribute of a `Provenance` or a `Record` whose value is asked for.
        holds: Says whether a value is allowed.
    """

    condition: str
    field: str
    holds: Callable[[Any], bool]

    @property
    def of_delivery(self) -> bool:
        """Whether all records of a delivery give the same answer."""
        return self.field in _OF_DELIVERY


def checks(when: Condition) -> Iterator[Check]:
    """Yield what *when* asks for, in the order in which an explanation names it."""
    for name in (*_DELIVERY, *_TEXTS):
        if (allowed := _allowed(when, name)) is not None:
            yield Check(name, name, _one_of(allowed) if name in _TEXTS else allowed.__contains__)
    for name, field in _NUMBERS.items():
        low, high = _range(when, name)
        if low > -inf:
            yield Check(f"{name}_min", field, _within(low, inf))
        if high < inf:
            yield Check(f"{name}_max", field, _within(-inf, high))
    yield from (Check(f"has {field}", field, _is_there) for field in sorted(when.has))
    yield from (Check(f"lacks {field}", field, _is_missing) for field in sorted(when.lacks))


def _allowed(when: Condition, name: str) -> Texts | None:
    """Return the values that *when* allows for *name*, as they are compared."""
    allowed: Texts | None = getattr(when, name)
    return allowed if allowed is None or name not in _TEXTS else frozenset(map(_folded, allowed))


def _range(when: Condition, name: str) -> tuple[float, float]:
    low, high = getattr(when, f"{name}_min"), getattr(when, f"{name}_max")
    return -inf if low is None else low, inf if high is None else high


def _one_of(allowed: Texts) -> Callable[[str | None], bool]:
    return lambda value: value is not None and _folded(value) in allowed


def _within(low: float, high: float) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and low <= value <= high


def _is_there(value: object) -> bool:
    return bool(value) or value == 0


def _is_missing(value: object) -> bool:
    return not _is_there(value)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def seen(field: str, value: object) -> str:
    """Return what may be said of the value of *field* where people read it: numbers, codes and ids only."""
    if not _is_there(value):
        return "nothing"
    text = str(value)
    if isinstance(value, int) or (field in _CODES and _CODE.fullmatch(text)) or field in _SHOWN:
        return text
    return "a value not shown here"
