"""The writes of what is bought, as functions of an open database, inside the writer's transaction.

Amounts are stored as decimal digits and added as `Decimal`; SQLite adds only whole records. What happens to a job is
decided by `job_moves`; here it is read, written, and kept consistent with its parent and its deliveries.
"""

from decimal import Decimal

from sqlite_utils import Database

from stibgate.domain.budget import Budget, Decision, Quote, Unit, Verdict, decide, window
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.event import RECORDS_PUSHED
from stibgate.domain.job import OPEN, UNSETTLED, ZERO, Job, JobResult, JobState, NewRun, Reservation, StopReason
from stibgate.stores import Spent, job_moves
from stibgate.stores.rows import JOB_COLUMNS, job_of, job_values

OPEN_SQL = ", ".join(f"'{state}'" for state in sorted(OPEN))
_UNSETTLED = ", ".join(f"'{state}'" for state in sorted(UNSETTLED))
_UNDECIDED = ", ".join(f"'{state}'" for state in sorted(job_moves.UNDECIDED))
_REFUSABLE = ", ".join(f"'{state}'" for state in sorted(job_moves.REFUSABLE))
_PASSING_STOPS = ", ".join(f"'{reason}'" for reason in sorted(job_moves.PASSING_STOPS))
POLLABLE = "(state = 'submitted' OR (state = 'succeeded' AND billed IS NULL))"
_STORED = JOB_COLUMNS.removeprefix("sequence, ")
_STOPS = {Verdict.DENY: StopReason.OVER_BUDGET, Verdict.NEEDS_CONFIRMATION: StopReason.NEEDS_CONFIRMATION}


def _read(db: Database, column: str, value: str) -> Job | None:
    row = db.execute(f"SELECT {JOB_COLUMNS} FROM jobs WHERE {column} = ?", (value,)).fetchone()
    return None if row is None else job_of(row)


def _insert(db: Database, job: Job, *, parent_run: str | None = None) -> None:
    asked = job.asked or {}
    values = (*job_values(job), parent_run, asked.get("dedupe_token"), asked.get("dedupe_user_id"))
    marks = ", ".join("?" * len(values))
    db.execute(f"INSERT INTO jobs ({_STORED}, parent_run, dedupe_token, dedupe_user) VALUES ({marks})", values)


def _write(db: Database, job: Job) -> None:
    marks = ", ".join("?" * len(_STORED.split(", ")))
    db.execute(f"UPDATE jobs SET ({_STORED}) = ({marks}) WHERE run_id = ?", (*job_values(job), job.run_id))


# -- before and while a run is submitted


def reserve(db: Database, run: NewRun, budget: Budget | None, *, confirmed: bool) -> Reservation:
    """Set aside what *run* may cost, where its budget has it; see `stores.JobBook.reserve`.

    Raises:
        LookupError: Its parent is not known.
        UsageError: Run and budget have different units.
    """
    parent = None if run.parent_run_id is None else _read(db, "run_id", run.parent_run_id)
    if parent is None and run.parent_run_id is not None:
        raise LookupError(f"run {run.run_id} continues {run.parent_run_id}, which is not known")
    busy = _busy(db, run) if parent is None or not parent.continued else _child(db, parent.run_id)
    if busy is not None:
        return Reservation(busy_run_id=busy)
    within = None if budget is None else window(budget.period, run.at_ms).name
    decision = None if budget is None or within is None else _decide(db, run, budget, within, confirmed=confirmed)
    if decision is not None and decision.verdict is not Verdict.ALLOW:
        if parent is not None:
            stop(db, parent.run_id, _STOPS[decision.verdict])
        return Reservation(decision)
    name = None if budget is None else budget.name
    job = job_moves.begin(run, sequence=0, budget=name, window=within, parent=parent)
    _insert(db, job, parent_run=run.parent_run_id)
    db.execute("UPDATE jobs SET continued = 1, stopped = NULL WHERE run_id = ?", (run.parent_run_id,))
    return Reservation(decision)


def _child(db: Database, run_id: str) -> str | None:
    row = db.execute("SELECT run_id FROM jobs WHERE parent_run = ? ORDER BY sequence LIMIT 1", (run_id,)).fetchone()
    return None if row is None else str(row[0])


