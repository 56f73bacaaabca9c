"""Whole numbers, revenue and employee counts: what is one becomes one, nothing is rounded or guessed."""

import math
import re

INTEGER_MAX = 2**63 - 1
"""The largest number that SQLite, PostgreSQL and every sink's JSON can hold."""

_DIGITS = re.compile(r"\$? ?(?P<digits>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.0+)?")
_DIGITS_MAX = 19


def canonical(value: object) -> int | None:
    """Return *value* as a whole number from 0 to 2**63 - 1, or None when it is not one.

    Whole numbers, floats without a fraction, and texts of digits such as `10000000`, `$10,000,000` or `42.0`.
    `10M`, `1-10` and `1,5` stay what they are: texts that need a person.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        match = _DIGITS.fullmatch(value)
        if match is None:
            return None
        digits = match["digits"].replace(",", "").lstrip("0") or "0"
        number = int(digits) if len(digits) <= _DIGITS_MAX else -1
    elif isinstance(value, float):
        number = int(value) if math.isfinite(value) and value.is_integer() else -1
    elif isinstance(value, int):
        number = value
    else:
        return None
    return number if 0 <= number <= INTEGER_MAX else None
