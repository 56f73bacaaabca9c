"""One file that grows until it is full or old; every row exactly once, whatever crashes.

Theory of operation. For each visible file `NAME` (`<opened, compact UTC>-<seq>.csv`) there is a hidden journal
`.NAME.journal`. An append is: write the rows and sync the file; write one line into the journal and sync it; only then
are the rows promised, and only then does the sink answer. So after a crash at any point:

- rows behind the last promised offset were never answered for. They are cut off, and their batch comes again;
- rows before it are synced, and a batch that comes again (the same `Batch.key`) is found in a journal and answered
  without appending. A resend has a key of its own: its rows are appended, because an operator asked for them.

A file is complete when `NAME.sha256` stands beside it (consumers that want whole files wait for it), and then its
journal says so too. Completing is: write the digest under a hidden name, sync, rename, sync the folder, one journal
line. A crash in between is finished by the next `open()`: with the digest there, only the line is missing; without
it, the file is simply still open. The journal stays for `keep_ms` after its file is complete, to know late retries.

A consumer may take a file away before it is complete: nothing is appended to what is gone, a new file is begun.
After a failure nothing in memory is believed: the next call reads the folder again.

One lock file per folder keeps a second sink or process out: two writers would cut off each other's rows.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from stibgate.domain.instant import to_compact
from stibgate.sinks import Batch, Finding
from stibgate.sinks.drops.disk import Disk
from stibgate.sinks.drops.formats import Encoder
from stibgate.sinks.drops.journal import Journal, damaged
from stibgate.sinks.drops.look import look_at_folder

KEEP_MS = 7 * 24 * 3600 * 1000
"""How long a complete file's batches are remembered: longer than any retry after a crash takes."""

LOCK_NAME = ".rolling.lock"
_JOURNAL = ".journal"
_SEQ_MAX = 9999

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _File:
    """The file that grows."""

    path: Path
    journal: Journal

    @property
    def digest_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.sha256")


