"""The SQLite store: one file, one writer thread, read-only connections for everybody else."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlite_utils import Database

from stibgate.domain.delivery import Admission, Delivery, StoredDelivery
from stibgate.domain.record import Record
from stibgate.domain.task import Settlement, Task
from stibgate.errors import StoreFull, StoreGone, StoreUnavailable
from stibgate.stores import Processed, statements
from stibgate.stores.connection import classify, open_reader, open_writer, sqlite3
from stibgate.stores.ledger import SqliteLedger
from stibgate.stores.lock import InstanceLock
from stibgate.stores.migrations import migrate
from stibgate.stores.writer import Writer

T = TypeVar("T")

CHUNK_RECORDS = 500
"""Records in one transaction: a push of 50,000 must not hold up acknowledgements for seconds."""

DISK_CHECK_S = 1.0
_MIB = 1024 * 1024


class SqliteStore:
    """Inbox and Queue over one SQLite file; holds its lock until `close`.

    Args:
        path: The database file; its folder also holds the lock.
        durability: `full` or `normal`.
        commit_max_rows: Most operations in one commit.
        commit_timeout_s: How long anybody waits for a commit.
        min_free_bytes: Below this much free space nothing is admitted.
        on_failed: Called once when the store must not be written any more.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: str = "full",
        commit_max_rows: int = 128,
        commit_timeout_s: float = 10.0,
        min_free_bytes: int = 0,
        on_failed: Callable[[StoreUnavailable], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._min_free_bytes = min_free_bytes
        self._disk_checked_at_s = float("-inf")
        self._free_bytes = 0
        self._lock = InstanceLock(path)
        try:
            database = open_writer(path, durability=durability)
            try:
                self.migrated = migrate(database)
                self._reader = open_reader(path)
            except BaseException:
                database.conn.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        self._ledger = SqliteLedger(self._reader, path)
        self._hash_key = self._ledger.hash_key
        files = (path, path.with_name(path.name + "-wal"))
        self._files = {file: _identity(file) for file in files if file.exists()}
        self._writer = Writer(
            database,
            commit_max_rows=commit_max_rows,
            commit_timeout_s=commit_timeout_s,
            on_failed=on_failed,
            still_there=self._still_there,
        )
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="stibgate-reader")

    async def close(self) -> None:
        """Commit what waits, checkpoint, and give the lock back."""
        await self._writer.close()
        self._reading.shutdown()
        self._reader.conn.close()
        self._lock.release()

    @property
    def alive(self) -> bool:
        """Whether the writer can still commit."""
        return self._writer.alive

    @property
    def hash_key(self) -> bytes:
        """The 32-byte key under which people are hashed, in the store and in logs."""
        return self._hash_key

    def check_disk(self) -> None:
        """Raise before anything is read, when nothing could be stored; looks at most once a second.

        Raises:
            StoreFull: Free space is below `min_free`.
            StoreGone: The database was deleted or replaced.
        """
        now_s = asyncio.get_running_loop().time()
        if now_s - self._disk_checked_at_s >= DISK_CHECK_S:
            self._still_there()
            disk = os.statvfs(self._path.parent)
            self._free_bytes = disk.f_bavail * disk.f_frsize
            self._disk_checked_at_s = now_s
        if self._free_bytes < self._min_free_bytes:
            wanted = self._min_free_bytes / _MIB
            raise StoreFull(
                f"{self._free_bytes / _MIB:.1f} MiB free, less than storage.min_free ({wanted:.1f} MiB)",
                hint="Free space on the store's disk; deliveries are refused with 507 until then.",
            )

    def _still_there(self) -> None:
        """Raise when the names of the database do not lead to the open files any more."""
        try:
            known = all(_identity(path) == identity for path, identity in self._files.items())
        except OSError:
            known = False
        if not known:
            raise StoreGone(
                f"the database {self._path} was deleted or replaced while the service ran",
                hint="Put the file back if you can, then restart; what was not acknowledged will be sent again.",
            )

    async def admit(self, delivery: Delivery, *, only_if_new: bool = False) -> Admission:
        """Store *delivery* once; see `stores.Inbox.admit`."""
        self.check_disk()
        return await self._writer.submit(partial(statements.admit, delivery=delivery, only_if_new=only_if_new))

    async def flush(self) -> None:
        """Wait for the commits before; see `stores.Inbox.flush`."""
        await self._writer.submit(lambda _: None)

    async def pin(self, source: str, scheme: Mapping[str, Any]) -> Mapping[str, Any]:
        """Pin a scheme; see `stores.Inbox.pin`."""
        return await self._writer.submit(lambda db: statements.pin(db, source, scheme))

    async def pins(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the pinned schemes; see `stores.Inbox.pins`."""
        return await self._read(self._ledger.pins)

    async def accepted(self, *, limit: int) -> Sequence[tuple[StoredDelivery, bytes]]:
        """Return what waits for processing; see `stores.Queue.accepted`."""
        return await self._read(partial(self._ledger.accepted, limit))

    async def process(self, processed: Processed) -> None:
        """Store records and enqueue tasks; see `stores.Queue.process`."""
        records = processed.records
        chunks = [records[start : start + CHUNK_RECORDS] for start in range(0, len(records), CHUNK_RECORDS)]
        store = partial(statements.store_records, delivery_id=processed.delivery_id, hash_key=self._hash_key)
        for chunk in chunks[:-1]:
            await self._writer.submit(partial(store, records=chunk))

        def finish(db: Database) -> None:
            if chunks:
                store(db, records=chunks[-1])
            statements.finish_processing(db, processed)

        await self._writer.submit(finish)

    async def claim(self, *, now_ms: int, lease_ms: int, free: Mapping[str, int]) -> Sequence[Task]:
        """Lease due tasks; see `stores.Queue.claim`."""
        return await self._writer.submit(partial(statements.claim, now_ms=now_ms, lease_ms=lease_ms, free=free))

    async def batch(self, task: Task) -> tuple[StoredDelivery, Sequence[Record]]:
        """Return what a task owes; see `stores.Queue.batch`."""
        return await self._read(partial(self._ledger.batch, task))

    async def settle(self, settlement: Settlement) -> bool:
        """Write how an attempt ended; see `stores.Queue.settle`."""
        outcomes = settlement.outcomes
        for start in range(0, len(outcomes) - CHUNK_RECORDS, CHUNK_RECORDS):
            chunk = outcomes[start : start + CHUNK_RECORDS]
            await self._writer.submit(partial(statements.store_leased_outcomes, settlement=settlement, outcomes=chunk))
        return await self._writer.submit(partial(statements.settle, settlement=settlement))

    async def recover(self, *, now_ms: int) -> int:
        """Give back the leases of a process that is gone; see `stores.Queue.recover`."""
        return await self._writer.submit(partial(statements.recover, now_ms=now_ms))

    async def next_due_ms(self) -> int | None:
        """Return when the next task is due; see `stores.Queue.next_due_ms`."""
        return await self._read(self._ledger.next_due_ms)

    async def unfinished(self) -> int:
        """Return how many deliveries are not finished; see `stores.Queue.unfinished`."""
        return await self._read(self._ledger.unfinished)

    async def _read(self, query: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reading, query)
        except sqlite3.Error as error:
            raise classify(error) from error


def _identity(path: Path) -> tuple[int, int]:
    """Return what tells the file apart from every other one on this machine."""
    found = path.stat()
    return found.st_dev, found.st_ino
