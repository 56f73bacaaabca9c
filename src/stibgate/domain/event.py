"""What a delivery says happened."""

from dataclasses import dataclass
from enum import StrEnum

JOB_SUCCEEDED = "person_search.job.succeeded"
JOB_FAILED = "person_search.job.failed"
RECORDS_PUSHED = "prospecting.records.pushed"
JOB_EVENTS = frozenset({JOB_SUCCEEDED, JOB_FAILED})

ID_CHARS_MAX = 512
BILLED_MAX = 10**9
"""No job, and no push, is billed for more records."""


def askable(id_: str) -> bool:
    """Return whether *id_* can be asked for by its name: 1 to 512 printable characters that are one path segment."""
    one_segment = id_.strip() == id_ and id_ not in {"", ".", ".."}
    return one_segment and len(id_) <= ID_CHARS_MAX and id_.isprintable()


class QuarantineReason(StrEnum):
    """Why an authentic delivery was not understood (a closed set)."""

    NOT_JSON_OBJECT = "not_json_object"
    TOO_DEEP = "too_deep"
    NOT_FINITE = "not_finite"
    ENVELOPE = "envelope"
    RECORDS_MISSING = "records_missing"
    PROCESSING = "processing_failed"
    JOB_UNKNOWN = "job_unknown"
    JOB_UNFINISHED = "job_unfinished"
    READBACK_FAILED = "readback_failed"

    @property
    def awaits_result(self) -> bool:
        """Whether the job as the vendor has it would mend it."""
        return self in {
            self.ENVELOPE,
            self.RECORDS_MISSING,
            self.PROCESSING,
            self.JOB_UNKNOWN,
            self.JOB_UNFINISHED,
            self.READBACK_FAILED,
        }


@dataclass(frozen=True, slots=True)
class Event:
    """The envelope of one delivery, resolved; the records stay in the body.

    Attributes:
        event_type: A dotted lower-case word; an open set.
        known: Whether stibgate has a reader for *event_type*.
        record_count: How many records the body carries; 0 for a thin event.
        job_id: The async job's id, for job events.
        search_id: The prospecting session's id, for pushes.
        partner_customer_id: Whose wallet paid, for pushes.
        partner_user_id: Who pressed the button, for pushes.
        error: What the vendor says went wrong, for failed jobs.
        thin: Whether a succeeded job came without its records, not even an empty list; the read-back brings them.
        billed: How many records the vendor says it billed; None when it does not say.
    """

    event_type: str
    known: bool
    record_count: int = 0
    job_id: str | None = None
    search_id: str | None = None
    partner_customer_id: str | None = None
    partner_user_id: str | None = None
    error: str | None = None
    thin: bool = False
    billed: int | None = None
