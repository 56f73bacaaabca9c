"""How a command reaches the running service: where its admin listener is, and with which token."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stibgate.cli.output import base_url, checked_url
from stibgate.errors import PermissionRefused, UsageError

if TYPE_CHECKING:
    from stibgate.config import Settings

R = TypeVar("R")
TOKEN_VARIABLE = "STIBGATE_TOKEN_FILE"  # noqa: S105  (where a token lies, not one)

admin_option = click.option("--admin", "url", metavar="URL", help="Admin listener.  [default: server.admin_bind]")
token_option = click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar=TOKEN_VARIABLE,
    help=f"File with an admin token.  [default: ${TOKEN_VARIABLE}, or the one beside the store]",
)


@dataclass(frozen=True, slots=True)
class Way:
    """Which way a writing command takes.

    Attributes:
        offline: Never to a service: on the store itself, or not at all.
        url: The service to ask; None for the configured one, if it runs.
        token_file: Where the token lies; None for the one beside the store.
    """

    offline: bool = False
    url: str | None = None
    token_file: Path | None = None


def way_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add `--offline`, `--admin` and `--token-file`; pass them as *way*."""

    @click.option("--offline", is_flag=True, help="Never ask a running service; fail when there is one.")
    @admin_option
    @token_option
    @functools.wraps(command)
    def wrapped(*args: Any, offline: bool, url: str | None, token_file: Path | None, **kwargs: Any) -> R:
        if offline and url is not None:
            raise UsageError("--offline and --admin were both given", hint="Give one of them.")
        return command(*args, way=Way(offline, url, token_file), **kwargs)

    return wrapped


def service_at(settings: Callable[[], "Settings"], url: str | None, token_file: Path | None) -> tuple[str, str]:
    """Return where the service is, and the token for it; *settings* is called only when it is needed.

    Raises:
        PermissionRefused: There is no token that could be used.
    """
    base = None if url is None else checked_url(url)
    token = None if token_file is None else _read(token_file)
    if base is None or token is None:
        base = base or base_url(settings().server.admin_address)
        token = token or _beside(settings())
    return base, token


def _read(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise PermissionRefused(f"{path} cannot be read", hint="Check --token-file.") from error
    if not token.isascii() or not token.isprintable() or not token:
        raise PermissionRefused("the admin token is not one line of ASCII", hint="Check --token-file.")
    return token


def _beside(settings: "Settings") -> str:
    """Return the token that lies beside the store: there is none where the configuration has tokens."""
    from stibgate.app.token import known_token

    if settings.console.tokens:
        raise PermissionRefused(
            "the configuration has [console] tokens, so none lies beside the store",
            hint=f"Put one of role operator or admin into a file, and give --token-file or {TOKEN_VARIABLE}.",
        )
    return known_token(settings.storage.path)
