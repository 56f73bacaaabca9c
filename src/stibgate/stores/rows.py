"""Rows and nouns: how the tables' columns become dataclasses, and back."""

import json
from collections.abc import Sequence
from typing import Any

from stibgate.domain.delivery import DeliveryState, Sighting, StoredDelivery
from stibgate.domain.task import Attempt, Outcome, OutcomeKind, Signal, Task, TaskState

TASK_COLUMNS = (
    "task_id, delivery_id, sink, state, attempts, next_attempt_at, lease_until, created_at, updated_at, error"
)
DELIVERY_COLUMNS = (
    "sequence, delivery_id, source, state, reason, event_type, received_at, processed_at, body_sha256, body_bytes,"
    " records, issues, job_id, search_id, partner_customer_id, partner_user_id, authenticated_by, stale, evidence, via,"
    " repeat_of, duplicates, conflicts"
)

Row = Sequence[Any]


def task_of(row: Row) -> Task:
    """Return the task of a row of `TASK_COLUMNS`."""
    return Task(row[0], row[1], row[2], TaskState(row[3]), *row[4:])


def delivery_of(row: Row) -> StoredDelivery:
    """Return the delivery of a row of `DELIVERY_COLUMNS`."""
    values = list(row)
    values[3] = DeliveryState(values[3])
    values[17] = bool(values[17])
    values[18] = json.loads(values[18])
    return StoredDelivery(*values)


def attempt_of(row: Row) -> Attempt:
    """Return the attempt of a row (task_id, number, started_at, ended_at, signal, error)."""
    return Attempt(row[0], row[1], row[2], row[3], None if row[4] is None else Signal(row[4]), row[5])


def sighting_of(row: Row) -> Sighting:
    """Return the sighting of a row (delivery_id, seen_at, body_sha256, conflict)."""
    return Sighting(row[0], row[1], row[2], bool(row[3]))


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
