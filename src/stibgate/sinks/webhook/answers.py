"""What an HTTP answer means for the batch.

    2xx                                      every record is `written`
    3xx                                      rejected: redirects are never followed; the hint names where it leads
    400, 413, 422, every 4xx not named here  rejected: this body will never be taken
    410                                      rejected: the receiver asks to be left alone for good
    401, 402, 403, 407                       held, 10 min: a key was changed over there; no attempt is counted
    404, 405, 406, 411, 414, 415, 417, 421,
    426, 431                                 later: wrong for every body alike, so a setting, here or over there
    408, 409, 423, 424, 425, 429, 5xx        later
    anything else                            later: it is not an answer to a POST

Paid records are rejected only where the answer is about this body, or where waiting changes nothing. `Retry-After`
lengthens every wait, up to a day. Source: RFC 9110, 15 and 10.2.3; Standard Webhooks specification, "Webhook
consumers"; IETF draft `idempotency-key` for 409: the same id is being worked on.
"""

import asyncio
import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from stibgate.domain.record import Record
from stibgate.errors import SinkError, SinkHeld, SinkRejected, SinkUnavailable
from stibgate.sinks.webhook.excerpt import excerpt

READ_BYTES_MAX = 4096
RETRY_AFTER_MAX_S = 86_400.0
HOLD_S = 600.0
_HOLD_MIN_S = 60.0
_READ_S = 1.0
_HOST_CHARS_MAX = 260

_SECONDS = re.compile(r"[0-9]{1,10}", re.ASCII)

_PERMISSION = "Put the key that the receiver asks for into `headers`, or its new signing secret into `secret`"
_HELD = {
    401: f"{_PERMISSION}. Nothing is sent to it meanwhile.",
    402: "The receiver's account asks for a payment. Nothing is sent to it meanwhile.",
    403: f"{_PERMISSION}, or have it allow this service. Nothing is sent to it meanwhile.",
    407: "Something in front of the receiver wants to be logged in to. Nothing is sent to it meanwhile.",
}
_LATER = {
    404: "Check the path of `url`: the receiver knows no such place.",
    405: "Check the path of `url`: that place takes no POST.",
    408: "The receiver waited too long for the body; it is tried again by itself.",
    409: "The receiver still works on an earlier attempt; it is tried again by itself.",
    415: "Have the receiver take application/json.",
    421: "Check the host of `url`: this server does not answer for it.",
    429: "The receiver wants fewer requests: set `rate` in the sink's `delivery`. It is tried again by itself.",
}
_LATER_TOO = frozenset({406, 411, 414, 417, 423, 424, 425, 426, 431})
_NEVER = {
    400: "Compare the body with what the receiver expects; replay the delivery when it takes it.",
    410: "The receiver asked to be left alone for good. Remove the sink from the routes, or set its new `url`.",
    413: "Have the receiver take larger bodies (2,000 records are about 2 MiB), then replay the delivery.",
    422: "Compare the body with what the receiver expects; replay the delivery when it takes it.",
}


async def words_of(response: aiohttp.ClientResponse, *, secrets: Iterable[str], records: Sequence[Record]) -> str:
    """Return what may be kept of the answer's body, "" for anything but plain text and JSON. Never raises.

    At most 4 KiB are read, for at most 1 s; a compressed body is not looked into.
    """
    kind = response.content_type
    if not (kind in {"application/json", "text/plain"} or kind.endswith("+json")):
        return ""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return ""
    data, whole = b"", False
    with contextlib.suppress(aiohttp.ClientError, OSError):
        async with asyncio.timeout(_READ_S):
            while len(data) < READ_BYTES_MAX and not whole:
                data += await response.content.read(READ_BYTES_MAX - len(data))
                whole = response.content.at_eof()
    return await asyncio.to_thread(excerpt, data, whole=whole, secrets=secrets, records=records)


def refusal(
    status: int, headers: Mapping[str, str], *, words: str, asked: URL, now_ms: int
) -> SinkError | None:  # fmt: skip
    """Return the error that the answer means, or None when all records were taken.

    Args:
        status: The HTTP status.
        headers: The answer's headers, whatever the case of their names.
        words: What may be kept of its body.
        asked: Where the batch was sent to.
        now_ms: The present, milliseconds since the epoch.
    """
    if 200 <= status < 300:
        return None
    message = f"the receiver answered {status}{': ' if words else ''}{words}"
    wait_s = retry_after_s(headers.get("retry-after", ""), now_ms=now_ms)
    if 300 <= status < 400:
        return SinkRejected(message, hint=_moved(headers.get("location", ""), asked))
    if status in _HELD:
        held_s = HOLD_S if wait_s is None else max(wait_s, _HOLD_MIN_S)
        return SinkHeld(message, hint=_HELD[status], retry_after_s=held_s)
    if 400 <= status < 500 and status not in _LATER and status not in _LATER_TOO:
        return SinkRejected(message, hint=_NEVER.get(status, _NEVER[400]))
    return SinkUnavailable(message, hint=_LATER.get(status, ""), retry_after_s=wait_s)


def retry_after_s(value: str, *, now_ms: int) -> float | None:
    """Return the seconds that a `Retry-After` asks for, 0 to 86400, or None when it says nothing.

    Args:
        value: Seconds, or an HTTP date in any of its three forms. Source: RFC 9110, 10.2.3 and 5.6.7.
        now_ms: The present, milliseconds since the epoch.
    """
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), RETRY_AFTER_MAX_S)
    try:
        moment = parsedate_to_datetime(text)
        seconds = moment.timestamp() - now_ms / 1000
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S)


def origin_of(url: URL) -> str:
    """Return scheme, host and port of *url*; its path may be a secret."""
    return f"{url.scheme}://{url.raw_authority.rpartition('@')[2]}"


def _moved(location: str, asked: URL) -> str:
    """Return what to do about a redirect to *location*, of which no more than the host is told."""
    try:
        target = origin_of(asked.join(URL(location)))
    except ValueError:
        target = ""
    if not location or not target.startswith(("https://", "http://")) or len(target) > _HOST_CHARS_MAX:
        return "Redirects are not followed. Set `url` to where the receiver really takes requests."
    if target == origin_of(asked):
        return f"It redirects to another path of {target}. Redirects are not followed; set `url` to that path."
    return f"It redirects to {target}. Redirects are not followed; if that is the receiver, set `url` to it."
