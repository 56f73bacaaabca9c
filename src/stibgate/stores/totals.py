"""How many deliveries and tasks are in each state, without counting those that are at their end."""

from collections.abc import Mapping, Sequence

from sqlite_utils import Database

from stibgate.stores.listing import OPEN_SQL

_TASKS = f"""
SELECT sink, state, count(*) FROM tasks WHERE state IN ({OPEN_SQL}) GROUP BY sink, state
UNION ALL
SELECT name, state, count FROM totals WHERE thing = 'tasks' AND count > 0
"""
_DELIVERIES = """
SELECT state, sum(n) FROM (
  SELECT state, count(*) AS n FROM deliveries WHERE state IN ('accepted', 'processing') GROUP BY state
  UNION ALL SELECT state, count FROM totals WHERE thing = 'deliveries'
  UNION ALL SELECT state, count(*) FROM deliveries WHERE sequence > (SELECT through FROM filing)
    AND +state IN ('done', 'ignored', 'quarantined') GROUP BY state
) GROUP BY state HAVING sum(n) > 0
"""


def task_counts(db: Database) -> Sequence[tuple[str, str, int]]:
    """Return (sink, state, tasks) for each state of each sink that has any."""
    every = "SELECT sink, state, count(*) FROM tasks GROUP BY sink, state"
    rows: list[tuple[str, str, int]] = db.execute(_TASKS if _kept(db) else every).fetchall()
    return rows


def delivery_counts(db: Database) -> Mapping[str, int]:
    """Return the number of deliveries by state."""
    every = "SELECT state, count(*) FROM deliveries GROUP BY state"
    return dict(db.execute(_DELIVERIES if _kept(db) else every).fetchall())


def _kept(db: Database) -> bool:
    """Return whether totals are kept: an older schema, whose status may be asked for, has none."""
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'filing'").fetchone() is not None
