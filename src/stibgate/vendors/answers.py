"""What a vendor's answer means: its JSON, or the error that it is.

    2xx                       the answer, if it is what was documented
    3xx                       misbehaved: redirects are never followed
    401, 403                  unauthorized
    408, 425, 429, 5xx        unavailable: ask later
    every other               refused

Of a refusal the vendor's own sentence is kept, and which properties it names, masked and short: an operator needs
them, and they like to repeat what was sent. Source: Stibnite Person Data API, "Bad Requests"; research/vendors.md U27
and 1.4.
"""

import html
import re
from collections.abc import Iterable
from typing import Any, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from stibgate.errors import VendorError, VendorMisbehaved, VendorRefused, VendorUnauthorized, VendorUnavailable
from stibgate.vendors import ratelimit
from stibgate.vendors.http import Answer, Call

WORDS_MAX = 200
"""Characters of the vendor's sentence, and of what it says of properties."""
_LOOKED_AT_MAX_BYTES = 64 * 1024
_SEARCHED_MAX = 1_000
_PRIVATE_MIN = 3
_PROBLEMS_MAX = 3
_MASK = "***"

_URL = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)
_EMAIL = re.compile(r"[^\s\"'<>,;:()\[\]{}]+@[^\s\"'<>,;()\[\]{}]+")
_PHONE = re.compile(r"\+?[0-9](?:[\s()./-]{0,3}[0-9]){6,}")
_KEY = re.compile(r"\b(?:stib|whsec|ak|sk|pk|hog)_[A-Za-z0-9+/=_-]{4,}", re.IGNORECASE)
_PLACE = re.compile(r"[A-Za-z0-9_]{1,40}", re.ASCII)

_LATER = frozenset({408, 425, 429})
_LATER_HINTS = {429: "The vendor wants fewer requests; try again later."}
_REFUSED = {
    400: "Correct the request; the message says what is wrong.",
    402: "The account has no credits left for this.",
    404: "It does not exist, or it belongs to another account than the key's.",
    409: "It is in another state by now; look at it before asking again.",
    422: "Correct the request; the message says what is wrong.",
}
_UNAUTHORIZED = {
    401: "The key is wrong or was revoked: put a valid one into the settings.",
    403: "The key is known but may not do this: use one with the permission, or ask the vendor for it.",
}
_DISCONNECTED = "Something between here and the vendor answered in its place: check base_url and any proxy."

Model = TypeVar("Model", bound=BaseModel)


def error_of(call: Call, answer: Answer, *, now_s: float) -> VendorError | None:
    """Return the error that *answer* is, or None for a 2xx.

    Args:
        call: What was asked.
        answer: What came back.
        now_s: The present, seconds since the epoch; for a `Retry-After` that is a date.
    """
    status = answer.status
    if 200 <= status < 300:
        return None
    message = f"{call.name}: {status}"
    if words := _words(answer.body, call.private):
        message = f"{message}: {words}"
    if status in _UNAUTHORIZED:
        return VendorUnauthorized(status, message, hint=call.hints.get(status, _UNAUTHORIZED[status]))
    if status in _LATER or status >= 500:
        return VendorUnavailable(
            message,
            hint=call.doubt_hint if status >= 500 else _LATER_HINTS.get(status, ""),
            retry_after_s=ratelimit.wait_s(answer.headers, now_s=now_s, limited=status == 429),
            maybe_done=status >= 500 and call.maybe_done,
        )
    if status >= 400:
        return VendorRefused(status, message, hint=call.hints.get(status, _REFUSED.get(status, _REFUSED[400])))
    return VendorMisbehaved(f"{call.name}: {status}, a redirect or no answer at all", hint=_DISCONNECTED)


def read_json(call: Call, answer: Answer) -> Any:
    """Return the JSON value of a 2xx, whatever its content type says.

    Raises:
        VendorMisbehaved: It is a web page, half of a document, or nothing.
    """
    try:
        return from_json(answer.body, allow_inf_nan=False, cache_strings="keys")
    except (ValueError, RecursionError, MemoryError):
        start = answer.body[:64].lstrip()[:1]
    if start == b"<":
        what, hint = "a web page in place of JSON", _DISCONNECTED
    elif not answer.body:
        what, hint = "an empty body in place of JSON", _DISCONNECTED
    else:
        what, hint = "a body that is not JSON, or not all of it", "Ask again; if it stays so, tell the vendor."
    raise VendorMisbehaved(f"{call.name}: {answer.status} with {what}", hint=hint, maybe_done=call.maybe_done)


def shaped(call: Call, value: Any, model: type[Model]) -> Model:
    """Return *value* as *model*.

    Raises:
        VendorMisbehaved: It has another shape; the message names places, never values.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = [_problem(p["loc"], p["type"]) for p in error.errors(include_input=False)[:_PROBLEMS_MAX]]
    raise VendorMisbehaved(
        f"{call.name}: not the documented answer: {'; '.join(problems)}",
        hint="The vendor may have changed its API: look for a newer stibgate, and tell the vendor.",
        maybe_done=call.maybe_done,
    )


def _problem(place: tuple[int | str, ...], kind: str) -> str:
    # A key of a free mapping is the vendor's text, so only what looks like a field's name is repeated.
    steps = [str(step) if isinstance(step, int) or _PLACE.fullmatch(step) else "?" for step in place]
    return f"{'.'.join(steps) or 'body'} {kind}"


def _words(body: bytes, private: Iterable[str]) -> str:
    """Return the vendor's own sentence, and what it says of properties, on one line; "" when there is neither."""
    try:
        document = from_json(body) if len(body) <= _LOOKED_AT_MAX_BYTES else None
    except (ValueError, RecursionError):
        return ""
    told = [_told(text, private) for text in (_sentence(document), "; ".join(_problems(document)))]
    return ": ".join(filter(None, told))


def _told(text: str, private: Iterable[str]) -> str:
    """Return *text* on one line, masked and short."""
    text = _plain(text)
    for value in sorted(private, key=len, reverse=True):
        if len(value) >= _PRIVATE_MIN:
            text = re.sub(re.escape(_plain(value)), _MASK, text, flags=re.IGNORECASE)
    if len(text) > _SEARCHED_MAX:
        text = text[:_SEARCHED_MAX].rpartition(" ")[0]  # half an address would not be found
    for pattern in (_URL, _KEY, _EMAIL, _PHONE):
        text = pattern.sub(_MASK, text)
    return text if len(text) <= WORDS_MAX else f"{text[: WORDS_MAX - 1]}…"


def _plain(text: str) -> str:
    """Return *text* on one line, with the escapes of HTML and URLs undone."""
    text = unquote(html.unescape(text))
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _sentence(document: Any) -> str:
    if not isinstance(document, dict):
        return ""
    inner = document.get("error")
    nested = inner.get("message") if isinstance(inner, dict) else None
    for said in (nested, document.get("message"), inner, document.get("detail")):
        if isinstance(said, str) and said.strip():
            return said
    return ""


def _problems(document: Any) -> list[str]:
    """Return `property: message` of the first few properties that are named as wrong."""
    errors = document.get("errors") if isinstance(document, dict) else None
    pairs = [
        (error.get("property"), error.get("message"))
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, dict)
    ]
    named = [(name, said) for name, said in pairs if isinstance(name, str) and isinstance(said, str) and said.strip()]
    return [said if said.startswith(f"{name}:") else f"{name}: {said}" for name, said in named[:_PROBLEMS_MAX]]
