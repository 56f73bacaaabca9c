"""What an answer of HubSpot means: pure functions from status, headers and bytes to a verdict.

HubSpot's own sentences quote the values that they complain about. They are read here and never kept: a
`Fault` holds only words of closed alphabets (codes, property names, ids), and every message is ours.

Source: HubSpot, "Error handling" and "Usage guidelines".
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, NoReturn

from stibgate.errors import SinkHeld, SinkRejected, SinkUnavailable
from stibgate.sinks.hubspot.faults import Fault, correlation_of, parse_fault, scopes_of

DAY_S = 86_400.0
TOKEN_HOLD_S = 600.0
MOVE_HOLD_S = 3600.0
ASKED_MAX_S = 3600.0
"""The longest `Retry-After` that is believed of a lock or an overload: HubSpot gives milliseconds elsewhere."""
_PATH = frozenset({404, 405, 406, 415})
_DATA = frozenset({400, 409, 413, 414, 422})


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response as it came.

    Attributes:
        status: The HTTP status.
        headers: Case-insensitive.
        body: Whole; None when it was longer than we read.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What HubSpot said to a request that it took; it may still hold errors about single inputs."""

    status: int
    document: Mapping[str, Any]
    correlation_id: str | None


class Trouble(StrEnum):
    """Why the same request is worth sending again soon."""

    LOCKED = "locked"
    ROLLING = "ten_secondly_rolling"
    SECONDLY = "secondly"
    BROKEN = "broken"
    OVERLOADED = "overloaded"
    EDGE = "edge"


@dataclass(frozen=True, slots=True)
class Again:
    """The request may be sent again.

    Attributes:
        trouble: Why.
        what: What was seen, for the error if it does not get better.
        wait_s: How long HubSpot asked us to wait, where it did.
    """

    trouble: Trouble
    what: str
    wait_s: float | None = None


class Refused(SinkRejected):
    """HubSpot refused a request whole for what is in it (400, 409 and the like); parsed in `fault`.

    Attributes:
        status: The HTTP status.
        fault: What HubSpot complains about.
    """

    def __init__(self, status: int, fault: Fault) -> None:
        super().__init__(f"HubSpot refused the request ({status}): {fault.words}", hint=_support(fault.correlation_id))
        self.status = status
        self.fault = fault

    def __reduce__(self) -> tuple[type["Refused"], tuple[int, Fault]]:
        """Return how a copy is made: `args` holds the message only."""
        return type(self), (self.status, self.fault)


_WORDS = {
    408: (Trouble.BROKEN, "HubSpot did not get the request in time"),
    423: (Trouble.LOCKED, "HubSpot says that the records are locked"),
    **dict.fromkeys((502, 503, 504, 521, 523, 524), (Trouble.OVERLOADED, "HubSpot is overloaded")),
    **dict.fromkeys((522, 525, 526), (Trouble.EDGE, "HubSpot's network does not reach HubSpot")),
}


def judge(reply: Reply, *, now_ms: int, to_midnight_s: Callable[[], float], by_id: bool = False) -> Answer | Again:
    """Return the answer, or why and when to ask again.

    Args:
        reply: What came.
        now_ms: The wall clock, for a `Retry-After` that is a date.
        to_midnight_s: Seconds until the account's daily quota is full again.
        by_id: Whether the request names records by their ids, so that a 404 may be about one of them.

    Raises:
        SinkHeld: Nobody's request will be taken for now.
        SinkUnavailable: This one will not be taken soon.
        Refused: The request's content is at fault.
    """
    if reply.body is None:
        raise SinkUnavailable(f"HubSpot's answer ({reply.status}) was longer than we read")
    document = _parse(reply.body)
    asked_s = retry_after_s(reply.headers, now_ms)
    if 200 <= reply.status < 300:
        return _taken(reply, document)
    if reply.status == 429:
        return _limited(document or {}, asked_s, to_midnight_s)
    if reply.status in _WORDS or reply.status >= 500:
        return _failed(reply.status, asked_s)
    return _refuse(document, reply, asked_s, by_id=by_id)


