"""One process a store: an advisory lock that the kernel gives back when the process ends, however it ends."""

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
        service: Whether the holder is a service, which stays, or a command, which is soon done.

    Raises:
        StoreLocked: Another process holds it.
        PermissionRefused: The file cannot be opened.
    """

    def __init__(self, store: Path, *, service: bool = True) -> None:
        path = store.with_name(store.name + ".lock")
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
            holder, _, kind = os.pread(self._descriptor, 64, 0).decode("ascii", "replace").strip().partition(" ")
            os.close(self._descriptor)
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise StoreLocked(
                f"{who} uses the store {store}",
                hint="Stop it first: one process writes a store. A second service needs its own storage.url.",
                for_a_moment=kind == _COMMAND,
            ) from error
        with suppress(OSError):  # a full disk: the pid is a courtesy, the lock holds without it
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}{'' if service else f' {_COMMAND}'}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would race with the next holder."""
        os.close(self._descriptor)
