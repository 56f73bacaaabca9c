"""How the SQLite store is read: a read-only connection, and lists by filter, newest first."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlite_utils import Database

from stibgate.stores.connection import sqlite3


class Reading:
    """Queries over one connection."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @property
    def connection(self) -> sqlite3.Connection:
        """What is read over."""
        return self._db.conn

    def _rows(self, sql: str, values: Sequence[Any]) -> list[Any]:
        rows: list[Any] = self._db.conn.execute(sql, values).fetchall()
        return rows

    def _one(self, sql: str, *values: object) -> Any:
        return self._db.conn.execute(sql, values).fetchone()


def select(head: str, conditions: Mapping[str, str], where: object, before: int | None) -> tuple[str, list[Any]]:
    """Return the query, but for its limit, that finds what *where* asks for, and its values.

    Args:
        head: The query up to its conditions.
        conditions: The condition for each field of *where* that is not None.
        where: The filter.
        before: Only what has a smaller sequence number.
    """
    clauses: list[str] = []
    values: list[Any] = []
    for name, sql in conditions.items():
        value = getattr(where, name)
        if value is None:
            continue
        several = list(value) if name in {"person", "body_sha256"} else [value]
        clauses.append(sql.format(marks=", ".join("?" * len(several))))
        values += several
    if before is not None:
        clauses.append("sequence < ?")
        values.append(before)
    clause = " WHERE " + " AND ".join(clauses) if clauses else ""
    return f"{head}{clause} ORDER BY sequence DESC LIMIT ?", values
