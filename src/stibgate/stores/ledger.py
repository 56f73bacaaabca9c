"""Reading the SQLite store: for people, and for the worker's look-ups. Never a write."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from stibgate.domain.delivery import Sighting, StoredDelivery
from stibgate.domain.record import Record
from stibgate.domain.task import FINAL, Attempt, Outcome, Task
from stibgate.errors import StoreError
from stibgate.stores import DeliveryFilter, StoreStatus, TaskFilter
from stibgate.stores.connection import classify, open_reader, sqlite3
from stibgate.stores.migrations import applied, pending, refuse_newer
from stibgate.stores.rows import (
    DELIVERY_COLUMNS,
    TASK_COLUMNS,
    attempt_of,
    delivery_of,
    outcome_of,
    sighting_of,
    task_of,
)

_FINAL = ", ".join(f"'{state}'" for state in FINAL)

_DELIVERY_WHERE = {
    "state": "state = ?",
    "source": "source = ?",
    "event_type": "event_type = ?",
    "search_id": "search_id = ?",
    "job_id": "job_id = ?",
    "partner_customer_id": "partner_customer_id = ?",
    "since_ms": "received_at >= ?",
    "until_ms": "received_at < ?",
    "sink": "EXISTS (SELECT 1 FROM tasks t WHERE t.delivery_id = deliveries.delivery_id AND t.sink = ?)",
}
_TASK_WHERE = {"state": "state = ?", "sink": "sink = ?", "delivery_id": "delivery_id = ?"}


def open_ledger(path: Path) -> "SqliteLedger":
    """Return a ledger over the database at *path*; needs no running service.

    Raises:
        StoreError: There is no store, or it cannot be read.
        SchemaTooNew: A newer stibgate wrote it.
    """
    db = open_reader(path)
    try:
        refuse_newer(db)
        begun = bool(applied(db))
    except sqlite3.Error as error:
        db.conn.close()
        raise classify(error) from error
    except BaseException:
        db.conn.close()
        raise
    if not begun:
        db.conn.close()
        raise StoreError(f"{path} holds no store yet", hint="Start `stibgate serve` once, or check storage.url.")
    return SqliteLedger(db, path)


class SqliteLedger:
    """Everything that is read from the SQLite store; see `stores.Ledger`."""

    def __init__(self, db: Database, path: Path) -> None:
        self._db = db
        self._path = path

    def close(self) -> None:
        """Close the connection."""
        self._db.conn.close()

    @property
    def hash_key(self) -> bytes:
        """The 32-byte key of `domain.record.lookup_hash`."""
        (key,) = self._one("SELECT value FROM meta WHERE name = 'hash_key'")
        return bytes(key)

    def deliveries(
        self, where: DeliveryFilter, *, limit: int | None, before: int | None = None
    ) -> Sequence[StoredDelivery]:
        """Return deliveries, newest first."""
        sql, values = _select(f"SELECT {DELIVERY_COLUMNS} FROM deliveries", _DELIVERY_WHERE, where, before)
        return [delivery_of(row) for row in self._rows(sql, [*values, -1 if limit is None else limit])]

    def delivery(self, delivery_id: str) -> StoredDelivery | None:
        """Return one delivery, or None."""
        row = self._one(f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE delivery_id = ?", delivery_id)
        return None if row is None else delivery_of(row)

    def body(self, delivery_id: str) -> bytes | None:
        """Return the raw body, byte for byte."""
        row = self._one("SELECT body FROM bodies JOIN deliveries USING (sequence) WHERE delivery_id = ?", delivery_id)
        return None if row is None else bytes(row[0])

    def records(self, delivery_id: str) -> Sequence[Record]:
        """Return the normalised records in order."""
        rows = self._rows("SELECT document FROM records WHERE delivery_id = ? ORDER BY position", [delivery_id])
        return [Record.from_document(json.loads(row[0])) for row in rows]

    def sightings(self, delivery_id: str) -> Sequence[Sighting]:
        """Return when the same key came again, oldest first."""
        rows = self._rows(
            "SELECT delivery_id, seen_at, body_sha256, conflict FROM sightings WHERE delivery_id = ? ORDER BY sequence",
            [delivery_id],
        )
        return [sighting_of(row) for row in rows]

    def conflict_bodies(self, delivery_id: str) -> Sequence[bytes]:
        """Return the other bodies that came under the same key, each once, oldest first."""
        rows = self._rows("SELECT body FROM conflict_bodies WHERE delivery_id = ? ORDER BY rowid", [delivery_id])
        return [bytes(row[0]) for row in rows]

    def tasks(self, where: TaskFilter, *, limit: int | None, before: int | None = None) -> Sequence[tuple[int, Task]]:
        """Return tasks with their sequence numbers, newest first."""
        sql, values = _select(f"SELECT sequence, {TASK_COLUMNS} FROM tasks", _TASK_WHERE, where, before)
        return [(row[0], task_of(row[1:])) for row in self._rows(sql, [*values, -1 if limit is None else limit])]

    def task(self, task_id: str) -> Task | None:
        """Return one task, or None."""
        row = self._one(f"SELECT {TASK_COLUMNS} FROM tasks WHERE task_id = ?", task_id)
        return None if row is None else task_of(row)

    def attempts(self, task_id: str) -> Sequence[Attempt]:
        """Return the attempts of a task in order."""
        rows = self._rows(
            "SELECT task_id, number, started_at, ended_at, signal, error FROM attempts"
            " WHERE task_id = ? ORDER BY number",
            [task_id],
        )
        return [attempt_of(row) for row in rows]

    def outcomes(self, task_id: str) -> Sequence[Outcome]:
        """Return what became of each record, by position."""
        rows = self._rows("SELECT position, kind, detail FROM outcomes WHERE task_id = ? ORDER BY position", [task_id])
        return [outcome_of(row) for row in rows]

    def find_person(self, hashes: Sequence[bytes]) -> Sequence[tuple[str, int]]:
        """Return (delivery id, position) of every record with one of the lookup hashes, oldest first."""
        marks = ", ".join("?" * len(hashes))
        return self._rows(
            "SELECT DISTINCT p.delivery_id, p.position FROM persons p JOIN deliveries d USING (delivery_id)"
            f" WHERE p.hash IN ({marks}) ORDER BY d.sequence, p.position",
            list(hashes),
        )

    def pins(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the pinned scheme of each source."""
        return {source: json.loads(scheme) for source, scheme in self._rows("SELECT source, scheme FROM pins", [])}

    def accepted(self, limit: int) -> Sequence[tuple[StoredDelivery, bytes]]:
        """Return deliveries that are still accepted, oldest first, with their bodies."""
        rows = self._rows(
            f"SELECT {DELIVERY_COLUMNS}, body FROM deliveries JOIN bodies USING (sequence)"
            " WHERE state = 'accepted' ORDER BY sequence LIMIT ?",
            [limit],
        )
        return [(delivery_of(row[:-1]), bytes(row[-1])) for row in rows]

    def batch(self, task: Task) -> tuple[StoredDelivery, Sequence[Record]]:
        """Return what *task* owes."""
        delivery = self.delivery(task.delivery_id)
        if delivery is None:
            raise LookupError(f"task {task.task_id} has no delivery")
        return delivery, self.records(task.delivery_id)

    def next_due_ms(self) -> int | None:
        """Return when the earliest open task is due or its lease ends."""
        row = self._one(
            "SELECT min(due) FROM (SELECT min(next_attempt_at) AS due FROM tasks WHERE state IN ('queued', 'waiting')"
            " UNION ALL SELECT min(lease_until) FROM tasks WHERE state = 'leased')"
        )
        return None if row is None else row[0]

    def unfinished(self) -> int:
        """Return how many deliveries are accepted or processing."""
        (count,) = self._one("SELECT count(*) FROM deliveries WHERE state IN ('accepted', 'processing')")
        return int(count)

    def status(self) -> StoreStatus:
        """Return sizes and counts."""
        disk = os.statvfs(self._path.parent)
        wal = self._path.with_name(self._path.name + "-wal")
        return StoreStatus(
            url=f"sqlite:///{self._path}",
            schema_version=len(applied(self._db)),
            pending_migrations=pending(self._db),
            size_bytes=self._path.stat().st_size,
            wal_bytes=wal.stat().st_size if wal.exists() else 0,
            free_bytes=disk.f_bavail * disk.f_frsize,
            deliveries=dict(self._rows("SELECT state, count(*) FROM deliveries GROUP BY state", [])),
            tasks=dict(self._rows("SELECT state, count(*) FROM tasks GROUP BY state", [])),
        )

    def check(self) -> Sequence[str]:
        """Return everything that is wrong: SQLite's own check, and the conservation of records."""
        found = []
        try:
            found += [text for (text,) in self._rows("PRAGMA integrity_check", []) if text != "ok"]
            for law, sql in _LAWS.items():
                found += [f"{law}: {row[0]}" for row in self._rows(sql, [])]
        except sqlite3.DatabaseError as error:  # too damaged to be read to the end
            found.append(str(error))
        return found

    def _rows(self, sql: str, values: Sequence[Any]) -> list[Any]:
        rows: list[Any] = self._db.conn.execute(sql, values).fetchall()
        return rows

    def _one(self, sql: str, *values: object) -> Any:
        return self._db.conn.execute(sql, values).fetchone()


