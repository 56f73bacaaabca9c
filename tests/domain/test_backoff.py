"""When a task is tried again: patient, bounded, never in the past."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.domain.backoff import Policy, next_attempt_at_ms

NOW_MS = 1_779_043_330_004
DEFAULT = Policy(
    (0, 5, 60, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000),
    max_age_s=72 * 3600,
    timeout_s=60,
    concurrency=8,
    lease_s=120,
)
DELAYS = st.floats(0, 30 * 86_400) | st.integers(0, 30 * 86_400)
POLICIES = st.builds(
    lambda schedule, max_age_s: replace(DEFAULT, schedule_s=schedule, max_age_s=max_age_s),
    st.lists(DELAYS, max_size=12),
    st.integers(0, 60 * 86_400),
)
JITTER = st.floats(0, 1)
RETRY_AFTER = st.none() | st.floats(0, 1e6) | st.integers(0, 10**400) | st.just(math.inf)


@given(
    policy=POLICIES,
    tries=st.integers(1, 10_000),
    age_ms=st.integers(0, 10**10),
    jitter=JITTER,
    retry_after_s=RETRY_AFTER,
)
def test_bounds(policy, tries, age_ms, jitter, retry_after_s):
    """The next attempt is never in the past, never before the sink asked, within jitter, within schedule and age."""
    due_ms = next_attempt_at_ms(
        policy,
        tries=tries,
        age_ms=age_ms,
        now_ms=NOW_MS,
        jitter=jitter,
        retry_after_s=retry_after_s,
    )
    if tries >= len(policy.schedule_s):
        assert due_ms is None
        return
    step_ms = policy.schedule_s[tries] * 1000
    asked_ms = (retry_after_s or 0) * 1000
    if due_ms is None:
        assert age_ms + max(1.2 * step_ms, asked_ms) > policy.max_age_s * 1000
        return
    assert due_ms >= NOW_MS
    assert due_ms - (NOW_MS - age_ms) <= policy.max_age_s * 1000
    delay_ms = due_ms - NOW_MS
    assert delay_ms >= max(0.8 * step_ms, asked_ms) - 1
    assert delay_ms <= max(1.2 * step_ms, asked_ms) + 1


@given(JITTER, st.integers(1, 9))
def test_default_schedule(jitter, tries):
    """The documented schedule is kept within 20 % and allows ten attempts."""
    due_ms = next_attempt_at_ms(DEFAULT, tries=tries, age_ms=0, now_ms=NOW_MS, jitter=jitter)
    assert abs(due_ms - NOW_MS - DEFAULT.schedule_s[tries] * 1000) <= DEFAULT.schedule_s[tries] * 200 + 1
    assert next_attempt_at_ms(DEFAULT, tries=10, age_ms=0, now_ms=NOW_MS, jitter=jitter) is None


@pytest.mark.parametrize(("jitter", "delay_ms"), [(0, 4000), (0.5, 5000), (1, 6000)])
def test_jitter(jitter, delay_ms):
    """The jitter spans exactly 20 % to either side."""
    due_ms = next_attempt_at_ms(DEFAULT, tries=1, age_ms=0, now_ms=NOW_MS, jitter=jitter)
    assert due_ms - NOW_MS == delay_ms


@pytest.mark.parametrize(("retry_after_s", "delay_ms"), [(3, 5000), (5.5, 5500), (30, 30_000), (0, 5000), (-9, 5000)])
def test_retry_after(retry_after_s, delay_ms):
    """What the sink asked for wins when it is longer than the schedule, exactly and without jitter."""
    due_ms = next_attempt_at_ms(DEFAULT, tries=1, age_ms=0, now_ms=NOW_MS, jitter=0.5, retry_after_s=retry_after_s)
    assert due_ms - NOW_MS == delay_ms


def test_max_age():
    """An attempt at exactly `max_age` is made, one a millisecond later is not."""
    policy = replace(DEFAULT, max_age_s=100)
    ask = {"tries": 1, "now_ms": NOW_MS, "jitter": 0.5}
    assert next_attempt_at_ms(policy, age_ms=95_000, **ask) == NOW_MS + 5000
    assert next_attempt_at_ms(policy, age_ms=95_001, **ask) is None
    assert policy.exhausted(tries=1, age_ms=100_000) is None
    assert policy.exhausted(tries=1, age_ms=100_001) == "max_age has passed"


@given(policy=POLICIES, tries=st.integers(0, 20), age_ms=st.integers(0, 10**10), jitter=JITTER)
def test_what_is_promised_is_kept(policy, tries, age_ms, jitter):
    """A task that was given a next attempt may make it when its time has come, unless somebody was late."""
    due_ms = next_attempt_at_ms(policy, tries=max(tries, 1), age_ms=age_ms, now_ms=NOW_MS, jitter=jitter)
    if due_ms is not None:
        assert policy.exhausted(tries=max(tries, 1), age_ms=age_ms + due_ms - NOW_MS) is None
    if tries >= len(policy.schedule_s):
        assert policy.exhausted(tries=tries, age_ms=0) == "every attempt of the schedule was used"


def test_ten_thousand_attempts():
    """A schedule of any length neither overflows nor grows."""
    policy = replace(DEFAULT, schedule_s=(1,) * 10_001, max_age_s=10**9)
    due_ms = next_attempt_at_ms(policy, tries=10_000, age_ms=0, now_ms=NOW_MS, jitter=1)
    assert due_ms == NOW_MS + 1200
