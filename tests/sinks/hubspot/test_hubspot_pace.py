"""The arithmetic of pace and quota, on clocks that are arguments."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stibgate.sinks.hubspot.governor import LOOK_AGAIN_S, Governor
from stibgate.sinks.hubspot.pace import JITTER_S, Bucket, Flights, Lane, Pace, shape

GAPS_S = (0.0, 0.0, 0.0, 0.0, 0.001, 0.05, 0.3, 1.0, 4.0, 11.0)


def fullest(moments: list[float], span_s: float) -> int:
    """Return how many of *moments* the fullest window of *span_s* holds."""
    first, most = 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - span_s:
            first += 1
        most = max(most, last - first + 1)
    return most


@given(st.integers(2, 5_000), st.sampled_from([1.0, 10.0, 60.0]))
def test_the_bound_holds_for_every_limit(limit, window_s):
    """The window times rate, plus burst, plus jitter times rate never exceeds the limit, and something is always allowed."""
    rate, burst = shape(limit, window_s)
    assert rate > 0
    assert burst >= 1
    assert window_s * rate + burst + JITTER_S * rate <= limit + 1e-9


@pytest.mark.parametrize(("limit", "rate", "burst"), [(100, 9.2, 5), (110, 10.1, 5), (190, 17.5, 9), (250, 23.0, 12)])
def test_known_tiers(limit, rate, burst):
    """The tiers get the rates that were found safe."""
    assert shape(limit)[0] == pytest.approx(rate, abs=0.12)
    assert shape(limit)[1] == burst


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([2, 7, 100, 190, 250]))
def test_no_window_is_ever_fuller_than_the_limit(draw, limit):
    """Whatever is asked when, in whichever lane, late by up to 0.3 s: no ten seconds see more than the limit."""
    pace, now_s, arrivals = Pace(limit), 0.0, []
    cuts = draw.choice([0.0, 0.05])
    for _ in range(60):
        now_s += draw.choice(GAPS_S)
        if draw.random() < cuts:
            pace.cut(now_s)
        lane = draw.choice([Lane.NORMAL, Lane.NORMAL, Lane.LOW])
        for _ in range(draw.choice([1, 1, 5, 40])):
            now_s += pace.wait_s(lane, now_s)
            pace.take(lane, now_s)
            arrivals.append(now_s + draw.choice([0.0, JITTER_S]))
    assert fullest(sorted(arrivals), 10.0) <= limit


@given(st.sampled_from([100, 190, 250]))
def test_the_slow_lane_is_a_fifth_at_most(limit):
    """However much looks for culprits, no ten seconds see more than a fifth of the limit of it."""
    pace, now_s, moments = Pace(limit), 0.0, []
    for _ in range(200):
        now_s += pace.wait_s(Lane.LOW, now_s)
        pace.take(Lane.LOW, now_s)
        moments.append(now_s)
    assert fullest(moments, 10.0) <= limit * 0.2


def test_searches_have_their_own_clock():
    """Never six searches in a second, not even when one comes 0.2 s late; and none costs the others a turn."""
    pace, now_s, moments = Pace(190), 0.0, []
    for _ in range(45):
        now_s += pace.wait_s(Lane.SEARCH, now_s)
        pace.take(Lane.SEARCH, now_s)
        moments.append(now_s)
    assert moments[-1] == pytest.approx(44 / 3.333, rel=0.001)
    assert fullest(moments, 1.2) <= 5
    assert pace.wait_s(Lane.NORMAL, now_s) == 0


def test_saturated_it_gives_the_whole_rate():
    """With work waiting and late wake-ups, a minute sees at least 98 % of the rate."""
    pace, now_s, sent = Pace(190), 0.0, 0
    while now_s < 60:
        wait_s = pace.wait_s(Lane.NORMAL, now_s)
        if wait_s:
            now_s += wait_s + 0.02  # a busy loop wakes us late
        else:
            pace.take(Lane.NORMAL, now_s)
            sent += 1
    assert sent >= 0.98 * 60 * 17.5


def test_a_full_window_stops_ten_seconds_and_costs_a_tenth():
    """TEN_SECONDLY: nothing for 10 s, then 10 % slower, won back at 1 % a minute; one burst's echoes count once."""
    pace = Pace(190)
    rate = pace.rate
    for late in (0.0, 0.1, 0.2):
        pace.cut(1000.0 + late)
    assert pace.wait_s(Lane.NORMAL, 1000.2) == pytest.approx(10.0)
    assert pace.wait_s(Lane.SEARCH, 1000.2) == 0
    assert pace.rate == pytest.approx(0.9 * rate)
    pace.wait_s(Lane.NORMAL, 1000.0 + 300)
    assert pace.rate == pytest.approx(0.95 * rate, rel=0.001)
    pace.wait_s(Lane.NORMAL, 1000.0 + 900)
    assert pace.rate == pytest.approx(rate)


