"""`stibgate deliveries`: what came in, and what became of it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.operate import Request, selection_options
from stibgate.cli.output import chosen, open_ledger, print_rows, printable
from stibgate.cli.times import parse_time
from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.task import TaskState
from stibgate.errors import StibgateError, UsageError
from stibgate.stores import DeliveryFilter, Ledger
from stibgate.views.deliveries import delivery_row, describe_delivery
from stibgate.views.words import counted

PAGE = 500


@click.group()
def deliveries() -> None:
    """List, show and replay deliveries."""


@deliveries.command("list")
@config_option
@json_option
@click.option("--state", type=chosen(DeliveryState))
@click.option("--source")
@click.option("--event-type")
@click.option("--sink", help="Only deliveries that owe or owed this sink something.")
@click.option("--search-id")
@click.option("--job-id")
@click.option("--customer", help="partner_customer_id.")
@click.option("--since", help="A date (midnight UTC) or RFC 3339, inclusive.")
@click.option("--until", help="A date (midnight UTC) or RFC 3339, exclusive.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--cursor", help="As printed at the end of the page before.")
@click.option(
    "--ids", is_flag=True, help="Print job_id or search_id, a tab, and the body's SHA-256, of all that match."
)
def list_(*, config: Path | None, as_json: bool, ids: bool, limit: int, cursor: str | None, **filters: Any) -> None:
    """List deliveries of every state, newest first."""
    where = _filter(filters)
    before = _sequence(cursor)
    with open_ledger(config) as ledger:
        if ids:
            for delivery in _pages(ledger, where, before):
                name = delivery.job_id or delivery.search_id or delivery.delivery_id
                # An id with control characters in it must not break the line that it stands in.
                click.echo(f"{name.encode('unicode_escape').decode()}\t{delivery.body_sha256.hex()}")
            return
        found = ledger.deliveries(where, limit=limit, before=before)
    print_rows(
        [delivery_row(delivery) for delivery in found],
        as_json=as_json,
        columns=(
            *("delivery_id", "received_at", "source", "event_type", "via"),
            *("state", "records", "duplicates", "reason"),
        ),
        empty="no deliveries",
    )
    if len(found) == limit:
        click.echo(f"more: --cursor {found[-1].sequence}", err=True)


@deliveries.command("show")
@click.argument("delivery_id")
@config_option
@json_option
@click.option("--raw", is_flag=True, help="Print the raw body, byte for byte; it holds personal data.")
@click.option("--records", "show_records", is_flag=True, help="Print the normalised records; they are personal data.")
def show(*, delivery_id: str, config: Path | None, as_json: bool, raw: bool, show_records: bool) -> None:
    """Show one delivery: its tasks, outcomes, duplicates and conflicts."""
    with open_ledger(config) as ledger:
        delivery = ledger.delivery(delivery_id)
        if delivery is None:
            raise StibgateError(f"there is no delivery {delivery_id}", hint="`stibgate deliveries list` shows them.")
        if raw:
            sys.stdout.buffer.write(ledger.body(delivery_id) or b"")
            sys.stdout.buffer.flush()  # here, where a reader that went away is no traceback
            return
        if show_records:
            records = ledger.records(delivery_id)
            for record in records:
                click.echo(json.dumps(record.to_document()))
            if not records:
                click.echo("no records", err=True)
            return
        document = describe_delivery(ledger, delivery)
    if as_json:
        click.echo(json.dumps(document))
        return
    _print_delivery(document)


@deliveries.command()
@click.option("--state", type=chosen(DeliveryState))
@click.option("--all", "all_", is_flag=True, help="Send records again that are done, too.")
@selection_options
def replay(request: Request) -> None:
    """Send deliveries again: those with these IDs, or those that the filters name.

    Quarantined and ignored ones are read and routed anew. Of the others every task is sent again with what is not
    done of it, and sinks that they are routed to by now get theirs.
    """
    if request.unlimited:
        raise UsageError("say what to replay", hint="Give ids or a filter, for example --since 2026-05-17.")
    request.run("replays", request.body("deliveries"), verb="sent again")


def _print_delivery(document: dict[str, Any]) -> None:
    nested = ("tasks", "duplicates_seen", "conflicts")
    for name, value in document.items():
        if name not in nested and value is not None:
            click.echo(f"{name:20} {printable(value)}")
    for task in document["tasks"]:
        counts = ", ".join(f"{count} {kind}" for kind, count in task["outcomes"].items()) or "no outcomes yet"
        tries = counted(task["attempts"], "attempt")
        click.echo(f"{'task':20} {task['task_id']}  {task['sink']}  {task['state']}  {tries}  {counts}")
        words = [printable(task["error"])] if task["error"] else []
        if task["state"] in {TaskState.DEAD, TaskState.CANCELLED}:
            left = task["records"] - sum(task["outcomes"].values())
            words.insert(0, f"{counted(left, 'record')} not forwarded")
        if words:
            click.echo(f"{'':20} {': '.join(words)}")
        for refused in task["refused"]:
            words = [str(refused[name]) for name in ("category", "code", "property", "message") if refused[name]]
            click.echo(f"{'':20} record {refused['position']} refused: {printable(' '.join(words))}")
    for seen in document["duplicates_seen"]:
        click.echo(f"{'duplicate':20} {seen['seen_at']}")
    for conflict in document["conflicts"]:
        click.echo(f"{'conflict':20} {conflict['seen_at']}  body sha256 {conflict['body_sha256']}")


def _pages(ledger: Ledger, where: DeliveryFilter, before: int | None) -> Iterator[StoredDelivery]:
    while page := ledger.deliveries(where, limit=PAGE, before=before):
        yield from page
        before = page[-1].sequence


def _filter(filters: dict[str, Any]) -> DeliveryFilter:
    return DeliveryFilter(
        state=DeliveryState(filters["state"]) if filters["state"] else None,
        source=filters["source"],
        event_type=filters["event_type"],
        sink=filters["sink"],
        search_id=filters["search_id"],
        job_id=filters["job_id"],
        partner_customer_id=filters["customer"],
        since_ms=None if filters["since"] is None else parse_time(filters["since"], "--since"),
        until_ms=None if filters["until"] is None else parse_time(filters["until"], "--until"),
    )


def _sequence(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not cursor.isdigit():
        raise UsageError(f"--cursor {cursor!r} is not a cursor", hint="Use the one printed at the end of a page.")
    return int(cursor)
