"""Reading drops back as a consumer does, and disks that stop, lose and refuse."""

import contextlib
import csv
import errno
import functools
import gzip
import hashlib
import io
import json
import shutil
import threading
from pathlib import Path

from stibgate.sinks.drops import DropSettings, DropSink
from stibgate.sinks.drops.disk import Disk


class Clock:
    """Milliseconds that move when told to."""

    def __init__(self, now_ms: int = 1_779_043_330_004) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


def make_sink(folder: Path, clock: Clock, disk: Disk | None = None, *, sleep=None, **keys: object) -> DropSink:
    """Return a sink as `DropSettings.build` makes it, on *disk*."""
    settings = DropSettings.model_validate({"kind": "csv", "dir": folder, **keys})
    layout = settings.arrange(disk or Disk(), folder, now_ms=clock)
    extra = {} if sleep is None else {"sleep": sleep}
    return DropSink(layout, folder, name="drop", **extra)


def visible(folder: Path) -> list[Path]:
    """Return the data files that a consumer sees, in the order of their names."""
    if not folder.exists():
        return []
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return sorted(path for path in files if path.suffix != ".sha256")


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the records of *path*; fails when any line is not whole."""
    return rows_in(path.name, path.read_bytes())


def rows_in(name: str, data: bytes) -> list[dict[str, str]]:
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
    if ".ndjson" in name:
        assert text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]
    assert text.endswith("\r\n")
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert all(len(row) == len(header) for row in rows)
    return [dict(zip(header, row, strict=True)) for row in rows]


def people(folder: Path) -> list[str]:
    return [row["person_id"] for path in visible(folder) for row in rows_of(path)]


def people_in(name: str, data: bytes) -> list[str]:
    return [row["person_id"] for row in rows_in(name, data)]


def check_complete(folder: Path) -> None:
    """Fail unless every visible file of a rolling folder has its right digest, and nothing half lies about."""
    for path in visible(folder):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.with_name(f"{path.name}.sha256").read_text() == f"{digest}  {path.name}\n"
    assert not list(folder.rglob("*.part"))


class Crash(BaseException):
    """The process ended here. No `except Exception` or `except OSError` may take it for a failure."""


def one_at_a_time(cls):
    """Let each step of the disk *cls* end before the next one begins, whichever thread it is in."""

    def taking_turns(method):
        @functools.wraps(method)
        def step(self, *arguments):
            with self.turn:
                return method(self, *arguments)

        return step

    for name in (
        "create",
        "lock",
        "open",
        "close",
        "write",
        "make_folder",
        "sync",
        "truncate",
        "rename",
        "unlink",
        "sync_folder",
    ):
        setattr(cls, name, taking_turns(getattr(cls, name)))
    return cls


@one_at_a_time
class StoppingDisk(Disk):
    """Does *steps* steps, begins the next one, and is dead.

    The begun step is a half write, or not done at all. What was done before stays, synced or not, as after kill -9.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.turn = threading.RLock()
        self.left = steps
        self.dead = False
        self.descriptors: set[int] = set()

    def _step(self) -> None:
        if self.dead or self.left == 0:
            self.die()
            raise Crash
        self.left -= 1

    def die(self) -> None:
        self.dead = True
        for descriptor in self.descriptors:  # the system closes them, which frees the locks
            super().close(descriptor)
        self.descriptors.clear()

    def create(self, path):
        self._step()
        descriptor = super().create(path)
        self.descriptors.add(descriptor)
        return descriptor

    def lock(self, path):
        self._step()
        descriptor = super().lock(path)
        self.descriptors.add(descriptor)
        return descriptor

    def open(self, path):
        descriptor = super().open(path)
        self.descriptors.add(descriptor)
        return descriptor

    def close(self, descriptor):
        if descriptor in self.descriptors:
            self.descriptors.discard(descriptor)
            super().close(descriptor)

    def write(self, descriptor, data):
        if self.left == 0 and not self.dead:
            super().write(descriptor, data[: len(data) // 2])
        self._step()
        super().write(descriptor, data)

    def make_folder(self, folder):
        self._step()
        super().make_folder(folder)

    def sync(self, descriptor):
        self._step()
        super().sync(descriptor)

    def truncate(self, descriptor, size_bytes):
        self._step()
        super().truncate(descriptor, size_bytes)

    def rename(self, source, target):
        self._step()
        super().rename(source, target)

    def unlink(self, path):
        self._step()
        super().unlink(path)

    def sync_folder(self, folder):
        self._step()
        super().sync_folder(folder)


@one_at_a_time
class ForgetfulDisk(StoppingDisk):
    """A power cut: when it dies, only what was synced is left, names and bytes apart.

    *root* must be empty, or *after* the disk that filled it. With `cuts=False` it dies as a process does: what was
    not synced stays, and is lost only in a later life.
    """

    def __init__(self, steps: int, root: Path, *, after: "ForgetfulDisk | None" = None, cuts: bool = True) -> None:
        super().__init__(steps)
        self.root = root
        self.cuts = cuts
        self.bytes: dict[int, bytes] = after.bytes if after else {}
        self.names_of: dict[Path, dict[str, int]] = after.names_of if after else {root: {}}

    def create(self, path):
        descriptor = super().create(path)
        self.bytes.pop(path.stat().st_ino, None)  # the number may be a removed file's
        return descriptor

    def sync(self, descriptor):
        super().sync(descriptor)
        link = Path(f"/proc/self/fd/{descriptor}")
        self.bytes[link.stat().st_ino] = link.read_bytes()

    def sync_folder(self, folder):
        super().sync_folder(folder)
        if folder == self.root or self.root in folder.parents:
            self.names_of[folder] = {path.name: path.stat().st_ino for path in folder.iterdir()}

    def make_folder(self, folder):
        super().make_folder(folder)
        self.names_of.setdefault(folder, {})

    def die(self) -> None:
        first = not self.dead
        super().die()
        if first and self.cuts:
            folders = {path: path.stat().st_ino for path in self.root.rglob("*") if path.is_dir()}
            shutil.rmtree(self.root)
            self.root.mkdir()
            self._restore(self.root, {number: path for path, number in folders.items()})

    def _restore(self, folder: Path, folders: dict[int, Path]) -> None:
        for name, number in self.names_of.get(folder, {}).items():
            path = folder / name
            if number in folders:
                path.mkdir()
                self._restore(path, folders)
            else:
                path.write_bytes(self.bytes.get(number, b""))


class RefusingDisk(Disk):
    """Raises *code* in every step named in *steps* while `broken`; a write gets half its bytes out first."""

    def __init__(self, code: int, *steps: str) -> None:
        super().__init__()
        self.code = code
        self.broken = True
        for step in steps:
            setattr(self, step, self._refusing(step))

    def _refusing(self, step: str):
        real = getattr(super(), step)

        def refuse(*arguments):
            if not self.broken:
                return real(*arguments)
            if step == "write":
                with contextlib.suppress(OSError):
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
            raise OSError(self.code, errno.errorcode[self.code], "/secret/path")

        return refuse
