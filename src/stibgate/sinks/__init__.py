"""Where records go: one file or folder a sink, each with its `Settings` (whose `build()` makes it) and the `Sink`.

A sink never decides what happens to a task. It takes a batch and says what became of each record,
or raises; `pipeline.dispatch` turns that into a signal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from stibgate.domain.fact import Observe, unobserved
from stibgate.domain.record import Provenance, Record
from stibgate.domain.task import Outcome


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one delivery that are owed to one sink.

    Attributes:
        task_id: Stays the same over attempts and replays.
        attempt: From 1, without gaps.
        received_at_ms: When the delivery was admitted, milliseconds since the epoch.
        provenance: Where the records come from; shared by all of them.
        records: In the order of the delivery; positions are unique, not always without gaps. Those that this sink
            has already answered for are left out, unless they are asked for again.
        resend: How often an operator asked again for something that this sink had already taken, from 0.
        forced: An operator asks for every record again, also for those that nothing has changed in.
    """

    task_id: str
    attempt: int
    received_at_ms: int
    provenance: Provenance
    records: Sequence[Record]
    resend: int = 0
    forced: bool = False

    @property
    def key(self) -> str:
        """The idempotency key at the sink: the same over attempts, another one for each resend."""
        return self.task_id if not self.resend else f"{self.task_id}.{self.resend}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `check` looked at.

    Attributes:
        what: What was looked at and what was seen, in one line without personal data or secrets.
        ok: Whether records can go there as far as this one thing goes.
        hint: What to do about it when not.
    """

    what: str
    ok: bool = True
    hint: str = ""


class Sink(Protocol):
    """Takes batches of records, at least once each.

    The pipeline calls `deliver` from several tasks at once, never twice at once for the same `task_id` nor for
    the same person, and never after `close`. The same `Batch.key` may come again with the same records, after
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
            SinkUnavailable: Transient; nothing is assumed about what the far side kept of the records that the
                error's `outcomes` do not answer for. Only those come again.
            SinkHeld: The far side takes nothing from anybody for now; costs the task no attempt.
            SinkRejected: Permanent; the whole batch will never be taken as it is.
        """
        ...

    async def check(self) -> Sequence[Finding]:
        """Look, without writing anything, whether records could be delivered; return what was seen, in order.

        May be called on a sink that was never opened.
        """
        ...

    async def close(self) -> None:
        """Finish what is open and let go; called once."""
        ...


@runtime_checkable
class Reopens(Protocol):
    """A sink that holds something open by its name, and lets go of it when an operator asks (SIGUSR1)."""

    async def reopen(self) -> None:
        """Complete what is open and let go of it; the next batch opens anew whatever stands at that name then.

        Raises:
            SinkUnavailable: It could not be completed; it is tried again by itself.
        """
        ...


class Memory(Protocol):
    """What one sink remembers over batches and restarts: small JSON documents under keys of its own.

    Other sinks' keys are not seen. What `remember` wrote is there after a crash once it has returned.
    """

    async def recall(self, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return the documents of those *keys* that are known."""
        ...

    async def remember(self, documents: Mapping[str, Any]) -> None:
        """Keep *documents*, each in place of what its key had before."""
        ...


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What a sink is given when it is built, beside its settings.

    Attributes:
        name: Its key in the configuration.
        now_ms: The clock, milliseconds since the epoch.
        jitter: Returns a random number from 0 to 1.
        memory: What it remembers.
        observe: Told of its requests, and of what the far side allows.
    """

    name: str
    now_ms: Callable[[], int]
    jitter: Callable[[], float]
    memory: Memory
    observe: Observe = unobserved
