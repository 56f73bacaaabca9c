"""`stibgate estimate`: what a people search at The Hog may cost, and whether it should run. Free, changes nothing."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stibgate.cli.context import config_option
from stibgate.cli.decisions import exit_code_of, print_decision
from stibgate.cli.estimate_output import UNIT, preflight_document, print_estimate
from stibgate.cli.estimate_request import search_of, search_options
from stibgate.domain.budget import (
    AMOUNT_BELOW,
    PLACES_MAX,
    Budget,
    Decision,
    Period,
    Quote,
    Verdict,
    decide,
    format_amount,
)
from stibgate.domain.preflight import Priced, SearchSize, cheaper, suggest
from stibgate.errors import UsageError, VendorError
from stibgate.pipeline.alarms import BudgetUse
from stibgate.stores import Spent

if TYPE_CHECKING:
    from stibgate.config import Settings
    from stibgate.vendors.retry import Patience
    from stibgate.vendors.thehog import Estimate, PeopleSearch, TheHogClient

ASKED_MAX = 3
"""How many smaller searches the vendor is asked about."""
PATIENCE: "Patience | None" = None
"""How long one estimate is tried; None for as long as the client does by itself."""

_ENDLESS = AMOUNT_BELOW - Decimal(1).scaleb(-PLACES_MAX)


@click.command()
@search_options
@click.option("--budget", metavar="NAME", help="Hold it against [budgets.NAME].")
@click.option("--yes", is_flag=True, help="Confirm what is above the budget's confirm_above.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@config_option
def estimate(*, config: Path | None, budget: str | None, yes: bool, as_json: bool, **asked: Any) -> None:
    """Say what a people search for QUERY at The Hog may cost at most, and whether it may run.

    Nothing is searched and nothing is charged. Exit code 0 when it may run, 3 when it may not, 4 when somebody must
    confirm it with --yes. With --budget or --max-credits a search that nobody can price is denied.
    """
    from stibgate.config import load

    search = search_of(asked)
    settings = load(config).settings
    gate = Gate(None if budget is None else _use(config, settings.budget(budget)), search.max_credits, confirmed=yes)
    found: Estimate | None = None
    try:
        found, decision, reasons = asyncio.run(_preflight(settings, search, gate))
    except VendorError as error:
        if not gate.needs_estimate:
            raise
        decision, reasons = gate.decide(None), [f"what it may cost is not known: {error.message}"]
        click.echo(f"hint: {error.hint}", err=True)
    if as_json:
        click.echo(json.dumps(preflight_document(found, search, gate.use, decision, reasons)))
    else:
        if found is not None:
            print_estimate(found, search)
        print_decision(decision, reasons, use=gate.use)
    sys.exit(exit_code_of(decision.verdict))


def _use(config: Path | None, budget: Budget) -> BudgetUse:
    """Return what the current window of *budget* has gone to.

    Raises:
        UsageError: It counts something else than The Hog's credits.
    """
    from stibgate.app.clock import now_ms
    from stibgate.cli.budget import uses

    if budget.unit is not UNIT:
        raise UsageError(
            f"budget {budget.name} counts {budget.unit}, but this search costs {UNIT}",
            hint=f"Name a budget whose unit is {UNIT}; there is no rate between them.",
        )
    return uses(config, [budget], now_ms())[0]


@dataclass(frozen=True, slots=True)
class Gate:
    """What a search must pass: the vendor's plan, the budget that was named, and `--max-credits`.

    Attributes:
        use: The budget and its window; None when none was named.
        max_credits: What the search will be sent with. The vendor refuses a search whose estimate is above that, so
            it is never lowered to fit: the search has to become smaller.
        confirmed: Whether a person said yes.
    """

    use: BudgetUse | None
    max_credits: Decimal | None
    confirmed: bool

    @property
    def needs_estimate(self) -> bool:
        """Whether a search that nobody can price is denied."""
        return self.use is not None or self.max_credits is not None

    def decide(self, quote: Quote | None) -> Decision:
        """Return whether a search with *quote* may run."""
        return self._against(self._strictest, quote)

    def suggest(self, decision: Decision, size: SearchSize, tried: Sequence[tuple[SearchSize, Quote]]) -> Decision:
        """Return *decision* with those of *tried* that fare better."""
        spent = self._spent
        return suggest(self._strictest, decision, size, tried, reserved=spent.reserved, settled=spent.settled)

    def reasons(self, quote: Quote, decision: Decision) -> list[str]:
        """Return every reason for *decision*: the plan's or the budget's, then that of `--max-credits`."""
        estimated, said = f"estimate {format_amount(quote.ceiling)}", []
        if not quote.within_plan:
            said = [decision.message]
        elif self.use is not None:
            own = self._against(self.use.budget, quote)
            said = [own.message] if own.verdict is decision.verdict else []
        if self.max_credits is not None:
            most = f"max_credits {format_amount(self.max_credits)}"
            if quote.ceiling > self.max_credits:
                said.append(f"{estimated} > {most}: the search would be refused (402), not cut")
            elif not said:
                said.append(f"{estimated} <= {most}")
        return said or [f"{estimated} is within the vendor's plan; no budget was named"]

    def _against(self, budget: Budget, quote: Quote | None) -> Decision:
        spent = self._spent
        return decide(budget, quote, reserved=spent.reserved, settled=spent.settled, confirmed=self.confirmed)

    @property
    def _spent(self) -> Spent:
        return Spent() if self.use is None else self.use.spent

    @property
    def _strictest(self) -> Budget:
        """The budget with no more left than `--max-credits` allows; one without end where neither was given."""
        if self.use is None:
            limit = _ENDLESS if self.max_credits is None else self.max_credits
            return Budget("", UNIT, limit, Period.TOTAL)
        if self.max_credits is None or self.max_credits >= self.use.remaining:
            return self.use.budget
        return replace(self.use.budget, limit=self.use.used + self.max_credits)


async def _preflight(
    settings: "Settings", search: "PeopleSearch", gate: Gate
) -> "tuple[Estimate, Decision, list[str]]":
    """Return the estimate, the decision with suggestions that were really priced, and its reasons.

    Raises:
        VendorError: There is no estimate.
    """
    from stibgate.app.vendors import thehog_client

    async with thehog_client(settings, patience=PATIENCE) as client:
        found = await client.estimate(search)
        decision = gate.decide(found.quote)
        reasons = gate.reasons(found.quote, decision)
        if decision.verdict is not Verdict.ALLOW:
            tried = await _try_smaller(client, search, found)
            decision = gate.suggest(decision, search.size, tried)
        return found, decision, reasons


async def _try_smaller(
    client: "TheHogClient", search: "PeopleSearch", found: "Estimate"
) -> list[tuple[SearchSize, Quote]]:
    """Return smaller searches with what each may cost, in the order of `cheaper`.

    What no estimate so far tells is asked for, a few times at most; a vendor that does not answer ends that.
    """
    sizes = cheaper(search.size)
    prices = [found.priced(search.size)]
    asked: dict[SearchSize, Quote] = {}
    for smaller in _most_telling_first(search.size, sizes):
        if len(asked) == ASKED_MAX:
            break
        if _follows(smaller, prices) is None:
            try:
                told = await client.estimate(search.resized(smaller))
            except VendorError:
                break
            asked[smaller] = told.quote
            prices.append(told.priced(smaller))
    quotes = {smaller: asked.get(smaller) or _follows(smaller, prices) for smaller in sizes}
    return [(smaller, quote) for smaller, quote in quotes.items() if quote is not None]


def _most_telling_first(size: SearchSize, sizes: Sequence[SearchSize]) -> list[SearchSize]:
    """Return *sizes*, first one of each kind: no phone, about half of the people, no contacts.

    The price of no phone tells those of all smaller searches without one.
    """
    whole = [each for each in sizes if each.people == size.people]
    fewer = [each for each in sizes if each.contact_fields == size.contact_fields]
    first = [
        *(each for each in whole if each.contact_fields),
        *fewer[len(fewer) // 2 :][:1],
        *(each for each in whole if not each.contact_fields),
    ]
    return [*first, *(each for each in sizes if each not in first)]


def _follows(size: SearchSize, prices: Sequence[Priced | None]) -> Quote | None:
    """Return what *size* costs by one of *prices*; None when none of them tells."""
    quotes = (priced.quote(size) for priced in prices if priced is not None)
    return next((quote for quote in quotes if quote is not None), None)
