"""What the model allows at a key path, and what text becomes there.

The environment, files of secrets and systemd credentials hold only text, and name a key by one string. The
model itself says what each key takes; nothing is listed a second time here.
"""

import difflib
import re
import tomllib
import types
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from stibgate.config.masks import SECRET_KEYS
from stibgate.config.model import Settings

Path = Sequence[str | int]
Names = Mapping[str, Collection[str]]

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def is_leaf(path: Path) -> bool:
    """Return whether *path* is a key that takes a value, not a table and not unknown."""
    found = _at(path)
    return bool(found) and not any(_is_table(annotation) for annotation in found)


def known_keys(path: Path) -> tuple[str, ...]:
    """Return the keys that the table at *path* takes; empty when it takes any name, or is no table."""
    return tuple(
        key
        for annotation in _at(path)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel)
        for key in annotation.model_fields
    )


def choices(path: Path) -> tuple[str, ...]:
    """Return the closed list of words that the key at *path* takes; empty when it is not such a key."""
    return tuple(word for annotation in _at(path) if get_origin(annotation) is Literal for word in get_args(annotation))


def closest(key: str, known: Iterable[str]) -> str:
    """Return the one of *known* that *key* was probably meant to be, or an empty string."""
    return next(iter(difflib.get_close_matches(key, list(known), n=1, cutoff=0.6)), "")


def all_leaves(names: Names) -> list[tuple[str, ...]]:
    """Return the path of every key that takes a value.

    Args:
        names: For each table of names (`sources`, `sinks`) the names to list keys for.
    """
    return list(_leaves((), Settings, names))


def from_text(path: Path, text: str) -> object:
    """Return *text* as the key at *path* takes it: a list, true or false, a whole number, or the text.

    Secrets come one per line. Other lists come one per line, comma-separated, or as a TOML array. Text that
    does not fit is returned as it is: validation then says what is allowed.
    """
    for annotation in _at(path):
        if get_origin(annotation) is tuple:
            return _list(text, secret=path[-1] in SECRET_KEYS)
        if annotation is bool and text.strip().lower() in {"true", "false"}:
            return text.strip().lower() == "true"
        if annotation is int and _WHOLE.fullmatch(text.strip()):
            return int(text)
    return text


def dotted(path: Path) -> str:
    """Return *path* as a person writes it: `sources.jobs.secrets[0]`, odd keys in quotes."""
    result = ""
    for part in path:
        if isinstance(part, int):
            result += f"[{part}]"
        else:
            key = part if _BARE_KEY.fullmatch(part) else repr(part)
            result += f".{key}" if result else key
    return result


def _list(text: str, *, secret: bool) -> object:
    if not secret and text.lstrip().startswith("["):
        try:
            return tomllib.loads(f"list = {text}")["list"]
        except tomllib.TOMLDecodeError:
            return text
    items = text.splitlines() if secret else re.split(r"[,\n]", text)
    return [item.strip() for item in items if item.strip()]


def _leaves(path: tuple[str, ...], model: type[BaseModel], names: Names) -> Iterator[tuple[str, ...]]:
    for key, field in model.model_fields.items():
        for annotation in _alternatives(field.annotation):
            below = (*path, key)
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                yield from _leaves(below, annotation, names)
            elif get_origin(annotation) is dict:
                for name in names.get(key, ()):
                    for item in _alternatives(get_args(annotation)[1]):
                        yield from _leaves((*below, name), item, names)
            else:
                yield below


def _at(path: Path) -> list[Any]:
    found: list[Any] = [Settings]
    for part in path:
        found = [below for annotation in found for below in _below(annotation, part)]
    return found


def _below(annotation: Any, part: str | int) -> Iterator[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(part))
        if field is not None:
            yield from _alternatives(field.annotation)
    elif get_origin(annotation) is dict:
        yield from _alternatives(get_args(annotation)[1])
    elif get_origin(annotation) is tuple and isinstance(part, int):
        yield from _alternatives(get_args(annotation)[0])


def _alternatives(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member)
    elif annotation is not type(None):
        yield annotation


def _is_table(annotation: Any) -> bool:
    return get_origin(annotation) is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel))


def models() -> list[type[BaseModel]]:
    """Return every model of the settings, the root first."""
    found: list[type[BaseModel]] = []
    queue: list[Any] = [Settings]
    while queue:
        annotation = queue.pop(0)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if annotation not in found:
                found.append(annotation)
                queue += [below for key in annotation.model_fields for below in _below(annotation, key)]
        elif get_origin(annotation) in (dict, tuple):
            queue += [below for item in get_args(annotation) for below in _alternatives(item)]
    return found
