"""One process a store: an advisory lock that the kernel gives back when the process ends, however it ends.

The file says who holds it: `PID` a service, `PID command` a command, which is soon done; nothing while nobody does, or
in the moment before the holder has written itself. Only the lock itself decides anything.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from stibgate.errors import PermissionRefused, StoreLocked
from stibgate.stores.connection import make_folder

_COMMAND = "command"


class InstanceLock:
    """Holds `<store>.lock` until `release`.

    Args:
        store: The database file.
        service: Whether the holder is a service, which stays, or a command.

    Raises:
        StoreLocked: Another process holds it.
        PermissionRefused: The file cannot be opened.
    """

    def __init__(self, store: Path, *, service: bool = True) -> None:
        path = lock_path(store)
        try:
            make_folder(path.parent)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PermissionRefused(
                f"cannot write {path}: {error.strerror}",
                hint="storage.url must name a file in a folder that this user may write.",
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder, _, kind = _said(os.pread(self._descriptor, 64, 0))
            os.close(self._descriptor)
            raise StoreLocked(
                f"process {holder} uses the store {store}" if holder else f"another process uses the store {store}",
                hint="Stop it first: one process writes a store. A second service needs its own storage.url.",
                for_a_moment=kind == _COMMAND or not holder,
            ) from error
        with suppress(OSError):  # a full disk: the words are a courtesy, the lock holds without them
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}{'' if service else f' {_COMMAND}'}\n".encode(), 0)

    def configured_at(self, at_ms: int) -> None:
        """Note that the holder works by its configuration as it was then."""
        with suppress(OSError):
            os.utime(self._descriptor, ns=(at_ms * 1_000_000, at_ms * 1_000_000))

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would race with the next holder."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def running_service(store: Path) -> tuple[int, int] | None:
    """Return the process that serves *store*, and when it read its configuration (ms since the epoch); or None.

    The lock is not touched: taking it to see whether it is free could keep a service from starting in that moment.
    """
    path = lock_path(store)
    try:
        holder, space, _ = _said(path.read_bytes())
        if not holder or space:
            return None
        with suppress(PermissionError):  # it lives, as another user
            os.kill(int(holder), 0)
        return int(holder), path.stat().st_mtime_ns // 1_000_000
    except (OSError, OverflowError):
        return None


def _said(data: bytes) -> tuple[str, str, str]:
    pid, space, kind = data.decode("ascii", "replace").strip().partition(" ")
    return (pid, space, kind) if pid.isdigit() else ("", "", "")


def lock_path(store: Path) -> Path:
    """Return the file whose lock says who uses *store*."""
    return store.with_name(store.name + ".lock")
