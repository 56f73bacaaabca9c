"""How a job stands, as the vendor's API says it.

Source: Stibnite Person Data API, "Get async person search job": queued, running, succeeded or failed.
"""

from typing import Any

from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED
from stibgate.events.shapes import not_documented

_ENDED = {"succeeded": JOB_SUCCEEDED, "failed": JOB_FAILED}


def ended_as(document: dict[str, Any]) -> str:
    """Return the type of the event that says how the job ended.

    Raises:
        NotUnderstood: It has not ended, or has a status that is not known.
    """
    status = document.get("status")
    event_type = _ENDED.get(status) if isinstance(status, str) else None
    if event_type is None:
        raise not_documented("the job's status is neither succeeded nor failed")
    return event_type
