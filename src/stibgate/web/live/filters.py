"""Which lines somebody wants to see. One reading of the query for the API, the console and `stibgate listen`."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stibgate.domain.task import OutcomeKind
from stibgate.errors import UsageError

LEVELS = {"debug": 0, "info": 1, "warning": 2, "error": 3, "critical": 4}

STATES = {
    "accepted": "delivery.accepted",
    "ignored": "delivery.ignored",
    "quarantined": "delivery.quarantined",
    "delivered": "task.delivered",
    "partial": "task.partial",
    "waiting": "task.retry_scheduled",
    "dead": "task.dead",
}
"""The state of a delivery or a task, and the line that tells when one came into it."""

EQUALS = (
    "source",
    "sink",
    "event_type",
    "delivery_id",
    "task_id",
    "job_id",
    "search_id",
    "run_id",
    "partner_customer_id",
    "request_id",
    "reason",
)
"""Fields of a line that must be what is asked for."""

NAMES = ("event", "level", *EQUALS, "state", "outcome")
"""Everything that can be asked for; each but `level` several times, or with commas: any of them will do."""

AUDIT = "audit."
"""How events begin that tell who did what: nobody reads them here who may not read them in the audit."""
VALUES_MAX = 100
VALUE_MAX = 200

_PATTERN = re.compile(r"[a-z_.*]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filter:
    """What a line must be like; the same wishes are the same filter.

    Attributes:
        fields: Name and allowed values of each field that is asked for.
        events: What the event's name must match; None for any.
        least: The lowest level, as a place in `LEVELS`.
        outcomes: At least one record must have one of these; empty for any line.
        audit: Whether lines of the audit are let through at all.
    """

    fields: tuple[tuple[str, frozenset[str]], ...] = ()
    events: re.Pattern[str] | None = None
    least: int = 0
    outcomes: frozenset[str] = frozenset()
    audit: bool = True

    def lets(self, line: Mapping[str, Any]) -> bool:
        """Return whether *line* is wanted."""
        if self.least and LEVELS.get(line["level"], 0) < self.least:
            return False
        if not self.audit and line["event"].startswith(AUDIT):
            return False
        if self.events is not None and not self.events.fullmatch(line["event"]):
            return False
        if any(line.get(name) not in allowed for name, allowed in self.fields):
            return False
        return not self.outcomes or not self.outcomes.isdisjoint(line.get("outcomes") or ())


def read_filter(query: Iterable[tuple[str, str]], known: Mapping[str, Sequence[str]] | None = None) -> Filter:
    """Return what *query* asks for.

    Args:
        query: Names and values; a name may come again, a value may be a list with commas.
        known: The names that `source` and `sink` may have; None does not look.

    Raises:
        UsageError: A name is no filter, or a value can be of no line.
    """
    wanted: dict[str, set[str]] = {}
    for name, text in query:
        if name not in NAMES:
            raise UsageError(f"no filter is called {name[:VALUE_MAX]!r}", hint=f"There are {', '.join(NAMES)}.")
        wanted.setdefault(name, set()).update(_values(name, text))
    if sum(map(len, wanted.values())) > VALUES_MAX:
        raise UsageError(f"more than {VALUES_MAX} values to look for", hint="Ask for fewer, and filter with jq.")
    for name, names in (known or {}).items():
        _check(name, wanted.get(name, set()), names)
    _check("state", wanted.get("state", set()), STATES)
    _check("outcome", wanted.get("outcome", set()), [str(kind) for kind in OutcomeKind])
    fields = {name: frozenset(wanted[name]) for name in EQUALS if name in wanted}
    if "state" in wanted:
        fields["event"] = frozenset(STATES[state] for state in wanted["state"])
    return Filter(
        tuple(sorted(fields.items(), key=lambda item: item[0])),
        _events(wanted.get("event")),
        _least(wanted.get("level")),
        frozenset(wanted.get("outcome", ())),
    )


def _values(name: str, text: str) -> list[str]:
    values = [value for part in text.split(",") if (value := part.strip())]
    if not values or any(len(value) > VALUE_MAX for value in values):
        raise UsageError(f"{name} has no value, or a very long one", hint=f"Write it like {name}=VALUE.")
    return values


def _check(name: str, values: Iterable[str], known: Iterable[str]) -> None:
    wrong = sorted(set(values) - set(known))
    if wrong:
        raise UsageError(f"there is no {name} {wrong[0]!r}", hint=f"There are {', '.join(known) or 'none'}.")


def _events(patterns: Iterable[str] | None) -> re.Pattern[str] | None:
    if patterns is None:
        return None
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise UsageError(f"no event is called {pattern!r}", hint="Write it like task.dead, or like delivery.*.")
    as_regex: Callable[[str], str] = lambda pattern: ".*".join(map(re.escape, re.split(r"\*+", pattern)))  # noqa: E731
    return re.compile("|".join(map(as_regex, sorted(patterns))))


def _least(levels: set[str] | None) -> int:
    if levels is None:
        return 0
    _check("level", levels, LEVELS)
    if len(levels) > 1:
        raise UsageError("two levels were asked for", hint="Give the lowest one: it and all above it are shown.")
    return LEVELS[next(iter(levels))]
