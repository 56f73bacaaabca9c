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
from stibgate.domain.task import FINAL, Attempt, Outcome, OutcomeKind, Task
from stibgate.errors import StoreError
from stibgate.stores import DeliveryFilter, Owed, ReplayNote, StoreStatus, TaskFilter
from stibgate.stores.connection import classify, open_reader, sqlite3
from stibgate.stores.migrations import applied, pending, refuse_newer
from stibgate.stores.rows import (
    DELIVERY_COLUMNS,
    SINK_COLUMNS,
    TASK_COLUMNS,
    attempt_of,
    delivery_of,
    outcome_of,
    positions_of,
    sighting_of,
    sink_of,
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
    "error": "EXISTS (SELECT 1 FROM tasks t WHERE t.delivery_id = deliveries.delivery_id AND instr(t.error, ?))",
    "person": "delivery_id IN (SELECT p.delivery_id FROM persons p WHERE p.hash IN ({marks}))",
}
_OF_DELIVERY = "EXISTS (SELECT 1 FROM deliveries d WHERE d.delivery_id = tasks.delivery_id AND d."
_TASK_WHERE = {
    "state": "state = ?",
    "sink": "sink = ?",
    "delivery_id": "delivery_id = ?",
    "error": "instr(error, ?)",
    **{name: f"{_OF_DELIVERY}{name} = ?)" for name in ("source", "search_id", "job_id")},
    "since_ms": f"{_OF_DELIVERY}received_at >= ?)",
    "until_ms": f"{_OF_DELIVERY}received_at < ?)",
    "person": "EXISTS (SELECT 1 FROM persons p WHERE p.delivery_id = tasks.delivery_id AND p.hash IN ({marks})"
    " AND (tasks.positions IS NULL OR p.position IN (SELECT value FROM json_each(tasks.positions))))",
}


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

    def task_counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many tasks of each state each sink has."""
        counts: dict[str, dict[str, int]] = {}
        for sink, state, count in self._rows("SELECT sink, state, count(*) FROM tasks GROUP BY sink, state", []):
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

    def accepted(self, limit: int) -> Sequence[tuple[StoredDelivery, bytes]]:
        """Return deliveries that are still accepted, oldest first, with their bodies."""
        rows = self._rows(
            f"SELECT {DELIVERY_COLUMNS}, body FROM deliveries JOIN bodies USING (sequence)"
            " WHERE state = 'accepted' ORDER BY sequence LIMIT ?",
            [limit],
        )
        return [(delivery_of(row[:-1]), bytes(row[-1])) for row in rows]

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
    "a task that owes records which the delivery does not have": "SELECT task_id FROM tasks t JOIN deliveries d"
    " USING (delivery_id) WHERE t.records <> coalesce(json_array_length(t.positions), d.records) OR EXISTS"
    " (SELECT 1 FROM json_each(t.positions) WHERE value NOT BETWEEN 0 AND d.records - 1)",
    "a record with two answers of one sink": "SELECT task_id FROM outcomes WHERE current"
    " GROUP BY task_id, position HAVING count(*) > 1",
    "an answer for a record that was not owed": "SELECT DISTINCT task_id FROM (SELECT task_id, position FROM outcomes"
    " EXCEPT SELECT t.task_id, r.position FROM tasks t JOIN records r USING (delivery_id) WHERE t.positions IS NULL"
    " EXCEPT SELECT t.task_id, j.value FROM tasks t, json_each(t.positions) j)",
    "a delivered task without an answer for each record": "SELECT t.task_id FROM tasks t"
    " WHERE t.state IN ('delivered', 'partial')"
    " AND t.records <> (SELECT count(*) FROM outcomes o WHERE o.task_id = t.task_id AND o.current)",
    "a delivered task with a refused record": "SELECT t.task_id FROM tasks t WHERE t.state = 'delivered'"
    " AND EXISTS (SELECT 1 FROM outcomes o WHERE o.task_id = t.task_id AND o.current AND o.kind = 'refused')",
    "a partial task without a refused record": "SELECT t.task_id FROM tasks t WHERE t.state = 'partial'"
    " AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.task_id = t.task_id AND o.current AND o.kind = 'refused')",
    "a final task that still holds up others": "SELECT t.task_id FROM tasks t WHERE "
    f"t.state IN ({_FINAL}) AND (EXISTS (SELECT 1 FROM task_persons p WHERE p.sequence = t.sequence)"
    " OR EXISTS (SELECT 1 FROM tasks b WHERE b.blocked_by = t.sequence))",
    "two leased tasks of one sink with one person": "SELECT a.task_id FROM tasks a JOIN task_persons p"
    " ON p.sequence = a.sequence JOIN task_persons q ON q.sink = p.sink AND q.person = p.person"
    " AND q.sequence > p.sequence JOIN tasks b ON b.sequence = q.sequence"
    " WHERE a.state = 'leased' AND b.state = 'leased'",
    "a task whose attempts are not numbered 1..n": "SELECT t.task_id FROM tasks t"
    " WHERE t.attempts <> (SELECT count(*) FROM attempts a WHERE a.task_id = t.task_id)"
    " OR EXISTS (SELECT 1 FROM attempts a WHERE a.task_id = t.task_id AND a.number NOT BETWEEN 1 AND t.attempts)",
    "an open task that nothing will wake": "SELECT task_id FROM tasks"
    " WHERE (state IN ('queued', 'waiting') AND next_attempt_at IS NULL) OR (state = 'leased' AND lease_until IS NULL)"
    " OR (blocked_by IS NOT NULL AND NOT EXISTS (SELECT 1 FROM tasks b WHERE b.sequence = tasks.blocked_by"
    f" AND b.state NOT IN ({_FINAL}))) OR (state = 'paused' AND NOT EXISTS"
    " (SELECT 1 FROM sinks s WHERE s.sink = tasks.sink AND s.paused_at IS NOT NULL))",
}
"""Law -> query that finds what breaks it.

Conservation: what a task owes is the sum of its current answers of every kind and of what still waits for one;
and each processed delivery has every record that came in.
"""


def _select(
    head: str, conditions: Mapping[str, str], where: DeliveryFilter | TaskFilter, before: int | None
) -> tuple[str, list[Any]]:
    clauses: list[str] = []
    values: list[Any] = []
    for name, sql in conditions.items():
        value = getattr(where, name)
        if value is None:
            continue
        several = list(value) if name == "person" else [value]
        clauses.append(sql.format(marks=", ".join("?" * len(several))))
        values += several
    if before is not None:
        clauses.append("sequence < ?")
        values.append(before)
    clause = " WHERE " + " AND ".join(clauses) if clauses else ""
    return f"{head}{clause} ORDER BY sequence DESC LIMIT ?", values