def test_the_limit_is_learned():
    """A new limit changes the rate at once and gives no more at once than its own burst."""
    pace = Pace()
    assert pace.rate == pytest.approx(shape(100)[0])
    pace.learn(190, 10.0, 1.0)
    assert pace.rate == pytest.approx(shape(190)[0])


def test_a_token_that_was_put_back_is_there_again():
    """A turn that nobody used costs nothing."""
    bucket = Bucket(1.0, 1)
    bucket.take(0.0)
    assert bucket.wait_s(0.0) == pytest.approx(1.0)
    bucket.put_back()
    assert bucket.wait_s(0.0) == 0


def test_flights_grow_by_one_and_halve():
    """In flight: +1 a success up to the most, half after trouble, never none."""
    flights = Flights(start=8, most=40)
    for _ in range(50):
        flights.landed()
    assert flights.allowed == 40
    for expected in (20, 10, 5, 2, 1, 1):
        flights.troubled()
        assert flights.allowed == expected


def at(text: str, zone: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "now", "hours"),
    [
        ("America/New_York", "2026-05-17T18:00", 6),
        ("Europe/Berlin", "2026-03-29T00:00", 23),  # the clocks go forward
        ("Europe/Berlin", "2026-10-25T00:00", 25),  # and back
    ],
)
def test_midnight_is_the_accounts(zone, now, hours):
    """The quota is full again at the account's midnight, on days of 23 and 25 hours too."""
    governor = Governor()
    governor.set_zone(zone, None)
    assert governor.to_midnight_s(at(now, zone)) == hours * 3600


def test_an_unknown_zone_goes_by_its_offset():
    """A zone that is not installed here is replaced by its offset, and nonsense by UTC."""
    now_ms = round(datetime(2026, 5, 17, 18, tzinfo=UTC).timestamp() * 1000)
    hours = {}
    for offset in ("-05:00", "+02:00", None, "soon", "+99:99"):
        governor = Governor()
        governor.set_zone("Mars/Olympus_Mons", offset)
        hours[offset] = governor.to_midnight_s(now_ms) / 3600
    assert hours == {"-05:00": 11, "+02:00": 4, None: 6, "soon": 6, "+99:99": 6}


NOON = at("2026-05-17T12:00", "UTC")


def test_the_quota_is_spent_freely_then_evenly_and_never_whole():
    """No brake up to 80 % of the day, then what is left lasts to midnight, less the last 2 %."""
    governor = Governor()
    assert governor.interval_s(NOON) == 0, "unknown is no reason to wait"
    governor.learn(100_000, 20_001, NOON)
    assert governor.interval_s(NOON) == 0
    governor.learn(100_000, 20_000, NOON)
    assert governor.interval_s(NOON) == pytest.approx(12 * 3600 / 18_000)
    governor.learn(100_000, 2_000, NOON)
    assert governor.interval_s(NOON) == LOOK_AGAIN_S
    assert governor.interval_s(NOON + 12 * 3_600_000) == 0, "a new day"


@given(st.integers(100, 50_000), st.floats(0.2, 1.0))
def test_what_is_left_lasts_to_midnight(limit, share):
    """Requests at the governor's own pace never reach into the reserve before midnight."""
    governor = Governor()
    governor.learn(limit, int(limit * 0.2), NOON)
    now_ms, used = NOON + int((1 - share) * 11 * 3_600_000), 0
    midnight = NOON + 12 * 3_600_000
    while now_ms < midnight and used < 3_000:
        interval_s = governor.interval_s(now_ms)
        assert interval_s > 0
        if interval_s == LOOK_AGAIN_S:
            break
        governor.spend()
        used += 1
        now_ms += round(interval_s * 1000)
    assert used <= limit * 0.18 + 1
