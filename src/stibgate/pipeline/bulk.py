"""Replays that run while nobody waits for their end: watched, ended early, and noted in the audit when they are over.

They live in this process only. One that a restart cut short has sent again what it had come to; asking for the same
again sends the rest, because what is on its way or done is left out.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from stibgate.domain.audit import Action, Actor
from stibgate.errors import Busy, StibgateError
from stibgate.pipeline.audit import Auditor
from stibgate.pipeline.operations import Operations, Progress, Selection

log = structlog.get_logger("stibgate.operations")

RUNNING_MAX = 4
"""More at once would only take turns at the store."""
KEPT_MAX = 100
"""How many are remembered after their end."""


class BulkState(StrEnum):
    """How far a replay has come."""

    COUNTING = "counting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


ENDED = frozenset({BulkState.DONE, BulkState.CANCELLED, BulkState.FAILED})


@dataclass(slots=True)
class Bulk:
    """A replay in the background.

    Attributes:
        total: How many deliveries or tasks are meant; None until they are counted.
        error: Why it failed, in words.
    """

    replay_id: str
    actor: Actor
    selection: Selection
    forced: bool
    started_at_ms: int
    progress: Progress = field(default_factory=Progress)
    state: BulkState = BulkState.COUNTING
    total: int | None = None
    ended_at_ms: int | None = None
    error: str | None = None


class Bulks:
    """Runs replays in the background, a page of deliveries or tasks at a time.

    Args:
        operations: Does it.
        auditor: Told of the end of each.
        new_id: Makes their ids.
    """

    def __init__(self, operations: Operations, auditor: Auditor, new_id: Callable[[], str]) -> None:
        self._operations = operations
        self._auditor = auditor
        self._new_id = new_id
        self._bulks: dict[str, Bulk] = {}
        self._running: set[asyncio.Task[None]] = set()

    def prepare(self, actor: Actor, selection: Selection, *, forced: bool) -> Bulk:
        """Return a replay that has not begun.

        Raises:
            Busy: Too many run already.
        """
        if len(self._running) >= RUNNING_MAX:
            raise Busy(f"{RUNNING_MAX} replays run in the background", hint="Wait for one to end, or cancel one.")
        return Bulk(self._new_id(), actor, selection, forced, self._operations.now_ms())

    def run(self, bulk: Bulk) -> Bulk:
        """Begin *bulk*, and return it."""
        self._bulks[bulk.replay_id] = bulk
        for old in [one for one in self._bulks.values() if one.state in ENDED][:-KEPT_MAX]:
            del self._bulks[old.replay_id]
        task = asyncio.create_task(self._run(bulk))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return bulk

    def get(self, replay_id: str) -> Bulk | None:
        """Return the replay with that id; None when there is none, or it ended long ago."""
        return self._bulks.get(replay_id)

    def recent(self) -> Sequence[Bulk]:
        """Return those that are known, newest first."""
        return list(reversed(self._bulks.values()))

    def cancel(self, replay_id: str) -> Bulk | None:
        """Ask the replay to stop after what it is at; what was sent again stays so."""
        bulk = self._bulks.get(replay_id)
        if bulk is not None:
            bulk.progress.stopped = True
        return bulk

    async def close(self) -> None:
        """Stop every replay after what it is at."""
        for bulk in self._bulks.values():
            bulk.progress.stopped = True
        await asyncio.gather(*self._running)

    async def _run(self, bulk: Bulk) -> None:
        try:
            total = await self._operations.count(bulk.selection, bulk.progress)
            if not bulk.progress.stopped:
                bulk.total, bulk.state = total, BulkState.RUNNING
                await self._operations.replay(
                    bulk.selection, forced=bulk.forced, by=bulk.actor.called, dry_run=False, progress=bulk.progress
                )
            bulk.state = BulkState.CANCELLED if bulk.progress.stopped else BulkState.DONE
        except StibgateError as error:
            bulk.state, bulk.error = BulkState.FAILED, error.message
        except Exception as error:
            bulk.state, bulk.error = BulkState.FAILED, type(error).__name__
            log.exception("unhandled")
        bulk.ended_at_ms = self._operations.now_ms()
        await self._tell(bulk)

    async def _tell(self, bulk: Bulk) -> None:
        report = bulk.progress.report
        counts = {f"count_{name}": count for name, count in report.results.items()}
        try:
            await self._auditor.note(
                bulk.actor, Action.REPLAY, bulk.replay_id, state=str(bulk.state), records=report.records, **counts
            )
        except StibgateError as error:
            log.warning("store.error", error=error.message, hint=error.hint)
