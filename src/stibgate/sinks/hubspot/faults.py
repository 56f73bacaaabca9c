"""What HubSpot complains about, in one shape, whichever of its several error documents it came in.

All members of these documents are optional ("The fields ... should all be treated as optional in any error
parsing"), and newer and older ones differ. Source: HubSpot, "Error handling".
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stibgate.sinks.hubspot.shapes import Refusal

# Closed alphabets: whatever does not match is dropped, so that no value of a record and no token comes through.
_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,79}")
_SUB_CODE = re.compile(r"[A-Za-z]+\.([A-Z][A-Z0-9_]{1,79})")
_PROPERTY = re.compile(r"[a-z][a-z0-9_]{0,99}")
_RECORD = re.compile(r"[0-9]{1,20}")
_CORRELATION = re.compile(r"[0-9a-fA-F-]{8,64}")
_SCOPE = re.compile(r"(?!pat-)[a-z][a-z0-9_]*(?:[.-][a-z0-9_]+)*")
_EXISTING = re.compile(r"Existing ID:\s*([0-9]{1,20})")
_DUPLICATES = re.compile(r"Duplicate IDs found in batch input: \[([^\]]*)\]")

PROPERTY_CODES = frozenset({"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE"})
"""Codes that are about the property itself, and so about every record that has it."""

_TRANSIENT = frozenset({"INTERNAL_ERROR", "RATE_LIMITS", "TIMEOUT", "SERVICE_UNAVAILABLE", "LOCKED"})
_NOT_UNIQUE = "by non-unique"

_WORDS = {
    "CONFLICT": "another record has a value that must be unique",
    "CONFLICTING_UNIQUE_VALUE": "another record has a value that must be unique",
    "OBJECT_ALREADY_EXISTS": "there is one already",
    "OBJECT_NOT_FOUND": "there is no such record",
    "INVALID_EMAIL": "not an e-mail address that HubSpot takes",
    "INVALID_OPTION": "not one of the property's options",
    "INVALID_INTEGER": "not a number that HubSpot takes",
    "PROPERTY_DOESNT_EXIST": "there is no such property",
    "READ_ONLY_VALUE": "the property cannot be written",
    "MISSING_REQUIRED_PROPERTY": "the account requires a property that the record does not have",
    "MISSING_CONDITIONAL_REQUIRED_PROPERTY": "the account requires a property that the record does not have",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One complaint.

    Attributes:
        category: For example `VALIDATION_ERROR`.
        details: Pairs of code and property, either of which may be unknown.
        correlation_id: What HubSpot's support asks for.
        existing_id: With a conflict, the record that has the value.
        context: Ids of objects and of traces that it is about, by HubSpot's name for them.
        not_unique: Whether it says that the key property is not a unique one.
    """

    category: str | None = None
    details: tuple[tuple[str | None, str | None], ...] = ()
    correlation_id: str | None = None
    existing_id: str | None = None
    context: Mapping[str, tuple[str, ...]] | None = None
    not_unique: bool = False

    @property
    def named(self) -> frozenset[str]:
        """The ids of objects that it names, in HubSpot's spelling."""
        context = self.context or {}
        return frozenset(value for name, values in context.items() if name != _TRACE for value in values)

    @property
    def traces(self) -> tuple[str, ...]:
        """The trace ids that it names."""
        return (self.context or {}).get(_TRACE, ())

    @property
    def properties(self) -> Mapping[str, str]:
        """The properties that no record may send, with HubSpot's code for each."""
        return {name: code for code, name in self.details if name and code in PROPERTY_CODES}

    @property
    def transient(self) -> bool:
        """Whether the same input may be taken later."""
        return self.category in _TRANSIENT

    @property
    def chief(self) -> tuple[str | None, str | None]:
        """The code and property that say most about a record: its own before those of every record."""
        return min(self.details, key=lambda detail: detail[0] in PROPERTY_CODES, default=(None, None))

    @property
    def words(self) -> str:
        """One line of ours, without personal data."""
        code, name = self.chief
        known = _WORDS.get(code or "") or _WORDS.get(self.category or "") or code or self.category or "no reason given"
        return f"{name}: {known}" if name else known

    def to_refusal(self) -> Refusal:
        """Return what is said about one record."""
        code, name = self.chief
        return Refusal(
            category=self.category,
            code=code,
            property=name,
            correlation_id=self.correlation_id,
            existing_id=self.existing_id,
            message=f"HubSpot refused the record: {self.words}",
        )


