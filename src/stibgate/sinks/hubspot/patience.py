"""How often and when one request is sent again: only what is quick, all else is the pipeline's to repeat."""

from collections import Counter

from stibgate.sinks.hubspot.answers import Again, Trouble
from stibgate.sinks.hubspot.pace import STOP_S

BUDGET_S = 60.0
"""No try begins so long after the first one."""

TRIES = {
    Trouble.LOCKED: 5,
    Trouble.ROLLING: 5,
    Trouble.SECONDLY: 10,
    Trouble.BROKEN: 3,
    Trouble.OVERLOADED: 6,
    Trouble.EDGE: 1,
}
"""How often a request is sent again after each trouble. Source: HubSpot, "Error handling"."""

SECOND_S = 1.0
_LOCK_S = 2.0
_BACKOFF_S = 2.0
_BACKOFF_MAX_S = 16.0


class Patience:
    """One request's: begun with its first try.

    Args:
        now_s: The present, by the same clock as later.
    """

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._seen: Counter[Trouble] = Counter()

    def wait_s(self, again: Again, now_s: float, jitter: float) -> float | None:
        """Return how long to wait before the next try; None when there is none.

        Args:
            again: What became of the last one.
            now_s: The present.
            jitter: A random number from 0 to 1.
        """
        self._seen[again.trouble] += 1
        seen = self._seen[again.trouble]
        if seen > TRIES[again.trouble]:
            return None
        match again.trouble:
            case Trouble.ROLLING:
                wait_s = STOP_S
            case Trouble.SECONDLY:
                wait_s = SECOND_S
            case Trouble.LOCKED:
                wait_s = max(_LOCK_S + jitter, again.wait_s or 0.0)
            case Trouble.BROKEN | Trouble.OVERLOADED | Trouble.EDGE:
                wait_s = max(jitter * min(_BACKOFF_S * 2 ** (seen - 1), _BACKOFF_MAX_S), again.wait_s or 0.0)
        return wait_s if now_s + wait_s - self._since_s <= BUDGET_S else None
