"""Budgets: nothing is allowed beyond the limit, units never meet, windows are UTC and leave no gap."""

import calendar
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.domain.budget import (
    Budget,
    Period,
    Quote,
    Reason,
    Unit,
    Verdict,
    decide,
    format_amount,
    round_up,
    to_amount,
    window,
)
from stibgate.errors import UsageError

CREDIT = Unit.THEHOG_CREDIT
ZERO = Decimal(0)
AMOUNTS = st.decimals(0, 10**12 - 1, places=12) | st.integers(0, 500).map(Decimal)
SMALL = st.integers(0, 60).map(lambda n: Decimal(n) / 4)
MOMENTS = st.integers(0, 4_102_444_800_000)
"""Up to the year 2100."""
ORDER = [Verdict.ALLOW, Verdict.NEEDS_CONFIRMATION, Verdict.DENY]


def make(limit="500", confirm_above=None, *, unit=CREDIT, period=Period.MONTH) -> Budget:
    above = None if confirm_above is None else Decimal(confirm_above)
    return Budget("team-a", unit, Decimal(limit), period, above)


def verdict(budget, ceiling, *, reserved=ZERO, settled=ZERO, confirmed=False):
    return decide(budget, Quote(CREDIT, ceiling), reserved=reserved, settled=settled, confirmed=confirmed).verdict


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, st.booleans())
def test_never_beyond_the_limit(limit, reserved, settled, ceiling, confirmed):
    """A run is denied exactly when it and all before it may cost more than the limit, to the last digit."""
    got = decide(make(limit), Quote(CREDIT, ceiling), reserved=reserved, settled=settled, confirmed=confirmed)
    beyond = Fraction(reserved) + Fraction(settled) + Fraction(ceiling) > Fraction(limit)
    assert (got.verdict is Verdict.DENY) == beyond
    assert Fraction(got.remaining) == Fraction(limit) - Fraction(reserved) - Fraction(settled)


@given(SMALL, st.none() | SMALL, st.lists(st.tuples(SMALL, st.booleans(), st.none() | SMALL), max_size=30))
def test_a_whole_window(limit, confirm_above, runs):
    """Whatever is asked for, confirmed and billed below its ceiling, what is held and billed stays within the limit."""
    budget, reserved, settled = make(limit, confirm_above), [], ZERO
    for ceiling, confirmed, billed in runs:
        held = sum(reserved, ZERO)
        if verdict(budget, ceiling, reserved=held, settled=settled, confirmed=confirmed) is Verdict.ALLOW:
            assert confirmed or confirm_above is None or ceiling <= confirm_above
            reserved.append(ceiling)
        if billed is not None and reserved:
            settled += min(billed, reserved.pop())
        assert sum(reserved, ZERO) + settled <= limit


@given(SMALL, st.none() | SMALL, SMALL, SMALL, SMALL, SMALL)
def test_more_is_never_better(limit, confirm_above, reserved, settled, ceiling, more):
    """A dearer run, or a fuller budget, never fares better."""
    budget = make(limit, confirm_above)
    usual = ORDER.index(verdict(budget, ceiling, reserved=reserved, settled=settled))
    assert ORDER.index(verdict(budget, ceiling + more, reserved=reserved, settled=settled)) >= usual
    assert ORDER.index(verdict(budget, ceiling, reserved=reserved + more, settled=settled)) >= usual
    assert ORDER.index(verdict(budget, ceiling, reserved=reserved, settled=settled + more)) >= usual


@given(SMALL, SMALL, SMALL, SMALL, SMALL)
def test_a_confirmation_lifts_nothing_but_the_question(limit, confirm_above, reserved, settled, ceiling):
    """A yes allows what needs one, and changes no other decision."""
    asked = verdict(make(limit, confirm_above), ceiling, reserved=reserved, settled=settled)
    told = verdict(make(limit, confirm_above), ceiling, reserved=reserved, settled=settled, confirmed=True)
    assert told is (Verdict.ALLOW if asked is Verdict.NEEDS_CONFIRMATION else asked)


@pytest.mark.parametrize(
    ("ceiling", "kept", "reason", "message"),
    [
        ("320.5", "100", Reason.OVER_BUDGET, "estimate 320.5 > remaining 250"),
        ("250", "100", Reason.ABOVE_CONFIRM, "estimate 250 > confirm_above 200"),
        ("200", "100", Reason.FITS, "estimate 200 <= remaining 250"),
        ("0", "400", Reason.OVER_BUDGET, "estimate 0 > remaining -50"),
    ],
)
def test_reasons(ceiling, kept, reason, message):
    """A decision says why, in one word and in one line with plain figures."""
    got = decide(make("500", "200"), Quote(CREDIT, Decimal(ceiling)), reserved=Decimal(kept), settled=Decimal("150.00"))
    assert (got.reason, got.message, got.suggestions) == (reason, message, ())


def test_no_estimate_is_no():
    """What nobody can price is denied, whatever is left, and cannot be confirmed."""
    got = decide(make(), None, reserved=ZERO, settled=ZERO, confirmed=True)
    assert (got.verdict, got.reason, got.remaining) == (Verdict.DENY, Reason.NO_ESTIMATE, 500)


