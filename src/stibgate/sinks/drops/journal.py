"""What a rolling file has promised: a hidden file beside it, one synced line an append.

    1a2b3c4d {"opened_at_ms":1779043330004,"fingerprint":"csv ..."}
    5e6f7a8b {"key":"tsk_1","end":4711,"rows":25,"total":25,"at_ms":1779043330950}
    9c0d1e2f {"complete":true,"at_ms":1779044230950}

Each line begins with the CRC-32 of its JSON, so that a torn line is known as one. Only the last line can be torn, since
each is synced before the next is begun; a bad line anywhere else is damage, and damage is never guessed around.

Journals of earlier versions say `task_id` for `key`; they are read all the same.
"""

import contextlib
import json
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

from stibgate.errors import SinkUnavailable
from stibgate.sinks.drops.disk import Disk


class Journal:
    """The promises of one rolling file; what it says here is what is on the disk.

    Attributes:
        opened_at_ms: When the file was begun.
        fingerprint: What its lines have in common.
        keys: `Batch.key` of each batch whose rows it holds.
        end: Bytes of the file that are promised; whatever lies behind is not.
        total: Rows in these bytes.
        last_at_ms: When it last changed.
        complete: Whether the file will not grow any more.
    """

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._size = 0
        self.path = path
        self.opened_at_ms = 0
        self.fingerprint = ""
        self.keys: set[str] = set()
        self.end = 0
        self.total = 0
        self.last_at_ms = 0
        self.complete = False

    @classmethod
    def create(cls, disk: Disk, path: Path, *, opened_at_ms: int, fingerprint: str) -> "Journal":
        """Return a new journal that has promised nothing; its name is not yet durable."""
        journal = cls(disk, path)
        document = {"opened_at_ms": opened_at_ms, "fingerprint": fingerprint}
        line = _line(document)
        disk.write_new(path, line)
        journal._take(document, len(line))
        return journal

    @classmethod
    def read(cls, disk: Disk, path: Path) -> "Journal":
        """Return the journal at *path*, without a torn last line.

        Raises:
            SinkUnavailable: A line that is not the last cannot be read.
        """
        journal = cls(disk, path)
        lines = disk.read(path).splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            document = _parse(line)
            if document is not None:
                journal._take(document, len(line))
            elif number < len(lines):
                raise damaged(path.name, path.parent)
        return journal

    def promise(self, key: str, *, end: int, rows: int, at_ms: int) -> None:
        """Say durably that the file holds the rows of the batch *key*, and ends at *end*."""
        self._append({"key": key, "end": end, "rows": rows, "total": self.total + rows, "at_ms": at_ms})

    def finish(self, at_ms: int) -> None:
        """Say durably that the file will not grow any more."""
        self._append({"complete": True, "at_ms": at_ms})

    def settle(self) -> None:
        """Cut a torn line off and sync: a line that a crash left unsynced counts only from now on."""
        with self._opened() as descriptor:
            self._disk.truncate(descriptor, self._size)
            self._disk.sync(descriptor)

    def _append(self, document: dict[str, Any]) -> None:
        line = _line(document)
        with self._opened() as descriptor:
            try:
                self._disk.write(descriptor, line)
                self._disk.sync(descriptor)
            except OSError:
                # Without a sync the line is no promise, yet a reader could find it.
                with contextlib.suppress(OSError):
                    self._disk.truncate(descriptor, self._size)
                    self._disk.sync(descriptor)
                raise
        self._take(document, len(line))

    @contextlib.contextmanager
    def _opened(self) -> Generator[int, None, None]:
        descriptor = self._disk.open(self.path)
        try:
            yield descriptor
        finally:
            self._disk.close(descriptor)

    def _take(self, document: dict[str, Any], size_bytes: int) -> None:
        self._size += size_bytes
        self.last_at_ms = document.get("at_ms", self.last_at_ms)
        key = document.get("key", document.get("task_id"))
        if key is not None:
            self.keys.add(key)
            self.end, self.total = document["end"], document["total"]
        elif "complete" in document:
            self.complete = True
        else:
            self.opened_at_ms = self.last_at_ms = document["opened_at_ms"]
            self.fingerprint = document["fingerprint"]


def damaged(name: str, folder: Path) -> SinkUnavailable:
    """Return the error of a rolling file that is not what its journal says; only a person may decide about it."""
    return SinkUnavailable(
        "a rolling drop file holds less than was promised in it",
        hint=f"Somebody changed {name} in {folder}; move it and the hidden journal away, then replay its deliveries.",
    )


def _line(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return what *line* says, None when it is not whole."""
    checksum, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    document: dict[str, Any] = json.loads(text)
    return document
