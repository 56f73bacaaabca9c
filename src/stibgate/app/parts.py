"""Settings into parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stibgate.app.clock import new_id, now_ms
from stibgate.app.sources import source_of
from stibgate.config import DeliverySettings, Settings
from stibgate.domain.backoff import Policy
from stibgate.domain.circuit import CircuitPolicy
from stibgate.domain.fact import Observe, unobserved
from stibgate.pipeline.drafts import AdmissionPolicy, Drafts
from stibgate.pipeline.fanout import Readback
from stibgate.pipeline.intake import Intake
from stibgate.pipeline.operations import Operations
from stibgate.stores import Memories
from stibgate.stores.sqlite import SqliteStore
from stibgate.web.limits import RateLimiter
from stibgate.web.receiver import ReceiverSettings

if TYPE_CHECKING:
    from stibgate.app.tracing import Tracing

OPEN_FOR_MAX_S = 600.0
"""Up to here a breaker's time doubles, unless it begins with more."""


def policy_of(delivery: DeliverySettings) -> Policy:
    """Return how patiently a sink is tried."""
    circuit = delivery.circuit
    return Policy(
        delivery.schedule,
        delivery.max_age,
        delivery.timeout,
        delivery.concurrency,
        delivery.lease,
        delivery.rate,
        CircuitPolicy(
            circuit.failures, circuit.open_for, max(circuit.open_for, OPEN_FOR_MAX_S), circuit.half_open_probes
        ),
    )


@dataclass(frozen=True, slots=True)
class SinkMemory:
    """One sink's part of what the store remembers."""

    sink: str
    memories: Memories

    async def recall(self, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return the documents of those *keys* that are known."""
        return await self.memories.recall(self.sink, keys)

    async def remember(self, documents: Mapping[str, Any]) -> None:
        """Keep *documents*."""
        await self.memories.remember(self.sink, documents)


def bounds_of(settings: Settings) -> ReceiverSettings:
    """Return what bounds a request."""
    server = settings.server
    return ReceiverSettings(server.max_body, server.body_timeout, tuple(server.trusted_proxies))


def limiter_of(settings: Settings) -> RateLimiter:
    """Return what bounds the rate of each source, with nothing used up yet."""
    limits = settings.server.limits
    return RateLimiter(rate=limits.rate, burst=limits.burst)


def open_for_command(settings: Settings) -> SqliteStore:
    """Return the store for a command that writes while no service does.

    Raises:
        StoreLocked: Another process uses it.
        SchemaTooNew: A newer stibgate wrote it.
    """
    storage = settings.storage
    return SqliteStore(
        storage.path, durability=storage.durability, commit_max_rows=storage.commit_max_rows, service=False
    )


def operations_of(
    settings: Settings,
    store: SqliteStore,
    *,
    wake: Callable[[], None] = lambda: None,
    observe: Observe = unobserved,
) -> Operations:
    """Return what operators can do with *store*."""
    return Operations(
        store,
        store.study,
        settings.router(),
        tuple(settings.sinks),
        now_ms=now_ms,
        new_id=lambda: new_id("tsk"),
        wake=wake,
        observe=observe,
    )


def drafts_of(settings: Settings) -> Drafts:
    """Return what makes deliveries of what comes in."""
    retention, stibnite = settings.storage.retention, settings.stibnite
    policy = AdmissionPolicy(
        round(retention.dedupe_keys * 1000),
        round(retention.dedupe_window * 1000),
        readback=readback_of(settings) is not Readback.NEVER,
        adopt_unknown=stibnite.adopt_unknown_jobs,
    )
    return Drafts(policy, settings.router(), lambda: new_id("dlv"), job_sources(settings))


def job_sources(settings: Settings) -> list[str]:
    """Return the sources of job events; events of jobs that are asked for are those of the first."""
    return [name for name, source in settings.sources.items() if source.kind == "stibnite_jobs"]


def readback_of(settings: Settings) -> Readback:
    """Return which job events are completed by the vendor's API: none without a key."""
    return Readback(settings.stibnite.readback) if settings.stibnite.api_key else Readback.NEVER


def intake_of(
    settings: Settings,
    store: SqliteStore,
    *,
    pins: Mapping[str, Mapping[str, Any]],
    on_admitted: Callable[[], None],
) -> Intake:
    """Return what takes in deliveries of the configured sources.

    Args:
        settings: The configuration.
        store: The open store.
        pins: Which scheme each source has settled on.
        on_admitted: Called when a delivery is in the store.
    """
    return Intake(
        {name: source_of(name, source) for name, source in settings.sources.items()},
        store,
        pins=pins,
        now_ms=now_ms,
        drafts=drafts_of(settings),
        on_admitted=on_admitted,
    )


def tracing_of(settings: Settings) -> "Tracing | None":
    """Return what makes spans; None, and nothing is loaded for it, unless tracing is on."""
    if not settings.tracing.enabled:
        return None
    from stibgate.app.tracing import Tracing  # noqa: PLC0415  (an extra, which is not installed everywhere)

    host = urlsplit(settings.server.public_url).hostname or settings.server.bind_address[0]
    return Tracing(settings.tracing, host=host)
