"""Where settings come from, in order: flags, environment, files it names, systemd credentials, TOML, defaults.

Each source is one `Layer`: a tree of plain values, and the place of each. pydantic-settings merges them; the
places let a problem name the file and line, or the variable, of the very value that is wrong.
"""

import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from stibgate.config import shape
from stibgate.config.lines import KeyPath, key_lines
from stibgate.config.masks import SECRET_KEYS
from stibgate.errors import PermissionRefused, Problem

PREFIX = "STIBGATE_"
CONFIG_VARIABLE = "STIBGATE_CONFIG"
TOKEN_VARIABLE = "STIBGATE_TOKEN_FILE"  # noqa: S105  (where a command finds its admin token)
SYSTEM_FILE = Path("/etc/stibgate/config.toml")

ENVIRONMENT = "environment"
CREDENTIALS = "credentials"
FLAGS = "flags"

_FILE = "_FILE"
_SECRET_FILE_BYTES_MAX = 1 << 20


class Place(NamedTuple):
    """Where a value stands.

    Attributes:
        where: `config.toml:92`, `environment`, `credentials` or `flags`.
        name: What it is called there when that is not its key path: a variable.
        line: The line in the file; 0 elsewhere.
    """

    where: str
    name: str = ""
    line: int = 0


@dataclass
class Found:
    """What reading the sources brought to light besides values."""

    problems: list[Problem] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    hint: str = ""


class Layer(PydanticBaseSettingsSource):
    """One source of settings: a tree of values, and the place of each."""

    def __init__(self, where: str) -> None:
        super().__init__(_Merged)
        self.where = where
        self.tree: dict[str, Any] = {}
        self.places: dict[KeyPath, Place] = {}

    def put(self, path: tuple[str, ...], value: object, place: Place) -> None:
        """Set the value at *path*."""
        table = self.tree
        for part in path[:-1]:
            table = table.setdefault(part, {})
        table[path[-1]] = value
        self.places[path] = place

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return the whole tree; `_Merged` has one field."""
        return self.tree, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return what pydantic-settings merges."""
        return {"tree": self.tree}


class _Merged(BaseSettings):
    tree: dict[str, Any] = {}


def merge(layers: tuple[Layer, ...]) -> dict[str, Any]:
    """Return one tree in which a value of an earlier layer wins over that of a later one."""

    class Merged(_Merged):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: Any, **__: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del settings_cls
            return layers

    return Merged().tree


def places_in(layers: Iterable[Layer]) -> dict[KeyPath, str]:
    """Return where the value at each path came from; of several layers, the earliest one has it."""
    places: dict[KeyPath, str] = {}
    for layer in reversed([*layers]):
        places |= {path: f"{place.where} {place.name}".rstrip() for path, place in layer.places.items()}
    return places


def with_kinds(
    names: Mapping[str, Mapping[str, str]], environ: Mapping[str, str], flags: Mapping[str, Any]
) -> shape.Names:
    """Return *names*, those of the file, with the kinds that sinks have by variables and flags."""
    sinks = dict(names["sinks"])
    variables = ((_path_of(name, names), environ[name]) for name in sorted(environ) if name.startswith(PREFIX))
    for path, kind in (*variables, *((tuple(key.split(".")), value) for key, value in flags.items())):
        if len(path) == 3 and path[::2] == ("sinks", "kind") and isinstance(kind, str):
            sinks[path[1]] = kind
    return {**names, "sinks": sinks}


def flag_layer(flags: Mapping[str, Any], names: shape.Names) -> Layer:
    """Return the layer of *flags*: dotted key path to value; None means that the flag was not given."""
    layer = Layer(FLAGS)
    for key, value in flags.items():
        if value is not None:
            path = tuple(key.split("."))
            fitting = shape.from_text(path, value, names) if isinstance(value, str) else value
            layer.put(path, fitting, Place(FLAGS))
    return layer


def environment_layers(environ: Mapping[str, str], names: shape.Names, found: Found) -> tuple[Layer, Layer]:
    """Return the layer of `STIBGATE_A__B` variables and that of `STIBGATE_A__B_FILE` variables.

    Args:
        environ: The environment.
        names: The sources and sinks of the file: `my_jobs` in a variable is `[sources.my-jobs]` when only that
            exists, because no shell can write a dash.
        found: Takes problems and notices.
    """
    plain, files = Layer(ENVIRONMENT), Layer(ENVIRONMENT)
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in {CONFIG_VARIABLE, TOKEN_VARIABLE}:
            continue
        place = Place(ENVIRONMENT, variable)
        bare = variable.removesuffix(_FILE)
        path = _path_of(bare, names)
        if not shape.is_leaf(path, names):
            found.problems.append(Problem(ENVIRONMENT, variable, "", _unknown_variable(variable, names)))
        elif bare == variable:
            plain.put(path, shape.from_text(path, environ[variable], names), place)
        elif bare in environ:
            found.problems.append(Problem(ENVIRONMENT, variable, "", f"set either this or {bare}, not both"))
        else:
            text = _contents(Path(environ[variable]), place, path, found)
            if text is not None:
                files.put(path, shape.from_text(path, text, names), place)
    return plain, files


