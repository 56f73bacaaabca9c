"""JSON values that nobody asked for: kept, but so that every encoder takes them."""

import json
import math
from typing import Any

from stibgate.normalise.text import encodable

DEPTH_MAX = 64
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1  # what orjson writes
_PRINTED_BITS_MAX = 14_000  # Python refuses to print more than 4,300 digits


def as_text(value: object) -> str:
    """Return *value* as it was sent: a text as it is, anything else as JSON text; always encodable."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, int) and value.bit_length() > _PRINTED_BITS_MAX:
        return hex(value)
    try:
        return encodable(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        return f"<{type(value).__name__}>"


def tidy(value: Any, depth: int = 0) -> Any:
    """Return *value* with only such parts as every JSON encoder takes; idempotent, never raises.

    NaN, Infinity, whole numbers beyond 64 bits, and what is deeper than 64 become text.
    """
    if _is_plain(value):
        return value
    if depth < DEPTH_MAX:
        if isinstance(value, dict):
            return {encodable(str(key)): tidy(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [tidy(inner, depth + 1) for inner in value]
    return as_text(value)


def _is_plain(value: object) -> bool:
    """Return whether every encoder takes *value* as it is; texts are looked at elsewhere."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return _INT_MIN <= value <= _INT_MAX
    return isinstance(value, float) and math.isfinite(value)
