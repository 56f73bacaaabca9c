"""Calls about money: what was billed, received and delivered, what is left of budgets, what does not add up."""

from collections.abc import Sequence
from typing import Any

from stibgate.domain.access import Role
from stibgate.domain.budget import Budget
from stibgate.pipeline.alarms import uses_in
from stibgate.stores import Bill, Ledger
from stibgate.views.money import alarm_row, alarms_in, bill_row, budget_row
from stibgate.web.api import shapes
from stibgate.web.api.route import Api, Call, Page, Query, Route, paged, whole
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
    since_ms, short = instant_ms(call.query.since), call.query.short

    def find(ledger: Ledger, limit: int, before: int | None) -> Sequence[Bill]:
        return ledger.bills(limit=limit, before=before, since_ms=since_ms, short=short)

    return await paged(api, call, find, lambda bill: bill.sequence, bill_row)


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
