"""Jobs, as the contract lists them."""

from typing import Any

from stibgate.domain.job import STIBNITE, Job
from stibgate.views.words import known_amount, moment

HIDDEN = "hidden: for operators"


def job_row_for(job: Job, *, plain: bool) -> dict[str, Any]:
    """Return a job as the contract lists it; unless *plain* without what was searched for, which may name people."""
    row = job_row(job)
    return row if plain or row["q"] is None else row | {"q": HIDDEN}


def job_row(job: Job) -> dict[str, Any]:
    """Return a job as the contract lists it."""
    asked = job.asked or {}
    return {
        "job_id": job.job_id,
        "run_id": job.run_id,
        "provider": STIBNITE,
        "state": job.state,
        "page": job.page,
        "parent_job_id": job.parent_job_id,
        "q": asked.get("q"),
        "limit": asked.get("limit"),
        "max_records": asked.get("max_records"),
        "dedupe_token": asked.get("dedupe_token"),
        "budget": job.budget,
        "unit": job.unit,
        "estimated": known_amount(job.estimated),
        "ceiling": known_amount(job.ceiling),
        "billed": job.billed,
        "received": job.received,
        "more": job.more,
        "stopped": job.stopped,
        "delivery_id": job.delivery_id,
        "submitted_at": moment(job.submitted_at_ms),
        "ended_at": moment(job.ended_at_ms),
        "polls": job.polls,
        "next_poll_at": moment(job.next_poll_at_ms),
        "reason": job.reason,
        "by": job.by,
    }