class Rolling:
    """Appends batches to one file until it is full or old.

    A delivery is never split over two files, so a file may hold more than `rotate_rows`.

    Args:
        folder: Holds the files and the journals.
        now_ms: The clock.
        rotate_rows: Rows after which a file is complete.
        rotate_after_ms: Milliseconds after its first row when a file is complete.
        keep_ms: How long the journal of a complete file is kept.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        encoder: Encoder,
        *,
        now_ms: Callable[[], int],
        rotate_rows: int,
        rotate_after_ms: int,
        keep_ms: int = KEEP_MS,
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._encoder = encoder
        self._now_ms = now_ms
        self._rotate_rows = rotate_rows
        self._rotate_after_ms = rotate_after_ms
        self._keep_ms = keep_ms
        self._lock: int | None = None
        self._active: _File | None = None
        self._complete: list[Journal] = []
        self._keys: set[str] = set()

    def lane(self, batch: Batch) -> str:  # noqa: ARG002
        """Return the same for every batch: there is one file to append to."""
        return ""

    def open(self) -> None:
        """Take the lock, cut off what was never promised, finish what was half done, and complete what is due."""
        self._careful(self._ready)

    def write(self, batch: Batch) -> None:
        """Append *batch* durably, unless a journal says that it was."""
        self._careful(lambda: self._write(batch))

    def tick(self) -> float | None:
        """Complete the file if it is due; return the seconds until the next one is, None when there is none."""
        self._careful(self._ready)
        if self._active is None:
            return None
        return max(self._due_at_ms(self._active) - self._now_ms(), 1) / 1000

    def look(self) -> Sequence[Finding]:
        """Return what can be said of the folder and its journals without writing."""
        findings = look_at_folder(self._disk, self._folder)
        if not findings[0].ok or not self._disk.is_folder(self._folder):
            return findings
        files = list(self._files())
        for file in files:
            self._check_length(file)
        return [*findings, Finding(f"{len(files)} journals of rolling files can be read")]

    def reopen(self) -> None:
        """Complete the file and let go of the folder; one that was moved away is not missed."""
        self._careful(self._finish_active)
        self._release()

    def close(self) -> None:
        """Complete the file and let go of the folder."""
        try:
            self._finish_active()
        finally:
            self._release()

    def _finish_active(self) -> None:
        if self._lock is not None and self._active is not None:
            self._finish(self._active)

    def _careful(self, work: Callable[[], T]) -> T:
        """Return what *work* returns; after a failure leave nothing half and nothing believed."""
        try:
            try:
                return work()
            except FileNotFoundError:
                # A consumer took the file, or the folder went away: look again, once.
                self._release()
                return work()
        except OSError:
            self._abandon()
            raise
        except BaseException:
            self._release()
            raise

    def _ready(self) -> None:
        if self._lock is None:
            self._recover()
        if self._active is not None and self._is_due(self._active):
            self._finish(self._active)

    def _write(self, batch: Batch) -> None:
        self._ready()
        if batch.key in self._keys:
            return
        file = self._active
        data = self._encoder.encode(batch, first=file is None)
        if file is None:
            file = self._active = self._begin(data)
        else:
            self._append(file, data)
        file.journal.promise(batch.key, end=file.journal.end + len(data), rows=len(batch.records), at_ms=self._now_ms())
        self._keys.add(batch.key)
        if self._is_due(file):
            # The rows are promised; a failure now belongs to the next call, not to this batch.
            try:
                self._finish(file)
            except OSError:
                self._release()

    def _begin(self, data: bytes) -> _File:
        """Return a new file that holds *data*, of which nothing is promised yet."""
        now_ms = self._now_ms()
        path = self._free_path(now_ms)
        # The journal comes first: a visible file without one would belong to nobody after a crash.
        journal = Journal.create(
            self._disk, _journal_path(path), opened_at_ms=now_ms, fingerprint=self._encoder.fingerprint
        )
        file = self._active = _File(path, journal)
        self._disk.write_new(path, data)
        self._disk.sync_folder(self._folder)
        return file

    def _free_path(self, now_ms: int) -> Path:
        for seq in range(1, _SEQ_MAX):
            path = self._folder / f"{to_compact(now_ms)}-{seq:04d}{self._encoder.suffix}"
            taken = (path, _journal_path(path), _File(path, Journal(self._disk, path)).digest_path)
            if not any(map(self._disk.exists, taken)):
                return path
        raise OSError(0, "no name left in this second")

    def _append(self, file: _File, data: bytes) -> None:
        descriptor = self._disk.open(file.path)
        try:
            self._fit(file, descriptor)
            self._disk.write(descriptor, data)
            self._disk.sync(descriptor)
        finally:
            self._disk.close(descriptor)

    def _fit(self, file: _File, descriptor: int) -> None:
        """Cut off what lies behind the promises of *file*.

        Raises:
            SinkUnavailable: It holds less than was promised.
        """
        size = self._disk.size(descriptor)
        if size < file.journal.end:
            raise damaged(file.path.name, self._folder)
        if size > file.journal.end:
            self._disk.truncate(descriptor, file.journal.end)
            self._disk.sync(descriptor)

    def _finish(self, file: _File) -> None:
        """Complete *file*: its digest, then its journal's last line."""
        data = self._disk.read(file.path)
        if len(data) != file.journal.end:
            raise damaged(file.path.name, self._folder)
        line = f"{hashlib.sha256(data).hexdigest()}  {file.path.name}\n"
        self._disk.write_whole(file.digest_path, line.encode())
        self._retire(file.journal)
        self._active = None
        self._forget_old()

    def _retire(self, journal: Journal) -> None:
        journal.finish(self._now_ms())
        self._complete.append(journal)

    def _forget_old(self) -> None:
        oldest_ms = self._now_ms() - self._keep_ms
        for journal in [journal for journal in self._complete if journal.last_at_ms < oldest_ms]:
            self._disk.unlink(journal.path)
            self._complete.remove(journal)
            self._keys -= journal.keys

    def _recover(self) -> None:
        """Take the lock and make the folder and the memory agree with the journals."""
        self._disk.ensure_folder(self._folder, self._folder)
        self._lock = self._disk.lock(self._folder / LOCK_NAME)
        self._disk.sync_folder(self._folder)  # names that a killed process left unsynced count from now on
        self._active, self._complete, self._keys = None, [], set()
        growing: list[_File] = []
        for file in self._files():
            self._keys |= file.journal.keys
            if file.journal.complete:
                self._complete.append(file.journal)
            elif self._settle(file):
                growing.append(file)
        for file in growing:
            # Lines of another format must not follow; and only one file grows.
            if file is growing[-1] and file.journal.fingerprint == self._encoder.fingerprint:
                self._active = file
            else:
                self._finish(file)
        self._forget_old()

    def _files(self) -> Iterator[_File]:
        """Yield each file that has a journal, in the order of their names."""
        for name in self._disk.names(self._folder):
            if name.startswith(".") and name.endswith(_JOURNAL):
                journal = Journal.read(self._disk, self._folder / name)
                yield _File(self._folder / name[1 : -len(_JOURNAL)], journal)

    def _check_length(self, file: _File) -> None:
        """Fail as an append to *file* would, when it grows and holds less than was promised."""
        if file.journal.complete or not file.journal.keys or not self._disk.exists(file.path):
            return
        descriptor = self._disk.open(file.path)
        try:
            if self._disk.size(descriptor) < file.journal.end:
                raise damaged(file.path.name, self._folder)
        finally:
            self._disk.close(descriptor)

    def _settle(self, file: _File) -> bool:
        """Undo the append that a crash interrupted; return whether *file* can grow on."""
        if not file.journal.keys:
            self._disk.unlink(file.path)  # before the journal: then a crash in between comes here again
            self._disk.unlink(file.journal.path)
            self._disk.sync_folder(self._folder)
            return False
        file.journal.settle()
        if not self._disk.exists(file.path) or self._disk.exists(file.digest_path):
            self._retire(file.journal)
            return False
        descriptor = self._disk.open(file.path)
        try:
            self._fit(file, descriptor)
        finally:
            self._disk.close(descriptor)
        return True

    def _abandon(self) -> None:
        """Try to cut off half an append at once, since the file is visible, and forget everything."""
        if self._active is not None:
            with contextlib.suppress(OSError):
                self._settle(self._active)
        self._release()

    def _release(self) -> None:
        self._active = None
        if self._lock is not None:
            self._disk.close(self._lock)
            self._lock = None

    def _is_due(self, file: _File) -> bool:
        return file.journal.total >= self._rotate_rows or self._now_ms() >= self._due_at_ms(file)

    def _due_at_ms(self, file: _File) -> int:
        return file.journal.opened_at_ms + self._rotate_after_ms


def _journal_path(path: Path) -> Path:
    return path.with_name(f".{path.name}{_JOURNAL}")
