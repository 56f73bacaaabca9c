"""A store with a million deliveries, written in bulk: what a busy month leaves behind, without a million requests.

Two sources, three sinks, two tasks a delivery; one task in a hundred of two of the sinks is dead, one in two hundred
partial, one in a thousand waits; one delivery in two hundred is quarantined, one in a hundred ignored. Records,
bodies and people are small, since no list reads them.
"""

import time
from pathlib import Path

from sqlite_utils import Database

from stibgate.domain.stats import DAY_MS
from stibgate.stores.connection import open_writer
from stibgate.stores.filing import LOOKUPS, TOTALS
from stibgate.stores.migrations import migrate

SPAN_MS = 30 * DAY_MS
CUSTOMERS = 200

_NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
_PLAIN = "(i % 200 <> 7 AND i % 100 <> 3 AND i <= :count - 20)"
_SECOND = "CASE WHEN i % 3 = 0 THEN 'relay' ELSE 'crm' END"
_FATE = (
    "CASE WHEN i % 50 = 13 THEN 'dead' WHEN i % 100 = 57 THEN 'partial' WHEN i % 1000 = 11 THEN 'waiting'"
    " ELSE 'delivered' END"
)
_ID = "printf('dlv_%016x%016x', :begin + i * :span / :count, i)"
_TASK = "printf('tsk_%016x%016x', :begin + i * :span / :count, {number})"
_ERROR = (
    "CASE i % 7 WHEN 0 THEN 'connection refused' WHEN 1 THEN printf('HTTP 503 after %d ms', i) ELSE"
    " printf('VALIDATION_ERROR x%d (correlation 7f3b1a2c-%012x)', i % 90, i) END"
)

