"""`stibgate db`: looking after the store."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import open_ledger
from stibgate.errors import EXIT_FAILED


@click.group()
def db() -> None:
    """Look after the store."""


@db.command()
@config_option
@json_option
def status(*, config: Path | None, as_json: bool) -> None:
    """Print the schema, sizes and counts; needs no running service."""
    with open_ledger(config, older=True) as ledger:
        found = asdict(ledger.status())
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, value in found.items():
        text = ", ".join(f"{count} {state}" for state, count in value.items()) if isinstance(value, dict) else value
        text = ", ".join(value) if isinstance(value, tuple | list) else text
        click.echo(f"{name:20} {text if text not in ('', ()) else '-'}")


@db.command()
@config_option
def migrate(*, config: Path | None) -> None:
    """Bring the store to this version's schema.

    The service must be stopped.
    """
    from stibgate.app import migrate_store
    from stibgate.config import load

    applied = migrate_store(load(config).settings)
    click.echo(f"applied {', '.join(applied)}" if applied else "the schema is current; nothing to do")


@db.command()
@config_option
def check(*, config: Path | None) -> None:
    """Check that the store is sound.

    SQLite's own check, and that every record is accounted for. Ends with the line ok.
    """
    with open_ledger(config) as ledger:
        found = ledger.status()
        click.echo(f"checked {sum(found.deliveries.values())} deliveries and {sum(found.tasks.values())} tasks")
        wrong = ledger.check()
    for line in wrong:
        click.echo(line)
    if wrong:
        click.echo(f"{len(wrong)} findings: keep a copy of the store and report them.", err=True)
        sys.exit(EXIT_FAILED)
    click.echo("ok")
