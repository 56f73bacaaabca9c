"""The writes of the roll-up: what is counted, and how it is forgotten; inside the writer's transaction."""

from collections.abc import Sequence

from sqlite_utils import Database

from stibgate.domain.rejection import Rejections
from stibgate.domain.stats import HOUR_MS
from stibgate.domain.tally import SPANS_MS, Counted, Key
from stibgate.stores.rows import rejection_values

FORGET_PERIODS = 30
"""Periods of a span that one step forgets: a few hundred rows, which no acknowledgement has to wait for."""

_ADD = """
INSERT INTO counts (span, at, series, subject, word, value) VALUES (?, ?, ?, ?, ?, ?)
  ON CONFLICT DO UPDATE SET value = value + excluded.value
"""


_REJECT = """
INSERT INTO rejections (hour, source, reason, count, first_at, last_at, last, finding) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT DO UPDATE SET count = count + excluded.count, first_at = min(first_at, excluded.first_at),
  last_at = max(last_at, excluded.last_at), finding = coalesce(excluded.finding, finding),
  last = CASE WHEN excluded.last_at >= last_at THEN excluded.last ELSE last END
"""


def add_counts(db: Database, batch_id: str, counts: Sequence[Counted], rejections: Sequence[Rejections]) -> None:
    """Add to what was counted before, unless the batch with that id was the last one that was added."""
    name = batch_id.encode()
    added = db.execute(
        "INSERT INTO meta (name, value) VALUES ('counted', ?) ON CONFLICT DO UPDATE SET value = excluded.value"
        " WHERE value <> excluded.value",
        (name,),
    ).rowcount
    if added:
        db.conn.executemany(_ADD, [(span, *row) for span in SPANS_MS for row in _rows(counts, span)])
        db.conn.executemany(_REJECT, [rejection_values(group) for group in rejections])


def _rows(counts: Sequence[Counted], span: int) -> list[tuple[int, str, str, str, int]]:
    sums: dict[tuple[int, Key], int] = {}
    for at_ms, key, value in counts:
        place = at_ms - at_ms % span, key
        sums[place] = sums.get(place, 0) + value
    return [(at_ms, *key, value) for (at_ms, key), value in sums.items()]


def forget_counts(db: Database, before_ms: int, *, rejections_before_ms: int) -> bool:
    """Remove a few of the oldest counts, and old rejections; return whether there are more of them."""
    db.execute("DELETE FROM rejections WHERE hour < ?", (rejections_before_ms - HOUR_MS,))
    more = False
    for span in SPANS_MS:
        (oldest_ms,) = db.execute("SELECT min(at) FROM counts WHERE span = ?", (span,)).fetchone()
        if oldest_ms is None or oldest_ms >= before_ms:
            continue
        end_ms = min(oldest_ms + FORGET_PERIODS * span, before_ms)
        db.execute("DELETE FROM counts WHERE span = ? AND at < ?", (span, end_ms))
        more |= end_ms < before_ms
    return more
