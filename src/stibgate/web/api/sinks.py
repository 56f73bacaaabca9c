"""Calls about sinks and sources: how they are, pause, go on, close a breaker, look whether one could take records."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from pydantic import Field

from stibgate.domain.access import Role
from stibgate.domain.audit import Actor
from stibgate.stores import Ledger
from stibgate.views.sinks import sink_rows
from stibgate.views.sources import source_rows
from stibgate.web.api import shapes
from stibgate.web.api.route import Api, Call, Query, Route, missing, whole


class ByQuery(Query):
    """Who asks, as the stories of deliveries tell it."""

    by: Annotated[str, Field(max_length=100)] | None = None


async def list_sinks(api: Api, _call: Call) -> dict[str, Any]:
    """Return every sink."""
    return whole(await api.read(lambda ledger: _rows(api, ledger)))


async def show(api: Api, call: Call) -> dict[str, Any]:
    """Return one sink."""
    name = call.part("name")
    for row in await api.read(lambda ledger: _rows(api, ledger)):
        if row["sink"] == name:
            return row
    raise missing("sink", name, "GET /api/v1/sinks lists them.")


def _rows(api: Api, ledger: Ledger) -> list[dict[str, Any]]:
    return sink_rows(api.settings(), ledger.sinks(), ledger.task_counts())


def _changing(act: Callable[[Api], Callable[[Actor, str], Awaitable[bool]]]) -> Callable[[Api, Call], Awaitable[Any]]:
    async def change(api: Api, call: Call) -> dict[str, bool]:
        return {"changed": await act(api)(call.actor(call.query.by), _name(api, call))}

    return change


async def test(api: Api, call: Call) -> dict[str, Any]:
    """Return what is in the way of a sink."""
    findings = await api.acts.test(call.actor(), _name(api, call))
    rows = [{"ok": one.ok, "what": one.what, "hint": one.hint} for one in findings]
    return {"ok": all(one.ok for one in findings), "findings": rows}


def _name(api: Api, call: Call) -> str:
    name = call.part("name")
    api.acts.operations.known(name)
    return name


async def list_sources(api: Api, _call: Call) -> dict[str, Any]:
    """Return every source, and what was pinned for it."""
    return whole(await api.read(lambda ledger: source_rows(api.settings(), ledger.pins())))


_ONE = "/sinks/{name}"
ROUTES = (
    Route("GET", "/sinks", Role.VIEWER, "List sinks", list_sinks, shapes.Sinks),
    Route("GET", _ONE, Role.VIEWER, "Show a sink", show, shapes.Sink),
    Route(
        "POST", f"{_ONE}/pause", Role.OPERATOR, "Start no more attempts", _changing(lambda api: api.acts.pause),
        shapes.Changed, ByQuery,
    ),
    Route(
        "POST", f"{_ONE}/resume", Role.OPERATOR, "Go on, paused or left alone", _changing(lambda api: api.acts.resume),
        shapes.Changed, ByQuery,
    ),
    Route(
        "POST", f"{_ONE}/reset", Role.OPERATOR, "Close the circuit breaker, and leave a pause as it is",
        _changing(lambda api: api.acts.reset), shapes.Changed, ByQuery,
    ),
    Route("POST", f"{_ONE}/test", Role.OPERATOR, "Look whether it could take records now", test, shapes.Tested),
    Route("GET", "/sources", Role.VIEWER, "List sources", list_sources, shapes.Sources),
)  # fmt: skip
