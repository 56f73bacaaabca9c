"""Reads the configuration from everywhere it may stand, and says everything that is wrong with it at once."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stibgate.config import checks, shape
from stibgate.config.layers import (
    CONFIG_VARIABLE,
    SYSTEM_FILE,
    Found,
    choose_file,
    credential_layer,
    environment_layers,
    file_layer,
    flag_layer,
    merge,
    places_in,
    with_kinds,
)
from stibgate.config.model import Settings
from stibgate.config.origins import Origins
from stibgate.config.problems import Reporter
from stibgate.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class ReloadStatus:
    """How the last reading of the configuration ended; the first is that at the start.

    Attributes:
        at_ms: When it was tried.
        succeeded_at_ms: When one last succeeded.
        errors: How many things were wrong with it.
        error: The first of them, without values.
    """

    at_ms: int
    succeeded_at_ms: int
    errors: int = 0
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is what the service works by."""
        return not self.errors


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that holds together.

    Attributes:
        settings: Every setting; paths are absolute.
        path: The file that was read, or None when there was none.
        notices: What is allowed and perhaps not meant; one sentence each.
    """

    settings: Settings
    path: Path | None
    notices: tuple[str, ...]

    def require(self) -> None:
        """Refuse a service that nobody configured: there is no file, and no source comes from elsewhere.

        Raises:
            ConfigError: It names the places where a file may be.
        """
        if self.path is None and not self.settings.sources:
            looked = f"no configuration file; looked at ${CONFIG_VARIABLE}, ./config.toml and {SYSTEM_FILE}"
            problem = Problem("command line", "--config", "", looked)
            raise ConfigError([problem], hint="Run `stibgate init`, or give --config FILE.")


def load(
    path: Path | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    only: Collection[str] = (),
) -> Loaded:
    """Return the configuration: flags over environment over files it names over credentials over the file.

    Relative paths in it are taken from the folder of the file, or from the working folder without a file.

    Args:
        path: The file; by default `$STIBGATE_CONFIG`, else `./config.toml`, else `/etc/stibgate/config.toml`, of
            which the last two need not exist.
        flags: Dotted key path to value, such as `{"server.bind": "127.0.0.1:0"}`; None values are left out.
        environ: The environment; by default that of the process.
        only: The sections that matter to the caller; all others have their defaults, whatever is wrong with them. Who
            looks at the store, or puts one back, need not have the secrets that only the service is given.

    Raises:
        ConfigError: With every problem, in the order of the file.
        PermissionRefused: The file is there and may not be read.
    """
    environ = os.environ if environ is None else environ
    found = Found()
    chosen = choose_file(path, environ)
    by_variable = path is None and environ.get(CONFIG_VARIABLE)
    file = file_layer(chosen, found, named_by=f"${CONFIG_VARIABLE}" if by_variable else "--config")
    if found.problems:
        raise ConfigError(found.problems, hint=found.hint)
    names = with_kinds(shape.names_in(file.tree), environ, flags or {})
    layers = (
        flag_layer(flags or {}, names),
        *environment_layers(environ, names, found),
        credential_layer(environ.get("CREDENTIALS_DIRECTORY"), names, found),
        file,
    )
    tree = {section: values for section, values in merge(layers).items() if not only or section in only}
    report = Reporter(tree, layers)
    settings, errors = _validate(tree)
    for error in errors:
        report.translate(error)
    if not only:
        for problem in found.problems:
            report.note(problem)
        checks.check(tree, report)
    problems = report.problems()
    if problems or settings is None:
        raise ConfigError(problems)
    settings = _with_absolute_paths(settings, chosen.absolute().parent if chosen else Path.cwd())
    notices = (*found.notices, *checks.notices(settings))
    return Loaded(settings.said_by(Origins(chosen, places_in(layers), notices)), chosen, notices)


def _validate(tree: dict[str, Any]) -> tuple[Settings | None, list[ErrorDetails]]:
    # The exception stays in here: it holds values, and a traceback must not lead to it.
    try:
        return Settings.model_validate(tree), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_input=False)


def _with_absolute_paths(settings: Settings, base: Path) -> Settings:
    storage = settings.storage.model_copy(update={"url": f"sqlite:///{base / settings.storage.path}"})
    sinks = {
        name: sink.model_copy(update={key: base / value for key, value in sink if isinstance(value, Path)})
        for name, sink in settings.sinks.items()
    }
    return settings.model_copy(update={"storage": storage, "sinks": sinks})
