"""The admin API's token: a file beside the store that only this user can read.

Whoever may read it may also read and write the store; so it gives the command line of the same user nothing new.
"""

import os
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from stibgate.errors import PermissionRefused

TOKEN_BYTES = 32
_TOKEN = re.compile(rb"[!-~]{%d,1000}" % TOKEN_BYTES)


def token_path(store: Path) -> Path:
    """Return where the token of *store* lies."""
    return store.with_name(store.name + ".admin-token")


def known_token(store: Path) -> str:
    """Return the token of *store*, as the service that uses it wrote it.

    Raises:
        PermissionRefused: There is none, or the file cannot be read.
    """
    path = token_path(store)
    try:
        known = _read(path)
    except OSError as error:
        raise _refused(path, error) from error
    if known is None:
        raise PermissionRefused(
            f"there is no admin token in {path}", hint="A service writes it when it starts: restart the running one."
        )
    return known


def admin_token(store: Path) -> str:
    """Return the token of *store*; make it when there is none.

    Raises:
        PermissionRefused: The file cannot be read or written.
    """
    path = token_path(store)
    try:
        known = _read(path)
        if known is not None:
            return known
        fresh = secrets.token_urlsafe(TOKEN_BYTES)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{fresh}\n")
        Path(name).replace(path)
    except OSError as error:
        raise _refused(path, error) from error
    return fresh


def _read(path: Path) -> str | None:
    """Return the token in *path*; None when there is no file, or none that a crash has not cut."""
    with suppress(FileNotFoundError):
        known = path.read_bytes().strip()
        if _TOKEN.fullmatch(known):
            return known.decode("ascii")
    return None


def _refused(path: Path, error: OSError) -> PermissionRefused:
    return PermissionRefused(
        f"cannot use {path}: {error.strerror}", hint="It must belong to the user that runs stibgate."
    )
