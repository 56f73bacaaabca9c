"""Deliveries and their tasks, as the contract lists and shows them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stibgate.domain.delivery import StoredDelivery
from stibgate.domain.task import OutcomeKind, Task
from stibgate.stores import Ledger, TaskFilter
from stibgate.views.words import moment


def delivery_row(delivery: StoredDelivery) -> dict[str, Any]:
    """Return a delivery as the contract lists it."""
    return {
        "delivery_id": delivery.delivery_id,
        "state": delivery.state,
        "source": delivery.source,
        "event_type": delivery.event_type,
        "received_at": moment(delivery.received_at_ms),
        "records": delivery.records,
        "search_id": delivery.search_id,
        "job_id": delivery.job_id,
        "partner_customer_id": delivery.partner_customer_id,
        "duplicates": delivery.duplicates,
        "via": delivery.via,
        "reason": delivery.reason,
    }


def task_row(task: Task) -> dict[str, Any]:
    """Return a task as the contract lists it."""
    return {
        "task_id": task.task_id,
        "delivery_id": task.delivery_id,
        "sink": task.sink,
        "state": task.state,
        "attempts": task.attempts,
        "next_attempt_at": moment(task.next_attempt_at_ms),
        "error": task.error,
    }


def describe_delivery(ledger: Ledger, delivery: StoredDelivery) -> dict[str, Any]:
    """Return a delivery with its tasks, outcomes, duplicates and conflicts, as the contract shows it."""
    sightings = ledger.sightings(delivery.delivery_id)
    seen = [{"seen_at": moment(s.seen_at_ms), "body_sha256": s.body_sha256.hex()} for s in sightings if not s.conflict]
    conflicts = [{"seen_at": moment(s.seen_at_ms), "body_sha256": s.body_sha256.hex()} for s in sightings if s.conflict]
    tasks = ledger.tasks(TaskFilter(delivery_id=delivery.delivery_id), limit=None)
    return {
        **delivery_row(delivery),
        "body_bytes": delivery.body_bytes,
        "body_sha256": delivery.body_sha256.hex(),
        "authenticated_by": delivery.authenticated_by,
        "stale": delivery.stale,
        "repeat_of": delivery.repeat_of,
        "issues": delivery.issues,
        "tasks": [_task(ledger, task) for _, task in reversed(tasks)],
        "duplicates_seen": seen,
        "conflicts": conflicts,
    }


def describe_task(ledger: Ledger, task: Task) -> dict[str, Any]:
    """Return a task with its outcomes and every attempt."""
    return {
        **_task(ledger, task),
        "behind": ledger.blocker(task.task_id),
        "attempts_made": [
            {
                "number": attempt.number,
                "started_at": moment(attempt.started_at_ms),
                "ended_at": moment(attempt.ended_at_ms),
                "signal": attempt.signal,
                "error": attempt.error,
            }
            for attempt in ledger.attempts(task.task_id)
        ],
    }


def _people(ledger: Ledger, delivery_id: str, positions: Sequence[int]) -> Mapping[int, str | None]:
    """Return the person ids at *positions*, and those between them; a large delivery is not read for a few."""
    if not positions:
        return {}
    first, last = min(positions), max(positions)
    return {r.position: r.person_id for r in ledger.records(delivery_id, first=first, limit=last - first + 1)}


def _task(ledger: Ledger, task: Task) -> dict[str, Any]:
    outcomes = ledger.outcomes(task.task_id)
    refused = [outcome for outcome in outcomes if outcome.kind is OutcomeKind.REFUSED]
    people = _people(ledger, task.delivery_id, [outcome.position for outcome in refused])
    return {
        **task_row(task),
        "records": task.records,
        "outcomes": dict(Counter(str(outcome.kind) for outcome in outcomes)),
        "refused": [
            {
                "position": outcome.position,
                "person_id": people.get(outcome.position),
                "category": outcome.category,
                "code": outcome.code,
                "property": outcome.property,
                "correlation_id": outcome.correlation_id,
                "message": outcome.message,
            }
            for outcome in refused
        ],
    }
