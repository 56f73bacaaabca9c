"""One delivery owed to one sink: its states, and the only table that says how they change.

If you change TRANSITIONS, also read `stores/contract` in the tests and SPEC's list of task states in README.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from stibgate.errors import IllegalTransition


class TaskState(StrEnum):
    """Where a task stands."""

    QUEUED = "queued"
    LEASED = "leased"
    WAITING = "waiting"
    PAUSED = "paused"
    DELIVERED = "delivered"
    PARTIAL = "partial"
    DEAD = "dead"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in FINAL


FINAL = frozenset({TaskState.DELIVERED, TaskState.PARTIAL, TaskState.DEAD, TaskState.CANCELLED})


class Signal(StrEnum):
    """What happened to a task."""

    CLAIMED = "claimed"  # a worker took the lease
    TAKEN = "taken"  # the sink answered for every record, none refused
    SPLIT = "split"  # the sink answered for every record, some refused for good
    UNAVAILABLE = "unavailable"  # transient: try again at next_attempt_at
    REJECTED = "rejected"  # permanent for the whole batch
    EXHAUSTED = "exhausted"  # schedule used up or max_age passed
    HELD = "held"  # the whole sink takes nothing for now; costs no attempt of the schedule
    RELEASED = "released"  # given back unharmed: drain, or a lease that ran out
    PAUSED = "paused"
    RESUMED = "resumed"
    CANCELLED = "cancelled"
    REPLAYED = "replayed"


_S = TaskState
TRANSITIONS: Mapping[TaskState, Mapping[Signal, TaskState]] = {
    _S.QUEUED: {
        Signal.CLAIMED: _S.LEASED,
        Signal.EXHAUSTED: _S.DEAD,
        Signal.PAUSED: _S.PAUSED,
        Signal.CANCELLED: _S.CANCELLED,
    },
    _S.WAITING: {
        Signal.CLAIMED: _S.LEASED,
        Signal.EXHAUSTED: _S.DEAD,
        Signal.PAUSED: _S.PAUSED,
        Signal.CANCELLED: _S.CANCELLED,
        Signal.REPLAYED: _S.QUEUED,
    },
    _S.LEASED: {
        Signal.TAKEN: _S.DELIVERED,
        Signal.SPLIT: _S.PARTIAL,
        Signal.UNAVAILABLE: _S.WAITING,
        Signal.REJECTED: _S.DEAD,
        Signal.EXHAUSTED: _S.DEAD,
        Signal.HELD: _S.QUEUED,
        Signal.RELEASED: _S.QUEUED,
    },
    _S.PAUSED: {Signal.RESUMED: _S.QUEUED, Signal.CANCELLED: _S.CANCELLED},
    _S.DELIVERED: {Signal.REPLAYED: _S.QUEUED},
    _S.PARTIAL: {Signal.REPLAYED: _S.QUEUED},
    _S.DEAD: {Signal.REPLAYED: _S.QUEUED, Signal.CANCELLED: _S.CANCELLED},
    _S.CANCELLED: {Signal.REPLAYED: _S.QUEUED},
}


def transition(state: TaskState, signal: Signal) -> TaskState:
    """Return the state that *signal* leads to.

    Raises:
        IllegalTransition: *state* does not allow *signal*.
    """
    target = TRANSITIONS[state].get(signal)
    if target is None:
        raise IllegalTransition(
            f"a {state} task cannot be {signal}", hint="This is a bug in stibgate; please report it."
        )
    return target


class OutcomeKind(StrEnum):
    """What became of one record at one sink."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    WRITTEN = "written"
    REFUSED = "refused"
    SUPPRESSED = "suppressed"
    SKIPPED = "skipped"

    @property
    def done(self) -> bool:
        """Whether the sink has the record, so that a replay leaves it out unless all are asked for."""
        return self in DONE


DONE = frozenset({OutcomeKind.CREATED, OutcomeKind.UPDATED, OutcomeKind.UNCHANGED, OutcomeKind.WRITTEN})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the record at *position*, with the sink's own words where it refused.

    Attributes:
        position: The record's index in its delivery, from 0.
        kind: What became of it.
        category: The sink's error category, for example HubSpot's `VALIDATION_ERROR`.
        code: The sink's error code.
        property: The sink's property that was at fault.
        correlation_id: What the sink's support asks for.
        message: One line without personal data.
    """

    position: int
    kind: OutcomeKind
    category: str | None = None
    code: str | None = None
    property: str | None = None
    correlation_id: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One delivery owed to one sink.

    Attributes:
        attempts: Attempts begun so far, numbered from 1 over the task's whole life.
        next_attempt_at_ms: When it is due, while queued or waiting.
        lease_until_ms: Until when the worker's claim holds, while leased.
        created_at_ms: When it was enqueued.
        tries: Attempts that count against the schedule: those since the last replay that were not given back.
        owed_at_ms: `max_age` counts from here: when it was enqueued or last replayed, moved on by every pause and hold.
        records: How many of the delivery's records it owes.
        resend: How often an operator asked again for something that the sink had taken.
        forced: Whether the last replay asked for every record.
    """

    task_id: str
    delivery_id: str
    sink: str
    state: TaskState
    attempts: int
    next_attempt_at_ms: int | None
    lease_until_ms: int | None
    created_at_ms: int
    updated_at_ms: int
    error: str | None = None
    tries: int = 0
    owed_at_ms: int = 0
    records: int = 0
    resend: int = 0
    forced: bool = False

    @property
    def replayable(self) -> bool:
        """Whether an operator's replay changes anything: it is not under way already."""
        return Signal.REPLAYED in TRANSITIONS[self.state]

    @property
    def cancellable(self) -> bool:
        """Whether an operator can end it: it is not under way, and not over but for being dead."""
        return Signal.CANCELLED in TRANSITIONS[self.state]


@dataclass(frozen=True, slots=True)
class Settlement:
    """How one attempt ended.

    Attributes:
        task_id: The task that was leased.
        attempt: The attempt's number, from 1; a settlement of an older attempt is refused.
        signal: What happened.
        ended_at_ms: When.
        next_attempt_at_ms: When to try again, with `UNAVAILABLE`; until when the sink is left alone, with `HELD`.
        error: One line for people, without personal data.
        outcomes: One for each record that the sink answered for.
    """

    task_id: str
    attempt: int
    signal: Signal
    ended_at_ms: int
    next_attempt_at_ms: int | None = None
    error: str | None = None
    outcomes: Sequence[Outcome] = field(default=())

    def due_at_ms(self, state: TaskState) -> int | None:
        """Return when the task is due in *state*, where this leads: never when final, at once when nobody said.

        One that a held sink gave back is due at once too: what keeps it is the sink's breaker, which may close sooner.
        """
        if state.final:
            return None
        if self.next_attempt_at_ms is None or self.signal is Signal.HELD:
            return self.ended_at_ms
        return self.next_attempt_at_ms


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a task, numbered from 1.

    Attributes:
        signal: How it ended; None while it runs, or when nobody saw its end.
    """

    task_id: str
    number: int
    started_at_ms: int
    ended_at_ms: int | None = None
    signal: Signal | None = None
    error: str | None = None
