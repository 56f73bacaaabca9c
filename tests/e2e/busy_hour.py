"""An hour that never was, in the counts of a store: for README's pictures only."""

import asyncio
import math
import random
import time

from stibgate.domain.tally import MINUTE_MS, Counted, Key, Series
from stibgate.stores.sqlite import SqliteStore


def count_an_hour(path):
    """Write what a busy hour would have counted into the store at *path*, which nobody else has open."""

    async def write():
        store = SqliteStore(path)
        try:
            await store.add_counts("a-busy-hour", list(_hour(time.time_ns() // 1_000_000)))
        finally:
            await store.close()

    asyncio.run(write())


def _hour(now_ms):
    dice, begin_ms = random.Random(7), now_ms - now_ms % MINUTE_MS - 58 * MINUTE_MS
    for minute in range(57):
        at_ms = begin_ms + minute * MINUTE_MS
        came = round(18 + 9 * math.sin(minute / 7) + dice.uniform(0, 6))
        yield Counted(at_ms, Key(Series.ANSWERS, "push", "accepted"), came)
        yield Counted(at_ms, Key(Series.RECORDS, "push"), 5 * came)
        yield Counted(at_ms, Key(Series.ACK_MS, "push", dice.choice(["2.7", "3.3", "3.9"])), came - 1)
        yield Counted(at_ms, Key(Series.ACK_MS, "push", dice.choice(["8.2", "12", "15", "22"])), 1)
        yield Counted(at_ms, Key(Series.OUTCOMES, "drop", "written"), 5 * came)
        yield Counted(at_ms, Key(Series.ATTEMPT_MS, "drop", "3.9"), came)
        if minute < 40:
            yield Counted(at_ms, Key(Series.OUTCOMES, "crm", "written"), 4 * came)
            yield Counted(at_ms, Key(Series.ATTEMPT_MS, "crm", dice.choice(["270", "330"])), came)
        if minute in {12, 13, 41}:
            yield Counted(at_ms, Key(Series.ANSWERS, "push", "rejected"), 3)
