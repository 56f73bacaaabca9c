"""The request limits of one account, on the sandbox's clock.

A request that is refused for a limit spends nothing of any. Searches have a clock of their own and count towards
the day, but not towards the ten seconds.

Source: usage guidelines; the search limit as its guide is quoted.
"""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from stibgate.sandbox.hubspot.portal import Portal

_TEN_S = 10.0


class Window:
    """At most *limit* moments in any *span_s* seconds."""

    def __init__(self, limit: int, span_s: float) -> None:
        self._limit = limit
        self._span_s = span_s
        self._moments: deque[float] = deque()

    def left(self, now_s: float) -> int:
        """Return how many more fit in now."""
        moments = self._moments
        while moments and moments[0] <= now_s - self._span_s:
            moments.popleft()
        return self._limit - len(moments)

    def add(self, now_s: float) -> None:
        """Count one moment."""
        self._moments.append(now_s)


class Limits:
    """What has been spent of the day, of the last ten seconds and of the last second of searches."""

    def __init__(self, portal: Portal, now: Callable[[], float]) -> None:
        self._portal = portal
        self._now = now
        self._zone = ZoneInfo(portal.time_zone)
        self._ten_s = Window(portal.limit_ten_s, _TEN_S)
        self._search = Window(portal.limit_search_s, 1.0)
        self._day_ends_at_s = 0.0
        self._used_today = 0

    def spend(self, *, search: bool) -> str | None:
        """Return the policy that refuses a request now, or None: then it is counted."""
        now_s = self._now()
        if self.used_today >= self._portal.limit_daily:
            return "DAILY"
        window, policy = (self._search, "SECONDLY") if search else (self._ten_s, "TEN_SECONDLY_ROLLING")
        if window.left(now_s) <= 0:
            return policy
        window.add(now_s)
        self._used_today += 1
        return None

    @property
    def used_today(self) -> int:
        """How many requests were counted since midnight in the account's time zone."""
        now_s = self._now()
        if now_s >= self._day_ends_at_s:
            self._used_today = 0
            self._day_ends_at_s = self._next_midnight(now_s)
        return self._used_today

    @property
    def day_ends_at_s(self) -> float:
        """When the daily quota is whole again, in seconds since the Unix epoch."""
        return self._day_ends_at_s if self.used_today >= 0 else 0.0

    def headers(self) -> dict[str, str]:
        """Return the rate headers as they stand after this request."""
        left = max(0, self._ten_s.left(self._now()))
        per_second = self._portal.limit_ten_s // 10
        return {
            "X-HubSpot-RateLimit-Max": str(self._portal.limit_ten_s),
            "X-HubSpot-RateLimit-Remaining": str(left),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            "X-HubSpot-RateLimit-Daily": str(self._portal.limit_daily),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, self._portal.limit_daily - self.used_today)),
            "X-HubSpot-RateLimit-Secondly": str(per_second),
            "X-HubSpot-RateLimit-Secondly-Remaining": str(max(0, min(per_second, left) - 1)),
        }

    def _next_midnight(self, now_s: float) -> float:
        local = datetime.fromtimestamp(now_s, UTC).astimezone(self._zone)
        # The date is moved, not the instant: a day of a clock change has 23 or 25 hours.
        midnight = datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), self._zone)
        return midnight.timestamp()
