"""How a list is found among millions: the narrowest of its filters drives, and every other one only looks.

SQLite knows nothing of how many rows a value has, so it is told: a unary plus takes a condition's index away. Filters
by id are narrow by nature. One whose values may be few or many (a customer, a sink) is counted first, up to a bound.
What is left are the kinds: source, event type and state of deliveries, sink and state of tasks. There are few of them,
and an index by kind is in the order of admission within each; so a list of several kinds is the merger of their newest
rows, and one of a kind that does not exist costs nothing.

`since` and `until` bound the sequence, too, so that a list with a gap does not look through all that came before. Rows
are admitted in the order of their time but for a clock that is set back: those of its doubled hour may be left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from sqlite_utils import Database

from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import FINAL
from stibgate.stores import DeliveryFilter, TaskFilter
from stibgate.stores.filing import OF_BODY, OF_SEARCH
from stibgate.stores.scheduling import FINAL_SQL

PROBE = 2_000
"""Up to so many rows are few: looking at each costs a page some milliseconds."""
KINDS_MAX = 64
TURNED_ROWS = 1_000
"""How many rows next to a moment are looked at for the sequence number that it bounds."""

OPEN_SQL = "'queued', 'waiting', 'leased', 'paused'"
"""As in the index `tasks_open`, which is of no use to any other wording."""

_HAS = "EXISTS (SELECT 1 FROM tasks t WHERE t.delivery_id = deliveries.delivery_id AND t.sink = ?)"
_OF_SINK = "SELECT delivery_id FROM tasks WHERE sink = ? AND state IN ({})"
_FAILED = "SELECT delivery_id FROM tasks WHERE error IS NOT NULL AND instr(error, ?)"
_MARKED = "SELECT p.delivery_id FROM persons p WHERE p.hash IN ({})"
_NARROW = ("search_id", "job_id", "partner_customer_id")
_AT_DELIVERY = {"job_id": "d.job_id = ?", "search_id": f"d.sequence IN ({OF_SEARCH})"}
_KIND = ("source", "event_type", "state")
_TASK_KIND = ("sink", "state")
_WITH_TASKS = frozenset({DeliveryState.PROCESSING, DeliveryState.DONE})
"""Only such a delivery can have tasks: all others were not processed, or had nowhere to go."""
_OF_DELIVERY = "EXISTS (SELECT 1 FROM deliveries d WHERE d.delivery_id = tasks.delivery_id AND d.{})"


@dataclass(slots=True)
class Clauses:
    """Conditions that are joined by AND, and their values."""

    sql: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, sql: str, *values: object) -> None:
        """Add a condition."""
        self.sql.append(sql)
        self.values += values

    def text(self) -> str:
        """Return the condition, true when there is none."""
        return " AND ".join(self.sql) or "TRUE"


Query = tuple[str, list[Any]]


def deliveries_query(db: Database, columns: str, where: DeliveryFilter, limit: int, before: int | None) -> Query:
    """Return the query, and its values, of at most *limit* deliveries, newest first."""
    driver = _delivery_driver(db, where)
    clauses = _bounds(db, "deliveries", "received_at", where, before)
    _add_columns(clauses, where, driver)
    _add_of_tasks(clauses, where, driver)
    kinds = None
    if driver is None and _asks_kind(where):
        kinds = _kinds_of_deliveries(db, where)
    if kinds is None:
        return _newest("deliveries", columns, [clauses], limit)
    return _newest("deliveries", columns, [_of_kind(clauses, _KIND, kind) for kind in kinds], limit)


def _add_columns(clauses: Clauses, where: DeliveryFilter, driver: str | None) -> None:
    """Add what is asked of the delivery's own columns; only the driver may use its index."""
    for name in ("delivery_id", *_KIND, *_NARROW):
        if (value := getattr(where, name)) is not None:
            clauses.add(f"{'' if name == driver else '+'}{name} = ?", value)
    if driver == "search_id":
        clauses.add(f"sequence IN ({OF_SEARCH})", where.search_id, where.search_id)
    if where.body_sha256 is not None:
        if driver == "body_sha256":
            clauses.add(f"sequence IN ({OF_BODY})", *where.body_sha256)
        clauses.add("+body_sha256 BETWEEN ? AND ?", *where.body_sha256)
    if where.since_ms is not None:
        clauses.add("+received_at >= ?", where.since_ms)
    if where.until_ms is not None:
        clauses.add("+received_at < ?", where.until_ms)


