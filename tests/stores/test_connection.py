"""Opening a store: what is promised is read back, and whatever cannot be promised stops the start with a hint."""

import asyncio
import contextlib
import errno
import itertools
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from pwd import getpwuid

import pytest

from stibgate.errors import (
    EXIT_CONFIG,
    EXIT_PERMISSION,
    EXIT_TEMPORARY,
    PermissionRefused,
    SchemaTooNew,
    StoreError,
    StoreFull,
    StoreLocked,
)
from stibgate.stores import connection
from stibgate.stores.connection import open_reader, open_writer, sqlite3
from stibgate.stores.ledger import open_ledger
from stibgate.stores.lock import InstanceLock
from stibgate.stores.migrations import known, migrate
from stibgate.stores.sqlite import SqliteStore
from tests.stores.world import EVERYTHING, make_delivery


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "stibgate.db"


def pragma(database, name):
    return database.conn.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.fixture
async def filled(path):
    """Return the path of a store with one delivery in it."""
    store = SqliteStore(path)
    await store.admit(make_delivery(1))
    await store.close()
    return path


@pytest.mark.parametrize(("durability", "level"), [("full", 2), ("normal", 1)])
def test_durability(path, durability, level):
    """The writing connection has WAL and the synchronous level that was asked for, over any default of the build."""
    database = open_writer(path, durability=durability)
    assert (pragma(database, "journal_mode"), pragma(database, "synchronous")) == ("wal", level)
    database.conn.close()


class DeafToSynchronous(sqlite3.Connection):
    def execute(self, sql, *values):
        return super().execute(sql.replace("synchronous=2", "synchronous=1"), *values)


class DeafToWal(sqlite3.Connection):
    def execute(self, sql, *values):
        return super().execute(sql.replace("journal_mode=WAL", "journal_mode=DELETE"), *values)


@pytest.mark.parametrize("factory", [DeafToSynchronous, DeafToWal])
def test_durability_is_read_back(path, monkeypatch, factory):
    """A build that does not do as it is told is noticed at the start, not after a power cut."""
    monkeypatch.setattr(connection.sqlite3, "connect", partial(sqlite3.connect, factory=factory))
    with pytest.raises(StoreError, match="does not keep journal_mode=WAL and synchronous=full") as refused:
        open_writer(path, durability="full")
    assert refused.value.hint


def test_new_files_are_private(path):
    """The database and the lock are readable by their owner only."""
    open_writer(path, durability="full").conn.close()
    InstanceLock(path).release()
    assert {p.name: p.stat().st_mode & 0o777 for p in path.parent.iterdir()} == {
        "stibgate.db": 0o600,
        "stibgate.db.lock": 0o600,
    }


@pytest.mark.parametrize("sql", ["DELETE FROM deliveries", "CREATE TABLE x (y)", "PRAGMA user_version=3"])
async def test_a_reader_cannot_write(filled, sql):
    """Reading connections cannot change the file, even when they are asked to."""
    database = open_reader(filled)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.conn.execute(sql)
    database.conn.close()
    ledger = open_ledger(filled)
    assert len(ledger.deliveries(EVERYTHING, limit=None)) == 1
    ledger.close()


def test_reading_what_is_somebody_else_s(path, monkeypatch):
    """Whoever may not look into the folder is told whose it is; the store counts as forbidden, not as absent."""

    def forbidden(_path):
        raise PermissionError(13, "Permission denied", str(path))

    path.parent.mkdir()
    monkeypatch.setattr(Path, "exists", forbidden)
    with pytest.raises(PermissionRefused, match="Permission denied") as told:
        open_reader(path)
    assert told.value.hint == "Check the owner and mode of the file and its folder."
    monkeypatch.setattr(os, "geteuid", lambda: path.parent.stat().st_uid + 1)
    with pytest.raises(PermissionRefused) as told:
        open_reader(path)
    assert f"`sudo -u {getpwuid(path.parent.stat().st_uid).pw_name}`" in told.value.hint


def test_reading_what_is_not_there(path):
    """Reading creates nothing: without a database it says so."""
    with pytest.raises(StoreError, match="there is no store") as refused:
        open_ledger(path)
    assert refused.value.hint
    assert not path.parent.exists()


