"""`stibgate usage`: what the API key has used."""

import json
from pathlib import Path

import click

from stibgate.cli.context import config_option, json_option


@click.command()
@config_option
@json_option
def usage(*, config: Path | None, as_json: bool) -> None:
    """Print what the API key has used so far: successful requests, and records billed."""
    from stibgate.cli.account import call, load_account

    found = call(load_account(config).settings, lambda client: client.usage())
    if as_json:
        click.echo(json.dumps({"requests": found.requests, "billable_records": found.billable_records}))
        return
    click.echo(f"requests          {found.requests}")
    click.echo(f"billable_records  {found.billable_records}")
