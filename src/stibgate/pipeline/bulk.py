"""Replays that run while nobody waits for their end: watched, ended early, and noted in the audit when they are over.

The store keeps each, what it means and how far it has come; a page that is sent again and the position behind it are
one transaction. So one that a crash or a restart cut short goes on with the next start, and sends nothing twice; it is
over when it has come to its end, has failed, or somebody has cancelled it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from stibgate.domain.audit import Action, Actor, AuditEntry
from stibgate.errors import Busy, StibgateError, StoreUnavailable
from stibgate.pipeline.audit import Auditor
from stibgate.pipeline.operations import Operations
from stibgate.stores import Bulk, BulkState, Replay, ReplayBook, Selection

log = structlog.get_logger("stibgate.operations")

RUNNING_MAX = 4
"""More at once would only take turns at the store."""
CLOSE_S = 2.0
"""How long the end of the service waits for the page that a replay is at."""
AGAIN_S = 5.0
"""After this long it is tried again with a store that could not."""


class Bulks:
    """Runs replays in the background, a page of deliveries or tasks at a time.

    Args:
        operations: Plans it.
        book: Does it, and keeps how far it has come.
        auditor: Told of the end of each.
        new_id: Makes their ids.
    """

    def __init__(self, operations: Operations, book: ReplayBook, auditor: Auditor, new_id: Callable[[], str]) -> None:
        self._operations = operations
        self._book = book
        self._auditor = auditor
        self._new_id = new_id
        self._stops: dict[str, asyncio.Event] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._closing = False

    async def start(
        self,
        actor: Actor,
        selection: Selection,
        note: Callable[[str], AuditEntry],
        *,
        forced: bool,
        asked_as: bytes | None = None,
    ) -> Bulk:
        """Begin a replay and return it, or the one that the same keyed call began; it is durable, with its line.

        Args:
            actor: Who asks.
            selection: What is meant, as `Operations.kept` has it.
            note: Makes the line in the audit of its id.
            forced: Send records again that are done.
            asked_as: See `stores.Bulk`.

        Raises:
            Busy: Too many run already.
        """
        if len(self._stops) >= RUNNING_MAX:
            raise Busy(f"{RUNNING_MAX} replays run in the background", hint="Wait for one to end, or cancel one.")
        bulk = Bulk(self._new_id(), actor, forced, self._operations.now_ms(), asked_as=asked_as)
        self._stops[bulk.replay_id] = asyncio.Event()  # its place, before anybody else comes
        line = note(bulk.replay_id)
        try:
            begun = await self._book.begin_replay(bulk, selection, line)
        finally:
            del self._stops[bulk.replay_id]
        if begun.replay_id == bulk.replay_id:
            self._auditor.tell(line)
        if not begun.ended and begun.replay_id not in self._stops:
            self._run(begun, selection)
        return begun

    async def go_on(self) -> int:
        """Go on with what an earlier process did not come to the end of; return how many there were."""
        self._closing = False
        left = await self._operations.read(lambda ledger: ledger.open_bulks())
        for bulk, selection in left:
            if bulk.replay_id not in self._stops:  # the call that began it came again before us
                self._run(bulk, selection)
        return len(left)

    async def cancel(self, actor: Actor, replay_id: str) -> Bulk | None:
        """End the replay after what it is at, and return it; what was sent again stays so. None when there is none."""
        await self._end(replay_id, BulkState.CANCELLED, actor=actor)
        if replay_id in self._stops:
            self._stops[replay_id].set()
        return await self._operations.read(lambda ledger: ledger.bulk(replay_id))

    async def close(self) -> None:
        """Stop every replay after the page that it is at, and run none that begins from now on; the next start does."""
        self._closing = True
        for stop in self._stops.values():
            stop.set()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=CLOSE_S)
            for task in late:  # wherever it is, the store knows how far it has come
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _run(self, bulk: Bulk, selection: Selection) -> None:
        if self._closing:
            return
        stop = self._stops[bulk.replay_id] = asyncio.Event()
        task = asyncio.create_task(self._until_it_ends(bulk.replay_id, selection, stop))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: self._stops.pop(bulk.replay_id, None))

    async def _until_it_ends(self, replay_id: str, selection: Selection, stop: asyncio.Event) -> None:
        """Try again as long as it is only the store that cannot."""
        while not stop.is_set():
            try:
                await self._try(replay_id, selection, stop)
            except StoreUnavailable as error:
                log.warning("store.error", error=error.message, hint=error.hint)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), AGAIN_S)
            else:
                return

    async def _try(self, replay_id: str, selection: Selection, stop: asyncio.Event) -> None:
        state, told = BulkState.DONE, None
        try:
            if not await self._send(replay_id, selection, stop):
                return
        except StoreUnavailable:
            raise
        except StibgateError as error:
            state, told = BulkState.FAILED, error.message
        except Exception as error:
            state, told = BulkState.FAILED, type(error).__name__
            log.exception("unhandled")
        await self._end(replay_id, state, error=told)

    async def _send(self, replay_id: str, selection: Selection, stop: asyncio.Event) -> bool:
        """Send what it has not come to; return whether that was all: not when it was stopped, or ended by somebody."""
        while not stop.is_set():
            bulk = await self._operations.read(lambda ledger: ledger.bulk(replay_id))
            if bulk is None or bulk.ended:
                return False
            if bulk.state is BulkState.COUNTING:
                total = await self._operations.count(selection, position=bulk.position, stopped=stop.is_set)
                if not stop.is_set():
                    await self._book.replay_counted(replay_id, total)
            elif await self._send_from(bulk, selection, stop):
                return True
        return False

    async def _send_from(self, bulk: Bulk, selection: Selection, stop: asyncio.Event) -> bool:
        """Send page by page; return whether it came to the end: not when the store has it elsewhere by now."""
        by = bulk.actor.called
        async for page in self._operations.pages(selection, forced=bulk.forced, position=bulk.position):
            if stop.is_set():
                return False
            replay = Replay(self._operations.now_ms(), by, bulk.forced)
            results = await self._book.replay_page(bulk.replay_id, page, replay)
            if results is None:
                return False
            self._operations.tell(page, results, by=by)
        return not stop.is_set()

    async def _end(
        self, replay_id: str, state: BulkState, *, actor: Actor | None = None, error: str | None = None
    ) -> None:
        """End it, unless it has ended; the line is of *actor*, or of who began it."""

        def line(bulk: Bulk) -> AuditEntry:
            counts = {f"count_{name}": count for name, count in bulk.report.results.items()}
            records = bulk.report.records
            entry = self._auditor.entry(
                actor or bulk.actor, Action.REPLAY, replay_id, state=str(bulk.state), records=records, **counts
            )
            return replace(entry, at_ms=now_ms)

        now_ms = self._operations.now_ms()
        bulk = await self._book.end_replay(replay_id, state, line, now_ms=now_ms, error=error)
        if bulk is not None:
            self._auditor.tell(line(bulk))
