"""SQLite connections, opened one way; the only module that imports SQLite.

`sqlite_utils` picks `pysqlite3` when it is installed; mixing two modules breaks `except` clauses, so
everybody takes `sqlite3` from here.
"""

import os
from contextlib import closing, suppress
from pathlib import Path
from pwd import getpwuid
from urllib.parse import quote

from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from stibgate.errors import NoStore, PermissionRefused, StoreDamaged, StoreError, StoreFull, StoreUnavailable

__all__ = ["FATAL_CODES", "classify", "copy_pages", "fold", "open_reader", "open_writer", "sqlite3", "sqlite_version"]

BUSY_TIMEOUT_S = 5
SYNCHRONOUS = {"full": 2, "normal": 1}
CHECKPOINT_PAGES = 4000
JOURNAL_BYTES = 64 * 1024 * 1024
COPY_PAGES = 4096
"""Between so many pages a copy can be interrupted."""

_BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB = 5, 6, 8, 10, 11, 13, 14, 26
UNREADABLE = frozenset({_IOERR, _CORRUPT, _NOTADB})
"""With these a database cannot be read to its end."""
FATAL_CODES = frozenset({_READONLY, _IOERR, _CORRUPT, _CANTOPEN, _NOTADB})
"""After these nothing more may be acknowledged by this process: a later sync may falsely succeed."""


def sqlite_version() -> str:
    """Return the version of the SQLite library that is in use."""
    version: str = sqlite3.sqlite_version
    return version


def primary_code(error: BaseException) -> int:
    """Return SQLite's primary result code of *error*, 0 when it has none."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def classify(error: BaseException) -> BaseException:
    """Return *error* as one of our own when SQLite raised it, else unchanged."""
    if not isinstance(error, sqlite3.Error):
        return error
    code = primary_code(error)
    if code == _FULL:
        return StoreFull("the disk is full", hint="Free space on the store's disk; nothing was acknowledged meanwhile.")
    if code in {_BUSY, _LOCKED}:
        return StoreUnavailable("the store is busy", hint="Another program writes to the database; stop it.")
    if code in {_CORRUPT, _NOTADB}:
        return StoreDamaged(
            f"the store is damaged: {error}",
            hint="Stop the service, move the file aside, keep it, and restore a backup; stibgate never deletes it.",
        )
    return StoreUnavailable(
        f"the store failed: {error}",
        hint="Restart stibgate; if it does not start, check the disk and `stibgate db check`.",
    )


def open_writer(path: Path, *, durability: str) -> Database:
    """Return the one connection that writes and checkpoints, with WAL and *durability* read back.

    Raises:
        PermissionRefused: The folder or file cannot be written.
        StoreError: The file is not a database, or refuses WAL or the synchronous level.
    """
    _make_parent(path)
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_S, cached_statements=512
        )
    except sqlite3.Error as error:
        raise _cannot_open(path, error) from error
    try:
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute(f"PRAGMA synchronous={SYNCHRONOUS[durability]}")
        (level,) = connection.execute("PRAGMA synchronous").fetchone()
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit={JOURNAL_BYTES}")
        connection.execute("PRAGMA cache_size=-32768")
    except sqlite3.Error as error:
        connection.close()
        raise _cannot_open(path, error) from error
    if mode != "wal" or level != SYNCHRONOUS[durability]:
        connection.close()
        raise StoreError(
            f"{path} does not keep journal_mode=WAL and synchronous={durability}: got {mode}, {level}",
            hint="Put the database on a local disk; WAL does not work on network file systems.",
        )
    sync(path.parent)
    return Database(connection, execute_plugins=False)


def open_reader(path: Path) -> Database:
    """Return a read-only connection; it needs no running service.

    Raises:
        NoStore: There is no database.
        PermissionRefused: It is not for this user to read.
        StoreError: It cannot be read.
    """
    try:
        there = path.exists()
    except PermissionError as error:
        raise _forbidden(path, error) from error
    if not there:
        raise NoStore(f"there is no store at {path}", hint="Start `stibgate serve` once, or check storage.url.")
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_S,
        )
    except sqlite3.Error as error:
        raise _cannot_open(path, error) from error
    try:
        connection.execute("PRAGMA query_only=ON")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        connection.close()
        raise _cannot_open(path, error) from error
    return Database(connection, execute_plugins=False)


def copy_pages(path: Path, to: Path) -> None:
    """Copy the database at *path*, as it is at this moment, into the empty file *to*, while others write it.

    One read transaction spans the copy: SQLite's backup then neither sees nor starts over for a commit meanwhile. No
    other connection commits or checkpoints for it; the writer's log only grows until the copy is done.

    Raises:
        StoreError: *path* cannot be read.
        sqlite3.Error: SQLite could not copy it.
    """
    with closing(open_reader(path).conn) as source, closing(sqlite3.connect(to, isolation_level=None)) as target:
        target.execute("PRAGMA journal_mode=OFF")  # nobody sees *to* before it is whole, and its maker syncs it
        target.execute("PRAGMA synchronous=OFF")
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # here the transaction begins
        source.backup(target, pages=COPY_PAGES)
    fold(to)


def fold(path: Path) -> None:
    """Bring the write-ahead log of the database at *path* into the file, and let SQLite remove the log.

    The database is one file afterwards, until somebody opens it with `open_writer` again.

    Raises:
        StoreUnavailable: Another program has it open.
        sqlite3.Error: SQLite could not.
    """
    with closing(
        sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)
    ) as connection:
        try:
            connection.execute("PRAGMA journal_mode=DELETE").fetchone()
        except sqlite3.Error as error:
            if primary_code(error) not in {_BUSY, _LOCKED}:
                raise
            raise StoreUnavailable(
                f"another program has {path} open", hint="Wait for commands and tools that read it, then try again."
            ) from error


def _make_parent(path: Path) -> None:
    try:
        make_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.close(descriptor)
    except OSError as error:
        raise PermissionRefused(
            f"cannot write {path}: {error.strerror}",
            hint="storage.url must name a file in a folder that this user may write.",
        ) from error


def make_folder(folder: Path) -> None:
    """Make *folder* and what is missing above it, so that their names survive a power cut."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        sync(one.parent)


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut; SQLite syncs the file, not its folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_open(path: Path, error: Exception) -> StoreError | PermissionRefused:
    if primary_code(error) in {_READONLY, _CANTOPEN}:
        return _forbidden(path, error)
    if primary_code(error) in {_NOTADB, _CORRUPT}:
        return StoreError(
            f"{path} is not a sound SQLite database: {error}",
            hint="Move the file aside, keep it, and restore a backup; stibgate never deletes it.",
        )
    return StoreError(f"cannot open {path}: {error}", hint="Check the disk and storage.url.")


def _forbidden(path: Path, error: Exception) -> PermissionRefused:
    """Return the refusal, with whose the store is: people come by a login of their own."""
    hint = "Check the owner and mode of the file and its folder."
    for place in (path, *path.parents):
        with suppress(OSError):
            owner_id = place.stat().st_uid
            if owner_id != os.geteuid():
                name = _user(owner_id)
                hint = f"{place} belongs to {name}: run this as that user, for example with `sudo -u {name}`."
            break
    reason = error.strerror if isinstance(error, OSError) else error
    return PermissionRefused(f"cannot open {path}: {reason}", hint=hint)


def _user(user_id: int) -> str:
    """Return the name of a user, or `#ID` as sudo takes it where there is none."""
    try:
        return getpwuid(user_id).pw_name
    except KeyError:
        return f"#{user_id}"
