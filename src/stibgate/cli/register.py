"""`stibgate register`: tell Stibnite where job events go, and keep the secret that it shows once.

The file is proved to be writable before Stibnite is asked, so that no secret is issued that nobody keeps; and
whatever happens in between, the error says what exists now and what to do.
"""

import asyncio
import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import printable
from stibgate.errors import StibgateError, VendorError, VendorMisbehaved, VendorRefused

if TYPE_CHECKING:
    from stibgate.cli.secrets_file import SecretsFile
    from stibgate.config import Loaded
    from stibgate.vendors.stibnite import NewEndpoint, StibniteClient
    from stibgate.vendors.stibnite.models import CreatedEndpoint, Endpoint

secret_to_option = click.option(
    "--secret-to",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="File for the signing secret.  [default: what the source's SECRETS_FILE variable names, else NAME.secrets "
    "beside the configuration]",
)
source_option = click.option("--source", metavar="NAME", help="Source.  [default: the only one of kind stibnite_jobs]")


@click.command()
@source_option
@secret_to_option
@click.option("--description", metavar="TEXT", help="What the endpoint is called at Stibnite.")
@click.option("--event", "events", metavar="TYPE", multiple=True, help="Only events of this type. Repeatable.")
@click.option("--show-secret", is_flag=True, help="Print the signing secret too.")
@click.option("--again", is_flag=True, help="Register a URL that is registered already once more.")
@config_option
@json_option
def register(
    *,
    source: str | None,
    secret_to: Path | None,
    description: str | None,
    events: tuple[str, ...],
    show_secret: bool,
    again: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Register a source's URL with Stibnite for job events, and keep the signing secret.

    Stibnite shows the secret once. It goes to a file that only its owner may read, above those that are in it.
    """
    from stibgate.cli.account import call, load_account, pick_source, secrets_path, urls_of
    from stibgate.cli.secrets_file import reserved
    from stibgate.vendors.stibnite import NewEndpoint

    loaded = load_account(config)
    name = pick_source(loaded.settings, source, "stibnite_jobs")
    url = urls_of(loaded.settings, name)[0]
    wanted = NewEndpoint(url, description, list(events) or None)  # type: ignore[arg-type]  # it checks them
    path = secrets_path(loaded, name, secret_to)

    async def work(client: "StibniteClient") -> "CreatedEndpoint":
        known = await _listed(client, again=again)
        if not again:
            _refuse_second(loaded, name, known)
        with reserved(path) as file:
            return await make_endpoint(client, wanted, file, {one.id for one in known})

    made = call(loaded.settings, work)
    document = {
        **endpoint_row(loaded, made),
        "secrets_file": str(path),
        **({"signing_secret": made.signing_secret.get_secret_value()} if show_secret else {}),
    }
    if as_json:
        click.echo(json.dumps(document))
        return
    print_made(loaded, name, made, path)
    if show_secret:
        click.echo(f"  signing secret  {printable(document['signing_secret'])}")
    print_next(name, path)


async def _listed(client: "StibniteClient", *, again: bool) -> "Sequence[Endpoint]":
    """Return what is registered; nothing where Stibnite does not list it and the caller registers all the same.

    The document names this list without showing it, so it may be another one than we read.
    """
    try:
        return await client.list_endpoints()
    except (VendorMisbehaved, VendorRefused) as error:
        if again:
            return ()
        error.hint = f"{error.hint} --again registers without looking at the list."
        raise


def _refuse_second(loaded: "Loaded", name: str, known: Sequence["Endpoint"]) -> None:
    from stibgate.cli.account import leads_to

    ids = ", ".join(printable(one.id) for one in known if leads_to(loaded.settings, name, one.url))
    if ids:
        raise StibgateError(
            f"source {name} is registered already: {ids}; nothing was changed",
            hint="`stibgate endpoints rotate` replaces its secret without losing an event. If the secret was lost, "
            "`stibgate endpoints delete ID` and register. --again adds one all the same.",
        )


async def make_endpoint(
    client: "StibniteClient", wanted: "NewEndpoint", file: "SecretsFile", known: Collection[str]
) -> "CreatedEndpoint":
    """Return the new endpoint, whose secret is in *file* now.

    Args:
        client: Of the account.
        wanted: The endpoint.
        file: Where its secret goes.
        known: Ids of the endpoints that were there before.

    Raises:
        StibgateError: It says what is there now.
    """
    try:
        made = await client.create_endpoint(wanted)
    except asyncio.CancelledError:
        raise StibgateError("interrupted while the endpoint was being made", hint=_LOOK) from None
    except VendorError as error:
        if error.maybe_done:
            error.hint = await _left_over(client, wanted.url, known)
        raise
    try:
        file.add(made.signing_secret.get_secret_value())
    except StibgateError as error:
        await _undo(client, made, error)
    return made


_LOOK = (
    "It may be there, and its secret is lost then: find it with `stibgate endpoints list`, remove it with "
    "`stibgate endpoints delete ID`, and begin again."
)


async def _left_over(client: "StibniteClient", url: str, known: Collection[str]) -> str:
    """Return what to do after an answer that did not come, or was none."""
    try:
        ids = [one.id for one in await client.list_endpoints() if one.id not in known and one.url == url]
    except VendorError:
        return _LOOK
    if not ids:
        return "No endpoint was made, as far as Stibnite lists them; begin again."
    commands = "; ".join(f"`stibgate endpoints delete {printable(one)}`" for one in ids)
    return f"It was made all the same, and its secret is lost: {commands}; then begin again."


async def _undo(client: "StibniteClient", made: "CreatedEndpoint", error: StibgateError) -> NoReturn:
    """Delete the endpoint whose secret could not be kept, and say how that ended.

    Raises:
        StibgateError: Always; of the kind of *error*.
    """
    name = printable(made.id)
    try:
        gone = (await client.delete_endpoint(made.id)).deleted
    except StibgateError:
        gone = False
    if gone:
        raise type(error)(f"{error.message}; the endpoint {name} was deleted again", hint=error.hint) from None
    raise type(error)(
        f"{error.message}; the endpoint {name} is there, its secret is lost, and it could not be deleted",
        hint=f"Run `stibgate endpoints delete {name}`, and begin again. {error.hint}",
    ) from None


def endpoint_row(loaded: "Loaded", endpoint: "Endpoint") -> dict[str, Any]:
    """Return an endpoint as it is listed: documented fields only, its URL without a token."""
    from stibgate.cli.account import owner_of, shown_url

    return {
        "id": endpoint.id,
        "status": endpoint.status,
        "url": shown_url(loaded.settings, endpoint.url),
        "events": list(endpoint.events),
        "created_at": endpoint.created_at,
        "description": endpoint.description,
        "source": owner_of(loaded.settings, endpoint.url),
    }


def print_made(loaded: "Loaded", name: str, made: "Endpoint", path: Path) -> None:
    """Print what was made, and where its secret is."""
    row = endpoint_row(loaded, made)
    click.echo(f"made endpoint {printable(made.id)} for source {name}")
    click.echo(f"  url             {row['url']}")
    click.echo(f"  events          {printable(', '.join(row['events']))}")
    click.echo(f"  secret          on the first line of {path}; Stibnite does not show it again")


def print_next(name: str, path: Path) -> None:
    """Print how the service comes to know the secret."""
    from stibgate.cli.account import secrets_variable

    variable = secrets_variable(name)
    by_variable = os.environ.get(variable)
    click.echo("\nNext:")
    if by_variable and Path(by_variable).absolute() == path:
        click.echo(f"  {variable} names that file already; the service's user must be able to read it.")
        click.echo("  Then reload the service: `systemctl reload stibgate`, or kill -HUP.")
    else:
        click.echo("  Add this to the service's environment; it takes the place of the key in the file:")
        click.echo(f"    {variable}={path}")
        click.echo(f"  Or put the secret first in the list of [sources.{name}]: secrets = [...].")
        click.echo(
            "  The service's user must be able to read it. A new variable needs a restart; else reload the service."
        )
