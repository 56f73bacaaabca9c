"""Phone numbers: E.164 by phonenumbers, with a short cut for plain North American ones.

The vendor's own examples (`+12085550123`) are in the range reserved for fiction, 555-0100 to 555-0199;
phonenumbers calls them valid, so they need no rule here.

The short cut matters: the library takes 60 us a number and a record has two. It decides nothing by itself: it
recognises a spelling and asks the library's own pattern for the country. Whatever it does not say yes to
goes to the library. `tests/normalise/test_phones.py` proves the two equal on every area code.
Numbers are not cached: they are personal data, and erasure should not have to know about a cache.
"""

import re
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumber, PhoneNumberFormat

_PHONE_CHARS_MAX = 250  # phonenumbers' own bound
_REPEATED_DIGITS_MIN = 7
"""Digits more than E.164 holds: fewer are a trunk prefix or an international one, as many are a second number."""

_SPELLING = re.compile(
    r"(?P<country>\+1[ .\-]?|1[ .\-]?)?"
    r"(?:\((?P<bracketed>[2-9][0-9]{2})\) ?|(?P<area>[2-9][0-9]{2})[ .\-]?)"
    r"(?P<exchange>[2-9][0-9]{2})[ .\-]?(?P<line>[0-9]{4})"
)
_SHORT_CUT_REGIONS = frozenset({"US", "CA"})


class Phone(NamedTuple):
    """A valid number.

    Attributes:
        e164: `+12085550123`.
        whole: Whether E.164 says all that was sent: no extension, no second number.
    """

    e164: str
    whole: bool


def read(text: str, region: str) -> Phone | None:
    """Return the number that *text* is, or None when it is not a valid one.

    Args:
        text: Cleaned text.
        region: Where a number without a country code is from, ISO 3166-1 alpha-2.
    """
    number = _short_cut(text, region)
    return Phone(number, whole=True) if number else _by_library(text, region)


def e164(text: str, region: str) -> str | None:
    """Return the number that *text* is in E.164, or None when it is not a valid one."""
    phone = read(text, region)
    return phone.e164 if phone else None


def load_tables() -> None:
    """Load what phonenumbers knows about all regions, which it would else read from disk one by one."""
    PhoneMetadata.load_all()


def _north_american() -> re.Pattern[str]:
    """Return the pattern of ten digits that are a US or Canadian geographic or a toll-free number.

    It comes out of the library's tables, so that it is never older than they are.
    """
    patterns = []
    for region in sorted(_SHORT_CUT_REGIONS):
        metadata = PhoneMetadata.metadata_for_region(region)
        kinds = (metadata.fixed_line, metadata.toll_free) if metadata else ()
        patterns += [kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern]
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)")


_NORTH_AMERICAN = _north_american()


def _short_cut(text: str, region: str) -> str | None:
    """Return the number in E.164 when it is a plain North American one, or None when the library has to say."""
    match = _SPELLING.fullmatch(text)
    if match is None:
        return None
    country, bracketed, area, exchange, line = match.groups()
    if (country is None or country[0] != "+") and region not in _SHORT_CUT_REGIONS:
        return None
    national = f"{bracketed or area}{exchange}{line}"
    return f"+1{national}" if _NORTH_AMERICAN.fullmatch(national) else None


def _by_library(text: str, region: str) -> Phone | None:
    """Return what `read` returns, asking phonenumbers."""
    if len(text) > _PHONE_CHARS_MAX:
        return None
    try:
        number: PhoneNumber = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    found = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    surplus = sum(map(str.isdigit, text)) - (len(found) - 1)
    return Phone(found, whole=not number.extension and surplus < _REPEATED_DIGITS_MIN)
