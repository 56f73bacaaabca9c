"""`stibgate openapi`: the description of the admin API, for those who write programs against it."""

import json

import click


@click.command()
def openapi() -> None:
    """Print the OpenAPI 3.1 description of the admin API."""
    from stibgate.web.api.openapi import document

    click.echo(json.dumps(document(), indent=2))
