"""Reading server-sent events, as the service writes them.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import http.client
from collections.abc import Iterator
from dataclasses import dataclass

LINE_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream; a name without data only says how far it has come.

    Attributes:
        id: What to come back with, to go on behind this event.
    """

    name: str
    id: str
    data: str


def events(answer: http.client.HTTPResponse) -> Iterator[Event]:
    """Yield the events of *answer* as they come, until it ends.

    Raises:
        OSError: The connection broke, or was silent for too long.
        HTTPException: It ended in the middle.
        ValueError: It is not a stream of events.
    """
    name, last_id, data = "message", "", list[str]()
    while raw := answer.readline(LINE_MAX):
        if not raw.endswith(b"\n"):
            raise ValueError("an event without an end")
        field, _, value = raw.decode().rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            last_id = value
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif not (field or value):
            yield Event(name, last_id, "\n".join(data))
            name, data = "message", []
