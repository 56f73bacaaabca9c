"""Instants: milliseconds since the Unix epoch inside, RFC 3339 UTC with a `Z` outside."""

import re
from datetime import UTC, datetime

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def to_rfc3339(unix_ms: int) -> str:
    """Return *unix_ms* as RFC 3339 UTC with milliseconds, `2026-05-17T18:42:10.004Z`."""
    moment = datetime.fromtimestamp(unix_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{unix_ms % 1000:03d}Z"


def to_compact(unix_ms: int) -> str:
    """Return *unix_ms* as compact UTC for file names, `20260517T184210Z`."""
    return f"{datetime.fromtimestamp(unix_ms // 1000, UTC):%Y%m%dT%H%M%SZ}"


def from_rfc3339(text: str) -> int:
    """Return the milliseconds since the epoch that *text* names.

    Raises:
        ValueError: *text* is not RFC 3339 with an offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, for example 2026-05-17T18:42:10Z")
    return round(moment.timestamp() * 1000)


def from_date_or_rfc3339(text: str) -> int:
    """Return the milliseconds since the epoch that a person means: a date is its midnight UTC.

    Raises:
        ValueError: *text* is neither a date nor RFC 3339 with an offset.
    """
    return from_rfc3339(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
