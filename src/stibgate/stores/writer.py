"""Group commit: the one thread that writes and checkpoints.

Theory of operation. Callers on the event loop `submit` an operation, a function of the database, and
await its future. What waits is gathered on the loop and handed to the thread as one batch: one
`BEGIN IMMEDIATE`, every operation, one `COMMIT`, one wake-up of the loop that resolves all futures.
While the thread commits, the next batch gathers; under load the batches grow and the cost of a sync is
shared, without load a batch is one operation and nobody waits for company.

An operation that fails must not fail its neighbours. The fast path has no savepoints; when any
operation raises, the whole batch is rolled back and run again with a savepoint around each. So an
operation must do the same when it is run twice, and touch nothing but the database.

What can wait is done by `at_leisure`, a slice at a time: when nobody has come for a second, and between two
batches once so many operations were committed since that it would become too much.

After a failed sync nothing may be acknowledged by this process any more: the kernel may have dropped
the pages and report success next time. The writer then refuses everything and tells `on_failed`.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlite_utils import Database

from stibgate.domain.fact import Committed, Observe, StoreTrouble, unobserved
from stibgate.errors import StoreDamaged, StoreFull, StoreGone, StoreTimeout, StoreUnavailable
from stibgate.stores.connection import FATAL_CODES, classify, primary_code, sqlite3

T = TypeVar("T")
Operation = Callable[[Database], T]

LEISURE_S = 1.0
BUSY_OPERATIONS = 10_000
"""After so many operations without a pause, what can wait waits no longer."""

_Batch = list[tuple[Operation[Any], asyncio.Future[Any]]]


class Writer:
    """Commits operations in groups, in the order in which they were submitted.

    Args:
        db: The writing connection; it belongs to the thread from now on.
        commit_max_rows: Most operations in one transaction.
        commit_timeout_s: After this long nobody waits for a commit any more; it may still happen.
        still_there: Raises `StoreGone` when what was committed is not in the file that others would open.
        on_failed: Called once, on the loop, when the store must not be written any more.
        observe: Told of each commit, on the loop.
        at_leisure: Does some of what can wait, in a transaction of its own; returns whether there is more.
    """

    def __init__(
        self,
        db: Database,
        *,
        commit_max_rows: int,
        commit_timeout_s: float,
        on_failed: Callable[[StoreUnavailable], None],
        still_there: Callable[[], None] = lambda: None,
        observe: Observe = unobserved,
        at_leisure: Operation[bool] | None = None,
    ) -> None:
        self._db = db
        self._at_leisure = at_leisure
        self._put_off = 1  # whatever a process before this one did not come to
        self._observe = observe
        self._commit_max_rows = commit_max_rows
        self._commit_timeout_s = commit_timeout_s
        self._on_failed = on_failed
        self._still_there = still_there
        self._loop = asyncio.get_running_loop()
        self._waiting: _Batch = []
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()
        self._busy = False
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.failed: StoreUnavailable | None = None
        self._began_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="stibgate-writer", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether operations can still be committed."""
        return self.failed is None and not self._closing and self._thread.is_alive()

    @property
    def committing_s(self) -> float:
        """For how long the commit that is under way has been; 0 when none is."""
        began_s = self._began_s  # the thread may end it between two looks
        return 0.0 if began_s is None else time.monotonic() - began_s

    @property
    def waiting(self) -> int:
        """How many operations wait for their turn."""
        return len(self._waiting)

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Return a future of *operation*'s result; it resolves after the commit.

        Raises:
            StoreUnavailable: Through the future: the store is closing, or failed before.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if self.failed is not None or self._closing:
            future.set_exception(self._refusal())
            return future
        self._waiting.append((operation, future))
        if not self._busy:
            self._busy = True
            self._idle.clear()
            # One turn of the loop later, so that everybody who is ready now joins the batch.
            self._loop.call_soon(self._hand_over)
        return future

    def _refusal(self) -> StoreUnavailable:
        """Return why nothing is taken; a new one each time, since a raised exception keeps its callers alive."""
        if self.failed is not None:
            return StoreUnavailable(self.failed.message, hint=self.failed.hint)
        return StoreUnavailable("the store is closing", hint="Send it again in a moment.")

    async def close(self) -> None:
        """Commit what waits, checkpoint, close the connection and end the thread."""
        self._closing = True
        await self._idle.wait()
        self._batches.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _hand_over(self) -> None:
        batch = self._waiting[: self._commit_max_rows]
        del self._waiting[: self._commit_max_rows]
        # One timer for the whole batch: one for each request would cost more than its insert.
        self._overdue = self._loop.call_later(self._commit_timeout_s, self._give_up, batch)
        self._batches.put(batch)

    def _give_up(self, batch: _Batch) -> None:
        """Tell everybody that their commit did not come in time, those behind this batch too."""
        late = sum(not future.done() for _, future in (*batch, *self._waiting))
        self._observe(Committed(self._commit_timeout_s, 0, [StoreTrouble.TIMEOUT] * late))
        for _, future in (*batch, *self._waiting):
            if not future.done():
                future.set_exception(
                    StoreTimeout("the store did not confirm in time", hint="Look at the latency of the store's disk.")
                )
        # Whoever comes while the same commit still hangs must not wait for ever either.
        self._overdue = self._loop.call_later(self._commit_timeout_s, self._give_up, batch)

    def _resolve(self, batch: _Batch, results: Sequence[Any], duration_s: float) -> None:
        self._overdue.cancel()
        trouble = [trouble_of(result) for result in results if isinstance(result, StoreUnavailable)]
        self._observe(Committed(duration_s, len(batch), trouble))
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():  # the caller gave up waiting; what was committed stays committed
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        if self.failed is None and self._waiting:
            self._hand_over()
            return
        self._busy = False
        self._idle.set()
        if self.failed is not None:
            self._refuse_all()

    def _refuse_all(self) -> None:
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(self._refusal())
        self._waiting.clear()
        callback, self._on_failed = self._on_failed, lambda _: None
        if self.failed is not None:
            callback(self.failed)

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            self._began_s = began_s = time.monotonic()
            results = self._commit([operation for operation, _ in batch])
            self._began_s = None
            self._loop.call_soon_threadsafe(self._resolve, batch, results, time.monotonic() - began_s)
            self._put_off += len(batch)
        if self.failed is None:
            with suppress(sqlite3.Error):  # a full disk: what is committed stays in the WAL
                self._db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.conn.close()

    def _next_batch(self) -> _Batch | None:
        """Return the next batch, None at the end; before that do what can wait, if there is time or it is too much."""
        if self._at_leisure is None or self.failed is not None:
            return self._batches.get()
        if self._put_off >= BUSY_OPERATIONS:
            self._do_some(self._at_leisure)
        wait_s = LEISURE_S
        while self._put_off:
            with suppress(Empty):
                return self._batches.get(timeout=wait_s)
            self._do_some(self._at_leisure)
            wait_s = 0.0
        return self._batches.get()

    def _do_some(self, at_leisure: Operation[bool]) -> None:
        """Do a slice of what can wait; what fails is tried again after the next operations."""
        self._began_s = time.monotonic()
        try:
            (more,) = self._transaction(lambda: [at_leisure(self._db)])
        except BaseException as error:  # noqa: BLE001  (nobody asked for it who could be told)
            more = False
            if self._fail_if_fatal(error):
                self._loop.call_soon_threadsafe(self._refuse_all)
        self._began_s = None
        if not more:
            self._put_off = 0

    def _commit(self, operations: Sequence[Operation[Any]]) -> Sequence[Any]:
        if self.failed is not None:
            return [self._refusal() for _ in operations]
        try:
            return self._transaction(lambda: [operation(self._db) for operation in operations])
        except BaseException as error:  # noqa: BLE001  (whatever it is belongs to a future, not to the thread)
            if self._fail_if_fatal(error) or len(operations) == 1:
                return [classify(error)] * len(operations)
        try:
            return self._transaction(lambda: [self._isolated(operation) for operation in operations])
        except BaseException as error:  # noqa: BLE001
            self._fail_if_fatal(error)
            return [classify(error)] * len(operations)

    def _transaction(self, work: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        connection = self._db.conn
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = work()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._still_there()
        return results

    def _isolated(self, operation: Operation[Any]) -> object:
        connection = self._db.conn
        connection.execute("SAVEPOINT one")
        try:
            result = operation(self._db)
        except Exception as error:
            # A full disk may roll the whole transaction back by itself; after a fatal error nothing may be committed.
            if not connection.in_transaction or primary_code(error) in FATAL_CODES:
                raise
            connection.execute("ROLLBACK TO one")
            connection.execute("RELEASE one")
            return classify(error)
        connection.execute("RELEASE one")
        return result

    def _fail_if_fatal(self, error: BaseException) -> bool:
        if primary_code(error) in FATAL_CODES or isinstance(error, StoreGone):
            failure = classify(error)
            self.failed = failure if isinstance(failure, StoreUnavailable) else StoreUnavailable(str(failure))
        return self.failed is not None


def trouble_of(error: StoreUnavailable) -> StoreTrouble:
    """Return what *error* is counted as."""
    for kind, trouble in _TROUBLE.items():
        if isinstance(error, kind):
            return trouble
    return StoreTrouble.FAILED


_TROUBLE = {
    StoreFull: StoreTrouble.FULL,
    StoreDamaged: StoreTrouble.DAMAGED,
    StoreGone: StoreTrouble.GONE,
    StoreTimeout: StoreTrouble.TIMEOUT,
}
