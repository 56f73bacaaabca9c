"""Copies of the store: whole whatever is written meanwhile, and put back without ever losing what was there."""

import asyncio
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from stibgate.domain.access import Role
from stibgate.domain.audit import Action, AuditEntry
from stibgate.errors import (
    NoStore,
    SchemaTooNew,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreUnavailable,
    UsageError,
)
from stibgate.stores import AuditFilter, DeliveryFilter, backup, connection
from stibgate.stores.backup import back_up, restore
from stibgate.stores.connection import open_reader, open_writer
from stibgate.stores.ledger import open_ledger
from stibgate.stores.lock import InstanceLock
from stibgate.stores.migrations import MIGRATIONS, known, migrate
from stibgate.stores.sqlite import SqliteStore
from tests.stores.test_kill import ADMIT_FOR_EVER
from tests.stores.world import NOW_MS, make_delivery


def names(path):
    """Return the deliveries of a sound store; it must break no law."""
    with closing(open_ledger(path)) as ledger:
        assert ledger.check() == []
        return {one.delivery_id for one in ledger.deliveries(DeliveryFilter(), limit=None)}


async def fill(path, *numbers):
    """Admit deliveries, and close the store cleanly."""
    store = SqliteStore(path)
    for number in numbers:
        await store.admit(make_delivery(number))
    await store.close()


def beside(path):
    """Return what lies in the folder of *path*."""
    return {one.name for one in path.parent.iterdir()}


@pytest.fixture
async def store(tmp_path):
    """A store with `d1` and `d2`."""
    path = tmp_path / "data/stibgate.db"
    await fill(path, 1, 2)
    return path


@pytest.fixture
async def copy(store, tmp_path):
    """A copy of it; the store itself has `d3` by now."""
    to = tmp_path / "copies/one.db"
    back_up(store, to)
    await fill(store, 3)
    return to


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory):
    """A store whose process was killed with its log not yet in the file, and what that was told to be stored."""
    path = tmp_path_factory.mktemp("killed") / "stibgate.db"
    with subprocess.Popen([sys.executable, "-c", ADMIT_FOR_EVER, path, "k"], stdout=subprocess.PIPE) as process:
        told = {process.stdout.readline().decode().strip() for _ in range(40)}
        process.kill()
    assert path.with_name(f"{path.name}-wal").stat().st_size
    return path, told


@pytest.fixture
def killed(killed_once, tmp_path):
    """The same, for one test alone."""
    path, told = killed_once
    shutil.copytree(path.parent, tmp_path / "killed")
    return tmp_path / "killed" / path.name, told