_LAWS = {
    "a delivery without its body": "SELECT delivery_id FROM deliveries WHERE NOT EXISTS"
    " (SELECT 1 FROM bodies b WHERE b.sequence = deliveries.sequence)",
    "an idempotency key whose delivery was never stored": "SELECT k.delivery_id FROM idempotency_keys k"
    " LEFT JOIN deliveries d USING (delivery_id) WHERE d.delivery_id IS NULL",
    "a task without its delivery": "SELECT task_id FROM tasks t LEFT JOIN deliveries d USING (delivery_id)"
    " WHERE d.delivery_id IS NULL",
    "a delivery that is done although a task is open": "SELECT DISTINCT delivery_id FROM deliveries"
    f" JOIN tasks t USING (delivery_id) WHERE deliveries.state = 'done' AND t.state NOT IN ({_FINAL})",
    "a delivery that is processing although every task is final": "SELECT delivery_id FROM deliveries"
    " WHERE state = 'processing' AND NOT EXISTS"
    f" (SELECT 1 FROM tasks t WHERE t.delivery_id = deliveries.delivery_id AND t.state NOT IN ({_FINAL}))",
    "a processed delivery whose records are not all stored": "SELECT delivery_id FROM deliveries d"
    " WHERE processed_at IS NOT NULL AND state IN ('processing', 'done')"
    " AND records <> (SELECT count(*) FROM records r WHERE r.delivery_id = d.delivery_id)",
    "a delivered task without an outcome for each record": "SELECT t.task_id FROM tasks t JOIN deliveries d"
    " USING (delivery_id) WHERE t.state IN ('delivered', 'partial')"
    " AND (d.records <> (SELECT count(*) FROM outcomes o WHERE o.task_id = t.task_id) OR EXISTS"
    " (SELECT 1 FROM records r WHERE r.delivery_id = t.delivery_id AND NOT EXISTS"
    " (SELECT 1 FROM outcomes o WHERE o.task_id = t.task_id AND o.position = r.position)))",
    "a task whose attempts are not numbered 1..n": "SELECT t.task_id FROM tasks t"
    " WHERE t.attempts <> (SELECT count(*) FROM attempts a WHERE a.task_id = t.task_id)"
    " OR EXISTS (SELECT 1 FROM attempts a WHERE a.task_id = t.task_id AND a.number NOT BETWEEN 1 AND t.attempts)",
    "an open task that nothing will wake": "SELECT task_id FROM tasks"
    " WHERE (state IN ('queued', 'waiting') AND next_attempt_at IS NULL) OR (state = 'leased' AND lease_until IS NULL)",
}
"""Law -> query that finds what breaks it. Conservation: in = written + refused + ... + waiting, always."""


def _select(
    head: str, conditions: Mapping[str, str], where: DeliveryFilter | TaskFilter, before: int | None
) -> tuple[str, list[Any]]:
    wanted = [(sql, value) for name, sql in conditions.items() if (value := getattr(where, name)) is not None]
    if before is not None:
        wanted.append(("sequence < ?", before))
    clause = " WHERE " + " AND ".join(sql for sql, _ in wanted) if wanted else ""
    return f"{head}{clause} ORDER BY sequence DESC LIMIT ?", [value for _, value in wanted]
