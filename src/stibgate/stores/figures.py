"""What a scrape needs of the SQLite store beside what people read of it too: all of it from indexes and totals."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlite_utils import Database

from stibgate.stores.ledger import SqliteLedger
from stibgate.stores.values import StoreStatus


@dataclass(frozen=True, slots=True)
class Figures:
    """The store at one moment.

    Attributes:
        tasks: Sink -> state -> tasks.
        owing_since_ms: Sink -> since when its oldest open task is owed.
        readbacks: Deliveries that wait for their job.
        jobs: State -> jobs that are not at their end.
    """

    status: StoreStatus
    tasks: Mapping[str, Mapping[str, int]]
    owing_since_ms: Mapping[str, int]
    readbacks: int
    jobs: Mapping[str, int]


_JOBS = """
SELECT state, count(*) FROM jobs WHERE state IN ('doubtful', 'reserved', 'submitted') GROUP BY state
"""


def figures_of(db: Database, ledger: SqliteLedger) -> Figures:
    """Return the figures of the database that *db* and *ledger* read."""
    return Figures(
        ledger.status(),
        ledger.task_counts(),
        ledger.owing_since(),
        db.execute("SELECT count(*) FROM readbacks").fetchone()[0],
        dict(db.execute(_JOBS).fetchall()),
    )
