"""What happened, for whoever counts: told once, at the place where it is known, and forgotten there.

A fact names no person. Its words come from the configuration or from closed sets, so that each may be a label.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from stibgate.domain.circuit import CircuitState
from stibgate.domain.task import OutcomeKind, Signal


class Answer(StrEnum):
    """How a request to the public listener ended."""

    __hash__ = str.__hash__  # an enum's own is a call into Python for each look-up of what is counted

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"
    REJECTED = "rejected"  # the request's fault; the reason is in the log only
    THROTTLED = "throttled"
    FAILED = "failed"  # ours: nothing could be stored


class Proof(NamedTuple):
    """What a signature proved.

    Attributes:
        key_slot: Which secret verified it, 1 for the newest.
        skew_s: Our clock minus the signed time; None where no time is signed.
    """

    scheme: str
    key_slot: str
    skew_s: float | None


class Answered(NamedTuple):
    """A delivery, or what was sent as one, was answered.

    Attributes:
        source: None when it named no source of ours.
        reason: Why it was not accepted, of the words that the log has.
        duration_s: From the request's head to the answer.
        body_bytes: 0 when the body was not read.
        event_type: As the log calls it: `other` for what does not look like one; None when it was not read.
        proof: What its signature proved; None when a token did.
        conflict: Whether a duplicate's body differed from the first.
        method: `POST`, or whatever it was refused for.
        route: The template of its path, as in `Looked`.
    """

    source: str | None
    outcome: Answer
    http_status: int
    duration_s: float
    reason: str | None = None
    body_bytes: int = 0
    records: int = 0
    event_type: str | None = None
    proof: Proof | None = None
    conflict: bool = False
    method: str = "POST"
    route: str = ""


@dataclass(frozen=True, slots=True)
class Looked:
    """Somebody looked whether the public listener is there.

    Attributes:
        route: The template of its path, `/hooks/{source}`; empty where it is no path of ours.
    """

    method: str
    route: str
    http_status: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class Normalised:
    """The records of a delivery were cleaned.

    Attributes:
        flagged: How many have an issue.
        issues: `field.reason` -> how often.
        billed: How many of them the vendor says it billed; None when it does not say.
    """

    source: str
    records: int
    flagged: int
    issues: Mapping[str, int] = field(default_factory=dict)
    billed: int | None = None


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt of a task was settled.

    Attributes:
        outcomes: What became of its records, counted.
        end_to_end_s: From the receipt of the delivery to now.
    """

    sink: str
    signal: Signal
    duration_s: float
    end_to_end_s: float
    outcomes: Mapping[OutcomeKind, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GaveUp:
    """A task is dead without another attempt: too old, or tried too often."""

    sink: str


@dataclass(frozen=True, slots=True)
class CircuitMoved:
    """A sink's breaker changed its state."""

    sink: str
    state: CircuitState


@dataclass(frozen=True, slots=True)
class Replayed:
    """An operator had a task of a sink sent again; None for a whole delivery."""

    sink: str | None


class StoreTrouble(StrEnum):
    """Why the store did not do what was asked."""

    FULL = "full"
    TIMEOUT = "timeout"
    DAMAGED = "damaged"
    GONE = "gone"
    FAILED = "failed"


class Committed(NamedTuple):
    """Operations on the store were committed together, or failed together.

    Attributes:
        rows: How many operations.
        trouble: What came of those that failed.
    """

    duration_s: float
    rows: int
    trouble: Sequence[StoreTrouble] = ()


@dataclass(frozen=True, slots=True)
class Called:
    """A request went out, to a vendor or a sink.

    Attributes:
        server: The other side's host, as it is configured.
        operation: A vendor's route with `{names}` in place of values; empty for sinks.
        http_status: None when no answer came.
        error: `timeout` or `failed` when it did not come to a whole answer.
        remaining: How many more requests the other side allows now; None when it does not say.
    """

    server: str
    method: str
    operation: str
    http_status: int | None
    duration_s: float
    error: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class QuotaLearned:
    """A sink said what is left of a quota of its own.

    Attributes:
        policy: Which one: `daily`.
    """

    sink: str
    policy: str
    remaining: int


@dataclass(frozen=True, slots=True)
class Throttled:
    """A sink asked for a pause."""

    sink: str
    reason: str


Fact = (
    Answered | Looked | Normalised | Attempted | GaveUp | CircuitMoved | Replayed | Committed
    | Called | QuotaLearned | Throttled
)  # fmt: skip
Observe = Callable[[Fact], None]


def unobserved(_fact: Fact) -> None:
    """Let a fact pass: for parts that nobody watches."""
