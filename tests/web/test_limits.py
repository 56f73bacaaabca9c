"""How much one source may ask for."""

from hypothesis import given
from hypothesis import strategies as st

from stibgate.web.limits import RateLimiter, TokenBucket

RATES = st.floats(0.01, 10_000)
BURSTS = st.integers(1, 1000)
PAUSES = st.lists(st.floats(0, 100), max_size=60)


@given(rate=RATES, burst=BURSTS, pauses=PAUSES)
def test_a_bucket_never_gives_more_than_it_holds(rate, burst, pauses):
    """In any span of time at most `burst + rate * span` tokens are given."""
    bucket = TokenBucket(rate, burst, burst, 0.0)
    now_s, given_at = 0.0, []
    for pause in pauses:
        now_s += pause
        if bucket.take(now_s) == 0:
            given_at.append(now_s)
    for first, start in enumerate(given_at):
        for last in range(first, len(given_at)):
            assert last - first + 1 <= burst + rate * (given_at[last] - start) + 1e-6


@given(rate=RATES, burst=BURSTS, pauses=PAUSES)
def test_who_waits_as_told_is_served(rate, burst, pauses):
    """After the seconds that a refusal names there is a token; less than one second is never named."""
    bucket = TokenBucket(rate, burst, burst, 0.0)
    now_s = 0.0
    for pause in pauses:
        now_s += pause
        wait_s = bucket.take(now_s)
        assert wait_s >= 0
        if wait_s:
            now_s += wait_s + 1e-6
            assert bucket.take(now_s) == 0


@given(rate=RATES, burst=BURSTS, pauses=PAUSES)
def test_a_refusal_costs_nothing(rate, burst, pauses):
    """Asking too early does not move the time when there is a token again."""
    patient, hasty = (TokenBucket(rate, burst, 0.0, 0.0) for _ in range(2))
    now_s = 0.0
    for pause in pauses:
        now_s += pause
        if hasty.tokens + (now_s - hasty.filled_at_s) * rate < 1:
            hasty.take(now_s)
    assert (
        abs(min(burst, patient.tokens + now_s * rate) - min(burst, hasty.tokens + (now_s - hasty.filled_at_s) * rate))
        < 1e-3
    )


def test_buckets_are_not_shared():
    """What one source takes, no other one misses."""
    limiter = RateLimiter(rate=1, burst=2)
    assert [limiter.take("a", 0.0) for _ in range(3)] == [0, 0, 1]
    assert limiter.take("b", 0.0) == 0
