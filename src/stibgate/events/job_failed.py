"""`person_search.job.failed`: a search job ended without a result; there is nothing to forward.

Source: Stibnite, POST /v1/webhooks/endpoints; GET /v1/persons/search/jobs/{job_id}. The envelope is not documented.
"""

from typing import Any

from stibgate.domain.event import JOB_FAILED, Event
from stibgate.domain.job import JobResult
from stibgate.events.shapes import find_error, find_job_records, require_job_id

EVENT_TYPE = JOB_FAILED


def read(document: dict[str, Any]) -> Event:
    """Return the event with what the vendor says went wrong.

    Raises:
        NotUnderstood: No job id, or `data` is neither null, an object, nor a list of objects.
    """
    find_job_records(document)  # for its refusal: a body that is no job's shape is not trusted to say "failed"
    return Event(
        event_type=EVENT_TYPE,
        known=True,
        job_id=require_job_id(document),
        error=find_error(document),
    )


def raw_records(document: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: ARG001  (the table's signature)
    """Return nothing: a failed job has no records."""
    return []


def job_result(document: dict[str, Any]) -> JobResult:
    """Return how the job ended, for the ledger; what failed is not billed.

    Raises:
        NotUnderstood: Like `read`.
    """
    return JobResult(require_job_id(document), succeeded=False, error=find_error(document))
