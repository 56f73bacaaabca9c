"""Which deliveries, tasks, jobs and lines of the audit are meant."""

from collections.abc import Sequence
from dataclasses import dataclass

from stibgate.domain.audit import Action
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.job import JobState
from stibgate.domain.task import TaskState


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to list; every field that is given must hold.

    Attributes:
        person: Lookup hashes of which one record must have one.
        error: Part of the error of one of its tasks.
        body_sha256: The least and the greatest hash that its body may have.
    """

    delivery_id: str | None = None
    body_sha256: tuple[bytes, bytes] | None = None
    state: DeliveryState | None = None
    source: str | None = None
    event_type: str | None = None
    sink: str | None = None
    search_id: str | None = None
    job_id: str | None = None
    partner_customer_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    error: str | None = None
    person: Sequence[bytes] | None = None


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks to list; every field that is given must hold.

    Attributes:
        since_ms: Their delivery was received then or later.
        until_ms: Their delivery was received before.
        error: Part of their error.
        person: Lookup hashes of which one record of theirs must have one.
    """

    state: TaskState | None = None
    sink: str | None = None
    delivery_id: str | None = None
    source: str | None = None
    search_id: str | None = None
    job_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    error: str | None = None
    person: Sequence[bytes] | None = None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; every field that is given must hold.

    Attributes:
        chain: The run id of their first page.
        unfinished: Whether they are reserved, doubtful or submitted.
        stopped: Why their search went no further.
    """

    state: JobState | None = None
    budget: str | None = None
    chain: str | None = None
    unfinished: bool | None = None
    stopped: str | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which lines of the audit to list; every field that is given must hold."""

    action: Action | None = None
    actor: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