def test_a_copy_is_one_sound_file(store, tmp_path):
    """A copy is mode 0600, has everything, needs no log beside it, and says what it is."""
    found = back_up(store, tmp_path / "copies/one.db")
    assert names(found.path) == {"d1", "d2"}
    assert (found.deliveries, found.tasks, found.schema_version) == ({"accepted": 2}, {}, len(known()))
    assert stat.S_IMODE(found.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(found.path.parent.stat().st_mode) == 0o700
    assert found.size_bytes == found.path.stat().st_size
    assert found.sha256 == hashlib.sha256(found.path.read_bytes()).hexdigest()
    assert beside(found.path) == {"one.db"}


def test_a_copy_has_all_that_was_acknowledged_before_it_began(tmp_path):
    """While a process admits as fast as it can: what it was told to be stored before the copy began is in the copy."""
    path = tmp_path / "stibgate.db"
    with subprocess.Popen([sys.executable, "-c", ADMIT_FOR_EVER, path, "w"], stdout=subprocess.PIPE) as process:
        try:
            for number in range(3):
                told = {process.stdout.readline().decode().strip() for _ in range(150)}
                found = back_up(path, tmp_path / f"{number}.db")
                assert told <= names(found.path)
            assert process.poll() is None
        finally:
            process.kill()
    assert names(path) > names(found.path)


async def test_a_commit_meanwhile_neither_shows_nor_begins_the_copy_anew(store, tmp_path, monkeypatch):
    """A copy is of one moment: a writer that commits between all its pages does not keep it from its end."""
    monkeypatch.setattr(connection, "COPY_PAGES", 1)
    writing, done = SqliteStore(store, durability="normal"), threading.Event()
    await writing.admit(make_delivery(3, body=bytes(4096 * 4000)))
    making = asyncio.create_task(asyncio.to_thread(back_up, store, tmp_path / "copy.db"))
    making.add_done_callback(lambda _: done.set())
    number = 3
    while not done.is_set() and number < 3_000:
        number += 1
        await writing.admit(make_delivery(number))
    await making
    assert number < 3_000, "the copy ended with the writer, and not before"
    await writing.close()
    assert {"d1", "d2"} <= names(tmp_path / "copy.db") < names(store)


def test_nothing_is_ever_overwritten_by_a_copy(store, tmp_path):
    """A file that is there stays as it is."""
    (tmp_path / "mine.db").write_text("mine")
    with pytest.raises(StoreError, match=r"exists already"):
        back_up(store, tmp_path / "mine.db")
    assert (tmp_path / "mine.db").read_text() == "mine"


def test_half_a_copy_that_a_kill_left_is_in_nobodys_way(store, tmp_path):
    """The hidden file of a killed command is used again; that of one that lives is left alone."""
    part = tmp_path / ".one.db.part"
    part.write_bytes(b"half" * 100_000)
    back_up(store, tmp_path / "one.db")
    assert names(tmp_path / "one.db") == {"d1", "d2"}
    with backup._part(tmp_path / "two.db"), pytest.raises(StoreUnavailable, match="another command"):
        back_up(store, tmp_path / "two.db")
    assert not list(tmp_path.glob(".*.part"))


def test_a_copy_needs_room(store, tmp_path, monkeypatch):
    """Without space for it nothing is begun, in both directions, and nothing is left."""
    copy = back_up(store, tmp_path / "one.db").path
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 0))
    with pytest.raises(StoreFull, match="0 MiB free"):
        back_up(store, tmp_path / "two.db")
    with pytest.raises(StoreFull, match="0 MiB free"):
        restore(store, copy, aside=store.with_name("aside"))
    assert beside(copy) == {"one.db", "data"}
    assert names(store) == {"d1", "d2"}


def test_a_store_that_is_damaged_makes_no_copy(store, tmp_path):
    """What SQLite finds unsound in the copy is said, and no copy is left that somebody would trust."""
    with store.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\xa5" * 4096)
    with pytest.raises(StoreError, match=r"not sound|damaged"):
        back_up(store, tmp_path / "copies/one.db")
    assert beside(tmp_path / "copies/one.db") == set()


def test_the_copy_takes_the_stores_place(store, copy):
    """The store is the copy afterwards; the one before it is kept whole under the other name."""
    aside = store.with_name("aside.db")
    done = restore(store, copy, aside=aside)
    assert (done.kept, done.migrated, done.copy.deliveries) == (aside, (), {"accepted": 2})
    assert names(store) == names(copy) == {"d1", "d2"}
    assert names(aside) == {"d1", "d2", "d3"}
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    assert not store.samefile(aside)


def test_what_was_set_aside_before_stays(store, copy):
    """Two restores within a second would keep two stores under one name: the second one does nothing, and says so."""
    aside = store.with_name("aside.db")
    restore(store, copy, aside=aside)
    there = beside(store)
    with pytest.raises(StoreError, match=r"aside\.db exists already"):
        restore(store, copy, aside=aside)
    assert (beside(store), names(aside)) == (there, {"d1", "d2", "d3"})


def test_the_audit_says_that_it_went_back(store, copy):
    """A restored store knows who put it back and what came with it, in the chain that `db check` holds."""
    note = AuditEntry(NOW_MS + 1, "dana", Role.ADMIN, Action.RESTORE)
    restore(store, copy, aside=store.with_name("aside.db"), note=note)
    with closing(open_ledger(store)) as ledger:
        (line,) = ledger.audit(AuditFilter(), limit=None)
        assert ledger.check() == []
    assert (line.entry.actor, line.entry.action) == ("dana", Action.RESTORE)
    assert line.entry.detail == {"deliveries": 2, "newest_at_ms": NOW_MS}


