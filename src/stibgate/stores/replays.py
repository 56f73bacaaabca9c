"""Replays as values: what is meant, what is done with one thing, and how far one in the background has come."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from stibgate.domain.audit import Actor
from stibgate.stores.filters import DeliveryFilter, TaskFilter
from stibgate.stores.values import NewTask


class ReplayResult(StrEnum):
    """What a replay did with one task or delivery."""

    REPLAYED = "replayed"
    NOTHING_LEFT = "nothing_left"  # every record is done, and not all were asked for
    ON_THE_WAY = "on_the_way"  # queued, leased or paused: it comes by itself
    SINK_GONE = "sink_gone"  # the configuration has no such sink any more
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Replay:
    """An operator's wish that something is sent again.

    Attributes:
        at_ms: When.
        by: Who, for people who read the story later.
        forced: Send records again that are done.
    """

    at_ms: int
    by: str
    forced: bool = False


@dataclass(frozen=True, slots=True)
class ReplayNote:
    """A replay that happened.

    Attributes:
        task_id: None when the whole delivery was processed again.
        state: What the task or delivery was before.
        records: How many records were made to wait again.
    """

    delivery_id: str
    task_id: str | None
    at_ms: int
    by: str
    forced: bool
    state: str
    records: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries or tasks are meant: those with the *ids*, or without any those that *where* holds for.

    Attributes:
        ids: Delivery ids; for tasks task ids, or delivery ids for all tasks of those.
        where: A `DeliveryFilter` means deliveries, a `TaskFilter` tasks.
        identifiers: (kind, value) pairs of which one must name a person in it; never stored.
        sink: Only what is owed to this sink.
    """

    where: DeliveryFilter | TaskFilter
    ids: Sequence[str] = ()
    identifiers: Sequence[tuple[str, str]] = ()
    sink: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What a replay does with one task or delivery.

    Attributes:
        verdict: `REPLAYED` for what is to be sent again, else why it is not.
        records: How many wait again.
        sink: Where it goes; None for a whole delivery.
        task_id: The task to send again; None for a whole delivery, or for a new task.
        new: A task that the delivery does not have yet.
        positions: Records that the task never owed.
    """

    delivery_id: str
    verdict: ReplayResult
    records: int = 0
    sink: str | None = None
    task_id: str | None = None
    new: NewTask | None = None
    positions: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """The part of a replay that is done in one transaction.

    Attributes:
        begins: The position before it; None for the beginning of a replay that keeps none.
        ends: The position after it: of ids how many it has come to, else the sequence number of its last row.
        things: How many of the deliveries or tasks that are meant it has.
        others: What was named and is not meant, by its state.
        unknown: Ids that name nothing.
    """

    begins: int | None
    ends: int
    steps: Sequence[Step]
    things: int
    others: Mapping[str, int] = field(default_factory=dict)
    unknown: Sequence[str] = ()


@dataclass(slots=True)
class Report:
    """What was done, or with *dry_run* would be.

    Attributes:
        records: How many records wait again, or do not wait any more.
        results: Tasks and deliveries by what became of them.
        sinks: Records by sink; those of deliveries that are processed again are in no sink yet.
        unknown: Ids that name nothing.
    """

    dry_run: bool = False
    records: int = 0
    results: Counter[str] = field(default_factory=Counter)
    sinks: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)

    def add(self, page: Page, results: Iterable[ReplayResult]) -> None:
        """Add what became of each step of *page*."""
        self.results.update(page.others)
        self.unknown += page.unknown
        for step, result in zip(page.steps, results, strict=True):
            self.results[str(result)] += 1
            if result is ReplayResult.REPLAYED:
                self.records += step.records
                if step.sink is not None:
                    self.sinks[step.sink] += step.records


class BulkState(StrEnum):
    """How far a replay in the background has come."""

    COUNTING = "counting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


ENDED = frozenset({BulkState.DONE, BulkState.CANCELLED, BulkState.FAILED})
BULKS_KEPT = 100
"""How many are remembered after their end."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """A replay in the background.

    Attributes:
        position: Where it goes on; see `Page`. The store sets the first one: what comes later is not meant.
        total: How many deliveries or tasks are meant; None until they are counted.
        done: How many of them it has come to.
        report: What was done so far.
        error: Why it failed, in words.
        asked_as: The hash of the keyed call that began it; the same call within a day does not begin another.
    """

    replay_id: str
    actor: Actor
    forced: bool
    started_at_ms: int
    state: BulkState = BulkState.COUNTING
    position: int = 0
    total: int | None = None
    done: int = 0
    report: Report = field(default_factory=Report)
    ended_at_ms: int | None = None
    error: str | None = None
    asked_as: bytes | None = None

    @property
    def ended(self) -> bool:
        """Whether it will not go on."""
        return self.state in ENDED
