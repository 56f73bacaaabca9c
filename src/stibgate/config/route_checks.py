"""What routes must agree on with sources, with sinks and with each other."""

from collections.abc import Iterator, Mapping
from typing import Any

from stibgate.config.model import Settings
from stibgate.config.problems import Reporter
from stibgate.config.routes import rules
from stibgate.config.shape import closest, dotted
from stibgate.domain.event import JOB_FAILED
from stibgate.domain.routing import Condition, Route
from stibgate.events import READERS

_Tree = Mapping[str, Any]
_Path = tuple[str | int, ...]

_EVENT_TYPES = [name for name in READERS if name != JOB_FAILED]
"""Those that carry records."""


def check(tree: _Tree, report: Reporter) -> None:
    """Add to *report* every name in a route that nothing has, and every name that two have."""
    sources, sinks = _table(tree, "sources"), _table(tree, "sinks")
    for name in sources:
        _check_names(("sources", name, "routes"), _table(sources, name).get("routes"), "sink", sinks, report)
    routes = tree.get("routes")
    taken: set[str] = set()
    for index, route in enumerate(routes if isinstance(routes, list) else ()):
        if isinstance(route, Mapping):
            _check_names(("routes", index, "to"), route.get("to"), "sink", sinks, report)
            asked = _table(route, "when").get("source")
            _check_names(("routes", index, "when", "source"), asked, "source", sources, report)
            name = str(route.get("name", f"routes[{index}]"))
            if name in taken:
                report.add(("routes", index, "name"), "another route has this name")
            taken.add(name)


def notices(settings: Settings) -> Iterator[str]:
    """Yield what the routes leave out, and which of them no record can ever match."""
    routes = rules(settings.routes)
    for name, source in settings.sources.items():
        if not source.routes and not any(route.to and name in (route.when.source or [name]) for route in routes):
            yield f"{dotted(('sources', name))} has no routes: its deliveries are stored and forwarded nowhere"
    named = {sink for one in settings.sources.values() for sink in one.routes} | {s for one in routes for s in one.to}
    for name in settings.sinks:
        if name not in named:
            yield f"{dotted(('sinks', name))} is in no route: nothing goes there"
    for route in routes:
        for event_type in sorted((route.when.event_type or set()) - set(_EVENT_TYPES)):
            guess = closest(event_type, _EVENT_TYPES)
            meant = f"did you mean {guess}?" if guess else f"there are {', '.join(_EVENT_TYPES)}"
            yield f"route {route.name} asks for {event_type!r}, which is no event with records; {meant}"
    yield from _shadowed(settings, routes)


def _shadowed(settings: Settings, routes: list[Route]) -> Iterator[str]:
    short = [
        Route(f"sources.{name}.routes", Condition(source=frozenset({name})), source.routes)
        for name, source in settings.sources.items()
        if source.routes
    ]
    final: list[Route] = []
    for route in (*routes, *short):
        before = next((one for one in final if one.when.covers(route.when)), None)
        if before is not None:
            yield f"route {route.name} can never match: {before.name}, before it, takes all such records"
        elif not route.go_on:
            final.append(route)


def _check_names(path: _Path, value: object, noun: str, known: _Tree, report: Reporter) -> None:
    """Add what is wrong with *value*, one name or a list of them, at *path*."""
    names = value if isinstance(value, list) else [value]
    for index, name in enumerate(names):
        at = (*path, index) if names is value else path
        if not isinstance(name, str):
            continue
        if name not in known:
            guess = closest(name, known)
            there = f"there are {', '.join(known)}" if known else "none is configured"
            report.add(at, f"no such {noun}; {f'did you mean {guess}?' if guess else there}")
        elif name in names[:index]:
            report.add(at, f"the same {noun} stands there twice")


def _table(tree: _Tree, key: str) -> _Tree:
    value = tree.get(key)
    return value if isinstance(value, Mapping) else {}
