"""Shapes of the audit, refused requests and statistics."""

from datetime import datetime

from stibgate.domain.access import Role
from stibgate.domain.audit import Action
from stibgate.web.api.shapes.base import Counts, Moment, Shape, listed


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


Audit = listed("Audit", AuditLine)
Rejections = listed("Rejections", Rejection)
