"""Reading for people: threads and connections of their own, and an end to every question.

What the service does by itself never waits behind a page that somebody looks at, and no question holds a thread for
longer than its limit: SQLite is interrupted then, and whoever asked is told to narrow it.

A question also holds a snapshot, and while there is always one that somebody holds, SQLite never begins its WAL anew:
the file would grow for as long as people look. So once it is long, nobody begins until those who read are done, and
a moment more, in which the writer's checkpoint finds nobody in its way.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from stibgate.errors import QuestionTooBroad, StoreUnavailable
from stibgate.stores.connection import JOURNAL_BYTES, classify, open_reader, primary_code, sqlite3
from stibgate.stores.ledger import SqliteLedger

T = TypeVar("T")

THREADS = 3
WAITING_MAX = 64
LIMIT_S = 2.0
WAL_BYTES_MAX = 2 * JOURNAL_BYTES
END_AGAIN_S = 0.02
REST_S = 0.2
REST_STEP_S = 0.01
REST_EVERY_S = 2.0

_INTERRUPTED = 9


class _Question:
    """One question under way; who ends it and who answers it may be two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._ended = False

    def begin(self, connection: sqlite3.Connection) -> bool:
        """Note who answers; return False when nobody waits for it any more."""
        with self._lock:
            self._connection = None if self._ended else connection
            return not self._ended

    def finish(self) -> None:
        """Note that the connection answers others from now on."""
        with self._lock:
            self._connection = None

    def end(self) -> bool:
        """Stop it, wherever it is; return whether it may take no notice, because it was between two statements."""
        with self._lock:
            self._ended = True
            if self._connection is not None:
                self._connection.interrupt()
            return self._connection is not None


class Browser:
    """Answers questions about the store at *path*, a few at a time.

    Args:
        path: The database file; it must be there when the first question comes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="stibgate-browser")
        self._mine = threading.local()
        self._ledgers: list[SqliteLedger] = []
        self._questions: set[_Question] = set()
        self._gate = threading.Condition()
        self._running = 0
        self._resting = False
        self._rested_at_s = 0.0
        self._rested_at_bytes = 0

    async def ask(self, query: Callable[[SqliteLedger], T], *, limit_s: float = LIMIT_S) -> T:
        """Return *query* of a ledger.

        Raises:
            QuestionTooBroad: It was not answered within *limit_s*.
            StoreUnavailable: Too many others wait.
        """
        if len(self._questions) >= WAITING_MAX:
            raise StoreUnavailable("too many questions to the store at once", hint="Ask again in a moment.")
        question = _Question()
        loop = asyncio.get_running_loop()
        alarm = loop.call_later(limit_s, self._end, question)
        self._questions.add(question)
        try:
            return await loop.run_in_executor(self._threads, self._answer, query, question)
        except sqlite3.Error as error:
            if primary_code(error) == _INTERRUPTED:
                raise _too_broad(limit_s) from error
            raise classify(error) from error
        except _NobodyWaitsError:
            raise _too_broad(limit_s) from None
        finally:
            self._questions.discard(question)
            alarm.cancel()
            self._end(question)  # also when whoever asked went away

    async def close(self) -> None:
        """End what is being asked, and let go of the connections."""
        for question in list(self._questions):
            self._end(question)
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        for ledger in self._ledgers:
            ledger.close()

    def _end(self, question: _Question) -> None:
        if question.end():
            asyncio.get_running_loop().call_later(END_AGAIN_S, self._end, question)

    def _answer(self, query: Callable[[SqliteLedger], T], question: _Question) -> T:
        ledger = self._ledger()
        with self._gate:
            if self._must_rest():
                self._rest()
            self._gate.wait_for(lambda: not self._resting)
            self._running += 1
        try:
            if not question.begin(ledger.connection):
                raise _NobodyWaitsError
            return query(ledger)
        finally:
            question.finish()
            with self._gate:
                self._running -= 1
                self._gate.notify_all()

    def _rest(self) -> None:
        """Let those who read come to their end, and leave the writer alone for a moment; holds the gate."""
        self._resting = True
        self._gate.wait_for(lambda: not self._running, timeout=LIMIT_S)
        ends_at_s = time.monotonic() + REST_S
        while self._wal_bytes() > WAL_BYTES_MAX and time.monotonic() < ends_at_s:
            self._gate.wait(REST_STEP_S)
        self._resting = False
        self._rested_at_s, self._rested_at_bytes = time.monotonic(), self._wal_bytes()
        self._gate.notify_all()

    def _must_rest(self) -> bool:
        """Return whether the WAL is long, and longer than after the last rest, which then was too short."""
        if self._resting or time.monotonic() - self._rested_at_s < REST_EVERY_S:
            return False
        return self._wal_bytes() > max(WAL_BYTES_MAX, self._rested_at_bytes)

    def _wal_bytes(self) -> int:
        try:
            return self._wal.stat().st_size
        except OSError:
            return 0

    def _ledger(self) -> SqliteLedger:
        ledger: SqliteLedger | None = getattr(self._mine, "ledger", None)
        if ledger is None:
            ledger = self._mine.ledger = SqliteLedger(open_reader(self._path), self._path)
            self._ledgers.append(ledger)
        return ledger


class _NobodyWaitsError(Exception):
    """The question's time was over before it was begun."""


def _too_broad(limit_s: float) -> QuestionTooBroad:
    return QuestionTooBroad(
        f"the store did not answer within {limit_s:g} s",
        hint="Narrow the question: a shorter time, a source, a state, an id.",
    )
