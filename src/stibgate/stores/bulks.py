"""Replays in the background: begun, sent a page at a time with how far they have come, and ended.

Inside the writer's transaction: a page that was sent again and the position behind it are one commit, so that whoever
goes on after a crash sends no page twice.
"""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlite_utils import Database

from stibgate.domain.access import Principal, Role
from stibgate.domain.audit import Actor, AuditEntry
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import TaskState
from stibgate.stores import DeliveryFilter, Replay, ReplayResult, TaskFilter, operating
from stibgate.stores.contracts.operators import Note
from stibgate.stores.office import CALLS_KEPT_MS, append_audit
from stibgate.stores.replays import BULKS_KEPT, Bulk, BulkState, Page, Report, Selection

BULK_COLUMNS = (
    "replay_id, actor, role, client_ip, by, forced, started_at, state, position, total, done, records, results,"
    " sinks, unknown, ended_at, error, asked_as"
)
OPEN_SQL = "'counting', 'running'"
"""As in the index `bulks_open`, which is of no use to any other wording."""

_FILTERS = {"deliveries": DeliveryFilter, "tasks": TaskFilter}
_STATES = {"deliveries": DeliveryState, "tasks": TaskState}


def begin_replay(db: Database, bulk: Bulk, selection: Selection, note: AuditEntry) -> Bulk:
    """Store *bulk* and its line in the audit; return it, or the one that the same call began within a day."""
    known = db.execute(
        f"SELECT {BULK_COLUMNS} FROM bulks WHERE asked_as = ? AND started_at > ?",
        (bulk.asked_as, bulk.started_at_ms - CALLS_KEPT_MS),
    ).fetchone()
    if known is not None:
        return bulk_of(known)
    document = to_document(selection)
    (latest,) = db.execute(f"SELECT coalesce(max(sequence), 0) FROM {document['of']}").fetchone()
    actor = bulk.actor
    db.execute(
        "INSERT INTO bulks (replay_id, actor, role, client_ip, by, forced, started_at, state, position, asked_as)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            bulk.replay_id, actor.principal.name, actor.principal.role, actor.client_ip, actor.by, bulk.forced,
            bulk.started_at_ms, bulk.state, 0 if selection.ids else latest + 1, bulk.asked_as,
        ),
    )  # fmt: skip
    db.execute("INSERT INTO bulk_selections VALUES (?, ?)", (bulk.replay_id, json.dumps(document)))
    _forget_old(db)
    append_audit(db, note)
    return _bulk(db, bulk.replay_id)


def _forget_old(db: Database) -> None:
    old = [
        replay_id
        for (replay_id,) in db.execute(
            f"SELECT replay_id FROM bulks WHERE state NOT IN ({OPEN_SQL}) ORDER BY sequence DESC LIMIT -1 OFFSET ?",
            (BULKS_KEPT,),
        )
    ]
    for table in ("bulks", "bulk_selections"):
        db.conn.executemany(f"DELETE FROM {table} WHERE replay_id = ?", [(replay_id,) for replay_id in old])


def replay_counted(db: Database, replay_id: str, total: int) -> None:
    """Let a replay that counts begin to send."""
    db.execute(
        "UPDATE bulks SET state = ?, total = ? WHERE replay_id = ? AND state = ?",
        (BulkState.RUNNING, total, replay_id, BulkState.COUNTING),
    )


def replay_page(
    db: Database, replay_id: str, page: Page, replay: Replay, *, hash_key: bytes
) -> Sequence[ReplayResult] | None:
    """Do *page* and save that it is done; None, and nothing is done, when the replay is not where the page begins."""
    row = db.execute(f"SELECT {BULK_COLUMNS} FROM bulks WHERE replay_id = ?", (replay_id,)).fetchone()
    bulk = None if row is None else bulk_of(row)
    if bulk is None or (bulk.state, bulk.position) != (BulkState.RUNNING, page.begins):
        return None
    results = operating.replay(db, page.steps, replay, hash_key=hash_key)
    report = bulk.report
    report.add(page, results)
    db.execute(
        "UPDATE bulks SET position = ?, done = ?, records = ?, results = ?, sinks = ?, unknown = ? WHERE replay_id = ?",
        (
            page.ends, bulk.done + page.things, report.records, json.dumps(report.results), json.dumps(report.sinks),
            json.dumps(report.unknown), replay_id,
        ),
    )  # fmt: skip
    return results


def end_replay(
    db: Database, replay_id: str, state: BulkState, note: Note[Bulk], *, now_ms: int, error: str | None
) -> Bulk | None:
    """End a replay, with its line in the audit; return it, None when it was over before or is not known."""
    db.execute(
        f"UPDATE bulks SET state = ?, ended_at = ?, error = ? WHERE replay_id = ? AND state IN ({OPEN_SQL})",
        (state, now_ms, error, replay_id),
    )
    if not db.execute("SELECT changes()").fetchone()[0]:
        return None
    bulk = _bulk(db, replay_id)
    append_audit(db, note(bulk))
    return bulk


def _bulk(db: Database, replay_id: str) -> Bulk:
    return bulk_of(db.execute(f"SELECT {BULK_COLUMNS} FROM bulks WHERE replay_id = ?", (replay_id,)).fetchone())


def bulk_of(row: Sequence[Any]) -> Bulk:
    """Return the replay of a row of `BULK_COLUMNS`."""
    (
        replay_id, actor, role, client_ip, by, forced, started_at_ms, state, position, total, done, records, results,
        sinks, unknown, ended_at_ms, error, asked_as,
    ) = row  # fmt: skip
    report = Report(records=records, unknown=json.loads(unknown))
    report.results.update(json.loads(results))
    report.sinks.update(json.loads(sinks))
    return Bulk(
        replay_id=replay_id,
        actor=Actor(Principal(actor, Role(role)), client_ip, by),
        forced=bool(forced),
        started_at_ms=started_at_ms,
        state=BulkState(state),
        position=position,
        total=total,
        done=done,
        report=report,
        ended_at_ms=ended_at_ms,
        error=error,
        asked_as=None if asked_as is None else bytes(asked_as),
    )


def to_document(selection: Selection) -> dict[str, Any]:
    """Return *selection* as JSON values; `from_document` undoes it.

    Raises:
        ValueError: It names people by what they are called; only their hashes may be kept.
    """
    if selection.identifiers:
        raise ValueError("a selection is kept with the hashes of people only")
    where = {one.name: _plain(getattr(selection.where, one.name)) for one in fields(selection.where)}
    return {
        "of": "deliveries" if isinstance(selection.where, DeliveryFilter) else "tasks",
        "where": {name: value for name, value in where.items() if value is not None},
        "ids": list(selection.ids),
        "sink": selection.sink,
    }


def _plain(value: object) -> object:
    return [one.hex() for one in value] if isinstance(value, list | tuple) else value


def from_document(document: dict[str, Any]) -> Selection:
    """Return the selection that `to_document` wrote."""
    where: dict[str, Any] = {
        name: tuple(map(bytes.fromhex, value)) if isinstance(value, list) else value
        for name, value in document["where"].items()
    }
    if "state" in where:
        where["state"] = _STATES[document["of"]](where["state"])
    return Selection(_FILTERS[document["of"]](**where), tuple(document["ids"]), sink=document["sink"])
