"""Reading what was bought from the SQLite store: jobs, budgets, bills. Never a write."""

from collections.abc import Generator, Sequence
from contextlib import closing
from heapq import merge
from itertools import islice

from stibgate.domain.delivery import StoredDelivery
from stibgate.domain.event import RECORDS_PUSHED
from stibgate.domain.job import Job
from stibgate.domain.task import FINAL
from stibgate.stores import Awaited, Bill, JobFilter, Spent, UsageNote, jobs
from stibgate.stores.job_moves import NUMBERS, bill_sequence
from stibgate.stores.reading import Reading, select
from stibgate.stores.rows import DELIVERY_COLUMNS, JOB_COLUMNS, delivery_of, job_of, of_table, positions_of
from stibgate.stores.scheduling import DONE_SQL

_JOB_WHERE = {
    "state": "state = ?",
    "budget": "budget = ?",
    "chain": "chain = ?",
    "stopped": "stopped = ?",
    "unfinished": f"(state IN ({jobs.OPEN_SQL})) = ?",
}
_JOBS = f"SELECT {JOB_COLUMNS} FROM jobs"
_DUE = "(next_poll_at IS NOT NULL AND next_poll_at <= ?)"
_GIVEN_UP = f"state = 'lost' OR (next_poll_at IS NULL AND {jobs.POLLABLE})"
_OF_JOBS = (
    f"SELECT {of_table('j', JOB_COLUMNS)}, {of_table('d', DELIVERY_COLUMNS)}"
    " FROM jobs j LEFT JOIN deliveries d ON d.delivery_id = j.delivery_id WHERE j.created_at BETWEEN ? AND ?"
)
_OF_PUSHES = (
    f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE event_type = '{RECORDS_PUSHED}' AND received_at BETWEEN ? AND ?"
)
_SHORT_JOBS = (
    " AND coalesce(j.billed, d.billed) > 0 AND (d.state IN ('done', 'quarantined', 'ignored') IS NOT FALSE)"
    " AND (coalesce(d.whole, 0) = 0 OR d.records < coalesce(j.billed, d.billed))"
)
_SHORT_PUSHES = " AND state IN ('done', 'quarantined', 'ignored') AND billed > 0 AND (whole = 0 OR records < billed)"
"""As in the index `deliveries_short`, which is of no use to any other wording."""

_EVER_MS = 1 << 43
_BIT_PER_MS = bill_sequence(1, 0, push=False)

_Paid = tuple[int, int, Job | None, StoredDelivery | None]


