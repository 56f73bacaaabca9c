"""Rows and nouns: how the tables' columns become dataclasses, and back."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from stibgate.domain.budget import Unit
from stibgate.domain.circuit import Circuit, CircuitState, SinkState
from stibgate.domain.delivery import DeliveryState, Sighting, StoredDelivery
from stibgate.domain.job import Job, JobState
from stibgate.domain.rejection import Evidence, Finding, Rejections
from stibgate.domain.task import Attempt, Outcome, OutcomeKind, Signal, Task, TaskState

SINK_COLUMNS = "sink, circuit, failures, open_until, open_for_ms, held_since, reason, paused_at, paused_by"
TASK_COLUMNS = (
    "task_id, delivery_id, sink, state, attempts, next_attempt_at, lease_until, created_at, updated_at, error,"
    " tries, owed_at, records, resend, forced"
)
DELIVERY_COLUMNS = (
    "sequence, delivery_id, source, state, reason, event_type, received_at, processed_at, body_sha256, body_bytes,"
    " records, issues, job_id, search_id, partner_customer_id, partner_user_id, authenticated_by, stale, evidence, via,"
    " repeat_of, duplicates, conflicts, billed, trace"
)
JOB_COLUMNS = (
    "sequence, run_id, job_id, state, asked, page, parent_job_id, chain, budget, budget_window, unit, estimated,"
    " ceiling, billed, received, next_cursor, records_left, continued, stopped, created_at, submitted_at, ended_at,"
    " polls, next_poll_at, delivery_id, reason, by, confirmed"
)

Row = Sequence[Any]


def of_table(alias: str, columns: str) -> str:
    """Return *columns* as those of the table *alias*."""
    return ", ".join(f"{alias}.{name}" for name in columns.split(", "))


def task_of(row: Row) -> Task:
    """Return the task of a row of `TASK_COLUMNS`."""
    values = list(row)
    values[3] = TaskState(values[3])
    values[14] = bool(values[14])
    return Task(*values)


def delivery_of(row: Row) -> StoredDelivery:
    """Return the delivery of a row of `DELIVERY_COLUMNS`."""
    values = list(row)
    values[3] = DeliveryState(values[3])
    values[17] = bool(values[17])
    values[18] = json.loads(values[18])
    return StoredDelivery(*values)


def job_of(row: Row) -> Job:
    """Return the job of a row of `JOB_COLUMNS`."""
    values = list(row)
    values[3] = JobState(values[3])
    values[4] = None if values[4] is None else json.loads(values[4])
    values[10] = Unit(values[10])
    for amount in (11, 12, 27):
        values[amount] = None if values[amount] is None else Decimal(values[amount])
    values[17] = bool(values[17])
    return Job(*values)


def job_values(job: Job) -> Row:
    """Return what is stored of *job*, in the order of `JOB_COLUMNS` but for the sequence, which the store gives."""
    return (
        job.run_id, job.job_id, job.state, None if job.asked is None else json.dumps(job.asked), job.page,
        job.parent_job_id, job.chain, job.budget, job.window, job.unit, _digits(job.estimated), _digits(job.ceiling),
        job.billed, job.received, job.next_cursor, job.left, job.continued, job.stopped, job.created_at_ms,
        job.submitted_at_ms, job.ended_at_ms, job.polls, job.next_poll_at_ms, job.delivery_id, job.reason, job.by,
        _digits(job.confirmed),
    )  # fmt: skip


def _digits(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"


def attempt_of(row: Row) -> Attempt:
    """Return the attempt of a row (task_id, number, started_at, ended_at, signal, error)."""
    return Attempt(row[0], row[1], row[2], row[3], None if row[4] is None else Signal(row[4]), row[5])


def sighting_of(row: Row) -> Sighting:
    """Return the sighting of a row (delivery_id, seen_at, body_sha256, conflict, authenticated_by)."""
    return Sighting(row[0], row[1], row[2], bool(row[3]), row[4])


def outcome_of(row: Row) -> Outcome:
    """Return the outcome of a row (position, kind, detail)."""
    return Outcome(row[0], OutcomeKind(row[1]), **(json.loads(row[2]) if row[2] else {}))


def detail_of(outcome: Outcome) -> str | None:
    """Return what the sink said beside the kind, as JSON; None when it said nothing."""
    words = {
        name: value
        for name in ("category", "code", "property", "correlation_id", "message")
        if (value := getattr(outcome, name)) is not None
    }
    return json.dumps(words) if words else None


def sink_of(row: Row) -> SinkState:
    """Return the sink's state of a row of `SINK_COLUMNS`."""
    return SinkState(row[0], Circuit(CircuitState(row[1]), *row[2:7]), *row[7:])


def positions_of(text: str | None, records: int) -> Sequence[int]:
    """Return the positions of a task's `positions`; none stored means every record of the delivery."""
    return range(records) if text is None else json.loads(text)


def positions_text(positions: Sequence[int], *, of: int) -> str | None:
    """Return what is stored for *positions* of a delivery with *of* records."""
    return None if list(positions) == list(range(of)) else json.dumps(list(positions), separators=(",", ":"))


def rejections_of(row: Row) -> Rejections:
    """Return the group of a row (hour, source, reason, count, first_at, last_at, last, finding)."""
    hour_ms, source, reason, count, first_at_ms, last_at_ms, last, finding = row
    return Rejections(
        hour_ms, source, reason, count, first_at_ms, last_at_ms,
        Evidence(**_with_tuples(last)), None if finding is None else Finding(**_with_tuples(finding)),
    )  # fmt: skip


def _with_tuples(document: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(document)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def rejection_values(group: Rejections) -> Row:
    """Return the row of a group, in the order of `rejections_of`."""
    return (
        group.hour_ms, group.source, group.reason, group.count, group.first_at_ms, group.last_at_ms,
        json.dumps(asdict(group.last)), None if group.finding is None else json.dumps(asdict(group.finding)),
    )  # fmt: skip
