"""When a sink is left alone: a circuit breaker and a pause, as data and pure functions.

The breaker opens after so many failures in a row, and lets a probe through when its time is over. A sink may also
say itself that it takes nothing, from anybody, for a while: then it is *held*. While it is held no task grows old
and none is counted an attempt, because the fault is neither the record's nor the schedule's.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class CircuitState(StrEnum):
    """Whether attempts may begin."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """When a breaker opens, and for how long.

    Attributes:
        failures: Failures in a row that open it.
        open_for_s: How long it stays open at first; doubles with each probe that fails.
        open_for_max_s: The longest it stays open.
        half_open_probes: Attempts let through at once when its time is over.
    """

    failures: int = 5
    open_for_s: float = 30.0
    open_for_max_s: float = 600.0
    half_open_probes: int = 1


USUAL = CircuitPolicy()


@dataclass(frozen=True, slots=True)
class Circuit:
    """A sink's breaker.

    Attributes:
        failures: Failures in a row so far.
        open_until_ms: When the next probe may go, unless it is closed.
        open_for_ms: How long it was opened for the last time.
        held_since_ms: Not None while the sink takes nothing, in its own words. Up to then the time of the hold is
            taken out of the age of its tasks already.
        reason: Why it is not closed, in one line.
    """

    state: CircuitState = CircuitState.CLOSED
    failures: int = 0
    open_until_ms: int | None = None
    open_for_ms: int = 0
    held_since_ms: int | None = None
    reason: str | None = None

    @property
    def closed(self) -> bool:
        """Whether attempts go through as usual."""
        return self.state is CircuitState.CLOSED


CLOSED = Circuit()


@dataclass(frozen=True, slots=True)
class SinkState:
    """What the store knows of one sink.

    Attributes:
        paused_at_ms: Since when an operator has it paused.
        paused_by: Who.
    """

    sink: str
    circuit: Circuit = CLOSED
    paused_at_ms: int | None = None
    paused_by: str | None = None

    @property
    def paused(self) -> bool:
        """Whether an operator paused it."""
        return self.paused_at_ms is not None


def allowance(circuit: Circuit, policy: CircuitPolicy, *, now_ms: int, running: int) -> int | None:
    """Return how many attempts may begin now; None when the breaker does not limit them.

    Args:
        circuit: The breaker.
        policy: Its policy.
        now_ms: The present.
        running: Attempts under way.
    """
    if circuit.closed:
        return None
    if circuit.state is CircuitState.OPEN and circuit.open_until_ms is not None and now_ms < circuit.open_until_ms:
        return 0
    return max(policy.half_open_probes - running, 0)


def probing(circuit: Circuit) -> Circuit:
    """Return the breaker once a probe has begun."""
    return circuit if circuit.closed else replace(circuit, state=CircuitState.HALF_OPEN)


def after_success(circuit: Circuit, *, began_ms: int) -> Circuit:
    """Return the breaker after an attempt that the sink answered; a hold is ended by a probe only.

    What began before the sink said that it takes nothing went through before that: believing it would end and begin
    the hold by turns.

    Args:
        circuit: The breaker.
        began_ms: When the attempt began.
    """
    return circuit if circuit.held_since_ms is not None and _is_late(circuit, began_ms) else CLOSED


def _is_late(circuit: Circuit, began_ms: int) -> bool:
    """Whether an attempt began before the breaker let probes through."""
    return circuit.open_until_ms is not None and began_ms < circuit.open_until_ms


def after_failure(circuit: Circuit, policy: CircuitPolicy, *, began_ms: int, now_ms: int, reason: str) -> Circuit:
    """Return the breaker after an attempt that failed; one that is no probe changes nothing while it is not closed.

    Args:
        circuit: The breaker.
        policy: Its policy.
        began_ms: When the attempt began.
        now_ms: When it failed.
        reason: Why, in one line.
    """
    failures = circuit.failures + 1
    if circuit.state is CircuitState.OPEN or _is_late(circuit, began_ms):
        return circuit
    if circuit.closed and failures < policy.failures:
        return replace(circuit, failures=failures)
    longest_ms = round(policy.open_for_max_s * 1000)
    open_for_ms = min(circuit.open_for_ms * 2 or round(policy.open_for_s * 1000), longest_ms)
    held_since_ms = None if circuit.held_since_ms is None else now_ms
    return Circuit(CircuitState.OPEN, failures, now_ms + open_for_ms, open_for_ms, held_since_ms, reason)


def asked_again(circuit: Circuit, *, now_ms: int) -> Circuit:
    """Return the breaker after an operator wants something sent now: a probe may go at once, and decides as ever."""
    if circuit.open_until_ms is None:
        return circuit
    return replace(circuit, open_until_ms=min(circuit.open_until_ms, now_ms))


def after_hold(circuit: Circuit, *, now_ms: int, until_ms: int, reason: str) -> Circuit:
    """Return the breaker after the sink said that it takes nothing until *until_ms*."""
    return Circuit(CircuitState.OPEN, circuit.failures, until_ms, 0, now_ms, reason)
