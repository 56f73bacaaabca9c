"""`stibgate embed-key`: public loader keys of the hosted widget, whose pushes come here."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import chosen, printable
from stibgate.errors import UsageError, VendorError

if TYPE_CHECKING:
    from stibgate.config import Settings
    from stibgate.vendors.stibnite.models import CreatedEmbedKey, EmbedKey

LIMITS = tuple(
    f"{period}_{what}"
    for period in ("monthly", "lifetime")
    for what in ("credit_units", "search_sessions", "record_reveals")
)


@click.group("embed-key")
def embed_key() -> None:
    """Create public loader keys of the hosted widget."""


@embed_key.command()
@click.option("--origin", "origins", metavar="URL", multiple=True, required=True, help="Page that may load it.")
@click.option("--source", metavar="NAME", help="Source of the pushes.  [default: the only one of kind stibnite_push]")
@click.option("--cta", metavar="TEXT", help="What the widget's button says.  [default: Push]")
@click.option("--csv-export", is_flag=True, help="Let the widget's users export CSV.")
@click.option("--credit-mode", type=chosen(["enforced", "metered"]), help="[default: metered, Stibnite's own]")
@click.option("--reset", type=chosen(["monthly_reset", "rollover"]), help="What a new month does to wallets.")
@click.option("--limit", "limits", metavar="NAME=N|none", multiple=True, help=f"Repeatable: {', '.join(LIMITS)}.")
@click.option("--no-delivery", is_flag=True, help="Push nowhere.")
@config_option
@json_option
def create(
    *, source: str | None, limits: tuple[str, ...], no_delivery: bool, config: Path | None, as_json: bool, **asked: Any
) -> None:
    """Create a public loader key whose pushes go to a source's capability URL.

    Limits and credit mode are what customers begin with who come by this key.
    """
    from stibgate.cli.account import call, load_account
    from stibgate.vendors.stibnite import NewEmbedKey

    settings = load_account(config).settings
    if no_delivery and (source or asked["cta"]):
        raise UsageError("--no-delivery goes without --source and --cta", hint="Leave one or the other out.")
    wanted = NewEmbedKey(
        asked["origins"],
        credit_enforcement_mode=asked["credit_mode"],
        credit_reset_policy=asked["reset"],
        limits=_limits(limits) or None,
        result_delivery_url=None if no_delivery else _delivery_url(settings, source),
        result_delivery_cta=asked["cta"],
        csv_export_enabled=asked["csv_export"] or None,
    )
    try:
        made = call(settings, lambda client: client.create_embed_key(wanted))
    except VendorError as error:
        if error.maybe_done:
            error.hint = "A key may be there whose value nobody has: look at the Prospecting page of the console."
        raise
    document = _document(settings, made)
    if as_json:
        click.echo(json.dumps(document))
    else:
        _print(document)
    _warn(made.embed_key, wanted.limits or {})


def _delivery_url(settings: "Settings", name: str | None) -> str:
    """Return the capability URL of the source, with its newest token.

    Raises:
        ConfigError: Nobody said what senders see.
        UsageError: No source fits, or it does not go by a token.
    """
    from stibgate.cli.account import hook_url, pick_source

    name = pick_source(settings, name, "stibnite_push")
    source = settings.sources[name]
    if not source.tokens or source.auth == "signature":
        raise UsageError(
            f"source {name} takes no token, and pushes carry no signature",
            hint=f'Give [sources.{name}] auth = "token" and a token.',
        )
    return f"{hook_url(settings, name)}/{source.tokens[0].get_secret_value()}"


def _limits(given: tuple[str, ...]) -> dict[str, int | None]:
    """Return limits by name; None for no limit.

    Raises:
        UsageError: One has an unknown name, or is not a number.
    """
    limits: dict[str, int | None] = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in LIMITS:
            raise UsageError(f"--limit {text}: there is no such limit", hint=f"There are {', '.join(LIMITS)}.")
        if value != "none" and not (value.isascii() and value.isdigit()):
            raise UsageError(f"--limit {text}: that is not a number", hint=f"Write {name}=500, or {name}=none.")
        limits[name] = None if value == "none" else int(value)
    return limits


def _document(settings: "Settings", made: "CreatedEmbedKey") -> dict[str, Any]:
    """Return the documented fields, the URL without its token."""
    from stibgate.cli.account import shown_url

    known = set(type(made.embed_key).model_fields)
    stored = {name: value for name, value in made.embed_key.to_document().items() if name in known}
    if stored.get("result_delivery_url"):
        stored["result_delivery_url"] = shown_url(settings, stored["result_delivery_url"])
    return {"public_key": made.public_key.get_secret_value(), "embed_key": stored}


def _print(document: Mapping[str, Any]) -> None:
    stored = document["embed_key"]
    limits = [
        f"{name}={'none' if limit is None else limit}" for name, limit in (stored.get("default_limits") or {}).items()
    ]
    rows = {
        "public_key": document["public_key"],
        "id": stored.get("id") or "-",
        "origins": ", ".join(stored.get("allowed_origins") or ()) or "-",
        "pushes to": stored.get("result_delivery_url") or "nowhere",
        "button": stored.get("result_delivery_cta") or "-",
        "csv export": "yes" if stored.get("csv_export_enabled") else "no",
        "credit mode": stored.get("default_credit_enforcement_mode") or "-",
        "reset": stored.get("default_credit_reset_policy") or "-",
        "limits": ", ".join(limits) or "none",
    }
    for name, text in rows.items():
        click.echo(f"{name:12} {printable(text)}")
    click.echo("\nThe public key is made for browsers: put it into data-partner-key. Stibnite does not show it again.")


def _warn(stored: "EmbedKey", asked: Mapping[str, int | None]) -> None:
    """Say on stderr what may not be meant."""
    if stored.default_credit_enforcement_mode in {None, "metered"}:
        click.echo(
            "warning: credit mode metered: limits and balances are reported and stop no customer; "
            "--credit-mode enforced does",
            err=True,
        )
    kept = stored.default_limits or {}
    for name, limit in asked.items():
        if kept.get(name) != limit:
            click.echo(f"warning: Stibnite did not keep --limit {name}={'none' if limit is None else limit}", err=True)
