"""Waiting for a job: rarely at first, more rarely later, and not for ever.

Source: Stibnite Person Data API, "Get async person search job": "Poll this endpoint with backoff".
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stibgate.errors import VendorUnavailable
from stibgate.vendors.retry import Means
from stibgate.vendors.stibnite.models import Job


@dataclass(frozen=True, slots=True)
class Polling:
    """How a job is polled.

    Attributes:
        first_s: The pause before the second look.
        factor: By how much each pause is longer than the one before.
        pause_max_s: The longest pause.
        give_up_after_s: When to stop.
    """

    first_s: float = 1.0
    factor: float = 1.5
    pause_max_s: float = 30.0
    give_up_after_s: float = 900.0


async def ended_job(look: Callable[[], Awaitable[Job]], *, means: Means, polling: Polling) -> Job:
    """Return the job once it has ended.

    Args:
        look: Gets the job as it is now.
        means: Clock, sleep and jitter: each pause is lengthened by up to a fifth.
        polling: How often, and how long.

    Raises:
        VendorError: It could not be looked at, or (`VendorUnavailable`) has not ended in time.
    """
    began_s = means.now()
    pause_s = polling.first_s
    while not (job := await look()).ended:
        if means.now() + pause_s > began_s + polling.give_up_after_s:
            raise VendorUnavailable(
                f"the job is still {job.status[:40]!r} after {means.now() - began_s:.0f} s",
                hint="It may end yet: its event will say so, and it can be read later by its id.",
                retry_after_s=polling.pause_max_s,
                maybe_done=True,
            )
        await means.sleep(pause_s * (1 + means.jitter() / 5))
        pause_s = min(pause_s * polling.factor, polling.pause_max_s)
    return job
