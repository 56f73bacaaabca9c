"""What must hold in every SQLite store, as queries that find what breaks it; `db check` asks them all."""

from stibgate.stores.job_moves import ENDED
from stibgate.stores.jobs import OPEN_SQL, POLLABLE
from stibgate.stores.scheduling import FINAL_SQL

_ENDED = ", ".join(f"'{state}'" for state in sorted(ENDED))

LAWS = {
    "a delivery without its body": "SELECT delivery_id FROM deliveries WHERE NOT EXISTS"
    " (SELECT 1 FROM bodies b WHERE b.sequence = deliveries.sequence)",
    "an idempotency key whose delivery was never stored": "SELECT k.delivery_id FROM idempotency_keys k"
    " LEFT JOIN deliveries d USING (delivery_id) WHERE d.delivery_id IS NULL",
    "a task without its delivery": "SELECT task_id FROM tasks t LEFT JOIN deliveries d USING (delivery_id)"
    " WHERE d.delivery_id IS NULL",
    "a delivery that is done although a task is open": "SELECT DISTINCT delivery_id FROM deliveries"
    f" JOIN tasks t USING (delivery_id) WHERE deliveries.state = 'done' AND t.state NOT IN ({FINAL_SQL})",
    "a delivery that is processing although every task is final": "SELECT delivery_id FROM deliveries"
    " WHERE state = 'processing' AND NOT EXISTS"
    f" (SELECT 1 FROM tasks t WHERE t.delivery_id = deliveries.delivery_id AND t.state NOT IN ({FINAL_SQL}))",
    "a processed delivery whose records are not all stored": "SELECT delivery_id FROM deliveries d"
    " WHERE processed_at IS NOT NULL AND state IN ('processing', 'done')"
    " AND records <> (SELECT count(*) FROM records r WHERE r.delivery_id = d.delivery_id)",
    "a task that owes records which the delivery does not have": "SELECT task_id FROM tasks t JOIN deliveries d"
    " USING (delivery_id) WHERE t.records <> coalesce(json_array_length(t.positions), d.records) OR EXISTS"
    " (SELECT 1 FROM json_each(t.positions) WHERE value NOT BETWEEN 0 AND d.records - 1)",
    "a record with two answers of one sink": "SELECT task_id FROM outcomes WHERE current"
    " GROUP BY task_id, position HAVING count(*) > 1",
    "an answer for a record that was not owed": "SELECT DISTINCT task_id FROM (SELECT task_id, position FROM outcomes"
    " EXCEPT SELECT t.task_id, r.position FROM tasks t JOIN records r USING (delivery_id) WHERE t.positions IS NULL"
    " EXCEPT SELECT t.task_id, j.value FROM tasks t, json_each(t.positions) j)",
    "a delivered task without an answer for each record": "SELECT t.task_id FROM tasks t"
    " WHERE t.state IN ('delivered', 'partial')"
    " AND t.records <> (SELECT count(*) FROM outcomes o WHERE o.task_id = t.task_id AND o.current)",
    "a delivered task with a refused record": "SELECT t.task_id FROM tasks t WHERE t.state = 'delivered'"
    " AND EXISTS (SELECT 1 FROM outcomes o WHERE o.task_id = t.task_id AND o.current AND o.kind = 'refused')",
    "a partial task without a refused record": "SELECT t.task_id FROM tasks t WHERE t.state = 'partial'"
    " AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.task_id = t.task_id AND o.current AND o.kind = 'refused')",
    "a final task that still holds up others": "SELECT t.task_id FROM tasks t WHERE "
    f"t.state IN ({FINAL_SQL}) AND (EXISTS (SELECT 1 FROM task_persons p WHERE p.sequence = t.sequence)"
    " OR EXISTS (SELECT 1 FROM tasks b WHERE b.blocked_by = t.sequence))",
    "two leased tasks of one sink with one person": "SELECT a.task_id FROM tasks a JOIN task_persons p"
    " ON p.sequence = a.sequence JOIN task_persons q ON q.sink = p.sink AND q.person = p.person"
    " AND q.sequence > p.sequence JOIN tasks b ON b.sequence = q.sequence"
    " WHERE a.state = 'leased' AND b.state = 'leased'",
    "a task whose attempts are not numbered 1..n": "SELECT t.task_id FROM tasks t"
    " WHERE t.attempts <> (SELECT count(*) FROM attempts a WHERE a.task_id = t.task_id)"
    " OR EXISTS (SELECT 1 FROM attempts a WHERE a.task_id = t.task_id AND a.number NOT BETWEEN 1 AND t.attempts)",
    "an open task that nothing will wake": "SELECT task_id FROM tasks"
    " WHERE (state IN ('queued', 'waiting') AND next_attempt_at IS NULL) OR (state = 'leased' AND lease_until IS NULL)"
    " OR (blocked_by IS NOT NULL AND NOT EXISTS (SELECT 1 FROM tasks b WHERE b.sequence = tasks.blocked_by"
    f" AND b.state NOT IN ({FINAL_SQL}))) OR (state = 'paused' AND NOT EXISTS"
    " (SELECT 1 FROM sinks s WHERE s.sink = tasks.sink AND s.paused_at IS NOT NULL))",
    "a delivery that waits for a result and is not accepted": "SELECT r.delivery_id FROM readbacks r"
    " LEFT JOIN deliveries d USING (delivery_id) WHERE d.state IS NOT 'accepted'",
    "a result without its delivery": "SELECT r.delivery_id FROM results r LEFT JOIN deliveries d USING (delivery_id)"
    " WHERE d.delivery_id IS NULL",
    "a count of ended tasks that is wrong": "SELECT name || ' ' || state FROM"
    f" (SELECT sink AS name, state, 1 AS n FROM tasks WHERE state IN ({FINAL_SQL})"
    " UNION ALL SELECT name, state, -count FROM totals WHERE thing = 'tasks') GROUP BY name, state HAVING sum(n) <> 0",
    "a count of ended deliveries that is wrong": "SELECT state FROM"
    " (SELECT state, 1 AS n FROM deliveries WHERE state IN ('done', 'ignored', 'quarantined')"
    " AND sequence <= (SELECT through FROM filing)"
    " UNION ALL SELECT state, -count FROM totals WHERE thing = 'deliveries') GROUP BY state HAVING sum(n) <> 0",
    "a delivery that cannot be looked up, or one that is gone and can": "SELECT sequence FROM"
    " (SELECT sequence, CASE WHEN sequence > (SELECT through FROM filing) THEN 0 ELSE 1 + (search_id IS NOT NULL) END"
    " AS n FROM deliveries UNION ALL SELECT sequence, -1 FROM lookups) GROUP BY sequence HAVING sum(n) <> 0",
    "two open runs with one dedupe token": "SELECT max(run_id) FROM jobs WHERE dedupe_token IS NOT NULL"
    f" AND state IN ({OPEN_SQL}) GROUP BY dedupe_token, dedupe_user HAVING count(*) > 1",
    "a job whose end and state do not agree": "SELECT run_id FROM jobs"
    f" WHERE (state IN ({_ENDED})) <> (ended_at IS NOT NULL)",
    "a job that is asked for although there is nothing to learn": "SELECT run_id FROM jobs WHERE next_poll_at"
    f" IS NOT NULL AND NOT {POLLABLE}",
    "a continued job without a next page, or the reverse": "SELECT run_id FROM jobs WHERE continued"
    " <> EXISTS (SELECT 1 FROM jobs c WHERE c.parent_run = jobs.run_id)",
    "a next page whose job before it is not known": "SELECT c.run_id FROM jobs c LEFT JOIN jobs p"
    " ON p.run_id = c.parent_run WHERE c.parent_run IS NOT NULL AND p.run_id IS NULL",
    "a job whose delivery does not exist": "SELECT j.run_id FROM jobs j LEFT JOIN deliveries d USING (delivery_id)"
    " WHERE d.delivery_id IS NULL AND (j.asked IS NULL OR j.delivery_id IS NOT NULL)",
}
"""Law -> query that finds what breaks it.

Conservation: what a task owes is the sum of its current answers of every kind and of what still waits for one;
and each processed delivery has every record that came in.
"""
