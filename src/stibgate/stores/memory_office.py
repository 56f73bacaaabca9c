"""What operators leave behind, in memory."""

from collections.abc import Sequence

from stibgate.domain.audit import BEGINNING, AuditEntry, AuditLine, broken_in, chained
from stibgate.stores import AuditFilter, Call, CallState, KnownCall
from stibgate.stores.memory_jobs import MemoryJobs
from stibgate.stores.office import CALLS_KEPT_MS


class MemoryOffice(MemoryJobs):
    """`Office`, and what is read of it, over lists; single-threaded, so every call is one transaction."""

    def __init__(self) -> None:
        super().__init__()
        self._audit: list[AuditLine] = []
        self._calls: dict[tuple[str, str], tuple[Call, int, int | None, str]] = {}

    async def append_audit(self, entry: AuditEntry) -> int:
        """Add a line to the audit; see `stores.Office.append_audit`."""
        sequence = len(self._audit) + 1
        before = self._audit[-1].chain if self._audit else BEGINNING
        self._audit.append(AuditLine(sequence, entry, chained(sequence, entry, before)))
        return sequence

    async def begin_call(self, call: Call, *, now_ms: int) -> KnownCall:
        """Note that a call has begun; see `stores.Office.begin_call`."""
        self._calls = {name: known for name, known in self._calls.items() if known[1] > now_ms - CALLS_KEPT_MS}
        found = self._calls.get((call.actor, call.key))
        if found is None:
            self._calls[call.actor, call.key] = (call, now_ms, None, "")
            return KnownCall(CallState.NEW)
        known, _, status, answer = found
        if known.fingerprint != call.fingerprint:
            return KnownCall(CallState.ANOTHER)
        return KnownCall(CallState.RUNNING) if status is None else KnownCall(CallState.ANSWERED, status, answer)

    async def end_call(self, call: Call, status: int, answer: str) -> None:
        """Keep a call's answer; see `stores.Office.end_call`."""
        if (found := self._calls.get((call.actor, call.key))) is not None:
            self._calls[call.actor, call.key] = (call, found[1], status, answer)

    async def forget_call(self, call: Call) -> None:
        """Forget a call that did nothing; see `stores.Office.forget_call`."""
        if (found := self._calls.get((call.actor, call.key))) is not None and found[2] is None:
            del self._calls[call.actor, call.key]

    async def forget_running_calls(self) -> None:
        """Forget the calls of a process that is gone; see `stores.Office.forget_running_calls`."""
        self._calls = {name: known for name, known in self._calls.items() if known[2] is not None}

    def audit(self, where: AuditFilter, *, limit: int | None, before: int | None = None) -> Sequence[AuditLine]:
        """Return lines of the audit, newest first."""
        found = [
            line
            for line in reversed(self._audit)
            if (before is None or line.sequence < before)
            and where.action in {None, line.entry.action}
            and where.actor in {None, line.entry.actor}
            and (where.since_ms is None or line.entry.at_ms >= where.since_ms)
            and (where.until_ms is None or line.entry.at_ms < where.until_ms)
        ]
        return found if limit is None else found[:limit]

    def _broken_audit(self) -> Sequence[str]:
        number = broken_in(self._audit)
        return [] if number is None else [f"an audit that was changed: line {number}"]
