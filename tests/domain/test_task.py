"""The states of a task: one table, total, without a dead end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.domain.task import (
    FINAL,
    TRANSITIONS,
    OutcomeKind,
    Settlement,
    Signal,
    Task,
    TaskState,
    transition,
)
from stibgate.errors import IllegalTransition

LEGAL = {(state, signal) for state, signals in TRANSITIONS.items() for signal in signals}


def test_table_is_total():
    """Every state has a row, every signal is legal somewhere, and every state but the first can be come to."""
    assert set(TRANSITIONS) == set(TaskState)
    assert {signal for _, signal in LEGAL} == set(Signal)
    assert {target for signals in TRANSITIONS.values() for target in signals.values()} == set(TaskState)


@pytest.mark.parametrize("state", TaskState, ids=str)
def test_a_way_out(state):
    """From every state a final one can be reached."""
    reached, edge = set(), {state}
    while edge:
        reached |= edge
        edge = {target for one in edge for target in TRANSITIONS[one].values()} - reached
    assert reached & FINAL


@pytest.mark.parametrize("state", sorted(FINAL), ids=str)
def test_final_states_end(state):
    """Only a person moves a final task: by a replay, or by giving up a dead one."""
    assert set(TRANSITIONS[state]) <= {Signal.REPLAYED, Signal.CANCELLED}
    assert TRANSITIONS[state][Signal.REPLAYED] is TaskState.QUEUED


def test_final_is_final():
    """The final states are those that the contract names."""
    assert {state for state in TaskState if state.final} == {"delivered", "partial", "dead", "cancelled"}


def test_only_a_lease_can_end():
    """How an attempt ended can only be said of a leased task, and only an idle one can be claimed."""
    ends = {Signal.TAKEN, Signal.SPLIT, Signal.UNAVAILABLE, Signal.REJECTED, Signal.HELD, Signal.RELEASED}
    assert {state for state, signal in LEGAL if signal in ends} == {TaskState.LEASED}
    idle = {TaskState.QUEUED, TaskState.WAITING}
    assert {state for state, signal in LEGAL if signal is Signal.EXHAUSTED} == {TaskState.LEASED, *idle}
    assert {state for state, signal in LEGAL if signal is Signal.PAUSED} == idle
    assert {state for state, signal in LEGAL if signal is Signal.CLAIMED} == {TaskState.QUEUED, TaskState.WAITING}


@given(st.sampled_from(TaskState), st.sampled_from(Signal))
def test_transition(state, signal):
    """A transition is what the table says; anything else raises `IllegalTransition` with a hint, nothing else."""
    if (state, signal) in LEGAL:
        assert transition(state, signal) is TRANSITIONS[state][signal]
        return
    with pytest.raises(IllegalTransition) as refused:
        transition(state, signal)
    assert refused.value.hint
    assert str(state) in refused.value.message
    assert str(signal) in refused.value.message


@given(st.sampled_from(TaskState), st.none() | st.integers(0, 9), st.sampled_from(Signal))
def test_due(state, said_ms, signal):
    """A settled task is due when it was said, else at once, and a final one never; a hold is the sink's, not its own."""
    settlement = Settlement("t", 1, signal, ended_at_ms=5, next_attempt_at_ms=said_ms)
    named = said_ms is not None and signal is not Signal.HELD
    expected = None if state.final else said_ms if named else 5
    assert settlement.due_at_ms(state) == expected


@pytest.mark.parametrize("state", TaskState, ids=str)
def test_replayable(state):
    """What is over or waits can be replayed, what comes by itself at once cannot."""
    task = Task("t", "d", "crm", state, 0, None, None, 0, 0)
    assert task.replayable == (state.final or state is TaskState.WAITING)


def test_done():
    """The sink has a record that was created, updated, unchanged or written, and no other."""
    assert {str(kind) for kind in OutcomeKind if kind.done} == {"created", "updated", "unchanged", "written"}
