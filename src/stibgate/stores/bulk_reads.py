"""Reading replays in the background from the SQLite store."""

import json
from collections.abc import Sequence

from stibgate.stores.bulks import BULK_COLUMNS, OPEN_SQL, bulk_of, from_document
from stibgate.stores.reading import Reading
from stibgate.stores.replays import Bulk, Selection


class BulkReads(Reading):
    """What is read of replays in the background; see `stores.Ledger`."""

    def bulk(self, replay_id: str) -> Bulk | None:
        """Return one replay in the background, or None."""
        row = self._one(f"SELECT {BULK_COLUMNS} FROM bulks WHERE replay_id = ?", replay_id)
        return None if row is None else bulk_of(row)

    def bulks(self) -> Sequence[Bulk]:
        """Return the replays in the background that are remembered, newest first."""
        return [bulk_of(row) for row in self._rows(f"SELECT {BULK_COLUMNS} FROM bulks ORDER BY sequence DESC", [])]

    def open_bulks(self) -> Sequence[tuple[Bulk, Selection]]:
        """Return those that are not over, oldest first, each with what it means."""
        rows = self._rows(
            f"SELECT {BULK_COLUMNS}, selection FROM bulks JOIN bulk_selections USING (replay_id)"
            f" WHERE state IN ({OPEN_SQL}) ORDER BY sequence",
            [],
        )
        return [(bulk_of(row[:-1]), from_document(json.loads(row[-1]))) for row in rows]
