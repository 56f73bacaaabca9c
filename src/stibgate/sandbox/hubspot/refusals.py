"""How HubSpot says no: the bodies of its refusals, whole requests and single records.

Source: error handling page (400, 207), usage guidelines (429); the 409s as clients recorded them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stibgate.errors import StibgateError

VALIDATION = "VALIDATION_ERROR"
CONFLICT = "CONFLICT"
NOT_FOUND = "OBJECT_NOT_FOUND"


class Refused(StibgateError):
    """A whole request that HubSpot would refuse.

    Args:
        status: The HTTP status.
        message: What the client reads.
        category: HubSpot's word for the kind of error; None leaves it out, as a 429 does.
        more: Further members of the body.
    """

    def __init__(self, status: int, message: str, category: str | None = VALIDATION, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        named = {} if category is None else {"category": category}
        self.body = {"status": "error", "message": message, **named, **more}


@dataclass(frozen=True, slots=True)
class Detail:
    """One value that is not valid."""

    code: str
    message: str
    name: str

    def document(self) -> dict[str, Any]:
        """Return it as an `ErrorDetail`."""
        return {"message": self.message, "code": self.code, "context": {"propertyName": [self.name]}}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why one record of a batch is refused.

    Attributes:
        category: `VALIDATION_ERROR`, `CONFLICT` or `OBJECT_NOT_FOUND`.
        message: Set where `details` is empty.
        details: Values that are not valid.
        context: `existingId` of a conflict, `ids` of what was not found.
    """

    category: str
    message: str = ""
    details: tuple[Detail, ...] = ()
    context: Mapping[str, list[str]] | None = None

    def document(self, trace_id: str) -> dict[str, Any]:
        """Return it as an entry of a 207's `errors`."""
        return {
            "status": "error",
            "category": self.category,
            "message": self.message or _values_message(self.details),
            "context": {"objectWriteTraceId": [trace_id], **(self.context or {})},
        }


def invalid(code: str, message: str, name: str) -> Trouble:
    """Return the trouble of one value."""
    return Trouble(VALIDATION, details=(Detail(code, message, name),))


def whole(troubles: Sequence[Trouble], shape: Literal["modern", "legacy"]) -> Refused:
    """Return the refusal of a whole batch, which does not say whose fault it is.

    Values that are not valid come first, each record's in turn; without any, the first of the other troubles
    speaks for all.
    """
    details = [detail for trouble in troubles for detail in trouble.details]
    if details:
        return Refused(400, _values_message(details), errors=[detail.document() for detail in details])
    first = troubles[0]
    if first.category == CONFLICT:
        return _conflict(first, shape)
    status = 404 if first.category == NOT_FOUND else 400
    return Refused(status, first.message, first.category, context=dict(first.context or {}))


def _conflict(trouble: Trouble, shape: Literal["modern", "legacy"]) -> Refused:
    if shape == "modern":
        return Refused(409, trouble.message, CONFLICT)
    (existing,) = (trouble.context or {})["existingId"]
    profile = {"vid": int(existing), "identity": [], "linkedVid": [], "isContact": True, "savedAtTimestamp": 0}
    return Refused(
        409, "Contact already exists", "OBJECT_ALREADY_EXISTS", error="CONTACT_EXISTS", identityProfile=profile
    )  # fmt: skip


def _values_message(details: Sequence[Detail]) -> str:
    listed = [
        {"isValid": False, "message": detail.message, "error": detail.code, "name": detail.name} for detail in details
    ]
    return f"Property values were not valid: {json.dumps(listed, separators=(',', ':'))}"


def rate_limited(policy: str) -> Refused:
    """Return a 429; *policy* is `DAILY`, `TEN_SECONDLY_ROLLING` or `SECONDLY`. It has no `category`."""
    message = f"You have reached your {policy.lower()} limit."
    return Refused(429, message, None, errorType="RATE_LIMIT", policyName=policy)


def missing_scopes(scopes: Sequence[str]) -> Refused:
    """Return a 403 that names what the key would need."""
    detail = {
        "message": "One or more of the following scopes are required.",
        "context": {"requiredGranularScopes": list(scopes)},
    }
    message = "This app hasn't been granted all required scopes to make this call."
    return Refused(403, message, "MISSING_SCOPES", errors=[detail])


def unauthenticated() -> Refused:
    """Return a 401."""
    message = "Authentication credentials not found, or not valid for this account."
    return Refused(401, message, "INVALID_AUTHENTICATION")
