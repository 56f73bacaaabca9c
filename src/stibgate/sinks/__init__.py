"""Where records go: one file a sink, each with its `Settings` (whose `build()` makes it) and the `Sink`.

A sink never decides what happens to a task. It takes a batch and says what became of each record,
or raises; `pipeline.dispatch` turns that into a signal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stibgate.domain.record import Provenance, Record
from stibgate.domain.task import Outcome


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one delivery that are owed to one sink.

    Attributes:
        task_id: Stays the same over attempts; the idempotency key at the sink.
        attempt: From 1.
        received_at_ms: When the delivery was admitted, milliseconds since the epoch.
        provenance: Where the records come from; shared by all of them.
        records: In the order of the delivery; positions are unique, not always without gaps.
    """

    task_id: str
    attempt: int
    received_at_ms: int
    provenance: Provenance
    records: Sequence[Record]


class Sink(Protocol):
    """Takes batches of records, at least once each.

    The pipeline calls `deliver` from several tasks at once, never twice at once for the same
    `task_id`, and never after `close`. The same `task_id` may come again with the same records, after
    a crash or a time-out whose result nobody saw: a sink that can notice must not double anything.
    """

    async def open(self) -> None:
        """Make the sink ready; called once, before the first batch.

        Raises:
            SinkUnavailable: Not ready now; it is tried again with the first batch.
        """
        ...

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Hand over *batch*, durably on the far side, and return one outcome for each record, in order.

        Raises:
            SinkUnavailable: Transient; nothing is assumed about what the far side kept.
            SinkRejected: Permanent; the whole batch will never be taken as it is.
        """
        ...

    async def close(self) -> None:
        """Finish what is open and let go; called once."""
        ...
