"""Times in URLs and bodies: RFC 3339 with an offset, or a date, which is midnight UTC."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from stibgate.domain.instant import from_date_or_rfc3339

_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?$"
_SHAPE = re.compile(_PATTERN)


def _checked(text: str) -> str:
    if not _SHAPE.fullmatch(text):
        raise ValueError("must be like 2026-05-17T18:42:10Z, or a date, which is midnight UTC")
    _to_ms(text)
    return text


def _to_ms(text: str) -> int:
    return from_date_or_rfc3339(text.upper())


Instant = Annotated[str, AfterValidator(_checked), Field(examples=["2026-05-17T18:42:10Z"])]


def instant_ms(text: str | None) -> int | None:
    """Return an `Instant` in milliseconds since the epoch."""
    return None if text is None else _to_ms(text)
