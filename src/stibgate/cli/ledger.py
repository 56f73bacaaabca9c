"""`stibgate ledger`: what was estimated, allowed, billed, received and delivered, and what does not add up."""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import open_ledger, print_rows, printable
from stibgate.cli.times import parse_time
from stibgate.pipeline.alarms import Alarm
from stibgate.stores import Bill
from stibgate.views.money import bill_row, variance
from stibgate.views.words import amount_number, counted

if TYPE_CHECKING:
    pass

_COLUMNS = ("at", "what", "state", "estimated", "ceiling", "billed", "received", "delivered", "waiting", "missing")
_SUMMED = ("billed", "received", "delivered", "waiting", "missing")


@click.command()
@config_option
@json_option
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--cursor", type=click.IntRange(min=1), help="As printed at the end of the page before.")
@click.option("--since", metavar="TIME", help="Only what began then or later. A date (midnight UTC) or RFC 3339.")
@click.option("--short", is_flag=True, help="Only what misses records that were paid for.")
@click.option("--alarms", "only_alarms", is_flag=True, help="Only the alarms, whatever the page.")
def ledger(
    *,
    config: Path | None,
    as_json: bool,
    limit: int,
    cursor: int | None,
    since: str | None,
    short: bool,
    only_alarms: bool,
) -> None:
    """List what was paid for and where it went, newest first: jobs and pushes; then totals and alarms.

    Needs no running service. With --json there are rows only; --alarms --json prints the alarms. Records that were
    paid for and are in no sink are an alarm whatever their age, all else in the newest thousand rows.
    """
    from stibgate.app.clock import now_ms
    from stibgate.config import load
    from stibgate.views.money import alarm_row, alarms_in

    settings = load(config).settings
    budgets = [settings.budget(name) for name in settings.budgets]
    since_ms = None if since is None else parse_time(since, "--since")
    with open_ledger(config) as store:
        bills = [] if only_alarms else store.bills(limit=limit, before=cursor, since_ms=since_ms, short=short)
        found = alarms_in(store, budgets, since_ms, now_ms=now_ms()) if only_alarms or not as_json else []
    if not only_alarms:
        _print_bills(bills, as_json=as_json)
        if len(bills) == limit:
            click.echo(f"more: --cursor {bills[-1].sequence}", err=True)
    if not as_json:
        _print_alarms(found)
    for alarm in found if as_json else ():
        click.echo(json.dumps(alarm_row(alarm)))


def _print_bills(bills: Sequence[Bill], *, as_json: bool) -> None:
    rows = [bill_row(bill) for bill in bills]
    if not as_json:
        rows = [row | {"what": _what(row)} for row in rows]
    if rows and not as_json:
        rows.append({"at": "total"} | {name: sum(row[name] or 0 for row in rows) for name in _SUMMED})
    print_rows(rows, as_json=as_json, columns=_COLUMNS, empty="nothing was paid for")
    if not as_json and (accuracy := _accuracy(bills)):
        click.echo(accuracy)


def _what(row: dict[str, Any]) -> str:
    """Return what a row is about, by the name that `explain` knows."""
    if row["run_id"] is None:
        return f"push {row['delivery_id']}"
    return f"job {row['job_id']}" if row["job_id"] else f"run {row['run_id']}"


def _accuracy(bills: Sequence[Bill]) -> str:
    """Return how near to the truth the estimates were, over all that have both an estimate and a bill."""
    known = [
        (bill.billed, bill.job.estimated)
        for bill in bills
        if bill.billed is not None and bill.job is not None and bill.job.estimated
    ]
    billed, estimated = sum(pair[0] for pair in known), sum((pair[1] for pair in known), Decimal(0))
    ratio = variance(billed, estimated)
    if ratio is None:
        return ""
    return f"accuracy of estimates: {billed} billed of {amount_number(estimated)} estimated ({ratio:.1%})"


def _print_alarms(found: Sequence[Alarm]) -> None:
    """Print the alarms, or beside the output that there are none."""
    if not found:
        click.echo("no alarms", err=True)
        return
    click.echo(click.style(counted(len(found), "alarm"), fg="red"))
    for alarm in found:
        click.echo(f"  {printable(alarm.message)}")
        click.echo(f"    {printable(alarm.hint)}")