def _busy(db: Database, run: NewRun) -> str | None:
    if run.dedupe_key is None:
        return None
    row = db.execute(
        "SELECT run_id FROM jobs WHERE dedupe_token = ? AND dedupe_user IS ? AND dedupe_token IS NOT NULL"
        f" AND state IN ({OPEN_SQL}) ORDER BY sequence LIMIT 1",
        run.dedupe_key,
    ).fetchone()
    return None if row is None else str(row[0])


def _decide(db: Database, run: NewRun, budget: Budget, within: str, *, confirmed: bool) -> Decision:
    sums = spent(db, budget.name, within, unit=budget.unit)
    quote = Quote(run.unit, run.ceiling, whole=run.whole)
    return decide(budget, quote, reserved=sums.reserved, settled=sums.settled, confirmed=confirmed)


def spent(db: Database, budget: str, within: str, *, unit: Unit | None = None) -> Spent:
    """Return what a window of *budget* has gone to, of *unit* when one is given: `Job.reserved` and `Job.settled`."""
    where = "budget = ? AND budget_window = ?" + ("" if unit is None else " AND unit = ?")
    values = [budget, within] if unit is None else [budget, within, str(unit)]
    (settled,) = db.execute(
        f"SELECT coalesce(sum(billed), 0) FROM jobs WHERE {where} AND state = 'succeeded'", values
    ).fetchone()
    ceilings = db.execute(
        f"SELECT ceiling FROM jobs WHERE {where} AND ceiling IS NOT NULL"
        f" AND (state IN ({_UNSETTLED}) OR (state = 'succeeded' AND billed IS NULL))",
        values,
    ).fetchall()
    return Spent(sum((Decimal(ceiling) for (ceiling,) in ceilings), ZERO), Decimal(settled))


def submitted(db: Database, run_id: str, job_id: str, *, now_ms: int, poll_at_ms: int) -> None:
    """Note that the vendor took a run as *job_id*; see `stores.JobBook.submitted`."""
    run, held = _read(db, "run_id", run_id), _read(db, "job_id", job_id)
    if run is None or not job_moves.may_become(run, job_id):
        return
    if held is not None and held.run_id == run_id:
        held = None
    if held is not None and held.asked is not None:
        unsubmitted(db, run_id, JobState.REFUSED, job_moves.given_twice(held), now_ms=now_ms)
        return
    if held is not None:
        db.execute("DELETE FROM jobs WHERE run_id = ?", (held.run_id,))
    _write(db, job_moves.submit(run, job_id, held, now_ms=now_ms, poll_at_ms=poll_at_ms))
    db.execute(
        "UPDATE deliveries SET state = ?, reason = NULL, processed_at = NULL"
        " WHERE job_id = ? AND state = 'quarantined' AND reason = 'job_unknown'",
        (DeliveryState.ACCEPTED, job_id),
    )


def unsubmitted(db: Database, run_id: str, state: JobState, reason: str, *, now_ms: int) -> bool:
    """Note that the vendor did not take a run; see `stores.JobBook.unsubmitted`."""
    among = _REFUSABLE if state is JobState.REFUSED else _UNDECIDED
    changed = db.execute(
        f"UPDATE jobs SET state = ?, reason = ?, ended_at = ? WHERE run_id = ? AND state IN ({among})",
        (state, reason, now_ms if state in job_moves.ENDED else None, run_id),
    ).rowcount
    if changed and state is JobState.REFUSED:
        db.execute(
            "UPDATE jobs SET stopped = ? WHERE run_id = (SELECT c.parent_run FROM jobs c WHERE c.run_id = ?)",
            (StopReason.REFUSED, run_id),
        )
    return bool(changed)


def withdraw(db: Database, run_id: str) -> None:
    """Forget a run that was not submitted; see `stores.JobBook.withdraw`."""
    row = db.execute(f"SELECT parent_run FROM jobs WHERE run_id = ? AND state IN ({_UNDECIDED})", (run_id,)).fetchone()
    if row is None:
        return
    db.execute("DELETE FROM jobs WHERE run_id = ?", (run_id,))
    db.execute(
        "UPDATE jobs SET continued = EXISTS (SELECT 1 FROM jobs c WHERE c.parent_run = jobs.run_id) WHERE run_id = ?",
        row,
    )


