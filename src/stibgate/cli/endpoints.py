"""`stibgate endpoints`: the account's webhook endpoints, and replacing a signing secret (see `rotation`)."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import print_rows, printable
from stibgate.cli.register import endpoint_row, make_endpoint, print_made, print_next, secret_to_option, source_option
from stibgate.errors import StibgateError, UsageError, VendorRefused

if TYPE_CHECKING:
    from stibgate.cli.rotation import Rotation
    from stibgate.config import Loaded
    from stibgate.vendors.stibnite import StibniteClient
    from stibgate.vendors.stibnite.models import Endpoint

_GONE = 404
_DELETED = "is deleted"
_ABSENT = "was gone already: this account has no such endpoint"


@click.group()
def endpoints() -> None:
    """List and delete webhook endpoints, and replace a signing secret."""


@endpoints.command("list")
@config_option
@json_option
def list_(*, config: Path | None, as_json: bool) -> None:
    """List the account's webhook endpoints.

    `source` is the source of this configuration that an endpoint leads to.
    """
    from stibgate.cli.account import call, load_account

    loaded = load_account(config)
    rows = [endpoint_row(loaded, one) for one in call(loaded.settings, lambda client: client.list_endpoints())]
    if not as_json:
        rows = [{**row, "events": ", ".join(row["events"])} for row in rows]
    columns = ("id", "status", "source", "url", "events", "created_at")
    print_rows(rows, as_json=as_json, columns=columns, empty="no endpoints")


@endpoints.command()
@click.argument("endpoint_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Also when it is the last one of a source.")
@config_option
def delete(*, endpoint_id: str, yes: bool, config: Path | None) -> None:
    """Delete an endpoint: Stibnite delivers nothing to it any more.

    The last one of a source is deleted only when you say so.
    """
    from stibgate.cli.account import call, load_account

    loaded = load_account(config)
    name = None if yes else _last_of(loaded, call(loaded.settings, lambda client: client.list_endpoints()), endpoint_id)
    if name is not None:
        warning = f"{endpoint_id} is the last endpoint of source {name}: no job event would come any more"
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError(f"{warning}; nothing was changed", hint="--yes deletes it all the same.")
        click.echo(printable(warning), err=True)
        click.confirm("Delete it?", abort=True, err=True)
    there = call(loaded.settings, lambda client: _delete(client, endpoint_id))
    click.echo(printable(f"{endpoint_id} {_DELETED if there else _ABSENT}"))


def _last_of(loaded: "Loaded", listed: "Sequence[Endpoint]", endpoint_id: str) -> str | None:
    """Return the source whose only endpoint this is, or None."""
    from stibgate.cli.account import leads_to, owner_of

    name = next((owner_of(loaded.settings, one.url) for one in listed if one.id == endpoint_id), None)
    if name is None or sum(leads_to(loaded.settings, name, one.url) for one in listed) > 1:
        return None
    return name


async def _delete(client: "StibniteClient", endpoint_id: str) -> bool:
    """Delete it; return False when it was gone already.

    Raises:
        VendorError: It may be there yet.
    """
    try:
        answer = await client.delete_endpoint(endpoint_id)
    except VendorRefused as error:
        if error.status == _GONE:
            return False
        raise
    if not answer.deleted:
        raise StibgateError(
            f"Stibnite did not delete {printable(endpoint_id)}", hint="See `stibgate endpoints list`, and try again."
        )
    return True


@endpoints.command()
@source_option
@secret_to_option
@click.option("--quiet", metavar="TIME", default="24h", show_default=True, help="How old the newer endpoint must be.")
@click.option("--finish", is_flag=True, help="Delete the older endpoints, if that is safe.")
@click.option("--force", is_flag=True, help="With --finish: whatever the evidence says.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@config_option
def rotate(
    *,
    source: str | None,
    secret_to: Path | None,
    quiet: str,
    finish: bool,
    force: bool,
    dry_run: bool,
    config: Path | None,
) -> None:
    """Replace the signing secret of a source, without losing an event.

    The first call makes a second endpoint with the same URL and puts its secret first; both secrets are accepted, and
    both copies of an event are one delivery. Later, --finish deletes the older endpoint, when the newer one is old
    enough and the store shows a delivery signed with the newest secret. In between, this says how far it is.
    """
    from stibgate.cli.account import call, load_account, pick_source, secrets_path
    from stibgate.cli.rotation import rotation_of

    quiet_s = _seconds(quiet)
    if force and not finish:
        raise UsageError("--force goes with --finish", hint="Without --finish nothing is deleted.")
    loaded = load_account(config)
    name = pick_source(loaded.settings, source, "stibnite_jobs")
    if loaded.settings.sources[name].auth == "token":
        raise UsageError(
            f"source {name} proves itself by its token: its secret proves nothing", hint="Nothing is to be rotated."
        )
    path = secrets_path(loaded, name, secret_to)

    async def work(client: "StibniteClient") -> None:
        rotation = rotation_of(loaded, name, path, await client.list_endpoints())
        if finish:
            await _finish(client, rotation, quiet_s=quiet_s, force=force, dry_run=dry_run)
        elif rotation.older:
            _tell(rotation, quiet_s)
        else:
            await _begin(client, rotation, dry_run=dry_run)

    call(loaded.settings, work)


async def _begin(client: "StibniteClient", rotation: "Rotation", *, dry_run: bool) -> None:
    from stibgate.cli.account import urls_of
    from stibgate.cli.secrets_file import reserved
    from stibgate.vendors.stibnite import NewEndpoint

    settings, now = rotation.loaded.settings.sources[rotation.name], rotation.newest
    if dry_run:
        click.echo(f"would make a second endpoint beside {printable(now.id)}, and put its secret into {rotation.path}")
        return
    # The variable takes the place of the list in the file, so what is accepted now goes along.
    accepted = [one.value.get_secret_value().strip() for one in settings.secrets if one.not_after is None]
    url = urls_of(rotation.loaded.settings, rotation.name)[0]
    wanted = NewEndpoint(url, now.description or None, list(now.events) or None)  # type: ignore[arg-type]  # it checks them
    with reserved(rotation.path, below=accepted) as file:
        made = await make_endpoint(client, wanted, file, {now.id})
    print_made(rotation.loaded, rotation.name, made, rotation.path)
    click.echo(f"  beside          {printable(now.id)}, whose secret stays below: both are accepted")
    print_next(rotation.name, rotation.path)
    click.echo("  Later: stibgate endpoints rotate --finish")


def _tell(rotation: "Rotation", quiet_s: float) -> None:
    """Print how far the rotation is."""
    older = ", ".join(printable(one.id) for one in rotation.older)
    click.echo(f"source {rotation.name} has {len(rotation.endpoints)} endpoints")
    click.echo(f"  newer   {printable(rotation.newest.id)} of {printable(rotation.newest.created_at)}")
    click.echo(f"  older   {older}")
    missing = _print_findings(rotation, quiet_s)
    click.echo(
        "\nNot yet: see what is missing above."
        if missing
        else "\nNext: stibgate endpoints rotate --finish deletes the older."
    )


def _print_findings(rotation: "Rotation", quiet_s: float) -> list[str]:
    """Print the evidence; return what is missing."""
    from stibgate.app.clock import now_ms

    found = rotation.findings(quiet_s=quiet_s, now_ms=now_ms())
    for one in found:
        click.echo(f"  {'ok     ' if one.ok else 'missing'} {one.words}")
    return [one.words for one in found if not one.ok]


async def _finish(
    client: "StibniteClient", rotation: "Rotation", *, quiet_s: float, force: bool, dry_run: bool
) -> None:
    if not rotation.older:
        click.echo(f"nothing to finish: source {rotation.name} has one endpoint, {printable(rotation.newest.id)}")
        return
    missing = _print_findings(rotation, quiet_s)
    older = ", ".join(printable(one.id) for one in rotation.older)
    if missing and not force:
        raise StibgateError(
            f"{older} stays: {'; '.join(missing)}. Nothing was deleted",
            hint="Events are lost when the only endpoint left is one whose secret is not accepted. --force deletes "
            "all the same.",
        )
    if dry_run:
        click.echo(f"would delete {older}")
        return
    for one in rotation.older:
        try:
            there = await _delete(client, one.id)
        except StibgateError as error:
            error.hint = f"{printable(one.id)} may be there still: --finish again goes on. {error.hint}"
            raise
        click.echo(f"{printable(one.id)} {_DELETED if there else _ABSENT}")
    click.echo(f"{printable(rotation.newest.id)} is the endpoint of source {rotation.name} now")
    click.echo(f"Once no retry can come any more, remove the lines below the first from {rotation.path}, and reload.")


def _seconds(text: str) -> float:
    """Return the seconds of `--quiet`.

    Raises:
        UsageError: It is no duration.
    """
    from stibgate.domain.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--quiet {text!r} is not a duration", hint=str(error)) from None
