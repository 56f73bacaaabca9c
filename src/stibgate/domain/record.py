"""One normalised person, and what makes two records the same person."""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

COLUMNS = (
    "prospect_id", "person_id", "first_name", "last_name", "job_title", "business_email", "mobile_phone",
    "linkedin_url", "company_name", "company_domain", "company_phone", "company_linkedin_url",
    "company_revenue", "company_employee_count", "company_industry", "company_sic", "company_naics",
    "company_city", "company_state",
)  # fmt: skip
"""The 19 columns of Stibnite's own CSV export, in its order. Source: POST /v1/prospecting/sessions/{id}/export."""

PROVENANCE_COLUMNS = (
    "delivery_id", "position", "source", "event_type", "received_at", "search_id", "job_id",
    "partner_customer_id", "partner_user_id",
)  # fmt: skip
FIELDS = (*COLUMNS, "company_id", "reveal_state", *PROVENANCE_COLUMNS, "issues", "extra")
"""Every name that a drop's `columns` may list."""


class IssueReason(StrEnum):
    """Why a field is flagged (a closed set)."""

    INVALID = "invalid"
    WRONG_TYPE = "wrong_type"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Issue:
    """A value that could not be taken as it was sent.

    Attributes:
        field: One of `COLUMNS`, `company_id`, `reveal_state` or `company`.
        reason: Why.
        original: The value as sent, as JSON text where it was not a string; personal data.
    """

    field: str
    reason: IssueReason
    original: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the records of one delivery come from; shared by all of them."""

    delivery_id: str
    source: str
    event_type: str
    received_at: str
    search_id: str | None = None
    job_id: str | None = None
    partner_customer_id: str | None = None
    partner_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One flat person record; every field may be missing, none is ever invented.

    Attributes:
        company_revenue: A whole number; text only when `invalid_field = "keep"` left an invalid one as sent.
        company_employee_count: Like `company_revenue`.
        position: The record's index in its delivery, from 0.
        issues: What could not be taken as it was sent.
        extra: Unknown fields as sent, JSON values only; those of the vendor's nested object under `company`.
    """

    prospect_id: str | None = None
    person_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    job_title: str | None = None
    business_email: str | None = None
    mobile_phone: str | None = None
    linkedin_url: str | None = None
    company_name: str | None = None
    company_domain: str | None = None
    company_phone: str | None = None
    company_linkedin_url: str | None = None
    company_revenue: int | str | None = None
    company_employee_count: int | str | None = None
    company_industry: str | None = None
    company_sic: str | None = None
    company_naics: str | None = None
    company_city: str | None = None
    company_state: str | None = None
    company_id: str | None = None
    reveal_state: str | None = None
    position: int = 0
    issues: tuple[Issue, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Return the record as JSON values, without fields that are empty; `from_document` undoes it."""
        document = {
            name: value
            for name in _SCALARS
            if (value := getattr(self, name)) is not None
        }  # fmt: skip
        document["position"] = self.position
        if self.issues:
            document["issues"] = [
                {"field": issue.field, "reason": str(issue.reason), "original": issue.original} for issue in self.issues
            ]
        if self.extra:
            document["extra"] = dict(self.extra)
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Record":
        """Return the record that `to_document` wrote."""
        values = dict(document)
        values["issues"] = tuple(
            Issue(issue["field"], IssueReason(issue["reason"]), issue["original"]) for issue in values.get("issues", ())
        )
        return cls(**values)

    def identifiers(self) -> Iterator[tuple[str, str]]:
        """Yield (kind, value) of everything that names this person, strongest first."""
        for kind, name in _LADDER:
            value = getattr(self, name)
            if value is not None:
                yield kind, value

    def person_key(self) -> str | None:
        """Return the person key, `person_id:person_123`, or None when nothing names the person."""
        for kind, value in self.identifiers():
            return f"{kind}:{value}"
        return None


_SCALARS = tuple(f.name for f in fields(Record) if f.name not in {"position", "issues", "extra"})
_LADDER = (
    ("person_id", "person_id"),
    ("prospect_id", "prospect_id"),
    ("linkedin", "linkedin_url"),
    ("email", "business_email"),
    ("phone", "mobile_phone"),
)
"""The person key ladder: the first that is there wins."""


def lookup_hash(key: bytes, kind: str, value: str) -> bytes:
    """Return the 16-byte keyed hash under which a person can be found again.

    An e-mail address is compared without regard to case: two spellings are one mailbox in practice.

    Args:
        key: The store's 32-byte hash key; without it nobody can try all phone numbers.
        kind: `person_id`, `prospect_id`, `linkedin`, `email` or `phone`.
        value: The normalised value.
    """
    text = value.casefold() if kind in {"email", "linkedin"} else value
    return hmac.digest(key, f"{kind}:{text}".encode("utf-8", "surrogatepass"), hashlib.sha256)[:16]
