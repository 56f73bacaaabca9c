"""Reading the audit of the SQLite store."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from stibgate.domain.access import Role
from stibgate.domain.audit import Action, AuditEntry, AuditLine, broken_in
from stibgate.stores import AuditFilter
from stibgate.stores.reading import Reading, select

_COLUMNS = "sequence, at, actor, role, action, target, detail, client_ip, chain"
_WHERE = {
    "action": "action = ?",
    "actor": "actor = ?",
    "since_ms": "at >= ?",
    "until_ms": "at < ?",
}


class AuditReads(Reading):
    """What is read of the audit; see `stores.Ledger`."""

    def audit(self, where: AuditFilter, *, limit: int | None, before: int | None = None) -> Sequence[AuditLine]:
        """Return lines of the audit, newest first."""
        sql, values = select(f"SELECT {_COLUMNS} FROM audit", _WHERE, where, before)
        return [_line(row) for row in self._rows(sql, [*values, -1 if limit is None else limit])]

    def _broken_audit(self) -> Iterator[str]:
        """Yield where the chain of the audit is broken."""
        rows = self._db.conn.execute(f"SELECT {_COLUMNS} FROM audit ORDER BY sequence")
        try:
            number = broken_in(map(_line, rows))
        except ValueError:  # what stands there is no line
            number = 0
        if number is not None:
            yield f"an audit that was changed: line {number or 'unreadable'}"


def _line(row: Sequence[Any]) -> AuditLine:
    sequence, at_ms, actor, role, action, target, detail, client_ip, chain = row
    entry = AuditEntry(at_ms, actor, Role(role), Action(action), target, json.loads(detail or "{}"), client_ip)
    return AuditLine(sequence, entry, bytes(chain))
