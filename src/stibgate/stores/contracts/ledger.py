"""What people read."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from stibgate.domain.audit import AuditLine
from stibgate.domain.circuit import SinkState
from stibgate.domain.delivery import Sighting, StoredDelivery
from stibgate.domain.job import Job
from stibgate.domain.record import Record
from stibgate.domain.rejection import Rejections
from stibgate.domain.stats import Stats
from stibgate.domain.tally import Counted
from stibgate.domain.task import Attempt, Outcome, Task
from stibgate.stores.filters import AuditFilter, DeliveryFilter, JobFilter, TaskFilter
from stibgate.stores.glance import DeadGroup, Seen
from stibgate.stores.replays import Bulk, ReplayNote, Selection
from stibgate.stores.values import Awaited, Bill, Spent, StoreStatus, UsageNote


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

    def body(self, delivery_id: str, sha256: bytes | None = None) -> bytes | None:
        """Return the raw body, byte for byte, or with *sha256* the body of that hash that came under its key."""
        ...

    def records(
        self, delivery_id: str, *, first: int = 0, limit: int | None = None, flagged: bool = False
    ) -> Sequence[Record]:
        """Return the normalised records in order: up to *limit* from position *first* on; *flagged* ones only."""
        ...

    def sightings(self, delivery_id: str) -> Sequence[Sighting]:
        """Return when the same key came again, oldest first."""
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

    def bulk(self, replay_id: str) -> Bulk | None:
        """Return one replay in the background, or None."""
        ...

    def bulks(self) -> Sequence[Bulk]:
        """Return the replays in the background that are remembered, newest first."""
        ...

    def open_bulks(self) -> Sequence[tuple[Bulk, Selection]]:
        """Return those that are not over, oldest first, each with what it means."""
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
