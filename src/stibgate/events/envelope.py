"""From raw bytes to an `Event`: the JSON object, the event type, the reader of that type.

This runs between the request and its answer, so it looks at each value once and at no record's inside.
"""

import re
from typing import Any

from pydantic_core import from_json

from stibgate.domain.event import Event, QuarantineReason
from stibgate.errors import NotUnderstood
from stibgate.events import READERS
from stibgate.events.shapes import find_job_id, not_documented, optional_id

DEPTH_MAX = 64
EVENT_TYPE_KEYS = ("event", "type", "event_type", "eventType")
"""Where senders put the event type in the body, likeliest first."""

_EVENT_TYPE = re.compile(r"[!-~]{1,128}")


def parse(body: bytes) -> dict[str, Any]:
    """Return the JSON object that *body* is: strict UTF-8, no NaN or Infinity, at most 64 containers deep.

    Of repeated keys the last counts, as in most parsers. A number too large for a double becomes infinite;
    normalising flags it where it matters.

    Raises:
        NotUnderstood: With `NOT_JSON_OBJECT`, `TOO_DEEP` or `NOT_FINITE`.
    """
    try:
        document = from_json(body, allow_inf_nan=False, cache_strings="keys")
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        if "recursion limit" in str(error):
            raise _too_deep() from None
        raise _not_json(body) from None
    if not isinstance(document, dict):
        raise NotUnderstood(QuarantineReason.NOT_JSON_OBJECT, "the body is JSON, but not an object")
    if _nested_too_deep(body, document):
        raise _too_deep()
    return document


def resolve(document: dict[str, Any], *, header_event_type: str | None) -> Event:
    """Return the event that *document* is.

    The event type is the body's word; the header `stibnite-event-type` counts only when the body says
    nothing, because no documented scheme signs headers. An unknown type is an event too, with the ids that
    can be found.

    Args:
        document: What `parse` returned.
        header_event_type: The header's value, or None when it is missing.

    Raises:
        NotUnderstood: With `ENVELOPE`: no event type anywhere, or not that type's shape.
    """
    event_type = _event_type(document, header_event_type)
    reader = READERS.get(event_type)
    if reader is not None:
        return reader.read(document)
    return Event(
        event_type=event_type,
        known=False,
        job_id=_job_id_or_none(document),
        search_id=optional_id(document.get("search_id")),
        partner_customer_id=optional_id(document.get("partner_customer_id")),
        partner_user_id=optional_id(document.get("partner_user_id")),
    )


def _event_type(document: dict[str, Any], header_event_type: str | None) -> str:
    """Return the body's first known event type, else its first, else the header's."""
    likeliest = document.get(EVENT_TYPE_KEYS[0])
    if isinstance(likeliest, str) and likeliest in READERS:
        return likeliest
    said = [word for key in EVENT_TYPE_KEYS if (word := _word(document.get(key)))]
    for word in said:
        if word in READERS:
            return word
    found = said[0] if said else _word(header_event_type)
    if found is None:
        raise not_documented("neither the body nor the header says an event type")
    return found


def _word(value: object) -> str | None:
    """Return *value* when it can be an event type: 1 to 128 visible ASCII characters, trimmed."""
    if not isinstance(value, str):
        return None
    word = value.strip()
    return word if _EVENT_TYPE.fullmatch(word) else None


def _job_id_or_none(document: dict[str, Any]) -> str | None:
    """Return the job's id; an event of an unknown type is never refused for a malformed one."""
    try:
        return find_job_id(document)
    except NotUnderstood:
        return None


def _nested_too_deep(body: bytes, document: dict[str, Any]) -> bool:
    """Return whether *document* is deeper than `DEPTH_MAX`.

    Nearly every body is settled by its brackets alone, which C code counts: a document with at most that
    many openers, or whose brackets vanish when innermost pairs are removed that often, cannot be deeper.
    Brackets in strings can only make it look deeper, or leave some over; then the document itself is walked.
    """
    if body.count(b"{") + body.count(b"[") <= DEPTH_MAX:
        return False
    if b"\\" not in body:
        rest = body.translate(None, _NOT_STRUCTURE)
        for _ in range(DEPTH_MAX // 2):
            if not rest:
                return False
            rest = rest.replace(b'""', b"").replace(b"{}", b"").replace(b"[]", b"")
    return _deeper_than(document, DEPTH_MAX)


_NOT_STRUCTURE = bytes(set(range(256)) - set(b'{}[]"'))


def _deeper_than(document: dict[str, Any], limit: int) -> bool:
    """Return whether containers stand more than *limit* deep; level by level, because recursion has a limit too."""
    level: list[Any] = [document]
    depth = 0
    while level:
        depth += 1
        if depth > limit:
            return True
        level = [
            value
            for holder in level
            for value in (holder.values() if type(holder) is dict else holder)
            if type(value) is dict or type(value) is list
        ]
    return False


def _not_json(body: bytes) -> NotUnderstood:
    """Return why *body* did not parse: for NaN and Infinity, or for anything else."""
    try:
        from_json(body)
    except (ValueError, RecursionError, MemoryError, OverflowError):
        return NotUnderstood(QuarantineReason.NOT_JSON_OBJECT, "the body is not UTF-8 JSON")
    return _not_finite()


def _not_finite() -> NotUnderstood:
    """Return the refusal of a body with NaN or Infinity."""
    return NotUnderstood(QuarantineReason.NOT_FINITE, "the body holds NaN or Infinity")


def _too_deep() -> NotUnderstood:
    """Return the refusal of a body that is nested too deeply."""
    return NotUnderstood(QuarantineReason.TOO_DEEP, f"the body is nested deeper than {DEPTH_MAX}")
