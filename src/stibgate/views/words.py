"""Counts, times and amounts as they are shown everywhere."""

from collections.abc import Callable
from decimal import Decimal

from stibgate.domain.instant import to_rfc3339


def moment(unix_ms: int | None) -> str | None:
    """Return a time for output, or None."""
    return None if unix_ms is None else to_rfc3339(unix_ms)


def counted(count: int, noun: str, number: Callable[[int], str] = str) -> str:
    """Return `1 record`, `2 records`; *number* writes the count."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number(count)} {noun if count == 1 else plural}"


def amount_number(amount: Decimal) -> int | float:
    """Return *amount* as a JSON number, an integer where it is whole."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def known_amount(amount: Decimal | None) -> int | float | None:
    """Return *amount* as a JSON number, or None where it is not known."""
    return None if amount is None else amount_number(amount)