def retry_after_s(headers: Mapping[str, str], now_ms: int) -> float | None:
    """Return the seconds that `Retry-After` asks for, given as a number or as a date; None when it says nothing."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
        aware = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, aware.timestamp() - now_ms / 1000)
    except (ValueError, OverflowError):
        return None


def _parse(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that *body* is; None for anything else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _taken(reply: Reply, document: dict[str, Any] | None) -> Answer | Again:
    if document is None and reply.status != 204:
        # Cut off, empty or a web page: nobody knows what was written, so the same request goes out once more.
        return Again(Trouble.BROKEN, f"HubSpot's answer ({reply.status}) was not the JSON that it should be")
    return Answer(reply.status, document or {}, correlation_of(document or {}, reply.headers))


def _limited(document: Mapping[str, Any], asked_s: float | None, to_midnight_s: Callable[[], float]) -> Again:
    policy = f"{document.get('policyName') or ''} {document.get('message') or ''}".lower()
    if "ten_secondly" in policy:
        return Again(Trouble.ROLLING, "HubSpot's limit per ten seconds is reached (429)", asked_s)
    if "daily" in policy:
        wait_s = to_midnight_s()
        _hold(
            "HubSpot's daily quota is used up (429)",
            "It is full again at midnight in the account's time zone; other apps of the account share it.",
            wait_s if asked_s is None else min(asked_s, wait_s),
        )
    if "secondly" in policy:
        return Again(Trouble.SECONDLY, "HubSpot's limit per second is reached (429)", asked_s)
    return Again(Trouble.ROLLING, "HubSpot asks for fewer requests (429)", asked_s)


def _failed(status: int, asked_s: float | None) -> Again:
    trouble, words = _WORDS.get(status, (Trouble.BROKEN, "HubSpot failed"))
    return Again(trouble, f"{words} ({status})", None if asked_s is None else min(asked_s, ASKED_MAX_S))


def _refuse(document: dict[str, Any] | None, reply: Reply, asked_s: float | None, *, by_id: bool) -> NoReturn:
    """Raise what a 3xx, a 477 or a 4xx about the request means."""
    status = reply.status
    if status < 400:
        _hold(f"HubSpot answered with a redirect ({status})", "Check `base_url`; none is followed.", TOKEN_HOLD_S)
    if status == 477:
        _hold("HubSpot moves the account to another data centre (477)", "", min(asked_s or MOVE_HOLD_S, DAY_S))
    if status == 401:
        hint = "Make a new service key in HubSpot (Development > Keys > Service keys) and put it in place of the token."
        _hold("HubSpot refuses the token (401)", hint, TOKEN_HOLD_S)
    if status == 403:
        scopes = ", ".join(scopes_of(document or {})) or "the ones that the README lists"
        _hold("the token may not do this (403)", f"Give the service key these scopes: {scopes}.", TOKEN_HOLD_S)
    fault = parse_fault(document or {}, correlation_of(document or {}, reply.headers))
    about_object = status == 404 and (bool(fault.named) or (by_id and fault.category == "OBJECT_NOT_FOUND"))
    if status in _PATH and not about_object:
        _hold(f"HubSpot does not know this path ({status})", "Check `base_url` and `api_version`.", TOKEN_HOLD_S)
    if document is None and status != 413:
        # Not HubSpot speaking but something in between: no reason to give records up.
        raise SinkUnavailable(
            f"something in front of HubSpot answered {status}", hint="Check `base_url` and the proxy."
        )
    if status not in _DATA and not about_object:
        raise SinkUnavailable(f"HubSpot answered {status}", hint="It is not about the records; look at the account.")
    raise Refused(status, fault)


def _hold(message: str, hint: str, wait_s: float) -> NoReturn:
    raise SinkHeld(message, hint=hint, retry_after_s=wait_s)


def _support(correlation_id: str | None) -> str:
    return f"HubSpot's support asks for the correlation id {correlation_id}." if correlation_id else ""
