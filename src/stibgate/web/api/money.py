"""Calls about money: what was billed, received and delivered, what is left of budgets, what does not add up."""

from typing import Any

from stibgate.domain.access import Role
from stibgate.domain.budget import Budget
from stibgate.pipeline.alarms import uses_in
from stibgate.stores import Ledger
from stibgate.views.money import alarm_row, alarms_in, bill_row, budget_row
from stibgate.web.api import shapes
from stibgate.web.api.route import Api, Call, Page, Query, Route, whole
from stibgate.web.api.times import Instant, instant_ms


class LedgerQuery(Page):
    """Which bills: those that began since, and with `short` those that miss records that were paid for."""

    since: Instant | None = None
    short: bool = False


class AlarmsQuery(Query):
    """Alarms about what: all that began since."""

    since: Instant | None = None


async def ledger(api: Api, call: Call) -> dict[str, Any]:
    """Return a page of bills, newest first."""
    query: LedgerQuery = call.query
    before = None if query.cursor is None else api.cursors.read(call.scope(), query.cursor)
    since_ms = instant_ms(query.since)
    found = await api.read(
        lambda ledger: ledger.bills(limit=query.limit + 1, before=before, since_ms=since_ms, short=query.short)
    )
    shown = found[: query.limit]
    more = api.cursors.write(call.scope(), shown[-1].sequence) if len(found) > query.limit else None
    return {"data": [bill_row(bill) for bill in shown], "next_cursor": more}


async def list_alarms(api: Api, call: Call) -> dict[str, Any]:
    """Return what does not add up."""
    since_ms, now_ms = instant_ms(call.query.since), api.now_ms()
    found = await api.read(lambda ledger: alarms_in(ledger, _budgets(api), since_ms, now_ms=now_ms))
    return whole([alarm_row(alarm) for alarm in found])


async def list_budgets(api: Api, _call: Call) -> dict[str, Any]:
    """Return what the current window of each budget has gone to."""
    now_ms = api.now_ms()

    def look(ledger: Ledger) -> list[dict[str, Any]]:
        return [budget_row(use) for use in uses_in(ledger, _budgets(api), now_ms)]

    return whole(await api.read(look))


def _budgets(api: Api) -> list[Budget]:
    settings = api.settings()
    return [settings.budget(name) for name in settings.budgets]


ROUTES = (
    Route(
        "GET", "/ledger", Role.VIEWER, "List what was paid for and where it went", ledger, shapes.Bills, LedgerQuery
    ),
    Route("GET", "/alarms", Role.VIEWER, "List what does not add up", list_alarms, shapes.Alarms, AlarmsQuery),
    Route("GET", "/budgets", Role.VIEWER, "List what is left of each budget", list_budgets, shapes.Budgets),
)  # fmt: skip
