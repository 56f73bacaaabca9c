"""Our account at Stibnite, from the command line: the configuration, which source is meant, and its URLs.

No command of the account needs a signing secret, and `register` is how one comes by it. So a source that has none yet
does not stop them.
"""

import asyncio
import errno
import os
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from stibgate.app.vendors import stibnite_client
from stibgate.cli.output import printable
from stibgate.config import Loaded, Settings, load
from stibgate.errors import ConfigError, Problem, UsageError
from stibgate.vendors.stibnite import StibniteClient

T = TypeVar("T")

_NEEDS_TOKEN = {"token", "signature+token"}
_NO_SECRET = re.compile(r'auth = "[^"]*" needs a secret: .*', re.DOTALL)
_SECRETS = re.compile(r"sources\.([a-z0-9_-]+)\.secrets")
_VARIABLE = re.compile(r"STIBGATE_SOURCES__.+__SECRETS_FILE", re.IGNORECASE)
_STAND_IN = "stands-in-for-a-secret-that-is-not-known-yet"
_HOOK = re.compile(r"(/hooks/[^/]+/).+")
_PORTS = {"https": 443, "http": 80}
_MASK = "***"


def load_account(config: Path | None) -> Loaded:
    """Return the configuration, whether or not its sources have their secrets yet.

    Forgiven are a source without a secret, and a variable for its secrets that names a file which does not exist.

    Raises:
        ConfigError: With every other problem.
        PermissionRefused: The file is there and may not be read.
    """
    environ, flags = dict(os.environ), dict[str, Any]()
    while True:
        try:
            loaded = load(config, flags=flags, environ=environ)
            break
        except ConfigError as error:
            forgiven = [_forgive(problem, environ, flags) for problem in error.problems]
            if not any(forgiven):
                raise
    sources = dict(loaded.settings.sources)
    for path in flags:
        name = path.split(".")[1]
        sources[name] = sources[name].model_copy(update={"secrets": ()})
    return replace(loaded, settings=loaded.settings.model_copy(update={"sources": sources}))


def _forgive(problem: Problem, environ: dict[str, str], flags: dict[str, Any]) -> bool:
    """Change *environ* or *flags* so that *problem* does not come again; return whether it could be."""
    missing = problem.allowed.endswith(os.strerror(errno.ENOENT).lower())
    unset = _NO_SECRET.fullmatch(problem.allowed) is not None
    if problem.path in environ and _VARIABLE.fullmatch(problem.path) and (missing or unset):
        del environ[problem.path]
        return True
    if unset and _SECRETS.fullmatch(problem.path) and problem.path not in flags:
        flags[problem.path] = [_STAND_IN]
        return True
    return False


def call(settings: Settings, work: Callable[[StibniteClient], Awaitable[T]]) -> T:
    """Return what *work* returns with a client of the account.

    Raises:
        ConfigError: There is no API key.
        VendorError: Stibnite did not do as asked.
    """

    async def run() -> T:
        async with stibnite_client(settings) as client:
            return await work(client)

    return asyncio.run(run())


def pick_source(settings: Settings, name: str | None, kind: str) -> str:
    """Return *name*, or the name of the only source of *kind*.

    Raises:
        UsageError: There is no such source, or several.
    """
    fitting = [key for key, source in settings.sources.items() if source.kind == kind]
    if name is None and len(fitting) == 1:
        return fitting[0]
    names = ", ".join(fitting) or "none"
    if name is None:
        raise UsageError("which source?", hint=f"Give --source; of kind {kind} there are: {names}.")
    if name not in settings.sources:
        raise UsageError(f"there is no source {name!r}", hint=f"Of kind {kind} there are: {names}.")
    if name not in fitting:
        other = "`stibgate register`" if kind == "stibnite_push" else "`stibgate embed-key create`"
        raise UsageError(f"source {name} is not of kind {kind}", hint=f"There are: {names}. {other} is for the others.")
    return name


def hook_url(settings: Settings, name: str) -> str:
    """Return the URL of a source as its sender sees it, without a token.

    Raises:
        ConfigError: Nobody said what senders see.
    """
    base = settings.server.public_url
    if not base:
        problem = Problem("configuration", "server.public_url", "", "is not set: Stibnite must know where to deliver")
        raise ConfigError(
            [problem], hint='Set it to what senders see, "https://hooks.example.com", or STIBGATE_SERVER__PUBLIC_URL.'
        )
    return f"{base}/hooks/{name}"


def urls_of(settings: Settings, name: str) -> Sequence[str]:
    """Return every URL under which a source may be registered, the one to register now first.

    Raises:
        ConfigError: Nobody said what senders see.
    """
    bare, source = hook_url(settings, name), settings.sources[name]
    with_token = [f"{bare}/{token.get_secret_value()}" for token in source.tokens]
    return (*with_token, bare) if source.auth in _NEEDS_TOKEN else (bare, *with_token)


def owner_of(settings: Settings, url: str) -> str | None:
    """Return the source of this configuration that *url* leads to, or None."""
    if not settings.server.public_url:
        return None
    return next((name for name in settings.sources if leads_to(settings, name, url)), None)


def leads_to(settings: Settings, name: str, url: str) -> bool:
    """Return whether *url* is one of the source's, however it is spelled."""
    return _plain(url) in {_plain(own) for own in urls_of(settings, name)}


def shown_url(settings: Settings, url: str) -> str:
    """Return *url* for people: whatever may be a token or a password is masked."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return _MASK
    path = _HOOK.sub(rf"\1{_MASK}", parts.path)
    for source in settings.sources.values():
        for token in source.tokens:
            path = path.replace(token.get_secret_value(), _MASK)
    user, _, host = parts.netloc.rpartition("@")
    netloc = f"{_MASK}@{host}" if user else host
    return printable(urlunsplit((parts.scheme, netloc, path, _MASK if parts.query else "", "")))


def secrets_variable(name: str) -> str:
    """Return the variable that names the file of a source's secrets."""
    return f"STIBGATE_SOURCES__{name.upper().replace('-', '_')}__SECRETS_FILE"


def secrets_path(loaded: Loaded, name: str, given: Path | None) -> Path:
    """Return the absolute path of a source's secrets: what is *given*, else what the variable says, else the usual."""
    by_variable = os.environ.get(secrets_variable(name))
    folder = loaded.path.parent if loaded.path else Path()
    return (given or (Path(by_variable) if by_variable else folder / f"{name}.secrets")).absolute()


def _plain(url: str) -> tuple[str, str, int | None, str, str] | str:
    """Return what makes two URLs the same: scheme and host in any case, a port left out, a slash at the end."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return url
    return parts.scheme, parts.hostname or "", port, parts.path.rstrip("/"), parts.query