def test_outside_of_the_plan_is_no():
    """What the vendor's plan does not cover is denied, whatever is left, and cannot be confirmed."""
    got = decide(make(), Quote(CREDIT, Decimal(1), within_plan=False), reserved=ZERO, settled=ZERO, confirmed=True)
    assert (got.verdict, got.reason) == (Verdict.DENY, Reason.OUTSIDE_PLAN)


@pytest.mark.parametrize(("budget", "quote"), [tuple(Unit), tuple(reversed(Unit))])
def test_units_never_mix(budget, quote):
    """A budget of another unit says neither yes nor no: naming it was the mistake."""
    with pytest.raises(UsageError, match=str(quote)) as caught:
        decide(make(unit=budget), Quote(quote, ZERO), reserved=ZERO, settled=ZERO)
    assert caught.value.hint == f"Name a budget whose unit is {quote}."


@pytest.mark.parametrize("wrong", ["-1", "NaN", "sNaN", "Infinity", "1E12", "1E-13", "0.1234567890123", "1E-999999999"])
def test_no_amount(wrong):
    """What is no amount gets into no budget, quote or sum."""
    value = Decimal(wrong)
    for make_it in (
        lambda: to_amount(value),
        lambda: make(value),
        lambda: make("5", value),
        lambda: Quote(CREDIT, value),
        lambda: decide(make(), Quote(CREDIT, ZERO), reserved=value, settled=ZERO),
        lambda: decide(make(), Quote(CREDIT, ZERO), reserved=ZERO, settled=value),
    ):
        with pytest.raises(ValueError, match="expected a number"):
            make_it()


@given(AMOUNTS)
def test_amounts_are_written_and_read(amount):
    """Every amount survives being written, in plain digits without needless zeros."""
    text = format_amount(amount)
    assert to_amount(text) == amount
    assert set(text) <= set("0123456789.")
    assert not ("." in text and text.endswith(("0", ".")))


@pytest.mark.parametrize(
    ("value", "text"), [("320.50", "320.5"), ("1E+3", "1000"), ("-0", "0"), ("100", "100"), (7, "7"), ("1E-12", "0.000000000001")]
)  # fmt: skip
def test_amounts(value, text):
    """Exponents and zeros at the end are not amounts of another kind."""
    assert format_amount(to_amount(value)) == text


def test_no_number():
    """Other text is refused as such."""
    with pytest.raises(ValueError, match="expected a number"):
        to_amount("five")


@given(st.decimals(0, 10**11, allow_nan=False, allow_infinity=False))
def test_a_ceiling_stays_one(value):
    """Rounding for the budget never goes down, and never up by more than the last digit."""
    assert 0 <= Fraction(round_up(value)) - Fraction(value) < Fraction(1, 10**12)


@pytest.mark.parametrize("value", ["-1", "NaN", "Infinity", "1E12", "999999999999.9999999999999", "1E999999"])
def test_nothing_to_round(value):
    """What has no amount above it is refused."""
    with pytest.raises(ValueError, match="expected a number"):
        round_up(Decimal(value))


@given(st.sampled_from([Period.DAY, Period.MONTH]), MOMENTS)
def test_windows_leave_no_gap(period, now_ms):
    """Every moment is in exactly one window: it holds it, and the next begins where it ends."""
    here = window(period, now_ms)
    assert here.from_ms <= now_ms < here.until_ms
    assert window(period, here.from_ms) == window(period, here.until_ms - 1) == here
    following = window(period, here.until_ms)
    assert (following.from_ms, following.name > here.name) == (here.until_ms, True)


@given(MOMENTS)
def test_windows_are_utc(now_ms):
    """A day has 24 hours and a month its days, at midnight UTC, whatever the machine's zone."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    day, month = window(Period.DAY, now_ms), window(Period.MONTH, now_ms)
    assert (day.until_ms - day.from_ms, day.from_ms % 86_400_000) == (86_400_000, 0)
    days = calendar.monthrange(now.year, now.month)[1]
    assert month.until_ms - month.from_ms == days * 86_400_000
    assert month.from_ms == calendar.timegm((now.year, now.month, 1, 0, 0, 0)) * 1000


@pytest.mark.parametrize(
    ("period", "now_ms", "name", "from_ms", "until_ms"),
    [
        (Period.DAY, 1_779_043_330_004, "2026-05-17", 1_778_976_000_000, 1_779_062_400_000),
        (Period.MONTH, 1_779_043_330_004, "2026-05", 1_777_593_600_000, 1_780_272_000_000),
        (Period.MONTH, 1_798_761_599_999, "2026-12", 1_796_083_200_000, 1_798_761_600_000),
        (Period.MONTH, 1_709_164_800_000, "2024-02", 1_706_745_600_000, 1_709_251_200_000),
        (Period.TOTAL, 1_779_043_330_004, "total", 0, None),
    ],
)
def test_windows(period, now_ms, name, from_ms, until_ms):
    """The document's day, its month, a year's last millisecond, a leap day, and no window at all."""
    got = window(period, now_ms)
    assert (got.name, got.from_ms, got.until_ms) == (name, from_ms, until_ms)
