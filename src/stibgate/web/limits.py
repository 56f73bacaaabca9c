"""What one source may ask of us: a token bucket each, and shared bounds on requests and bytes in flight."""

import math
from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """A rate with a burst, on a monotonic clock.

    Attributes:
        rate: Tokens a second.
        burst: Most tokens that are saved up.
        tokens: What is left.
        filled_at_s: When `tokens` was right.
    """

    rate: float
    burst: float
    tokens: float
    filled_at_s: float

    def take(self, now_s: float) -> int:
        """Take one token; return 0, or the whole seconds after which there will be one."""
        self.tokens = min(self.burst, self.tokens + (now_s - self.filled_at_s) * self.rate)
        self.filled_at_s = now_s
        if self.tokens >= 1:
            self.tokens -= 1
            return 0
        return max(1, math.ceil((1 - self.tokens) / self.rate))


class RateLimiter:
    """One bucket for each source."""

    def __init__(self, *, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, source: str, now_s: float) -> int:
        """Return 0 when *source* may go on, else after how many whole seconds it may come again."""
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._buckets[source] = TokenBucket(self._rate, self._burst, self._burst, now_s)
        return bucket.take(now_s)


@dataclass(slots=True)
class InFlight:
    """Requests and body bytes that are held in memory at this moment.

    Attributes:
        requests_max: More than this is answered 503.
        bytes_max: More than this is answered 503.
    """

    requests_max: int
    bytes_max: int
    requests: int = 0
    bytes: int = 0
