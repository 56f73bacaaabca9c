"""The pipeline with a vendor, put together as `app.gateway` and `app.jobs` do, over whatever store and API it is given."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from stibgate.domain.delivery import Admission, Delivery
from stibgate.domain.routing import Condition, Route, Router
from stibgate.normalise import Rules
from stibgate.pipeline.alarms import Alarm
from stibgate.pipeline.asking import Line
from stibgate.pipeline.dispatch import Outlet
from stibgate.pipeline.errands import Errands
from stibgate.pipeline.fanout import Fanout, Readback
from stibgate.pipeline.jobdesk import JobDesk
from stibgate.pipeline.purchase import Buyer
from stibgate.pipeline.readback import ResultFetcher
from stibgate.pipeline.reconcile import Jobs, Reconciler
from stibgate.pipeline.worker import Worker
from stibgate.signatures import Secret
from stibgate.web.limits import InFlight, RateLimiter
from stibgate.web.receiver import Receiver, ReceiverSettings
from tests.pipeline.world import make_dispatcher, make_intake, make_source
from tests.simulation.mortals import MortalApi, MortalJobs
from tests.simulation.searches import BUDGETS
from tests.virtual import now_ms

SOURCE = "jobs"
ROUTER = Router(
    [
        Route("all", Condition(), ("drop",), go_on=True),
        Route("reachable", Condition(has=frozenset({"business_email"})), ("crm",)),
    ]
)


class VendorParts:
    """One process.

    Args:
        store: All that it remembers.
        api: The vendor.
        outlets: Where records go.
        secret: What the vendor signs with.
        new_id: Makers of ids, by prefix.
        jitter: A random number from 0 to 1.
        readback: Which events are completed by the API.
        reconcile_after_s: When a job is asked for.
    """

    def __init__(
        self,
        store: MortalJobs,
        api: MortalApi,
        outlets: Mapping[str, Outlet],
        secret: str,
        new_id: Mapping[str, Callable[[], str]],
        jitter: Callable[[], float],
        *,
        readback: Readback,
        reconcile_after_s: float,
    ) -> None:
        self._store = store
        line = Line(now_ms, jitter)
        fanout = Fanout(
            store,
            ROUTER,
            Rules(),
            now_ms=now_ms,
            new_id=new_id["tsk"],
            readback=readback,
            on_job=self._wake,
            take_job=self._hand_over,
        )
        self._worker = Worker(store, fanout, make_dispatcher(store, outlets, now_ms=now_ms), now_ms=now_ms)
        self._intake = make_intake(
            store,
            make_source(SOURCE, secrets=[Secret(secret, "1")]),
            now_ms=now_ms,
            router=ROUTER,
            readback=True,
            new_id=new_id["dlv"],
            on_admitted=self._worker.wake,
        )
        after_ms = round(reconcile_after_s * 1000)
        buyer = Buyer(store, api, now_ms, asyncio.sleep, new_id["run"], after_ms, on_taken=self._worker.wake)
        reconciler = Reconciler(
            Jobs(
                store, store, store.read, api, line, buyer, self._take, BUDGETS, _no_alarms,
                reconcile_after_s, continue_pages=True,
            )
        )  # fmt: skip
        self._errands = Errands([ResultFetcher(store, api, line, self._worker.wake), reconciler], now_ms=now_ms)
        self.desk = JobDesk(store, store.read, buyer, reconciler, BUDGETS, now_ms, self._errands.wake)
        self.receiver = Receiver(
            self._intake,
            ReceiverSettings(32 * 2**20, 10.0),
            limiter=RateLimiter(rate=200, burst=200),
            in_flight=InFlight(64, 2**28),
            check_space=lambda: None,
            new_request_id=new_id["req"],
        )

    async def start(self) -> None:
        """Take over what an earlier process left, and begin."""
        await self._store.recover_runs(now_ms=now_ms())
        await self._worker.start()
        self._errands.start()

    async def bury(self) -> None:
        """Make sure that nothing goes on; a dead process gives nothing back."""
        running = (attempt for lane in self._worker._lanes for attempt in lane._running)
        tasks = [
            task
            for task in (*self._worker._loops, *self._worker._lanes._loops.values(), self._errands._loop, *running)
            if task is not None
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _wake(self) -> None:
        self._errands.wake()

    async def _hand_over(self, source: str, event_type: str, body: bytes) -> tuple[Delivery, Admission]:
        return await self._intake.take_job(source, event_type, body)

    async def _take(self, event_type: str, body: bytes) -> Admission:
        _, admission = await self._hand_over(SOURCE, event_type, body)
        return admission


async def _no_alarms() -> Sequence[Alarm]:
    return ()
