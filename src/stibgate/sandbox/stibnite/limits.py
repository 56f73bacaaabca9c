"""The rate limit of one account.

The document names the answer (429 and its three headers), not the limit; here it is a number of requests in a fixed
window, and `x-ratelimit-reset` is when the next window begins, in seconds since the Unix epoch.

Source: Stibnite Person Data API, "Rate Limits".
"""

import math
from collections.abc import Callable

from stibgate.sandbox.stibnite.refusals import Refused

WINDOW_S = 60


class RateLimit:
    """Counts requests in windows of a minute.

    Args:
        limit: Requests a window.
        now: Seconds since the Unix epoch.
    """

    def __init__(self, limit: int, now: Callable[[], float]) -> None:
        self._limit = limit
        self._now = now
        self._window = 0
        self._spent = 0

    def spend(self) -> None:
        """Count one request.

        Raises:
            Refused: 429, when it is beyond the limit.
        """
        window = int(self._now() // WINDOW_S)
        if window != self._window:
            self._window, self._spent = window, 0
        if self._spent >= self._limit:
            raise self.refused((window + 1) * WINDOW_S)
        self._spent += 1

    def refused(self, reset_at_s: float | None = None) -> Refused:
        """Return the refusal, until *reset_at_s*; by default for a second, as the fault `http429` is."""
        until_s = math.ceil(self._now()) + 1 if reset_at_s is None else math.ceil(reset_at_s)
        headers = {
            "x-ratelimit-limit": str(self._limit),
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": str(until_s),
        }
        return Refused(429, "rate limit exceeded; wait until x-ratelimit-reset", headers)
