"""The live tail: the lines of the log, to whoever looks on, as they happen.

`filters` says who sees which line, `feed` keeps the last lines and passes them on to those who look
on (`channel`), `stream` is the HTTP of it.
What is shown is what the log's allow-list let pass: no person, no secret.
"""

from stibgate.web.live.feed import Feed
from stibgate.web.live.filters import NAMES, read_filter
from stibgate.web.live.stream import LiveStream

__all__ = ["NAMES", "Feed", "LiveStream", "read_filter"]
