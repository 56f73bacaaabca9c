"""`stibgate tasks`: what is owed to which sink."""

from pathlib import Path

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.operate import Request, selection_options
from stibgate.cli.output import chosen, open_ledger, print_rows
from stibgate.domain.task import TaskState
from stibgate.errors import UsageError
from stibgate.stores import TaskFilter
from stibgate.views.deliveries import task_row


@click.group()
def tasks() -> None:
    """List, retry and cancel tasks."""


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
    print_tasks(config, where, as_json=as_json, limit=limit, cursor=cursor, empty="no tasks")


def print_tasks(
    config: Path | None, where: TaskFilter, *, as_json: bool, limit: int, cursor: int | None, empty: str
) -> None:
    """Print one page of the tasks that *where* holds for."""
    with open_ledger(config) as ledger:
        found = ledger.tasks(where, limit=limit, before=cursor)
        known = ledger.task_counts()
    if where.sink is not None and where.sink not in known:
        empty = f"{empty}: nothing was ever owed to {where.sink!r}, only to {', '.join(sorted(known)) or 'nobody'}"
    print_rows(
        [task_row(task) for _, task in found],
        as_json=as_json,
        columns=("task_id", "delivery_id", "sink", "state", "attempts", "next_attempt_at", "error"),
        empty=empty,
    )
    if len(found) == limit:
        click.echo(f"more: --cursor {found[-1][0]}", err=True)


@tasks.command()
@click.option("--state", type=chosen(TaskState))
@click.option("--all", "all_", is_flag=True, help="Send records again that are done, too.")
@selection_options
def retry(request: Request) -> None:
    """Try tasks again now: those with these IDs (of tasks or deliveries), or those that the filters name."""
    _limited(request, "retry")
    request.run("replays", request.body("tasks"), verb="sent again")


@tasks.command()
@click.option("--state", type=chosen(TaskState))
@selection_options
def cancel(request: Request) -> None:
    """End tasks that nobody works on: they are kept, and can be sent again later."""
    _limited(request, "cancel")
    request.run("cancellations", request.body("tasks"), verb="not sent")


def _limited(request: Request, verb: str) -> None:
    if request.unlimited:
        raise UsageError(f"say what to {verb}", hint="Give ids or a filter, for example --sink NAME or --state dead.")
