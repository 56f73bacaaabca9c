"""`stibgate config`: whether the configuration holds together, what applies, which keys there are."""

import json
from pathlib import Path

import click

from stibgate.cli.context import config_option, json_option
from stibgate.views.words import counted


@click.group()
def config() -> None:
    """Check, show or describe the configuration."""


@config.command()
@config_option
def check(*, config: Path | None) -> None:
    """Name every problem of the configuration at once.

    Exit code 78 when there is one.
    """
    from stibgate.config import load, plug_in_notices

    loaded = load(config)
    loaded.require()
    for notice in (*loaded.notices, *plug_in_notices()):
        click.echo(f"notice: {notice}", err=True)
    sources, sinks = len(loaded.settings.sources), len(loaded.settings.sinks)
    click.echo(f"config ok: {counted(sources, 'source')}, {counted(sinks, 'sink')}")


@config.command()
@config_option
@json_option
def show(*, config: Path | None, as_json: bool) -> None:
    """Print every setting that applies, with secrets masked.

    Wherever it comes from: the file, the environment, systemd credentials or the defaults.
    """
    from stibgate.config import as_text, load, masked

    loaded = load(config)
    document = masked(loaded.settings)
    if as_json:
        click.echo(json.dumps(document))
        return
    click.echo(f"# from {loaded.path or 'defaults'}, and the environment; secrets are masked")
    click.echo(as_text(document), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON Schema of config.toml, for editors.

    It knows every kind of sink that is built in or installed.
    """
    from stibgate.config import json_schema, plug_in_notices

    for notice in plug_in_notices():
        click.echo(f"notice: {notice}", err=True)
    click.echo(json.dumps(json_schema(), indent=2))
