"""Instants: milliseconds inside, RFC 3339 UTC with a Z outside."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.domain.instant import from_date_or_rfc3339, from_rfc3339, to_compact, to_rfc3339

END_MS = 253_402_300_800_000  # the year 10,000


@given(st.integers(0, END_MS - 1))
def test_round_trip(unix_ms):
    """Every millisecond up to the year 9999 survives being written and read."""
    text = to_rfc3339(unix_ms)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text, re.ASCII)
    assert from_rfc3339(text) == unix_ms


@given(st.integers(0, END_MS - 2))
def test_order(unix_ms):
    """What is later sorts later as text."""
    assert to_rfc3339(unix_ms) < to_rfc3339(unix_ms + 1)
    assert to_compact(unix_ms) <= to_compact(unix_ms + 1)


def test_written():
    """An instant is written in UTC with milliseconds, and compact in whole seconds, never rounded up."""
    assert to_rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert to_rfc3339(1_779_043_330_004) == "2026-05-17T18:42:10.004Z"
    assert to_rfc3339(1_779_043_330_999) == "2026-05-17T18:42:10.999Z"
    assert to_compact(1_779_043_330_999) == "20260517T184210Z"


@given(st.integers(0, END_MS - 1))
def test_compact(unix_ms):
    """The compact form names the second that the instant is in."""
    moment = datetime.strptime(to_compact(unix_ms), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert round(moment.timestamp()) == unix_ms // 1000


@pytest.mark.parametrize(
    "text", ["2026-05-17T18:42:10.004Z", "2026-05-17T11:42:10.004-07:00", "2026-05-17T18:42:10.004+00:00"]
)
def test_offsets(text):
    """An offset is honoured: the same instant is the same number."""
    assert from_rfc3339(text) == 1_779_043_330_004


@pytest.mark.parametrize("text", ["", "now", "2026-05-17", "2026-05-17T18:42:10", "2026-13-01T00:00:00Z", "1779043330"])
def test_refused(text):
    """A time without an offset, or no time at all, is a `ValueError`."""
    with pytest.raises(ValueError):
        from_rfc3339(text)


def test_dates():
    """Who writes a date means its midnight UTC; a time is read as it is, and still needs its offset."""
    assert from_date_or_rfc3339("2026-05-17") == from_rfc3339("2026-05-17T00:00:00Z")
    assert from_date_or_rfc3339("2026-05-17T18:42:10.004Z") == 1_779_043_330_004
    for text in ("2026-05-17T18:42:10", "20260517", "2026-02-30", "\N{ARABIC-INDIC DIGIT TWO}026-05-17"):
        with pytest.raises(ValueError):
            from_date_or_rfc3339(text)
