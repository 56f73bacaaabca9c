"""The SQLite store: one file, one writer thread, read-only connections for everybody else."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlite_utils import Database

from stibgate.domain.backoff import Policy
from stibgate.domain.circuit import USUAL, CircuitPolicy
from stibgate.domain.delivery import Admission, Delivery
from stibgate.domain.fact import Observe, unobserved
from stibgate.domain.rejection import Rejections
from stibgate.domain.tally import Counted
from stibgate.domain.task import Settlement, Task
from stibgate.errors import StoreFull, StoreGone, StoreUnavailable
from stibgate.stores import (
    CHUNK_RECORDS,
    Accepted,
    Claim,
    Note,
    Owed,
    Processed,
    Replay,
    ReplayResult,
    Settled,
    Step,
    operating,
    scheduling,
    statements,
    tallies,
)
from stibgate.stores.browser import LIMIT_S, Browser
from stibgate.stores.connection import open_reader, open_writer
from stibgate.stores.filing import file_some
from stibgate.stores.ledger import SqliteLedger
from stibgate.stores.lock import InstanceLock
from stibgate.stores.migrations import migrate
from stibgate.stores.office import noted
from stibgate.stores.sqlite_replays import SqliteReplays
from stibgate.stores.writer import Writer

T = TypeVar("T")

DISK_CHECK_S = 1.0
STUDY_S = 60.0
_MIB = 1024 * 1024


class SqliteStore(SqliteReplays):
    """Everything but the `Ledger` of `stibgate.stores` over one SQLite file; holds its lock until `close`.

    Args:
        path: The database file; its folder also holds the lock.
        durability: `full` or `normal`.
        commit_max_rows: Most operations in one commit.
        commit_timeout_s: How long anybody waits for a commit.
        min_free_bytes: Below this much free space nothing is admitted.
        service: Whether it is held by a service, or by a command that is soon done.
        on_failed: Called once when the store must not be written any more.
        observe: Told of each commit.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: str = "full",
        commit_max_rows: int = 128,
        commit_timeout_s: float = 10.0,
        min_free_bytes: int = 0,
        service: bool = True,
        on_failed: Callable[[StoreUnavailable], None] = lambda _: None,
        observe: Observe = unobserved,
    ) -> None:
        self._path = path
        self._min_free_bytes = min_free_bytes
        self._disk_checked_at_s = float("-inf")
        self._free_bytes = 0
        self._lock = InstanceLock(path, service=service)
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
            observe=observe,
            at_leisure=file_some,
        )
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="stibgate-reader")
        self._browser = Browser(path)

    async def close(self) -> None:
        """Commit what waits, checkpoint, and give the lock back."""
        await self._browser.close()
        await self._writer.close()
        self._reading.shutdown()
        self._reader.conn.close()
        self._lock.release()

    @property
    def alive(self) -> bool:
        """Whether the writer can still commit."""
        return self._writer.alive

    @property
    def committing_s(self) -> float:
        """For how long the commit that is under way has been; 0 when none is."""
        return self._writer.committing_s

    @property
    def writes_waiting(self) -> int:
        """How many operations wait for the writer."""
        return self._writer.waiting

    @property
    def hash_key(self) -> bytes:
        """The 32-byte key under which people are hashed, in the store and in logs."""
        return self._hash_key

    def keep_free(self, min_free_bytes: int) -> None:
        """Admit nothing from now on when less than *min_free_bytes* are free."""
        self._min_free_bytes = min_free_bytes

    def configured_at(self, at_ms: int) -> None:
        """Let commands know that the service works by its configuration as it was then."""
        self._lock.configured_at(at_ms)

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

    async def accepted(self, *, limit: int) -> Sequence[Accepted]:
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
            statements.finish_processing(db, processed, hash_key=self._hash_key)

        await self._writer.submit(finish)

    async def claim(self, sink: str, policy: Policy, *, now_ms: int, limit: int) -> Claim:
        """Lease due tasks; see `stores.Queue.claim`."""
        return await self._writer.submit(
            partial(scheduling.claim, sink=sink, policy=policy, now_ms=now_ms, limit=limit)
        )

    async def owed(self, task: Task) -> Owed:
        """Return what a task owes; see `stores.Queue.owed`."""
        return await self._read(partial(self._ledger.owed, task))

    async def settle(self, settlement: Settlement, circuit: CircuitPolicy = USUAL) -> Settled | None:
        """Write how an attempt ended; see `stores.Queue.settle`."""
        outcomes = settlement.outcomes
        for start in range(0, len(outcomes) - CHUNK_RECORDS, CHUNK_RECORDS):
            chunk = outcomes[start : start + CHUNK_RECORDS]
            await self._writer.submit(partial(scheduling.store_leased_outcomes, settlement=settlement, outcomes=chunk))
        return await self._writer.submit(partial(scheduling.settle, settlement=settlement, circuit=circuit))

    async def recover(self, *, now_ms: int) -> int:
        """Give back the leases of a process that is gone; see `stores.Queue.recover`."""
        return await self._writer.submit(partial(scheduling.recover, now_ms=now_ms))

    async def next_due_ms(self, sink: str) -> int | None:
        """Return when the next task is due; see `stores.Queue.next_due_ms`."""
        return await self._read(partial(self._ledger.next_due_ms, sink))

    async def unfinished(self) -> int:
        """Return how many deliveries are not finished; see `stores.Queue.unfinished`."""
        return await self._read(self._ledger.unfinished)

    async def replay(
        self, steps: Sequence[Step], replay: Replay, note: Note[Sequence[ReplayResult]] | None = None
    ) -> Sequence[ReplayResult]:
        """Send again what each step says; see `stores.Desk.replay`."""
        act = partial(operating.replay, steps=steps, replay=replay, hash_key=self._hash_key)
        return await self._writer.submit(noted(act, note))

    async def cancel(
        self, task_ids: Sequence[str], *, now_ms: int, by: str, note: Note[Sequence[str]] | None = None
    ) -> Sequence[str]:
        """End tasks; see `stores.Desk.cancel`."""
        return await self._writer.submit(
            noted(partial(operating.cancel, task_ids=task_ids, now_ms=now_ms, by=by), note)
        )

    async def pause(self, sink: str, *, now_ms: int, by: str, note: Note[bool] | None = None) -> bool:
        """Lease no more tasks of a sink; see `stores.Desk.pause`."""
        return await self._writer.submit(noted(partial(operating.pause, sink=sink, now_ms=now_ms, by=by), note))

    async def resume(self, sink: str, *, now_ms: int, note: Note[bool] | None = None) -> bool:
        """Go on with a sink; see `stores.Desk.resume`."""
        return await self._writer.submit(noted(partial(operating.resume, sink=sink, now_ms=now_ms), note))

    async def reset(self, sink: str, *, now_ms: int, note: Note[bool] | None = None) -> bool:
        """Close a sink's breaker; see `stores.Desk.reset`."""
        return await self._writer.submit(noted(partial(operating.reset, sink=sink, now_ms=now_ms), note))

    async def recall(self, sink: str, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return what a sink remembers; see `stores.Memories.recall`."""
        return await self._read(partial(self._ledger.recall, sink, keys))

    async def remember(self, sink: str, documents: Mapping[str, Any]) -> None:
        """Keep what a sink remembers; see `stores.Memories.remember`."""
        await self._writer.submit(partial(operating.remember, sink=sink, documents=dict(documents)))

    async def add_counts(self, batch_id: str, counts: Sequence[Counted], rejections: Sequence[Rejections] = ()) -> None:
        """Add to what was counted; see `stores.Tallies.add_counts`."""
        await self._writer.submit(partial(tallies.add_counts, batch_id=batch_id, counts=counts, rejections=rejections))

    async def forget_counts(self, before_ms: int, *, rejections_before_ms: int) -> bool:
        """Remove some of what is old; see `stores.Tallies.forget_counts`."""
        return await self._writer.submit(
            partial(tallies.forget_counts, before_ms=before_ms, rejections_before_ms=rejections_before_ms)
        )

    @property
    def ledger(self) -> SqliteLedger:
        """What people read, over a connection of this process; not for long reads on the loop's thread."""
        return self._ledger

    async def read(self, query: Callable[["SqliteLedger"], T]) -> T:
        """Return *query* of the ledger, on the reader's thread."""
        return await self._read(partial(query, self._ledger))

    async def browse(self, query: Callable[["SqliteLedger"], T], *, limit_s: float = LIMIT_S) -> T:
        """Return *query* of a ledger, for people: nothing that the service does by itself waits for it.

        Raises:
            QuestionTooBroad: It was not answered within *limit_s*.
        """
        return await self._browser.ask(query, limit_s=limit_s)

    async def study(self, query: Callable[["SqliteLedger"], T]) -> T:
        """Return *query* of a ledger, like `browse`, for what reads a whole list before it acts on it."""
        return await self._browser.ask(query, limit_s=STUDY_S)


def _identity(path: Path) -> tuple[int, int]:
    """Return what tells the file apart from every other one on this machine."""
    found = path.stat()
    return found.st_dev, found.st_ino
