"""Asking the vendor in the background: which calls there are, and when to leave it alone.

A failure that would meet every question (no connection, a wrong key, a web page in place of an answer) holds all of
them for a while, so that an outage costs one question in a minute and one line in the log, not one for each job. So
does a store that cannot keep the answers. What concerns one question only holds nobody else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from stibgate.errors import StoreError, VendorError, VendorRefused, VendorUnauthorized, VendorUnavailable
from stibgate.vendors.stibnite import Job, NewJob, Usage

log = structlog.get_logger("stibgate.vendors")

GIVE_UP_MS = 24 * 3_600_000
"""After this long nobody asks for a job any more (research/vendors.md U29)."""
AT_ONCE = 8
HOLD_FIRST_S = 2.0
HOLD_MAX_S = 60.0
HOLD_UNAUTHORIZED_S = 60.0
UNKNOWN_TRIES = 4
UNKNOWN_MS = 600_000
"""So often and so long a refusal is doubted: the vendor's copies may not agree at first, or the key be another's."""


class JobApi(Protocol):
    """What of the vendor's API jobs need; `StibniteClient` is one."""

    async def create_job(self, job: NewJob) -> Job:
        """Queue a search."""
        ...

    async def read_job(self, job_id: str) -> tuple[Job, bytes]:
        """Return a job and the answer's bytes."""
        ...

    async def usage(self) -> Usage:
        """Return what the key has used so far."""
        ...


@dataclass(slots=True)
class Line:
    """Whether the vendor may be asked now.

    Attributes:
        now_ms: The clock.
        jitter: A random number from 0 to 1.
        free_at_ms: Until then nobody asks.
    """

    now_ms: Callable[[], int]
    jitter: Callable[[], float]
    free_at_ms: int = 0
    _failures: int = 0
    _unkept: int = 0
    _told: str = field(default="")

    @property
    def free(self) -> bool:
        """Whether somebody may ask."""
        return self.now_ms() >= self.free_at_ms

    def answered(self) -> None:
        """Say that an answer came."""
        self._failures, self._told = 0, ""

    def failed(self, error: VendorError) -> None:
        """Say that none came; what concerns one question only holds nobody else."""
        if isinstance(error, VendorRefused):
            self.answered()
            return
        if self.free:
            self._failures += 1  # questions that were under way together failed together
        pause_s = _growing_s(self._failures)
        if isinstance(error, VendorUnauthorized):
            pause_s = HOLD_UNAUTHORIZED_S
        if isinstance(error, VendorUnavailable) and error.retry_after_s is not None:
            pause_s = max(pause_s, error.retry_after_s)
        self._hold(pause_s)
        if error.message != self._told:
            self._told = error.message
            log.warning("vendor.unavailable", error=error.message, hint=error.hint, retry_after_s=round(pause_s, 1))

    async def ask(self, questions: Sequence[Awaitable[object]]) -> None:
        """Return when all *questions* have come to an end; then the first failure among them is raised.

        Should the store not have kept what came of one, nobody asks for a while: the same answers would come again.
        """
        results = await asyncio.gather(*questions, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if any(isinstance(failure, StoreError) for failure in failures):
            self._unkept += 1
            self._hold(_growing_s(self._unkept))
        elif questions:
            self._unkept = 0
        for failure in failures:
            raise failure

    def _hold(self, pause_s: float) -> None:
        self.free_at_ms = max(self.free_at_ms, self.now_ms() + round(pause_s * (1 + self.jitter() / 5) * 1000))


class Refusals:
    """How often in a row, and since when, the vendor refused a question; an answer, or none at all, begins anew."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[int, int]] = {}

    def enough(self, name: str, error: VendorError | None, *, now_ms: int) -> bool:
        """Note what came of the question *name*; return whether it was refused often and long enough to be believed."""
        if not isinstance(error, VendorRefused):
            self._rows.pop(name, None)
            return False
        count, since_ms = self._rows.pop(name, (0, now_ms))
        if count + 1 >= UNKNOWN_TRIES and now_ms - since_ms >= UNKNOWN_MS:
            return True
        self._rows[name] = count + 1, since_ms
        return False


def _growing_s(failures: int) -> float:
    return min(HOLD_FIRST_S * 2.0 ** min(max(failures - 1, 0), 60), HOLD_MAX_S)


def pause_ms(first_s: float, tries: int, longest_s: float, *, jitter: float) -> int:
    """Return how long to wait after *tries* in vain: half as long again each time, up to *longest_s*, +20 %."""
    grown_s = first_s * 1.5 ** min(tries, 60)
    return round(min(grown_s, longest_s) * (1 + jitter / 5) * 1000)
