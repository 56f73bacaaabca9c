"""Property definitions and groups: list, read, create, archive.

Source: properties guide; a conformance run against a live account (409 and restoring, as recorded by its author).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from stibgate.sandbox.hubspot.answers import Answer, Call, batch
from stibgate.sandbox.hubspot.bodies import Body, Inputs, Text, read, read_batch, refuse_duplicates
from stibgate.sandbox.hubspot.border import Border
from stibgate.sandbox.hubspot.definitions import Definition, Option
from stibgate.sandbox.hubspot.paths import BY_NAME, PROPERTIES
from stibgate.sandbox.hubspot.records import Records
from stibgate.sandbox.hubspot.refusals import NOT_FOUND, Refused

_FIELDS: Mapping[str, frozenset[str]] = {
    "string": frozenset({"text", "textarea", "phonenumber", "html", "file", "calculation_equation"}),
    "number": frozenset({"number", "calculation_equation"}),
    "bool": frozenset({"booleancheckbox", "calculation_equation"}),
    "date": frozenset({"date"}),
    "datetime": frozenset({"date"}),
    "enumeration": frozenset({"select", "radio", "checkbox", "booleancheckbox", "calculation_equation"}),
    "phone_number": frozenset({"phonenumber"}),
}
"""Which field types a type may have."""


class NewOption(Body):
    """One value of a new enumeration."""

    label: Text
    value: Text
    hidden: bool = False
    displayOrder: int = -1  # noqa: N815
    description: str = ""


class NewProperty(Body):
    """The body of a property's creation."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
    label: Text
    type: Literal["bool", "date", "datetime", "enumeration", "number", "phone_number", "string"]
    fieldType: Text  # noqa: N815
    groupName: Text  # noqa: N815
    description: str = ""
    options: list[NewOption] = Field(default_factory=list)
    hasUniqueValue: bool = False  # noqa: N815
    hidden: bool = False
    formField: bool = False  # noqa: N815
    displayOrder: int = -1  # noqa: N815
    externalOptions: bool = False  # noqa: N815
    dataSensitivity: Literal["highly_sensitive", "non_sensitive", "sensitive"] = "non_sensitive"  # noqa: N815
    textDisplayHint: str | None = None  # noqa: N815
    numberDisplayHint: str | None = None  # noqa: N815
    showCurrencySymbol: bool | None = None  # noqa: N815
    currencyPropertyName: str | None = None  # noqa: N815
    calculationFormula: str | None = None  # noqa: N815
    referencedObjectType: str | None = None  # noqa: N815


class NewProperties(Body):
    """A batch of new properties."""

    inputs: Inputs[NewProperty]


class Name(Body):
    """A property's name."""

    name: Text


class Names(Body):
    """Properties to read; `archived` is required by the published document."""

    archived: bool
    inputs: Inputs[Name]
    dataSensitivity: Literal["highly_sensitive", "non_sensitive", "sensitive"] = "non_sensitive"  # noqa: N815


class NewGroup(Body):
    """The body of a group's creation."""

    name: Text
    label: Text
    displayOrder: int = -1  # noqa: N815


class Properties:
    """The properties of both kinds."""

    def __init__(self, records: Mapping[str, Records]) -> None:
        self._records = records

    def routes(self, border: Border) -> list[web.RouteDef]:
        """Return the endpoints of this room."""
        may_read = "crm.objects.{kind}.read|crm.schemas.{kind}.read"
        may_write = "crm.schemas.{kind}.write"
        groups = PROPERTIES + "/groups"
        return [
            web.post(PROPERTIES + "/batch/read", border.door(self._read, may_read)),
            web.post(PROPERTIES + "/batch/create", border.door(self._create_batch, may_write)),
            web.get(groups, border.door(self._groups, may_read), allow_head=False),
            web.post(groups, border.door(self._create_group, may_write)),
            web.get(PROPERTIES, border.door(self._list, may_read), allow_head=False),
            web.post(PROPERTIES, border.door(self._create, may_write)),
            web.get(BY_NAME, border.door(self._get, may_read), allow_head=False),
            web.delete(BY_NAME, border.door(self._archive, may_write)),
        ]

    def _list(self, call: Call) -> Answer:
        definitions = self._of(call).definitions
        found = definitions.archived if call.archived else definitions.live
        return Answer(200, {"results": [definition.document() for definition in found.values()]})

    def _get(self, call: Call) -> Answer:
        definitions = self._of(call).definitions
        definition = (definitions.archived if call.archived else definitions.live).get(call.params["name"])
        if definition is None:
            raise Refused(404, f"Property {call.params['name']} does not exist", NOT_FOUND)
        return Answer(200, definition.document())

    def _create(self, call: Call) -> Answer:
        records = self._of(call)
        new = _definition(read(call.body, NewProperty))
        return Answer(201, records.definitions.add(new, records.timestamp()).document())

    def _create_batch(self, call: Call) -> Answer:
        records = self._of(call)
        new = [_definition(each) for each in read_batch(call.body, NewProperties).inputs]
        refuse_duplicates([each.name for each in new])
        for each in new:
            records.definitions.refuse(each)
        at = records.timestamp()
        return batch([records.definitions.add(each, at).document() for each in new], at, status=201)

    def _read(self, call: Call) -> Answer:
        records = self._of(call)
        asked = read_batch(call.body, Names)
        definitions = records.definitions
        there = definitions.archived if asked.archived else definitions.live
        names = [each.name for each in asked.inputs]
        results = [there[name].document() for name in names if name in there]
        missing = [name for name in names if name not in there]
        if not missing:
            return batch(results, records.timestamp())
        message = f"Could not get some properties, they may be archived or not exist: {', '.join(missing)}"
        error = {"status": "error", "category": NOT_FOUND, "message": message, "context": {"name": missing}}
        return batch(results, records.timestamp(), [error])

    def _archive(self, call: Call) -> Answer:
        records = self._of(call)
        records.definitions.archive(call.params["name"], records.timestamp())
        return Answer(204, None)

    def _groups(self, call: Call) -> Answer:
        return Answer(200, {"results": [_group(*pair) for pair in self._of(call).definitions.groups.items()]})

    def _create_group(self, call: Call) -> Answer:
        asked = read(call.body, NewGroup)
        groups = self._of(call).definitions.groups
        if asked.name in groups:
            message = f"A property group named '{asked.name}' already exists."
            raise Refused(409, message, "OBJECT_ALREADY_EXISTS", subCategory="Properties.GROUP_WITH_NAME_EXISTS")
        groups[asked.name] = asked.label
        return Answer(201, _group(asked.name, asked.label))

    def _of(self, call: Call) -> Records:
        return self._records[call.kind.plural]


def _definition(asked: NewProperty) -> Definition:
    if asked.fieldType not in _FIELDS[asked.type]:
        raise Refused(400, f"fieldType {asked.fieldType} does not go with type {asked.type}")
    if asked.type == "enumeration" and not asked.options:
        raise Refused(400, "A property of type enumeration needs options")
    return Definition(
        name=asked.name,
        label=asked.label,
        type=asked.type,
        field_type=asked.fieldType,
        group=asked.groupName,
        options=tuple(Option(option.label, option.value) for option in asked.options),
        unique=asked.hasUniqueValue,
        more={"hidden": asked.hidden, "formField": asked.formField, "description": asked.description},
    )


def _group(name: str, label: str) -> dict[str, Any]:
    return {"name": name, "label": label, "displayOrder": -1, "archived": False}
