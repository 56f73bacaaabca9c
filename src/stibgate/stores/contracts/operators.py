"""What operators do and leave behind, what sinks keep, what is counted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from stibgate.domain.audit import AuditEntry
from stibgate.domain.rejection import Rejections
from stibgate.domain.tally import Counted
from stibgate.stores.replays import Bulk, BulkState, Page, Replay, ReplayResult, Selection, Step
from stibgate.stores.values import Call, KnownCall

T = TypeVar("T")
Note = Callable[[T], AuditEntry]
"""Makes of what an act came to its line in the audit; does nothing else, since it may be asked twice."""


class Desk(Protocol):
    """What operators can do. Each call is one transaction; what it says was done is durable.

    With a *note* the line in the audit that it makes of what the call returns is in the same transaction.
    """

    async def replay(
        self, steps: Sequence[Step], replay: Replay, note: Note[Sequence[ReplayResult]] | None = None
    ) -> Sequence[ReplayResult]:
        """Send again what each of *steps* says; return what became of each.

        A task is due again with the records that are not done, and with positions that it never owed. A new task is
        enqueued where the delivery was processed and has none for that sink. A whole delivery is processed again from
        its stored body where it is quarantined or ignored: what was read back of a quarantined one is forgotten, so
        that the vendor is asked anew; of an ignored one it is kept.
        """
        ...

    async def cancel(
        self, task_ids: Sequence[str], *, now_ms: int, by: str, note: Note[Sequence[str]] | None = None
    ) -> Sequence[str]:
        """End each of *task_ids* unless it is final already or leased; return those that were ended."""
        ...

    async def pause(self, sink: str, *, now_ms: int, by: str, note: Note[bool] | None = None) -> bool:
        """Lease no more tasks of *sink*; return False when it was paused already."""
        ...

    async def resume(self, sink: str, *, now_ms: int, note: Note[bool] | None = None) -> bool:
        """Go on with *sink*, its breaker closed; return False when it was neither paused nor left alone."""
        ...

    async def reset(self, sink: str, *, now_ms: int, note: Note[bool] | None = None) -> bool:
        """Close the breaker of *sink*, paused or not; return False when it was closed."""
        ...


class Office(Protocol):
    """What operators leave behind: the audit, and the answers of keyed calls. Each call is one transaction."""

    async def append_audit(self, entry: AuditEntry) -> int:
        """Add *entry* to the audit, chained to the line before; return its number. Lines are never changed."""
        ...

    async def begin_call(self, call: Call, *, now_ms: int) -> KnownCall:
        """Note that *call* begins unless its actor gave the key before, a day ago at most; return what is known."""
        ...

    async def end_call(self, call: Call, status: int, answer: str) -> None:
        """Keep the answer of a call that has begun."""
        ...

    async def forget_call(self, call: Call) -> None:
        """Forget a call that has begun and did nothing."""
        ...

    async def forget_running_calls(self) -> None:
        """Forget every call that has begun and was not answered: its process is gone."""
        ...


class ReplayBook(Protocol):
    """Replays in the background, so that one goes on where a crash cut it short. Each call is one transaction."""

    async def begin_replay(self, bulk: Bulk, selection: Selection, note: AuditEntry) -> Bulk:
        """Keep *bulk*, what it means and the line in the audit that says so; what comes later is not meant.

        Of those that have ended only the latest are remembered.

        Returns:
            It, with its position; or the one that the same keyed call began within a day, and nothing is changed.

        Raises:
            ValueError: *selection* names people by anything but their hashes.
        """
        ...

    async def replay_counted(self, replay_id: str, total: int) -> None:
        """Let a replay that counts begin to send."""
        ...

    async def replay_page(self, replay_id: str, page: Page, replay: Replay) -> Sequence[ReplayResult] | None:
        """Do *page* of a replay, and save that it has come so far.

        Returns:
            What became of each step; None, and nothing is done, when it does not run or is not where *page* begins.
        """
        ...

    async def end_replay(
        self, replay_id: str, state: BulkState, note: Note[Bulk], *, now_ms: int, error: str | None = None
    ) -> Bulk | None:
        """End a replay, with its line in the audit; return it as it ended, None when it had, or there is none."""
        ...


class Memories(Protocol):
    """What sinks remember; see `stibgate.sinks.Memory`."""

    async def recall(self, sink: str, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return the documents of those *keys* of *sink* that are known."""
        ...

    async def remember(self, sink: str, documents: Mapping[str, Any]) -> None:
        """Keep *documents* under their keys, durably."""
        ...


class Tallies(Protocol):
    """What happened, counted; see `domain.tally`."""

    async def add_counts(self, batch_id: str, counts: Sequence[Counted], rejections: Sequence[Rejections] = ()) -> None:
        """Add *counts*, each of a minute, and *rejections*, each of an hour, to what was counted before.

        The batch that was added last is not added again: whoever does not know whether it was may ask once more.
        """
        ...

    async def forget_counts(self, before_ms: int, *, rejections_before_ms: int) -> bool:
        """Remove some of what was counted before, oldest first; return whether there is more of it."""
        ...
