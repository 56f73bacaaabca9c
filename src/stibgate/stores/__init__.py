"""Where we remember: one file a backend, eight views of one store.

`Inbox` is all that intake can see, `Queue` all that the worker can see, `JobBook` what is bought and what it costs,
`Desk` what operators can do, `Office` what they leave behind, `Memories` what sinks keep, `Tallies` what is counted,
`Ledger` what people read. Every coroutine but those that only read returns after what it did is durable: committed,
and synced when `storage.durability` is `full`.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from stibgate.domain.audit import AuditEntry, AuditLine
from stibgate.domain.backoff import Policy
from stibgate.domain.budget import Budget
from stibgate.domain.circuit import USUAL, CircuitPolicy, SinkState
from stibgate.domain.delivery import Admission, Delivery, Sighting, StoredDelivery
from stibgate.domain.job import Job, JobState, NewRun, Reservation
from stibgate.domain.record import Record
from stibgate.domain.rejection import Rejections
from stibgate.domain.stats import Stats
from stibgate.domain.tally import Counted
from stibgate.domain.task import Attempt, Outcome, Settlement, Task
from stibgate.stores.glance import DeadGroup, Seen
from stibgate.stores.values import (
    CHUNK_RECORDS,
    Accepted,
    AuditFilter,
    Awaited,
    Bill,
    Call,
    CallState,
    Claim,
    DeliveryFilter,
    JobFilter,
    KnownCall,
    NewTask,
    Owed,
    Processed,
    Replay,
    ReplayNote,
    ReplayResult,
    Settled,
    Spent,
    StoreStatus,
    TaskFilter,
    UsageNote,
)

__all__ = [
    "CHUNK_RECORDS",
    "Accepted",
    "AuditFilter",
    "Awaited",
    "Bill",
    "Call",
    "CallState",
    "Claim",
    "DeadGroup",
    "DeliveryFilter",
    "Desk",
    "Inbox",
    "JobBook",
    "JobFilter",
    "KnownCall",
    "Ledger",
    "Memories",
    "NewTask",
    "Office",
    "Owed",
    "Processed",
    "Queue",
    "Replay",
    "ReplayNote",
    "ReplayResult",
    "Seen",
    "Settled",
    "Spent",
    "StoreStatus",
    "Tallies",
    "TaskFilter",
    "UsageNote",
]


class Inbox(Protocol):
    """Remembers deliveries, each once."""

    async def admit(self, delivery: Delivery, *, only_if_new: bool = False) -> Admission:
        """Store *delivery*, or note that its idempotency key was already there; one transaction.

        A duplicate's body is kept only when it differs from every body already kept for that key.

        Args:
            delivery: What came.
            only_if_new: Write nothing at all unless the key was never seen; an expired key was seen.

        Raises:
            StoreFull: Free space is below `min_free`, or the disk is full.
            StoreUnavailable: Cannot write now. Nothing was stored, nothing may be acknowledged.
        """
        ...

    async def flush(self) -> None:
        """Return once everything that was handed over before is committed, or has failed."""
        ...

    async def pin(self, source: str, scheme: Mapping[str, Any]) -> Mapping[str, Any]:
        """Pin *scheme* for *source* unless one is pinned already; return what is pinned now."""
        ...

    async def pins(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the pinned scheme of each source that has one."""
        ...


