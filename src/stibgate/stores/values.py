"""What is handed to a store and what it gives back, beside the nouns of `domain`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from stibgate.domain.circuit import Circuit
from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.job import Job, JobResult, JobState
from stibgate.domain.record import Record
from stibgate.domain.task import Task, TaskState


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task that a delivery owes.

    Attributes:
        positions: Which records go to the sink, in order.
        delay_ms: How long the first attempt waits.
    """

    task_id: str
    sink: str
    positions: Sequence[int]
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Processed:
    """What became of an accepted delivery: its records, and the tasks that it owes.

    Attributes:
        tasks: One for each sink; none ends the delivery at once.
        state: `PROCESSING` with tasks; `DONE`, `IGNORED` or `QUARANTINED` without.
        reason: Why, where the state needs one.
        job: How the job ended that it tells of; goes into the ledger in the same transaction.
    """

    delivery_id: str
    processed_at_ms: int
    state: DeliveryState
    records: Sequence[Record] = ()
    tasks: Sequence[NewTask] = ()
    reason: str | None = None
    job: JobResult | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A delivery that waits for processing.

    Attributes:
        body: As it came.
        result: The job as it was read back, JSON; None when it was not.
    """

    delivery: StoredDelivery
    body: bytes
    result: bytes | None = None


@dataclass(frozen=True, slots=True)
class Awaited:
    """A delivery that waits for its job to be read back.

    Attributes:
        since_ms: When it began to wait.
        tries: How often the vendor was asked in vain.
    """

    delivery_id: str
    job_id: str
    since_ms: int
    tries: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What a lane may do now.

    Attributes:
        tasks: Leased, each with an attempt begun.
        given_up: Too old or tried too often; they are dead now, without another attempt.
        more: There were more due tasks than are looked at in one go, and room for them; claim again.
    """

    tasks: Sequence[Task] = ()
    given_up: Sequence[Task] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class Owed:
    """What a task still owes.

    Attributes:
        records: Those without an answer, in order.
        refused: How many were refused in earlier attempts.
    """

    delivery: StoredDelivery
    records: Sequence[Record]
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement changed.

    Attributes:
        state: The task's state now.
        before: The sink's breaker before.
        after: The sink's breaker now.
    """

    state: TaskState
    before: Circuit
    after: Circuit


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the admin API that its caller gave a key, so that it is done once however often it is sent.

    Attributes:
        actor: Whose key it is.
        fingerprint: The SHA-256 of what was asked for.
    """

    actor: str
    key: str
    fingerprint: bytes


class CallState(StrEnum):
    """What is known of a call by its key."""

    NEW = "new"  # noted now; whoever was told so makes it
    RUNNING = "running"
    ANSWERED = "answered"
    ANOTHER = "another"  # the key was given to a call that asked for something else


@dataclass(frozen=True, slots=True)
class KnownCall:
    """What is known of a call by its key.

    Attributes:
        status: The HTTP status of its answer, once there is one.
        answer: The body of its answer.
    """

    state: CallState
    status: int | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one window of a budget has gone to.

    Attributes:
        reserved: Ceilings of runs that are not settled yet.
        settled: What settled runs were billed.
    """

    reserved: Decimal = Decimal(0)
    settled: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Bill:
    """What was paid for, and where it went: of one job, or of one push.

    Attributes:
        sequence: For paging; jobs and pushes share one order, of the time when they began.
        at_ms: When it began.
        job: None for a push.
        delivery: What brought the records; None while nothing did.
        billed: Records billed; None while that is not known.
        received: Records that came.
        delivered: Records that every sink has that owes them, and at least one owes.
        waiting: Records that a sink will still be tried with.
    """

    sequence: int
    at_ms: int
    job: Job | None
    delivery: StoredDelivery | None
    billed: int | None
    received: int
    delivered: int
    waiting: int

    @property
    def missing(self) -> int:
        """How many paid records are in no sink and will not come by themselves.

        Those of a job that is still on its way count only once it has ended.
        """
        if self.delivery is None:
            ended = self.job is not None and self.job.state is JobState.SUCCEEDED
            return (self.billed or 0) if ended else 0
        if self.delivery.state in {DeliveryState.ACCEPTED, DeliveryState.PROCESSING} or not self.billed:
            return 0
        return max(max(self.received, self.billed) - self.delivered - self.waiting, 0)


@dataclass(frozen=True, slots=True)
class UsageNote:
    """What the vendor says the API key has used so far, and what we knew of at that moment.

    Attributes:
        billable_records: The vendor's count.
        known_records: What all jobs and pushes of the ledger were billed.
    """

    at_ms: int
    billable_records: int
    known_records: int


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How the store is doing, for `db status`."""

    url: str
    schema_version: int
    pending_migrations: Sequence[str]
    size_bytes: int
    wal_bytes: int
    free_bytes: int
    deliveries: Mapping[str, int] = field(default_factory=dict)
    tasks: Mapping[str, int] = field(default_factory=dict)


CHUNK_RECORDS = 500
"""Records in one transaction: a push of 50,000 must not hold up acknowledgements for seconds."""
