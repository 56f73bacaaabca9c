"""The way of a delivery through the house, from its intake to the sinks, over changes of the configuration."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from stibgate.app.buying import Buying
from stibgate.app.clock import jitter, new_id, now_ms
from stibgate.app.jobs import JobParts
from stibgate.app.outlets import Outlets
from stibgate.app.parts import intake_of, readback_of
from stibgate.config import Settings
from stibgate.domain.delivery import Admission, Delivery
from stibgate.domain.fact import Observe
from stibgate.errors import StoreError
from stibgate.pipeline.dispatch import Dispatcher, Outlet, Within, untraced
from stibgate.pipeline.fanout import Fanout, Readback
from stibgate.pipeline.intake import Intake
from stibgate.pipeline.worker import Worker
from stibgate.stores.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class Plan:
    """What a configuration makes of the way: built, and not taken up yet."""

    settings: Settings
    intake: Intake
    outlets: Mapping[str, Outlet]
    parts: JobParts | None


class Works:
    """Takes in, forwards and buys.

    Args:
        store: The open store.
        observe: Told what happens.
        busy: Says whether answers are waiting for the processor.
        within: What an attempt is made in.

    Attributes:
        sinks: The sinks that are open.
    """

    def __init__(
        self, store: SqliteStore, observe: Observe, *, busy: Callable[[], bool], within: Within = untraced
    ) -> None:
        self._store = store
        self._observe = observe
        self._busy = busy
        self._within = within
        self._stack = AsyncExitStack()
        self.sinks = Outlets(store, observe)

    async def open(self, settings: Settings) -> None:
        """Build everything by *settings*, and open the sinks; nothing moves yet.

        Raises:
            StibgateError: What is in the way; `close` then lets go of what was opened.
        """
        self._stack.push_async_callback(self.sinks.close_all)
        outlets = self.sinks.build(settings)
        await self.sinks.open_all(outlets)
        self.dispatcher = self._dispatcher(outlets)
        self.worker = Worker(
            self._store, self._fanout(settings, outlets), self.dispatcher, now_ms=now_ms, busy=self._busy
        )
        self.intake = await self._intake(settings)
        await self._store.recover_runs(now_ms=now_ms())
        if readback_of(settings) is Readback.NEVER:
            await self._store.forgo_results()
        self.buying = Buying(self._store, self._take_job, self.worker.wake, self._observe)
        self._stack.push_async_callback(self.buying.close)
        self.buying.turn_to(await self.buying.prepare(settings))

    async def start(self) -> int:
        """Begin to forward and to ask; return how many tasks an earlier process left leased."""
        recovered = await self.worker.start()
        self.buying.start()
        return recovered

    async def stop(self, left_s: Callable[[], float]) -> None:
        """Begin nothing more, and let what runs end within *left_s*."""
        await self.buying.stop(drain_timeout_s=left_s())
        await self.worker.stop(drain_timeout_s=left_s())

    async def close(self) -> None:
        """Let go of vendors and sinks."""
        await self._stack.aclose()

    async def prepare(self, settings: Settings, before: Settings) -> Plan:
        """Return what *settings* make of the way; all that may fail is done here, and nothing is changed.

        Raises:
            StibgateError: Something cannot be had.
        """
        outlets = self.sinks.build(settings, before=before, known=self.dispatcher.outlets)
        intake = await self._intake(settings)
        return Plan(settings, intake, outlets, await self.buying.prepare(settings, before))

    def turn_to(self, plan: Plan) -> None:
        """Take up *plan* in one step; what has begun ends as it began."""
        self.intake = plan.intake
        self.dispatcher = self._dispatcher(plan.outlets)
        self.worker.turn_to(self._fanout(plan.settings, plan.outlets), self.dispatcher, self.sinks.hand_over)
        self.buying.turn_to(plan.parts)

    async def forgo_results(self, settings: Settings, before: Settings) -> None:
        """Say of what waits for a read-back that there will be none, when that is new; the next start does it too."""
        if readback_of(settings) is Readback.NEVER and readback_of(before) is not Readback.NEVER:
            with suppress(StoreError):
                await self._store.forgo_results()

    def _dispatcher(self, outlets: Mapping[str, Outlet]) -> Dispatcher:
        return Dispatcher(
            self._store,
            outlets,
            now_ms=now_ms,
            jitter=jitter,
            hash_key=self._store.hash_key,
            observe=self._observe,
            within=self._within,
        )

    def _fanout(self, settings: Settings, outlets: Mapping[str, Outlet]) -> Fanout:
        return Fanout(
            self._store,
            settings.router(),
            settings.normalise.rules(),
            now_ms=now_ms,
            new_id=lambda: new_id("tsk"),
            first_delays_s={name: outlet.policy.schedule_s[0] for name, outlet in outlets.items()},
            readback=readback_of(settings),
            on_job=lambda: self.buying.wake(),  # noqa: PLW0108  (it is made later)
            take_job=self._take_job,
            observe=self._observe,
        )

    async def _intake(self, settings: Settings) -> Intake:
        pins = await self._store.pins()
        return intake_of(settings, self._store, pins=pins, on_admitted=self.worker.wake)

    async def _take_job(self, source: str, event_type: str, body: bytes) -> tuple[Delivery, Admission]:
        return await self.intake.take_job(source, event_type, body)
