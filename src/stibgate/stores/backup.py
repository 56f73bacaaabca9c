"""Copies of a SQLite store: made while a service writes it, put back while none does.

A copy is one sound file of mode 0600 and no log beside it. Like a drop it is written under a hidden name, synced and
renamed: a visible copy is whole, and whatever is killed on the way leaves what was there before.

Putting one back never deletes: the store before it stays under another name. At every moment the store's own name
leads to one whole database and to no other one's log, because a log that lies beside a strange file spoils it.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from stibgate.domain.audit import AuditEntry
from stibgate.errors import (
    NoStore,
    SchemaTooNew,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreUnavailable,
    UsageError,
)
from stibgate.stores.connection import (
    UNREADABLE,
    classify,
    copy_pages,
    fold,
    make_folder,
    open_writer,
    primary_code,
    sync,
)
from stibgate.stores.connection import sqlite3 as sqlite
from stibgate.stores.ledger import open_ledger
from stibgate.stores.lock import InstanceLock, lock_path
from stibgate.stores.migrations import migrate
from stibgate.stores.office import append_audit

_MIB = 1024 * 1024
_LOGS = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy of a store holds.

    Attributes:
        path: Where it lies; for what was put back, where it was taken from.
        size_bytes: Its size.
        sha256: The SHA-256 of the file, in hex.
        schema_version: How many migrations it has.
        deliveries: State -> count.
        tasks: State -> count.
        newest_at_ms: When its newest delivery was received; None when it has none.
    """

    path: Path
    size_bytes: int
    sha256: str
    schema_version: int
    deliveries: Mapping[str, int]
    tasks: Mapping[str, int]
    newest_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back, or would be.

    Attributes:
        copy: The copy, as it was found.
        migrated: The migrations that it lacked and has now.
        kept: Where the store before it lies; None when there was none, or nothing was done.
    """

    copy: Copy
    migrated: Sequence[str]
    kept: Path | None


def back_up(store: Path, to: Path) -> Copy:
    """Write a copy of *store* to the new file *to*; it has all that was committed before.

    Raises:
        NoStore: Nothing was ever received.
        StoreError: *to* exists already, or the store cannot be read.
        StoreFull: There is no room for it.
        StoreDamaged: The copy is not sound.
    """
    open_ledger(store, older=True).close()
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if to.exists():
        raise StoreError(f"{to} exists already", hint="Give another name: a backup is never overwritten.")
    _need_room(to.parent, store.stat().st_size)
    with _part(to) as part:
        with _told(to):
            copy_pages(store, part)
        copy = _looked_at(part, to)
        sync(part)
        part.rename(to)
    sync(to.parent)
    return copy


def restore(store: Path, file: Path, *, aside: Path, note: AuditEntry | None = None, dry_run: bool = False) -> Restored:
    """Put the copy *file* in the place of *store*, which stays as *aside*; with *dry_run* only check it.

    The audit goes back with the store; *note*, with what came back, is the line that says so.

    Raises:
        StoreLocked: A service, or a command that writes, uses the store.
        StoreUnavailable: A command reads the store.
        StoreDamaged: *file* is not sound, or breaks a law of `db check`.
        SchemaTooNew: A newer stibgate wrote it.
        StoreFull: There is no room for it.
        UsageError: *file* is no copy of a store.
    """
    lock = None if dry_run else InstanceLock(store, service=False)
    try:
        _refuse_unfit(store, file)
        make_folder(store.parent)
        _need_room(store.parent, file.stat().st_size)
        with _part(store) as part:
            with file.open("rb") as source, part.open("wb") as target:
                shutil.copyfileobj(source, target, _MIB)
            copy, migrated = _made_fit(part, file, note)
            kept = None
            if not dry_run:
                _give_to_owner(store, part, lock_path(store))
                sync(part)
                kept = _set_aside(store, aside)
                part.rename(store)
                sync(store.parent)
        return Restored(copy, migrated, kept)
    finally:
        if lock is not None:
            lock.release()


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """Yield a hidden file beside *target*, empty and this process's alone; it is gone after the block."""
    path = target.with_name(f".{target.name}.part")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = os.path.samestat(os.fstat(descriptor), path.stat())  # not renamed meanwhile
        except OSError:
            alone = False
        if not alone:
            raise StoreUnavailable(f"another command writes {target}", hint="Wait until it is done.")
        os.ftruncate(descriptor, 0)  # a killed command may have left half a file
        try:
            yield path
        finally:
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):  # else it was renamed, and this is another's
                    for suffix in ("", *_LOGS):
                        _beside(path, suffix).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _need_room(folder: Path, size_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size_bytes:
        raise StoreFull(
            f"{free // _MIB} MiB free at {folder}, and the copy needs {-(-size_bytes // _MIB)} MiB",
            hint="Free space there, or choose another disk. Nothing was changed.",
        )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in our words what SQLite raises in the block, which makes *path*."""
    try:
        yield
    except sqlite.Error as error:
        told = classify(error)
        if isinstance(told, StoreFull):
            told = StoreFull(f"no space left for {path}", hint="Free space there. Nothing was kept of the copy.")
        raise told from error


def _looked_at(part: Path, path: Path) -> Copy:
    """Return what *part*, which is to be or was *path*, holds; its schema may be an older one."""
    with closing(open_ledger(part, older=True)) as ledger:
        if wrong := ledger.integrity():
            raise StoreDamaged(
                f"the copy is not sound: {wrong[0]}",
                hint="Nothing was kept. The store may be damaged: ask `stibgate db check`; keep older backups.",
            )
        found, newest_at_ms = ledger.status(), ledger.newest_at_ms()
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Copy(path, found.size_bytes, digest, found.schema_version, found.deliveries, found.tasks, newest_at_ms)


def _refuse_unfit(store: Path, file: Path) -> None:
    if not file.is_file():
        raise NoStore(f"there is no file {file}", hint="`stibgate db backup` prints where it put a copy.")
    if store.exists() and file.samefile(store):
        raise UsageError(f"{file} is the store itself", hint="Name the copy that takes its place.")
    log = file.with_name(f"{file.name}-wal")
    if log.exists() and log.stat().st_size:
        raise UsageError(
            f"{file} has a write-ahead log beside it: it is a store, and the file alone lacks its newest part",
            hint="Make a copy of it: `stibgate db backup` with storage.url naming it.",
        )


def _made_fit(part: Path, file: Path, note: AuditEntry | None) -> tuple[Copy, Sequence[str]]:
    """Bring the bytes of *file* in *part* to this version's schema, and check them whole."""
    try:
        fold(part)
        copy = _looked_at(part, file)
        migrated = _migrated(part, copy, note)
        with closing(open_ledger(part)) as ledger:
            wrong = ledger.check()
    except SchemaTooNew as error:
        hint = "Nothing was changed. Restore it with the stibgate that wrote it, or a newer one."
        raise SchemaTooNew(f"{file}: {error.message}", hint=hint) from error
    except (StoreError, sqlite.Error) as error:
        told = classify(error)
        if isinstance(told, StoreFull):
            raise StoreFull(f"no space left to check {file}", hint="Free space beside the store.") from error
        wrong = [str(told).replace(str(part), "it")]
    if wrong:
        more = f", and {len(wrong) - 1} findings more" if len(wrong) > 1 else ""
        raise StoreDamaged(
            f"{file} is no sound copy of a store: {wrong[0]}{more}",
            hint="Nothing was changed. Keep it, and take an older copy.",
        )
    return copy, migrated


def _migrated(part: Path, copy: Copy, note: AuditEntry | None) -> Sequence[str]:
    database = open_writer(part, durability="full")
    with closing(database.conn):
        migrated = migrate(database)
        if note is not None:
            found = {"deliveries": sum(copy.deliveries.values()), "newest_at_ms": copy.newest_at_ms or 0}
            append_audit(database, replace(note, detail=found))
    fold(part)
    return tuple(migrated)


def _set_aside(store: Path, aside: Path) -> Path | None:
    """Give the present store a second name, *aside*, and leave its own without a log; None when there is none.

    A second name and not another one: so the store's name leads to a whole database until the rename that follows.
    """
    if aside.exists():
        raise StoreError(
            f"{aside} exists already", hint="Nothing was changed. Try again in a second: its name will be another."
        )
    try:
        if store.exists():
            fold(store)
    except sqlite.Error as error:
        if primary_code(error) not in UNREADABLE:
            raise classify(error) from error
    # A damaged store could not be folded: it is kept with its log, which may have what a rescue needs.
    names = [suffix for suffix in ("", *_LOGS) if _beside(store, suffix).exists()]
    for suffix in names:
        os.link(_beside(store, suffix), _beside(aside, suffix))
    sync(store.parent)
    for suffix in names:
        if suffix:
            _beside(store, suffix).unlink()
    return aside if names else None


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _give_to_owner(store: Path, *paths: Path) -> None:
    """Give *paths* to the user whose store it is, when root puts it back."""
    if os.geteuid() == 0:
        owner = (store if store.exists() else store.parent).stat()
        for path in paths:
            os.chown(path, owner.st_uid, owner.st_gid)
