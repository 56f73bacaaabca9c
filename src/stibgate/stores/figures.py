"""What a scrape needs of the SQLite store: figures that cost the same, however many deliveries there are."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from stibgate.stores.totals import delivery_counts


@dataclass(frozen=True, slots=True)
class Figures:
    """The store at one moment.

    Attributes:
        tasks: (sink, state) -> tasks; those that ended well, or were cancelled, are not counted.
        oldest_ms: Sink -> since when its oldest open task is owed.
        deliveries: State -> deliveries.
        readbacks: Deliveries that wait for their job.
        jobs: State -> jobs that are not at their end.
    """

    tasks: Mapping[tuple[str, str], int]
    oldest_ms: Mapping[str, int]
    deliveries: Mapping[str, int]
    readbacks: int
    jobs: Mapping[str, int]
    database_bytes: int
    wal_bytes: int
    free_bytes: int


_TASKS = """
SELECT sink, state, count(*), min(sequence) FROM tasks WHERE state IN ('queued', 'waiting', 'leased', 'paused')
GROUP BY sink, state
UNION ALL
SELECT name, state, count, NULL FROM totals WHERE thing = 'tasks' AND state = 'dead'
"""
_JOBS = """
SELECT state, count(*) FROM jobs WHERE state IN ('doubtful', 'reserved', 'submitted') GROUP BY state
"""


def figures_of(db: Database, path: Path) -> Figures:
    """Return the figures of the database at *path*, which *db* reads."""
    tasks: dict[tuple[str, str], int] = {}
    oldest: dict[str, int] = {}
    for sink, state, count, first in db.execute(_TASKS).fetchall():
        tasks[sink, state] = count
        if first is not None:
            oldest[sink] = min(first, oldest.get(sink, first))
    created = "SELECT created_at FROM tasks WHERE sequence = ?"
    disk, wal = os.statvfs(path.parent), path.with_name(path.name + "-wal")
    return Figures(
        tasks,
        {sink: db.execute(created, (first,)).fetchone()[0] for sink, first in oldest.items()},
        delivery_counts(db),
        db.execute("SELECT count(*) FROM readbacks").fetchone()[0],
        dict(db.execute(_JOBS).fetchall()),
        path.stat().st_size,
        wal.stat().st_size if wal.exists() else 0,
        disk.f_bavail * disk.f_frsize,
    )
