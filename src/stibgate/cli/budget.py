"""`stibgate budget`: how much of each budget is left."""

from collections.abc import Iterable
from pathlib import Path

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import open_ledger, print_rows, printable
from stibgate.domain.budget import Budget, format_amount
from stibgate.errors import NoStore
from stibgate.pipeline.alarms import BudgetUse, alarms, uses_in
from stibgate.views.money import budget_row

_COLUMNS = ("name", "unit", "limit", "reserved", "settled", "remaining", "period", "window", "state")


@click.command()
@click.argument("name", required=False)
@config_option
@json_option
def budget(*, name: str | None, config: Path | None, as_json: bool) -> None:
    """Show what the current window of NAME, or of every budget, has gone to.

    Needs no running service. Before there is a store, nothing is spent.
    """
    from stibgate.app.clock import now_ms
    from stibgate.config import load

    settings = load(config).settings
    now = now_ms()
    found = uses(config, [settings.budget(one) for one in ([name] if name is not None else settings.budgets)], now)
    rows = [budget_row(use) | ({} if as_json else _amounts(use)) for use in found]
    print_rows(rows, as_json=as_json, columns=_COLUMNS, empty="no budgets")
    for alarm in () if as_json else alarms([], found, now_ms=now):
        click.echo(f"{click.style('alarm', fg='yellow')}: {printable(alarm.message)}", err=True)


def uses(config: Path | None, budgets: Iterable[Budget], now_ms: int) -> list[BudgetUse]:
    """Return what the current window of each of *budgets* has gone to; nothing where there is no store yet.

    Raises:
        StoreError: There is a store, and it cannot be read.
    """
    try:
        with open_ledger(config) as ledger:
            return uses_in(ledger, budgets, now_ms)
    except NoStore:
        return uses_in(None, budgets, now_ms)


def _amounts(use: BudgetUse) -> dict[str, str]:
    """Return the amounts as people read them: a float of JSON may end in an exponent."""
    amounts = {
        "limit": use.budget.limit,
        "reserved": use.spent.reserved,
        "settled": use.spent.settled,
        "remaining": use.remaining,
    }
    return {name: format_amount(amount) for name, amount in amounts.items()}
