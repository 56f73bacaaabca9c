"""The schema, as append-only migrations. Never edit one that was released; add the next.

Times are milliseconds since the Unix epoch, UTC. Bodies live apart from metadata, so that lists stay
small and retention deletes cheaply. Sequence numbers are the order of admission.
"""

from collections.abc import Sequence

from sqlite_utils import Database, Migrations

from stibgate.errors import SchemaTooNew, SchemaTooOld
from stibgate.stores.connection import classify, sqlite3

MIGRATIONS = Migrations("stibgate")

_FIRST = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE pins (source TEXT PRIMARY KEY, scheme TEXT NOT NULL) STRICT;
CREATE TABLE deliveries (
  sequence INTEGER PRIMARY KEY,
  delivery_id TEXT NOT NULL UNIQUE,
  source TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT,
  event_type TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  processed_at INTEGER,
  body_sha256 BLOB NOT NULL,
  body_bytes INTEGER NOT NULL,
  records INTEGER NOT NULL,
  issues INTEGER NOT NULL DEFAULT 0,
  job_id TEXT,
  search_id TEXT,
  partner_customer_id TEXT,
  partner_user_id TEXT,
  authenticated_by TEXT NOT NULL,
  stale INTEGER NOT NULL,
  evidence TEXT NOT NULL,
  via TEXT NOT NULL,
  repeat_of TEXT,
  duplicates INTEGER NOT NULL DEFAULT 0,
  conflicts INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX deliveries_open ON deliveries (state, sequence) WHERE state IN ('accepted', 'processing');
CREATE TABLE bodies (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE idempotency_keys (
  key BLOB PRIMARY KEY,
  delivery_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE sightings (
  sequence INTEGER PRIMARY KEY,
  delivery_id TEXT NOT NULL,
  seen_at INTEGER NOT NULL,
  body_sha256 BLOB NOT NULL,
  conflict INTEGER NOT NULL
) STRICT;
CREATE INDEX sightings_delivery ON sightings (delivery_id, sequence);
CREATE TABLE conflict_bodies (
  delivery_id TEXT NOT NULL,
  body_sha256 BLOB NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (delivery_id, body_sha256)
) STRICT;
CREATE TABLE records (
  delivery_id TEXT NOT NULL,
  position INTEGER NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (delivery_id, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE persons (
  hash BLOB NOT NULL,
  delivery_id TEXT NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (hash, delivery_id, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE tasks (
  sequence INTEGER PRIMARY KEY,
  task_id TEXT NOT NULL UNIQUE,
  delivery_id TEXT NOT NULL,
  sink TEXT NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt_at INTEGER,
  lease_until INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  error TEXT,
  UNIQUE (delivery_id, sink)
) STRICT;
CREATE INDEX tasks_due ON tasks (sink, next_attempt_at, sequence) WHERE state IN ('queued', 'waiting');
CREATE INDEX tasks_leased ON tasks (lease_until) WHERE state = 'leased';
CREATE TABLE attempts (
  task_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  signal TEXT,
  error TEXT,
  PRIMARY KEY (task_id, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE outcomes (
  task_id TEXT NOT NULL,
  position INTEGER NOT NULL,
  kind TEXT NOT NULL,
  detail TEXT,
  PRIMARY KEY (task_id, position)
) STRICT, WITHOUT ROWID;
"""


@MIGRATIONS()
def m001_first(db: Database) -> None:
    """Create every table of the first release."""
    for statement in filter(str.strip, _FIRST.split(";\n")):
        db.conn.execute(statement)


_FORWARDING = """
ALTER TABLE tasks ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN owed_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN records INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN resend INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN forced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN positions TEXT;
ALTER TABLE tasks ADD COLUMN blocked_by INTEGER;
UPDATE tasks SET tries = attempts, owed_at = created_at,
  records = (SELECT d.records FROM deliveries d WHERE d.delivery_id = tasks.delivery_id);
DROP INDEX tasks_due;
DROP INDEX tasks_leased;
CREATE INDEX tasks_due ON tasks (sink, next_attempt_at, sequence)
  WHERE state IN ('queued', 'waiting') AND blocked_by IS NULL;
CREATE INDEX tasks_leased ON tasks (sink, lease_until) WHERE state = 'leased';
CREATE INDEX tasks_open ON tasks (sink, state) WHERE state IN ('queued', 'waiting', 'leased', 'paused');
CREATE INDEX tasks_dead ON tasks (sequence) WHERE state = 'dead';
CREATE INDEX tasks_blocked ON tasks (blocked_by) WHERE blocked_by IS NOT NULL;
CREATE TABLE task_persons (
  sink TEXT NOT NULL,
  person BLOB NOT NULL,
  sequence INTEGER NOT NULL,
  PRIMARY KEY (sink, person, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX task_persons_task ON task_persons (sequence);
INSERT INTO task_persons SELECT DISTINCT t.sink, p.hash, t.sequence
  FROM tasks t JOIN persons p ON p.delivery_id = t.delivery_id WHERE t.state IN ('queued', 'waiting', 'leased');
ALTER TABLE outcomes RENAME TO outcomes_first;
CREATE TABLE outcomes (
  task_id TEXT NOT NULL,
  position INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  current INTEGER NOT NULL,
  kind TEXT NOT NULL,
  detail TEXT,
  PRIMARY KEY (task_id, position, attempt)
) STRICT, WITHOUT ROWID;
INSERT INTO outcomes SELECT o.task_id, o.position, t.attempts, 1, o.kind, o.detail
  FROM outcomes_first o JOIN tasks t USING (task_id);
DROP TABLE outcomes_first;
CREATE TABLE sinks (
  sink TEXT PRIMARY KEY,
  circuit TEXT NOT NULL,
  failures INTEGER NOT NULL,
  open_until INTEGER,
  open_for_ms INTEGER NOT NULL,
  held_since INTEGER,
  reason TEXT,
  paused_at INTEGER,
  paused_by TEXT
) STRICT;
CREATE TABLE memories (
  sink TEXT NOT NULL,
  key TEXT NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (sink, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE replays (
  sequence INTEGER PRIMARY KEY,
  delivery_id TEXT NOT NULL,
  task_id TEXT,
  at INTEGER NOT NULL,
  by TEXT NOT NULL,
  forced INTEGER NOT NULL,
  state TEXT NOT NULL,
  records INTEGER NOT NULL
) STRICT;
CREATE INDEX replays_delivery ON replays (delivery_id, sequence);
"""


@MIGRATIONS()
def m002_forwarding(db: Database) -> None:
    """Add what forwarding needs: order per person, breakers and pauses, replays, outcomes by attempt."""
    for statement in filter(str.strip, _FORWARDING.split(";\n")):
        db.conn.execute(statement)


_SPENDING = """
ALTER TABLE deliveries ADD COLUMN billed INTEGER;
ALTER TABLE deliveries ADD COLUMN whole INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sightings ADD COLUMN authenticated_by TEXT;
CREATE INDEX deliveries_unknown ON deliveries (job_id) WHERE state = 'quarantined' AND reason = 'job_unknown';
CREATE INDEX deliveries_pushed ON deliveries (received_at, billed, event_type)
  WHERE event_type = 'prospecting.records.pushed';
CREATE INDEX deliveries_short ON deliveries (received_at) WHERE event_type = 'prospecting.records.pushed'
  AND state IN ('done', 'quarantined', 'ignored') AND billed > 0 AND (whole = 0 OR records < billed);
CREATE TABLE jobs (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id TEXT NOT NULL UNIQUE,
  job_id TEXT,
  state TEXT NOT NULL,
  asked TEXT,
  page INTEGER NOT NULL,
  parent_run TEXT,
  parent_job_id TEXT,
  chain TEXT NOT NULL,
  budget TEXT,
  budget_window TEXT,
  unit TEXT NOT NULL,
  estimated TEXT,
  ceiling TEXT,
  billed INTEGER,
  received INTEGER,
  next_cursor TEXT,
  records_left INTEGER,
  continued INTEGER NOT NULL,
  stopped TEXT,
  created_at INTEGER NOT NULL,
  submitted_at INTEGER,
  ended_at INTEGER,
  polls INTEGER NOT NULL,
  next_poll_at INTEGER,
  delivery_id TEXT,
  reason TEXT,
  by TEXT NOT NULL,
  confirmed TEXT,
  dedupe_token TEXT,
  dedupe_user TEXT
) STRICT;
CREATE UNIQUE INDEX jobs_job ON jobs (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX jobs_budget ON jobs (budget, budget_window, unit, state, billed, ceiling) WHERE budget IS NOT NULL;
CREATE INDEX jobs_poll ON jobs (next_poll_at, sequence) WHERE next_poll_at IS NOT NULL;
CREATE INDEX jobs_chain ON jobs (chain, sequence);
CREATE INDEX jobs_parent ON jobs (parent_run) WHERE parent_run IS NOT NULL;
CREATE INDEX jobs_created ON jobs (created_at);
CREATE INDEX jobs_open ON jobs (state) WHERE state IN ('doubtful', 'reserved', 'submitted');
CREATE INDEX jobs_dedupe ON jobs (dedupe_token, dedupe_user)
  WHERE dedupe_token IS NOT NULL AND state IN ('doubtful', 'reserved', 'submitted');
CREATE INDEX jobs_more ON jobs (sequence) WHERE state = 'succeeded' AND next_cursor IS NOT NULL
  AND asked IS NOT NULL AND continued = 0 AND stopped IS NULL;
CREATE TABLE readbacks (
  delivery_id TEXT PRIMARY KEY,
  job_id TEXT NOT NULL,
  since INTEGER NOT NULL,
  next_try_at INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX readbacks_due ON readbacks (next_try_at);
CREATE TABLE results (delivery_id TEXT PRIMARY KEY, fetched_at INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE usage_notes (
  sequence INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  billable_records INTEGER NOT NULL,
  known_records INTEGER NOT NULL
) STRICT;
CREATE TABLE alarms (key TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
"""


@MIGRATIONS()
def m003_spending(db: Database) -> None:
    """Add what is bought: jobs and budgets, read-backs, what was billed.

    `deliveries.whole`: every record is in every sink that has a task; kept when a delivery is done, so that what
    was paid for and did not arrive is found without looking at what did.
    """
    for statement in filter(str.strip, _SPENDING.split(";\n")):
        db.conn.execute(statement)


_OPERATING = """
ALTER TABLE deliveries ADD COLUMN trace TEXT;
CREATE INDEX deliveries_quarantined ON deliveries (state) WHERE state = 'quarantined';
CREATE INDEX tasks_dead_of ON tasks (sink, state) WHERE state = 'dead';
CREATE TABLE counts (
  span INTEGER NOT NULL,
  at INTEGER NOT NULL,
  series TEXT NOT NULL,
  subject TEXT NOT NULL,
  word TEXT NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (span, at, series, subject, word)
) STRICT, WITHOUT ROWID;
CREATE TABLE rejections (
  hour INTEGER NOT NULL,
  source TEXT NOT NULL,
  reason TEXT NOT NULL,
  count INTEGER NOT NULL,
  first_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  last TEXT NOT NULL,
  finding TEXT,
  PRIMARY KEY (hour, source, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  role TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT,
  detail TEXT,
  client_ip TEXT,
  chain BLOB NOT NULL
) STRICT;
CREATE TABLE calls (
  key TEXT NOT NULL,
  actor TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  at INTEGER NOT NULL,
  status INTEGER,
  answer TEXT,
  PRIMARY KEY (actor, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_at ON calls (at);
CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
CREATE INDEX deliveries_body ON deliveries (body_sha256);
CREATE INDEX deliveries_kind ON deliveries (source, event_type, state, sequence, partner_customer_id);
CREATE INDEX deliveries_received ON deliveries (received_at);
CREATE INDEX deliveries_search ON deliveries (search_id) WHERE search_id IS NOT NULL;
CREATE INDEX deliveries_job ON deliveries (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX deliveries_customer ON deliveries (partner_customer_id) WHERE partner_customer_id IS NOT NULL;
DROP INDEX tasks_open;
CREATE INDEX tasks_open ON tasks (sink, state, owed_at) WHERE state IN ('queued', 'waiting', 'leased', 'paused');
CREATE INDEX tasks_final ON tasks (sink, state) WHERE state IN ('cancelled', 'dead', 'delivered', 'partial');
CREATE INDEX tasks_error ON tasks (error, delivery_id) WHERE error IS NOT NULL;
CREATE INDEX tasks_created ON tasks (created_at);
CREATE TABLE totals (
  thing TEXT NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (thing, name, state)
) STRICT, WITHOUT ROWID;
INSERT INTO totals SELECT 'tasks', sink, state, count(*) FROM tasks
  WHERE state IN ('delivered', 'partial', 'dead', 'cancelled') GROUP BY sink, state;
INSERT INTO totals SELECT 'deliveries', '', state, count(*) FROM deliveries
  WHERE state IN ('done', 'ignored', 'quarantined') GROUP BY state;
CREATE TRIGGER tasks_ended AFTER UPDATE OF state ON tasks
  WHEN old.state <> new.state AND new.state IN ('delivered', 'partial', 'dead', 'cancelled')
  BEGIN INSERT INTO totals VALUES ('tasks', new.sink, new.state, 1)
    ON CONFLICT DO UPDATE SET count = count + 1; END;
CREATE TRIGGER tasks_reopened AFTER UPDATE OF state ON tasks
  WHEN old.state <> new.state AND old.state IN ('delivered', 'partial', 'dead', 'cancelled')
  BEGIN UPDATE totals SET count = count - 1
    WHERE thing = 'tasks' AND name = old.sink AND state = old.state; END;
CREATE TRIGGER tasks_removed AFTER DELETE ON tasks WHEN old.state IN ('delivered', 'partial', 'dead', 'cancelled')
  BEGIN UPDATE totals SET count = count - 1
    WHERE thing = 'tasks' AND name = old.sink AND state = old.state; END;
CREATE TRIGGER deliveries_ended AFTER UPDATE OF state ON deliveries
  WHEN old.state <> new.state AND new.state IN ('done', 'ignored', 'quarantined')
  BEGIN INSERT INTO totals VALUES ('deliveries', '', new.state, 1)
    ON CONFLICT DO UPDATE SET count = count + 1; END;
CREATE TRIGGER deliveries_reopened AFTER UPDATE OF state ON deliveries
  WHEN old.state <> new.state AND old.state IN ('done', 'ignored', 'quarantined')
  BEGIN UPDATE totals SET count = count - 1
    WHERE thing = 'deliveries' AND name = '' AND state = old.state; END;
CREATE TRIGGER deliveries_arrived AFTER INSERT ON deliveries WHEN new.state IN ('done', 'ignored', 'quarantined')
  BEGIN INSERT INTO totals VALUES ('deliveries', '', new.state, 1)
    ON CONFLICT DO UPDATE SET count = count + 1; END;
CREATE TRIGGER deliveries_removed AFTER DELETE ON deliveries WHEN old.state IN ('done', 'ignored', 'quarantined')
  BEGIN UPDATE totals SET count = count - 1
    WHERE thing = 'deliveries' AND name = '' AND state = old.state; END;
"""


@MIGRATIONS()
def m004_operating(db: Database) -> None:
    """Add what operators look at and leave behind: counts per minute, refusals, the audit, keyed calls.

    `deliveries.trace` is the `traceparent` of the span in which it came, where tracing is on.
    `counts.at` is the beginning of `span`, both in milliseconds; `value` adds up; see `domain.tally`.
    `totals` counts what is in a final state; triggers keep it, since to count them all again takes seconds.
    `rejections.last` describes the latest one, without its body, and `finding` why it was refused. `audit.chain` is
    the SHA-256 over the row and the chain before it.
    """
    for statement in filter(str.strip, _OPERATING.split(";\n")):
        db.conn.execute(statement)


_FILING = """
CREATE TABLE bulks (
  sequence INTEGER PRIMARY KEY,
  replay_id TEXT NOT NULL UNIQUE,
  actor TEXT NOT NULL,
  role TEXT NOT NULL,
  client_ip TEXT,
  by TEXT NOT NULL,
  forced INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  state TEXT NOT NULL,
  position INTEGER NOT NULL,
  total INTEGER,
  done INTEGER NOT NULL DEFAULT 0,
  records INTEGER NOT NULL DEFAULT 0,
  results TEXT NOT NULL DEFAULT '{}',
  sinks TEXT NOT NULL DEFAULT '{}',
  unknown TEXT NOT NULL DEFAULT '[]',
  ended_at INTEGER,
  error TEXT,
  asked_as BLOB
) STRICT;
CREATE INDEX bulks_open ON bulks (sequence) WHERE state IN ('counting', 'running');
CREATE TABLE bulk_selections (replay_id TEXT PRIMARY KEY, selection TEXT NOT NULL) STRICT;
DROP INDEX deliveries_quarantined;
DROP INDEX tasks_dead_of;
DROP INDEX deliveries_body;
DROP INDEX deliveries_search;
DROP INDEX deliveries_pushed;
DROP INDEX deliveries_received;
CREATE INDEX deliveries_received ON deliveries (received_at, event_type, billed);
CREATE TABLE lookups (
  value ANY NOT NULL,
  sequence INTEGER NOT NULL,
  PRIMARY KEY (value, sequence)
) STRICT, WITHOUT ROWID;
INSERT INTO lookups SELECT value, sequence FROM (
  SELECT search_id AS value, sequence FROM deliveries WHERE search_id IS NOT NULL
  UNION ALL SELECT substr(body_sha256, 1, 8), sequence FROM deliveries) ORDER BY value, sequence;
CREATE TABLE filing (through INTEGER NOT NULL) STRICT;
INSERT INTO filing SELECT coalesce(max(sequence), 0) FROM deliveries;
DROP TRIGGER deliveries_ended;
DROP TRIGGER deliveries_reopened;
DROP TRIGGER deliveries_arrived;
DROP TRIGGER deliveries_removed;
CREATE TRIGGER deliveries_ended AFTER UPDATE OF state ON deliveries
  WHEN old.state <> new.state AND new.state IN ('done', 'ignored', 'quarantined')
  AND new.sequence <= (SELECT through FROM filing)
  BEGIN INSERT INTO totals VALUES ('deliveries', '', new.state, 1)
    ON CONFLICT DO UPDATE SET count = count + 1; END;
CREATE TRIGGER deliveries_reopened AFTER UPDATE OF state ON deliveries
  WHEN old.state <> new.state AND old.state IN ('done', 'ignored', 'quarantined')
  AND new.sequence <= (SELECT through FROM filing)
  BEGIN UPDATE totals SET count = count - 1
    WHERE thing = 'deliveries' AND name = '' AND state = old.state; END;
CREATE TRIGGER deliveries_removed AFTER DELETE ON deliveries
  BEGIN UPDATE totals SET count = count - 1 WHERE thing = 'deliveries' AND name = '' AND state = old.state
    AND old.sequence <= (SELECT through FROM filing); DELETE FROM lookups
    WHERE sequence = old.sequence AND value IN (old.search_id, substr(old.body_sha256, 1, 8)); UPDATE filing
    SET through = min(through, (SELECT coalesce(max(sequence), 0) FROM deliveries)); END;
"""


@MIGRATIONS()
def m005_filing(db: Database) -> None:
    """Add replays in the background, and file what an admission need not wait for; no index that another one spares.

    `lookups` has search ids (text) and the first bytes of bodies' hashes (blob). In it and in `totals` are the
    deliveries up to `filing.through`. What each of `bulks` means may be long and lies apart, since `bulks` is written
    with every page.
    """
    for statement in filter(str.strip, _FILING.split(";\n")):
        db.conn.execute(statement)


def known() -> tuple[str, ...]:
    """Return the names of all migrations that this version knows, in order."""
    return tuple(migration.name for migration in MIGRATIONS._migrations)  # noqa: SLF001  (no public list of all names)


def applied(db: Database) -> tuple[str, ...]:
    """Return the names of the migrations that *db* has, in order."""
    return tuple(migration.name for migration in MIGRATIONS.applied(db))


def pending(db: Database) -> Sequence[str]:
    """Return the names of the migrations that *db* still lacks, in order."""
    return tuple(migration.name for migration in MIGRATIONS.pending(db))


def refuse_newer(db: Database) -> None:
    """Refuse a database that a newer stibgate wrote.

    sqlite-utils passes such a database in silence, and an older program would write wrong rows into it.

    Raises:
        SchemaTooNew: *db* has a migration that this version does not know.
    """
    unknown = [name for name in applied(db) if name not in known()]
    if unknown:
        raise SchemaTooNew(
            f"the store has schema {unknown[-1]}, newer than this stibgate knows ({known()[-1]})",
            hint="Upgrade stibgate again, or restore the backup that was made before the upgrade.",
        )


def refuse_older(db: Database) -> None:
    """Refuse a database that was not brought up to date: this version reads columns that it does not have.

    Raises:
        SchemaTooOld: *db* lacks a migration.
    """
    if lacks := pending(db):
        raise SchemaTooOld(
            f"the store has an older schema than this stibgate reads: it lacks {', '.join(lacks)}",
            hint="Restart the service with this version, or `stibgate db migrate` while it is stopped.",
        )


def migrate(db: Database) -> Sequence[str]:
    """Apply what is pending, all or nothing; return the names that were applied.

    Raises:
        SchemaTooNew: *db* was written by a newer stibgate.
        StoreUnavailable: SQLite could not; nothing was changed.
    """
    try:
        return _migrate(db)
    except sqlite3.Error as error:
        raise classify(error) from error


def _migrate(db: Database) -> Sequence[str]:
    db.conn.execute("BEGIN IMMEDIATE")  # atomic() begins deferred and would fail beside another writer
    try:
        refuse_newer(db)
        names = pending(db)
        MIGRATIONS.apply(db)
        db.conn.execute("INSERT INTO meta (name, value) VALUES ('hash_key', randomblob(32)) ON CONFLICT DO NOTHING")
        db.conn.execute("COMMIT")
    except BaseException:
        if db.conn.in_transaction:
            db.conn.execute("ROLLBACK")
        raise
    return names


__all__ = ["MIGRATIONS", "applied", "known", "migrate", "pending", "refuse_newer", "refuse_older", "sqlite3"]
