"""Shapes of jobs, bills, alarms and budgets."""

from typing import Any

from stibgate.domain.budget import Period, Unit
from stibgate.domain.job import JobState
from stibgate.web.api.shapes.base import Amount, Moment, Shape, listed


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


class Reconciled(Shape):
    """What became of each job that was asked for."""

    data: list[ReconciledJob]


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


Jobs = listed("Jobs", Job)
Bills = listed("Bills", Bill)
Alarms = listed("Alarms", Alarm)
Budgets = listed("Budgets", Budget)
