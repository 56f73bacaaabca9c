"""Options that every command shares: `--config`, `--json`, and how a command reads them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

R = TypeVar("R")

CONFIG_HELP = "Configuration file.  [default: $STIBGATE_CONFIG, ./config.toml, /etc/stibgate/config.toml]"

_CONFIG_TYPE = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class Context:
    """What was said before the subcommand: `stibgate --config FILE ...`."""

    config_path: Path | None = None


def config_option(command: Callable[..., R]) -> Callable[..., R]:
    """Pass `config: Path | None`, from this command's `--config` or the one before it."""

    @click.option("--config", "config", type=_CONFIG_TYPE, help=CONFIG_HELP)
    @click.pass_context
    @functools.wraps(command)
    def wrapped(ctx: click.Context, /, *args: Any, config: Path | None, **kwargs: Any) -> R:
        shared = ctx.find_object(Context) or Context()
        return ctx.invoke(command, *args, config=config or shared.config_path, **kwargs)

    return wrapped


def json_option(command: Callable[..., R]) -> Callable[..., R]:
    """Pass `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(command)
