"""How fast requests may leave: arithmetic only, the present is an argument.

HubSpot counts requests over a rolling window of ten seconds. A token bucket lets at most `burst + rate * t`
through in any time t, and a request may arrive up to `JITTER_S` after it left. So no window ever holds more
than HubSpot's limit as long as

    window_s * rate + burst + JITTER_S * rate <= limit

which is what `shape` keeps. A bucket with burst = limit breaks it. Source: HubSpot, "Usage guidelines".
"""

from enum import StrEnum

JITTER_S = 0.3
WINDOW_S = 10.0
FIRST_LIMIT = 100
"""What the smallest account has; assumed until an answer says more."""

SEARCH_LIMIT = 5
SEARCH_JITTER_S = 0.2
SEARCH_RATE = (SEARCH_LIMIT - 1) / (1.0 + SEARCH_JITTER_S)
"""Searches a second, by the rule above with a window of one second and a burst of one."""

LOW_SHARE = 0.2
STOP_S = 10.0
_CUT = 0.9
_LEAST_FACTOR = 0.1
_RECOVERY_PER_S = 0.01 / 60
_BURST_SHARE = 0.05
_LOW_BURST_SHARE = 0.25


class Lane(StrEnum):
    """Which clock a request goes by."""

    NORMAL = "normal"
    LOW = "low"  # looks for a record that spoils its batch; within the normal limit, at most a fifth of it
    SEARCH = "search"  # HubSpot counts searches by themselves


def shape(limit: int, window_s: float = WINDOW_S, burst_share: float = _BURST_SHARE) -> tuple[float, int]:
    """Return rate per second and burst that keep within *limit* requests (2 or more) in any *window_s*."""
    burst = max(1, int(limit * burst_share))
    return (limit - burst) / (window_s + JITTER_S), burst


class Bucket:
    """Tokens that grow at `rate` per second up to `burst`; a request takes one."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = float(burst)
        self._at_s = 0.0

    def reshape(self, rate: float, burst: int, now_s: float) -> None:
        """Change both; tokens above the new burst are lost."""
        self._grow(now_s)
        self.rate, self.burst = rate, burst
        self._tokens = min(self._tokens, burst)

    def wait_s(self, now_s: float) -> float:
        """Return how long it takes until there is a token; 0 when there is one."""
        self._grow(now_s)
        missing = 1.0 - self._tokens
        return missing / self.rate if missing > 1e-6 else 0.0  # timers may fire some nanoseconds early

    def take(self, now_s: float) -> None:
        """Take the token that `wait_s` saw."""
        self._grow(now_s)
        self._tokens -= 1.0

    def put_back(self) -> None:
        """Return a token whose request was never sent."""
        self._tokens = min(self._tokens + 1.0, self.burst)

    def _grow(self, now_s: float) -> None:
        self._tokens = min(self._tokens + max(0.0, now_s - self._at_s) * self.rate, self.burst)
        self._at_s = max(self._at_s, now_s)


class Pace:
    """The clocks of one account and app."""

    def __init__(self, limit: int = FIRST_LIMIT) -> None:
        self._limit, self._window_s = limit, WINDOW_S
        self._factor, self._cut_at_s = 1.0, 0.0
        self._stopped_until_s = {Lane.NORMAL: 0.0, Lane.LOW: 0.0, Lane.SEARCH: 0.0}
        self._normal = Bucket(*shape(limit))
        self._low = Bucket(*self._low_shape())
        self._search = Bucket(SEARCH_RATE, 1)

    @property
    def rate(self) -> float:
        """Requests a second at present, searches not counted."""
        return self._normal.rate

    def learn(self, limit: int, window_s: float, now_s: float) -> None:
        """Take the limit that an answer's headers name."""
        if (limit, window_s) != (self._limit, self._window_s):
            self._limit, self._window_s = limit, window_s
            self._reshape(now_s)

    def wait_s(self, lane: Lane, now_s: float) -> float:
        """Return how long a request of *lane* has to wait; 0 when it may go now."""
        self._recover(now_s)
        buckets = self._buckets(lane)
        return max(self._stopped_until_s[lane] - now_s, *(bucket.wait_s(now_s) for bucket in buckets), 0.0)

    def take(self, lane: Lane, now_s: float) -> None:
        """Count a request of *lane* that goes now."""
        for bucket in self._buckets(lane):
            bucket.take(now_s)

    def put_back(self, lane: Lane) -> None:
        """Uncount a request that was never sent."""
        for bucket in self._buckets(lane):
            bucket.put_back()

    def stop(self, lane: Lane, seconds: float, now_s: float) -> None:
        """Let nothing of *lane* go for *seconds*; NORMAL and LOW share one limit and stop together."""
        for stopped in (Lane.SEARCH,) if lane is Lane.SEARCH else (Lane.NORMAL, Lane.LOW):
            self._stopped_until_s[stopped] = max(self._stopped_until_s[stopped], now_s + seconds)

    def cut(self, now_s: float) -> None:
        """HubSpot said that the window is full: stop until it is free, and go on a tenth slower.

        Several requests of one burst may hear it; they cut once.
        """
        if now_s >= self._stopped_until_s[Lane.NORMAL]:
            self._recover(now_s)
            self._factor, self._cut_at_s = max(self._factor * _CUT, _LEAST_FACTOR), now_s
            self._reshape(now_s)
        self.stop(Lane.NORMAL, STOP_S, now_s)

    def _recover(self, now_s: float) -> None:
        """Win back one per cent a minute."""
        if self._factor < 1.0 and now_s - self._cut_at_s >= 1.0:
            self._factor = min(1.0, self._factor + (now_s - self._cut_at_s) * _RECOVERY_PER_S)
            self._cut_at_s = now_s
            self._reshape(now_s)

    def _reshape(self, now_s: float) -> None:
        rate, burst = shape(self._limit, self._window_s)
        self._normal.reshape(rate * self._factor, burst, now_s)
        rate, burst = self._low_shape()
        self._low.reshape(rate * self._factor, burst, now_s)

    def _low_shape(self) -> tuple[float, int]:
        return shape(max(2, int(self._limit * LOW_SHARE)), self._window_s, _LOW_BURST_SHARE)

    def _buckets(self, lane: Lane) -> tuple[Bucket, ...]:
        match lane:
            case Lane.NORMAL:
                return (self._normal,)
            case Lane.LOW:
                return (self._normal, self._low)
            case Lane.SEARCH:
                return (self._search,)


class Flights:
    """How many requests may be under way at once: one more after a success, half after trouble."""

    def __init__(self, start: int, most: int) -> None:
        self.allowed = start
        self._most = most

    def landed(self) -> None:
        """Count a success."""
        self.allowed = min(self.allowed + 1, self._most)

    def troubled(self) -> None:
        """Count a lock or an overload."""
        self.allowed = max(self.allowed // 2, 1)