def credential_layer(directory: str | None, names: shape.Names, found: Found) -> Layer:
    """Return the layer of systemd credentials: files named by dotted key path in *directory*.

    Files whose first part is no section of the configuration belong to something else and are left alone.
    """
    layer = Layer(CREDENTIALS)
    folder = Path(directory) if directory else None
    for file in sorted(folder.iterdir()) if folder is not None and folder.is_dir() else ():
        path = tuple(file.name.split("."))
        if path[0] not in shape.known_keys((), names) or not file.is_file():
            continue
        if not shape.is_leaf(path, names):
            guess = shape.closest(file.name, (".".join(leaf) for leaf in shape.all_leaves(names)))
            allowed = f"no such key; did you mean {guess}?" if guess else "no such key"
            found.problems.append(Problem(CREDENTIALS, file.name, "", allowed))
            continue
        text = _contents(file, Place(CREDENTIALS), path, found)
        if text is not None:
            layer.put(path, shape.from_text(path, text, names), Place(CREDENTIALS))
    return layer


def file_layer(path: Path | None, found: Found, *, named_by: str = "--config") -> Layer:
    """Return the layer of the TOML file; one that cannot be understood is a problem, and empty.

    Args:
        path: The file, if there is one.
        found: Takes problems and notices.
        named_by: The option or variable that *path* comes from.

    Raises:
        PermissionRefused: The file is there and may not be read.
    """
    layer = Layer(str(path) if path else "defaults")
    if path is None:
        return layer
    try:
        text = path.read_bytes().decode("utf-8")
        layer.tree = tomllib.loads(text)
    except PermissionError:
        raise PermissionRefused(f"{path} may not be read", hint="Give its group or its owner to the service.") from None
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        found.problems.append(Problem(str(path), named_by, "", reason))
        if isinstance(error, FileNotFoundError):
            found.hint = f"Check the path in {named_by}, or write a configuration with `stibgate init`."
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        found.problems.append(Problem(f"{path}:{line}", "TOML", "", "the file must be UTF-8 text"))
    except (ValueError, RecursionError) as error:  # ValueError: also an integer of 5,000 digits
        found.problems.append(_syntax_problem(path, text, str(error)))
    else:
        for key, line in key_lines(text.replace("\r\n", "\n")).items():
            layer.places[key] = Place(f"{path}:{line}", line=line)
        if _has_secret(layer.tree) and _others_may_read(path):
            found.notices.append(f"{path} holds secrets and may be read by every user: chmod 600 {path}")
    return layer


def choose_file(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the configuration file to read, or None when none was named and no usual one exists."""
    if given is not None:
        return given
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    return next((file for file in (Path("config.toml"), SYSTEM_FILE) if file.exists()), None)


def _path_of(variable: str, names: shape.Names) -> tuple[str, ...]:
    path = variable.removeprefix(PREFIX).lower().split("__")
    if len(path) > 1 and path[0] in names and path[1] not in names[path[0]]:
        dashed = [name for name in names[path[0]] if name.replace("-", "_") == path[1]]
        path[1] = dashed[0] if len(dashed) == 1 else path[1]
    return tuple(path)


def _unknown_variable(variable: str, names: shape.Names) -> str:
    ending = _FILE if variable.endswith(_FILE) else ""
    known = {f"{PREFIX}{'__'.join(leaf)}".upper().replace("-", "_"): None for leaf in shape.all_leaves(names)}
    guess = shape.closest(variable.removesuffix(_FILE).upper(), [*known, CONFIG_VARIABLE])
    return f"no such variable; did you mean {guess}{ending}?" if guess else "no such variable"


def _contents(file: Path, place: Place, path: tuple[str, ...], found: Found) -> str | None:
    """Return the text of *file* without its last newline, or None after noting why not."""
    label = place.name or ".".join(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(_SECRET_FILE_BYTES_MAX + 1)
        text = data.decode("utf-8")
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        found.problems.append(Problem(place.where, label, str(file), f"the file cannot be read: {reason}"))
        return None
    except UnicodeDecodeError:
        found.problems.append(Problem(place.where, label, str(file), "the file must be UTF-8 text"))
        return None
    if len(data) > _SECRET_FILE_BYTES_MAX:
        found.problems.append(Problem(place.where, label, str(file), "the file must not be larger than 1 MiB"))
        return None
    if path[-1] in SECRET_KEYS and _others_may_read(file):
        found.notices.append(f"{label}: {file} holds a secret and may be read by every user")
    return text.removesuffix("\n").removesuffix("\r")


def _others_may_read(file: Path) -> bool:
    return bool(file.stat().st_mode & stat.S_IROTH)


def _has_secret(tree: Mapping[str, Any]) -> bool:
    return any(key in SECRET_KEYS or (isinstance(value, dict) and _has_secret(value)) for key, value in tree.items())


def _syntax_problem(path: Path, text: str, message: str) -> Problem:
    # tomllib names keys and single characters, never a value.
    match = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)", message)
    line = int(match[1]) if match and match[1] else text.count("\n") + 1
    reason = message[: match.start()] if match else message
    return Problem(f"{path}:{line}", "TOML", "", f"the file is not TOML: {reason[:1].lower()}{reason[1:]}")
