"""What is different between two configurations, and what of it a running service can take up."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from stibgate.config.model import Settings
from stibgate.config.shape import dotted

_Path = tuple[str, ...]

RELOADABLE: tuple[_Path, ...] = (
    ("server", "public_url"),
    ("server", "trusted_proxies"),
    ("server", "max_body"),
    ("server", "body_timeout"),
    ("server", "drain_timeout"),
    ("server", "limits"),
    ("storage", "min_free"),
    ("storage", "retention"),
    ("sources",),
    ("normalise",),
    ("sinks",),
    ("routes",),
    ("delivery",),
    ("stibnite",),
    ("thehog",),
    ("budgets",),
    ("console",),
    ("log", "level"),
)
"""Keys, and tables with all their keys, that a reload changes. Whatever is not named here needs a restart."""


def changes(old: Settings, new: Settings) -> list[_Path]:
    """Return the path of every key that differs; of a source, sink or budget that came or went, the table's."""
    return list(_differences((), old, new))


def needing_restart(changed: Iterable[_Path]) -> list[_Path]:
    """Return those of *changed* that a reload cannot change."""
    return [path for path in changed if not any(path[: len(known)] == known for known in RELOADABLE)]


def restart_only() -> list[str]:
    """Return every key that a reload cannot change, as people write it."""
    return [dotted(path) for path in needing_restart(_keys((), Settings))]


def _keys(path: _Path, model: type[BaseModel]) -> Iterator[_Path]:
    for key, field in model.model_fields.items():
        below = field.annotation
        if isinstance(below, type) and issubclass(below, BaseModel):
            yield from _keys((*path, key), below)
        else:
            yield (*path, key)


def _differences(path: _Path, old: Any, new: Any) -> Iterator[_Path]:
    if isinstance(old, BaseModel) and type(old) is type(new):
        for key, field in type(old).model_fields.items():
            yield from _differences((*path, field.alias or key), getattr(old, key), getattr(new, key))
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _differences((*path, str(key)), old.get(key), new.get(key))
    elif old != new:
        yield path
