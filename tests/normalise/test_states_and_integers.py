import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stibgate.normalise import integers, states


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TX", "TX"),
        ("tx", "TX"),
        ("Texas", "TX"),
        ("TEXAS", "TX"),
        ("Tex.", "TX"),
        ("US-TX", "TX"),
        ("N. Dak.", "ND"),
        ("North  Dakota", "ND"),
        ("D.C.", "DC"),
        ("Washington, D.C.", "DC"),
        ("Washington", "WA"),
        ("W. Va.", "WV"),
        ("Calif.", "CA"),
        ("Hawai\u02bbi", "HI"),
        ("Puerto Rico", "PR"),
        ("U.S. Virgin Islands", "VI"),
        ("British Columbia", "British Columbia"),
        ("BC", "BC"),
        ("bc", "bc"),
        ("Bayern", "Bayern"),
        ("Kent", "Kent"),
        ("TX 78701", "TX 78701"),
        ("", ""),
    ],
)
def test_state(text: str, expected: str):
    """A US state or territory becomes its two letters; anything else stays text."""
    assert states.canonical(text) == expected


def test_states_are_complete():
    """Fifty states, the District and five territories, each its own code."""
    assert len(states._STATES) == 56
    assert all(states.canonical(code) == code for code in states._STATES)


@settings(deadline=None)
@given(st.text())
def test_state_is_idempotent(text: str):
    """A state that is read again is itself."""
    once = states.canonical(text)
    assert states.canonical(once) == once


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (42, 42),
        (42.0, 42),
        ("42", 42),
        ("042", 42),
        ("42.00", 42),
        ("10,000,000", 10_000_000),
        ("$10,000,000", 10_000_000),
        ("$ 5", 5),
        (2**63 - 1, 2**63 - 1),
        (str(2**63 - 1), 2**63 - 1),
        (2**63, None),
        (str(2**63), None),
        pytest.param("9" * 5000, None, id="digits"),
        pytest.param(10**5000, None, id="huge"),
        ("0" * 50 + "7", 7),
        (-1, None),
        ("-1", None),
        (42.5, None),
        (float("nan"), None),
        (float("inf"), None),
        (1e30, None),
        (True, None),
        ("10M", None),
        ("1-10", None),
        ("1,5", None),
        ("12,34,567", None),
        ("1.5", None),
        ("\u0664\u0662", None),
        ("", None),
        ("$", None),
        ([42], None),
        ({}, None),
        (None, None),
    ],
)
def test_integer(value: object, expected: int | None):
    """A whole number from 0 to 2**63 - 1 in any of its spellings is one; nothing is rounded or guessed."""
    assert integers.canonical(value) == expected