class Queue(Protocol):
    """Turns deliveries into tasks and remembers how each attempt ended."""

    async def accepted(self, *, limit: int) -> Sequence[Accepted]:
        """Return up to *limit* deliveries that are still `accepted` and do not wait for a result, oldest first."""
        ...

    async def await_result(self, delivery_id: str, *, now_ms: int) -> None:
        """Keep an accepted delivery out of `accepted` until its job is read back."""
        ...

    async def awaiting(self, *, now_ms: int, limit: int) -> Sequence[Awaited]:
        """Return up to *limit* deliveries whose job may be read back now, oldest first."""
        ...

    async def postpone_result(self, delivery_id: str, *, next_try_at_ms: int) -> None:
        """Count a try in vain, and wait until *next_try_at_ms*."""
        ...

    async def fetched(self, delivery_id: str, result: bytes, *, at_ms: int) -> bool:
        """Keep the job as it was read back; the delivery is processed with it.

        That is so for an accepted delivery, and for one that is quarantined for what the vendor's own word mends
        (`QuarantineReason.awaits_result`), which is accepted again.

        Returns:
            False, and nothing changed, for any other delivery.
        """
        ...

    async def abandon_result(self, delivery_id: str, reason: str, *, at_ms: int) -> bool:
        """Quarantine a delivery that waits for its result, with *reason*; return False when it does not wait."""
        ...

    async def forgo_results(self) -> int:
        """Let every delivery that waits for its result be processed without it; return how many there were."""
        ...

    async def next_result_due_ms(self) -> int | None:
        """Return when the next job may be read back; None when no delivery waits for one."""
        ...

    async def process(self, processed: Processed) -> None:
        """Store the records, enqueue the tasks and move the delivery on.

        The tasks and the delivery's state are one transaction. Calling it again for the same delivery
        changes nothing, so a crash anywhere before its end costs only work.
        """
        ...

    async def claim(self, sink: str, policy: Policy, *, now_ms: int, limit: int) -> Claim:
        """Lease up to *limit* due tasks of *sink*, oldest first; begins an attempt for each.

        A task is due when it is queued or waiting and its time has come, or when its lease ran out. None is
        leased while the sink is paused, more than its breaker allows, or while an earlier open task of the
        sink, or a leased one, has a person in common with it.
        """
        ...

    async def owed(self, task: Task) -> Owed:
        """Return what *task* still owes."""
        ...

    async def settle(self, settlement: Settlement, circuit: CircuitPolicy = USUAL) -> Settled | None:
        """Write how an attempt ended, and what that means for the sink's breaker.

        The delivery is done once all its tasks are final.

        Returns:
            None, and nothing changed, when the attempt is not the task's current lease any more.
        """
        ...

    async def recover(self, *, now_ms: int) -> int:
        """Give back every lease that a process before this one held; return how many there were."""
        ...

    async def next_due_ms(self, sink: str) -> int | None:
        """Return when the next task of *sink* may be leased or its lease ends; None when nothing will by itself."""
        ...

    async def unfinished(self) -> int:
        """Return how many deliveries are accepted or processing."""
        ...


class JobBook(Protocol):
    """What is bought, and what it costs. Each call is one transaction."""

    async def reserve(self, run: NewRun, budget: Budget | None, *, confirmed: bool) -> Reservation:
        """Set aside what *run* may cost, if `domain.budget.decide` allows it; then the run is `reserved`.

        The window's sum and the new reservation are one transaction, so no two runs can have the same money. A run
        without a budget is always allowed. A page that has a next one already gets no second
        (`Reservation.busy_run_id`). Nothing is written for a run that is not allowed, except that its parent
        is stopped (`over_budget`, `needs_confirmation`); of one that is allowed, the parent is continued.
        Of two runs with one dedupe token (and user) only one is open (`domain.job.OPEN`) at a time.
        """
        ...

    async def submitted(self, run_id: str, job_id: str, *, now_ms: int, poll_at_ms: int) -> None:
        """Note that the vendor took a reserved or doubtful run as *job_id*; or that a lost one, which is it, goes on.

        What an event said of the job meanwhile counts for the run: the row of its adoption becomes this run's. A
        delivery that was quarantined because nobody knew the job (`job_unknown`) is accepted again.
        """
        ...

    async def unsubmitted(self, run_id: str, state: JobState, reason: str, *, now_ms: int) -> bool:
        """Note that the vendor did not take a reserved or doubtful run (`REFUSED`), or that nobody knows (`DOUBTFUL`).

        A refused run's parent is stopped (`refused`). Return False when the run is neither reserved nor doubtful; a
        lost run may be refused too.
        """
        ...

    async def withdraw(self, run_id: str) -> None:
        """Forget a reserved or doubtful run that was surely not submitted; its parent may be continued again."""
        ...

    async def recover_runs(self, *, now_ms: int) -> int:
        """Make runs that are still reserved doubtful: whoever asked for them is gone; return how many there were."""
        ...

    async def open_polls(self, *, now_ms: int, limit: int, given_up: bool = False) -> Sequence[Job]:
        """Return up to *limit* jobs that the vendor should be asked for now, longest due first.

        Those are submitted ones, and succeeded ones of which nobody said what was billed.

        Args:
            now_ms: The present.
            limit: How many at most.
            given_up: Whether, before all others, also lost ones, and those for which polling was ended.
        """
        ...

    async def polled(self, run_id: str, *, next_poll_at_ms: int | None, reason: str | None = None) -> None:
        """Count a poll in vain; None ends polling, with *reason* written on the job until its bill is known."""
        ...

    async def lose(self, run_id: str, reason: str, *, now_ms: int) -> bool:
        """Give up a submitted job; return False when it is not submitted. An event that comes later still counts."""
        ...

    async def amend(self, job_id: str, *, billed: int, next_cursor: str | None) -> None:
        """Add what a succeeded job was billed, where that was not known; and where its next page begins."""
        ...

    async def stop(self, run_id: str, reason: str) -> None:
        """Go no further with the search of *run_id*."""
        ...

    async def unstop(self) -> int:
        """Let searches go on whose stop may be over; return how many there were.

        Those were stopped by a budget, by its absence, for want of credits, or because something failed.
        """
        ...

    async def confirm(self, run_id: str, amount: Decimal) -> None:
        """Let a search go on that waits for a confirmation: *amount* of the whole search is said yes to."""
        ...

    async def continuable(self, *, limit: int) -> Sequence[Job]:
        """Return up to *limit* jobs that have a next page (`Job.more`), oldest first.

        Those whose dedupe token an open run holds are left out: they must wait for its end.
        """
        ...

    async def note_usage(self, billable_records: int, *, at_ms: int) -> None:
        """Keep what the vendor says was billed so far, beside what the ledger knows of at that moment."""
        ...

    async def raise_alarm(self, key: str, *, at_ms: int) -> bool:
        """Note an alarm; return False when it was raised before."""
        ...

    async def next_poll_ms(self) -> int | None:
        """Return when the next job should be asked for; None when none should."""
        ...


