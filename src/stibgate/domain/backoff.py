"""When a task is tried again: the schedule is data, the jitter an argument."""

from collections.abc import Sequence
from dataclasses import dataclass

from stibgate.domain.circuit import USUAL, CircuitPolicy


@dataclass(frozen=True, slots=True)
class Policy:
    """How patiently one sink's tasks are tried.

    Attributes:
        schedule_s: Delay before each attempt, the first one included: `(0, 5, 60)` allows three attempts.
        max_age_s: A task older than this is not tried again.
        timeout_s: How long one attempt may take.
        concurrency: Attempts of one sink at the same time.
        rate_per_s: Most attempts that begin in a second; None for no limit.
        lease_s: How long a worker's claim holds; longer than `timeout_s`.
        circuit: When its breaker opens.
    """

    schedule_s: Sequence[float]
    max_age_s: float
    timeout_s: float
    concurrency: int
    lease_s: float
    rate_per_s: float | None = None
    circuit: CircuitPolicy = USUAL

    def exhausted(self, *, tries: int, age_ms: int) -> str | None:
        """Return why a task may not be tried once more, or None when it may.

        Args:
            tries: Attempts that counted.
            age_ms: How old it is, without the time when its sink was paused or held.
        """
        if tries >= len(self.schedule_s):
            return "every attempt of the schedule was used"
        if age_ms > self.max_age_s * 1000:
            return "max_age has passed"
        return None


def next_attempt_at_ms(
    policy: Policy,
    *,
    tries: int,
    age_ms: int,
    now_ms: int,
    jitter: float,
    retry_after_s: float | None = None,
) -> int | None:
    """Return when to try again, in milliseconds since the epoch, or None when it is given up.

    Given up means: the schedule is used up, or the next attempt would come after `max_age`.

    Args:
        policy: The sink's patience.
        tries: Attempts already made that count, from 1.
        age_ms: How old the task is, without the time when its sink was paused or held.
        now_ms: The present.
        jitter: A number from 0 (20 % early) to 1 (20 % late).
        retry_after_s: What the sink asked for; it wins when it is longer than the schedule's delay.
    """
    if tries >= len(policy.schedule_s):
        return None
    delay_ms = max(policy.schedule_s[tries] * (0.8 + 0.4 * jitter), retry_after_s or 0.0) * 1000
    if age_ms + delay_ms > policy.max_age_s * 1000:  # before rounding: a sink may ask for 1e999 s
        return None
    return now_ms + round(delay_ms)
