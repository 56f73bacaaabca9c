"""The filters in a URL, and where a list goes on: what cannot be understood is an error, never a whole list."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.instant import from_date_or_rfc3339
from stibgate.domain.stats import DAY_MS, HOUR_MS
from stibgate.domain.task import TaskState
from stibgate.errors import UsageError
from stibgate.stores import DeliveryFilter, TaskFilter

COMMON = frozenset({"source", "sink", "since", "until", "search_id", "job_id", "error", "person"})
DELIVERIES = COMMON | {"state", "event_type", "partner_customer_id", "body_sha256"}
TASKS = COMMON | {"state"}
CURSOR = "cursor"

SINCE = {"1h": HOUR_MS, "24h": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS}
"""What `since` may say in place of a time, in milliseconds before now."""

SEQUENCE_MAX = 2**63 - 1
"""What a store can count to; the numbers of bills come near it."""

_HASH = re.compile(r"[0-9a-f]{8,64}", re.ASCII)
_PERSON = re.compile(r"h:[0-9a-f]{32}", re.ASCII)
_CURSOR = re.compile(r"(\d{1,19})-([0-9a-f]{8})", re.ASCII)


def delivery_filter(query: Mapping[str, str], *, now_ms: int) -> DeliveryFilter:
    """Return which deliveries *query* asks for.

    Raises:
        UsageError: A value is not one of those that its filter has.
    """
    return DeliveryFilter(
        **_common(query, DeliveryState, now_ms=now_ms),
        event_type=query.get("event_type"),
        partner_customer_id=query.get("partner_customer_id"),
        body_sha256=_hash_of(query),
    )


def task_filter(query: Mapping[str, str], *, now_ms: int) -> TaskFilter:
    """Return which tasks *query* asks for.

    Raises:
        UsageError: A value is not one of those that its filter has.
    """
    return TaskFilter(**_common(query, TaskState, now_ms=now_ms))


def _common(query: Mapping[str, str], states: type[DeliveryState] | type[TaskState], *, now_ms: int) -> dict[str, Any]:
    """Return the state, and what `COMMON` names."""
    state = query.get("state")
    if state is not None and state not in set(states):
        raise UsageError(f"state {state!r} is none", hint=f"It is one of {', '.join(states)}.")
    return {
        "state": None if state is None else states(state),
        **{name: query.get(name) for name in ("source", "sink", "search_id", "job_id", "error")},
        "since_ms": moment_of(query, "since", now_ms=now_ms),
        "until_ms": moment_of(query, "until", now_ms=now_ms),
        "person": person_of(query),
    }


def moment_of(query: Mapping[str, str], name: str, *, now_ms: int) -> int | None:
    """Return the time that *name* says: a word of `SINCE`, a date, which is midnight UTC, or RFC 3339.

    Raises:
        UsageError: It is none of these.
    """
    text = query.get(name)
    if text is None:
        return None
    if text in SINCE:
        return now_ms - SINCE[text]
    try:
        return from_date_or_rfc3339(text)
    except ValueError as error:
        raise UsageError(
            f"{name} {text!r} is not a time",
            hint=f"Write {', '.join(SINCE)}, a date like 2026-05-17, or 2026-05-17T18:42:10Z.",
        ) from error


def person_of(query: Mapping[str, str]) -> tuple[bytes, ...] | None:
    """Return the lookup hashes that `person` names; an address in a URL would stay in histories.

    Raises:
        UsageError: It is no list of hashes.
    """
    text = query.get("person")
    if text is None:
        return None
    names = text.split(",")
    if not all(_PERSON.fullmatch(name) for name in names):
        raise UsageError("person is not a name of the log", hint="The search box takes an e-mail address or an id.")
    return tuple(bytes.fromhex(name[2:]) for name in names)


def _hash_of(query: Mapping[str, str]) -> tuple[bytes, bytes] | None:
    """Return the least and the greatest hash that begins as `body_sha256` says.

    Raises:
        UsageError: It is no beginning of one.
    """
    text = query.get("body_sha256")
    if text is None:
        return None
    if not _HASH.fullmatch(text):
        raise UsageError("body_sha256 is no beginning of a SHA-256", hint="Give 8 to 64 hex digits.")
    return bytes.fromhex(text.ljust(64, "0")), bytes.fromhex(text.ljust(64, "f"))


def cursor_of(sequence: int, query: Mapping[str, str]) -> str:
    """Return where the list of *query* goes on after the row with *sequence*."""
    return f"{sequence}-{_digest(query)}"


def before_of(query: Mapping[str, str]) -> int | None:
    """Return before which row the list goes on; None for its beginning.

    Raises:
        UsageError: The cursor is none, or another list's.
    """
    text = query.get(CURSOR)
    if text is None:
        return None
    found = _CURSOR.fullmatch(text)
    if found is None or found[2] != _digest(query) or int(found[1]) > SEQUENCE_MAX:
        raise UsageError("this cursor belongs to another list", hint="Begin at the first page of these filters.")
    return int(found[1])


def _digest(query: Mapping[str, str]) -> str:
    text = "\n".join(f"{name}={value}" for name, value in sorted(query.items()) if name != CURSOR)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