class JobReads(Reading):
    """What is read of jobs and bills; see `stores.Ledger` and `stores.JobBook`."""

    def jobs(self, where: JobFilter, *, limit: int | None, before: int | None = None) -> Sequence[Job]:
        """Return jobs, newest first."""
        sql, values = select(_JOBS, _JOB_WHERE, where, before)
        return [job_of(row) for row in self._rows(sql, [*values, -1 if limit is None else limit])]

    def job(self, id_: str) -> Job | None:
        """Return the job with that job id or run id, or None."""
        row = self._one(f"{_JOBS} WHERE job_id = ?", id_) or self._one(f"{_JOBS} WHERE run_id = ?", id_)
        return None if row is None else job_of(row)

    def spent(self, budget: str, window: str) -> Spent:
        """Return what a window of a budget has gone to."""
        return jobs.spent(self._db, budget, window)

    def usage_notes(self) -> tuple[UsageNote, UsageNote] | None:
        """Return the first and the latest note of what the vendor billed; None when it was never asked."""
        rows = self._rows("SELECT at, billable_records, known_records FROM usage_notes ORDER BY sequence", [])
        return (UsageNote(*rows[0]), UsageNote(*rows[-1])) if rows else None

    def awaited(self, delivery_id: str) -> Awaited | None:
        """Return what a delivery waits for, when it waits for its job to be read back."""
        row = self._one("SELECT delivery_id, job_id, since, tries FROM readbacks WHERE delivery_id = ?", delivery_id)
        return None if row is None else Awaited(*row)

    def result(self, delivery_id: str) -> bytes | None:
        """Return the job of a delivery as it was read back, or None."""
        row = self._one("SELECT body FROM results WHERE delivery_id = ?", delivery_id)
        return None if row is None else bytes(row[0])

    # -- what is to be done next

    def awaiting(self, now_ms: int, limit: int) -> Sequence[Awaited]:
        """Return deliveries whose job may be read back, oldest first."""
        rows = self._rows(
            "SELECT r.delivery_id, r.job_id, r.since, r.tries FROM readbacks r JOIN deliveries d USING (delivery_id)"
            " WHERE r.next_try_at <= ? ORDER BY r.since, d.sequence LIMIT ?",
            [now_ms, limit],
        )
        return [Awaited(*row) for row in rows]

    def next_result_due_ms(self) -> int | None:
        """Return when the next job may be read back."""
        due_ms: int | None = self._one("SELECT min(next_try_at) FROM readbacks")[0]
        return due_ms

    def open_polls(self, now_ms: int, limit: int, *, given_up: bool) -> Sequence[Job]:
        """Return jobs that the vendor should be asked for, longest due first; see `stores.JobBook.open_polls`."""
        which = f"{_DUE} OR {_GIVEN_UP}" if given_up else _DUE
        rows = self._rows(f"{_JOBS} WHERE {which} ORDER BY next_poll_at, sequence LIMIT ?", [now_ms, limit])
        return [job_of(row) for row in rows]

    def next_poll_ms(self) -> int | None:
        """Return when the next job should be asked for."""
        due_ms: int | None = self._one("SELECT min(next_poll_at) FROM jobs WHERE next_poll_at IS NOT NULL")[0]
        return due_ms

    def continuable(self, limit: int) -> Sequence[Job]:
        """Return jobs that have a next page and may ask for it, oldest first; see `stores.JobBook.continuable`."""
        rows = self._rows(
            f"{_JOBS} WHERE state = 'succeeded' AND next_cursor IS NOT NULL AND asked IS NOT NULL AND continued = 0"
            " AND stopped IS NULL AND (records_left IS NULL OR records_left > coalesce(received, 0))"
            " AND NOT EXISTS (SELECT 1 FROM jobs o WHERE o.dedupe_token = jobs.dedupe_token"
            " AND o.dedupe_user IS jobs.dedupe_user AND o.dedupe_token IS NOT NULL"
            f" AND o.state IN ({jobs.OPEN_SQL})) ORDER BY sequence LIMIT ?",
            [limit],
        )
        return [job_of(row) for row in rows]

    # -- bills

    def bills(
        self, *, limit: int | None, before: int | None = None, since_ms: int | None = None, short: bool = False
    ) -> Sequence[Bill]:
        """Return what was paid for and where it went, newest first; reads no more than it returns, but for *short*."""
        until_ms = _EVER_MS if before is None else before // _BIT_PER_MS
        values = (0 if since_ms is None else since_ms, until_ms)
        with (
            closing(self._paid_jobs(values, short=short)) as paid,
            closing(self._pushes(values, short=short)) as pushes,
        ):
            newest = merge(paid, pushes, key=lambda one: -one[0])
            bills = (self._bill(*one) for one in newest if before is None or one[0] < before)
            return list(islice((bill for bill in bills if bill.missing or not short), limit))

    def _paid_jobs(self, values: tuple[int, int], *, short: bool) -> Generator[_Paid, None, None]:
        order = f" ORDER BY j.created_at DESC, j.sequence % {NUMBERS} DESC"
        width = len(JOB_COLUMNS.split(", "))
        with closing(self._db.conn.execute(_OF_JOBS + _SHORT_JOBS * short + order, values)) as rows:
            for row in rows:
                job, delivery = job_of(row[:width]), None if row[width] is None else delivery_of(row[width:])
                yield bill_sequence(job.created_at_ms, job.sequence, push=False), job.created_at_ms, job, delivery

    def _pushes(self, values: tuple[int, int], *, short: bool) -> Generator[_Paid, None, None]:
        order = f" ORDER BY received_at DESC, sequence % {NUMBERS} DESC"
        with closing(self._db.conn.execute(_OF_PUSHES + _SHORT_PUSHES * short + order, values)) as rows:
            for push in map(delivery_of, rows):
                at_ms = push.received_at_ms
                yield bill_sequence(at_ms, push.sequence, push=True), at_ms, None, push

    def _bill(self, place: int, at_ms: int, job: Job | None, delivery: StoredDelivery | None) -> Bill:
        billed = None if job is None else job.billed
        if delivery is None:
            received = 0 if job is None else job.received or 0
            return Bill(place, at_ms, job, None, billed, received, 0, 0)
        if billed is None:
            billed = delivery.billed
        return Bill(place, at_ms, job, delivery, billed, delivery.records, *self._progress(delivery))

    def _progress(self, delivery: StoredDelivery) -> tuple[int, int]:
        """Return how many records every sink has that owes them, and how many more a sink will be tried with."""
        owed: set[int] = set()
        lacking: set[int] = set()
        waiting: set[int] = set()
        tasks = self._rows("SELECT task_id, state, positions FROM tasks WHERE delivery_id = ?", [delivery.delivery_id])
        for task_id, state, text in tasks:
            positions = set(positions_of(text, delivery.records))
            answers = dict(
                self._rows(
                    f"SELECT position, kind IN ({DONE_SQL}) FROM outcomes WHERE task_id = ? AND current", [task_id]
                )
            )
            owed |= positions
            lacking |= {position for position in positions if not answers.get(position)}
            if state not in FINAL:
                waiting |= positions - answers.keys()
        return len(owed - lacking), len(waiting)
