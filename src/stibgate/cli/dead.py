"""`stibgate dead`: what will not be tried again by itself, and how it is sent again."""

from pathlib import Path

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.operate import Request, selection_options
from stibgate.cli.tasks import print_tasks
from stibgate.domain.task import TaskState
from stibgate.stores import TaskFilter


@click.group()
def dead() -> None:
    """List and replay dead letters: tasks that will not be tried again by themselves."""


@dead.command("list")
@config_option
@json_option
@click.option("--sink")
@click.option("--source")
@click.option("--error", metavar="TEXT", help="Only those whose error contains TEXT.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--cursor", type=click.IntRange(min=1), help="As printed at the end of the page before.")
def list_(
    *,
    config: Path | None,
    as_json: bool,
    sink: str | None,
    source: str | None,
    error: str | None,
    limit: int,
    cursor: int | None,
) -> None:
    """List dead letters, newest first."""
    where = TaskFilter(state=TaskState.DEAD, sink=sink, source=source, error=error)
    print_tasks(config, where, as_json=as_json, limit=limit, cursor=cursor, empty="no dead letters")


@dead.command()
@click.option("--all", "all_", is_flag=True, help="Send records again that are done, too.")
@selection_options
def replay(request: Request) -> None:
    """Send dead letters again: those with these IDs, those that the filters name, or all."""
    request.run("replays", request.body("tasks", state=str(TaskState.DEAD)), verb="sent again")
