"""What ties work to a distributed trace: W3C's `traceparent`, and which one the present work belongs to.

Nothing is traced unless somebody sets `CURRENT`; whoever looks then finds None.
Source: W3C Trace Context, 3.2.
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
_TEXT_MAX = 512


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One span of a trace.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
        sampled: Whether it is recorded.
    """

    trace_id: str
    span_id: str
    sampled: bool

    @property
    def traceparent(self) -> str:
        """As the header has it."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse_traceparent(text: str | None) -> TraceContext | None:
    """Return the span that *text* names, or None when it names none; a later version may have more at its end."""
    if text is None or len(text) > _TEXT_MAX:
        return None
    found = _TRACEPARENT.fullmatch(text)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & 1))


CURRENT: ContextVar[TraceContext | None] = ContextVar("stibgate_trace", default=None)
"""The span that the present work belongs to."""
