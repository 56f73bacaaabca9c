"""The gauges that show what was looked up in the store."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

from stibgate.app.metrics.state import State
from stibgate.app.metrics.tables import gauge, single
from stibgate.domain.circuit import CircuitState, SinkState
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.job import JobState
from stibgate.domain.task import TaskState

_TASK_STATES = (TaskState.QUEUED, TaskState.WAITING, TaskState.LEASED, TaskState.PAUSED, TaskState.DEAD)
_DELIVERY_STATES = (DeliveryState.ACCEPTED, DeliveryState.PROCESSING, DeliveryState.QUARANTINED)
_JOB_STATES = (JobState.RESERVED, JobState.DOUBTFUL, JobState.SUBMITTED)


def gauges_of(state: State, sinks: Iterable[str], *, now_s: float) -> Iterator[Metric]:
    """Yield the samples of *state*.

    Args:
        state: What was looked up.
        sinks: The configured ones; what the store has of others is left out.
        now_s: The present, in seconds since the epoch.
    """
    yield from _of_tasks(state, list(sinks), now_s)
    figures, status = state.figures, state.figures.status
    yield gauge("stibgate_deliveries", {(each,): status.deliveries.get(each, 0) for each in _DELIVERY_STATES})
    yield single("stibgate_readbacks_waiting", figures.readbacks)
    yield gauge("stibgate_jobs_open", {(each,): figures.jobs.get(each, 0) for each in _JOB_STATES})
    yield single("stibgate_storage_database_bytes", status.size_bytes)
    yield single("stibgate_storage_wal_bytes", status.wal_bytes)
    yield single("stibgate_storage_free_bytes", status.free_bytes)
    yield single("stibgate_metrics_state_timestamp_seconds", state.at_s)
    yield from _of_money(state)


def _of_tasks(state: State, sinks: list[str], now_s: float) -> Iterator[Metric]:
    figures = state.figures
    yield gauge(
        "stibgate_queue_tasks",
        {(sink, each): figures.tasks.get(sink, {}).get(each, 0) for sink in sinks for each in _TASK_STATES},
    )
    oldest = {sink: figures.owing_since_ms.get(sink) for sink in sinks}
    yield gauge(
        "stibgate_queue_oldest_age_seconds",
        {(sink,): 0 if at_ms is None else max(now_s - at_ms / 1000, 0) for sink, at_ms in oldest.items()},
    )
    known = {sink: state.sinks.get(sink, SinkState(sink)) for sink in sinks}
    yield gauge(
        "stibgate_circuit_state",
        {(sink, each): one.circuit.state is each for sink, one in known.items() for each in CircuitState},
    )
    yield gauge("stibgate_sink_paused", {(sink,): one.paused for sink, one in known.items()})


def _of_money(state: State) -> Iterator[Metric]:
    budgets = {(use.budget.name, str(use.budget.unit)): use for use in state.budgets}
    yield gauge("stibgate_budget_limit", {labels: float(use.budget.limit) for labels, use in budgets.items()})
    yield gauge("stibgate_budget_remaining", {labels: float(use.remaining) for labels, use in budgets.items()})
    money = state.money
    if money is None:
        return
    yield single("stibgate_billed_missing_records", money.missing)
    yield single("stibgate_billed_missing_oldest_timestamp_seconds", money.oldest_ms / 1000)
    yield gauge("stibgate_alarms", {(str(kind),): count for kind, count in money.alarms.items()})
