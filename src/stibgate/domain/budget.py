"""What may be spent: budgets, what a run may cost, and the decision before it, fail closed.

Amounts are `Decimal`, at least 0, below 10^12, with at most 12 digits behind the point, so that sums of them are
exact. Units never mix: a budget and a quote of different units do not meet in any sum, and no rate between them is
known. A window of time is UTC, and a run belongs to the window in which it was reserved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation
from enum import StrEnum

from stibgate.errors import UsageError

AMOUNT_BELOW = Decimal(10**12)
PLACES_MAX = 12

_SMALLEST = Decimal(1).scaleb(-PLACES_MAX)
_UP = Context(prec=60, rounding=ROUND_CEILING)


class Unit(StrEnum):
    """What a budget counts."""

    THEHOG_CREDIT = "thehog.credit"
    STIBNITE_CREDIT_UNIT = "stibnite.credit_unit"


class Period(StrEnum):
    """When a budget begins anew."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


class Verdict(StrEnum):
    """What becomes of a run."""

    ALLOW = "allow"
    NEEDS_CONFIRMATION = "needs_confirmation"
    DENY = "deny"


class Reason(StrEnum):
    """Why, in a closed word."""

    FITS = "fits"
    CONFIRMED = "confirmed"
    ABOVE_CONFIRM = "above_confirm"
    OVER_BUDGET = "over_budget"
    OUTSIDE_PLAN = "outside_plan"
    NO_ESTIMATE = "no_estimate"


def to_amount(value: Decimal | int | str) -> Decimal:
    """Return *value* as an amount.

    Raises:
        ValueError: It is no number, negative, 10^12 or more, or has more than 12 digits behind the point.
    """
    try:
        amount = Decimal(value)
        exact = amount.is_finite() and 0 <= amount < AMOUNT_BELOW and amount == amount.quantize(_SMALLEST, context=_UP)
    except InvalidOperation:
        exact = False
    if not exact:
        raise ValueError(f"expected a number from 0 to below 10^12 with at most {PLACES_MAX} digits behind the point")
    return abs(amount)


def round_up(value: Decimal) -> Decimal:
    """Return the smallest amount that is not below *value*: a ceiling stays one.

    Raises:
        ValueError: There is none.
    """
    if not value.is_finite() or not 0 <= value < AMOUNT_BELOW:
        raise ValueError("expected a number from 0 to below 10^12")
    return to_amount(value.quantize(_SMALLEST, context=_UP))


def format_amount(amount: Decimal) -> str:
    """Return *amount* in plain digits without needless zeros, `320.5`."""
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a period.

    Attributes:
        name: `2026-05-17`, `2026-05` or `total`.
        from_ms: Its first millisecond since the epoch.
        until_ms: The first one that is not in it any more; None for a window without end.
    """

    name: str
    from_ms: int
    until_ms: int | None


def window(period: Period, now_ms: int) -> Window:
    """Return the window of *period* that *now_ms* lies in."""
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    match period:
        case Period.TOTAL:
            return Window("total", 0, None)
        case Period.DAY:
            begin = datetime(now.year, now.month, now.day, tzinfo=UTC)
            return Window(f"{begin:%Y-%m-%d}", _ms(begin), _ms(begin + timedelta(days=1)))
        case Period.MONTH:
            begin = datetime(now.year, now.month, 1, tzinfo=UTC)
            end = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
            return Window(f"{begin:%Y-%m}", _ms(begin), _ms(end))


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent.

    Attributes:
        limit: The most in one window.
        confirm_above: A run that may cost more than this needs a confirmation; None for no such runs.

    Raises:
        ValueError: `limit` or `confirm_above` is no amount.
    """

    name: str
    unit: Unit
    limit: Decimal
    period: Period
    confirm_above: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse what is no amount."""
        for amount in (self.limit, self.confirm_above):
            if amount is not None:
                to_amount(amount)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a run may cost at most.

    Attributes:
        ceiling: In *unit*.
        within_plan: Whether the vendor's plan covers it, as the vendor says.
        whole: What it may cost with all that follows it by itself, which is what a person confirms; None for no more.

    Raises:
        ValueError: `ceiling` or `whole` is no amount.
    """

    unit: Unit
    ceiling: Decimal
    within_plan: bool = True
    whole: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse what is no amount."""
        for amount in (self.ceiling, self.whole):
            if amount is not None:
                to_amount(amount)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A smaller run that fares better.

    Attributes:
        change: What to change in the request, in the vendor's names.
        ceiling: What it may cost at most.
        verdict: What would become of it.
    """

    change: Mapping[str, object]
    ceiling: Decimal
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a run, and why.

    Attributes:
        message: The reason in one line.
        remaining: What the budget had left before the run; below 0 when more was billed than was allowed.
        suggestions: Smaller runs that fare better, the one that gives up least first.
    """

    verdict: Verdict
    reason: Reason
    message: str
    remaining: Decimal
    suggestions: tuple[Suggestion, ...] = ()


def decide(
    budget: Budget, quote: Quote | None, *, reserved: Decimal, settled: Decimal, confirmed: bool = False
) -> Decision:
    """Return whether a run may begin.

    Args:
        budget: The budget that it was named with.
        quote: What it may cost; None when nobody could say, which denies it.
        reserved: Ceilings of this window's runs that are not settled yet, in the budget's unit.
        settled: What this window's settled runs were billed, in the budget's unit.
        confirmed: Whether a person said yes; a denied run cannot be confirmed.

    Raises:
        UsageError: Budget and quote have different units.
        ValueError: *reserved* or *settled* is no amount.
    """
    remaining = budget.limit - to_amount(reserved) - to_amount(settled)
    if quote is None:
        return Decision(Verdict.DENY, Reason.NO_ESTIMATE, "what it may cost is not known", remaining)
    if quote.unit is not budget.unit:
        raise UsageError(
            f"budget {budget.name} counts {budget.unit}, but this run costs {quote.unit}",
            hint=f"Name a budget whose unit is {quote.unit}.",
        )
    estimate = f"estimate {format_amount(quote.ceiling)}"
    if not quote.within_plan:
        return Decision(Verdict.DENY, Reason.OUTSIDE_PLAN, f"{estimate} is outside of the vendor's plan", remaining)
    if quote.ceiling > remaining:
        message = f"{estimate} > remaining {format_amount(remaining)}"
        return Decision(Verdict.DENY, Reason.OVER_BUDGET, message, remaining)
    whole = quote.ceiling if quote.whole is None else quote.whole
    if budget.confirm_above is not None and whole > budget.confirm_above:
        with_pages = f", {format_amount(whole)} with all its pages," if whole > quote.ceiling else ""
        message = f"{estimate}{with_pages} > confirm_above {format_amount(budget.confirm_above)}"
        if confirmed:
            return Decision(Verdict.ALLOW, Reason.CONFIRMED, f"{message}, confirmed", remaining)
        return Decision(Verdict.NEEDS_CONFIRMATION, Reason.ABOVE_CONFIRM, message, remaining)
    return Decision(Verdict.ALLOW, Reason.FITS, f"{estimate} <= remaining {format_amount(remaining)}", remaining)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp()) * 1000
