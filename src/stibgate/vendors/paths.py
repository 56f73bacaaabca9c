"""Ids and queries, put into URLs so that they stay what they are."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from stibgate.domain.event import ID_CHARS_MAX, askable
from stibgate.errors import UsageError


def segment(name: str, value: str) -> str:
    """Return *value* as one segment of a path.

    Args:
        name: What the error calls it.
        value: An id or a domain.

    Raises:
        UsageError: It is empty, too long, or no text that can be one segment.
    """
    if not askable(value):
        raise UsageError(
            f"{name} must be 1 to {ID_CHARS_MAX} printable characters", hint="Copy it from the vendor's answer."
        )
    return quote(value, safe="")


def with_query(path: str, query: Mapping[str, str | int | None]) -> str:
    """Return *path* with those of *query* that are not None."""
    given = {name: str(value) for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path
