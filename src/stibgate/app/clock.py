"""What only the composition root has: the clock, chance, and the source of ids."""

import random
import time

import uuid_utils

jitter = random.Random().random  # noqa: S311  (it keeps tries apart, and hides nothing)


def now_ms() -> int:
    """Return the present in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str) -> str:
    """Return a new id that sorts by time: *prefix*, an underscore, 32 hex digits."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"


def new_request_id() -> str:
    """Return a new id of one HTTP request: 32 hex digits."""
    return uuid_utils.uuid7().hex
