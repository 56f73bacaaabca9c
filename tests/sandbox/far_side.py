"""What tests of the sandboxes on real HTTP have in common: a clock that a test moves, and an answer."""

import asyncio
from dataclasses import dataclass
from typing import Any

NOW_S = 1_779_043_330.0
"""2026-05-17T18:42:10Z, the moment in Stibnite's document; 14:42:10 in New York."""


class Clock:
    """A clock that a test moves; pauses move it too."""

    def __init__(self) -> None:
        self.now_s = NOW_S
        self.pauses: list[float] = []

    def now(self) -> float:
        return self.now_s

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


@dataclass
class Got:
    """One answer."""

    status: int
    body: Any
    headers: Any
