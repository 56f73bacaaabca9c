"""The parts that buy jobs and look after them, put together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TypeVar

from stibgate.app.clock import jitter, new_id, now_ms
from stibgate.app.parts import intake_of, job_sources, open_for_command
from stibgate.app.vendors import stibnite_client
from stibgate.config import Settings
from stibgate.domain.delivery import Admission, Delivery
from stibgate.domain.fact import Observe, unobserved
from stibgate.pipeline.alarms import Alarm, found_in, uses_in
from stibgate.pipeline.asking import Line
from stibgate.pipeline.audit import Auditor
from stibgate.pipeline.errands import Errands
from stibgate.pipeline.jobdesk import JobDesk
from stibgate.pipeline.purchase import Buyer
from stibgate.pipeline.readback import ResultFetcher
from stibgate.pipeline.reconcile import Door, Jobs, Reconciler
from stibgate.stores import Ledger
from stibgate.stores.sqlite import SqliteStore
from stibgate.vendors.retry import Patience

T = TypeVar("T")
TakeJob = Callable[[str, str, bytes], Awaitable[tuple[Delivery, Admission]]]

ONE_TRY = Patience(tries_max=1)
"""The background has a patience of its own, kept in the store."""


def job_source(settings: Settings) -> str | None:
    """Return the source whose events are those of jobs that are asked for: the first of its kind."""
    return next(iter(job_sources(settings)), None)


class JobParts:
    """Everything that asks Stibnite about jobs; needs an API key.

    Args:
        settings: The configuration.
        store: The open store.
        take_job: Where jobs come in that were asked for: `Intake.take_job`.
        on_accepted: Called when a delivery can be processed.
        before: The parts that these take the place of. What they are buying stays known, and no two ask for the next
            page of one search.
        observe: Told of each exchange with the vendor.

    Raises:
        ConfigError: There is no API key.
    """

    def __init__(
        self,
        settings: Settings,
        store: SqliteStore,
        take_job: TakeJob,
        on_accepted: Callable[[], None],
        before: "JobParts | None" = None,
        observe: Observe = unobserved,
    ) -> None:
        budgets = {name: settings.budget(name) for name in settings.budgets}
        self.client = stibnite_client(settings, patience=ONE_TRY, observe=observe)
        line = Line(now_ms, jitter)
        after_s = settings.stibnite.reconcile_after
        buyer = Buyer(
            store,
            self.client,
            now_ms,
            asyncio.sleep,
            lambda: new_id("run"),
            round(after_s * 1000),
            on_accepted,
            settings.stibnite.continue_pages,
        )
        if before is not None:
            buyer = before.buyer.taken_over_by(buyer)
        self.buyer: Buyer = buyer

        def money(ledger: Ledger) -> Sequence[Alarm]:
            moment = now_ms()
            return found_in(ledger, uses_in(ledger, budgets.values(), moment), now_ms=moment)

        jobs = Jobs(
            store,
            store,
            store.read,
            self.client,
            line,
            buyer,
            _door(take_job, job_source(settings)),
            budgets,
            lambda: store.study(money),
            after_s,
            settings.stibnite.continue_pages,
        )
        reconciler = Reconciler(jobs, None if before is None else before.reconciler.going_on)
        self.reconciler: Reconciler = reconciler
        self.errands = Errands(
            [ResultFetcher(store, self.client, line, on_accepted), reconciler], now_ms=now_ms
        )  # fmt: skip
        takes_jobs = jobs.door is not None
        self.desk = JobDesk(store, store.study, buyer, reconciler, budgets, now_ms, self.errands.wake, takes_jobs)


def _door(take_job: TakeJob, source: str | None) -> Door | None:
    if source is None:
        return None

    async def take(event_type: str, body: bytes) -> Admission:
        _, admission = await take_job(source, event_type, body)
        return admission

    return take


async def operate_jobs(settings: Settings, work: Callable[[JobDesk, Auditor], Awaitable[T]]) -> T:
    """Return what *work* returns, done on a store that no service is using.

    Raises:
        ConfigError: There is no API key.
        StoreLocked: A service is running on it.
        SchemaTooNew: A newer stibgate wrote it.
    """
    stibnite_client(settings)  # raises before a store is made
    async with AsyncExitStack() as stack:
        store = open_for_command(settings)
        stack.push_async_callback(store.close)
        intake = intake_of(settings, store, pins={}, on_admitted=lambda: None)
        parts = JobParts(settings, store, intake.take_job, lambda: None)
        await stack.enter_async_context(parts.client)
        await store.recover_runs(now_ms=now_ms())
        return await work(parts.desk, Auditor(store, now_ms))