class Desk(Protocol):
    """What operators can do. Each call is one transaction; what it says was done is durable."""

    async def replay_task(self, task_id: str, replay: Replay, positions: Sequence[int] = ()) -> ReplayResult:
        """Make *task_id* due again with the records that are not done, and with *positions* that it never owed."""
        ...

    async def replay_delivery(self, delivery_id: str, replay: Replay) -> ReplayResult:
        """Have a quarantined or ignored delivery processed again from its stored body.

        What was read back of a quarantined one is forgotten: the vendor is asked anew. Of an ignored one it is kept.
        """
        ...

    async def add_tasks(self, delivery_id: str, tasks: Sequence[NewTask], replay: Replay) -> int:
        """Enqueue *tasks* that a processed delivery does not have yet; return how many there were."""
        ...

    async def cancel(self, task_id: str, *, now_ms: int, by: str) -> bool:
        """End *task_id* unless it is final already or leased; return whether it was ended."""
        ...

    async def pause(self, sink: str, *, now_ms: int, by: str) -> bool:
        """Lease no more tasks of *sink*; return False when it was paused already."""
        ...

    async def resume(self, sink: str, *, now_ms: int) -> bool:
        """Go on with *sink*, its breaker closed; return False when it was neither paused nor left alone."""
        ...

    async def reset(self, sink: str, *, now_ms: int) -> bool:
        """Close the breaker of *sink*, paused or not; return False when it was closed."""
        ...


class Office(Protocol):
    """What operators leave behind: the audit, and the answers of keyed calls. Each call is one transaction."""

    async def append_audit(self, entry: AuditEntry) -> int:
        """Add *entry* to the audit, chained to the line before; return its number. Lines are never changed."""
        ...

    async def begin_call(self, call: Call, *, now_ms: int) -> KnownCall:
        """Note that *call* begins unless its actor gave the key before, a day ago at most; return what is known."""
        ...

    async def end_call(self, call: Call, status: int, answer: str) -> None:
        """Keep the answer of a call that has begun."""
        ...

    async def forget_call(self, call: Call) -> None:
        """Forget a call that has begun and did nothing."""
        ...

    async def forget_running_calls(self) -> None:
        """Forget every call that has begun and was not answered: its process is gone."""
        ...


