"""People on a page: masked unless somebody may see them, asked for them, and is on the audit with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stibgate.domain.record import Record
from stibgate.views.masking import masked_record

SHOWN = (
    "person_id", "first_name", "last_name", "business_email", "mobile_phone", "linkedin_url", "job_title",
    "company_name", "company_domain", "company_state",
)  # fmt: skip
"""The columns of a record on a page; the rest is on the record itself once it is revealed."""


@dataclass(frozen=True, slots=True)
class Person:
    """One record as a page shows it.

    Attributes:
        values: One for each of `SHOWN`.
        issues: Which fields could not be taken as sent, and why; what was sent only where it is revealed.
        document: Everything, where it is revealed.
    """

    position: int
    values: Sequence[str | None]
    issues: Sequence[str]
    document: dict[str, Any] | None = None


def person_of(record: Record, *, revealed: bool) -> Person:
    """Return *record* for a page."""
    document = record.to_document() if revealed else masked_record(record)
    issues = [
        f"{issue.field} {issue.reason}".replace("_", " ") + (f": {issue.original}" if revealed else "")
        for issue in record.issues
    ]
    values = [None if (value := document.get(name)) is None else str(value) for name in SHOWN]
    return Person(record.position, values, issues, document if revealed else None)
