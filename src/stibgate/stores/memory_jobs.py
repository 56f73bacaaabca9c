"""What is bought, in the store in memory: the plainest way to keep the same laws as the SQLite store."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from stibgate.domain.budget import Budget, Quote, Verdict, decide, window
from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.event import RECORDS_PUSHED, QuarantineReason
from stibgate.domain.job import OPEN, ZERO, Job, JobResult, JobState, NewRun, Reservation, StopReason
from stibgate.stores import Bill, JobFilter, Spent, UsageNote, job_moves
from stibgate.stores.memory_results import MemoryResults

_STOPS = {Verdict.DENY: StopReason.OVER_BUDGET, Verdict.NEEDS_CONFIRMATION: StopReason.NEEDS_CONFIRMATION}


class MemoryJobs(MemoryResults):
    """JobBook over dictionaries; single-threaded, so every call is one transaction."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: dict[str, Job] = {}
        self._parents: dict[str, str] = {}
        self._runs = 0
        self._alarms: set[str] = set()
        self._usage: list[UsageNote] = []

    def _of_job(self, job_id: str | None) -> Job | None:
        return next((job for job in self._jobs.values() if job_id is not None and job.job_id == job_id), None)

    def _update(self, run_id: str, **fields: object) -> None:
        self._jobs[run_id] = replace(self._jobs[run_id], **fields)  # type: ignore[arg-type]  # names are checked by use

    def _next_number(self) -> int:
        self._runs += 1
        return self._runs

    async def reserve(self, run: NewRun, budget: Budget | None, *, confirmed: bool) -> Reservation:
        """Set money aside; see `stores.JobBook.reserve`."""
        parent = None if run.parent_run_id is None else self._jobs[run.parent_run_id]
        continued = parent is not None and parent.continued
        busy = self._child(run.parent_run_id) if continued else self._busy(run)
        if busy is not None:
            return Reservation(busy_run_id=busy)
        within = None if budget is None else window(budget.period, run.at_ms).name
        decision = None
        if budget is not None and within is not None:
            spent = self._sum(job for job in self._in(budget.name, within) if job.unit is budget.unit)
            quote = Quote(run.unit, run.ceiling, whole=run.whole)
            decision = decide(budget, quote, reserved=spent.reserved, settled=spent.settled, confirmed=confirmed)
            if decision.verdict is not Verdict.ALLOW:
                if parent is not None:
                    self._update(parent.run_id, stopped=str(_STOPS[decision.verdict]))
                return Reservation(decision)
        name = None if budget is None else budget.name
        self._jobs[run.run_id] = job_moves.begin(
            run, sequence=self._next_number(), budget=name, window=within, parent=parent
        )
        if parent is not None:
            self._parents[run.run_id] = parent.run_id
            self._update(parent.run_id, continued=True, stopped=None)
        return Reservation(decision)

    def _child(self, run_id: str | None) -> str | None:
        return next((child for child, parent in self._parents.items() if parent == run_id), None)

    def _busy(self, run: NewRun) -> str | None:
        if run.dedupe_key is None:
            return None
        return next(
            (
                job.run_id
                for job in self._jobs.values()
                if job.state in OPEN
                and job.asked is not None
                and (job.asked.get("dedupe_token"), job.asked.get("dedupe_user_id")) == run.dedupe_key
            ),
            None,
        )

    def _in(self, budget: str, within: str) -> Sequence[Job]:
        return [job for job in self._jobs.values() if (job.budget, job.window) == (budget, within)]

    def _sum(self, jobs: Iterable[Job]) -> Spent:
        held = list(jobs)
        return Spent(sum((job.reserved for job in held), ZERO), sum((job.settled for job in held), ZERO))

    async def submitted(self, run_id: str, job_id: str, *, now_ms: int, poll_at_ms: int) -> None:
        """Note that the vendor took a run; see `stores.JobBook.submitted`."""
        run, held = self._jobs.get(run_id), self._of_job(job_id)
        if run is None or not job_moves.may_become(run, job_id):
            return
        if held is not None and held.run_id == run_id:
            held = None
        if held is not None and held.asked is not None:
            await self.unsubmitted(run_id, JobState.REFUSED, job_moves.given_twice(held), now_ms=now_ms)
            return
        if held is not None:
            del self._jobs[held.run_id]
        self._jobs[run_id] = job_moves.submit(run, job_id, held, now_ms=now_ms, poll_at_ms=poll_at_ms)
        for delivery in list(self._deliveries.values()):
            of_it = delivery.job_id == job_id and delivery.reason == QuarantineReason.JOB_UNKNOWN
            if of_it and delivery.state is DeliveryState.QUARANTINED:
                self._accept(delivery)

    async def unsubmitted(self, run_id: str, state: JobState, reason: str, *, now_ms: int) -> bool:
        """Note that the vendor did not take a run; see `stores.JobBook.unsubmitted`."""
        run = self._jobs.get(run_id)
        among = job_moves.REFUSABLE if state is JobState.REFUSED else job_moves.UNDECIDED
        if run is None or run.state not in among:
            return False
        ended_ms = now_ms if state in job_moves.ENDED else None
        self._update(run_id, state=state, reason=reason, ended_at_ms=ended_ms)
        if state is JobState.REFUSED and run_id in self._parents:
            self._update(self._parents[run_id], stopped=str(StopReason.REFUSED))
        return True

    async def withdraw(self, run_id: str) -> None:
        """Forget a run that was not submitted; see `stores.JobBook.withdraw`."""
        run = self._jobs.get(run_id)
        if run is None or run.state not in job_moves.UNDECIDED:
            return
        del self._jobs[run_id]
        parent = self._parents.pop(run_id, None)
        if parent is not None:
            self._update(parent, continued=parent in self._parents.values())

    async def recover_runs(self, *, now_ms: int) -> int:  # noqa: ARG002  (a doubtful run has not ended)
        """Make runs doubtful; see `stores.JobBook.recover_runs`."""
        reserved = [job.run_id for job in self._jobs.values() if job.state is JobState.RESERVED]
        for run_id in reserved:
            self._update(run_id, state=JobState.DOUBTFUL, reason=job_moves.RECOVERED)
        return len(reserved)

    async def open_polls(self, *, now_ms: int, limit: int, given_up: bool = False) -> Sequence[Job]:
        """Return whom to ask for; see `stores.JobBook.open_polls`."""
        due = [
            job
            for job in self._jobs.values()
            if (given_up and job.given_up) or (job.next_poll_at_ms is not None and job.next_poll_at_ms <= now_ms)
        ]
        return sorted(due, key=lambda job: (job.next_poll_at_ms or 0, job.sequence))[:limit]

    async def polled(self, run_id: str, *, next_poll_at_ms: int | None, reason: str | None = None) -> None:
        """Count a poll in vain; see `stores.JobBook.polled`."""
        job = self._jobs.get(run_id)
        if job is not None and job.pollable:
            why = job.reason if reason is None else reason
            self._update(run_id, polls=job.polls + 1, next_poll_at_ms=next_poll_at_ms, reason=why)

    async def lose(self, run_id: str, reason: str, *, now_ms: int) -> bool:
        """Give a job up; see `stores.JobBook.lose`."""
        job = self._jobs.get(run_id)
        if job is None or job.state is not JobState.SUBMITTED:
            return False
        self._update(run_id, state=JobState.LOST, reason=reason, ended_at_ms=now_ms, next_poll_at_ms=None)
        return True

    async def amend(self, job_id: str, *, billed: int, next_cursor: str | None) -> None:
        """Add what was not known; see `stores.JobBook.amend`."""
        job = self._of_job(job_id)
        if job is not None:
            self._jobs[job.run_id] = job_moves.amend(job, billed=billed, next_cursor=next_cursor)

    async def stop(self, run_id: str, reason: str) -> None:
        """Go no further; see `stores.JobBook.stop`."""
        if run_id in self._jobs:
            self._update(run_id, stopped=reason)

    async def unstop(self) -> int:
        """Let searches go on that something passing stopped; see `stores.JobBook.unstop`."""
        stopped = [job.run_id for job in self._jobs.values() if job.stopped in job_moves.PASSING_STOPS]
        for run_id in stopped:
            self._update(run_id, stopped=None)
        return len(stopped)

    async def confirm(self, run_id: str, amount: Decimal) -> None:
        """Note that a person said yes; see `stores.JobBook.confirm`."""
        if run_id in self._jobs and self._jobs[run_id].stopped == StopReason.NEEDS_CONFIRMATION:
            self._update(run_id, confirmed=amount, stopped=None)

    async def continuable(self, *, limit: int) -> Sequence[Job]:
        """Return jobs that have a next page; see `stores.JobBook.continuable`."""
        held = {_dedupe_key(job) for job in self._jobs.values() if job.state in OPEN} - {None}
        free = (job for job in self._jobs.values() if job.more and _dedupe_key(job) not in held)
        return sorted(free, key=lambda job: job.sequence)[:limit]

    async def note_usage(self, billable_records: int, *, at_ms: int) -> None:
        """Keep what the vendor says was billed; see `stores.JobBook.note_usage`."""
        jobs = sum(job.billed or 0 for job in self._jobs.values())
        pushes = sum(d.billed or 0 for d in self._deliveries.values() if d.event_type == RECORDS_PUSHED)
        self._usage.append(UsageNote(at_ms, billable_records, jobs + pushes))

    async def raise_alarm(self, key: str, *, at_ms: int) -> bool:  # noqa: ARG002  (kept on disk only)
        """Note an alarm; see `stores.JobBook.raise_alarm`."""
        new = key not in self._alarms
        self._alarms.add(key)
        return new

    async def next_poll_ms(self) -> int | None:
        """Return when the next job should be asked for; see `stores.JobBook.next_poll_ms`."""
        due = (job.next_poll_at_ms for job in self._jobs.values())
        return min((due_ms for due_ms in due if due_ms is not None), default=None)

    def _end_job(self, result: JobResult, delivery_id: str, at_ms: int) -> None:
        job = self._of_job(result.job_id) or job_moves.adopt(result.job_id, sequence=self._next_number(), at_ms=at_ms)
        self._jobs[job.run_id] = job_moves.end(job, result, delivery_id=delivery_id, at_ms=at_ms)

    # -- Ledger

    def jobs(self, where: JobFilter, *, limit: int | None, before: int | None = None) -> Sequence[Job]:
        """Return jobs, newest first; see `stores.Ledger.jobs`."""
        found = [
            job
            for job in sorted(self._jobs.values(), key=lambda job: -job.sequence)
            if (before is None or job.sequence < before)
            and where.state in {None, job.state}
            and where.budget in {None, job.budget}
            and where.chain in {None, job.chain}
            and where.stopped in {None, job.stopped}
            and where.unfinished in {None, job.state in OPEN}
        ]
        return found[:limit]

    def job(self, id_: str) -> Job | None:
        """Return the job with that job id or run id, or None."""
        return self._of_job(id_) or self._jobs.get(id_)

    def spent(self, budget: str, window: str) -> Spent:
        """Return what a window of a budget has gone to."""
        return self._sum(self._in(budget, window))

    def bills(
        self, *, limit: int | None, before: int | None = None, since_ms: int | None = None, short: bool = False
    ) -> Sequence[Bill]:
        """Return what was paid for and where it went; see `stores.Ledger.bills`."""
        pushes = [d for d in self._deliveries.values() if d.event_type == RECORDS_PUSHED]
        bills = [*map(self._bill_of_job, self._jobs.values()), *map(self._bill_of_push, pushes)]
        found = [
            bill
            for bill in sorted(bills, key=lambda bill: -bill.sequence)
            if (before is None or bill.sequence < before)
            and (since_ms is None or bill.at_ms >= since_ms)
            and (not short or bill.missing)
        ]
        return found[:limit]

    def _bill_of_job(self, job: Job) -> Bill:
        delivery = None if job.delivery_id is None else self._deliveries[job.delivery_id]
        billed = delivery.billed if job.billed is None and delivery is not None else job.billed
        received = (job.received or 0) if delivery is None else delivery.records
        place = job_moves.bill_sequence(job.created_at_ms, job.sequence, push=False)
        return Bill(place, job.created_at_ms, job, delivery, billed, received, *self._progress(delivery))

    def _bill_of_push(self, push: StoredDelivery) -> Bill:
        at_ms = push.received_at_ms
        place = job_moves.bill_sequence(at_ms, push.sequence, push=True)
        return Bill(place, at_ms, None, push, push.billed, push.records, *self._progress(push))

    def _progress(self, delivery: StoredDelivery | None) -> tuple[int, int]:
        """Return how many records of *delivery* every sink has that owes them, and how many are still on their way."""
        if delivery is None:
            return 0, 0
        tasks = [task for task in self._tasks.values() if task.delivery_id == delivery.delivery_id]
        delivered = waiting = 0
        for position in range(delivery.records):
            owing = [task for task in tasks if position in self._positions[task.task_id]]
            answers = {task.task_id: self._current.get(task.task_id, {}).get(position) for task in owing}
            if owing and all(answer is not None and answer.kind.done for answer in answers.values()):
                delivered += 1
            elif any(not task.state.final and answers[task.task_id] is None for task in owing):
                waiting += 1
        return delivered, waiting

    def usage_notes(self) -> tuple[UsageNote, UsageNote] | None:
        """Return the first and the latest note of what the vendor billed; None when it was never asked."""
        return (self._usage[0], self._usage[-1]) if self._usage else None


def _dedupe_key(job: Job) -> tuple[object, object] | None:
    asked = job.asked or {}
    return (asked["dedupe_token"], asked.get("dedupe_user_id")) if asked.get("dedupe_token") is not None else None
