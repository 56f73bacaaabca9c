"""Property definitions: what each kind has from the start, and what a client adds.

Source: properties guide; `types/shared/property` of the official Python client for the members.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stibgate.sandbox.hubspot import values
from stibgate.sandbox.hubspot.catalogue import BUILT_IN, LIFECYCLE_STAGES, Row
from stibgate.sandbox.hubspot.kinds import Kind
from stibgate.sandbox.hubspot.portal import Portal
from stibgate.sandbox.hubspot.refusals import Refused

UNIQUE_MAX = 10
"""Properties with unique values that a client may add to one kind."""

_CHECKS: Mapping[str, values.Check] = {
    "string": values.text,
    "number": values.number,
    "bool": values.boolean,
    "date": values.moment,
    "datetime": values.moment,
    "phone_number": values.phone,
}


@dataclass(frozen=True, slots=True)
class Option:
    """One allowed value of an enumeration."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Definition:
    """One property of one kind; the members are the document's, in our spelling."""

    name: str
    label: str
    type: str
    field_type: str
    group: str
    options: tuple[Option, ...] = ()
    unique: bool = False
    read_only: bool = False
    built_in: bool = False
    external_options: bool = False
    archived_at: str | None = None
    created_at: str = "2020-01-01T00:00:00.000Z"
    more: Mapping[str, Any] = field(default_factory=dict)
    check: values.Check = values.text

    def document(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        shown = {
            "updatedAt": self.created_at,
            "createdAt": self.created_at,
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "description": "",
            "groupName": self.group,
            "options": [
                {"label": option.label, "value": option.value, "displayOrder": i, "hidden": False}
                for i, option in enumerate(self.options)
            ],
            "displayOrder": -1,
            "calculated": False,
            "externalOptions": self.external_options,
            "archived": self.archived_at is not None,
            "hasUniqueValue": self.unique,
            "hidden": False,
            "hubspotDefined": self.built_in,
            "modificationMetadata": {
                "archivable": not self.built_in,
                "readOnlyDefinition": self.built_in,
                "readOnlyValue": self.read_only,
            },
            "formField": not self.read_only,
            "dataSensitivity": "non_sensitive",
            **self.more,
        }
        return shown if self.archived_at is None else {**shown, "archivedAt": self.archived_at}


class Definitions:
    """All properties and property groups of one kind.

    Attributes:
        live: By name, what there is.
        checks: By name, how a value is checked and kept; what may not be written has none.
        archived: By name, what was archived and would come back.
        groups: Name to label.
        unique: The names whose values belong to one record each; a contact's `email` is among them, although its
            definition does not say so.
    """

    def __init__(self, kind: Kind, portal: Portal) -> None:
        self.kind = kind
        owners = tuple(portal.owners.values())
        self.live = {row.name: _built_in(row, kind, owners) for row in BUILT_IN[kind.plural]}
        self.checks = {name: definition.check for name, definition in self.live.items() if not definition.read_only}
        self.archived: dict[str, Definition] = {}
        information = f"{kind.singular.lower()}information"
        self.groups = {information: f"{kind.singular} information"}
        self.unique = {"email"} if "email" in self.live else set()

    def refuse(self, new: Definition) -> None:
        """Refuse what cannot be added.

        Raises:
            Refused: 409 when the name is taken; 400 when the group is not there, or there are too many unique ones.
        """
        if new.name in self.live:
            raise Refused(
                409,
                f"A property named '{new.name}' already exists.",
                "OBJECT_ALREADY_EXISTS",
                subCategory="Properties.PROPERTY_WITH_NAME_EXISTS",
            )
        if new.group not in self.groups:
            raise Refused(400, f"Property group '{new.group}' does not exist")
        added = sum(definition.unique and not definition.built_in for definition in self.live.values())
        if new.unique and added >= UNIQUE_MAX:
            raise Refused(400, f"At most {UNIQUE_MAX} properties of an object may have unique values")

    def add(self, new: Definition, at: str) -> Definition:
        """Return the definition that is live afterwards: an archived one of that name comes back as it was.

        Raises:
            Refused: 409 or 400, as `refuse` says.
        """
        old = self.archived.get(new.name)
        definition = replace(old, archived_at=None) if old else replace(new, created_at=at, check=_check_of(new))
        self.refuse(definition)
        self.archived.pop(new.name, None)
        self.live[definition.name] = definition
        self.checks[definition.name] = definition.check
        if definition.unique:
            self.unique.add(definition.name)
        return definition

    def archive(self, name: str, at: str) -> None:
        """Move *name* to the archive; the values stay with their records and come back with it.

        Raises:
            Refused: 404 when there is no such property, 400 when it is HubSpot's own.
        """
        definition = self.live.get(name)
        if definition is None:
            raise Refused(404, f"Property {name} does not exist", "OBJECT_NOT_FOUND")
        if definition.built_in:
            raise Refused(400, f"Property {name} cannot be archived")
        del self.live[name], self.checks[name]
        self.unique.discard(name)
        self.archived[name] = replace(definition, archived_at=at)


def _built_in(row: Row, kind: Kind, owners: tuple[str, ...]) -> Definition:
    external = row.name == "hubspot_owner_id"
    definition = Definition(
        name=row.name,
        label=row.label,
        type=row.type,
        field_type=row.field_type,
        group=f"{kind.singular.lower()}information",
        options=tuple(Option(label, value) for value, label in row.options),
        unique=row.name == "hs_object_id",
        read_only=row.read_only,
        built_in=True,
        external_options=external,
    )
    if external:
        return replace(definition, check=values.one_of(owners))
    return replace(definition, check=values.email if row.name == "email" else _check_of(definition))


def _check_of(definition: Definition) -> values.Check:
    if definition.type != "enumeration":
        return _CHECKS[definition.type]
    allowed = tuple(option.value for option in definition.options)
    return values.several_of(allowed) if definition.field_type == "checkbox" else values.one_of(allowed)


def is_step_back(old: str, new: str) -> bool:
    """Return whether *new* is an earlier lifecycle stage than *old*; clearing it is none."""
    stages = LIFECYCLE_STAGES
    return old in stages and new in stages and stages.index(new) < stages.index(old)
