"""Everything that `serve` runs, started in order and stopped in reverse."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import AsyncExitStack

import structlog

from stibgate import __version__
from stibgate.app.admin import AdminParts, admin_application
from stibgate.app.audience import Audience
from stibgate.app.health import Health, Heartbeat
from stibgate.app.jobs import JobParts
from stibgate.app.listeners import admin_runner, hand_back, listen, public_runner
from stibgate.app.metrics import Meters, Probes
from stibgate.app.parts import (
    SinkMemory,
    intake_of,
    new_id,
    new_request_id,
    now_ms,
    operations_of,
    policy_of,
    readback_of,
)
from stibgate.app.systemd import ADMIN, PUBLIC, Supervision
from stibgate.config import Settings
from stibgate.domain.delivery import Admission, Delivery
from stibgate.errors import EXIT_TEMPORARY, SinkUnavailable, StoreUnavailable
from stibgate.log import add_listener, as_json
from stibgate.normalise import Rules, warm
from stibgate.pipeline.dispatch import Dispatcher, Outlet
from stibgate.pipeline.fanout import Fanout, Readback
from stibgate.pipeline.intake import Intake
from stibgate.pipeline.refusals import Refusals
from stibgate.pipeline.rollup import Rollup
from stibgate.pipeline.worker import Worker
from stibgate.sinks import Sink, SinkContext
from stibgate.stores.connection import sqlite_version
from stibgate.stores.sqlite import SqliteStore
from stibgate.web.limits import InFlight, RateLimiter
from stibgate.web.live import Feed
from stibgate.web.receiver import Receiver, ReceiverSettings

log = structlog.get_logger("stibgate.service")

SINK_READY_S = 1.0
"""How long the start waits for a sink; a slower one becomes ready in its own time, and its tasks wait."""
SINK_CLOSED_S = 2.0
ERRANDS_ENDED_S = 5.0
"""How long a question to the vendor may take when the service stops; it is asked again at the next start."""

_DICE = random.Random()  # noqa: S311  (jitter)

_SLOW = "Its disk or network does not answer; its tasks wait, and are tried again by themselves."


class Gateway:
    """Everything that `serve` runs, started and stopped as one.

    Args:
        settings: A checked configuration.
        supervision: Whoever started the process, with the sockets that it gave.

    Attributes:
        operations: What operators can do, once it has started.
    """

    def __init__(self, settings: Settings, supervision: Supervision | None = None) -> None:
        self._settings = settings
        self._supervision = supervision or Supervision()
        self._stack = AsyncExitStack()
        self.audience = Audience()
        self._meters = Meters(settings) if settings.metrics.enabled else None
        if self._meters is not None:
            self.audience.add(self._meters.observe)
        self._started_s = 0.0
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
        self._feed = Feed(encode=as_json, run=f"{now_ms():x}", clock_s=asyncio.get_running_loop().time)
        self._stack.callback(add_listener(self._feed))
        self._store = self._open_store()
        self._stack.push_async_callback(self._store.close)
        self._start_rollup()
        outlets = await self._open_outlets()
        self._in_flight = InFlight(server.limits.concurrency, server.limits.bytes_in_flight)
        self._jobs: JobParts | None = None
        self._worker = Worker(
            self._store,
            Fanout(
                self._store,
                self._settings.router(),
                Rules(**self._settings.normalise.model_dump()),
                now_ms=now_ms,
                new_id=lambda: new_id("tsk"),
                first_delays_s={name: outlet.policy.schedule_s[0] for name, outlet in outlets.items()},
                readback=readback_of(self._settings),
                on_job=self._wake_jobs,
                take_job=self._take_job,
                observe=self.audience.tell,
            ),
            Dispatcher(
                self._store,
                outlets,
                now_ms=now_ms,
                jitter=_DICE.random,
                hash_key=self._store.hash_key,
                observe=self.audience.tell,
            ),
            now_ms=now_ms,
            busy=lambda: self._receiver.busy,
        )
        self._intake = await self._make_intake()
        await self._store.recover_runs(now_ms=now_ms())
        if readback_of(self._settings) is Readback.NEVER:
            await self._store.forgo_results()
        if self._settings.stibnite.api_key is not None:
            self._jobs = JobParts(self._settings, self._store, self._intake, self._worker.wake)
            await self._stack.enter_async_context(self._jobs.client)  # until nobody can ask for a job any more
        self._receiver = self._make_receiver()
        self._health = Health(self._store, self._worker, server.ack_timeout, lambda: self._receiver.draining)
        if self._meters is not None:
            self._meters.start(self._probes())
            self._stack.push_async_callback(self._meters.close)
        # Undone in reverse: the public door closes first, then the worker drains while /readyz says so.
        admin = admin_runner(admin_application(self._admin_parts()))
        given = self._supervision.sockets
        self.admin_url = await listen(
            admin, server.admin_address, "server.admin_bind", self._stack, given=given.get(ADMIN)
        )
        self._stack.push_async_callback(self._stop_worker)
        if self._jobs is not None:
            self._stack.push_async_callback(self._stop_errands, self._jobs)
        self._public = public_runner(self._receiver.handle, keepalive_s=server.keepalive)
        self.url = await listen(self._public, server.bind_address, "server.bind", self._stack, given=given.get(PUBLIC))
        # The libraries that normalise take a quarter of a second to load; answers need not wait for them.
        await asyncio.to_thread(warm)
        recovered = await self._worker.start()
        if self._jobs is not None:
            self._jobs.errands.start()
        self._health.listening = True
        await self._tell_supervisor()
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
        self._supervision.notifier.stopping()
        self._receiver.draining = True
        self._begin_drain()
        if PUBLIC in self._supervision.sockets:
            self._receiver.relieved = True  # whoever comes now waits at the socket for the next process
            await hand_back(self._public, self._supervision.sockets[PUBLIC])
        log.info(
            "service.draining",
            inflight_requests=self._in_flight.requests,
            attempts=self._worker.attempts_running,
            deadline_s=self._settings.server.drain_timeout,
        )
        await self._answer_in_flight()
        unanswered = self._in_flight.requests
        await self._stack.aclose()
        exit_code = EXIT_TEMPORARY if self.failed is not None or unanswered else 0
        log.info(
            "service.stopped",
            exit_code=exit_code,
            inflight_requests=unanswered or None,
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
            observe=self.audience.tell,
        )

    def _start_rollup(self) -> None:
        """Count what happens from now on until all that happens is over."""
        self._refusals = Refusals(now_ms=now_ms)
        rollup = Rollup(self._store, self._refusals, now_ms=now_ms, new_id=lambda: new_id("cnt"))
        self.audience.add(rollup.observe)
        rollup.start()
        self._stack.push_async_callback(rollup.stop)

    def _on_store_failed(self, error: StoreUnavailable) -> None:
        """Stop: after a failed sync only a restart can tell what is on the disk."""
        self.failed = error
        log.error("store.error", error=error.message, hint=error.hint)
        self.stopping.set()

    async def _open_outlets(self) -> Mapping[str, Outlet]:
        """Open every sink; one that is not ready now is tried with its first batch."""
        outlets = {}
        for name, sink_settings in self._settings.sinks.items():
            context = SinkContext(name, now_ms, _DICE.random, SinkMemory(name, self._store))
            sink = sink_settings.build(context)
            try:
                async with asyncio.timeout(SINK_READY_S):
                    await sink.open()
            except SinkUnavailable as error:
                log.warning("sink.unavailable", sink=name, error=error.message, hint=error.hint)
            except TimeoutError:
                log.warning("sink.unavailable", sink=name, error=f"not ready after {SINK_READY_S:g} s", hint=_SLOW)
            self._stack.push_async_callback(self._close_sink, name, sink)
            outlets[name] = Outlet(sink, policy_of(self._settings.delivery_of(name)))
        return outlets

    async def _close_sink(self, name: str, sink: Sink) -> None:
        try:
            async with asyncio.timeout(SINK_CLOSED_S):
                await sink.close()
        except TimeoutError:
            self.stuck = True
            log.warning("sink.unavailable", sink=name, error=f"not closed after {SINK_CLOSED_S:g} s", hint=_SLOW)

    async def _make_intake(self) -> Intake:
        pins = await self._store.pins()
        return intake_of(self._settings, self._store, pins=pins, on_admitted=self._worker.wake)

    async def _take_job(self, source: str, event_type: str, body: bytes) -> tuple[Delivery, Admission]:
        return await self._intake.take_job(source, event_type, body)

    def _wake_jobs(self) -> None:
        if self._jobs is not None:
            self._jobs.errands.wake()

    async def _stop_errands(self, jobs: JobParts) -> None:
        await jobs.errands.stop(drain_timeout_s=min(self._drain_left_s, ERRANDS_ENDED_S))

    def _make_receiver(self) -> Receiver:
        server = self._settings.server
        return Receiver(
            self._intake,
            ReceiverSettings(server.max_body, server.body_timeout, tuple(server.trusted_proxies)),
            limiter=RateLimiter(rate=server.limits.rate, burst=server.limits.burst),
            in_flight=self._in_flight,
            check_space=self._store.check_disk,
            new_request_id=new_request_id,
            observe=self.audience.tell,
            refusals=self._refusals,
        )

    def _admin_parts(self) -> AdminParts:
        self.operations = operations_of(
            self._settings, self._store, wake=self._worker.wake_all, observe=self.audience.tell
        )
        return AdminParts(
            settings=self._settings,
            store=self._store,
            operations=self.operations,
            desk=None if self._jobs is None else self._jobs.desk,
            draining=lambda: self._receiver.draining,
            alive=self._health.alive,
            ready=self._health.ready,
            audience=self.audience,
            meters=self._meters,
            feed=self._feed,
        )

    def _probes(self) -> Probes:
        return Probes(
            receiving=lambda: self._in_flight.requests,
            writes_waiting=lambda: self._store.writes_waiting,
            leases=lambda: self._worker.running,
            ready=self._health.ready,
        )

    async def _tell_supervisor(self) -> None:
        """Say that the service is ready, and go on saying that it lives."""
        heartbeat = Heartbeat(self._health, self._supervision.notifier)
        self._supervision.notifier.ready(await heartbeat.status())
        self._stack.push_async_callback(heartbeat.stop)
        heartbeat.start()

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
