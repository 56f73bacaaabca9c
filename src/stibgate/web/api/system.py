"""Calls about the service itself: counts, refused requests, the live tail, its configuration, the audit."""

from collections.abc import Sequence
from typing import Any, Literal

from stibgate.config import masked
from stibgate.domain.access import Role
from stibgate.domain.audit import Action, AuditLine
from stibgate.domain.stats import DAY_MS, WINDOWS
from stibgate.stores import AuditFilter, Ledger
from stibgate.views.audit import audit_row
from stibgate.views.rejections import rejection_rows
from stibgate.views.stats import stats_document
from stibgate.web.api import shapes
from stibgate.web.api.route import WELCOME, Api, Call, Page, Query, Route, Text, paged, whole
from stibgate.web.api.times import Instant, instant_ms
from stibgate.web.refused import Refused


class StatsQuery(Query):
    """How far back: an hour by minutes, a day by quarters of an hour, a week by two hours."""

    window: Literal["1h", "24h", "7d"] = "24h"


class RejectionsQuery(Query):
    """Since when; a day if it is not said."""

    since: Instant | None = None


class AuditQuery(Page):
    """Which lines; every filter that is given must hold."""

    action: Action | None = None
    actor: Text | None = None
    since: Instant | None = None
    until: Instant | None = None


class EventsQuery(Query):
    """Which lines of the log; each but `level` and `last` several times, or with commas: any of them will do."""

    event: str | None = None
    level: str | None = None
    state: str | None = None
    outcome: str | None = None
    source: str | None = None
    sink: str | None = None
    event_type: str | None = None
    delivery_id: str | None = None
    task_id: str | None = None
    job_id: str | None = None
    search_id: str | None = None
    run_id: str | None = None
    partner_customer_id: str | None = None
    request_id: str | None = None
    reason: str | None = None
    last: int = 0


async def stats(api: Api, call: Call) -> dict[str, Any]:
    """Return charts and totals."""
    back_ms, step_ms = WINDOWS[call.query.window]
    now_ms = api.now_ms()
    found = await api.read(lambda ledger: ledger.stats(since_ms=now_ms - back_ms, until_ms=now_ms, step_ms=step_ms))
    return stats_document(found)


async def rejections(api: Api, call: Call) -> dict[str, Any]:
    """Return what was refused, grouped and explained."""
    since_ms = instant_ms(call.query.since)
    if since_ms is None:
        since_ms = api.now_ms() - DAY_MS

    def look(ledger: Ledger) -> list[dict[str, Any]]:
        groups = ledger.rejections(since_ms)
        return rejection_rows(groups, ledger.last_accepted(sorted({group.source for group in groups})))

    return whole(await api.read(look))


async def events(api: Api, call: Call) -> Any:
    """Stream the log as it is written."""
    if api.live is None:
        raise Refused(404, "this service has no live tail", "A service that runs has one.")
    return await api.live.handle(call.request, call.request[WELCOME], audit=call.principal.role.may(Role.ADMIN))


async def config(api: Api, _call: Call) -> dict[str, Any]:
    """Return the configuration that is in force, with fingerprints for its secrets."""
    return masked(api.settings())


async def audit(api: Api, call: Call) -> dict[str, Any]:
    """Return a page of the audit, newest first."""
    query: AuditQuery = call.query
    where = AuditFilter(query.action, query.actor, instant_ms(query.since), instant_ms(query.until))

    def find(ledger: Ledger, limit: int, before: int | None) -> Sequence[AuditLine]:
        return ledger.audit(where, limit=limit, before=before)

    return await paged(api, call, find, lambda line: line.sequence, audit_row)


async def openapi(_api: Api, _call: Call) -> dict[str, Any]:
    """Return this description."""
    from stibgate.web.api.openapi import document  # noqa: PLC0415  (it describes these rows)

    return document()


ROUTES = (
    Route("GET", "/stats", Role.VIEWER, "Get charts and totals", stats, shapes.Stats, StatsQuery),
    Route(
        "GET", "/rejections", Role.VIEWER, "List refused requests, grouped and explained", rejections,
        shapes.Rejections, RejectionsQuery,
    ),
    Route(
        "GET", "/events", Role.VIEWER, "Follow the log as server-sent events", events, query=EventsQuery,
        content_type="text/event-stream", refusals=(503,), parsed=False,
    ),
    Route("GET", "/config", Role.ADMIN, "Get the configuration, masked", config, shapes.Document),
    Route("GET", "/audit", Role.ADMIN, "List who did what, newest first", audit, shapes.Audit, AuditQuery),
    Route("GET", "/openapi.json", Role.VIEWER, "Get this description", openapi, shapes.Document),
)  # fmt: skip
