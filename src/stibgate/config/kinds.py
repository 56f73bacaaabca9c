"""The kinds of sink: those built in, and those that other packages bring.

A package brings one by an entry point of the group `stibgate.sinks`: its name is the kind, its value a subclass of
`stibgate.sinks.settings.SinkSettings`. Nothing is imported before a configuration names its kind, and installed
packages are looked through only when a kind is not built in.
"""

import importlib
import inspect
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Annotated, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, PydanticKnownError
from pydantic_core.core_schema import CoreSchema, no_info_plain_validator_function

from stibgate.sinks.settings import SinkSettings

BUILT_IN: Mapping[str, str] = {
    "csv": "stibgate.sinks.drops:DropSettings",
    "ndjson": "stibgate.sinks.drops:DropSettings",
    "hubspot": "stibgate.sinks.hubspot.settings:HubspotSettings",
    "webhook": "stibgate.sinks.webhook.settings:WebhookSettings",
}
"""Kind -> the settings of such a sink, as `module:class`."""

GROUP = "stibgate.sinks"
WRONG_KIND = "sink_kind"
"""The type of pydantic's error when there is no such kind; its context has the `words` of the problem."""

SettingsClass = type[SinkSettings]


@cache  # what was raised is not kept
def settings_class(kind: str) -> SettingsClass:
    """Return the settings of a sink of *kind*, imported now.

    Raises:
        ValueError: There is no such kind, or the package that brings it is not fit to; in plain words.
    """
    if kind not in BUILT_IN:
        return _plug_in(kind)
    module, _, attribute = BUILT_IN[kind].partition(":")
    found: SettingsClass = getattr(importlib.import_module(module), attribute)
    return found


def find(kind: object) -> SettingsClass | None:
    """Return the settings of a sink of *kind*, or None where `settings_class` says why not."""
    try:
        return settings_class(kind) if isinstance(kind, str) else None
    except ValueError:
        return None


def classes() -> list[SettingsClass]:
    """Return the settings of every kind that can be used, each once."""
    return list(dict.fromkeys(found for kind in (*BUILT_IN, *installed()) if (found := find(kind)) is not None))


def installed() -> list[str]:
    """Return the kinds that other packages bring, sorted, fit or not."""
    return sorted({point.name for point in _entry_points()} - BUILT_IN.keys())


def notices() -> list[str]:
    """Return what is wrong with installed packages, whether a sink of their kind is configured or not."""
    found = []
    for point in sorted(_entry_points(), key=lambda point: point.name):
        if point.name in BUILT_IN:
            found.append(f"{_package(point)} brings the sink kind {point.name!r}, which is built in: it is not used")
            continue
        try:
            settings_class(point.name)
        except ValueError as error:
            found.append(f"sink kind {point.name!r}: {error}")
    return list(dict.fromkeys(found))


def all_kinds() -> str:
    """Return the kinds that there are, in words."""
    plug_ins = installed()
    return ", ".join(BUILT_IN) + (f", and installed {', '.join(plug_ins)}" if plug_ins else "")


def _plug_in(kind: str) -> SettingsClass:
    points = [point for point in _entry_points() if point.name == kind]
    if not points:
        # Late: it is only there to write a message, and reads the model, which this file is part of.
        from stibgate.config.shape import closest  # noqa: PLC0415

        guess = closest(kind, [*BUILT_IN, *installed()])
        raise ValueError(f"no such kind; {f'did you mean {guess}? ' if guess else ''}there are {all_kinds()}")
    if len(points) > 1:
        raise ValueError(f"{' and '.join(map(_package, points))} both bring this kind; uninstall one of them")
    [point] = points
    try:
        found = point.load()
    except Exception as error:  # noqa: BLE001  (somebody else's code may raise anything)
        # Not its text: it may hold anything. `python -c` shows all of it to whoever wants to know.
        shown = f'`python -c "import {point.module}"` shows where'
        raise ValueError(f"{_package(point)} cannot be loaded: {type(error).__name__}; {shown}") from None
    complaint = _complaint(found, kind)
    if complaint:
        raise ValueError(f"{_package(point)}: {point.value} {complaint}")
    fit: SettingsClass = found
    return fit


def _complaint(found: object, kind: str) -> str:
    """Return why *found* cannot be the settings of a sink of *kind*, or an empty string."""
    if not isinstance(found, type) or not issubclass(found, SinkSettings):
        return "is not a subclass of stibgate.sinks.settings.SinkSettings"
    if inspect.isabstract(found):
        return "has no build()"
    field = found.model_fields.get("kind")
    if field is None or kind not in get_args(field.annotation):
        return f'needs the key `kind: Literal["{kind}"]`'
    return ""


def _entry_points() -> EntryPoints:
    return entry_points(group=GROUP)


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else str(point.module)


def _settings_of(value: object) -> SinkSettings:
    """Return the settings that *value*, a table with a `kind`, asks for."""
    if isinstance(value, SinkSettings):
        return value
    if not isinstance(value, dict):
        raise PydanticKnownError("dict_type")
    if "kind" not in value:
        raise _wrong_kind(f"is required: one of {all_kinds()}")
    if not isinstance(value["kind"], str):
        raise _wrong_kind(f"must be one of {all_kinds()}")
    try:
        found = settings_class(value["kind"])
    except ValueError as error:
        raise _wrong_kind(str(error)) from None
    try:
        return found.model_validate(value)
    except ValidationError:
        raise
    except Exception as error:  # noqa: BLE001  (somebody else's validators; what they raised may hold a secret)
        raise _wrong_kind(f"its package cannot read these keys: {type(error).__name__}") from None


def _wrong_kind(words: str) -> PydanticCustomError:
    return PydanticCustomError(WRONG_KIND, "{words}", {"words": words})


class _ByKind:
    """Makes the settings of a sink from its table, and says in a JSON Schema what every kind takes."""

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_plain_validator_function(_settings_of)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(found.__pydantic_core_schema__) for found in classes()]}


AnySink = Annotated[SinkSettings, _ByKind()]
"""The settings of a sink of whatever kind its `kind` names."""
