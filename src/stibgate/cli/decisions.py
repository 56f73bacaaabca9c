"""How commands print what a budget decided, and the exit codes that tell it to scripts."""

from collections.abc import Mapping, Sequence

import click

from stibgate.cli.output import printable
from stibgate.domain.budget import Decision, Verdict, format_amount
from stibgate.pipeline.alarms import BudgetUse

EXIT_DENIED = 3
EXIT_NEEDS_CONFIRMATION = 4

_EXIT_CODES = {Verdict.ALLOW: 0, Verdict.DENY: EXIT_DENIED, Verdict.NEEDS_CONFIRMATION: EXIT_NEEDS_CONFIRMATION}
_WORDS = {
    Verdict.ALLOW: ("allowed", "green"),
    Verdict.DENY: ("denied", "red"),
    Verdict.NEEDS_CONFIRMATION: ("needs confirmation", "yellow"),
}
_OPTIONS = {"contactFields": "--contacts", "max_records": "--max-records"}


def exit_code_of(verdict: Verdict) -> int:
    """Return 0 for allow, 3 for deny, 4 for needs_confirmation."""
    return _EXIT_CODES[verdict]


def print_decision(
    decision: Decision, reasons: Sequence[str] = (), *, use: BudgetUse | None = None, err: bool = False
) -> None:
    """Print the decision for people: the budget, the verdict with its reasons, and what would fare better.

    Args:
        decision: What was decided.
        reasons: As in `decision_document`.
        use: The budget that it was held against, as it was before.
        err: Whether it goes beside the output.
    """
    if use is not None:
        click.echo(f"{'budget':13} {printable(budget_line(use))}", err=err)
    word, colour = _WORDS[decision.verdict]
    first, *others = list(reasons) or [decision.message]
    click.echo(f"{click.style(word, fg=colour)}: {printable(first)}", err=err)
    for reason in others:
        click.echo(f"  and {printable(reason)}", err=err)
    for suggestion in decision.suggestions:
        change = _as_options(suggestion.change)
        verdict = _WORDS[suggestion.verdict][0]
        click.echo(f"  instead {printable(change)}: at most {format_amount(suggestion.ceiling)}, {verdict}", err=err)
    if decision.verdict is Verdict.NEEDS_CONFIRMATION:
        click.echo("  --yes confirms", err=err)


def budget_line(use: BudgetUse) -> str:
    """Return a budget and its window in one line."""
    limit, reserved, settled, remaining = map(
        format_amount, (use.budget.limit, use.spent.reserved, use.spent.settled, use.remaining)
    )
    return (
        f"{use.budget.name} ({use.window.name}): {remaining} of {limit} {use.budget.unit} left,"
        f" {reserved} reserved, {settled} settled"
    )


def _as_options(change: Mapping[str, object]) -> str:
    """Return *change*, which has the vendor's names, as the command line takes it."""
    return " ".join(
        "--contacts none" if (name, value) == ("includeContacts", False) else f"{_option(name)} {_value(value)}"
        for name, value in change.items()
    )


def _option(name: str) -> str:
    return _OPTIONS.get(name, f"--{name}")


def _value(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