def _add_of_tasks(clauses: Clauses, where: DeliveryFilter, driver: str | None) -> None:
    """Add what is asked of the delivery's records and tasks."""
    if where.person is not None:
        column = "delivery_id" if driver == "person" else "+delivery_id"
        clauses.add(f"{column} IN ({_MARKED.format(_marks(where.person))})", *where.person)
    if where.error is not None:
        clauses.add(f"{'delivery_id' if driver == 'error' else '+delivery_id'} IN ({_FAILED})", where.error)
    if where.sink is not None and driver == "sink":
        union = f"{_OF_SINK.format(FINAL_SQL)} UNION ALL {_OF_SINK.format(OPEN_SQL)}"
        clauses.add(f"delivery_id IN ({union})", where.sink, where.sink)
    elif where.sink is not None:
        clauses.add(_HAS, where.sink)


def last_posted_query(db: Database, columns: str, source: str) -> Query:
    """Return the query of the newest delivery that *source* itself posted."""
    posted = Clauses(["via = 'http'"])
    kinds = list(islice(_kinds(db, "deliveries", _KIND, source), KINDS_MAX + 1))
    if len(kinds) > KINDS_MAX:  # a sender may call its events what it likes
        posted.add("+source = ?", source)
        return _newest("deliveries", columns, [posted], 1)
    return _newest("deliveries", columns, [_of_kind(posted, _KIND, kind) for kind in kinds], 1)


def tasks_query(db: Database, columns: str, where: TaskFilter, limit: int, before: int | None) -> Query:
    """Return the query, and its values, of at most *limit* tasks, newest first."""
    clauses = _bounds(db, "tasks", "created_at", replace(where, until_ms=None), before)
    narrow = [name for name in _AT_DELIVERY if getattr(where, name) is not None]
    driver = next(
        (name for name in ("delivery_id", *narrow, "person", "error") if getattr(where, name) is not None), None
    )
    for name in ("delivery_id", "state", "sink"):
        if (value := getattr(where, name)) is not None:
            clauses.add(f"{'' if name == driver else '+'}{name} = ?", value)
    for name in narrow:
        column, having = "delivery_id" if name == driver else "+delivery_id", _AT_DELIVERY[name]
        values = [getattr(where, name)] * having.count("?")
        clauses.add(f"{column} IN (SELECT d.delivery_id FROM deliveries d WHERE {having})", *values)
    if where.person is not None:
        column = "delivery_id" if driver == "person" else "+delivery_id"
        clauses.add(f"{column} IN ({_MARKED.format(_marks(where.person))})", *where.person)
        clauses.add(
            "EXISTS (SELECT 1 FROM persons p WHERE p.delivery_id = tasks.delivery_id"
            f" AND p.hash IN ({_marks(where.person)}) AND (tasks.positions IS NULL OR p.position IN"
            " (SELECT value FROM json_each(tasks.positions))))",
            *where.person,
        )
    if where.error is not None:
        column = "sequence" if driver == "error" else "+sequence"
        clauses.add(
            f"{column} IN (SELECT sequence FROM tasks WHERE error IS NOT NULL AND instr(error, ?))", where.error
        )
    for name, operator in (("source", "source ="), ("since_ms", "received_at >="), ("until_ms", "received_at <")):
        if (value := getattr(where, name)) is not None:
            clauses.add(_OF_DELIVERY.format(f"{operator} ?"), value)
    if driver is not None or (where.state is None and where.sink is None):
        return _newest("tasks", columns, [clauses], limit)
    parts = [_of_kind(clauses, _TASK_KIND, kind) for kind in _kinds_of_tasks(db, where)]
    for part in parts:  # in the words of the indexes, which are of no use to any other
        part.add(f"state IN ({FINAL_SQL if part.values[-1] in FINAL else OPEN_SQL})")
    return _newest("tasks", columns, parts, limit)


def _newest(table: str, columns: str, parts: Sequence[Clauses], limit: int) -> Query:
    """Return the query of the newest rows of any of *parts*."""
    if not parts:
        return f"SELECT {columns} FROM {table} WHERE sequence = -1 LIMIT ?", [limit]
    if len(parts) == 1:
        (only,) = parts
        return f"SELECT {columns} FROM {table} WHERE {only.text()} ORDER BY sequence DESC LIMIT ?", [
            *only.values,
            limit,
        ]
    each = f"SELECT * FROM (SELECT sequence FROM {table} WHERE {{}} ORDER BY sequence DESC LIMIT ?)"
    union = " UNION ALL ".join(each.format(part.text()) for part in parts)
    values = [value for part in parts for value in (*part.values, limit)]
    sql = f"SELECT {columns} FROM {table} WHERE sequence IN ({union}) ORDER BY sequence DESC LIMIT ?"
    return sql, [*values, limit]


