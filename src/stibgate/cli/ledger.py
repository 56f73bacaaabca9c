"""`stibgate ledger`: what was estimated, allowed, billed, received and delivered, and what does not add up."""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.decisions import amount_number
from stibgate.cli.output import counted, moment, open_ledger, print_rows, printable
from stibgate.cli.times import parse_time
from stibgate.domain.budget import Unit
from stibgate.domain.job import STIBNITE
from stibgate.pipeline.alarms import Alarm, alarms, uses_in
from stibgate.stores import Bill, Ledger

if TYPE_CHECKING:
    from stibgate.config import Settings

RECENT = 1_000
"""Of how many bills all alarms are looked for; what misses records is looked for in all."""

_COLUMNS = ("at", "what", "state", "estimated", "ceiling", "billed", "received", "delivered", "waiting", "missing")
_SUMMED = ("billed", "received", "delivered", "waiting", "missing")
_PLACES = Decimal("0.001")


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
    from stibgate.config import load

    settings = load(config).settings
    since_ms = None if since is None else parse_time(since, "--since")
    with open_ledger(config) as store:
        bills = [] if only_alarms else store.bills(limit=limit, before=cursor, since_ms=since_ms, short=short)
        found = _alarms(store, settings, since_ms) if only_alarms or not as_json else []
    if not only_alarms:
        _print_bills(bills, as_json=as_json)
        if len(bills) == limit:
            click.echo(f"more: --cursor {bills[-1].sequence}", err=True)
    if not as_json:
        _print_alarms(found)
    for alarm in found if as_json else ():
        click.echo(json.dumps(_alarm_row(alarm)))


def bill_row(bill: Bill) -> dict[str, Any]:
    """Return one bill as the contract lists it; what is not known is None, and so is all that a push has not."""
    job, delivery = bill.job, bill.delivery
    estimated = None if job is None else job.estimated
    ceiling = None if job is None else job.ceiling
    return {
        "job_id": job and job.job_id,
        "provider": STIBNITE,
        "unit": Unit.STIBNITE_CREDIT_UNIT if job is None else job.unit,
        "estimated": None if estimated is None else amount_number(estimated),
        "ceiling": None if ceiling is None else amount_number(ceiling),
        "billed": bill.billed,
        "received": bill.received,
        "delivered": bill.delivered,
        "run_id": job and job.run_id,
        "search_id": delivery and delivery.search_id,
        "delivery_id": delivery and delivery.delivery_id,
        "state": job.state if job is not None else delivery and delivery.state,
        "budget": job and job.budget,
        "waiting": bill.waiting,
        "missing": bill.missing,
        "page": job and job.page,
        "parent_job_id": job and job.parent_job_id,
        "at": moment(bill.at_ms),
        "variance": _ratio(bill.billed, estimated),
    }


def _ratio(billed: int | None, estimated: Decimal | None) -> int | float | None:
    """Return which part of its estimate was billed; None where either is not known, or nothing was estimated."""
    if billed is None or not estimated:
        return None
    return amount_number((billed / estimated).quantize(_PLACES))


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
    ratio = _ratio(billed, estimated)
    if ratio is None:
        return ""
    return f"accuracy of estimates: {billed} billed of {amount_number(estimated)} estimated ({ratio:.1%})"


def _alarms(store: Ledger, settings: "Settings", since_ms: int | None) -> Sequence[Alarm]:
    """Return the alarms about all that began at *since_ms* or later, whatever page is shown.

    Usage is only judged without *since_ms*: of a part of the ledger, some bill would always seem somebody else's.
    """
    from stibgate.app import now_ms

    now = now_ms()
    budgets = uses_in(store, map(settings.budget, settings.budgets), now)
    usage = store.usage_notes() if since_ms is None else None
    # What misses records is found by itself; all else would mean counting every record that ever came.
    recent = store.bills(limit=RECENT, since_ms=since_ms)
    bills = {bill.sequence: bill for bill in (*recent, *store.bills(limit=None, since_ms=since_ms, short=True))}
    return alarms(bills.values(), budgets, usage, now_ms=now)


def _alarm_row(alarm: Alarm) -> dict[str, Any]:
    return {
        "alarm": alarm.kind,
        "key": alarm.key,
        "message": alarm.message,
        "hint": alarm.hint,
        "at": moment(alarm.at_ms),
        **{name: alarm.about.get(name) for name in ("job_id", "run_id", "delivery_id", "budget")},
    }


def _print_alarms(found: Sequence[Alarm]) -> None:
    """Print the alarms, or beside the output that there are none."""
    if not found:
        click.echo("no alarms", err=True)
        return
    click.echo(click.style(counted(len(found), "alarm"), fg="red"))
    for alarm in found:
        click.echo(f"  {printable(alarm.message)}")
        click.echo(f"    {printable(alarm.hint)}")
