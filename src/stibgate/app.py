"""The composition root: settings in, running parts out.

The only clock, the only source of ids and chance, and the only place that names a concrete store.
"""

import asyncio
import errno
import gc
import os
import random
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

import structlog
import uuid_utils
from aiohttp import web

from stibgate import __version__
from stibgate.config import DeliverySettings, Settings, SourceSettings
from stibgate.domain.backoff import Policy
from stibgate.errors import (
    EXIT_TEMPORARY,
    AddressInUse,
    PermissionRefused,
    SinkUnavailable,
    StibgateError,
    StoreFull,
    StoreUnavailable,
)
from stibgate.normalise import Rules, warm
from stibgate.pipeline.dispatch import Dispatcher, Outlet
from stibgate.pipeline.fanout import Fanout
from stibgate.pipeline.intake import Auth, Intake, Source, StalePolicy
from stibgate.pipeline.worker import Worker
from stibgate.signatures import Secret, candidates
from stibgate.sinks import Sink
from stibgate.stores import Ledger
from stibgate.stores.connection import open_writer, sqlite_version
from stibgate.stores.ledger import open_ledger
from stibgate.stores.lock import InstanceLock
from stibgate.stores.migrations import migrate
from stibgate.stores.sqlite import SqliteStore
from stibgate.web.health import health_application
from stibgate.web.limits import InFlight, RateLimiter
from stibgate.web.protocol import QuietServer
from stibgate.web.receiver import Receiver, ReceiverSettings

__all__ = ["Gateway", "migrate_store", "new_id", "now_ms", "open_store_ledger", "serve", "sqlite_version"]

log = structlog.get_logger("stibgate.service")

HEAD_BYTES_MAX = 8 * 1024 - 2
HEADERS_MAX = 100
LINGER_S = 2.0
GC_THRESHOLD = 20_000
SINK_READY_S = 1.0
"""How long the start waits for a sink; a slower one becomes ready in its own time, and its tasks wait."""
SINK_CLOSED_S = 2.0
ANSWERED_S = 2.0
"""How long a listener may take to write its last answers, once they are made."""


def now_ms() -> int:
    """Return the present in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str) -> str:
    """Return a new id that sorts by time: *prefix*, an underscore, 32 hex digits."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"


def open_store_ledger(settings: Settings) -> Ledger:
    """Return the store for reading; it needs no running service."""
    return open_ledger(settings.storage.path)


def migrate_store(settings: Settings) -> tuple[str, ...]:
    """Bring the store to this version's schema; return the migrations that were applied.

    Raises:
        StoreLocked: A service is running on it.
        SchemaTooNew: A newer stibgate wrote it.
    """
    lock = InstanceLock(settings.storage.path)
    try:
        database = open_writer(settings.storage.path, durability=settings.storage.durability)
        try:
            return tuple(migrate(database))
        finally:
            database.conn.close()
    finally:
        lock.release()


