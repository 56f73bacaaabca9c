"""The configuration as people and editors read it: masked values, and a JSON Schema of all keys."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from stibgate.config.masks import SECRET_KEYS, mask
from stibgate.config.model import Settings
from stibgate.config.shape import dotted


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting as it is shown.

    Attributes:
        table: The table that it stands in, `sources.jobs`.
        value: As it would stand in the file.
        origin: Where it came from.
    """

    table: str
    key: str
    value: str
    origin: str


_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def masked(settings: Settings) -> dict[str, Any]:
    """Return *settings* as a JSON document with units in its durations and fingerprints for its secrets."""
    document = settings.model_dump(mode="json", exclude_none=True)
    # What a sink from elsewhere declares as a secret, or only calls one, has no serialiser of ours.
    document["sinks"] = {name: _masked(settings.sinks[name], sink) for name, sink in document["sinks"].items()}
    return document


def _masked(value: Any, shown: Any, key: str = "") -> Any:
    """Return *shown*, the JSON of *value* which stands under *key*, with fingerprints for its secrets."""
    if isinstance(value, SecretStr | SecretBytes):
        secret = value.get_secret_value()
        return mask(secret if isinstance(secret, str) else secret.hex())
    if isinstance(value, str) and key in SECRET_KEYS:
        return mask(value)
    if isinstance(value, BaseModel):
        fields = type(value).model_fields.items()
        value = {key: getattr(value, name) for name, field in fields for key in (name, field.serialization_alias)}
    if isinstance(value, Mapping) and isinstance(shown, dict):
        return {name: _masked(value.get(name), below, name) for name, below in shown.items()}
    if isinstance(value, Sequence) and isinstance(shown, list) and len(value) == len(shown):
        return [_masked(item, below, key) for item, below in zip(value, shown, strict=True)]
    return shown


def as_text(document: Mapping[str, Any]) -> str:
    """Return a document of `masked` in the shape of the configuration file.

    Every line is TOML, but for the fingerprints it would be a file to load.
    """
    return "\n".join(_table((), document)).strip() + "\n"


def setting_rows(settings: Settings) -> list[SettingRow]:
    """Return every setting that applies, in the order of the file, with secrets as fingerprints."""
    return [
        SettingRow(dotted(path[:-1]), path[-1], _value(value), settings.origins.of(path))
        for path, value in _leaves((), masked(settings))
    ]


def _leaves(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        if not isinstance(value, dict):
            yield (*path, key), value
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves((*path, key), value)


def json_schema() -> dict[str, Any]:
    """Return a JSON Schema (2020-12) of the file, with the defaults written as in the file.

    It takes every kind of sink that is built in or installed.
    """
    schema = Settings.model_json_schema(schema_generator=_Schema)
    _without_prose(schema)
    return {"$schema": _DRAFT, **schema, "title": "stibgate config.toml"}


class _Schema(GenerateJsonSchema):
    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Return the schema of a model, with text with a unit ("5m") where the program has a number (300.0)."""
        node = super().model_schema(schema)
        defaults = schema["cls"].model_construct().model_dump(mode="json", warnings=False)
        for key, node_of_key in node.get("properties", {}).items():
            _without_null(node_of_key)
            if "default" not in node_of_key:
                continue
            default = defaults.get(key)
            if default is None or isinstance(default, dict):
                del node_of_key["default"]
            else:
                node_of_key["default"] = default
        return node


def _without_null(node: dict[str, Any]) -> None:
    """Take out null, which TOML has not: an unset key is left out."""
    options = [option for option in node.pop("anyOf", ()) if option != {"type": "null"}]
    node.update(options[0] if len(options) == 1 else {"anyOf": options} if options else {})


def _without_prose(node: Any) -> None:
    """Take out titles, which only repeat the keys."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        for value in node.values():
            _without_prose(value)
    elif isinstance(node, list):
        for value in node:
            _without_prose(value)


def _table(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    keys = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if keys:
        if path:
            yield f"\n[{dotted(path)}]"
        for key, value in keys.items():
            yield f"{key} = {_value(value)}"
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _table((*path, key), value)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_value(item)}' for key, item in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)
