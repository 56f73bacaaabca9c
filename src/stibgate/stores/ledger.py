"""Reading the SQLite store: for people, and for the worker's look-ups. Never a write."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from stibgate.domain.circuit import SinkState
from stibgate.domain.delivery import Sighting, StoredDelivery
from stibgate.domain.record import Record
from stibgate.domain.task import Attempt, Outcome, OutcomeKind, Task
from stibgate.errors import StoreError
from stibgate.stores import Accepted, DeliveryFilter, Owed, ReplayNote, StoreStatus, TaskFilter
from stibgate.stores.audit_reads import AuditReads
from stibgate.stores.bulk_reads import BulkReads
from stibgate.stores.connection import classify, open_reader, sqlite3
from stibgate.stores.job_reads import JobReads
from stibgate.stores.laws import LAWS
from stibgate.stores.listing import deliveries_query, tasks_query
from stibgate.stores.migrations import applied, pending, refuse_newer, refuse_older
from stibgate.stores.rows import (
    DELIVERY_COLUMNS,
    SINK_COLUMNS,
    TASK_COLUMNS,
    attempt_of,
    delivery_of,
    of_table,
    outcome_of,
    positions_of,
    sighting_of,
    sink_of,
    task_of,
)
from stibgate.stores.tally_reads import TallyReads
from stibgate.stores.totals import delivery_counts, task_counts


def open_ledger(path: Path, *, older: bool = False) -> "SqliteLedger":
    """Return a ledger over the database at *path*; needs no running service.

    Args:
        path: The database file.
        older: Whether an older schema is good enough: for its `status` only.

    Raises:
        StoreError: There is no store, or it cannot be read.
        SchemaTooNew: A newer stibgate wrote it.
        SchemaTooOld: It has an older schema.
    """
    db = open_reader(path)
    try:
        refuse_newer(db)
        begun = bool(applied(db))
        if begun and not older:
            refuse_older(db)
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


class SqliteLedger(JobReads, AuditReads, BulkReads, TallyReads):
    """Everything that is read from the SQLite store; see `stores.Ledger`."""

    def __init__(self, db: Database, path: Path) -> None:
        super().__init__(db)
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
        query = deliveries_query(self._db, DELIVERY_COLUMNS, where, -1 if limit is None else limit, before)
        return [delivery_of(row) for row in self._rows(*query)]

    def delivery(self, delivery_id: str) -> StoredDelivery | None:
        """Return one delivery, or None."""
        row = self._one(f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE delivery_id = ?", delivery_id)
        return None if row is None else delivery_of(row)

    def body(self, delivery_id: str, sha256: bytes | None = None) -> bytes | None:
        """Return the raw body, or another one that came under its key; see `stores.Ledger.body`."""
        first = "SELECT body FROM bodies JOIN deliveries USING (sequence) WHERE delivery_id = ?1"
        if sha256 is None:
            row = self._one(first, delivery_id)
        else:
            other = "SELECT body FROM conflict_bodies WHERE delivery_id = ?1 AND body_sha256 = ?2"
            row = self._one(f"{first} AND body_sha256 = ?2 UNION ALL {other}", delivery_id, sha256)
        return None if row is None else bytes(row[0])

    def records(
        self, delivery_id: str, *, first: int = 0, limit: int | None = None, flagged: bool = False
    ) -> Sequence[Record]:
        """Return the normalised records in order; see `stores.Ledger.records`."""
        rows = self._rows(
            "SELECT document FROM records WHERE delivery_id = ? AND position >= ?"
            + (" AND json_type(document, '$.issues') IS NOT NULL" if flagged else "")
            + " ORDER BY position LIMIT ?",
            [delivery_id, first, -1 if limit is None else limit],
        )
        return [Record.from_document(json.loads(row[0])) for row in rows]

    def sightings(self, delivery_id: str) -> Sequence[Sighting]:
        """Return when the same key came again, oldest first."""
        rows = self._rows(
            "SELECT delivery_id, seen_at, body_sha256, conflict, authenticated_by FROM sightings"
            " WHERE delivery_id = ? ORDER BY sequence",
            [delivery_id],
        )
        return [sighting_of(row) for row in rows]

    def tasks(self, where: TaskFilter, *, limit: int | None, before: int | None = None) -> Sequence[tuple[int, Task]]:
        """Return tasks with their sequence numbers, newest first."""
        query = tasks_query(self._db, f"sequence, {TASK_COLUMNS}", where, -1 if limit is None else limit, before)
        return [(row[0], task_of(row[1:])) for row in self._rows(*query)]

    def task(self, task_id: str) -> Task | None:
        """Return one task, or None."""
        row = self._one(f"SELECT {TASK_COLUMNS} FROM tasks WHERE task_id = ?", task_id)
        return None if row is None else task_of(row)

    def task_counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many tasks of each state each sink has."""
        counts: dict[str, dict[str, int]] = {}
        for sink, state, count in task_counts(self._db):
            counts.setdefault(sink, {})[state] = count
        return counts

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
        rows = self._rows(
            "SELECT position, kind, detail FROM outcomes WHERE task_id = ? AND current ORDER BY position", [task_id]
        )
        return [outcome_of(row) for row in rows]

    def history(self, task_id: str) -> Sequence[tuple[int, Outcome]]:
        """Return (attempt, outcome) of everything that was ever answered, oldest first."""
        rows = self._rows(
            "SELECT attempt, position, kind, detail FROM outcomes WHERE task_id = ? ORDER BY attempt, position",
            [task_id],
        )
        return [(row[0], outcome_of(row[1:])) for row in rows]

    def blocker(self, task_id: str) -> str | None:
        """Return the task that *task_id* was found to wait for."""
        row = self._one(
            "SELECT b.task_id FROM tasks t JOIN tasks b ON b.sequence = t.blocked_by WHERE t.task_id = ?", task_id
        )
        return None if row is None else row[0]

    def positions(self, task_id: str) -> Sequence[int]:
        """Return the positions of the records that a task owes or owed, in order."""
        row = self._one(
            "SELECT positions, deliveries.records FROM tasks JOIN deliveries USING (delivery_id) WHERE task_id = ?",
            task_id,
        )
        return () if row is None else positions_of(*row)

    def replays(self, delivery_id: str) -> Sequence[ReplayNote]:
        """Return what operators had sent again, oldest first."""
        rows = self._rows(
            "SELECT delivery_id, task_id, at, by, forced, state, records FROM replays"
            " WHERE delivery_id = ? ORDER BY sequence",
            [delivery_id],
        )
        return [ReplayNote(row[0], row[1], row[2], row[3], bool(row[4]), row[5], row[6]) for row in rows]

    def sinks(self) -> Mapping[str, SinkState]:
        """Return what is known of sinks that were ever paused or left alone."""
        return {row[0]: sink_of(row) for row in self._rows(f"SELECT {SINK_COLUMNS} FROM sinks", [])}

    def recall(self, sink: str, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return what *sink* remembers under *keys*."""
        rows = self._rows(
            "SELECT key, document FROM memories WHERE sink = ? AND key IN (SELECT value FROM json_each(?))",
            [sink, json.dumps(list(keys))],
        )
        return {key: json.loads(document) for key, document in rows}

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

    def accepted(self, limit: int) -> Sequence[Accepted]:
        """Return deliveries that are accepted and wait for no result, oldest first, with what they are made of."""
        rows = self._rows(
            f"SELECT {of_table('d', DELIVERY_COLUMNS)}, b.body, r.body FROM deliveries d JOIN bodies b USING (sequence)"
            " LEFT JOIN results r ON r.delivery_id = d.delivery_id WHERE d.state = 'accepted'"
            " AND d.state IN ('accepted', 'processing')"  # in the words of the index `deliveries_open`
            " AND NOT EXISTS (SELECT 1 FROM readbacks w WHERE w.delivery_id = d.delivery_id)"
            " ORDER BY d.sequence LIMIT ?",
            [limit],
        )
        return [
            Accepted(delivery_of(row), bytes(body), None if result is None else bytes(result))
            for *row, body, result in rows
        ]

    def owed(self, task: Task) -> Owed:
        """Return what *task* still owes."""
        delivery = self.delivery(task.delivery_id)
        if delivery is None:
            raise LookupError(f"task {task.task_id} has no delivery")
        answered = {outcome.position: outcome.kind for outcome in self.outcomes(task.task_id)}
        pending = set(self.positions(task.task_id)) - answered.keys()
        records = [record for record in self.records(task.delivery_id) if record.position in pending]
        return Owed(delivery, records, sum(kind is OutcomeKind.REFUSED for kind in answered.values()))

    def next_due_ms(self, sink: str) -> int | None:
        """Return when the next task of *sink* may be leased or its lease ends."""
        lease_ms, due_ms = self._one(
            "SELECT (SELECT min(lease_until) FROM tasks WHERE sink = ?1 AND state = 'leased'),"
            " (SELECT min(next_attempt_at) FROM tasks"
            " WHERE sink = ?1 AND state IN ('queued', 'waiting') AND blocked_by IS NULL)",
            sink,
        )
        row = self._one(f"SELECT {SINK_COLUMNS} FROM sinks WHERE sink = ?", sink)
        if row is not None and due_ms is not None:
            circuit = sink_of(row).circuit
            due_ms = max(due_ms, circuit.open_until_ms or 0)
        return min((moment for moment in (lease_ms, due_ms) if moment is not None), default=None)

    def unfinished(self) -> int:
        """Return how many deliveries are accepted or processing."""
        (count,) = self._one("SELECT count(*) FROM deliveries WHERE state IN ('accepted', 'processing')")
        return int(count)

    def newest_at_ms(self) -> int | None:
        """Return when the newest delivery was received; None when there is none."""
        rows = self._rows("SELECT received_at FROM deliveries ORDER BY sequence DESC LIMIT 1", [])
        return rows[0][0] if rows else None

    def status(self) -> StoreStatus:
        """Return sizes and counts."""
        disk = os.statvfs(self._path.parent)
        tasks: dict[str, int] = {}
        for _, state, count in task_counts(self._db):
            tasks[state] = tasks.get(state, 0) + count
        wal = self._path.with_name(self._path.name + "-wal")
        return StoreStatus(
            url=f"sqlite:///{self._path}",
            schema_version=len(applied(self._db)),
            pending_migrations=pending(self._db),
            size_bytes=self._path.stat().st_size,
            wal_bytes=wal.stat().st_size if wal.exists() else 0,
            free_bytes=disk.f_bavail * disk.f_frsize,
            deliveries=delivery_counts(self._db),
            tasks=tasks,
        )

    def check(self) -> Sequence[str]:
        """Return everything that is wrong: SQLite's own check, and the conservation of records."""
        found = list(self.integrity())
        try:
            for law, sql in LAWS.items():
                found += [f"{law}: {row[0]}" for row in self._rows(sql, [])]
            found += self._broken_audit()
        except sqlite3.DatabaseError as error:  # too damaged to be read to the end
            found += [text for text in [str(error)] if text not in found]
        return found

    def integrity(self) -> Sequence[str]:
        """Return what SQLite's own check finds."""
        try:
            return [text for (text,) in self._rows("PRAGMA integrity_check", []) if text != "ok"]
        except sqlite3.DatabaseError as error:
            return [str(error)]
