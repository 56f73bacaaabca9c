"""Shapes of deliveries, tasks, replays, sinks and sources."""

from typing import Any

from stibgate.domain.circuit import CircuitState
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import Signal, TaskState
from stibgate.stores import BulkState
from stibgate.web.api.shapes.base import Counts, Moment, Shape, listed


class Delivery(Shape):
    """A delivery, as it is listed."""

    delivery_id: str
    state: DeliveryState
    source: str
    event_type: str | None
    received_at: Moment
    records: int
    search_id: str | None
    job_id: str | None
    partner_customer_id: str | None
    duplicates: int
    via: str
    reason: str | None


class Task(Shape):
    """A task, as it is listed."""

    task_id: str
    delivery_id: str
    sink: str
    state: TaskState
    attempts: int
    next_attempt_at: Moment
    error: str | None


class RefusedRecord(Shape):
    """A record that a sink will never take."""

    position: int
    person_id: str | None
    category: str | None
    code: str | None
    property: str | None
    correlation_id: str | None
    message: str | None


class TaskOutcomes(Task):
    """A task with what became of its records."""

    records: int
    outcomes: Counts
    refused: list[RefusedRecord]


class Attempt(Shape):
    """One try of a task."""

    number: int
    started_at: Moment
    ended_at: Moment
    signal: Signal | None
    error: str | None


class TaskDetail(TaskOutcomes):
    """A task with its outcomes, every attempt, and the task that it waits for."""

    behind: str | None
    attempts_made: list[Attempt]


class Seen(Shape):
    """That the same came again."""

    seen_at: Moment
    body_sha256: str


class DeliveryDetail(Delivery):
    """A delivery with its tasks and what came again under its key."""

    body_bytes: int
    body_sha256: str
    authenticated_by: str
    stale: bool
    repeat_of: str | None
    issues: int
    tasks: list[TaskOutcomes]
    duplicates_seen: list[Seen]
    conflicts: list[Seen]


class Records(Shape):
    """Normalised records; personal data is masked when `masked` says so."""

    masked: bool
    data: list[dict[str, Any]]


class Line(Shape):
    """One thing that happened."""

    at: Moment
    delivery_id: str
    what: str


class Report(Shape):
    """What was done, or with `dry_run` would be."""

    dry_run: bool
    records: int
    results: Counts
    sinks: Counts
    unknown: list[str]


class Bulk(Report):
    """How far a replay in the background has come."""

    replay_id: str
    state: BulkState
    total: int | None
    done: int
    by: str
    started_at: Moment
    ended_at: Moment
    error: str | None


class SinkState(Shape):
    """Whether a sink takes tasks, and why not."""

    sink: str
    paused_at: Moment
    paused_by: str | None
    circuit: CircuitState
    held: bool
    open_until: Moment
    failures: int
    reason: str | None


class Sink(Shape):
    """A sink: where it leads, what leads there, how it is."""

    sink: str
    kind: str | None
    destination: str | None
    routes: list[str]
    state: SinkState
    tasks: Counts | None


class Changed(Shape):
    """Whether anything changed."""

    changed: bool


class Finding(Shape):
    """One thing that was looked at."""

    ok: bool
    what: str
    hint: str


class Tested(Shape):
    """Whether a sink could take records now."""

    ok: bool
    findings: list[Finding]


class Source(Shape):
    """A source: how it proves itself, and what was pinned."""

    source: str
    kind: str
    auth: str
    scheme: str
    pinned: str | None
    key_reading: str | None
    routes: list[str]


Deliveries = listed("Deliveries", Delivery)
Tasks = listed("Tasks", Task)
TaskList = listed("TaskList", Task)
Timeline = listed("Timeline", Line)
Replays = listed("Replays", Bulk)
Sinks = listed("Sinks", Sink)
Sources = listed("Sources", Source)
