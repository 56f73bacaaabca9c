"""What is not counted but looked up: the store's figures, read on a thread of their own and kept for a while."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from sqlite_utils import Database

from stibgate.domain.budget import Budget
from stibgate.domain.circuit import SinkState
from stibgate.errors import StibgateError
from stibgate.pipeline.alarms import AlarmKind, BudgetUse, alarms, bills_of, uses_in
from stibgate.stores.connection import open_reader
from stibgate.stores.figures import Figures, figures_of
from stibgate.stores.ledger import SqliteLedger

log = structlog.get_logger("stibgate.metrics")

FRESH_S = 5.0
"""How old figures may be before a scrape has them read again."""
MONEY_FRESH_S = 60.0
"""The same for alarms, which look at thousands of bills."""
MONEY_PART = 0.02
"""How much of its time the thread may look at bills; where there are many it does so less often."""
PATIENCE_S = 1.0
"""How long a scrape waits for new figures; then it shows those that there are."""


@dataclass(frozen=True, slots=True)
class Money:
    """What was paid for and did not arrive.

    Attributes:
        missing: Records that are in no sink and will not come by themselves.
        oldest_ms: Since when the oldest of them is owed.
        alarms: How many there are of each kind.
    """

    missing: int
    oldest_ms: int
    alarms: Mapping[AlarmKind, int]


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is looked up, as it was at one moment.

    Attributes:
        money: From a while ago; None until it was looked at once.
    """

    at_s: float
    figures: Figures
    sinks: Mapping[str, SinkState]
    budgets: Sequence[BudgetUse]
    money: Money | None = None


class StateReader:
    """Keeps the state of a store, read over a connection of its own; never on the event loop's thread.

    Args:
        path: The database.
        budgets: The configured budgets.
        now_s: The clock, in seconds since the epoch.
    """

    def __init__(self, path: Path, budgets: Callable[[], Sequence[Budget]], *, now_s: Callable[[], float]) -> None:
        self._path = path
        self._budgets = budgets
        self._now_s = now_s
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="stibgate-metrics")  # one reads, one renders
        self._ledger: SqliteLedger | None = None
        self._money_due_s = 0.0
        self._reading: asyncio.Future[None] | None = None
        self.state: State | None = None

    async def refresh(self) -> None:
        """Have the state read when it is old, and wait for it a little."""
        if self.state is not None and self._now_s() - self.state.at_s < FRESH_S:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().run_in_executor(self._threads, self._read)
        await asyncio.wait([self._reading], timeout=PATIENCE_S)

    async def run(self, render: Callable[[], bytes]) -> bytes:
        """Return what *render* returns, on a thread: a page of samples is too long for the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, render)

    async def close(self) -> None:
        """Let go of the connection, once the threads are done."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._ledger is not None:
            self._ledger.close()

    def _read(self) -> None:
        try:
            if self._ledger is None:
                self._db = open_reader(self._path)
                self._ledger = SqliteLedger(self._db, self._path)
            self._look(self._db, self._ledger)
        except (StibgateError, OSError) as error:
            log.warning("metrics.unavailable", error=str(error))

    def _look(self, db: Database, ledger: SqliteLedger) -> None:
        now_s = self._now_s()
        budgets = uses_in(ledger, self._budgets(), round(now_s * 1000))
        before = None if self.state is None else self.state.money
        self.state = State(now_s, figures_of(db, ledger), ledger.sinks(), budgets, before)
        began_s = time.monotonic()
        if began_s >= self._money_due_s:
            self.state = replace(self.state, money=_money(ledger, budgets, round(now_s * 1000)))
            ended_s = time.monotonic()
            self._money_due_s = ended_s + max(MONEY_FRESH_S, (ended_s - began_s) / MONEY_PART)


def _money(ledger: SqliteLedger, budgets: Sequence[BudgetUse], now_ms: int) -> Money:
    bills, notes = bills_of(ledger)
    counts = Counter(alarm.kind for alarm in alarms(bills, budgets, notes, now_ms=now_ms))
    missing = [(bill.missing, bill.at_ms) for bill in bills if bill.missing]
    return Money(
        sum(count for count, _ in missing),
        min((at_ms for _, at_ms in missing), default=0),
        {kind: counts[kind] for kind in AlarmKind},
    )
