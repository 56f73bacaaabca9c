"""The SQLite store's `JobBook`, and the read-backs of its `Queue`: each call one operation of the writer."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import TypeVar

from stibgate.domain.budget import Budget
from stibgate.domain.job import Job, JobState, NewRun, Reservation
from stibgate.stores import Awaited, jobs, readbacks
from stibgate.stores.connection import classify, sqlite3
from stibgate.stores.ledger import SqliteLedger
from stibgate.stores.writer import Writer

T = TypeVar("T")


class SqliteJobs:
    """What is bought; `SqliteStore` opens and closes what this writes and reads with."""

    _writer: Writer
    _ledger: SqliteLedger
    _reading: ThreadPoolExecutor

    async def _read(self, query: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reading, query)
        except sqlite3.Error as error:
            raise classify(error) from error

    # -- Queue

    async def await_result(self, delivery_id: str, *, now_ms: int) -> None:
        """Keep a delivery out of `accepted`; see `stores.Queue.await_result`."""
        await self._writer.submit(partial(readbacks.await_result, delivery_id=delivery_id, now_ms=now_ms))

    async def awaiting(self, *, now_ms: int, limit: int) -> Sequence[Awaited]:
        """Return whose job may be read back; see `stores.Queue.awaiting`."""
        return await self._read(partial(self._ledger.awaiting, now_ms, limit))

    async def postpone_result(self, delivery_id: str, *, next_try_at_ms: int) -> None:
        """Count a try in vain; see `stores.Queue.postpone_result`."""
        operation = partial(readbacks.postpone_result, delivery_id=delivery_id, next_try_at_ms=next_try_at_ms)
        await self._writer.submit(operation)

    async def fetched(self, delivery_id: str, result: bytes, *, at_ms: int) -> bool:
        """Keep a job that was read back; see `stores.Queue.fetched`."""
        return await self._writer.submit(
            partial(readbacks.fetched, delivery_id=delivery_id, result=result, at_ms=at_ms)
        )

    async def abandon_result(self, delivery_id: str, reason: str, *, at_ms: int) -> bool:
        """Quarantine what waits in vain; see `stores.Queue.abandon_result`."""
        return await self._writer.submit(
            partial(readbacks.abandon_result, delivery_id=delivery_id, reason=reason, at_ms=at_ms)
        )

    async def forgo_results(self) -> int:
        """Wait for no result; see `stores.Queue.forgo_results`."""
        return await self._writer.submit(readbacks.forgo_results)

    async def next_result_due_ms(self) -> int | None:
        """Return when the next job may be read back; see `stores.Queue.next_result_due_ms`."""
        return await self._read(self._ledger.next_result_due_ms)

    # -- JobBook

    async def reserve(self, run: NewRun, budget: Budget | None, *, confirmed: bool) -> Reservation:
        """Set money aside; see `stores.JobBook.reserve`."""
        return await self._writer.submit(partial(jobs.reserve, run=run, budget=budget, confirmed=confirmed))

    async def submitted(self, run_id: str, job_id: str, *, now_ms: int, poll_at_ms: int) -> None:
        """Note that the vendor took a run; see `stores.JobBook.submitted`."""
        await self._writer.submit(
            partial(jobs.submitted, run_id=run_id, job_id=job_id, now_ms=now_ms, poll_at_ms=poll_at_ms)
        )

    async def unsubmitted(self, run_id: str, state: JobState, reason: str, *, now_ms: int) -> bool:
        """Note that the vendor did not take a run; see `stores.JobBook.unsubmitted`."""
        return await self._writer.submit(
            partial(jobs.unsubmitted, run_id=run_id, state=state, reason=reason, now_ms=now_ms)
        )

    async def withdraw(self, run_id: str) -> None:
        """Forget a run that was not submitted; see `stores.JobBook.withdraw`."""
        await self._writer.submit(partial(jobs.withdraw, run_id=run_id))

    async def recover_runs(self, *, now_ms: int) -> int:  # noqa: ARG002  (a doubtful run has not ended)
        """Make runs doubtful; see `stores.JobBook.recover_runs`."""
        return await self._writer.submit(jobs.recover_runs)

    async def open_polls(self, *, now_ms: int, limit: int, given_up: bool = False) -> Sequence[Job]:
        """Return whom to ask for; see `stores.JobBook.open_polls`."""
        return await self._read(partial(self._ledger.open_polls, now_ms, limit, given_up=given_up))

    async def polled(self, run_id: str, *, next_poll_at_ms: int | None, reason: str | None = None) -> None:
        """Count a poll in vain; see `stores.JobBook.polled`."""
        await self._writer.submit(partial(jobs.polled, run_id=run_id, next_poll_at_ms=next_poll_at_ms, reason=reason))

    async def lose(self, run_id: str, reason: str, *, now_ms: int) -> bool:
        """Give a job up; see `stores.JobBook.lose`."""
        return await self._writer.submit(partial(jobs.lose, run_id=run_id, reason=reason, now_ms=now_ms))

    async def amend(self, job_id: str, *, billed: int, next_cursor: str | None) -> None:
        """Add what was not known; see `stores.JobBook.amend`."""
        await self._writer.submit(partial(jobs.amend, job_id=job_id, billed=billed, next_cursor=next_cursor))

    async def stop(self, run_id: str, reason: str) -> None:
        """Go no further; see `stores.JobBook.stop`."""
        await self._writer.submit(partial(jobs.stop, run_id=run_id, reason=reason))

    async def unstop(self) -> int:
        """Let searches go on that something passing stopped; see `stores.JobBook.unstop`."""
        return await self._writer.submit(jobs.unstop)

    async def confirm(self, run_id: str, amount: Decimal) -> None:
        """Note that a person said yes; see `stores.JobBook.confirm`."""
        await self._writer.submit(partial(jobs.confirm, run_id=run_id, amount=amount))

    async def continuable(self, *, limit: int) -> Sequence[Job]:
        """Return jobs that have a next page; see `stores.JobBook.continuable`."""
        return await self._read(partial(self._ledger.continuable, limit))

    async def note_usage(self, billable_records: int, *, at_ms: int) -> None:
        """Keep what the vendor says was billed; see `stores.JobBook.note_usage`."""
        await self._writer.submit(partial(jobs.note_usage, billable_records=billable_records, at_ms=at_ms))

    async def raise_alarm(self, key: str, *, at_ms: int) -> bool:
        """Note an alarm; see `stores.JobBook.raise_alarm`."""
        return await self._writer.submit(partial(jobs.raise_alarm, key=key, at_ms=at_ms))

    async def next_poll_ms(self) -> int | None:
        """Return when the next job should be asked for; see `stores.JobBook.next_poll_ms`."""
        return await self._read(self._ledger.next_poll_ms)
