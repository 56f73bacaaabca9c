"""Durations, sizes and rates as people write them: `"5m"`, `"32MiB"`, `"200/s"`."""

import re

_DURATION_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "kB": 1000, "MB": 1000**2, "GB": 1000**3}
_PER_S = {"s": 1.0, "m": 60.0, "h": 3600.0}

_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,15})?)"  # 15 digits: exact in a float, and never infinite
_DURATION = re.compile(_NUMBER + r"\s*(ms|s|m|h|d)", re.ASCII)
_SIZE = re.compile(_NUMBER + r"\s*(B|KiB|MiB|GiB|kB|MB|GB)", re.ASCII)
_RATE = re.compile(_NUMBER + r"\s*/\s*(s|m|h)", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds that *text* names, for example `"1.5h"`.

    Raises:
        ValueError: *text* is not a number with one of the units ms, s, m, h, d.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError('expected a duration with a unit, for example "30s", "5m", "2h" or "400d"')
    return float(match[1]) * _DURATION_S[match[2]]


def parse_size(text: str) -> int:
    """Return the bytes that *text* names, for example `"32MiB"`.

    Raises:
        ValueError: *text* is not a number with one of the units B, KiB, MiB, GiB, kB, MB, GB.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError('expected a size with a unit, for example "512KiB", "32MiB" or "1GiB"')
    return int(float(match[1]) * _SIZE_BYTES[match[2]])


def parse_rate(text: str) -> float:
    """Return the events a second that *text* names, for example `"200/s"` or `"30/m"`.

    Raises:
        ValueError: *text* is not N/s, N/m or N/h with N above zero.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise ValueError('expected N/s, N/m or N/h with N above zero, for example "200/s"')
    return float(match[1]) / _PER_S[match[2]]


def format_duration(seconds: float) -> str:
    """Return *seconds* in the largest unit that needs no fraction; the inverse of `parse_duration`."""
    for unit in ("d", "h", "m", "s"):
        count = seconds / _DURATION_S[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    if seconds == 0:
        return "0s"
    return f"{round(seconds * 1000)}ms"
