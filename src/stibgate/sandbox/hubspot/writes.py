"""Writing a batch: every input is planned before any is committed, so that a refused batch leaves no trace.

Source: contacts guide (keys, partial values); error handling page; the trace ids as a live probe found them to work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stibgate.sandbox.hubspot.bodies import Value
from stibgate.sandbox.hubspot.definitions import is_step_back
from stibgate.sandbox.hubspot.portal import Portal
from stibgate.sandbox.hubspot.records import Record, Records
from stibgate.sandbox.hubspot.refusals import CONFLICT, VALIDATION, Detail, Trouble, invalid, whole
from stibgate.sandbox.hubspot.values import LENGTH_MAX, NotValid, text

ADMIN_RULES_FROM = "2026-09"
"""The first version whose writes obey the admin's rules on required properties."""


class Wanted(NamedTuple):
    """One input: which record, and what it shall have.

    Attributes:
        record: The record that is there, or None for a new one.
        properties: As the client sent them, with the key that it was looked up by.
        trace_id: `objectWriteTraceId`.
        trouble: Set when it is refused already.
    """

    record: Record | None
    properties: Mapping[str, Value]
    trace_id: str | None
    trouble: Trouble | None = None


class Written(NamedTuple):
    """One input that was committed."""

    record: Record
    new: bool
    echoed: Mapping[str, str]
    trace_id: str | None
    position: int


@dataclass(slots=True)
class Batch:
    """What became of a batch: what was written, and the entries of a 207's `errors`."""

    written: list[Written] = field(default_factory=list)
    errors: list[dict[str, object]] = field(default_factory=list)


class Writer:
    """Writes batches to the records of one kind, by the portal's rules and one version's."""

    def __init__(self, records: Records, portal: Portal, version: str) -> None:
        self._records = records
        self._definitions = records.definitions
        self._portal = portal
        self._admin_rules = version >= ADMIN_RULES_FROM
        self._claimed: dict[tuple[str, str], str] = {}

    def write(self, batch: Sequence[Wanted], *, conflicts_whole: bool) -> Batch:
        """Return what was written and what was not.

        Without a trace id of its own on every input, one input that is refused refuses all.

        Raises:
            Refused: 400, 404 or 409, and nothing was written.
        """
        planned = [self._plan(wanted) for wanted in batch]
        troubles = [plan for plan in planned if isinstance(plan, Trouble)]
        traces = {wanted.trace_id for wanted in batch} - {None}
        if troubles and len(traces) < len(batch):
            raise whole(troubles, self._portal.conflict_shape)
        conflicts = [trouble for trouble in troubles if trouble.category == CONFLICT]
        if conflicts and conflicts_whole and self._portal.upsert_partial == "whole_409":
            raise whole(conflicts, self._portal.conflict_shape)
        done = Batch()
        at = self._records.timestamp()
        for position, (wanted, plan) in enumerate(zip(batch, planned, strict=True)):
            if isinstance(plan, Trouble):
                done.errors.append(plan.document(wanted.trace_id or ""))
            else:
                record_id, changes = plan
                record = self._records.put(record_id, changes, at)
                system = {"hs_object_id": record_id, "createdate": record.created_at, self._records.kind.modified: at}
                written = Written(record, wanted.record is None, changes | system, wanted.trace_id, position)
                done.written.append(written)
        return done

    def _plan(self, wanted: Wanted) -> tuple[str, dict[str, str]] | Trouble:
        """Return the record id and the values to set, or why not."""
        if wanted.trouble is not None:
            return wanted.trouble
        before = wanted.record.properties if wanted.record else {}
        changes, details = self._valid(wanted.properties)
        stage = changes.get("lifecyclestage")
        if stage and is_step_back(before.get("lifecyclestage", ""), stage):
            if self._portal.lifecycle_step_back == "error":
                message = f"lifecyclestage cannot move back to {stage}; clear it first"
                details.append(Detail("INVALID_LIFECYCLE_STAGE", message, "lifecyclestage"))
            changes["lifecyclestage"] = before["lifecyclestage"]
        # What is missing is told only of values that are all valid: an invalid e-mail is one error, not two.
        details = details or self._missing(before, changes, new=wanted.record is None)
        if details:
            return Trouble(VALIDATION, details=tuple(details))
        record_id = wanted.record.id if wanted.record else self._records.new_id()
        return self._clash(record_id, changes) or (record_id, changes)

    def _valid(self, properties: Mapping[str, Value]) -> tuple[dict[str, str], list[Detail]]:
        """Return the values as they are kept, and what is wrong with the others."""
        changes: dict[str, str] = {}
        details: list[Detail] = []
        checks = self._definitions.checks
        for name, value in properties.items():
            check = checks.get(name)
            if check is text and isinstance(value, str) and len(value) <= LENGTH_MAX:
                changes[name] = value  # most values by far, so without a call
            elif check is None:
                details.append(self._unwritable(name))
            elif value is not None:
                written = value if isinstance(value, str) else _as_text(value)
                try:
                    changes[name] = check(written) if written else ""
                except NotValid as error:
                    details.append(Detail(error.code, str(error), name))
        return changes, details

    def _unwritable(self, name: str) -> Detail:
        if name in self._definitions.live:
            message = f'"{name}" is a read only property; its value cannot be set.'
            return Detail("READ_ONLY_VALUE", message, name)
        return Detail("PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist', name)

    def _missing(self, before: Mapping[str, str], changes: Mapping[str, str], *, new: bool) -> list[Detail]:
        kind = self._records.kind
        details: list[Detail] = []
        if new and not any(changes.get(name) for name in kind.identity):
            message = f"A {kind.singular.lower()} needs at least one of: {', '.join(kind.identity)}"
            details.append(Detail("REQUIRED_FIELD", message, kind.identity[0]))
        if not self._admin_rules:
            return details
        for name in self._portal.required.get(kind.plural, ()):
            if (new and not changes.get(name)) or changes.get(name) == "":
                message = f"Property {name} is required by this account"
                details.append(Detail("MISSING_REQUIRED_PROPERTY", message, name))
        after = {**before, **changes}
        for rule in self._portal.conditional:
            if rule.kind == kind.plural and after.get(rule.when) == rule.equals and not after.get(rule.requires):
                message = f"Property {rule.requires} is required when {rule.when} is {rule.equals}"
                details.append(Detail("MISSING_CONDITIONAL_REQUIRED_PROPERTY", message, rule.requires))
        return details

    def _clash(self, record_id: str, changes: Mapping[str, str]) -> Trouble | None:
        """Return why a unique value cannot be this record's; else it is claimed for the rest of the batch."""
        claims = [(name, changes[name]) for name in self._definitions.unique if changes.get(name)]
        for claim in claims:
            owner = self._claimed.get(claim) or self._records.owner_of(*claim)
            if owner not in {None, record_id}:
                return self._taken(*claim, str(owner))
        for claim in claims:
            self._claimed[claim] = record_id
        return None

    def _taken(self, name: str, value: str, owner: str) -> Trouble:
        if name == "email":
            message = f"{self._records.kind.singular} already exists. Existing ID: {owner}"
            return Trouble(CONFLICT, message, context={"existingId": [owner]})
        message = f"{value} is already the value of {name} of another record"
        return invalid("CONFLICTING_UNIQUE_VALUE", message, name)


def _as_text(value: float) -> str:
    """Return a JSON number as HubSpot keeps it: a whole one without a fraction."""
    return str(int(value)) if isinstance(value, int) or value.is_integer() else str(value)
