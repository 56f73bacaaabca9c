"""The writes of the roll-up: what is counted, and how it is forgotten; inside the writer's transaction."""

from collections.abc import Sequence

from sqlite_utils import Database

from stibgate.domain.tally import SPANS_MS, Counted, Key

FORGET_PERIODS = 30
"""Periods of a span that one step forgets: a few hundred rows, which no acknowledgement has to wait for."""

_ADD = """
INSERT INTO counts (span, at, series, subject, word, value) VALUES (?, ?, ?, ?, ?, ?)
  ON CONFLICT DO UPDATE SET value = value + excluded.value
"""


def add_counts(db: Database, batch_id: str, counts: Sequence[Counted]) -> None:
    """Add *counts* to what was counted before, unless the batch with that id was the last one that was added."""
    name = batch_id.encode()
    added = db.execute(
        "INSERT INTO meta (name, value) VALUES ('counted', ?) ON CONFLICT DO UPDATE SET value = excluded.value"
        " WHERE value <> excluded.value",
        (name,),
    ).rowcount
    if added:
        db.conn.executemany(_ADD, [(span, *row) for span in SPANS_MS for row in _rows(counts, span)])


def _rows(counts: Sequence[Counted], span: int) -> list[tuple[int, str, str, str, int]]:
    sums: dict[tuple[int, Key], int] = {}
    for at_ms, key, value in counts:
        place = at_ms - at_ms % span, key
        sums[place] = sums.get(place, 0) + value
    return [(at_ms, *key, value) for (at_ms, key), value in sums.items()]


def forget_counts(db: Database, before_ms: int) -> bool:
    """Remove a few of the oldest counts of before *before_ms*; return whether there are more of them."""
    more = False
    for span in SPANS_MS:
        (oldest_ms,) = db.execute("SELECT min(at) FROM counts WHERE span = ?", (span,)).fetchone()
        if oldest_ms is None or oldest_ms >= before_ms:
            continue
        end_ms = min(oldest_ms + FORGET_PERIODS * span, before_ms)
        db.execute("DELETE FROM counts WHERE span = ? AND at < ?", (span, end_ms))
        more |= end_ms < before_ms
    return more
