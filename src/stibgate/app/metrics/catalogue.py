"""Every metric there is: name, kind, labels and meaning. README's table and the dashboard are held against it.

Label values are configured names and closed sets of words, never what a sender wrote: nobody outside can make a series.
Names follow Prometheus' rules; those of HTTP are OpenTelemetry's as Prometheus writes them.
"""

from dataclasses import dataclass
from enum import StrEnum

FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOW_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LONG_S = (0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 21_600.0, 86_400.0, 259_200.0)
SKEW_S = (0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0)
BODY_BYTES = (256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 33_554_432.0)
COUNTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0)


class Kind(StrEnum):
    """What a metric's values are."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: As it is scraped; counters end in `_total`.
        bounds: The upper bounds of a histogram's buckets, without infinity.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


def _counter(name: str, help_: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, help_, labels)


def _gauge(name: str, help_: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, help_, labels)


def _histogram(name: str, bounds: tuple[float, ...], help_: str, *labels: str) -> Metric:
    return Metric(name, Kind.HISTOGRAM, help_, labels, bounds)


_RECEIVE = (
    _histogram(
        "http_server_request_duration_seconds",
        FAST_S,
        "Time to answer a request of the public listener; the route is a template, empty where there is none.",
        *("http_request_method", "http_route", "http_response_status_code"),
    ),
    _gauge("http_server_active_requests", "Deliveries that are being received.", "http_request_method"),
    _counter(
        "stibgate_receive_requests_total",
        "Deliveries, and what was sent as one, by how they were answered; an empty source is none of ours.",
        *("source", "outcome", "reason"),
    ),
    _counter("stibgate_receive_conflicts_total", "Duplicates whose body differed from the first one's.", "source"),
    _histogram("stibgate_receive_body_bytes", BODY_BYTES, "Size of authentic bodies.", "source"),
    _counter(
        "stibgate_receive_records_total",
        "Person records in accepted deliveries; an event type that is not known is `other`.",
        *("source", "event_type"),
    ),
    _gauge(
        "stibgate_receive_last_accepted_timestamp_seconds",
        "When the latest delivery was accepted, or the service started.",
        "source",
    ),
    _histogram(
        "stibgate_receive_clock_skew_seconds",
        SKEW_S,
        "Difference between a signed time and our clock, either way.",
        "source",
    ),
    _counter(
        "stibgate_signature_verifications_total",
        "Signatures that were right, by scheme and by which secret it was; slot 1 is the newest.",
        *("source", "scheme", "key_slot"),
    ),
    _gauge(
        "stibgate_secret_expiry_timestamp_seconds",
        "When a secret stops counting, where it has a `not_after`.",
        *("source", "key_slot"),
    ),
)

_RECORDS = (
    _counter("stibgate_normalise_records_total", "Records that were cleaned.", "source", "result"),
    _counter(
        "stibgate_normalise_field_issues_total", "Values that could not be taken as sent.", "source", "field", "issue"
    ),
    _gauge("stibgate_deliveries", "Deliveries that are not at their end, and those in quarantine.", "state"),
    _gauge("stibgate_readbacks_waiting", "Deliveries that wait for their job to be read back."),
)

_QUEUE = (
    _gauge("stibgate_queue_tasks", "Tasks by sink and state, without those that ended well.", "sink", "state"),
    _gauge(
        "stibgate_queue_oldest_age_seconds",
        "Age of the oldest task that is neither delivered nor given up; 0 when there is none.",
        "sink",
    ),
    _counter("stibgate_task_attempts_total", "Attempts, by what came of them.", "sink", "result"),
    _histogram("stibgate_task_attempt_seconds", SLOW_S, "Duration of an attempt.", "sink"),
    _histogram("stibgate_task_end_to_end_seconds", LONG_S, "From receipt to a delivered task.", "sink"),
    _counter("stibgate_tasks_dead_total", "Tasks given up.", "sink", "reason"),
    _counter("stibgate_tasks_replayed_total", "Tasks that an operator had sent again.", "sink"),
    _gauge("stibgate_worker_leases", "Attempts under way in this process.", "sink"),
)

_SINKS = (
    _counter("stibgate_sink_records_total", "Records by what became of them at a sink.", "sink", "outcome"),
    _gauge("stibgate_circuit_state", "1 for the state that a sink's breaker is in.", "sink", "state"),
    _counter("stibgate_circuit_transitions_total", "Changes of a sink's breaker.", "sink", "to"),
    _counter("stibgate_sink_throttled_total", "How often a sink asked for a pause.", "sink", "reason"),
    _gauge("stibgate_sink_quota_remaining", "What a sink says is left of its quota.", "sink", "policy"),
    _histogram(
        "http_client_request_duration_seconds",
        SLOW_S,
        "Time of a request to a sink or a vendor; without an answer the status is empty, and `error_type` says why.",
        *("http_request_method", "server_address", "http_response_status_code", "error_type"),
    ),
    _counter("stibgate_upstream_requests_total", "Requests to Stibnite, by what came of them.", "operation", "result"),
    _gauge("stibgate_upstream_ratelimit_remaining", "What Stibnite's latest answer left of its rate limit."),
    _gauge("stibgate_sink_paused", "1 while an operator has the sink paused.", "sink"),
)

_MONEY = (
    _counter(
        "stibgate_records_billed_total",
        "Records that Stibnite says it billed; an ignored delivery that is replayed counts again.",
        "source",
    ),
    _gauge(
        "stibgate_billed_missing_records",
        "Paid records in no sink that will not come by themselves, of the latest 2,000 jobs and pushes with such.",
    ),
    _gauge(
        "stibgate_billed_missing_oldest_timestamp_seconds",
        "Since when the oldest of them is owed; 0 when there is none.",
    ),
    _gauge("stibgate_budget_limit", "What a budget allows in its period.", "budget", "unit"),
    _gauge("stibgate_budget_remaining", "What is left of it, reservations counted as spent.", "budget", "unit"),
    _gauge("stibgate_jobs_open", "Jobs that are not at their end.", "state"),
    _gauge("stibgate_alarms", "What `stibgate ledger` raises an alarm for now.", "kind"),
)

_STORE = (
    _histogram("stibgate_store_commit_seconds", FAST_S, "Duration of a group commit, sync included."),
    _histogram("stibgate_store_commit_rows", COUNTS, "Operations in a group commit."),
    _gauge("stibgate_store_write_queue_length", "Operations that wait for the writer thread."),
    _counter("stibgate_store_errors_total", "Operations that the store refused or failed.", "kind"),
    _gauge("stibgate_storage_database_bytes", "Size of the database file."),
    _gauge("stibgate_storage_wal_bytes", "Size of the write-ahead log."),
    _gauge("stibgate_storage_free_bytes", "Free space on the store's disk."),
)

_PROCESS = (
    _gauge("stibgate_build_info", "What is running; always 1.", "version", "python_version", "sqlite_version"),
    _gauge("stibgate_start_timestamp_seconds", "When the service started."),
    _gauge("stibgate_ready", "1 for each check of /readyz that says ok.", "check"),
    _gauge("stibgate_config_last_reload_successful", "1 unless the latest reload of the configuration was refused."),
    _gauge("stibgate_config_last_reload_success_timestamp_seconds", "When the configuration that applies was taken."),
    _gauge("stibgate_event_loop_lag_seconds", "The longest that a 1 s timer came late in the last minute."),
    _counter("stibgate_trace_spans_total", "Spans by what became of them, while tracing is on.", "result"),
    _gauge("stibgate_metrics_state_timestamp_seconds", "When the figures that come from the store were read."),
)

CATALOGUE = {metric.name: metric for metric in (*_RECEIVE, *_RECORDS, *_QUEUE, *_SINKS, *_MONEY, *_STORE, *_PROCESS)}
