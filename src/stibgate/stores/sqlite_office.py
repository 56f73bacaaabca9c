"""The SQLite store's `Office`: each call one operation of the writer."""

from functools import partial

from stibgate.domain.audit import AuditEntry
from stibgate.stores import Call, KnownCall, office
from stibgate.stores.sqlite_jobs import SqliteJobs


class SqliteOffice(SqliteJobs):
    """What operators leave behind; `SqliteStore` opens and closes what this writes with."""

    async def append_audit(self, entry: AuditEntry) -> int:
        """Add a line to the audit; see `stores.Office.append_audit`."""
        return await self._writer.submit(partial(office.append_audit, entry=entry))

    async def begin_call(self, call: Call, *, now_ms: int) -> KnownCall:
        """Note that a call has begun; see `stores.Office.begin_call`."""
        return await self._writer.submit(partial(office.begin_call, call=call, now_ms=now_ms))

    async def end_call(self, call: Call, status: int, answer: str) -> None:
        """Keep a call's answer; see `stores.Office.end_call`."""
        await self._writer.submit(partial(office.end_call, call=call, status=status, answer=answer))

    async def forget_call(self, call: Call) -> None:
        """Forget a call that did nothing; see `stores.Office.forget_call`."""
        await self._writer.submit(partial(office.forget_call, call=call))

    async def forget_running_calls(self) -> None:
        """Forget the calls of a process that is gone; see `stores.Office.forget_running_calls`."""
        await self._writer.submit(office.forget_running_calls)
