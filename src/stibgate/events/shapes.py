"""Where ids and records may stand in an event's JSON object; shared by the event types.

Stibnite documents the push's body and the job's own body, but not how a job event wraps the job. So a job
is looked for in every place that webhook senders are known to put it: at the top, in `data`, in
`data.object` and in `job`.

Source: Stibnite, POST /v1/prospecting/sessions/{search_id}/push; GET /v1/persons/search/jobs/{job_id}.
"""

from typing import Any

from stibgate.domain.event import BILLED_MAX, ID_CHARS_MAX, QuarantineReason, askable
from stibgate.errors import NotUnderstood

ERROR_CHARS_MAX = 500
_INT_BITS_MAX = 1024
_ONLY_OBJECTS = frozenset({dict})


def not_documented(message: str) -> NotUnderstood:
    """Return the refusal of an envelope; *message* names the place, never a value."""
    return NotUnderstood(QuarantineReason.ENVELOPE, message)


def optional_id(value: object) -> str | None:
    """Return *value* as an id, or None when it cannot be one; whole numbers become text."""
    if type(value) is int and value.bit_length() <= _INT_BITS_MAX:
        value = str(value)
    return value if isinstance(value, str) and _usable(value) else None


def find_job_id(document: dict[str, Any]) -> str | None:
    """Return the job's id, or None when no place holds anything.

    The first place that holds something decides: a malformed `job_id` never gives way to another id,
    which could be a different thing's.

    Raises:
        NotUnderstood: What stands there is no id that the vendor can be asked for (`domain.event.askable`).
    """
    for holder, names in _holders(document):
        for name in names:
            value = holder.get(name)
            if value is None:
                continue
            if isinstance(value, str) and askable(value):
                return value
            raise not_documented("the job id is not a text of 1 to 512 characters that can stand in a path")
    return None


def require_job_id(document: dict[str, Any]) -> str:
    """Return the job's id.

    Raises:
        NotUnderstood: There is none, or it is not `domain.event.askable`.
    """
    found = find_job_id(document)
    if found is None:
        raise not_documented("a job event without a job id")
    return found


def find_job_records(document: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the job's persons as sent, or None when the event is thin.

    Raises:
        NotUnderstood: `data` is a text, a number or a boolean, or a list of anything but objects.
    """
    data = document.get("data")
    inner = data if isinstance(data, dict) else {}
    places = (data, inner.get("data"), _child(inner, "object").get("data"), _child(document, "job").get("data"))
    for place in places:
        if isinstance(place, list):
            return require_objects(place)
        if place is not None and not isinstance(place, dict):
            raise not_documented("a job event's `data` is neither a list nor an object")
    return None


def require_objects(value: object) -> list[dict[str, Any]]:
    """Return *value* when it is a list of objects.

    Raises:
        NotUnderstood: It is anything else.
    """
    if not isinstance(value, list):
        raise not_documented("`data` is not a list")
    if not _ONLY_OBJECTS.issuperset(map(type, value)):
        raise not_documented("`data` holds something that is not an object")
    return value


def find_error(document: dict[str, Any]) -> str | None:
    """Return what the vendor says went wrong, cut to 500 characters, or None when it says nothing."""
    for holder, _ in _holders(document):
        error = holder.get("error")
        if isinstance(error, dict):
            error = error.get("message") or error.get("code")
        if isinstance(error, str) and error.strip():
            return error.strip()[:ERROR_CHARS_MAX]
    return None


def optional_count(value: object) -> int | None:
    """Return *value* as a count of records, or None when it cannot be one."""
    return value if type(value) is int and 0 <= value <= BILLED_MAX else None


def find_billed(document: dict[str, Any]) -> int | None:
    """Return how many records the job was billed, or None when no place says so."""
    found = (optional_count(holder.get("billable_records")) for holder, _ in _holders(document))
    return next((count for count in found if count is not None), None)


def find_next_cursor(document: dict[str, Any]) -> str | None:
    """Return where the job's next page begins, or None when there is none or nobody says so; a blank is nothing."""
    cursors = (_child(holder, "pagination").get("next_cursor") for holder, _ in _holders(document))
    return next((cursor for cursor in cursors if isinstance(cursor, str) and cursor.strip()), None)


def _holders(document: dict[str, Any]) -> tuple[tuple[dict[str, Any], tuple[str, ...]], ...]:
    """Return (object, names of the job id in it) in the order in which they are asked."""
    data = _child(document, "data")
    return (
        (document, ("job_id",)),
        (data, ("job_id",)),
        (_child(data, "object"), ("job_id", "id")),
        (_child(document, "job"), ("job_id", "id")),
        (data, ("id",)),
    )


def _child(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the object under *name*, or an empty one."""
    child = document.get(name)
    return child if isinstance(child, dict) else {}


def _usable(text: str) -> bool:
    """Return whether *text* can be an id: stores and file names choke on control characters."""
    return 0 < len(text) <= ID_CHARS_MAX and text.isprintable() and not text.isspace()
