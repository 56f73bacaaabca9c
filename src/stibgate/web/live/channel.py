"""Those who look on: connections, and which of them want the same."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stibgate.web.live.filters import Filter

UNREAD_BYTES = 128 * 1024
"""How much a connection may leave unread in our memory, beside what the system keeps: some 256 lines."""
LINES_PER_S = 200
"""Of one channel; a person reads fewer, and a program asks for fewer."""


class Line(NamedTuple):
    """One line of the log, with its number; the first has 1."""

    number: int
    fields: Mapping[str, Any]


class Piece(NamedTuple):
    """Bytes of a stream, as they are and as one chunk of HTTP/1.1."""

    plain: bytes
    chunk: bytes


def piece(data: bytes) -> Piece:
    """Return *data*, ready for every connection."""
    return Piece(data, b"%x\r\n%b\r\n" % (len(data), data))


@dataclass(slots=True, eq=False)
class Member:
    """One connection that looks on.

    Attributes:
        transport: Where to; its buffer is the only queue.
        chunked: Whether the answer is in chunks.
        until_s: When its stream ends, on the loop's clock.
        welcome: Whether they may look on still.
        ended: Done when the stream is over.
    """

    transport: asyncio.WriteTransport
    chunked: bool
    until_s: float
    welcome: Callable[[], bool]
    ended: asyncio.Future[None]

    def write(self, data: Piece) -> bool:
        """Send *data*; return False when the connection reads too slowly, and was cut off."""
        if self.ended.done():
            return True
        if self.transport.is_closing():
            self.end()
        elif self.transport.get_write_buffer_size() > UNREAD_BYTES:
            self.transport.abort()
            self.end()
            return False
        else:
            self.transport.write(data.chunk if self.chunked else data.plain)
        return True

    def end(self) -> None:
        """Let the stream end after what was written."""
        if not self.ended.done():
            self.ended.set_result(None)


@dataclass(slots=True, eq=False)
class Channel:
    """Everybody who wants the same lines.

    Attributes:
        cursor: The number of the last line that was looked at.
        wrote_s: When something was last written.
        allowance: How many lines may be written now.
        held: Lines that were left out since something was written.
        flooded: Whether lines had to be left out when something was written last.
    """

    wanted: Filter
    cursor: int
    wrote_s: float
    filled_s: float
    allowance: float = LINES_PER_S
    held: int = 0
    flooded: bool = False
    members: set[Member] = field(default_factory=set)

    def choose(self, lines: list[Line], now_s: float) -> tuple[int, list[Line]]:
        """Return how many lines are left out, and those that may be written: the newest.

        Once lines were left out, it waits until a good many may go, so that a flood is not all gaps.
        """
        self.allowance = min(LINES_PER_S, self.allowance + (now_s - self.filled_s) * LINES_PER_S)
        self.filled_s = now_s
        if self.flooded and self.allowance < LINES_PER_S / 2:
            self.held += len(lines)
            return 0, []
        taken = lines[max(0, len(lines) - int(self.allowance)) :]
        left_out, self.held = self.held + len(lines) - len(taken), 0
        self.flooded = len(taken) < len(lines)
        self.allowance -= len(taken)
        return left_out, taken
