"""What monitoring systems see: facts that are counted, figures that are looked up, and the page that shows both.

The registry is this gateway's own, so that nothing of a library or of another gateway in the process stands in it.
"""

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from stibgate import __version__
from stibgate.app.metrics.counting import Names, Tally
from stibgate.app.metrics.gauges import gauges_of
from stibgate.app.metrics.lag import LoopLag
from stibgate.app.metrics.state import StateReader
from stibgate.app.metrics.tables import counter, gauge, single
from stibgate.config import ReloadStatus, Settings
from stibgate.domain.budget import Budget
from stibgate.domain.fact import Fact
from stibgate.stores.connection import sqlite_version


@dataclass(frozen=True, slots=True)
class Probes:
    """What can be asked of a running gateway, on the event loop.

    Attributes:
        receiving: Deliveries that are being received.
        writes_waiting: Operations that wait for the writer.
        leases: Attempts under way at each sink.
        ready: The checks of `/readyz`.
        spans: What became of spans; empty while nothing is traced.
        reading: How the configuration was read last.
    """

    receiving: Callable[[], int]
    writes_waiting: Callable[[], int]
    leases: Callable[[], Mapping[str, int]]
    ready: Callable[[], Mapping[str, str]]
    spans: Callable[[], Mapping[str, int]]
    reading: Callable[[], ReloadStatus]


class Meters(Collector):
    """Everything that is measured of one gateway.

    Args:
        settings: What names there are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._started_s = time.time()
        self._tally = Tally(_names(settings), now_s=time.time)
        self._state = StateReader(settings.storage.path, self._budgets, now_s=time.time)
        self._lag = LoopLag()
        self._live: list[Metric] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def observe(self, fact: Fact) -> None:
        """Count *fact*."""
        self._tally.observe(fact)

    def configure(self, settings: Settings) -> None:
        """Go by new names."""
        self._settings = settings
        self._tally.configure(_names(settings))

    def start(self, probes: Probes) -> None:
        """Begin to look at a running gateway."""
        self._probes = probes
        self._lag.start()

    async def close(self) -> None:
        """Let go of the store."""
        self._lag.stop()
        await self._state.close()

    async def page(self, accept: str) -> tuple[bytes, str]:
        """Return the page of samples and its content type, in the form that *accept* prefers."""
        encode, content_type = choose_encoder(accept)
        await self._state.refresh()
        self._live = list(self._look())
        return await self._state.run(lambda: encode(self._registry)), content_type

    def collect(self) -> Iterable[Metric]:
        """Yield all samples but the process's own."""
        for table in self._tally.tables:
            yield table.family()
        yield gauge("stibgate_receive_last_accepted_timestamp_seconds", self._tally.last_accepted)
        yield gauge("stibgate_sink_quota_remaining", self._tally.quotas)
        yield gauge("stibgate_upstream_ratelimit_remaining", self._tally.rate_left)
        yield from self._live
        if self._state.state is not None:
            yield from gauges_of(self._state.state, self._settings.sinks, now_s=time.time())

    def _look(self) -> Iterator[Metric]:
        probes, ready, reading = self._probes, self._probes.ready(), self._probes.reading()
        yield gauge("http_server_active_requests", {("POST",): probes.receiving()})
        yield single("stibgate_store_write_queue_length", probes.writes_waiting())
        yield gauge("stibgate_worker_leases", {(sink,): count for sink, count in probes.leases().items()})
        yield gauge("stibgate_ready", {(check,): word == "ok" for check, word in ready.items()})
        yield single("stibgate_config_last_reload_successful", reading.ok)
        yield single("stibgate_config_last_reload_success_timestamp_seconds", reading.succeeded_at_ms / 1000)
        yield single("stibgate_event_loop_lag_seconds", self._lag.longest_s)
        yield single("stibgate_start_timestamp_seconds", self._started_s)
        yield gauge("stibgate_build_info", {(__version__, platform.python_version(), sqlite_version()): 1})
        yield counter("stibgate_trace_spans_total", {(result,): count for result, count in probes.spans().items()})
        yield gauge("stibgate_secret_expiry_timestamp_seconds", _expiries(self._settings))

    def _budgets(self) -> list[Budget]:
        return [self._settings.budget(name) for name in self._settings.budgets]


def _names(settings: Settings) -> Names:
    return Names(frozenset(settings.sources), frozenset(settings.sinks))


def _expiries(settings: Settings) -> Mapping[tuple[str, str], float]:
    return {
        (name, str(number)): secret.not_after.timestamp()
        for name, source in settings.sources.items()
        for number, secret in enumerate(source.secrets, start=1)
        if secret.not_after is not None
    }


__all__ = ["Meters", "Probes"]
