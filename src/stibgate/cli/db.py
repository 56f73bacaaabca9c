"""`stibgate db`: looking after the store."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import open_ledger
from stibgate.domain.instant import to_rfc3339
from stibgate.errors import EXIT_FAILED, UsageError

if TYPE_CHECKING:
    from stibgate.stores.backup import Copy


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
    _print(found, as_json=as_json)


@db.command()
@config_option
def migrate(*, config: Path | None) -> None:
    """Bring the store to this version's schema.

    The service must be stopped.
    """
    from stibgate.app import migrate_store
    from stibgate.config import load

    applied = migrate_store(load(config, only=["storage"]).settings)
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


@db.command()
@config_option
@json_option
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A new file, or a folder (a name without a suffix).  [default: backups, beside the store]",
)
def backup(*, config: Path | None, as_json: bool, to: Path | None) -> None:
    """Copy the store into one checked file, while the service runs.

    It has every delivery that was acknowledged before. It holds people: keep it as you keep the store.
    """
    from stibgate.app import back_up_store
    from stibgate.config import load

    _print(_held_by(back_up_store(load(config, only=["storage"]).settings, to)), as_json=as_json)


@db.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@config_option
@json_option
@click.option("--dry-run", is_flag=True, help="Only check FILE; the service may run.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore(*, file: Path, config: Path | None, as_json: bool, dry_run: bool, yes: bool) -> None:
    """Put the backup FILE in the store's place.

    The service must be stopped. FILE is checked as `db check` does, and the store before it is kept beside it.
    What came after the backup is not in it; what it still owes is forwarded when the service starts.
    """
    from stibgate.app import restore_store
    from stibgate.cli.operate import actor
    from stibgate.config import load

    settings = load(config, only=["storage"]).settings
    if not (dry_run or yes):
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError("this would replace the store; nothing was changed", hint="--yes does it.")
        click.confirm(f"Replace {settings.storage.path} by {file}?", abort=True, err=True)
    done = restore_store(settings, file, actor(), dry_run=dry_run)
    kept = None if done.kept is None else str(done.kept)
    told = {"dry_run": dry_run, **_held_by(done.copy), "migrated": list(done.migrated), "kept": kept}
    _print(told, as_json=as_json)


def _held_by(copy: "Copy") -> dict[str, Any]:
    return {
        "path": str(copy.path),
        "bytes": copy.size_bytes,
        "sha256": copy.sha256,
        "schema_version": copy.schema_version,
        "deliveries": dict(copy.deliveries),
        "tasks": dict(copy.tasks),
        "newest_received_at": None if copy.newest_at_ms is None else to_rfc3339(copy.newest_at_ms),
    }


def _print(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, value in found.items():
        text = ", ".join(f"{count} {state}" for state, count in value.items()) if isinstance(value, dict) else value
        text = ", ".join(value) if isinstance(value, tuple | list) else text
        click.echo(f"{name:20} {text if text not in ('', (), None) else '-'}")