STEPS = {
    "deliveries": f"""
INSERT INTO deliveries (sequence, delivery_id, source, state, reason, event_type, received_at, processed_at,
  body_sha256, body_bytes, records, issues, job_id, search_id, partner_customer_id, partner_user_id, authenticated_by,
  stale, evidence, via, billed, whole)
{_NUMBERS} SELECT i, {_ID}, CASE WHEN i % 5 = 0 THEN 'jobs' ELSE 'push' END,
  CASE WHEN i > :count - 20 THEN 'accepted' WHEN i % 200 = 7 THEN 'quarantined' WHEN i % 100 = 3 THEN 'ignored'
    WHEN i % 1000 = 11 THEN 'processing' ELSE 'done' END,
  CASE WHEN i % 200 = 7 THEN 'envelope' WHEN i % 100 = 3 THEN 'no_route' END,
  CASE WHEN i % 5 THEN 'prospecting.records.pushed' WHEN i % 50 = 0 THEN 'person_search.job.failed'
    ELSE 'person_search.job.succeeded' END,
  :begin + i * :span / :count, :begin + i * :span / :count + 40, randomblob(32), 1500, 1, 0,
  CASE WHEN i % 5 = 0 THEN printf('job_%d', i) END, CASE WHEN i % 5 THEN printf('search_%d', i / 3) END,
  CASE WHEN i % 5 THEN printf('customer_%d', min(i % {CUSTOMERS}, i % 17)) END, printf('user_%d', i % 1000),
  't_v1/1', 0, '{{}}', 'http', CASE WHEN i % 5 THEN 1 END, {_PLAIN} AND {_FATE} = 'delivered' FROM n
""",
    "bodies": f"INSERT INTO bodies {_NUMBERS} SELECT i, zeroblob(120) FROM n",
    "idempotency_keys": f"INSERT INTO idempotency_keys {_NUMBERS} SELECT cast(printf('%08x%016x', i, i) AS BLOB),"
    f" {_ID}, :begin + i * :span / :count + {DAY_MS} FROM n",
    "records": f'INSERT INTO records {_NUMBERS} SELECT {_ID}, 0, printf(\'{{"person_id": "person_%d"}}\', i) FROM n'
    f" WHERE {_PLAIN}",
    "persons": f"INSERT INTO persons {_NUMBERS} SELECT cast(printf('%016x', i) AS BLOB), {_ID}, 0 FROM n"
    f" WHERE {_PLAIN}",
    "tasks of drop": f"""
INSERT INTO tasks (sequence, task_id, delivery_id, sink, state, attempts, tries, created_at, updated_at, owed_at, records)
{_NUMBERS} SELECT 2 * i - 1, {_TASK.format(number="2 * i - 1")}, {_ID}, 'drop', 'delivered', 1, 1,
  :begin + i * :span / :count, :begin + i * :span / :count + 90, :begin + i * :span / :count, 1 FROM n WHERE {_PLAIN}
""",
    "tasks of crm and relay": f"""
INSERT INTO tasks (sequence, task_id, delivery_id, sink, state, attempts, tries, next_attempt_at, created_at,
  updated_at, owed_at, records, error)
{_NUMBERS} SELECT 2 * i, {_TASK.format(number="2 * i")}, {_ID}, {_SECOND}, {_FATE}, 1, 1,
  CASE WHEN {_FATE} = 'waiting' THEN :begin + 2 * :span END, :begin + i * :span / :count,
  :begin + i * :span / :count + 300, :begin + i * :span / :count, 1,
  CASE WHEN {_FATE} <> 'delivered' THEN {_ERROR} END FROM n WHERE {_PLAIN}
""",
    "attempts": """
INSERT INTO attempts SELECT task_id, 1, created_at, updated_at, CASE state WHEN 'delivered' THEN 'taken'
  WHEN 'partial' THEN 'split' WHEN 'dead' THEN 'exhausted' ELSE 'unavailable' END, error FROM tasks ORDER BY task_id
""",
    "outcomes": """
INSERT INTO outcomes SELECT task_id, 0, 1, 1, CASE state WHEN 'partial' THEN 'refused' ELSE 'created' END, NULL
  FROM tasks WHERE state IN ('delivered', 'partial') ORDER BY task_id
""",
    "task_persons": """
INSERT INTO task_persons SELECT sink, cast(printf('%016x', sequence / 2) AS BLOB), sequence FROM tasks
  WHERE state = 'waiting' ORDER BY 1, 2
""",
    "jobs": f"""
INSERT INTO jobs (sequence, run_id, job_id, state, page, chain, unit, billed, received, continued, created_at,
  submitted_at, ended_at, polls, delivery_id, by)
{_NUMBERS} SELECT i / 5, printf('run_%d', i), printf('job_%d', i), 'succeeded', 1, printf('run_%d', i),
  'stibnite.credit_unit', 1, 1, 0, :begin + i * :span / :count, :begin + i * :span / :count,
  :begin + i * :span / :count + 9, 0, {_ID}, 'event' FROM n WHERE i % 5 = 0
""",
    "counts": """
INSERT INTO counts WITH RECURSIVE
  m (at) AS (SELECT (:begin + :span) / 60000 * 60000 UNION ALL SELECT at - 60000 FROM m WHERE at > :begin + :span - 691200000),
  k (series, subject, word) AS (VALUES ('answers', 'push', 'accepted'), ('answers', 'jobs', 'accepted'),
    ('answers', 'push', 'duplicate'), ('records', 'push', ''), ('records', 'jobs', ''), ('ack_ms', 'push', '4.7'),
    ('ack_ms', 'push', '6.8'), ('ack_ms', 'push', '12'), ('ack_ms', 'jobs', '4.7'), ('ack_ms', 'jobs', '6.8'),
    ('attempts', 'drop', 'taken'), ('attempts', 'crm', 'taken'), ('attempts', 'crm', 'unavailable'),
    ('attempts', 'relay', 'taken'), ('attempt_ms', 'drop', '3.9'), ('attempt_ms', 'drop', '8.2'),
    ('attempt_ms', 'crm', '220'), ('attempt_ms', 'crm', '270'), ('attempt_ms', 'crm', '330'),
    ('attempt_ms', 'relay', '100'), ('attempt_ms', 'relay', '150'), ('outcomes', 'drop', 'written'),
    ('outcomes', 'crm', 'created'), ('outcomes', 'crm', 'updated'), ('outcomes', 'crm', 'refused'),
    ('outcomes', 'relay', 'written')),
  s (span) AS (VALUES (60000), (900000))
SELECT span, at - at % span, series, subject, word, 23 * count(*) FROM s, m, k GROUP BY 1, 2, 3, 4, 5
""",
}

LAST = {
    "totals of tasks": "INSERT INTO totals SELECT 'tasks', sink, state, count(*) FROM tasks WHERE state IN"
    " ('delivered', 'partial', 'dead', 'cancelled') GROUP BY sink, state",
    "lookups": LOOKUPS,
    "totals of deliveries": TOTALS,
    "filing": "UPDATE filing SET through = ?2 WHERE through = ?1",
}


def build(path: Path, *, count: int = 1_000_000, now_ms: int | None = None) -> dict[str, float]:
    """Write a store with *count* deliveries of the last 30 days to *path*; return the seconds that each step took."""
    end_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    db = open_writer(path, durability="normal")
    migrate(db)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -262144")
    took = {}
    later = _without_indexes(db)
    db.execute("BEGIN")
    for name, sql in STEPS.items():
        begun_s = time.perf_counter()
        db.execute(sql, {"count": count, "begin": end_ms - SPAN_MS, "span": SPAN_MS} if ":" in sql else {})
        took[name] = time.perf_counter() - begun_s
    for name, sql in {**LAST, **later}.items():
        begun_s = time.perf_counter()
        db.execute(sql, (0, count) if "?" in sql else ())
        took[name] = time.perf_counter() - begun_s
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.conn.close()
    return took


def _without_indexes(db: Database) -> dict[str, str]:
    """Drop every index and trigger that a statement made; return those: made last, they cost a tenth."""
    found = db.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    ).fetchall()
    for kind, name, _ in found:
        db.execute(f"DROP {kind} {name}")
    return {name: sql for _, name, sql in found}