_TRACE = "objectWriteTraceId"
_CONTEXT_OF_VALUES = frozenset({"propertyName", "existingId", "requiredScopes", "requiredGranularScopes"})


def parse_fault(document: Mapping[str, Any], correlation_id: str | None) -> Fault:
    """Return what an error *document*, or one member of a batch's `errors`, complains about."""
    message = _text(document.get("message"))
    context = {name: _texts(values) for name, values in _mapping(document.get("context")).items()}
    existing = _matching(_RECORD, next(iter(context.get("existingId", ())), None))
    if found := _EXISTING.search(message):
        existing = existing or found[1]
    if found := _DUPLICATES.search(message):
        context.setdefault("ids", tuple(part.strip() for part in found[1].split(",")))
    return Fault(
        category=_matching(_CODE, document.get("category")),
        details=tuple(dict.fromkeys(_details(document, message))),
        correlation_id=correlation_id,
        existing_id=existing or _matching(_RECORD, str(_mapping(document.get("identityProfile")).get("vid"))),
        context={name: values for name, values in context.items() if name not in _CONTEXT_OF_VALUES},
        not_unique=_NOT_UNIQUE in message,
    )


def correlation_of(document: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """Return the correlation id of an answer, from its body or else its header."""
    return _matching(_CORRELATION, document.get("correlationId")) or _matching(
        _CORRELATION, headers.get("X-HubSpot-Correlation-Id")
    )


def scopes_of(document: Mapping[str, Any]) -> Sequence[str]:
    """Return the scopes that a 403 says are missing."""
    contexts = [_mapping(error.get("context")) for error in _errors(document)]
    contexts.append(_mapping(document.get("context")))
    named = [
        scope
        for context in contexts
        for name in ("requiredGranularScopes", "requiredScopes")
        for scope in _texts(context.get(name))
    ]
    return tuple(dict.fromkeys(scope for scope in named if _SCOPE.fullmatch(scope) and len(scope) <= 80))


def _details(document: Mapping[str, Any], message: str) -> Iterator[tuple[str | None, str | None]]:
    """Yield codes and properties from `errors`, from a JSON list inside the message, from older members."""
    for error in _errors(document):
        names = _texts(_mapping(error.get("context")).get("propertyName")) or ("",)
        code = _matching(_CODE, error.get("code")) or _matching(_CODE, error.get("error"))
        yield from _pairs((code, _matching(_PROPERTY, name)) for name in (*names,))
        yield from _embedded(_text(error.get("message")))
    yield from _embedded(message)
    sub_code = _SUB_CODE.fullmatch(_text(document.get("subCategory")))
    yield from _pairs([(sub_code[1] if sub_code else _matching(_CODE, document.get("error")), None)])


def _embedded(message: str) -> Iterator[tuple[str | None, str | None]]:
    """Yield what a message like `... were not valid: [{"error": "INVALID_EMAIL", "name": "email"}]` names."""
    start, end = message.find("[{"), message.rfind("}]")
    if start < 0 or end < start:
        return
    try:
        entries = json.loads(message[start : end + 2])
    except (ValueError, RecursionError):
        return
    for entry in entries if isinstance(entries, list) else ():
        member = _mapping(entry)
        yield from _pairs([(_matching(_CODE, member.get("error")), _matching(_PROPERTY, member.get("name")))])


def _pairs(details: Any) -> Iterator[tuple[str | None, str | None]]:
    return (detail for detail in details if detail != (None, None))


def _errors(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    errors = document.get("errors")
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else ()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, (str, int)):
        return (str(value),)
    return tuple(str(part) for part in value if isinstance(part, (str, int))) if isinstance(value, list) else ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _matching(pattern: re.Pattern[str], value: object) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
