"""How often an address may try a wrong token: ten times a minute, on whichever door of the admin listener."""

from collections import OrderedDict, deque
from collections.abc import Callable

FAILURES_MAX = 10
FAILURES_WINDOW_MS = 60_000
ADDRESSES_MAX = 1_000


class Throttle:
    """Counts failed tries of each address; memory is bounded.

    Args:
        now_ms: The clock.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._failures: OrderedDict[str, deque[int]] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """Return for how many seconds *address* may not try; 0 when it may."""
        failures = self._failures.get(address)
        if failures is None or len(failures) < FAILURES_MAX:
            return 0
        return max(-(-(failures[0] + FAILURES_WINDOW_MS - self._now_ms()) // 1000), 0)

    def failed(self, address: str) -> None:
        """Count a failure of *address*."""
        self._failures.setdefault(address, deque(maxlen=FAILURES_MAX)).append(self._now_ms())
        self._failures.move_to_end(address)
        while len(self._failures) > ADDRESSES_MAX:
            self._failures.popitem(last=False)
