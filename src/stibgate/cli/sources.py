"""`stibgate sources`: who may post, and what was pinned for them."""

from pathlib import Path

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import print_rows
from stibgate.errors import UsageError


@click.group()
def sources() -> None:
    """List sources and what is pinned for them."""


@sources.command("list")
@config_option
@json_option
def list_(*, config: Path | None, as_json: bool) -> None:
    """List sources and their pins.

    `pinned` is what `scheme = "auto"` found.
    """
    from stibgate.app import pinned_schemes
    from stibgate.config import load
    from stibgate.views.sources import source_rows

    settings = load(config).settings
    pins = pinned_schemes(settings)
    rows = source_rows(settings, pins)
    if not as_json:
        rows = [row | {"routes": ", ".join(row["routes"])} for row in rows]
    columns = ("source", "kind", "auth", "scheme", "pinned", "key_reading", "routes")
    print_rows(rows, as_json=as_json, columns=columns, empty="no sources")


@sources.command()
@click.argument("name")
@config_option
def unpin(*, name: str, config: Path | None) -> None:
    """Forget the scheme pinned for NAME.

    The next delivery that verifies pins again. The service must be stopped.
    """
    from stibgate.app import unpin_source
    from stibgate.cli.operate import actor
    from stibgate.config import load

    settings = load(config).settings
    if name not in settings.sources:
        raise UsageError(
            f"there is no source {name!r}", hint=f"The configuration has {', '.join(settings.sources) or 'none'}."
        )
    click.echo(f"unpinned {name}" if unpin_source(settings, name, actor()) else f"nothing was pinned for {name}")
