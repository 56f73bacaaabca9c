"""How long a vendor asks us to wait, whatever unit it says so in.

`Retry-After` is seconds or a date; the unit of `x-ratelimit-reset` is not documented, so every one in use is read:
seconds from now, seconds or milliseconds since the epoch, ISO time, HTTP date. `Retry-After` wins.
Source: Stibnite Person Data API, "Rate Limits"; RFC 9110, 10.2.3 and 5.6.7; research/vendors.md U28.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

WAIT_MIN_S = 1.0
WAIT_MAX_S = 300.0

_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?", re.ASCII)
_EPOCH_FROM = 1e9
_EPOCH_MS_FROM = 1e12
_CHARS_MAX = 64


def wait_s(headers: Mapping[str, str], *, now_s: float, limited: bool) -> float | None:
    """Return the seconds that an answer asks us to wait, 1 to 300, or None when it says nothing readable.

    Args:
        headers: The answer's headers, whatever the case of their names.
        now_s: The present, seconds since the epoch.
        limited: Whether the answer is 429: elsewhere `x-ratelimit-reset` is only news.
    """
    seconds = _seconds(headers.get("retry-after", ""), now_s)
    if seconds is None and limited:
        seconds = _seconds(headers.get("x-ratelimit-reset", ""), now_s)
    return None if seconds is None else min(max(seconds, WAIT_MIN_S), WAIT_MAX_S)


def _seconds(value: str, now_s: float) -> float | None:
    """Return how far *value* lies ahead, negative when it has passed; None when it is no time."""
    text = value.strip()
    if not text or len(text) > _CHARS_MAX or not text.isascii():
        return None
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number > _EPOCH_MS_FROM:
            return number / 1000 - now_s
        return number - now_s if number > _EPOCH_FROM else number
    moment = _moment(text)
    return None if moment is None else moment - now_s


def _moment(text: str) -> float | None:
    """Return the seconds since the epoch of an ISO time or an HTTP date; without an offset it is UTC."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None
