"""`stibgate wallet`: what a partner customer may still do."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import printable

if TYPE_CHECKING:
    from stibgate.vendors.stibnite.models import CustomerWallet, Wallet


@click.command()
@click.argument("partner_customer_id")
@config_option
@json_option
def wallet(*, partner_customer_id: str, config: Path | None, as_json: bool) -> None:
    """Print the wallet of one partner customer: credits, limits, and what they stop.

    Needs a managed-account API key.
    """
    from stibgate.cli.account import call, load_account

    found = call(load_account(config).settings, lambda client: client.customer_wallet(partner_customer_id))
    if as_json:
        click.echo(json.dumps(found.to_document()))
        return
    for name, text in _lines(found):
        click.echo(f"{name:20} {printable(text)}")
    _print_limits(found.wallet)


def _lines(found: "CustomerWallet") -> list[tuple[str, str]]:
    wallet, state = found.wallet, found.wallet.limit_state
    available = wallet.available_credit_units
    mode = wallet.credit_enforcement_mode or "not said"
    actions = found.allowed_result_actions or wallet.allowed_result_actions
    return [
        ("customer", found.partner_customer_id),
        ("status", found.status or "not said"),
        ("available", "no finite wallet: credits do not stop this customer" if available is None else str(available)),
        ("granted", _number(wallet.granted_credit_units)),
        ("applied", f"{_number(wallet.applied_credit_units)} of this period ({wallet.credit_reset_policy or '-'})"),
        ("mode", f"{mode}: limits are reported and stop nobody" if mode == "metered" else mode),
        ("can search", _may(state.can_search, state.search_block_reason) if state else "not said"),
        ("can reveal", _may(state.can_reveal, state.reveal_block_reason) if state else "not said"),
        ("actions", ", ".join(actions) or "none"),
    ]


def _print_limits(wallet: "Wallet") -> None:
    from tabulate import tabulate

    limits, used = wallet.limits or {}, wallet.usage or {}
    names = [*limits, *(name for name in used if name not in limits)]
    if names:
        rows = [
            [printable(name), _number(used.get(name)), "none" if limits.get(name) is None else str(limits[name])]
            for name in names
        ]
        click.echo()
        click.echo(tabulate(rows, headers=["WHAT", "USED", "LIMIT"], tablefmt="plain", disable_numparse=True))


def _number(value: object) -> str:
    return "-" if value is None else str(value)


def _may(allowed: bool | None, reason: str | None) -> str:  # noqa: FBT001  (the vendor's word)
    if allowed is None:
        return "not said"
    return "yes" if allowed else f"no: {reason or 'no reason given'}"
