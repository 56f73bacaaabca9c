"""The breaker: closed until failures in a row, open for a time that doubles, and shut again by one answer."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.domain.circuit import (
    CLOSED,
    USUAL,
    Circuit,
    CircuitPolicy,
    CircuitState,
    SinkState,
    after_failure,
    after_hold,
    after_success,
    allowance,
    probing,
)

NOW_MS = 1_779_043_330_004
POLICIES = st.builds(
    CircuitPolicy,
    failures=st.integers(1, 20),
    open_for_s=st.floats(0.001, 1e6),
    open_for_max_s=st.floats(0.001, 1e6),
    half_open_probes=st.integers(1, 9),
)
OPENED = Circuit(CircuitState.OPEN, 5, NOW_MS + 30_000, 30_000, None, "503")


def fail(circuit, policy=USUAL, *, now_ms=NOW_MS, began_ms=None):
    return after_failure(
        circuit, policy, began_ms=now_ms if began_ms is None else began_ms, now_ms=now_ms, reason="503"
    )


def test_the_documented_defaults():
    """Five failures open it for 30 s, doubling to ten minutes, with one probe."""
    assert CircuitPolicy(failures=5, open_for_s=30, open_for_max_s=600, half_open_probes=1) == USUAL


@given(POLICIES)
def test_it_opens_with_the_last_failure_in_a_row(policy):
    """One failure fewer than the policy's leaves it closed, the last one opens it, at most for the longest time."""
    circuit = CLOSED
    for number in range(1, policy.failures):
        circuit = fail(circuit, policy)
        assert (circuit.closed, circuit.failures) == (True, number)
    circuit = fail(circuit, policy)
    assert (circuit.state, circuit.failures, circuit.reason) == (CircuitState.OPEN, policy.failures, "503")
    longest_ms = round(min(policy.open_for_s, policy.open_for_max_s) * 1000)
    assert circuit.open_until_ms == NOW_MS + circuit.open_for_ms == NOW_MS + longest_ms


@given(POLICIES, st.lists(st.sampled_from(["fail", "success", "hold", "late"]), max_size=30))
def test_it_never_sticks(policy, story):
    """Whatever happens, a breaker that is not closed has a time, after which a probe may go."""
    circuit, now_ms = CLOSED, NOW_MS
    for event in story:
        if not circuit.closed:
            assert allowance(circuit, policy, now_ms=circuit.open_until_ms - 1, running=0) in {
                0,
                policy.half_open_probes,
            }
            now_ms = max(now_ms, circuit.open_until_ms)
            assert allowance(circuit, policy, now_ms=now_ms, running=0) == policy.half_open_probes
            circuit = probing(circuit)
        match event:
            case "fail":
                circuit = fail(circuit, policy, now_ms=now_ms)
            case "late":
                assert circuit.closed or fail(circuit, policy, now_ms=now_ms, began_ms=NOW_MS - 1) == circuit
            case "success":
                late = after_success(circuit, began_ms=NOW_MS - 1)
                assert late == (CLOSED if circuit.held_since_ms is None else circuit)
                circuit = after_success(circuit, began_ms=now_ms)
                assert circuit == CLOSED
            case "hold":
                circuit = after_hold(circuit, now_ms=now_ms, until_ms=now_ms + 7, reason="quota")
        assert circuit.closed == (circuit.open_until_ms is None)
        assert circuit.open_for_ms <= max(round(policy.open_for_max_s * 1000), 0)


@pytest.mark.parametrize(
    ("state", "running", "at_ms", "expected"),
    [
        (CircuitState.OPEN, 0, -1, 0),
        (CircuitState.OPEN, 0, 0, 2),
        (CircuitState.OPEN, 1, 0, 1),
        (CircuitState.OPEN, 9, 0, 0),
        (CircuitState.HALF_OPEN, 0, 0, 2),
        (CircuitState.HALF_OPEN, 2, 99, 0),
        (CircuitState.CLOSED, 99, -1, None),
    ],
)
def test_allowance(state, running, at_ms, expected):
    """None while open, probes when its time is over less those that run, and as many as anybody likes when closed."""
    circuit = CLOSED if state is CircuitState.CLOSED else replace(OPENED, state=state)
    now_ms = OPENED.open_until_ms + at_ms
    assert allowance(circuit, CircuitPolicy(half_open_probes=2), now_ms=now_ms, running=running) == expected


def test_it_doubles():
    """Each probe that fails doubles the time, up to the longest; an answer begins anew."""
    circuit, waits = OPENED, []
    for _ in range(6):
        now_ms = circuit.open_until_ms
        circuit = fail(probing(circuit), now_ms=now_ms)
        waits.append((circuit.open_until_ms - now_ms) // 1000)
    assert waits == [60, 120, 240, 480, 600, 600]
    circuit = after_success(circuit, began_ms=circuit.open_until_ms)
    for _ in range(5):
        circuit = fail(circuit)
    assert circuit.open_for_ms == 30_000


def test_only_probes_count_while_it_is_not_closed():
    """A failure of an attempt that began before the breaker let probes through changes nothing."""
    late_ms = OPENED.open_until_ms + 5
    assert fail(OPENED, now_ms=NOW_MS + 1) is OPENED
    half_open = probing(OPENED)
    assert fail(half_open, now_ms=late_ms, began_ms=OPENED.open_until_ms - 1) is half_open
    assert fail(half_open, now_ms=late_ms, began_ms=OPENED.open_until_ms).open_for_ms == 60_000


def test_probing():
    """A closed breaker does not become half open, another one keeps all it knew."""
    assert probing(CLOSED) is CLOSED
    assert probing(OPENED) == replace(OPENED, state=CircuitState.HALF_OPEN)


def test_a_hold():
    """A hold lasts as long as was said, forgets the doubling, and is moved on with everything that happens to it."""
    held = after_hold(OPENED, now_ms=NOW_MS, until_ms=NOW_MS + 99_000, reason="quota")
    assert held == Circuit(CircuitState.OPEN, 5, NOW_MS + 99_000, 0, NOW_MS, "quota")
    again = after_hold(probing(held), now_ms=NOW_MS + 99_000, until_ms=NOW_MS + 100_000, reason="quota")
    assert (again.held_since_ms, again.open_until_ms) == (NOW_MS + 99_000, NOW_MS + 100_000)
    failed = fail(probing(again), now_ms=NOW_MS + 100_000)
    assert (failed.held_since_ms, failed.open_for_ms) == (NOW_MS + 100_000, 30_000)
    assert after_success(failed, began_ms=failed.open_until_ms - 1) == failed
    assert after_success(failed, began_ms=failed.open_until_ms) == CLOSED


def test_sink_state():
    """A sink of which nothing is known goes, and is not paused."""
    assert (SinkState("crm").paused, SinkState("crm").circuit) == (False, CLOSED)
    assert SinkState("crm", paused_at_ms=0).paused
