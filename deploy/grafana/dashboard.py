"""Makes stibgate.json, the Grafana dashboard: `python deploy/grafana/dashboard.py > deploy/grafana/stibgate.json`.

Import the JSON in Grafana (11 or newer) and choose the Prometheus that scrapes stibgate. Change this file, not
the JSON.
"""

import json
import sys
from itertools import count
from typing import Any

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SELECTOR = 'job="$job", instance=~"$instance"'
RATE = "$__rate_interval"
WIDTH, HEIGHT = 24, 8

Query = tuple[str, str]
"""An expression, where `@` stands for the job and the instances that are looked at; and what its lines are called."""


def rate(metric: str, by: str, more: str = "") -> str:
    """Return the rate of counter *metric* for each *by*."""
    return f"sum by ({by}) (rate({metric}{{@{more}}}[{RATE}]))"


def quantile(part: float, metric: str, by: str = "", more: str = "") -> str:
    """Return a quantile of histogram *metric*."""
    names = f"le, {by}" if by else "le"
    return f"histogram_quantile({part}, sum by ({names}) (rate({metric}_bucket{{@{more}}}[{RATE}])))"


def graph(title: str, unit: str, *queries: Query) -> dict[str, Any]:
    """Return a panel with lines over time."""
    return {
        "type": "timeseries",
        "title": title,
        "fieldConfig": {
            "defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": _targets(queries),
    }


def number(title: str, unit: str, *queries: Query, bad_from: float | None = None) -> dict[str, Any]:
    """Return a panel with the present value, red from *bad_from* on."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if bad_from is not None:
        steps.append({"color": "red", "value": bad_from})
    return {
        "type": "stat",
        "title": title,
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"},
        "targets": _targets(queries),
    }


def _targets(queries: tuple[Query, ...]) -> list[dict[str, Any]]:
    return [
        {
            "refId": chr(ord("A") + place),
            "datasource": DATASOURCE,
            "expr": expr.replace("@", SELECTOR),
            "legendFormat": name,
        }
        for place, (expr, name) in enumerate(queries)
    ]


_POSTS = ', http_request_method="POST", http_response_status_code=~"2.."'
_SERVER = "http_server_request_duration_seconds"

ROWS = {
    "Receive": [
        graph("Requests by outcome", "reqps", (rate("stibgate_receive_requests_total", "outcome"), "{{outcome}}")),
        graph(
            "Time to acknowledge",
            "s",
            (quantile(0.5, _SERVER, more=_POSTS), "p50"),
            (quantile(0.95, _SERVER, more=_POSTS), "p95"),
            (quantile(0.99, _SERVER, more=_POSTS), "p99"),
        ),
        graph(
            "Records received",
            "cps",
            (rate("stibgate_receive_records_total", "source, event_type"), "{{source}} {{event_type}}"),
        ),
        graph(
            "Refused, by reason",
            "reqps",
            (
                rate("stibgate_receive_requests_total", "source, reason", ', outcome=~"rejected|throttled|failed"'),
                "{{source}} {{reason}}",
            ),
        ),
        graph(
            "Signatures by secret",
            "reqps",
            (rate("stibgate_signature_verifications_total", "source, key_slot"), "{{source}} slot {{key_slot}}"),
        ),
        graph("Clock skew, p90", "s", (quantile(0.9, "stibgate_receive_clock_skew_seconds", "source"), "{{source}}")),
        graph(
            "Fields flagged",
            "cps",
            (rate("stibgate_normalise_field_issues_total", "field, issue"), "{{field}} {{issue}}"),
        ),
        number(
            "Since the latest delivery",
            "s",
            ("time() - max by (source) (stibgate_receive_last_accepted_timestamp_seconds{@})", "{{source}}"),
        ),
    ],
    "Queue": [
        graph("Oldest task", "s", ("max by (sink) (stibgate_queue_oldest_age_seconds{@})", "{{sink}}")),
        graph(
            "Backlog", "short", ('sum by (sink, state) (stibgate_queue_tasks{@, state!="dead"})', "{{sink}} {{state}}")
        ),
        number(
            "Dead letters", "short", ('sum by (sink) (stibgate_queue_tasks{@, state="dead"})', "{{sink}}"), bad_from=1
        ),
        number("In quarantine", "short", ('sum(stibgate_deliveries{@, state="quarantined"})', ""), bad_from=1),
        graph("Given up", "cps", (rate("stibgate_tasks_dead_total", "sink, reason"), "{{sink}} {{reason}}")),
        graph(
            "From receipt to sink",
            "s",
            (quantile(0.5, "stibgate_task_end_to_end_seconds", "sink"), "{{sink}} p50"),
            (quantile(0.95, "stibgate_task_end_to_end_seconds", "sink"), "{{sink}} p95"),
        ),
    ],
    "Sinks": [
        graph(
            "Attempts by result", "reqps", (rate("stibgate_task_attempts_total", "sink, result"), "{{sink}} {{result}}")
        ),
        graph("Duration of an attempt", "s", (quantile(0.95, "stibgate_task_attempt_seconds", "sink"), "{{sink}} p95")),
        graph(
            "Records by outcome", "cps", (rate("stibgate_sink_records_total", "sink, outcome"), "{{sink}} {{outcome}}")
        ),
        graph("Under way", "short", ("sum by (sink) (stibgate_worker_leases{@})", "{{sink}}")),
        graph(
            "Requests to sinks and vendors, p95",
            "s",
            (quantile(0.95, "http_client_request_duration_seconds", "server_address"), "{{server_address}}"),
        ),
        graph(
            "Requests to Stibnite",
            "reqps",
            (rate("stibgate_upstream_requests_total", "operation, result"), "{{operation}} {{result}}"),
        ),
        number(
            "Left of a quota",
            "short",
            ("min by (sink, policy) (stibgate_sink_quota_remaining{@})", "{{sink}} {{policy}}"),
        ),
        graph(
            "Pauses asked for", "cps", (rate("stibgate_sink_throttled_total", "sink, reason"), "{{sink}} {{reason}}")
        ),
        number(
            "Breaker not closed",
            "short",
            ('1 - min by (sink) (stibgate_circuit_state{@, state="closed"})', "{{sink}}"),
            bad_from=1,
        ),
        number("Paused", "short", ("max by (sink) (stibgate_sink_paused{@})", "{{sink}}"), bad_from=1),
    ],
    "Money": [
        graph(
            "Records billed and received",
            "short",
            ("sum(increase(stibgate_records_billed_total{@}[1h]))", "billed in an hour"),
            ("sum(increase(stibgate_receive_records_total{@}[1h]))", "received in an hour"),
        ),
        number("Paid and in no sink", "short", ("sum(stibgate_billed_missing_records{@})", "records"), bad_from=1),
        graph(
            "Left of each budget",
            "short",
            ("min by (budget, unit) (stibgate_budget_remaining{@})", "{{budget}} {{unit}}"),
        ),
        number(
            "Used of each budget",
            "percentunit",
            ("1 - min by (budget) (stibgate_budget_remaining{@} / (stibgate_budget_limit{@} > 0))", "{{budget}}"),
            bad_from=0.8,
        ),
        number("Jobs under way", "short", ("sum by (state) (stibgate_jobs_open{@})", "{{state}}")),
        number("Alarms of the ledger", "short", ("sum by (kind) (stibgate_alarms{@}) > 0", "{{kind}}"), bad_from=1),
    ],
    "Store": [
        graph(
            "Time to commit",
            "s",
            (quantile(0.5, "stibgate_store_commit_seconds"), "p50"),
            (quantile(0.99, "stibgate_store_commit_seconds"), "p99"),
        ),
        graph(
            "Operations in a commit, and waiting",
            "short",
            (quantile(0.95, "stibgate_store_commit_rows"), "p95 in a commit"),
            ("max(stibgate_store_write_queue_length{@})", "waiting"),
        ),
        graph(
            "Sizes",
            "bytes",
            ("sum(stibgate_storage_database_bytes{@})", "database"),
            ("sum(stibgate_storage_wal_bytes{@})", "write-ahead log"),
        ),
        graph("Free space", "bytes", ("min by (instance) (stibgate_storage_free_bytes{@})", "{{instance}}")),
        graph("Errors", "cps", (rate("stibgate_store_errors_total", "kind"), "{{kind}}")),
    ],
    "Process": [
        number("Ready", "short", ("min by (instance, check) (stibgate_ready{@})", "{{instance}} {{check}}")),
        graph("Event loop lag", "s", ("max by (instance) (stibgate_event_loop_lag_seconds{@})", "{{instance}}")),
        graph("Memory", "bytes", ("max by (instance) (process_resident_memory_bytes{@})", "{{instance}}")),
        graph(
            "Processor",
            "percentunit",
            (f"sum by (instance) (rate(process_cpu_seconds_total{{@}}[{RATE}]))", "{{instance}}"),
        ),
        number("Configuration taken", "short", ("min(stibgate_config_last_reload_successful{@})", "latest reload")),
        number(
            "Version",
            "short",
            (
                "max by (version, python_version, sqlite_version) (stibgate_build_info{@})",
                "{{version}}, Python {{python_version}}, SQLite {{sqlite_version}}",
            ),
        ),
    ],
}


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    panels: list[dict[str, Any]] = []
    ids, y = count(1), 0
    for title, row in ROWS.items():
        panels.append(
            {
                "type": "row",
                "title": title,
                "id": next(ids),
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
            }
        )
        y += 1
        for place, panel in enumerate(row):
            x = place % 3 * WIDTH // 3
            where = {"x": x, "y": y + place // 3 * HEIGHT, "w": WIDTH // 3, "h": HEIGHT}
            panels.append({"id": next(ids), "datasource": DATASOURCE, "gridPos": where, **panel})
        y += -(-len(row) // 3) * HEIGHT
    return {
        "uid": "stibgate",
        "title": "stibgate",
        "tags": ["stibgate"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": _variables()},
        "panels": panels,
    }


def _variables() -> list[dict[str, Any]]:
    metric = "stibgate_build_info"
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        _variable("job", f"label_values({metric}, job)"),
        {**_variable("instance", f'label_values({metric}{{job="$job"}}, instance)'), "multi": True, "includeAll": True},
    ]


def _variable(name: str, query: str) -> dict[str, Any]:
    asked = {"query": query, "refId": name}
    return {"name": name, "type": "query", "datasource": DATASOURCE, "query": asked, "refresh": 2, "sort": 1}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dashboard(), indent=1) + "\n")
