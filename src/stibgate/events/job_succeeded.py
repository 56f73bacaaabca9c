"""`person_search.job.succeeded`: a search job has its page of persons; it may carry them or not.

Full: the persons are a list in `data`, `data.data`, `data.object.data` or `job.data`. Thin: there is no list
anywhere, and the read-back of the job brings them. A `status` that contradicts the event is not refused.

Source: Stibnite, POST /v1/webhooks/endpoints; GET /v1/persons/search/jobs/{job_id}. The envelope is not documented.
"""

from typing import Any

from stibgate.domain.event import JOB_SUCCEEDED, Event
from stibgate.domain.job import JobResult
from stibgate.events.shapes import find_billed, find_job_records, find_next_cursor, require_job_id

EVENT_TYPE = JOB_SUCCEEDED


def read(document: dict[str, Any]) -> Event:
    """Return the event, thin when the body holds no list of persons.

    Raises:
        NotUnderstood: No job id, or `data` is neither null, an object, nor a list of objects.
    """
    records = find_job_records(document)
    return Event(
        event_type=EVENT_TYPE,
        known=True,
        record_count=len(records or ()),
        job_id=require_job_id(document),
        thin=records is None,
        billed=find_billed(document),
    )


def raw_records(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the persons as sent; empty for a thin event.

    Raises:
        NotUnderstood: `data` is neither null, an object, nor a list of objects.
    """
    return find_job_records(document) or []


def job_result(document: dict[str, Any]) -> JobResult:
    """Return how the job ended, for the ledger.

    Raises:
        NotUnderstood: Like `read`.
    """
    return JobResult(
        require_job_id(document),
        succeeded=True,
        received=len(find_job_records(document) or ()),
        billed=find_billed(document),
        next_cursor=find_next_cursor(document),
    )
