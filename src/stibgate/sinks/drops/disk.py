"""Every step that touches the file system, one method each, so that a test can stop the world between any two.

A name is durable only after its folder was synced, bytes only after their file was; nothing here assumes that one
comes with the other.
"""

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from stibgate.errors import SinkUnavailable

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP})  # some network and FUSE file systems


class Disk:
    """The file system. The first block changes it, one step a method; the rest looks, or is made of steps."""

    def __init__(self) -> None:
        self._durable: set[Path] = set()

    def make_folder(self, folder: Path) -> None:
        """Make *folder*, if it is not there; its parent must be."""
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)

    def create(self, path: Path) -> int:
        """Return a descriptor of the new file *path*; fails if anything has that name, a link too."""
        return os.open(path, _CREATE, _FILE_MODE)

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of *data* at the end."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def sync(self, descriptor: int) -> None:
        """Make what the file holds survive a power cut."""
        os.fsync(descriptor)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        """Cut the file to *size_bytes*."""
        os.ftruncate(descriptor, size_bytes)

    def rename(self, source: Path, target: Path) -> None:
        """Give *source* the name *target*, in place of whatever has it."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Remove *path*, if it is there."""
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in *folder* survive a power cut, where its file system can."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise
        finally:
            os.close(descriptor)

    def lock(self, path: Path) -> int:
        """Return a descriptor that holds the lock *path*; the system drops it when the process ends, however.

        Raises:
            BlockingIOError: Somebody else holds it.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def open(self, path: Path) -> int:
        """Return a descriptor that appends to the file *path*, which must exist and be no link."""
        return os.open(path, _APPEND)

    def close(self, descriptor: int) -> None:
        """Let go of *descriptor*; syncs nothing."""
        os.close(descriptor)

    def size(self, descriptor: int) -> int:
        """Return the bytes that the file holds."""
        return os.fstat(descriptor).st_size

    def read(self, path: Path) -> bytes:
        """Return what *path* holds."""
        return path.read_bytes()

    def exists(self, path: Path) -> bool:
        """Return whether anything has the name *path*."""
        return os.path.lexists(path)

    def is_folder(self, path: Path) -> bool:
        """Return whether *path* is a folder."""
        return path.is_dir()

    def is_writable(self, folder: Path) -> bool:
        """Return whether names can be made in *folder*, as far as can be told without making one."""
        return os.access(folder, os.R_OK | os.W_OK | os.X_OK)

    def room(self, folder: Path) -> tuple[int, bool]:
        """Return the free bytes for us on the disk of *folder*, and whether another file fits on it."""
        stat = os.statvfs(folder)
        return stat.f_bavail * stat.f_frsize, stat.f_favail > 0 or stat.f_files == 0  # 0: it does not count them

    def names(self, folder: Path) -> list[str]:
        """Return the names in *folder*, sorted."""
        return sorted(path.name for path in folder.iterdir())

    def ensure_folder(self, folder: Path, top: Path) -> None:
        """Make *folder* exist durably, from *top* down, and *top* too.

        A folder that is there may have been made by a run that crashed before the sync; so the first time in a
        process everything from *top* down is synced.
        """
        there = folder.is_dir()
        if there and folder in self._durable:
            return
        if folder != top:
            self.ensure_folder(folder.parent, top)
        elif not there and not folder.parent.is_dir():
            self.ensure_folder(folder.parent, folder.parent)
        if not there:
            self._durable.discard(folder)  # it went away since; another thread must not believe in it
            self.make_folder(folder)
        # Above `top` is not ours: the parent may be readable to others only.
        with contextlib.suppress(PermissionError) if folder == top and there else contextlib.nullcontext():
            self.sync_folder(folder.parent)
        self._durable.add(folder)

    def write_whole(self, path: Path, data: bytes) -> None:
        """Make *path* hold *data*, durably; nobody ever sees a part of it, and a failure leaves no trace."""
        part = path.with_name(f".{path.name}.part")
        try:
            self.unlink(part)  # a crash may have left it
            self.write_new(part, data)
            self.rename(part, path)
        except OSError:
            with contextlib.suppress(OSError):
                self.unlink(part)
            raise
        self.sync_folder(path.parent)

    def write_new(self, path: Path, data: bytes) -> None:
        """Make the new file *path* with *data* in it, synced; its name is not yet durable."""
        descriptor = self.create(path)
        try:
            self.write(descriptor, data)
            self.sync(descriptor)
        finally:
            self.close(descriptor)


_WORDS = {
    errno.ENOSPC: ("the disk of the drop folder is full", "Free space on the disk that holds {folder}."),
    errno.EDQUOT: ("the quota of the drop folder is used up", "Raise the quota or free space in {folder}."),
    errno.EROFS: ("the drop folder is read-only", "Mount the disk that holds {folder} read-write."),
    errno.EACCES: ("the drop folder may not be written", "Make {folder} writable for the user that runs stibgate."),
    errno.EPERM: ("the drop folder may not be written", "Make {folder} writable for the user that runs stibgate."),
    errno.ENOENT: ("the drop folder went away while it was written", "Check what removes {folder} or unmounts it."),
    errno.ENOTDIR: ("the drop folder is not a folder", "Move away what stands at {folder}, or set another `dir`."),
    errno.EEXIST: ("the drop folder is not a folder", "Move away what stands at {folder}, or set another `dir`."),
    errno.ELOOP: ("a link stands where a drop file belongs", "Remove the symbolic links in {folder}."),
    errno.EAGAIN: (
        "another rolling sink or process writes into the drop folder",
        "Give every rolling sink a `dir` of its own; {folder} is taken.",
    ),
}


def unavailable(error: OSError, folder: Path) -> SinkUnavailable:
    """Return *error* as the sink says it: without a path in the message, with what to do in the hint."""
    message, hint = _WORDS.get(
        error.errno or 0,
        (f"the drop folder failed: {error.strerror or type(error).__name__}", "Check the disk that holds {folder}."),
    )
    return SinkUnavailable(message, hint=hint.format(folder=folder) + " It is tried again by itself.")
