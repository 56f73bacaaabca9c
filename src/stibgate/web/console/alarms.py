"""What somebody should look at in the ledger; looked for while nobody waits, since thousands of bills take a second."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stibgate.config import Settings
from stibgate.errors import StibgateError
from stibgate.pipeline.alarms import alarms, bills_of, uses_in
from stibgate.pipeline.operations import Reader
from stibgate.stores import Bill, Ledger
from stibgate.views.money import alarm_row

PATIENCE_S = 0.05
"""How long a page waits; then it shows what was found before."""
REST = 50
"""For so many times as long as a look took, nobody looks again."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, and when.

    Attributes:
        rows: The alarms.
        short: The latest bills that miss records, at most `pipeline.alarms.SHORT` of them.
    """

    rows: Sequence[dict[str, Any]]
    short: Sequence[Bill]
    at_ms: int


class AlarmWatch:
    """Looks for alarms when somebody wants to know.

    Args:
        read: Runs a query of the ledger away from the event loop.
        settings: Returns the configuration that is in force.
        now_ms: The clock.
    """

    def __init__(self, read: Reader, settings: Callable[[], Settings], now_ms: Callable[[], int]) -> None:
        self._read = read
        self._settings = settings
        self._now_ms = now_ms
        self._found: Found | None = None
        self._due_s = 0.0
        self._took_s = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def latest(self, *, patient: bool = False) -> Found | None:
        """Return what was found last; None while the first look takes longer than a page waits, unless *patient*."""
        if self._looking is None and asyncio.get_running_loop().time() >= self._due_s:
            self._looking = asyncio.create_task(self._look(), name="console-alarms")
        if self._looking is not None and patient and self._found is None:
            await asyncio.wait({self._looking})
        elif self._looking is not None and self._took_s <= PATIENCE_S:
            await asyncio.wait({self._looking}, timeout=PATIENCE_S)
        return self._found

    async def _look(self) -> None:
        clock = asyncio.get_running_loop().time
        began_s, now_ms = clock(), self._now_ms()
        try:
            self._found = await self._read(lambda ledger: self._find(ledger, now_ms))
        except StibgateError:
            pass  # the page says since when it knows what it shows
        finally:
            self._took_s = clock() - began_s
            self._due_s = clock() + self._took_s * REST
            self._looking = None

    def _find(self, ledger: Ledger, now_ms: int) -> Found:
        settings = self._settings()
        uses = uses_in(ledger, [settings.budget(name) for name in settings.budgets], now_ms)
        bills, notes = bills_of(ledger)
        rows = [alarm_row(alarm) for alarm in alarms(bills, uses, notes, now_ms=now_ms)]
        short = sorted((bill for bill in bills if bill.missing), key=lambda bill: -bill.sequence)
        return Found(rows, short, now_ms)
