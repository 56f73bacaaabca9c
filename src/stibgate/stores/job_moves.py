"""What happens to a run and its job, as functions of what is remembered; both stores write what these return.

The rules: what was billed is never forgotten, a success stands whatever comes after it, and a job that only an event
told of is adopted until the run that asked for it is known.
"""

import hashlib
from dataclasses import replace
from decimal import Decimal

from stibgate.domain.budget import Unit
from stibgate.domain.job import Job, JobResult, JobState, NewRun, StopReason

ADOPTED_BY = "an event"
NO_REASON = "the vendor did not say why"
RECOVERED = "stibgate ended before the vendor's answer came"
ENDED = frozenset({JobState.REFUSED, JobState.SUCCEEDED, JobState.FAILED, JobState.LOST})
UNDECIDED = frozenset({JobState.RESERVED, JobState.DOUBTFUL})
"""States in which it is not known yet whether the vendor has the job."""
REFUSABLE = UNDECIDED | {JobState.LOST}
"""States of a run that may be refused: a person may know that what was lost never was."""
PASSING_STOPS = frozenset(
    {
        StopReason.OVER_BUDGET,
        StopReason.NEEDS_CONFIRMATION,
        StopReason.BUDGET_GONE,
        StopReason.NO_CREDITS,
        StopReason.FAILED,
    }
)
"""Stops that an operator may have seen to; the others stand for ever."""

NUMBERS = 1 << 19
"""How many jobs, and how many pushes, of one millisecond have a place of their own among the bills."""


def begin(run: NewRun, *, sequence: int, budget: str | None, window: str | None, parent: Job | None) -> Job:
    """Return *run* as it is reserved in *window* of *budget*, a next page when it has a *parent*."""
    return Job(
        sequence=sequence,
        run_id=run.run_id,
        job_id=None,
        state=JobState.RESERVED,
        asked=dict(run.asked),
        page=1 if parent is None else parent.page + 1,
        parent_job_id=None if parent is None else parent.job_id,
        chain=run.run_id if parent is None else parent.chain,
        budget=budget,
        window=window,
        unit=run.unit,
        estimated=run.estimated,
        ceiling=run.ceiling,
        billed=None,
        received=None,
        next_cursor=None,
        left=run.left,
        continued=False,
        stopped=None,
        created_at_ms=run.at_ms,
        submitted_at_ms=None,
        ended_at_ms=None,
        polls=0,
        next_poll_at_ms=None,
        delivery_id=None,
        reason=None,
        by=run.by,
        confirmed=run.confirmed,
    )


def adopt(job_id: str, *, sequence: int, at_ms: int) -> Job:
    """Return a job that nobody here asked for, before its end is written; its run id follows from *job_id*."""
    run_id = f"run_{hashlib.sha256(job_id.encode('utf-8', 'surrogatepass')).hexdigest()[:26]}"
    nothing = NewRun(run_id, {}, Unit.STIBNITE_CREDIT_UNIT, Decimal(0), Decimal(0), at_ms, ADOPTED_BY)
    job = begin(nothing, sequence=sequence, budget=None, window=None, parent=None)
    return replace(job, job_id=job_id, state=JobState.SUBMITTED, asked=None, estimated=None, ceiling=None)


def end(job: Job, result: JobResult, *, delivery_id: str, at_ms: int) -> Job:
    """Return *job* once the delivery said how it ended; unchanged when that says nothing new.

    Of two deliveries that both tell of a success the one with more records stands, else the first.
    """
    if not result.succeeded:
        return job if job.state in {JobState.SUCCEEDED, JobState.FAILED} else _failed(job, result, delivery_id, at_ms)
    billed = job.billed if result.billed is None else result.billed
    cursor = job.next_cursor if result.next_cursor is None else result.next_cursor
    if job.state is not JobState.SUCCEEDED:
        return replace(
            job,
            state=JobState.SUCCEEDED,
            received=result.received,
            billed=billed,
            next_cursor=cursor,
            ended_at_ms=at_ms,
            next_poll_at_ms=at_ms if billed is None else None,
            delivery_id=delivery_id,
            reason=None,
        )
    due_ms = job.next_poll_at_ms if billed is None else None
    reason = job.reason if billed is None else None
    job = replace(job, billed=billed, next_cursor=cursor, next_poll_at_ms=due_ms, reason=reason)
    if result.received > (job.received or 0) or job.delivery_id is None:
        return replace(job, received=result.received, delivery_id=delivery_id)
    return job


def _failed(job: Job, result: JobResult, delivery_id: str, at_ms: int) -> Job:
    return replace(
        job,
        state=JobState.FAILED,
        received=result.received,
        billed=job.billed if result.billed is None else result.billed,
        next_cursor=result.next_cursor,
        ended_at_ms=at_ms,
        next_poll_at_ms=None,
        delivery_id=delivery_id,
        reason=result.error or NO_REASON,
    )


def may_become(run: Job, job_id: str) -> bool:
    """Return whether *run* may turn out to be *job_id*: nobody knows yet, or it is the job that was lost."""
    return run.state in UNDECIDED or (run.state is JobState.LOST and run.job_id == job_id)


def submit(run: Job, job_id: str, adopted: Job | None, *, now_ms: int, poll_at_ms: int) -> Job:
    """Return *run* once the vendor took it as *job_id*, with what events said of that job meanwhile."""
    run = replace(run, job_id=job_id, submitted_at_ms=now_ms, ended_at_ms=None, polls=0)
    if adopted is None:
        return replace(run, state=JobState.SUBMITTED, next_poll_at_ms=poll_at_ms, reason=None)
    return replace(
        run,
        state=adopted.state,
        received=adopted.received,
        billed=adopted.billed,
        next_cursor=adopted.next_cursor,
        ended_at_ms=adopted.ended_at_ms,
        delivery_id=adopted.delivery_id,
        reason=adopted.reason,
        next_poll_at_ms=adopted.next_poll_at_ms,
    )


def given_twice(other: Job) -> str:
    """Return why a run is refused for which the vendor named the job of *other*: it is billed there."""
    return f"the vendor answered with the job of {other.run_id}"


def amend(job: Job, *, billed: int, next_cursor: str | None) -> Job:
    """Return a succeeded *job* with what was not known of it; any other unchanged."""
    if job.state is not JobState.SUCCEEDED:
        return job
    return replace(
        job,
        billed=billed if job.billed is None else job.billed,
        next_cursor=next_cursor if job.next_cursor is None else job.next_cursor,
        next_poll_at_ms=None,
        reason=None,
    )


def bill_sequence(at_ms: int, number: int, *, push: bool) -> int:
    """Return the place of a job, or a push, with its store's *number* among all bills: that of its time.

    Half a million of each in one millisecond can be told apart.
    """
    return at_ms * 2 * NUMBERS + number % NUMBERS * 2 + push