@pytest.mark.parametrize("schema", ["", "CREATE TABLE notes (text)"], ids=["empty", "foreign"])
def test_reading_what_is_no_store(tmp_path, schema):
    """A database in which stibgate never wrote is named as such, not read until a table is missing."""
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.executescript(schema)
    other.close()
    path.touch()
    with pytest.raises(StoreError, match="holds no store") as refused:
        open_ledger(path)
    assert refused.value.hint


@pytest.mark.parametrize("content", [b"this is not a database\n" * 500, b"SQLite format 3\x00" + b"\xff" * 8192])
async def test_not_a_database(path, content):
    """A file that is no database stops the start and is left as it was."""
    path.parent.mkdir()
    path.write_bytes(content)
    for opening in (partial(SqliteStore, path), partial(open_ledger, path)):
        with pytest.raises(StoreError) as refused:
            opening()
        assert str(path) in refused.value.message
        assert refused.value.hint
    assert path.read_bytes() == content
    InstanceLock(path).release()


async def test_a_damaged_database(filled):
    """Damage inside the file is said by the check or at the start, in our words, never as a traceback of SQLite's."""
    content = bytearray(filled.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    filled.write_bytes(content)
    with pytest.raises(StoreError) as refused:
        SqliteStore(filled)
    assert refused.value.hint
    InstanceLock(filled).release()


async def test_check_of_a_damaged_table(filled):
    """The check of a file that cannot be read to its end says what is wrong with it."""
    database = open_reader(filled)
    (page,) = database.conn.execute("SELECT rootpage FROM sqlite_master WHERE name = 'deliveries'").fetchone()
    database.conn.close()
    content = bytearray(filled.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xee" * 4096
    filled.write_bytes(content)
    ledger = open_ledger(filled)
    assert list(ledger.check())
    ledger.close()


async def test_a_newer_schema(filled):
    """A store that a newer stibgate wrote is neither written nor read, and exits 78 with a hint."""
    other = sqlite3.connect(filled)
    columns = [row[1] for row in other.execute("PRAGMA table_info(_sqlite_migrations)")]
    row = dict(zip(columns, other.execute("SELECT * FROM _sqlite_migrations").fetchone(), strict=True))
    row = {**row, "name": "m999_future", **({"id": 999} if "id" in row else {})}
    other.execute(
        f"INSERT INTO _sqlite_migrations ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values())
    )
    other.commit()
    other.close()
    for opening in (partial(SqliteStore, filled), partial(open_ledger, filled)):
        with pytest.raises(SchemaTooNew, match="m999_future") as refused:
            opening()
        assert refused.value.exit_code == EXIT_CONFIG == 78
        assert refused.value.hint
    InstanceLock(filled).release()


def test_migrations(path):
    """Migrating twice changes nothing the second time, and the hash key is made once."""
    database = open_writer(path, durability="full")
    assert tuple(migrate(database)) == known()
    (key,) = database.conn.execute("SELECT value FROM meta WHERE name = 'hash_key'").fetchone()
    assert len(key) == 32
    assert tuple(migrate(database)) == ()
    assert database.conn.execute("SELECT value FROM meta WHERE name = 'hash_key'").fetchone() == (key,)
    assert not database.conn.in_transaction
    database.conn.close()


# -- one process a store

HOLD = """
import sys
from pathlib import Path
from stibgate.stores.lock import InstanceLock
lock = InstanceLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


async def test_second_process(path):
    """A store that a living process holds is refused with 75 and its pid; kill -9 gives it back."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(
            StoreLocked, match=rf"process {holder.pid} uses the store {re.escape(str(path))}"
        ) as refused:
            SqliteStore(path)
        assert refused.value.exit_code == EXIT_TEMPORARY == 75
        assert refused.value.hint
        assert not path.exists()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    store = SqliteStore(path)
    with pytest.raises(StoreLocked, match=f"process {os.getpid()} "):
        InstanceLock(path)
    await store.close()
    InstanceLock(path).release()


async def test_a_failed_start_gives_the_lock_back(path):
    """A store that could not be opened holds nothing afterwards."""
    path.parent.mkdir()
    path.mkdir()
    with pytest.raises((StoreError, PermissionRefused)):
        SqliteStore(path)
    InstanceLock(path).release()


# -- disks


def mount(folder, *options):
    """Mount a small file system of its own at *folder*, or skip and say why."""
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"cannot mount here: {made.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    mount(folder, "-t", "tmpfs", "-o", "size=2m", "tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def read_only(tmp_path):
    folder = tmp_path / "read_only"
    mount(folder, "-t", "tmpfs", "-o", "size=2m,ro", "tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("inside", ["stibgate.db", "new/folder/stibgate.db"])
async def test_read_only_folder(read_only, inside):
    """A folder that cannot be written stops the start with 77, the path and a hint."""
    path = read_only / inside
    for opening in (partial(SqliteStore, path), partial(open_writer, path, durability="full")):
        with pytest.raises(PermissionRefused, match=re.escape(str(path))) as refused:
            opening()
        assert refused.value.exit_code == EXIT_PERMISSION == 77
        assert refused.value.hint


async def test_min_free(path):
    """Below `min_free` a delivery is refused before anything is written."""
    store = SqliteStore(path, min_free_bytes=2**62)
    before = sorted((p.name, p.stat().st_size) for p in path.parent.iterdir())
    for only_if_new in (False, True):
        with pytest.raises(StoreFull, match="min_free") as refused:
            await store.admit(make_delivery(1), only_if_new=only_if_new)
        assert refused.value.exit_code == EXIT_TEMPORARY
        assert refused.value.hint
    assert sorted((p.name, p.stat().st_size) for p in path.parent.iterdir()) == before
    assert store.alive
    await store.close()


def fill(folder):
    """Leave no free byte in *folder*; return the file that took them."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        file.writelines(itertools.repeat(bytes(4096)))
    return filler


async def admit_all(store, numbers, size):
    """Return the ids of the deliveries that were acknowledged; the others were refused as `StoreFull`."""
    deliveries = [make_delivery(n, body=b"%d " % n + bytes(size)) for n in numbers]
    results = await asyncio.gather(*map(store.admit, deliveries), return_exceptions=True)
    refused = [r for r in results if isinstance(r, BaseException)]
    assert all(isinstance(r, StoreFull) and r.hint for r in refused), refused
    return [r.delivery_id for r in results if not isinstance(r, BaseException)]


def check_holds(path, acknowledged):
    """The file holds exactly what was acknowledged, whole."""
    ledger = open_ledger(path)
    assert list(ledger.check()) == []
    stored = [d.delivery_id for d in ledger.deliveries(EVERYTHING, limit=None)]
    assert sorted(stored) == sorted(acknowledged)
    assert all(ledger.body(name).startswith(b"%s " % name[1:].encode()) for name in stored)
    ledger.close()


async def test_disk_full(small_disk):
    """A full disk refuses what does not fit and stores nothing half; with space again it works without a restart."""
    path = small_disk / "stibgate.db"
    store = SqliteStore(path)
    acknowledged = await admit_all(store, range(4), 1_000)
    assert len(acknowledged) == 4
    filler = fill(small_disk)
    for start in range(10, 30, 10):
        acknowledged += await admit_all(store, range(start, start + 10), 100_000)
    assert len(acknowledged) < 24
    check_holds(path, acknowledged)
    filler.unlink()
    assert store.alive
    later = await admit_all(store, range(100, 104), 50_000)
    assert len(later) == 4
    check_holds(path, acknowledged + later)
    await store.close()
    check_holds(path, acknowledged + later)


async def test_start_and_stop_on_a_full_disk(small_disk):
    """On a full disk a store closes without an error, and opening it works or is refused in our words."""
    path = small_disk / "stibgate.db"
    store = SqliteStore(path)
    acknowledged = await admit_all(store, range(20), 20_000)
    filler = fill(small_disk)
    await store.close()
    with contextlib.suppress(StoreError, PermissionRefused):
        store = SqliteStore(path)
        await store.close()
    filler.unlink()
    store = SqliteStore(path)
    check_holds(path, acknowledged)
    await store.close()


async def test_database_full(path):
    """When SQLite may not grow the file, what fits is stored, what does not is refused whole, and growth heals it."""
    store = SqliteStore(path)
    (pages,) = await store._writer.submit(lambda db: db.conn.execute("PRAGMA page_count").fetchone())
    await store._writer.submit(lambda db: db.conn.execute(f"PRAGMA max_page_count={pages + 40}").fetchone())
    acknowledged = [name for number in range(20) for name in await admit_all(store, [number], 40_000)]
    assert 0 < len(acknowledged) < 20
    check_holds(path, acknowledged)
    await store._writer.submit(lambda db: db.conn.execute("PRAGMA max_page_count=100000").fetchone())
    acknowledged += await admit_all(store, range(100, 110), 40_000)
    check_holds(path, acknowledged)
    assert store.alive
    await store.close()