def test_a_dry_run_only_looks(store, copy):
    """`dry_run` checks the copy while a service runs, and leaves everything as it is."""
    there = beside(store)
    lock = InstanceLock(store)
    done = restore(store, copy, aside=store.with_name("aside.db"), dry_run=True)
    lock.release()
    assert (done.kept, done.copy.deliveries) == (None, {"accepted": 2})
    assert beside(store) == there
    assert names(store) == {"d1", "d2", "d3"}


def test_a_running_service_keeps_its_store(store, copy):
    """Nothing is replaced under a process that writes it, nor under one that reads it."""
    lock = InstanceLock(store)
    with pytest.raises(StoreLocked):
        restore(store, copy, aside=store.with_name("aside.db"))
    lock.release()
    with closing(open_reader(store).conn) as reading:
        reading.execute("BEGIN")
        reading.execute("SELECT * FROM meta").fetchone()
        with pytest.raises(StoreUnavailable, match=r"has .* open"):
            restore(store, copy, aside=store.with_name("aside.db"))
    assert names(store) == {"d1", "d2", "d3"}


def test_what_lies_in_the_log_of_a_killed_process_is_kept(copy, killed):
    """The store that is set aside has what a killed process had committed; the restored one has none of it."""
    store, told = killed
    restore(store, copy, aside=store.with_name("aside.db"))
    assert told <= names(store.with_name("aside.db"))
    assert names(store) == {"d1", "d2"}


def test_a_damaged_store_is_kept_as_it_lies(store, copy):
    """What cannot be read is what a restore is for: no byte of it is changed."""
    with store.open("r+b") as file:
        file.write(b"\xa5" * 100)
    was, aside = store.read_bytes(), store.with_name("aside.db")
    restore(store, copy, aside=aside)
    assert aside.read_bytes() == was
    assert names(store) == {"d1", "d2"}


def test_a_damaged_store_is_kept_with_its_log(copy, killed, monkeypatch):
    """A log that could not be brought into its file is kept beside it, and never lies beside another."""
    store, told = killed
    aside = store.with_name("aside.db")

    def fold(path):
        if path == store:
            error = connection.sqlite3.DatabaseError("file is not a database")
            error.sqlite_errorcode = 26
            raise error
        connection.fold(path)

    monkeypatch.setattr(backup, "fold", fold)
    log = store.with_name("stibgate.db-wal").read_bytes()
    restore(store, copy, aside=aside)
    assert aside.with_name("aside.db-wal").read_bytes() == log
    assert names(store) == {"d1", "d2"}
    assert told <= names(aside)


def test_a_lost_store_is_replaced(copy, tmp_path):
    """On a new disk there is no store, and not even its folder."""
    store = tmp_path / "new/data/stibgate.db"
    assert restore(store, copy, aside=store.with_name("aside.db")).kept is None
    assert names(store) == {"d1", "d2"}


def test_an_older_copy_is_brought_up_to_date(store, tmp_path):
    """A copy that an earlier release made is migrated before it takes the store's place."""
    old = tmp_path / "old.db"
    database = open_writer(old, durability="full")
    MIGRATIONS.apply(database, stop_before=known()[2])
    database.conn.execute("INSERT INTO meta (name, value) VALUES ('hash_key', randomblob(32))")
    database.conn.close()
    done = restore(store, old, aside=store.with_name("aside.db"))
    assert (done.copy.schema_version, done.migrated) == (2, known()[2:])
    assert names(store) == set()


def _newer(path):
    with closing(open_writer(path, durability="full").conn) as db:
        db.execute("UPDATE _sqlite_migrations SET name = 'm999_later' WHERE name = ?", (known()[-1],))


def _page(path):
    with path.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\xa5" * 4096)


def _lawless(path):
    with closing(open_writer(path, durability="full").conn) as db:
        db.execute("DELETE FROM bodies WHERE sequence = 1")


