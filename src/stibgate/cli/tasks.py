"""`stibgate tasks`: what is owed to which sink."""

from pathlib import Path

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import chosen, open_ledger, print_rows, task_row
from stibgate.domain.task import TaskState
from stibgate.stores import TaskFilter


@click.group()
def tasks() -> None:
    """List tasks; needs no running service."""


@tasks.command("list")
@config_option
@json_option
@click.option("--state", type=chosen(TaskState))
@click.option("--sink")
@click.option("--delivery", "delivery_id", help="Only the tasks of this delivery.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--cursor", type=click.IntRange(min=1), help="As printed at the end of the page before.")
def list_(
    *,
    config: Path | None,
    as_json: bool,
    state: str | None,
    sink: str | None,
    delivery_id: str | None,
    limit: int,
    cursor: int | None,
) -> None:
    """List tasks of every state, newest first."""
    where = TaskFilter(state=TaskState(state) if state else None, sink=sink, delivery_id=delivery_id)
    with open_ledger(config) as ledger:
        found = ledger.tasks(where, limit=limit, before=cursor)
    print_rows(
        [task_row(task) for _, task in found],
        as_json=as_json,
        columns=("task_id", "delivery_id", "sink", "state", "attempts", "next_attempt_at", "error"),
        empty="no tasks",
    )
    if len(found) == limit:
        click.echo(f"more: --cursor {found[-1][0]}", err=True)
