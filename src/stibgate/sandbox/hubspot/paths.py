"""The paths that the rooms have in common: two date versions, and objects by name or by number."""

VERSION = "{version:2026-0[39]}"
KIND = "{kind:contacts|companies|0-1|0-2}"
OBJECTS = f"/crm/objects/{VERSION}/{KIND}"
PROPERTIES = f"/crm/properties/{VERSION}/{KIND}"
BY_ID = r"/{id:\d+}"
BY_NAME = PROPERTIES + "/{name:(?!groups$)[^/]+}"
ASSOCIATIONS = f"/crm/associations/{VERSION}/{KIND}/{{to:contacts|companies|0-1|0-2}}"
