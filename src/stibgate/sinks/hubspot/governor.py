"""The daily quota, which all private apps of an account share: spend it freely, then evenly, never to the end.

Pure arithmetic; the present is an argument. The quota is full again at midnight in the account's time zone.
Source: HubSpot, "Usage guidelines".
"""

import re
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

SAVED_SHARE = 0.20
"""When so much is left of the day's quota, it is spread over the rest of the day."""

RESERVE_SHARE = 0.02
LOOK_AGAIN_S = 900.0
"""How often one request may go out although only the reserve is left: the quota may have been raised."""

_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")


class Governor:
    """Says how far apart requests must be for the day's quota to last."""

    def __init__(self) -> None:
        self._zone: tzinfo = UTC
        self._limit = 0
        self._remaining = 0
        self._ends_ms = 0

    def set_zone(self, time_zone: str, utc_offset: str | None) -> None:
        """Count days in *time_zone*; where that name is not known here, at *utc_offset* (`-05:00`), else in UTC."""
        try:
            self._zone = ZoneInfo(time_zone)
        except (ValueError, OSError, KeyError):
            self._zone = _fixed(utc_offset or "")
        self._ends_ms = 0  # a day that was counted elsewhere; the next answer's headers say where we are

    def learn(self, limit: int, remaining: int, now_ms: int) -> None:
        """Take the figures of an answer's headers."""
        self._limit, self._remaining = limit, remaining
        self._ends_ms = self._midnight_ms(now_ms)

    def spend(self) -> None:
        """Count a request whose answer is not there yet."""
        self._remaining -= 1

    def to_midnight_s(self, now_ms: int) -> float:
        """Return the seconds until the quota is full again, above zero."""
        return (self._midnight_ms(now_ms) - now_ms) / 1000

    def interval_s(self, now_ms: int) -> float:
        """Return how far apart requests must be; 0 while there is no reason to save."""
        if now_ms >= self._ends_ms or self._remaining > self._limit * SAVED_SHARE:
            return 0.0
        left_s = (self._ends_ms - now_ms) / 1000
        spendable = self._remaining - self._limit * RESERVE_SHARE
        return left_s / spendable if spendable >= 1 else min(LOOK_AGAIN_S, left_s)

    def _midnight_ms(self, now_ms: int) -> int:
        today = datetime.fromtimestamp(now_ms / 1000, self._zone).date()
        midnight = datetime.combine(today + timedelta(days=1), time(), self._zone)
        return max(round(midnight.timestamp() * 1000), now_ms + 1000)


def _fixed(utc_offset: str) -> tzinfo:
    found = _OFFSET.fullmatch(utc_offset)
    if not found:
        return UTC
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-offset if found[1] == "-" else offset) if offset < timedelta(hours=24) else UTC
