"""How jobs, and what came of submitting one, are printed."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import click

from stibgate.cli.output import printable
from stibgate.domain.budget import Decision, Reason, Suggestion, Unit, Verdict
from stibgate.domain.job import STIBNITE, Job, JobState, StopReason
from stibgate.views.money import decision_document
from stibgate.views.words import amount_number


def print_job(row: dict[str, Any], *, as_json: bool) -> None:
    """Print a row of `job_row` with what the vendor says under `vendor`."""
    if as_json:
        click.echo(json.dumps(row))
        return
    said = {f"Stibnite says {key}": value for key, value in (row.pop("vendor") or {}).items()}
    for name, value in {**row, **said}.items():
        if value is not None:
            click.echo(f"{name:36} {printable(value)}")


def why(job: Job) -> Iterator[str]:
    """Yield why *job* is where it is, one line each, with what to do about it."""
    name = job.job_id or job.run_id
    if job.reason is not None:
        to_do = f"; `stibgate jobs resolve {job.run_id}`" if job.state in {JobState.DOUBTFUL, JobState.LOST} else ""
        yield f"{name} is {job.state}: {job.reason}{to_do}"
    if job.stopped is not None:
        to_do = "; `stibgate jobs reconcile --yes`" if job.stopped == StopReason.NEEDS_CONFIRMATION else ""
        yield f"{name} has no next page: {job.stopped}{to_do}"


def read_decision(told: dict[str, Any] | None) -> Decision | None:
    """Return what the admin API told of a decision; None when there was none."""
    if told is None:
        return None
    return Decision(
        Verdict(told["verdict"]),
        Reason(told["reason"]),
        told["message"],
        Decimal(told["remaining"]),
        tuple(
            Suggestion(one["change"], Decimal(one["ceiling"]), Verdict(one["verdict"])) for one in told["suggestions"]
        ),
    )


def submitted_row(done: dict[str, Any], decision: Decision | None) -> dict[str, Any]:
    """Return what came of a submission, as one JSON object."""
    ceiling = amount_number(Decimal(done["ceiling"]))
    verdict = {"decision": Verdict.ALLOW} if decision is None else decision_document(decision)
    remaining = None if decision is None else amount_number(decision.remaining)
    return {
        "job_id": done["job_id"],
        "run_id": done["run_id"],
        "provider": STIBNITE,
        "unit": Unit(done["unit"]),
        "estimated": ceiling,
        "ceiling": ceiling,
        "budget": done["budget"],
        "remaining_before": remaining,
        **verdict,
    }
