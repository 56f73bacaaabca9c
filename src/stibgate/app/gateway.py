"""Everything that `serve` runs, started in order and stopped in reverse."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog

from stibgate import __version__
from stibgate.app.acting import acts_of
from stibgate.app.admin import AdminParts, admin_application
from stibgate.app.audience import Audience
from stibgate.app.clock import new_id, new_request_id, now_ms
from stibgate.app.health import Health, Heartbeat
from stibgate.app.listeners import admin_runner, hand_back, listen, public_runner
from stibgate.app.metrics import Meters, Probes
from stibgate.app.parts import bounds_of, limiter_of, operations_of, tracing_of
from stibgate.app.reload import Means, Reloader, Wish
from stibgate.app.systemd import ADMIN, PUBLIC, Supervision, check_admin
from stibgate.app.works import Works
from stibgate.config import ReloadStatus, Settings
from stibgate.errors import EXIT_TEMPORARY, StoreUnavailable
from stibgate.log import add_listener, set_level
from stibgate.log.rendering import as_json
from stibgate.normalise import warm
from stibgate.pipeline.dispatch import untraced
from stibgate.pipeline.refusals import Refusals
from stibgate.pipeline.rollup import Rollup
from stibgate.stores.connection import sqlite_version
from stibgate.stores.sqlite import SqliteStore
from stibgate.web.limits import InFlight
from stibgate.web.live import Feed
from stibgate.web.receiver import Receiver

log = structlog.get_logger("stibgate.service")


class Gateway:
    """Everything that `serve` runs, started and stopped as one.

    Args:
        settings: A checked configuration.
        supervision: Whoever started the process, with the sockets that it gave.
        reread: Reads the configuration again; without it a reload changes nothing.

    Attributes:
        settings: What it works by now.
        operations: What operators can do, once it has started.
        reloading: Ask it to have the configuration read again.
        reopening: Ask it to have open files completed.
    """

    def __init__(
        self,
        settings: Settings,
        supervision: Supervision | None = None,
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        self.settings = settings
        self._supervision = supervision or Supervision()
        self._stack = AsyncExitStack()
        self.audience = Audience()
        self._meters = Meters(settings) if settings.metrics.enabled else None
        if self._meters is not None:
            self.audience.add(self._meters.observe)
        self._started_s = 0.0
        self.failed: StoreUnavailable | None = None
        self.stopping = asyncio.Event()
        means = Means(
            reread or (lambda: self.settings),
            lambda: self.settings,
            self._turn_to,
            lambda: self._receiver.draining,
            self._supervision.notifier.reloading,
            self._say_ready,
        )
        self._reloader = Reloader(means)
        self.reloading = Wish(self._reloader.reload, "reload")
        self.reopening = Wish(self._reopen_files, "reopen")

    @property
    def reload_status(self) -> ReloadStatus:
        """How the configuration was read last."""
        return self._reloader.status

    @property
    def stuck(self) -> bool:
        """Whether a sink did not let go: a thread of this process hangs in it for ever."""
        return self._works.sinks.stuck

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
        server = self.settings.server
        self._tracing = tracing_of(self.settings)
        if self._tracing is not None:
            self.audience.add(self._tracing.observe, at_once=True)  # it writes on the span of the task
            self._stack.push_async_callback(self._tracing.close)
        self._feed = Feed(encode=as_json, run=f"{now_ms():x}", clock_s=asyncio.get_running_loop().time)
        self._stack.callback(add_listener(self._feed))
        self._store = self._open_store()
        self._stack.push_async_callback(self._store.close)
        self._start_rollup()
        within = untraced if self._tracing is None else self._tracing.attempt
        self._works = Works(self._store, self.audience.tell, busy=lambda: self._receiver.busy, within=within)
        self._stack.push_async_callback(self._works.close)
        await self._works.open(self.settings)
        self._in_flight = InFlight(server.limits.concurrency, server.limits.bytes_in_flight)
        await self._store.forget_running_calls()
        self._receiver = self._make_receiver()
        self._health = Health(self._store, self._works.worker, server.ack_timeout, lambda: self._receiver.draining)
        if self._meters is not None:
            self._meters.start(self._probes())
            self._stack.push_async_callback(self._meters.close)
        # Undone in reverse: the public door closes first, then the worker drains while /readyz says so.
        self._admin = self._admin_parts()
        admin = admin_runner(admin_application(self._admin))
        given = self._supervision.sockets
        self.admin_url = await listen(
            admin, server.admin_address, "server.admin_bind", self._stack, given=given.get(ADMIN)
        )
        self._stack.push_async_callback(self._works.stop, self._drain_left_s)
        handle = self._receiver.handle if self._tracing is None else self._tracing.around(self._receiver.handle)
        self._public = public_runner(handle, keepalive_s=server.keepalive)
        self.url = await listen(self._public, server.bind_address, "server.bind", self._stack, given=given.get(PUBLIC))
        # The libraries that normalise take a quarter of a second to load; answers need not wait for them.
        await asyncio.to_thread(warm)
        recovered = await self._works.start()
        self._stack.push_async_callback(self._acts.bulks.close)
        replays = await self._acts.bulks.go_on()
        self._health.listening = True
        await self._tell_supervisor()
        for wish in (self.reloading, self.reopening):
            self._stack.push_async_callback(wish.stop)
            wish.start()
        log.info(
            "service.started",
            version=__version__,
            url=self.url,
            admin_bind=self.admin_url,
            sources=sorted(self.settings.sources),
            sinks=sorted(self.settings.sinks),
            migrations=list(self._store.migrated) or None,
            recovered_tasks=recovered,
            recovered_replays=replays or None,
            sqlite_version=sqlite_version(),
            startup_ms=round((asyncio.get_running_loop().time() - self._started_s) * 1000),
        )

    async def stop(self) -> int:
        """Take no more, finish what runs, give the rest back; return the exit code."""
        self._supervision.notifier.stopping()
        self._receiver.draining = True
        self._begin_drain()
        self._receiver.relieved = PUBLIC in self._supervision.sockets
        log.info(
            "service.draining",
            inflight_requests=self._in_flight.requests,
            attempts=self._works.worker.attempts_running,
            deadline_s=self.settings.server.drain_timeout,
        )
        if self._receiver.relieved:  # whoever comes now waits at the socket for the next process
            await hand_back(self._public, self._supervision.sockets[PUBLIC])
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
        storage = self.settings.storage
        return SqliteStore(
            storage.path,
            durability=storage.durability,
            commit_max_rows=storage.commit_max_rows,
            commit_timeout_s=self.settings.server.ack_timeout,
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

    async def _turn_to(self, settings: Settings, read_at_ms: int) -> None:
        """Work by *settings* from now on. All that may fail comes first; then everything changes in one step.

        Raises:
            StibgateError: Something cannot be had; nothing was changed.
        """
        old = self.settings
        check_admin(self._supervision.sockets.get(ADMIN), settings)
        plan = await self._works.prepare(settings, old)
        if self._receiver.draining:
            raise StoreUnavailable("the service is about to end", hint="It reads its configuration when it starts.")
        # One step from here on: nothing waits, and nothing fails.
        self.settings = settings
        self._works.turn_to(plan)
        limits = settings.server.limits
        same_rate = (limits.rate, limits.burst) == (old.server.limits.rate, old.server.limits.burst)
        self._receiver.adopt(plan.intake, bounds_of(settings), None if same_rate else limiter_of(settings))
        self._in_flight.requests_max, self._in_flight.bytes_max = limits.concurrency, limits.bytes_in_flight
        self._store.keep_free(settings.storage.min_free)
        self.operations.router, self.operations.sinks = settings.router(), tuple(settings.sinks)
        self._admin.turn_to(settings, None if plan.parts is None else plan.parts.desk)
        if self._meters is not None:
            self._meters.configure(settings)
        set_level(settings.log.level)
        self._store.configured_at(read_at_ms)
        await self._works.forgo_results(settings, old)

    def _make_receiver(self) -> Receiver:
        return Receiver(
            self._works.intake,
            bounds_of(self.settings),
            limiter=limiter_of(self.settings),
            in_flight=self._in_flight,
            check_space=self._store.check_disk,
            new_request_id=new_request_id,
            observe=self.audience.tell,
            refusals=self._refusals,
        )

    def _admin_parts(self) -> AdminParts:
        self.operations = operations_of(
            self.settings, self._store, wake=self._works.worker.wake_all, observe=self.audience.tell
        )
        self._acts = acts_of(lambda: self.settings, self._store, self.operations)
        return AdminParts(
            settings=self.settings,
            store=self._store,
            acts=self._acts,
            desk=None if (parts := self._works.buying.parts) is None else parts.desk,
            reload_status=lambda: self.reload_status,
            draining=lambda: self._receiver.draining,
            alive=self._health.alive,
            ready=self._health.ready,
            meters=self._meters,
            feed=self._feed,
        )

    def _probes(self) -> Probes:
        return Probes(
            receiving=lambda: self._in_flight.requests,
            writes_waiting=lambda: self._store.writes_waiting,
            leases=lambda: self._works.worker.running,
            ready=self._health.ready,
            spans=lambda: {} if self._tracing is None else self._tracing.counts,
            reading=lambda: self.reload_status,
        )

    async def _tell_supervisor(self) -> None:
        """Say that the service is ready, and go on saying that it lives."""
        self._heartbeat = Heartbeat(self._health, self._supervision.notifier)
        await self._say_ready()
        self._stack.push_async_callback(self._heartbeat.stop)
        self._heartbeat.start()

    async def _say_ready(self) -> None:
        if not self._receiver.draining:
            self._supervision.notifier.ready(await self._heartbeat.status())

    async def _reopen_files(self) -> None:
        """Have every sink that holds files complete them and let go."""
        log.info("service.files_reopened", sinks=await self._works.sinks.reopen())

    async def _answer_in_flight(self) -> None:
        """Return when every delivery that was begun is answered, or the drain's time is over.

        aiohttp takes no more bytes from a connection once it is told to shut down, so a body that is still on
        its way must arrive before. Meanwhile whoever comes is answered 503.
        """
        while self._in_flight.requests and self._drain_left_s() > 0:  # noqa: ASYNC110  (an event would cost every request)
            await asyncio.sleep(0.02)

    def _begin_drain(self) -> None:
        self._drained_by_s = asyncio.get_running_loop().time() + self.settings.server.drain_timeout

    def _drain_left_s(self) -> float:
        return max(self._drained_by_s - asyncio.get_running_loop().time(), 0.0)
