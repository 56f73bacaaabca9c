"""Faults on demand, and at random from the seed.

Three kinds: an answer instead of the work; the work done and its answer spoilt; the connection cut before or after.

Source: error handling page (423, 477, 5xx), usage guidelines (429).
"""

from dataclasses import dataclass, replace
from typing import Any

from stibgate.sandbox.dice import Random
from stibgate.sandbox.hubspot.answers import Answer
from stibgate.sandbox.hubspot.refusals import Refused, missing_scopes, rate_limited, unauthenticated

_EDGE = ("521", "522", "523", "524", "525", "526")
INSTEAD = (
    "401", "403", "423", "429_secondly", "429_ten_secondly", "429_daily", "477", "500", "502", "503", "504", *_EDGE,
    "html", "html_200", "cut_before",
)  # fmt: skip
"""Nothing is done; this is the answer."""
AFTER = ("cut_after", "truncated", "short", "empty_2xx")
"""The work is done; the answer is spoilt."""
FAULTS = (*INSTEAD, *AFTER, "slow")
"""Everything that `fail_next` and `set_fault_rate` know."""

_POLICIES = {"429_secondly": "SECONDLY", "429_ten_secondly": "TEN_SECONDLY_ROLLING", "429_daily": "DAILY"}
_MESSAGES = {
    "423": "The record is locked by another request; wait at least 2 seconds",
    "477": "This account is being moved to another data centre",
    "500": "internal error",
    "503": "Service temporarily unavailable",
}
_PAGE = "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"


@dataclass(slots=True)
class Fault:
    """One fault that waits for its requests.

    Attributes:
        name: One of `FAULTS`.
        left: How many requests it still hits.
        path: A part of the path that it is limited to; None hits any.
        details: `retry_after_s` for any answer, `seconds` for slow, `drop` for short, `scopes` for 403.
    """

    name: str
    left: int
    path: str | None
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rated:
    """One fault that hits a share of the requests."""

    name: str
    rate: float
    path: str | None
    details: dict[str, Any]


class Faults:
    """The faults that are on."""

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._waiting: list[Fault] = []
        self._rated: list[Rated] = []

    def fail_next(self, name: str, *, count: int, path: str | None, details: dict[str, Any]) -> None:
        """Let *name* hit the next *count* requests whose path contains *path*.

        Raises:
            ValueError: There is no such fault.
        """
        self._waiting.append(Fault(_known(name), count, path, details))

    def set_rate(self, name: str, rate: float, *, path: str | None, details: dict[str, Any]) -> None:
        """Let *name* hit a *rate* (0 to 1) of the requests whose path contains *path*; 0 ends it.

        Raises:
            ValueError: There is no such fault, or *rate* is no share.
        """
        if not 0 <= rate <= 1:
            raise ValueError(f"{rate} is not between 0 and 1")
        self._rated = [rated for rated in self._rated if (rated.name, rated.path) != (name, path)]
        self._rated += [Rated(_known(name), rate, path, details)] if rate else []

    def drawn(self, path: str) -> Fault | None:
        """Return the fault that hits a request to *path*: the first that waits, else one at random."""
        for fault in self._waiting:
            if fault.path is None or fault.path in path:
                fault.left -= 1
                if fault.left <= 0:
                    self._waiting.remove(fault)
                return fault
        for rated in self._rated:
            if (rated.path is None or rated.path in path) and self._draw.random() < rated.rate:
                return Fault(rated.name, 1, rated.path, rated.details)
        return None


def instead(fault: Fault) -> Answer | None:
    """Return what is answered instead of the work; None cuts the connection."""
    if fault.name == "cut_before":
        return None
    headers = {}
    retry_after_s = fault.details.get("retry_after_s", 3_600 if fault.name == "477" else None)
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if fault.name in {"html", "html_200"}:
        return Answer(502 if fault.name == "html" else 200, None, headers, page=_PAGE)
    if fault.name in {"502", "504", *_EDGE}:
        return Answer(int(fault.name), None, headers, page=f"error code: {fault.name}")
    refused = _refused(fault)
    return Answer(refused.status, refused.body, headers)


def spoilt(fault: Fault, answer: Answer) -> Answer | None:
    """Return *answer* as *fault* leaves it; None cuts the connection."""
    if fault.name == "cut_after":
        return None
    if fault.name == "empty_2xx":
        return replace(answer, body=None)
    if fault.name == "short" and answer.body and answer.body.get("results"):
        drop = fault.details.get("drop", 1)
        return replace(answer, body=answer.body | {"results": answer.body["results"][drop:]})
    return answer


def _refused(fault: Fault) -> Refused:
    if fault.name in _POLICIES:
        return rate_limited(_POLICIES[fault.name])
    if fault.name == "401":
        return unauthenticated()
    if fault.name == "403":
        return missing_scopes(fault.details.get("scopes", ["crm.objects.contacts.write"]))
    return Refused(int(fault.name), _MESSAGES[fault.name], None)


def _known(name: str) -> str:
    if name not in FAULTS:
        raise ValueError(f"{name} is not a fault; there are {', '.join(FAULTS)}")
    return name
