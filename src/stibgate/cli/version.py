"""`stibgate version`: what runs here."""

import json
import platform

import click

from stibgate import __version__
from stibgate.cli.context import json_option


@click.command()
@json_option
def version(*, as_json: bool) -> None:
    """Print the versions of stibgate, Python, SQLite and aiohttp."""
    from importlib.metadata import version as installed

    from stibgate.app import sqlite_version

    versions = {
        "stibgate": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite_version(),
        "aiohttp": installed("aiohttp"),
    }
    if as_json:
        click.echo(json.dumps(versions))
        return
    for name, value in versions.items():
        click.echo(f"{name:9} {value}")