class Gateway:
    """Everything that `serve` runs, started and stopped as one.

    Args:
        settings: A checked configuration.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._started_s = 0.0
        self._listening = False
        self.failed: StoreUnavailable | None = None
        self.stopping = asyncio.Event()
        self.stuck = False
        """Whether a sink did not let go: a thread of this process hangs in it for ever."""

    async def start(self) -> None:
        """Open the store, take over what was left, and listen.

        Raises:
            StibgateError: What is in the way, with a hint; nothing keeps running.
        """
        self._started_s = asyncio.get_running_loop().time()
        try:
            await self._start()
        except BaseException:
            self._begin_drain()
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        server = self._settings.server
        self._store = self._open_store()
        self._stack.push_async_callback(self._store.close)
        outlets = await self._open_outlets()
        self._in_flight = InFlight(server.limits.concurrency, server.limits.bytes_in_flight)
        self._worker = Worker(
            self._store,
            Fanout(
                self._store,
                {name: source.routes for name, source in self._settings.sources.items()},
                Rules(**self._settings.normalise.model_dump()),
                now_ms=now_ms,
                new_id=lambda: new_id("tsk"),
                first_delays_s={name: outlet.policy.schedule_s[0] for name, outlet in outlets.items()},
            ),
            Dispatcher(self._store, outlets, now_ms=now_ms, jitter=random.Random().random),  # noqa: S311  (jitter)
            now_ms=now_ms,
            busy=lambda: self._receiver.busy,
        )
        self._receiver = await self._make_receiver()
        # Undone in reverse: the public door closes first, then the worker drains while /readyz says so.
        self.admin_url = await self._listen_admin()
        self._stack.push_async_callback(self._stop_worker)
        self.url = await self._listen_public()
        # The libraries that normalise take a quarter of a second to load; answers need not wait for them.
        await asyncio.to_thread(warm)
        recovered = await self._worker.start()
        self._listening = True
        log.info(
            "service.started",
            version=__version__,
            url=self.url,
            admin_bind=self.admin_url,
            sources=sorted(self._settings.sources),
            sinks=sorted(self._settings.sinks),
            migrations=list(self._store.migrated) or None,
            recovered_tasks=recovered,
            sqlite_version=sqlite_version(),
            startup_ms=round((asyncio.get_running_loop().time() - self._started_s) * 1000),
        )

    async def stop(self) -> int:
        """Take no more, finish what runs, give the rest back; return the exit code."""
        self._receiver.draining = True
        self._begin_drain()
        log.info(
            "service.draining",
            inflight_requests=self._in_flight.requests,
            attempts=self._worker.attempts_running,
            deadline_s=self._settings.server.drain_timeout,
        )
        await self._answer_in_flight()
        await self._stack.aclose()
        exit_code = 0 if self.failed is None else EXIT_TEMPORARY
        log.info(
            "service.stopped",
            exit_code=exit_code,
            uptime_s=round(asyncio.get_running_loop().time() - self._started_s, 1),
        )
        return exit_code

    async def idle(self) -> None:
        """Return once every delivery is in a final state; for `demo`, which knows that it will end."""
        while await self._store.unfinished():  # noqa: ASYNC110  (only the store knows, and it has no event for it)
            await asyncio.sleep(0.02)

    def _open_store(self) -> SqliteStore:
        storage = self._settings.storage
        return SqliteStore(
            storage.path,
            durability=storage.durability,
            commit_max_rows=storage.commit_max_rows,
            commit_timeout_s=self._settings.server.ack_timeout,
            min_free_bytes=storage.min_free,
            on_failed=self._on_store_failed,
        )

    def _on_store_failed(self, error: StoreUnavailable) -> None:
        """Stop: after a failed sync only a restart can tell what is on the disk."""
        self.failed = error
        log.error("store.error", error=error.message, hint=error.hint)
        self.stopping.set()

    async def _open_outlets(self) -> Mapping[str, Outlet]:
        """Open every sink; one that is not ready now is tried with its first batch."""
        outlets = {}
        for name, sink_settings in self._settings.sinks.items():
            sink = sink_settings.build(name, now_ms=now_ms)
            try:
                async with asyncio.timeout(SINK_READY_S):
                    await sink.open()
            except SinkUnavailable as error:
                log.warning("sink.unavailable", sink=name, error=error.message, hint=error.hint)
            except TimeoutError:
                log.warning("sink.unavailable", sink=name, error=f"not ready after {SINK_READY_S:g} s", hint=_SLOW)
            self._stack.push_async_callback(self._close_sink, name, sink)
            outlets[name] = Outlet(sink, _policy(self._settings.delivery_of(name)))
        return outlets

    async def _close_sink(self, name: str, sink: Sink) -> None:
        try:
            async with asyncio.timeout(SINK_CLOSED_S):
                await sink.close()
        except TimeoutError:
            self.stuck = True
            log.warning("sink.unavailable", sink=name, error=f"not closed after {SINK_CLOSED_S:g} s", hint=_SLOW)

    async def _make_receiver(self) -> Receiver:
        server, retention = self._settings.server, self._settings.storage.retention
        intake = Intake(
            {name: _source(name, source) for name, source in self._settings.sources.items()},
            self._store,
            pins=await self._store.pins(),
            now_ms=now_ms,
            new_id=lambda: new_id("dlv"),
            dedupe_keys_ms=round(retention.dedupe_keys * 1000),
            dedupe_window_ms=round(retention.dedupe_window * 1000),
            on_admitted=self._worker.wake,
        )
        return Receiver(
            intake,
            ReceiverSettings(server.max_body, server.body_timeout, tuple(server.trusted_proxies)),
            limiter=RateLimiter(rate=server.limits.rate, burst=server.limits.burst),
            in_flight=self._in_flight,
            check_space=self._store.refuse_when_full,
            new_request_id=lambda: uuid_utils.uuid7().hex,
        )

    async def _listen_public(self) -> str:
        server = self._settings.server
        low_level = QuietServer(
            self._receiver.handle,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=server.keepalive,
            lingering_time=LINGER_S,
            max_line_size=HEAD_BYTES_MAX,
            max_field_size=HEAD_BYTES_MAX,
            max_headers=HEADERS_MAX,
        )
        runner = web.ServerRunner(low_level, handle_signals=False, shutdown_timeout=ANSWERED_S)
        return await self._listen(runner, server.bind_address, "server.bind")

    async def _listen_admin(self) -> str:
        app = health_application(alive=lambda: self._store.alive, ready=self._ready)
        runner = web.AppRunner(
            app, handle_signals=False, access_log=None, keepalive_timeout=15, shutdown_timeout=ANSWERED_S
        )
        return await self._listen(runner, self._settings.server.admin_address, "server.admin_bind")

    async def _listen(self, runner: web.BaseRunner, address: tuple[str, int], setting: str) -> str:
        host, port = address
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, host, port, backlog=1024).start()
        except OSError as error:
            raise _cannot_listen(error, f"{host}:{port}", setting) from error
        name = runner.addresses[0]
        return f"http://{'[' + name[0] + ']' if ':' in name[0] else name[0]}:{name[1]}"

    def _ready(self) -> Mapping[str, str]:
        try:
            self._store.refuse_when_full()
            space = "ok"
        except StoreFull as error:
            space = error.message
        return {
            "store": "ok" if self._store.alive else "cannot write",
            "free_space": space,
            "starting": "ok" if self._listening else "not listening yet",
            "draining": "draining" if self._receiver.draining else "ok",
        }

    async def _answer_in_flight(self) -> None:
        """Return when every delivery that was begun is answered, or the drain's time is over.

        aiohttp takes no more bytes from a connection once it is told to shut down, so a body that is still on
        its way must arrive before. Meanwhile whoever comes is answered 503.
        """
        while self._in_flight.requests and self._drain_left_s > 0:  # noqa: ASYNC110  (an event would cost every request)
            await asyncio.sleep(0.02)

    def _begin_drain(self) -> None:
        self._drained_by_s = asyncio.get_running_loop().time() + self._settings.server.drain_timeout

    @property
    def _drain_left_s(self) -> float:
        return max(self._drained_by_s - asyncio.get_running_loop().time(), 0.0)

    async def _stop_worker(self) -> None:
        await self._worker.stop(drain_timeout_s=self._drain_left_s)


async def serve(settings: Settings) -> int:
    """Run the gateway until SIGTERM or SIGINT, or until its store fails; return the exit code."""
    gateway = Gateway(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, gateway.stopping.set)
    await gateway.start()
    # What was loaded stays: the collector need not look at it again, nor stop for every few requests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    await gateway.stopping.wait()
    exit_code = await gateway.stop()
    if gateway.stuck:
        os._exit(exit_code)  # everything is closed and written; Python would wait for the thread that hangs
    return exit_code


_SLOW = "Its disk or network does not answer; its tasks wait, and are tried again by themselves."


def _cannot_listen(error: OSError, address: str, setting: str) -> StibgateError:
    reason = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(
            f"{address} is in use by another program", hint=f"Stop it, or choose another address in {setting}."
        )
    return PermissionRefused(f"cannot listen on {address}: {reason}", hint=f"Choose another address in {setting}.")


def _policy(delivery: DeliverySettings) -> Policy:
    return Policy(delivery.schedule, delivery.max_age, delivery.timeout, delivery.concurrency, delivery.lease)


def _source(name: str, settings: SourceSettings) -> Source:
    """Return the source as intake knows it; labels number its secrets from the newest."""
    schemes = candidates(settings.scheme, overrides=settings.signature.overrides(), allow_sha1=settings.allow_sha1)
    return Source(
        name=name,
        auth=Auth(settings.auth),
        tokens=[token.get_secret_value() for token in settings.tokens],
        secrets=[
            Secret(
                item.value.get_secret_value(),
                str(number),
                None if item.not_after is None else item.not_after.timestamp(),
            )
            for number, item in enumerate(settings.secrets, start=1)
        ],
        schemes=schemes,
        pinning=settings.scheme == "auto",
        tolerance_s=settings.tolerance,
        future_tolerance_s=settings.future_tolerance,
        stale=StalePolicy(settings.stale),
        routes=settings.routes,
        id_headers=settings.id_headers,
        ack_status=settings.ack_status,
    )
