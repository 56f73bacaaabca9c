"""How `stibgate estimate` shows what The Hog says: one JSON object, or a breakdown for people."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from stibgate.cli.output import printable
from stibgate.domain.budget import AMOUNT_BELOW, Decision, Unit, format_amount
from stibgate.domain.preflight import PAGE_PEOPLE, SearchSize
from stibgate.vendors.thehog.requests import LIMIT_MAX
from stibgate.views.money import budget_document, decision_document
from stibgate.views.words import amount_number, counted

if TYPE_CHECKING:
    from stibgate.pipeline.alarms import BudgetUse
    from stibgate.vendors.thehog import Estimate, PeopleSearch

UNIT = Unit.THEHOG_CREDIT
_NOT_SAID = "not said"


def preflight_document(
    found: "Estimate | None",
    search: "PeopleSearch",
    use: "BudgetUse | None",
    decision: Decision,
    reasons: Sequence[str],
) -> dict[str, Any]:
    """Return all that is known before *search* is paid for; what the vendor did not say is None."""
    said = {} if found is None else _plain(found.model_dump(by_alias=True, exclude_unset=True))
    return {
        "provider": "thehog",
        "unit": UNIT,
        "estimated": None if found is None else amount_number(found.quote.ceiling),
        "max_credits": None if search.max_credits is None else amount_number(search.max_credits),
        "likely_sync_or_async": said.get("likelySyncOrAsync"),
        "within_plan_limits": said.get("withinPlanLimits"),
        "expected_latency_range": said.get("expectedLatencyRange"),
        "breakdown": said.get("breakdown"),
        "assumptions": said.get("assumptions"),
        "warnings": [] if found is None else list(found.warnings),
        "budget": None if use is None else budget_document(use),
        **decision_document(decision, reasons),
    }


def print_estimate(found: "Estimate", search: "PeopleSearch") -> None:
    """Print the estimate and where it comes from; what does not add up goes to standard error."""
    at_most = f"{format_amount(found.quote.ceiling)} {UNIT} at most; what is billed can be less"
    if search.max_credits is not None:
        at_most += f" (max_credits {format_amount(search.max_credits)})"
    assumed = found.assumptions
    rows = {
        "estimate": at_most,
        "discovery": _discovery(found, search.size),
        "contacts": _contacts(found),
        "plan": "within the plan's limits" if found.within_plan_limits else "outside of the plan's limits",
        "answer": ", ".join(filter(None, (found.likely_sync_or_async, found.expected_latency_range))),
        "assumptions": ": ".join(filter(None, (assumed.mode, assumed.description))) if assumed else "",
    }
    for name, text in rows.items():
        click.echo(f"{name:13} {printable(text or _NOT_SAID)}")
    for warning in found.warnings:
        click.echo(f"{click.style('warning', fg='yellow')}: {printable(warning)}", err=True)


def _discovery(found: "Estimate", size: SearchSize) -> str:
    """Return the discovery part, and why 26 people cost twice as much as 25."""
    pages = f"{counted(size.pages, 'page')} of up to {PAGE_PEOPLE} people"
    full = size.pages * PAGE_PEOPLE
    note = "full pages" if full >= LIMIT_MAX else f"one more person costs another page, as {PAGE_PEOPLE + 1} cost two"
    if size.people < full:
        note = f"{full} people cost as many pages; {PAGE_PEOPLE + 1} cost two"
    base = found.breakdown.base_search_credits if found.breakdown else None
    return f"{_amount(base)} for {pages} ({note})"


def _contacts(found: "Estimate") -> str:
    """Return what contacts add: fields, people, attempts."""
    parts = found.breakdown.contact_enrichment if found.breakdown else None
    if parts is None:
        return ""
    if parts.include_contacts is False:
        return f"{_amount(parts.estimated_credits)}, not included"
    fields = " and ".join(parts.fields_ or ()) or f"fields {_NOT_SAID}"
    people, attempts = _amount(parts.max_people), _amount(parts.contact_attempts_per_field_per_person)
    return f"{_amount(parts.estimated_credits)} for {fields} of up to {people} people, attempts for each: {attempts}"


def _amount(value: Decimal | None) -> str:
    return _NOT_SAID if value is None else format_amount(value)


def _plain(value: Any) -> Any:
    """Return *value* as JSON values; a number far outside of amounts stays text."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, Decimal):
        return amount_number(value) if abs(value) < AMOUNT_BELOW else str(value)
    return value
