"""What Stibnite says: one file an event type, and the table that finds it.

`envelope.parse` makes a JSON object of the raw body, `envelope.resolve` makes an `Event` of the object.
The records stay in the body until fan-out asks the event's reader for them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from stibgate.domain.event import Event
from stibgate.domain.job import JobResult
from stibgate.events import job_failed, job_succeeded, records_pushed


class EventReader(Protocol):
    """Reads one event type; a module of this room is one."""

    @property
    def EVENT_TYPE(self) -> str:  # noqa: N802  (a module's constant)
        """The event type, as Stibnite spells it."""

    def read(self, document: dict[str, Any], /) -> Event:
        """Return the event: ids and counts only; this runs before the sender has its answer.

        Raises:
            NotUnderstood: *document* is not a documented or expected shape of this event.
        """
        ...

    def raw_records(self, document: dict[str, Any], /) -> list[dict[str, Any]]:
        """Return the records as sent, empty for a thin event.

        Raises:
            NotUnderstood: Like `read`.
        """
        ...

    def job_result(self, document: dict[str, Any], /) -> JobResult | None:
        """Return how the job ended that the event tells of, or None when it tells of none.

        Raises:
            NotUnderstood: Like `read`.
        """
        ...


_ALL: tuple[EventReader, ...] = (job_succeeded, job_failed, records_pushed)
READERS: Mapping[str, EventReader] = MappingProxyType({reader.EVENT_TYPE: reader for reader in _ALL})
"""Every event type that stibgate understands; an event of another type is kept and ignored."""
