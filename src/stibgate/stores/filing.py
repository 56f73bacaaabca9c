"""What of a delivery is filed after its answer: its search id, its body's hash, and that it counts.

Search ids and hashes come in no order, so an index on them costs an insert a page of its own, in the log and in the
checkpoint, while somebody waits; and a total is written anew with each insert. All that is done when the writer has
nothing else to do, many at a time and sorted. Until then a delivery is in the tail behind `filing.through`, which
readers look through; the writer keeps it short.
"""

from sqlite_utils import Database

SLICE = 500
"""How many deliveries one transaction files: some milliseconds, which an acknowledgement may have to wait for."""

HASH_BYTES = 8
"""So much of a hash is filed; the few others that share it are told apart at the delivery."""

LOOKUPS = f"""
INSERT INTO lookups (value, sequence) SELECT value, sequence FROM (
  SELECT search_id AS value, sequence FROM deliveries WHERE sequence > ?1 AND sequence <= ?2 AND search_id IS NOT NULL
  UNION ALL SELECT substr(body_sha256, 1, {HASH_BYTES}), sequence FROM deliveries WHERE sequence > ?1 AND sequence <= ?2
) ORDER BY value, sequence
"""

TOTALS = """
INSERT INTO totals SELECT 'deliveries', '', state, count(*) FROM deliveries
  WHERE sequence > ? AND sequence <= ? AND +state IN ('done', 'ignored', 'quarantined') GROUP BY state
  ON CONFLICT DO UPDATE SET count = count + excluded.count
"""

_TAIL = "SELECT sequence FROM deliveries WHERE sequence > (SELECT through FROM filing)"

OF_SEARCH = f"SELECT sequence FROM lookups WHERE value = ? UNION ALL {_TAIL} AND search_id = ?"
"""The deliveries of a search; its id twice."""

OF_BODY = (
    f"SELECT sequence FROM lookups WHERE value BETWEEN substr(?, 1, {HASH_BYTES}) AND substr(?, 1, {HASH_BYTES})"
    f" UNION ALL {_TAIL}"
)
"""The deliveries that may have a body whose hash lies between two; the filed ones share its beginning only."""


def file_some(db: Database) -> bool:
    """File the next deliveries; return whether there may be more."""
    (through,) = db.execute("SELECT through FROM filing").fetchone()
    (end,) = db.execute(
        "SELECT max(sequence) FROM (SELECT sequence FROM deliveries WHERE sequence > ? ORDER BY sequence LIMIT ?)",
        (through, SLICE),
    ).fetchone()
    if end is None:
        return False
    db.execute(LOOKUPS, (through, end))
    db.execute(TOTALS, (through, end))
    db.execute("UPDATE filing SET through = ?", (end,))
    return bool(end - through >= SLICE)
