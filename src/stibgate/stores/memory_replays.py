"""Replays in the store in memory: pages, and those in the background."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import copy, deepcopy
from dataclasses import replace
from typing import TypeVar

from stibgate.domain.audit import AuditEntry
from stibgate.stores import DeliveryFilter, Replay, ReplayResult
from stibgate.stores.bulks import to_document
from stibgate.stores.contracts.operators import Note
from stibgate.stores.memory_office import MemoryOffice
from stibgate.stores.office import CALLS_KEPT_MS
from stibgate.stores.replays import BULKS_KEPT, Bulk, BulkState, Page, Selection, Step

T = TypeVar("T")


class MemoryReplays(MemoryOffice):
    """`Desk` and `ReplayBook`, and what is read of them, over a dictionary; every call is one transaction."""

    def __init__(self) -> None:
        super().__init__()
        self._bulks: dict[str, tuple[Bulk, Selection]] = {}

    # -- Desk, each act with its line in the audit

    async def replay(
        self, steps: Sequence[Step], replay: Replay, note: Note[Sequence[ReplayResult]] | None = None
    ) -> Sequence[ReplayResult]:
        """Send again what each step says; see `stores.Desk.replay`."""
        async with self._whole():
            return await self._noted([self._step(step, replay) for step in steps], note)

    async def cancel(
        self, task_ids: Sequence[str], *, now_ms: int, by: str, note: Note[Sequence[str]] | None = None
    ) -> Sequence[str]:
        """End tasks; see `stores.Desk.cancel`."""
        async with self._whole():
            ended = [task_id for task_id in task_ids if self._cancel(task_id, now_ms=now_ms, by=by)]
            return await self._noted(ended, note)

    async def pause(self, sink: str, *, now_ms: int, by: str, note: Note[bool] | None = None) -> bool:
        """Lease no more tasks of a sink; see `stores.Desk.pause`."""
        async with self._whole():
            return await self._noted(self._pause(sink, now_ms=now_ms, by=by), note)

    async def resume(self, sink: str, *, now_ms: int, note: Note[bool] | None = None) -> bool:
        """Go on with a sink; see `stores.Desk.resume`."""
        async with self._whole():
            return await self._noted(self._resume(sink, now_ms=now_ms), note)

    async def reset(self, sink: str, *, now_ms: int, note: Note[bool] | None = None) -> bool:
        """Close a sink's breaker; see `stores.Desk.reset`."""
        async with self._whole():
            return await self._noted(self._reset(sink, now_ms=now_ms), note)

    async def _noted(self, came_to: T, note: Note[T] | None) -> T:
        if note is not None:
            await self.append_audit(note(came_to))
        return came_to

    @asynccontextmanager
    async def _whole(self) -> AsyncIterator[None]:
        """Do all of the block or nothing."""
        before = {name: copy(value) for name, value in vars(self).items()}
        try:
            yield
        except BaseException:
            vars(self).update(before)
            raise

    def _step(self, step: Step, replay: Replay) -> ReplayResult:
        if step.verdict is not ReplayResult.REPLAYED:
            return step.verdict
        if step.task_id is not None:
            return self._replay_task(step.task_id, replay, step.positions)
        if step.new is not None:
            added = self._add_tasks(step.delivery_id, [step.new], replay)
            return ReplayResult.REPLAYED if added else ReplayResult.ON_THE_WAY
        return self._replay_delivery(step.delivery_id, replay)

    # -- ReplayBook

    async def begin_replay(self, bulk: Bulk, selection: Selection, note: AuditEntry) -> Bulk:
        """Keep a replay that begins; see `stores.ReplayBook.begin_replay`."""
        oldest_ms = bulk.started_at_ms - CALLS_KEPT_MS
        for known, _ in self._bulks.values():
            if bulk.asked_as is not None and known.asked_as == bulk.asked_as and known.started_at_ms > oldest_ms:
                return deepcopy(known)
        to_document(selection)
        latest = len(self._deliveries if isinstance(selection.where, DeliveryFilter) else self._tasks)
        begun = replace(deepcopy(bulk), position=0 if selection.ids else latest + 1)
        async with self._whole():
            self._bulks[bulk.replay_id] = begun, selection
            for old in [one for one, _ in self._bulks.values() if one.ended][:-BULKS_KEPT]:
                del self._bulks[old.replay_id]
            await self.append_audit(note)
        return deepcopy(begun)

    async def replay_counted(self, replay_id: str, total: int) -> None:
        """Let a replay begin to send; see `stores.ReplayBook.replay_counted`."""
        bulk, selection = self._bulks[replay_id]
        if bulk.state is BulkState.COUNTING:
            self._bulks[replay_id] = replace(bulk, state=BulkState.RUNNING, total=total), selection

    async def replay_page(self, replay_id: str, page: Page, replay: Replay) -> Sequence[ReplayResult] | None:
        """Do a page of a replay; see `stores.ReplayBook.replay_page`."""
        bulk, selection = self._bulks.get(replay_id, (None, None))
        if bulk is None or selection is None or (bulk.state, bulk.position) != (BulkState.RUNNING, page.begins):
            return None
        results = await self.replay(page.steps, replay)
        report = deepcopy(bulk.report)
        report.add(page, results)
        moved = replace(bulk, position=page.ends, done=bulk.done + page.things, report=report)
        self._bulks[replay_id] = moved, selection
        return results

    async def end_replay(
        self, replay_id: str, state: BulkState, note: Note[Bulk], *, now_ms: int, error: str | None = None
    ) -> Bulk | None:
        """End a replay; see `stores.ReplayBook.end_replay`."""
        bulk, selection = self._bulks.get(replay_id, (None, None))
        if bulk is None or selection is None or bulk.ended:
            return None
        ended = replace(bulk, state=state, ended_at_ms=now_ms, error=error)
        await self.append_audit(note(ended))
        self._bulks[replay_id] = ended, selection
        return deepcopy(ended)

    def bulk(self, replay_id: str) -> Bulk | None:
        """Return one replay in the background, or None."""
        return deepcopy(self._bulks[replay_id][0]) if replay_id in self._bulks else None

    def bulks(self) -> Sequence[Bulk]:
        """Return the replays in the background that are remembered, newest first."""
        return [deepcopy(bulk) for bulk, _ in reversed(self._bulks.values())]

    def open_bulks(self) -> Sequence[tuple[Bulk, Selection]]:
        """Return those that are not over, oldest first, each with what it means."""
        return [(deepcopy(bulk), selection) for bulk, selection in self._bulks.values() if not bulk.ended]
