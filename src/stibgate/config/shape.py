"""What the model allows at a key path, and what text becomes there.

The environment, files of secrets and systemd credentials hold only text, and name a key by one string. The
model itself says what each key takes; nothing is listed a second time here.
"""

import difflib
import re
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr

from stibgate.config import kinds
from stibgate.config.masks import SECRET_KEYS
from stibgate.config.model import Settings

Path = Sequence[str | int]
Names = Mapping[str, Mapping[str, str]]
"""For each table of names (`sources`, `sinks`, `budgets`) the names in it, each with its `kind`, empty without one.

What a sink takes hangs on its kind; where that is unknown every key may be one of its.
"""

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def names_in(tree: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the sources, sinks and budgets of *tree*, with their kinds."""
    tables = {table: tree.get(table) for table in ("sources", "sinks", "budgets")}
    return {
        table: {name: _kind(entry) for name, entry in entries.items()} if isinstance(entries, dict) else {}
        for table, entries in tables.items()
    }


def is_leaf(path: Path, names: Names) -> bool:
    """Return whether *path* is a key that takes a value, not a table and not unknown."""
    found = _at(path, names)
    return bool(found) and not any(_is_table(annotation) for annotation in found)


def is_secret(path: Path, names: Names) -> bool:
    """Return whether what stands at *path* is a secret: by the name of its key, or because the model says so."""
    steps = [annotation for end in range(1, len(path) + 1) for annotation in _at(path[:end], names)]
    named = any(part in SECRET_KEYS for part in path) and path[-1] != "not_after"
    return named or any(_holds_secret(annotation) for annotation in steps if not _is_model(annotation))


def known_keys(path: Path, names: Names) -> tuple[str, ...]:
    """Return the keys that the table at *path* takes; empty when it takes any name, or is no table."""
    return tuple(
        field.alias or key
        for annotation in _at(path, names)
        if _is_model(annotation)
        for key, field in annotation.model_fields.items()
    )


def choices(path: Path, names: Names) -> tuple[str, ...]:
    """Return the closed list of words that the key at *path* takes; empty when it is not such a key."""
    found = (annotation for annotation in _at(path, names) if get_origin(annotation) is Literal)
    return tuple(word for annotation in found for word in get_args(annotation))


def closest(key: str, known: Iterable[str]) -> str:
    """Return the one of *known* that *key* was probably meant to be, or an empty string."""
    return next(iter(difflib.get_close_matches(key, list(known), n=1, cutoff=0.6)), "")


def all_leaves(names: Names) -> list[tuple[str, ...]]:
    """Return the path of every key that takes a value.

    Args:
        names: For each table of names (`sources`, `sinks`) the names to list keys for.
    """
    return list(_leaves((), Settings, names))


def from_text(path: Path, text: str, names: Names) -> object:
    """Return *text* as the key at *path* takes it: a list, true or false, a whole number, or the text.

    Secrets come one per line. Other lists come one per line, comma-separated, or as a TOML array. Text that
    does not fit is returned as it is: validation then says what is allowed.
    """
    for annotation in _at(path, names):
        if get_origin(annotation) in (tuple, list):
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


def _kind(entry: object) -> str:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    return kind if isinstance(kind, str) else ""


def _leaves(path: tuple[str, ...], model: type[BaseModel], names: Names) -> Iterator[tuple[str, ...]]:
    for key, field in model.model_fields.items():
        for annotation in _alternatives(field.annotation):
            below = (*path, key)
            if _is_model(annotation):
                yield from _leaves(below, annotation, names)
            elif get_origin(annotation) is dict:
                for name in names.get(key, ()):
                    for item in _items((*below, name), annotation, names):
                        yield from _leaves((*below, name), item, names) if _is_model(item) else ()
            else:
                yield below


def _at(path: Path, names: Names) -> list[Any]:
    found: list[Any] = [Settings]
    for end in range(1, len(path) + 1):
        found = [below for annotation in found for below in _below(annotation, path[:end], names)]
    return found


def _below(annotation: Any, path: Path, names: Names) -> Iterator[Any]:
    """Yield what *annotation*, which stands above the last part of *path*, allows there."""
    part = path[-1]
    if annotation is Any:
        yield Any
    elif _is_model(annotation):
        for key, field in annotation.model_fields.items():
            if part == (field.alias or key):
                yield from _alternatives(field.annotation)
    elif get_origin(annotation) is dict:
        yield from _items(path, annotation, names)
    elif get_origin(annotation) in (tuple, list) and isinstance(part, int):
        yield from _alternatives(get_args(annotation)[0])


def _items(path: Path, annotation: Any, names: Names) -> Iterator[Any]:
    """Yield what the table *annotation* holds at *path*; `Any` for a sink of unknown kind."""
    if len(path) == 2 and path[0] == "sinks":
        yield kinds.find(names.get("sinks", {}).get(str(path[1]))) or Any
    else:
        yield from _alternatives(get_args(annotation)[1])


def _alternatives(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member)
    elif annotation is not type(None):
        yield annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_table(annotation: Any) -> bool:
    return get_origin(annotation) is dict or _is_model(annotation)


def _holds_secret(annotation: Any) -> bool:
    secret = isinstance(annotation, type) and issubclass(annotation, SecretStr | SecretBytes)
    return secret or any(_holds_secret(below) for below in get_args(annotation))
