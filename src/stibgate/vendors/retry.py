"""Asking again: only what may be asked again, with full jitter, bounded in tries and in time.

Source: "Exponential Backoff And Jitter" (AWS Architecture Blog), full jitter; research/vendors.md U28.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stibgate.domain.fact import Observe, unobserved
from stibgate.errors import VendorError, VendorMisbehaved, VendorUnavailable
from stibgate.vendors.answers import error_of
from stibgate.vendors.http import Answer, Call, Http, Repeat


@dataclass(frozen=True, slots=True)
class Means:
    """What a client needs of the world.

    Attributes:
        now: Seconds since the Unix epoch.
        sleep: Waits the given seconds.
        jitter: A random number from 0 to 1.
        observe: Told of each exchange.
    """

    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    observe: Observe = unobserved


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call is tried.

    Attributes:
        tries_max: The first try included.
        total_s: No try begins later than this after the first.
        base_s: The longest first pause; it doubles with each try.
        pause_max_s: The longest pause of our own; a vendor may ask for longer ones.
    """

    tries_max: int = 4
    total_s: float = 60.0
    base_s: float = 0.5
    pause_max_s: float = 10.0


async def send(http: Http, call: Call, *, means: Means, patience: Patience) -> Answer:
    """Return the first 2xx, or the 404 of a DELETE that an earlier try may have carried out: it is gone.

    A wait that the vendor asks for is kept, or, when patience does not last that long, left to the caller: the
    error carries `retry_after_s`.

    Raises:
        VendorError: What the last try ended with; `maybe_done` is of all tries.
    """
    began_s = means.now()
    doubted = False
    for number in range(1, patience.tries_max + 1):
        try:
            answer = await http.exchange(call)
        except (VendorUnavailable, VendorMisbehaved) as broken:
            error: VendorError = broken
        else:
            refusal = error_of(call, answer, now_s=means.now())
            if refusal is None or (doubted and call.method == "DELETE" and answer.status == 404):
                return answer
            error = refusal
        doubted = error.maybe_done = doubted or error.maybe_done
        pause_s = _pause_s(call, error, number, means, patience)
        if pause_s is None or means.now() + pause_s > began_s + patience.total_s:
            break
        await means.sleep(pause_s)
    raise error


def _pause_s(call: Call, error: VendorError, number: int, means: Means, patience: Patience) -> float | None:
    """Return the seconds before the next try, or None when there must be none."""
    if number >= patience.tries_max or not isinstance(error, VendorUnavailable) or call.repeat is Repeat.NEVER:
        return None
    if call.repeat is Repeat.UNLESS_DONE and error.maybe_done:
        return None
    if error.retry_after_s is not None:
        # All who were told the same instant should not come back in it.
        return error.retry_after_s + means.jitter() * patience.base_s
    return means.jitter() * min(patience.pause_max_s, patience.base_s * 2.0 ** (number - 1))