def recover_runs(db: Database) -> int:
    """Make runs doubtful that nobody waits for; see `stores.JobBook.recover_runs`."""
    values = (JobState.DOUBTFUL, job_moves.RECOVERED)
    sql = f"UPDATE jobs SET state = ?, reason = ? WHERE state = 'reserved' AND state IN ({OPEN_SQL})"
    return int(db.execute(sql, values).rowcount)


# -- until a job has ended, and after


def end(db: Database, result: JobResult, *, delivery_id: str, at_ms: int) -> None:
    """Write how a job ended, as a delivery says; one that nobody asked for is adopted."""
    job = _read(db, "job_id", result.job_id)
    if job is None:
        job = job_moves.adopt(result.job_id, sequence=0, at_ms=at_ms)
        _insert(db, job_moves.end(job, result, delivery_id=delivery_id, at_ms=at_ms))
    else:
        _write(db, job_moves.end(job, result, delivery_id=delivery_id, at_ms=at_ms))


def polled(db: Database, run_id: str, *, next_poll_at_ms: int | None, reason: str | None = None) -> None:
    """Count a poll in vain; see `stores.JobBook.polled`."""
    db.execute(
        "UPDATE jobs SET polls = polls + 1, next_poll_at = ?, reason = coalesce(?, reason)"
        f" WHERE run_id = ? AND {POLLABLE}",
        (next_poll_at_ms, reason, run_id),
    )


def lose(db: Database, run_id: str, reason: str, *, now_ms: int) -> bool:
    """Give a submitted job up; see `stores.JobBook.lose`."""
    cursor = db.execute(
        "UPDATE jobs SET state = ?, reason = ?, ended_at = ?, next_poll_at = NULL"
        " WHERE run_id = ? AND state = 'submitted'",
        (JobState.LOST, reason, now_ms, run_id),
    )
    return bool(cursor.rowcount)


def amend(db: Database, job_id: str, *, billed: int, next_cursor: str | None) -> None:
    """Add what was not known of a succeeded job; see `stores.JobBook.amend`."""
    job = _read(db, "job_id", job_id)
    if job is not None:
        _write(db, job_moves.amend(job, billed=billed, next_cursor=next_cursor))


def stop(db: Database, run_id: str, reason: str) -> None:
    """Go no further with a search; see `stores.JobBook.stop`."""
    db.execute("UPDATE jobs SET stopped = ? WHERE run_id = ?", (reason, run_id))


def unstop(db: Database) -> int:
    """Let searches go on that something passing stopped; see `stores.JobBook.unstop`."""
    return int(db.execute(f"UPDATE jobs SET stopped = NULL WHERE stopped IN ({_PASSING_STOPS})").rowcount)


def confirm(db: Database, run_id: str, amount: Decimal) -> None:
    """Note how much of a search a person said yes to; see `stores.JobBook.confirm`."""
    db.execute(
        "UPDATE jobs SET confirmed = ?, stopped = NULL WHERE run_id = ? AND stopped = ?",
        (f"{amount:f}", run_id, StopReason.NEEDS_CONFIRMATION),
    )


def note_usage(db: Database, billable_records: int, *, at_ms: int) -> None:
    """Keep what the vendor says was billed: the first note for ever, and the latest."""
    (known,) = db.execute(
        "SELECT (SELECT coalesce(sum(billed), 0) FROM jobs)"
        f" + (SELECT coalesce(sum(billed), 0) FROM deliveries WHERE event_type = '{RECORDS_PUSHED}')"
    ).fetchone()
    db.execute(
        "INSERT OR REPLACE INTO usage_notes (sequence, at, billable_records, known_records)"
        " SELECT 1 + EXISTS (SELECT 1 FROM usage_notes), ?, ?, ?",
        (at_ms, billable_records, known),
    )


def raise_alarm(db: Database, key: str, *, at_ms: int) -> bool:
    """Note an alarm; return False when it was raised before."""
    return bool(db.execute("INSERT INTO alarms (key, at) VALUES (?, ?) ON CONFLICT DO NOTHING", (key, at_ms)).rowcount)
