"""`stibgate health`: for people and container checks."""

import http.client
import json
import sys
import urllib.error
from pathlib import Path
from typing import IO, Any

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.direct import open_direct
from stibgate.cli.output import base_url, cause, checked_url, printable
from stibgate.errors import EXIT_UNREACHABLE, ServiceUnreachable


@click.command()
@config_option
@json_option
@click.option("--url", help="Admin listener.  [default: server.admin_bind]")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=3.0, show_default=True, help="Seconds.")
def health(*, config: Path | None, as_json: bool, url: str | None, timeout: float) -> None:
    """Ask a running gateway whether it is ready. Exit code 0 when it is, 69 when not or not reachable."""
    if url is None:
        from stibgate.config import load

        url = base_url(load(config, only=["server"]).settings.server.admin_address)
    else:
        url = checked_url(url)
    document = ask(url, timeout)
    click.echo(json.dumps(document) if as_json else document["status"])
    if document["status"] != "ready":
        if not as_json:
            for name, word in document["checks"].items():
                if word != "ok":
                    click.echo(printable(f"{name}: {word}"), err=True)
        sys.exit(EXIT_UNREACHABLE)


def ask(url: str, timeout_s: float) -> dict[str, Any]:
    """Return what /readyz says, good or bad.

    Raises:
        ServiceUnreachable: Nobody answers, or somebody who is no gateway.
    """
    hint = "Is `stibgate serve` running, and is this its admin_bind?"
    try:
        try:
            answer: IO[bytes] = open_direct(f"{url}/readyz", timeout_s=timeout_s)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ServiceUnreachable(f"no gateway answers at {url}: {cause(error)}", hint=hint) from error
    try:
        document: dict[str, Any] = json.loads(text)
        return {"status": str(document["status"]), "checks": dict(document["checks"])}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ServiceUnreachable(
            f"no gateway answers at {url}: that is not the admin listener of stibgate", hint=hint
        ) from error
