"""The SQLite store's `ReplayBook`: each call one operation of the writer."""

from collections.abc import Sequence
from functools import partial

from stibgate.domain.audit import AuditEntry
from stibgate.stores import Replay, ReplayResult, bulks
from stibgate.stores.contracts.operators import Note
from stibgate.stores.replays import Bulk, BulkState, Page, Selection
from stibgate.stores.sqlite_office import SqliteOffice


class SqliteReplays(SqliteOffice):
    """Replays in the background; `SqliteStore` opens and closes what this writes with."""

    _hash_key: bytes

    async def begin_replay(self, bulk: Bulk, selection: Selection, note: AuditEntry) -> Bulk:
        """Keep a replay that begins; see `stores.ReplayBook.begin_replay`."""
        return await self._writer.submit(partial(bulks.begin_replay, bulk=bulk, selection=selection, note=note))

    async def replay_counted(self, replay_id: str, total: int) -> None:
        """Let a replay begin to send; see `stores.ReplayBook.replay_counted`."""
        await self._writer.submit(partial(bulks.replay_counted, replay_id=replay_id, total=total))

    async def replay_page(self, replay_id: str, page: Page, replay: Replay) -> Sequence[ReplayResult] | None:
        """Do a page of a replay; see `stores.ReplayBook.replay_page`."""
        return await self._writer.submit(
            partial(bulks.replay_page, replay_id=replay_id, page=page, replay=replay, hash_key=self._hash_key)
        )

    async def end_replay(
        self, replay_id: str, state: BulkState, note: Note[Bulk], *, now_ms: int, error: str | None = None
    ) -> Bulk | None:
        """End a replay; see `stores.ReplayBook.end_replay`."""
        return await self._writer.submit(
            partial(bulks.end_replay, replay_id=replay_id, state=state, note=note, now_ms=now_ms, error=error)
        )
