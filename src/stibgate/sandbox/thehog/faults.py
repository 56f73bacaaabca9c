"""What goes wrong on demand."""

from collections import deque
from dataclasses import dataclass
from http import HTTPStatus

STATUSES = {
    "401": "Invalid or missing API credentials",
    "402": "Insufficient credits: 8 required, 3 available",
    "403": "This credential may not use people search",
    "422": "The request cannot be processed",
    "429": "Rate limit exceeded",
    "500": "Internal server error",
    "502": "Bad gateway",
    "503": "Service temporarily unavailable",
    "504": "Gateway timeout",
}
"""Errors in the documented envelope, with their messages."""
FAULTS = (*STATUSES, "html", "html_200", "truncated", "slow", "cut")
"""Everything that `fail_next` knows: the errors, a page instead of JSON (502 or 200), half a body, a long wait, and a
connection that is closed without an answer."""

PAGE = "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"
RETRY_AFTER_S = "2"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        name: One of `FAULTS`.
        retry_after: The `Retry-After` of an error; None sends none.
        seconds: How long a slow answer takes.
    """

    name: str
    retry_after: str | None
    seconds: float

    @property
    def status(self) -> HTTPStatus | None:
        """The status of an error in the envelope; None for all other faults."""
        return HTTPStatus(int(self.name)) if self.name in STATUSES else None


class Faults:
    """The faults that wait for their requests, first come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[Fault] = deque()

    def add(self, name: str, *, count: int, retry_after: str | None, seconds: float) -> None:
        """Let *name* hit *count* more requests.

        Raises:
            ValueError: There is no such fault.
        """
        if name not in FAULTS:
            raise ValueError(f"{name} is not a fault; there are {', '.join(FAULTS)}")
        if retry_after is None and name == "429":
            retry_after = RETRY_AFTER_S
        self._waiting.extend([Fault(name, retry_after or None, seconds)] * count)

    def next(self) -> Fault | None:
        """Return the fault of the request that just came."""
        return self._waiting.popleft() if self._waiting else None
