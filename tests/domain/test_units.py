"""Durations, sizes and rates as people write them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.domain.units import format_duration, parse_duration, parse_rate, parse_size


@given(st.integers(0, 10**13))
def test_duration_round_trip(ms):
    """Every whole number of milliseconds survives being written and read."""
    assert round(parse_duration(format_duration(ms / 1000)) * 1000) == ms


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("250ms", 0.25), ("5m", 300), ("1.5h", 5400), ("400d", 34_560_000), (" 7 s ", 7), ("90s", 90)],
)
def test_durations(text, seconds):
    """A duration is a number and one of ms, s, m, h, d."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.25, "250ms"), (60, "1m"), (90, "90s"), (86_400, "1d"), (1.5, "1500ms")]
)
def test_format_duration(seconds, text):
    """A duration is written in the largest unit that needs no fraction."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [("0B", 0), ("1KiB", 1024), ("32MiB", 32 * 1024**2), ("1.5GiB", 1_610_612_736), ("2 MB", 2_000_000)],
)
def test_sizes(text, size):
    """A size is a number and one of the binary or decimal units, in whole bytes."""
    assert parse_size(text) == size


@given(st.integers(0, 10**15 - 1))
def test_sizes_are_exact(size):
    """Every size in bytes is read exactly."""
    assert parse_size(f"{size}B") == size


@pytest.mark.parametrize(("text", "rate"), [("200/s", 200), ("30/m", 0.5), ("3600 / h", 1), ("0.5/s", 0.5)])
def test_rates(text, rate):
    """A rate is a number above zero for each s, m or h."""
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "5 minutes", "-5s", "+5s", "5S", "1e3s", ".5s", "5.s", "inf", "nan s", "5s5s", "٣s", "9" * 400 + "s",
     "9" * 400 + "B", "9" * 400 + "/s", "0/s", "0.0/m", "5/d", "1 mb", "1kib", "s/5", "5\ns\n\n5"],
)  # fmt: skip
@pytest.mark.parametrize("parse", [parse_duration, parse_size, parse_rate])
def test_refused(parse, text):
    """Anything else is a `ValueError` that shows how to write it, never another error."""
    with pytest.raises(ValueError, match="expected") as refused:
        parse(text)
    assert '"' in str(refused.value)


@given(st.text(), st.sampled_from([parse_duration, parse_size, parse_rate]))
def test_any_text(text, parse):
    """Any text is read or is a `ValueError`."""
    with contextlib.suppress(ValueError):
        assert 0 <= parse(text) < float("inf")
