"""A file of signing secrets: one a line, the newest first; what `STIBGATE_SOURCES__NAME__SECRETS_FILE` names.

A vendor shows a secret once. So that it can be kept is proved before it is asked for, by writing the file as it is;
a secret is added whole or not at all, and what is in the file stays in it.
"""

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from stibgate.config.model import SECRETS_MAX
from stibgate.errors import PermissionRefused, StibgateError
from stibgate.signatures import check_secret

_BYTES_MAX = 1 << 16
_ELSEWHERE = "Choose another file: --secret-to PATH."


class SecretsFile:
    """One file that is reserved for this command; see `reserved`.

    Args:
        path: As it was named.
        below: Secrets that belong below those of the file, should it not have them.
    """

    def __init__(self, path: Path, below: Sequence[str] = ()) -> None:
        self.path = path
        self.added = False
        self._target = path.resolve()
        self._known = read_secrets(path)
        self._below = [secret for secret in below if secret not in self._known]
        count = len(self._known) + len(self._below)
        if count >= SECRETS_MAX:
            raise StibgateError(
                f"{path} would hold {count + 1} secrets, and a source takes {SECRETS_MAX}; nothing was changed",
                hint="Remove its last lines, the oldest secrets, whose endpoints are gone.",
            )

    def add(self, secret: str) -> None:
        """Put *secret* on the first line, durably.

        Raises:
            StibgateError: It is no secret, or cannot be written; the file is as it was.
        """
        complaint = check_secret(secret)
        if complaint is not None or len(secret.split()) != 1:
            raise StibgateError(
                f"the vendor's secret cannot be used: {complaint or 'it has spaces in it'}", hint="Tell the vendor."
            )
        self.write([secret.strip(), *self._known, *self._below])
        self.added = True

    def rehearse(self) -> None:
        """Write the file as it is, or an empty one.

        Raises:
            StibgateError: It cannot be written.
        """
        self.write(self._known)

    def write(self, secrets: Sequence[str]) -> None:
        """Replace the file, durably; nobody but its owner, and a group that could read it before, may read it.

        Raises:
            StibgateError: It cannot be written; it is as it was.
        """
        try:
            self._replace("".join(f"{secret}\n" for secret in secrets))
        except OSError as error:
            raise _refused(self.path, error) from None

    def _replace(self, text: str) -> None:
        folder = self._target.parent
        handle, name = tempfile.mkstemp(prefix=f".{self._target.name}.", dir=folder)  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                with suppress(FileNotFoundError):
                    before = self._target.stat()
                    if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                        os.fchown(stream.fileno(), before.st_uid, before.st_gid)  # else its service cannot read it
                    os.fchmod(stream.fileno(), 0o600 | before.st_mode & stat.S_IRGRP)
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(self._target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync(folder)


@contextmanager
def reserved(path: Path, *, below: Sequence[str] = ()) -> Iterator[SecretsFile]:
    """Give the file that a secret can be added to for sure; one that was made for nothing is removed again.

    No other command adds to a file in that folder meanwhile.

    Raises:
        PermissionRefused: It may not be written.
        StibgateError: It cannot be written, holds something else, or is full.
    """
    with _folder_lock(path):
        there = path.exists()
        file = SecretsFile(path, below)
        file.rehearse()
        try:
            yield file
        finally:
            if not there and not file.added:
                with suppress(OSError):
                    path.resolve().unlink()


def read_secrets(path: Path) -> list[str]:
    """Return the secrets in *path*, newest first; none when there is no such file.

    Raises:
        PermissionRefused: It may not be read.
        StibgateError: It cannot be read, or holds something else.
    """
    other = StibgateError(f"{path} holds something else than one secret a line; nothing was changed", hint=_ELSEWHERE)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise StibgateError(f"{path} is no file; nothing was changed", hint="--secret-to names a file.")
        with path.open("rb") as stream:
            data = stream.read(_BYTES_MAX + 1)
        secrets = [line.strip() for line in data.decode("utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise other from None
    except OSError as error:
        raise _refused(path, error) from None
    # A configuration, say, that was named by mistake.
    if len(data) > _BYTES_MAX or any(check_secret(one) or len(one.split()) > 1 for one in secrets):
        raise other
    return secrets


@contextmanager
def _folder_lock(path: Path) -> Iterator[None]:
    try:
        descriptor = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        with suppress(OSError):  # a file system without locks
            _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StibgateError(
            f"another command is writing secrets beside {path}; nothing was changed",
            hint="Try again when it has ended.",
        ) from None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(path: Path, error: OSError) -> StibgateError:
    reason = (error.strerror or "unknown").lower()
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return PermissionRefused(f"{path} may not be written: {reason}", hint=_ELSEWHERE)
    return StibgateError(f"{path} cannot be written: {reason}", hint=_ELSEWHERE)
