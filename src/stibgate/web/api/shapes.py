"""What the calls answer, for the OpenAPI document. The answers are made in `views`; a test holds the two together."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from stibgate.domain.access import Role
from stibgate.domain.audit import Action
from stibgate.domain.budget import Period, Unit
from stibgate.domain.circuit import CircuitState
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.job import JobState
from stibgate.domain.task import Signal, TaskState
from stibgate.pipeline.bulk import BulkState

Counts = dict[str, Annotated[int, Field(ge=0)]]
Moment = Annotated[datetime | None, Field(description="RFC 3339 UTC")]
Amount = int | float | None


class Shape(BaseModel):
    """An object with exactly these members."""

    model_config = ConfigDict(extra="forbid")


def listed(name: str, row: type[BaseModel], *, paged: bool = False) -> type[BaseModel]:
    """Return the shape of a list of *row*."""
    fields: dict[str, Any] = {"data": (list[row], ...)}  # type: ignore[valid-type]
    if paged:
        fields["next_cursor"] = (str | None, ...)
    return create_model(name, __base__=Shape, **fields)


class Problem(Shape):
    """What is wrong, the id to quote and what to do (RFC 9457)."""

    type: str
    title: str
    status: int
    hint: str
    request_id: str
    exit_code: int | None = None


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


class Job(Shape):
    """A job, as it is listed; a page of a search is a job."""

    job_id: str | None
    run_id: str
    provider: str
    state: JobState
    page: int
    parent_job_id: str | None
    q: str | None
    limit: int | None
    max_records: int | None
    dedupe_token: str | None
    budget: str | None
    unit: Unit
    estimated: Amount
    ceiling: Amount
    billed: int | None
    received: int | None
    more: bool
    stopped: str | None
    delivery_id: str | None
    submitted_at: Moment
    ended_at: Moment
    polls: int
    next_poll_at: Moment
    reason: str | None
    by: str | None


class Suggestion(Shape):
    """What would fare better."""

    change: dict[str, Any]
    ceiling: str
    verdict: str


class Decision(Shape):
    """What a budget says."""

    verdict: str
    reason: str
    message: str
    remaining: str
    suggestions: list[Suggestion]


class Purchase(Shape):
    """What came of submitting a job; amounts are text, to stay exact."""

    run_id: str | None
    job_id: str | None
    unit: Unit
    ceiling: str
    budget: str | None
    decision: Decision | None


class ReconciledJob(Shape):
    """What became of one job that was asked for."""

    run_id: str
    job_id: str | None
    page: int
    result: str


class Resolved(Shape):
    """What a run became by somebody's word."""

    run_id: str
    job_id: str | None
    result: str


class Bill(Shape):
    """What was paid for, and where it went: a job, or a push."""

    job_id: str | None
    provider: str
    unit: Unit
    estimated: Amount
    ceiling: Amount
    billed: int | None
    received: int
    delivered: int
    run_id: str | None
    search_id: str | None
    delivery_id: str | None
    state: str | None
    budget: str | None
    waiting: int
    missing: int
    page: int | None
    parent_job_id: str | None
    at: Moment
    variance: Amount


class Alarm(Shape):
    """Something that does not add up."""

    alarm: str
    key: str
    message: str
    hint: str
    at: Moment
    job_id: str | None
    run_id: str | None
    delivery_id: str | None
    budget: str | None


class Budget(Shape):
    """A budget and its current window."""

    name: str
    unit: Unit
    limit: int | float
    reserved: int | float
    settled: int | float
    remaining: int | float
    window: str
    period: Period
    state: str


class AuditLine(Shape):
    """Who did what."""

    sequence: int
    at: Moment
    actor: str
    role: Role
    action: Action
    target: str | None
    detail: dict[str, int | str | bool]
    client_ip: str | None
    chain: str


class Evidence(Shape):
    """The latest refused request of a group, without its body."""

    request_id: str
    http_status: int
    client_ip: str | None
    user_agent: str | None
    headers: list[str]
    schemes: list[str]
    body_bytes: int | None
    body_sha256: str | None


class Explanation(Shape):
    """What was found out about it."""

    why: str
    verdict: str
    findings: list[str]
    at: Moment


class Rejection(Shape):
    """Requests of one source that were refused for one reason."""

    source: str | None
    reason: str
    count: int
    first_at: Moment
    last_at: Moment
    meaning: str
    explanation: Explanation | None
    next: str
    last: Evidence


class Quantiles(Shape):
    """Durations in milliseconds."""

    p50: float | None
    p95: float | None
    p99: float | None


class SourceStats(Shape):
    """What a source sent."""

    answers: Counts
    records: int
    reasons: Counts
    ack_ms: Quantiles


class SinkStats(Shape):
    """What a sink took."""

    attempts: Counts
    outcomes: Counts
    dead: int
    attempt_ms: Quantiles


class Chart(Shape):
    """Lines over the same periods."""

    at: list[datetime]
    step_ms: int
    accepted: dict[str, list[int]]
    rejected: dict[str, list[int]]
    delivered: dict[str, list[int]]
    refused: dict[str, list[int]]
    failed: dict[str, list[int]]
    ack_p50_ms: list[float | None]
    ack_p99_ms: list[float | None]


class Stats(Shape):
    """Charts and totals."""

    since: Moment
    until: Moment
    accepted: int
    records: int
    rejected: int
    rejected_share: float
    ack_ms: Quantiles
    sources: dict[str, SourceStats]
    sinks: dict[str, SinkStats]
    chart: Chart


class Document(BaseModel):
    """A JSON object."""

    model_config = ConfigDict(extra="allow")


Deliveries = listed("Deliveries", Delivery, paged=True)
Tasks = listed("Tasks", Task, paged=True)
TaskList = listed("TaskList", Task)
Timeline = listed("Timeline", Line)
Replays = listed("Replays", Bulk)
Sinks = listed("Sinks", Sink)
Sources = listed("Sources", Source)
Jobs = listed("Jobs", Job, paged=True)
Reconciled = listed("Reconciled", ReconciledJob)
Bills = listed("Bills", Bill, paged=True)
Alarms = listed("Alarms", Alarm)
Budgets = listed("Budgets", Budget)
Audit = listed("Audit", AuditLine, paged=True)
Rejections = listed("Rejections", Rejection)
