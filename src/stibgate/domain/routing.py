"""Which records go to which sinks.

Routes are asked in order. The first that fits a record takes it, unless the route goes on: then later ones may
have the record too. A source's own short list of sinks is its last route, and fits everything that is left. A
record goes to a sink once, however many routes name it; one that no route sends anywhere is unrouted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from types import MappingProxyType

from stibgate.domain.conditions import Check, Condition, checks, seen
from stibgate.domain.record import Provenance, Record

__all__ = ["Asked", "Condition", "Explanation", "Route", "Router", "Routing", "Step"]


@dataclass(frozen=True, slots=True)
class Route:
    """A rule.

    Attributes:
        name: What an explanation calls it.
        to: Sinks; empty means: deliberately nowhere.
        go_on: Whether later routes may have the record too.
    """

    name: str
    when: Condition
    to: tuple[str, ...]
    go_on: bool = False


@dataclass(frozen=True, slots=True)
class Routing:
    """Where the records of one delivery go.

    Attributes:
        sinks: Positions of the records that go to a sink, in the order of the delivery; a sink without any is left
            out, the others stand in the order in which the routes name them first.
        unrouted: Positions of the records that go nowhere.
    """

    sinks: Mapping[str, tuple[int, ...]]
    unrouted: tuple[int, ...]


class Asked(StrEnum):
    """What became of a record at one route."""

    MATCHED = "matched"
    MISSED = "missed"
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, slots=True)
class Step:
    """One route, and what it said about one record.

    Attributes:
        condition: The first condition that did not hold, such as `company_state` or `has business_email`.
        seen: What was there instead, in words and without anything personal.
    """

    route: str
    to: tuple[str, ...]
    asked: Asked
    condition: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one record goes where it goes.

    Attributes:
        steps: Every route that there is for its source, in order.
        sinks: Where it goes, in the order in which the routes name them first.
        taken_by: The route after which no other was asked; None when all were.
    """

    steps: tuple[Step, ...]
    sinks: tuple[str, ...]
    taken_by: str | None

    @property
    def matched(self) -> tuple[str, ...]:
        """The routes that decided: those that fit."""
        return tuple(step.route for step in self.steps if step.asked is Asked.MATCHED)

    @property
    def why_nowhere(self) -> str:
        """Why the record is unrouted, in one line; empty when it is not."""
        if self.sinks:
            return ""
        if self.taken_by is not None:
            return f"{self.taken_by}: to nowhere"
        missed = [f"{step.route}: {step.condition}, saw {step.seen}" for step in self.steps if step.condition]
        return "; ".join(missed) or "there is no route for its source"


@dataclass(frozen=True, slots=True)
class _Rule:
    """A route, ready to be asked."""

    name: str
    to: tuple[str, ...]
    go_on: bool = False
    of_delivery: tuple[Check, ...] = ()
    of_record: tuple[Check, ...] = ()

    def fits(self, provenance: Provenance) -> bool:
        """Return whether all that the route asks of a delivery holds."""
        return all(check.holds(getattr(provenance, check.field)) for check in self.of_delivery)

    def pick(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return those for which all that the route asks of a record holds."""
        for check in self.of_record:
            holds, value_of = check.holds, attrgetter(check.field)
            records = [record for record in records if holds(value_of(record))]
        return records

    def step(self, provenance: Provenance, record: Record) -> Step:
        """Return what this route says about *record*."""
        for subject, asked in ((provenance, self.of_delivery), (record, self.of_record)):
            for check in asked:
                value = getattr(subject, check.field)
                if not check.holds(value):
                    return Step(self.name, self.to, Asked.MISSED, check.condition, seen(check.field, value))
        return Step(self.name, self.to, Asked.MATCHED)


_NO_SHORT: Mapping[str, Sequence[str]] = MappingProxyType({})


class Router:
    """Decides where records go.

    Args:
        routes: In order.
        short: Sinks by source, the last route of that source; an empty list is none.
    """

    def __init__(self, routes: Sequence[Route], short: Mapping[str, Sequence[str]] = _NO_SHORT) -> None:
        self._common = tuple(map(_ready, routes))
        self._by_source = {
            source: (*self._common, _Rule(f"sources.{source}.routes", tuple(sinks)))
            for source, sinks in short.items()
            if sinks
        }

    def route(self, provenance: Provenance, records: Sequence[Record]) -> Routing:
        """Return where each of *records* goes; what is only asked of the delivery is asked once.

        Args:
            provenance: Where the records come from.
            records: In the order of the delivery; no two have the same position.
        """
        left = records
        found: dict[str, list[tuple[int, ...]]] = {}
        for rule in self._rules(provenance.source):
            if not left:
                break
            taken = rule.pick(left) if rule.fits(provenance) else ()
            if not taken:
                continue
            positions = tuple(map(_POSITION, taken))
            for sink in rule.to:
                found.setdefault(sink, []).append(positions)
            if not rule.go_on:
                left = _without(left, positions)
        sinks = {sink: _joined(parts) for sink, parts in found.items()}
        return Routing(sinks, _left_out(records, sinks))

    def may_take(self, provenance: Provenance) -> bool:
        """Return whether a record of such a delivery could go to any sink, before any record was looked at."""
        for rule in self._rules(provenance.source):
            if rule.fits(provenance):
                if rule.to:
                    return True
                if not rule.of_record and not rule.go_on:
                    return False
        return False

    def explain(self, provenance: Provenance, record: Record) -> Explanation:
        """Return what every route says about *record*, and where it goes: the same that `route` decides."""
        steps: list[Step] = []
        taken_by: str | None = None
        for rule in self._rules(provenance.source):
            if taken_by is not None:
                steps.append(Step(rule.name, rule.to, Asked.NOT_ASKED))
                continue
            step = rule.step(provenance, record)
            steps.append(step)
            if step.asked is Asked.MATCHED and not rule.go_on:
                taken_by = rule.name
        sinks = dict.fromkeys(sink for step in steps if step.asked is Asked.MATCHED for sink in step.to)
        return Explanation(tuple(steps), tuple(sinks), taken_by)

    def _rules(self, source: str) -> tuple[_Rule, ...]:
        return self._by_source.get(source, self._common)


_POSITION: Callable[[Record], int] = attrgetter("position")


def _without(records: Sequence[Record], positions: tuple[int, ...]) -> Sequence[Record]:
    """Return *records* without those at *positions*, which are all of them as a rule."""
    if len(positions) == len(records):
        return ()
    taken = set(positions)
    return [record for record in records if record.position not in taken]


def _joined(parts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return parts[0] if len(parts) == 1 else tuple(sorted(set().union(*parts)))


def _left_out(records: Sequence[Record], sinks: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the positions of *records* that are in none of *sinks*."""
    if any(len(positions) == len(records) for positions in sinks.values()):
        return ()
    routed = set().union(*sinks.values())
    return tuple(position for position in map(_POSITION, records) if position not in routed)


def _ready(route: Route) -> _Rule:
    asked = tuple(checks(route.when))
    return _Rule(
        route.name,
        route.to,
        route.go_on,
        tuple(check for check in asked if check.of_delivery),
        tuple(check for check in asked if not check.of_delivery),
    )
