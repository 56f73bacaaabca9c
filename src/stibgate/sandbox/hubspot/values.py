"""Which values a property takes, and how it keeps them.

Source: error handling page (codes); changelog on stricter validation (options, numbers); properties guide (types).
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

LENGTH_MAX = 65_536
"""Characters that a text property takes."""

_EMAIL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*@([a-z0-9-]+(\.[a-z0-9-]+)+)")
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_PHONE = re.compile(r"\+?[\d\s().x-]{3,40}", re.ASCII)

Check = Callable[[str], str]


class NotValid(ValueError):
    """A value that its property does not take.

    Args:
        code: HubSpot's word for it.
        message: What the client reads.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def text(value: str) -> str:
    """Return *value* as a text property keeps it: as it is."""
    if len(value) > LENGTH_MAX:
        raise NotValid("VALUE_TOO_LONG", f"Property values must not exceed {LENGTH_MAX} characters")
    return value


def email(value: str) -> str:
    """Return *value* in lower case; an address with an unknown top-level domain is not valid."""
    kept = value.strip().lower()
    match = _EMAIL.fullmatch(kept)
    if match is None or len(kept) > 254 or not _known_domain(match[2]):
        raise NotValid("INVALID_EMAIL", f"Email address {value} is invalid")
    return kept


def number(value: str) -> str:
    """Return *value* without the space around it: no commas, no exponent, at most one period."""
    kept = value.strip()
    if _NUMBER.fullmatch(kept) is None:
        raise NotValid("INVALID_INTEGER", f"{value} was not a valid number")
    return kept


def boolean(value: str) -> str:
    """Return `true` or `false`."""
    kept = value.strip().lower()
    if kept not in {"true", "false"}:
        raise NotValid("INVALID_BOOLEAN", f"{value} was not a valid boolean")
    return kept


def moment(value: str) -> str:
    """Return *value* when it is an ISO date or time, or milliseconds since the epoch."""
    kept = value.strip()
    if kept.isdecimal():
        return kept
    try:
        date.fromisoformat(kept) if len(kept) <= 10 else datetime.fromisoformat(kept)
    except ValueError as error:
        raise NotValid("INVALID_DATE", f"{value} was not a valid date") from error
    return kept


def phone(value: str) -> str:
    """Return *value* when it may be a phone number; only properties of type `phone_number` ask."""
    if _PHONE.fullmatch(value) is None:
        raise NotValid("INVALID_PHONE_NUMBER", f"{value} was not a valid phone number")
    return value


def one_of(options: tuple[str, ...]) -> Check:
    """Return the check of a property that has *options*, one of which is its value."""
    allowed = frozenset(options)
    listed = ", ".join(options)

    def check(value: str) -> str:
        # Space around a value is still taken: the stricter rule was announced and cancelled.
        kept = value.strip()
        if kept not in allowed:
            raise NotValid("INVALID_OPTION", f"{value} was not one of the allowed options: [{listed}]")
        return kept

    return check


def several_of(options: tuple[str, ...]) -> Check:
    """Return the check of a property that takes any number of *options*, joined with `;`."""
    one = one_of(options)
    return lambda value: ";".join(one(part) for part in value.split(";") if part.strip())


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False)


@lru_cache(maxsize=65_536)
def _known_domain(domain: str) -> bool:
    labels = domain.split(".")
    sound = all(label and len(label) <= 63 and label[0] != "-" and label[-1] != "-" for label in labels)
    return sound and _suffixes().publicsuffix(labels[-1]) is not None