def _foreign(path):
    path.unlink()
    with closing(open_writer(path, durability="full").conn) as db:
        db.execute("CREATE TABLE theirs (x)")


def _empty(path):
    path.write_bytes(b"")


def _text(path):
    path.write_text("-- a dump\n" * 1000)


def _half(path):
    os.truncate(path, path.stat().st_size // 2)


def _logged(path):
    path.with_name(f"{path.name}-wal").write_bytes(b"newest")


UNFIT = [
    (_newer, SchemaTooNew, "newer"),
    (_page, StoreDamaged, "no sound copy"),
    (_half, StoreDamaged, "no sound copy"),
    (_lawless, StoreDamaged, "a delivery without its body: d1"),
    (_foreign, StoreDamaged, "holds no store"),
    (_empty, StoreDamaged, "holds no store"),
    (_text, StoreDamaged, "no sound copy"),
    (_logged, UsageError, "log beside it"),
    (Path.unlink, NoStore, "no file"),
]


@pytest.mark.parametrize(("spoil", "error", "said"), UNFIT, ids=lambda one: getattr(one, "__name__", ""))
def test_what_is_no_sound_copy_changes_nothing(store, copy, spoil, error, said):
    """Whatever is wrong with the file is said with its name and a hint, and the store stays as it was."""
    spoil(copy)
    there = beside(store)
    with pytest.raises(error, match=said) as refused:
        restore(store, copy, aside=store.with_name("aside.db"))
    assert str(copy) in refused.value.message
    assert refused.value.hint
    assert beside(store) == there
    assert names(store) == {"d1", "d2", "d3"}


def test_the_store_is_no_copy_of_itself(store):
    """Naming the store, by whichever name, is refused."""
    link = store.with_name("link.db")
    link.symlink_to(store)
    with pytest.raises(UsageError, match="the store itself"):
        restore(store, link, aside=store.with_name("aside.db"))


def test_root_gives_the_store_back_to_its_user(store, copy):
    """A store that root puts back belongs to the user whose service runs on it, and so does the lock."""
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    os.chown(store, 4321, 4321)
    lock = store.with_name(f"{store.name}.lock")
    lock.unlink()
    restore(store, copy, aside=store.with_name("aside.db"))
    assert {path.stat().st_uid for path in (store, lock, store.with_name("aside.db"))} == {4321}


STEPS = [(os, "link"), (os, "fsync"), (Path, "unlink"), (Path, "rename"), (shutil, "copyfileobj"), (backup, "fold")]


def _die_at(step):
    """Make this process end, as `kill -9` ends it, before its *step*-th change to the files."""
    left = [step]

    def watched(change):
        def dying(*given, **named):
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
            return change(*given, **named)

        return dying

    for owner, name in STEPS:
        setattr(owner, name, watched(getattr(owner, name)))


@pytest.mark.parametrize("was", ["closed", "killed"])
def test_a_kill_at_any_step_leaves_a_whole_store(copy, killed_once, tmp_path, was):
    """Killed before each change in turn, the store is the old one or the new one, whole, and a second try succeeds."""
    first, old = killed_once
    if was == "closed":
        first, old = tmp_path / "first/stibgate.db", {"d7"}
        asyncio.run(fill(first, 7))
    for step in range(40):
        folder = tmp_path / f"step{step}"
        shutil.copytree(first.parent, folder)
        store, aside = folder / "stibgate.db", folder / "aside.db"
        child = os.fork()
        if child == 0:
            _die_at(step)
            restore(store, copy, aside=aside)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        database = open_writer(store, durability="full")  # as the service opens it
        migrate(database)
        database.conn.close()
        found = names(store)
        assert found == {"d1", "d2"} or found >= old
        if code == 0:
            assert found == {"d1", "d2"}
            break
        if not found >= old:
            assert names(aside) >= old
        restore(store, copy, aside=folder / "again.db")
        assert names(store) == {"d1", "d2"}
    else:
        raise AssertionError("it never came to its end")
    assert step > 5