class Memories(Protocol):
    """What sinks remember; see `stibgate.sinks.Memory`."""

    async def recall(self, sink: str, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return the documents of those *keys* of *sink* that are known."""
        ...

    async def remember(self, sink: str, documents: Mapping[str, Any]) -> None:
        """Keep *documents* under their keys, durably."""
        ...


class Tallies(Protocol):
    """What happened, counted; see `domain.tally`."""

    async def add_counts(self, batch_id: str, counts: Sequence[Counted], rejections: Sequence[Rejections] = ()) -> None:
        """Add *counts*, each of a minute, and *rejections*, each of an hour, to what was counted before.

        The batch that was added last is not added again: whoever does not know whether it was may ask once more.
        """
        ...

    async def forget_counts(self, before_ms: int, *, rejections_before_ms: int) -> bool:
        """Remove some of what was counted before, oldest first; return whether there is more of it."""
        ...


class Ledger(Protocol):
    """What people read: newest first, never a write. Synchronous, for the command line."""

    def deliveries(
        self, where: DeliveryFilter, *, limit: int | None, before: int | None = None
    ) -> Sequence[StoredDelivery]:
        """Return deliveries admitted before sequence *before*."""
        ...

    def delivery(self, delivery_id: str) -> StoredDelivery | None:
        """Return one delivery, or None."""
        ...

    def body(self, delivery_id: str) -> bytes | None:
        """Return the raw body, byte for byte."""
        ...

    def records(
        self, delivery_id: str, *, first: int = 0, limit: int | None = None, flagged: bool = False
    ) -> Sequence[Record]:
        """Return the normalised records in order: up to *limit* from position *first* on; *flagged* ones only."""
        ...

    def sightings(self, delivery_id: str) -> Sequence[Sighting]:
        """Return when the same key came again, oldest first."""
        ...

    def conflict_bodies(self, delivery_id: str) -> Sequence[bytes]:
        """Return the other bodies that came under the same key, each once, oldest first."""
        ...

    def tasks(self, where: TaskFilter, *, limit: int | None, before: int | None = None) -> Sequence[tuple[int, Task]]:
        """Return tasks with their sequence numbers."""
        ...

    def task(self, task_id: str) -> Task | None:
        """Return one task, or None."""
        ...

    def task_counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many tasks of each state each sink has."""
        ...

    def attempts(self, task_id: str) -> Sequence[Attempt]:
        """Return the attempts of a task in order."""
        ...

    def outcomes(self, task_id: str) -> Sequence[Outcome]:
        """Return what became of each record, by position."""
        ...

    def positions(self, task_id: str) -> Sequence[int]:
        """Return the positions of the records that a task owes or owed, in order."""
        ...

    def blocker(self, task_id: str) -> str | None:
        """Return the task whose end *task_id* waits for, because of a person in common; None when it waits for none."""
        ...

    def history(self, task_id: str) -> Sequence[tuple[int, Outcome]]:
        """Return (attempt, outcome) of everything that was ever answered for a task, oldest first."""
        ...

    def replays(self, delivery_id: str) -> Sequence[ReplayNote]:
        """Return what operators had sent again of a delivery, oldest first."""
        ...

    def sinks(self) -> Mapping[str, SinkState]:
        """Return what is known of sinks that were ever paused or left alone."""
        ...

    def find_person(self, hashes: Sequence[bytes]) -> Sequence[tuple[str, int]]:
        """Return (delivery id, position) of every record with one of the lookup hashes, oldest first."""
        ...

    def awaited(self, delivery_id: str) -> Awaited | None:
        """Return what a delivery waits for, when it waits for its job to be read back."""
        ...

    def result(self, delivery_id: str) -> bytes | None:
        """Return the job of a delivery as it was read back, or None."""
        ...

    def jobs(self, where: JobFilter, *, limit: int | None, before: int | None = None) -> Sequence[Job]:
        """Return jobs, newest first."""
        ...

    def job(self, id_: str) -> Job | None:
        """Return the job with that job id or run id, or None."""
        ...

    def spent(self, budget: str, window: str) -> Spent:
        """Return what a window of a budget has gone to."""
        ...

    def bills(
        self, *, limit: int | None, before: int | None = None, since_ms: int | None = None, short: bool = False
    ) -> Sequence[Bill]:
        """Return what was paid for and where it went, newest first; with *short* only those that miss records."""
        ...

    def audit(self, where: AuditFilter, *, limit: int | None, before: int | None = None) -> Sequence[AuditLine]:
        """Return lines of the audit, newest first."""
        ...

    def usage_notes(self) -> tuple[UsageNote, UsageNote] | None:
        """Return the first and the latest note of what the vendor billed; None when it was never asked."""
        ...

    def counts(self, *, since_ms: int, until_ms: int, step_ms: int) -> Sequence[Counted]:
        """Return what was counted from *since_ms* to *until_ms*, oldest first, by periods that begin at whole steps.

        Only whole periods of the store are added up: minutes, or quarters of an hour where *step_ms* is made of them.

        Raises:
            ValueError: *step_ms* is no whole number of minutes.
        """
        ...

    def stats(self, *, since_ms: int, until_ms: int, step_ms: int) -> Stats:
        """Return the sums of `counts`, and the lines of the charts; see `domain.stats.WINDOWS` for usual windows.

        Raises:
            ValueError: *step_ms* is no whole number of minutes, or makes too many periods.
        """
        ...

    def last_accepted(self, sources: Sequence[str]) -> Mapping[str, Seen]:
        """Return the last delivery over HTTP of each of *sources* that ever had one."""
        ...

    def owing_since(self) -> Mapping[str, int]:
        """Return for each sink with open tasks since when (ms) the longest waiting one owes its records."""
        ...

    def dead_groups(self) -> Sequence[DeadGroup]:
        """Return the newest dead tasks, some thousands, by sink and what they died of, the largest group first."""
        ...

    def rejections(self, since_ms: int) -> Sequence[Rejections]:
        """Return what was refused since the hour of *since_ms*, a group for each source and reason, newest first."""
        ...

    def pins(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the pinned scheme of each source that has one."""
        ...

    @property
    def hash_key(self) -> bytes:
        """The 32-byte key of `domain.record.lookup_hash`."""
        ...

    def status(self) -> StoreStatus:
        """Return sizes and counts."""
        ...

    def check(self) -> Sequence[str]:
        """Return everything that is wrong with the store: integrity, and the conservation of records."""
        ...

    def close(self) -> None:
        """Let go."""
        ...
