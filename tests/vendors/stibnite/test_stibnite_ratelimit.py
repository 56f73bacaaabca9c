import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.vendors.ratelimit import WAIT_MAX_S, WAIT_MIN_S, wait_s
from tests.vendors.stibnite.world import NOW_S

NOW = datetime.fromtimestamp(NOW_S, UTC)
HEADERS = ["retry-after", "x-ratelimit-reset"]


def wait(*, limited: bool = True, **headers: str) -> float | None:
    return wait_s({name.replace("_", "-"): value for name, value in headers.items()}, now_s=NOW_S, limited=limited)


UNITS = {
    "delta": str,
    "epoch_s": lambda s: str(int(NOW_S) + s),
    "epoch_ms": lambda s: str((int(NOW_S) + s) * 1000),
    "iso": lambda s: (NOW + timedelta(seconds=s)).isoformat(),
    "iso_z": lambda s: (NOW + timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    "iso_offset": lambda s: (NOW + timedelta(seconds=s)).astimezone().isoformat(),
    "iso_naive": lambda s: (NOW + timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%S"),
    "http_date": lambda s: format_datetime(NOW + timedelta(seconds=s), usegmt=True),
}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("unit", UNITS)
@given(seconds=st.integers(0, 100_000))
def test_every_unit_says_the_same(unit, header, seconds):
    """Whatever unit a wait is given in, it is the same wait, clamped to 1..300 s."""
    read = wait_s({header: UNITS[unit](seconds)}, now_s=NOW_S, limited=True)
    assert read == pytest.approx(min(max(seconds, WAIT_MIN_S), WAIT_MAX_S), abs=0.01)


def test_a_time_without_an_offset_is_utc(monkeypatch):
    """Where this machine stands does not matter."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "America/Boise")
        time.tzset()
        read = [wait(retry_after=UNITS[unit](20)) for unit in ("iso_naive", "iso_offset", "http_date")]
    time.tzset()
    assert read == [pytest.approx(20, abs=1)] * 3


@pytest.mark.parametrize("unit", ["epoch_s", "epoch_ms", "iso", "http_date"])
def test_what_has_passed_is_a_second(unit):
    """A moment that has passed means: soon."""
    assert wait(retry_after=UNITS[unit](-3_600)) == WAIT_MIN_S


@given(st.text(max_size=80) | st.from_regex(r"[-+0-9.eE:TZ_ ]{0,40}", fullmatch=True))
def test_no_header_breaks_it(value):
    """Any text gives a wait within the bounds, or none."""
    for header in HEADERS:
        read = wait_s({header: value}, now_s=NOW_S, limited=True)
        assert read is None or WAIT_MIN_S <= read <= WAIT_MAX_S


@pytest.mark.parametrize("value", ["", " ", "soon", "-5", "nan", "inf", "1e9", "1_000", "٣", "9" * 400, "0x10", "1,5"])
def test_garbage_says_nothing(value):
    """What is no time is as if it were not there."""
    assert wait(retry_after=value) is None
    assert wait(retry_after=value, x_ratelimit_reset="7") == 7


def test_retry_after_wins():
    """`Retry-After` counts before `x-ratelimit-reset`."""
    assert wait(retry_after="5", x_ratelimit_reset="90") == 5


def test_reset_is_only_news_elsewhere():
    """`x-ratelimit-reset` asks for a wait only in a 429."""
    assert wait(limited=False, x_ratelimit_reset="90") is None
    assert wait(limited=False, retry_after="90") == 90