def _of_kind(clauses: Clauses, names: Sequence[str], kind: Sequence[str]) -> Clauses:
    """Return *clauses* for rows of *kind*, which has an index."""
    part = Clauses(list(clauses.sql), list(clauses.values))
    for name, value in zip(names, kind, strict=True):
        part.add(f"{name} = ?", value)
    return part


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


# -- which filter drives


def _delivery_driver(db: Database, where: DeliveryFilter) -> str | None:
    """Return the narrowest filter, or None where the kinds are the best that there is."""
    for name in ("delivery_id", "body_sha256", "person", "job_id", "search_id"):
        if getattr(where, name) is not None:
            return name
    if where.error is not None:
        return "error"
    customer = where.partner_customer_id
    if customer is not None and _few(db, "deliveries WHERE partner_customer_id = ?", customer):
        return "partner_customer_id"
    if where.sink is not None and all(
        _few(db, f"tasks WHERE sink = ? AND state IN ({states})", where.sink) for states in (FINAL_SQL, OPEN_SQL)
    ):
        return "sink"
    # The index by kind also has the customer, so that one without a delivery of some kind is soon known.
    return None if customer is None or _asks_kind(where) else "partner_customer_id"


def _asks_kind(where: DeliveryFilter) -> bool:
    return any(getattr(where, name) is not None for name in _KIND)


def _few(db: Database, rows: str, *values: str) -> bool:
    (count,) = db.execute(f"SELECT count(*) FROM (SELECT 1 FROM {rows} LIMIT {PROBE})", values).fetchone()
    return bool(count < PROBE)


def _kinds_of_deliveries(db: Database, where: DeliveryFilter) -> Sequence[Sequence[str]] | None:
    """Return the kinds that *where* allows; None when there are too many kinds to look at."""
    found = []
    for count, kind in enumerate(_kinds(db, "deliveries", _KIND, where.source)):
        if count == KINDS_MAX:
            return None
        fits = all(getattr(where, name) in {None, value} for name, value in zip(_KIND, kind, strict=True))
        if fits and (kind[-1] in _WITH_TASKS or (where.sink is None and where.error is None)):
            found.append(kind)
    return found


def _kinds_of_tasks(db: Database, where: TaskFilter) -> Sequence[Sequence[str]]:
    """Return the kinds that *where* allows; sinks are configured, so there are few."""
    return [
        (sink, state)
        for states in (FINAL_SQL, OPEN_SQL)
        for sink, state in _kinds(db, "tasks", _TASK_KIND, where.sink, f" AND state IN ({states})")
        if where.state in {None, state}
    ]


def _kinds(
    db: Database, table: str, names: Sequence[str], first: str | None, condition: str = ""
) -> Iterator[Sequence[str]]:
    """Yield each combination of values that the columns *names* have, jumping from one to the next in their index.

    Args:
        db: The database.
        table: Its table.
        names: The columns of an index, in its order.
        first: The only value of the first column to look for, or None for all.
        condition: As in the index, when it is partial.
    """
    kind: Sequence[str] | None = (first or "", *("" for _ in names[1:]))
    while kind is not None:
        kind = _next_kind(db, table, names, kind, condition)
        if kind is None or first not in {None, kind[0]}:
            return
        yield kind


def _next_kind(
    db: Database, table: str, names: Sequence[str], last: Sequence[str], condition: str
) -> Sequence[str] | None:
    columns = ", ".join(names)
    for depth in reversed(range(len(names))):  # SQLite compares whole rows, but seeks by their first column only
        same = "".join(f"{name} = ? AND " for name in names[:depth])
        row = db.execute(
            f"SELECT {columns} FROM {table} WHERE {same}{names[depth]} > ?{condition} ORDER BY {columns} LIMIT 1",
            tuple(last[: depth + 1]),
        ).fetchone()
        if row is not None:
            return tuple(row)
    return None


# -- since and until as bounds of the sequence


def _bounds(db: Database, table: str, column: str, where: DeliveryFilter | TaskFilter, before: int | None) -> Clauses:
    """Return the bounds of the sequence numbers that can match."""
    clauses = Clauses()
    if before is not None:
        clauses.add("sequence < ?", before)
    for given, end, operator, order in (
        (where.since_ms, "min", ">=", "ASC"),
        (where.until_ms, "max", "<", "DESC"),
    ):
        if given is None:
            continue
        (bound,) = db.execute(
            f"SELECT {end}(sequence) FROM (SELECT sequence FROM {table} WHERE {column} {operator} ?"
            f" ORDER BY {column} {order} LIMIT {TURNED_ROWS})",
            (given,),
        ).fetchone()
        clauses.add("sequence >= ?" if end == "min" else "sequence <= ?", -1 if bound is None else bound)
        if bound is None:
            clauses.add("FALSE")
    return clauses
