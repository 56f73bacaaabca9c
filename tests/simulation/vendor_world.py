"""Two hours with a vendor, in virtual time: its sandbox behind real sockets, the whole pipeline over a real store.

The world has four kinds of inhabitants that outlive every process of ours: the vendor, the door in front of us (which
answers 503 while nobody is behind it), users who want searches, and an operator who says what became of a doubtful
run. What a seed draws is the same in every run; how a run is disturbed is a `Disturbance`.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from stibgate.app.listeners import listen, public_runner
from stibgate.app.parts import SinkMemory
from stibgate.domain.job import OPEN, Job, JobState
from stibgate.errors import JobBusy, VendorError
from stibgate.pipeline.dispatch import Outlet
from stibgate.pipeline.fanout import Readback
from stibgate.pipeline.jobdesk import JobDesk
from stibgate.sandbox.stibnite import Pace, StibniteSandbox
from stibgate.sinks import SinkContext
from stibgate.sinks.drops import DropSettings
from stibgate.stores import JobFilter, Ledger
from stibgate.stores.ledger import open_ledger
from stibgate.stores.memory import MemoryStore
from stibgate.stores.sqlite import SqliteStore
from stibgate.vendors.retry import Means, Patience
from stibgate.vendors.stibnite import NewEndpoint, NewJob, StibniteClient
from stibgate.web.receiver import Receiver
from tests.pipeline.world import ids
from tests.simulation.mortals import Crm, FatedProcess, MortalApi, MortalJobs
from tests.simulation.searches import THIN_S, Search, draw
from tests.simulation.sockets import SocketLoop
from tests.simulation.vendor_parts import SOURCE, VendorParts
from tests.simulation.world import POLICY, Crash, outside
from tests.virtual import now_ms

MINUTE_S = 60
LOST_FROM_S, LOST_UNTIL_S = 30 * MINUTE_S, 90 * MINUTE_S
END_S = 155 * MINUTE_S
RECONCILE_AFTER_S = 120.0
DOWN_S = 45
PACE = Pace(job_step_s=15.0, fault_delay_s=400.0, retry_delay_s=5.0)


@dataclass(frozen=True)
class Disturbance:
    """What goes wrong in a run.

    Attributes:
        faults: (from second, the vendor's faults from then on).
        resent_at_s: When the vendor sends again every event that nobody has taken.
        deaths: The step at which each process dies, by its number or by its name and how often it was reached.
    """

    faults: Sequence[tuple[float, Mapping[str, float]]] = ()
    resent_at_s: float | None = None
    deaths: Sequence[int | tuple[str, int]] = ()


def lost_hour(*, during: Mapping[str, float] | None = None, after: Mapping[str, float] | None = None) -> Disturbance:
    """Return an hour without a webhook; *during* twenty minutes of it the API has faults, *after* it the events."""
    none = {"drop": 1.0}
    return Disturbance(
        [
            (LOST_FROM_S, none),
            (LOST_FROM_S + 10 * MINUTE_S, {**none, **(during or {})}),
            (LOST_FROM_S + 30 * MINUTE_S, none),
            (LOST_UNTIL_S, after or {}),
        ]
    )


@dataclass
class Life:
    """The parts of one process."""

    process: FatedProcess
    desk: JobDesk
    receiver: Receiver


class VendorWorld:
    """What one seed means, one way of disturbing it, and what is left of both.

    Args:
        seed: What people search for and when, and who the vendor sells.
        folder: Where the drops are, and the store unless it is *in_memory*.
        disturbance: What goes wrong.
        readback: Which events are completed by the API.
        reconcile_after_s: When a job is asked for.
    """

    def __init__(
        self,
        seed: int,
        folder: Path,
        disturbance: Disturbance,
        *,
        in_memory: bool = False,
        readback: str = "auto",
        reconcile_after_s: float = RECONCILE_AFTER_S,
    ) -> None:
        self.seed, self.folder, self.disturbance = seed, folder, disturbance
        self.readback, self.reconcile_after_s = Readback(readback), reconcile_after_s
        self.path = None if in_memory else folder / "stibgate.db"
        self.memory = MemoryStore()
        self.searches = draw(random.Random(seed))
        self.crm = Crm(seed)
        self.lives = self.resolved = 0
        self.life: Life | None = None
        self._new_id = {kind: ids(kind) for kind in ("dlv", "tsk", "run", "req")}
        self._jitter = random.Random(f"jitter {seed}").random

    @property
    def drops(self) -> Path:
        return self.folder / "drops"

    def run(self) -> "VendorWorld":
        """Live until the end; return the world itself."""
        with asyncio.Runner(loop_factory=SocketLoop) as runner:
            runner.run(self._run())
        return self

    def ledger(self) -> Ledger:
        """Open what is left, for reading."""
        return self.memory if self.path is None else open_ledger(self.path)

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            await self._open_vendor(stack)
            ends = asyncio.get_running_loop().time() + END_S
            others = [self._weather(), self._operate(), *map(self._want, self.searches)]
            tasks = [asyncio.create_task(other) for other in others]
            for death in (*self.disturbance.deaths, None):
                by_name = isinstance(death, tuple)
                await self._live(FatedProcess(None, fate=death) if by_name else FatedProcess(death), ends)
                await asyncio.sleep(0 if death is None else DOWN_S)
            for task in tasks:
                if task.done():
                    task.result()  # what an inhabitant died of is a bug of the world
                else:
                    assert task is tasks[1], "somebody still waits for a search"
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.billed = self.vendor._account.billable_records
            self.sent = list(self.vendor.sent)
            self.vendor_jobs = dict(self._vendor_jobs._jobs)

    async def _open_vendor(self, stack: AsyncExitStack) -> None:
        """Open the vendor, the door in front of us, and the account that leads from one to the other."""
        self.vendor = StibniteSandbox(seed=self.seed, now=lambda: now_ms() / 1000, pace=PACE)
        runner = web.AppRunner(self.vendor.app(), access_log=None, handle_signals=False)
        self._url = await _listen(runner, stack)
        door = await _listen(public_runner(self._door, keepalive_s=5), stack)
        self._own = await stack.enter_async_context(self._client())
        endpoint = await self._own.create_endpoint(NewEndpoint(f"{door}/hooks/{SOURCE}"))
        self._secret = endpoint.signing_secret.get_secret_value()

    def _client(self) -> StibniteClient:
        means = Means(now=lambda: now_ms() / 1000, sleep=asyncio.sleep, jitter=self._jitter)
        return StibniteClient(self._url, SecretStr(self.vendor.api_key), means=means, patience=Patience(tries_max=1))

    async def _door(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer for whoever is behind the door: 503 when nobody is, 502 when they die over it."""
        if self.life is None or self.life.process.died.is_set():
            return web.Response(status=503)
        try:
            return await self.life.receiver.handle(request)
        except Crash:
            return web.Response(status=502)

    async def _weather(self) -> None:
        """Let go wrong what shall; and let the vendor's events be thin at the times when they are."""
        moments: list[tuple[float, Callable[[], Awaitable[None]]]] = []
        moments += [(at_s, lambda now=faults: self._spoil(now)) for at_s, faults in self.disturbance.faults]
        moments += [(at_s, lambda now=thin: self._thin(now)) for at_s, thin in THIN_S]
        if self.disturbance.resent_at_s is not None:
            moments.append((self.disturbance.resent_at_s, self._resend))
        began_s = asyncio.get_running_loop().time()
        for at_s, act in sorted(moments, key=lambda moment: moment[0]):
            await asyncio.sleep(began_s + at_s - asyncio.get_running_loop().time())
            await act()

    async def _spoil(self, faults: Mapping[str, float]) -> None:
        self.vendor.faults = faults

    async def _thin(self, thin: bool) -> None:  # noqa: FBT001  (the only thing it is about)
        self._vendor_jobs._thin = thin

    async def _resend(self) -> None:
        for number, sent in enumerate(list(self.vendor.sent)):
            if not sent.taken:
                await self.vendor.resend(number)

    @property
    def _vendor_jobs(self) -> Any:
        return self.vendor._rooms[0]

    async def _want(self, search: Search) -> None:
        """Be a user: submit a search once, however often that takes."""
        await asyncio.sleep(search.at_s)
        while not await self._alive(lambda life: self._submit(life, search)):
            await asyncio.sleep(30)

    async def _submit(self, life: Life, search: Search) -> bool:
        jobs = await life.desk.read(lambda ledger: ledger.jobs(JobFilter(), limit=None))
        if any(job.by == search.name for job in jobs):
            return True
        if search.after is not None and not _over([job for job in jobs if job.by == search.after]):
            return False
        try:
            await life.desk.submit(search.wanted, search.budget, confirmed=True, by=search.name)
        except JobBusy:
            return False
        except VendorError as error:
            return error.maybe_done
        return True

    async def _operate(self) -> None:
        """Be an operator: every five minutes say of each doubtful run which job it is, asking for it where it is none."""
        while True:
            await asyncio.sleep(5 * MINUTE_S)
            await self._alive(self._resolve_all)

    async def _resolve_all(self, life: Life) -> bool:
        jobs = await life.desk.read(lambda ledger: ledger.jobs(JobFilter(), limit=None))
        ours = {job.job_id for job in jobs if job.asked is not None}
        for run in [job for job in jobs if job.state is JobState.DOUBTFUL]:
            asked = NewJob(**(run.asked or {}))
            there = [id_ for id_, job in self._vendor_jobs._jobs.items() if id_ not in ours and _same(job.asked, asked)]
            with contextlib.suppress(VendorError):
                job_id = there[0] if there else (await self._own.create_job(asked)).job_id
                await life.desk.resolve(run.run_id, job_id, by="operator")
                ours.add(job_id)
                self.resolved += 1
        return True

    async def _alive(self, act: Callable[[Life], Awaitable[bool]]) -> bool:
        """Return what *act* returns; False when nobody is there, or dies over it."""
        if self.life is None or self.life.process.died.is_set():
            return False
        with contextlib.suppress(Crash):
            return await act(self.life)
        return False

    async def _live(self, process: FatedProcess, ends_s: float) -> None:
        """Run one process until the end of the world or its own."""
        self.lives += 1
        async with AsyncExitStack() as stack:
            store: Any = self.memory
            if self.path is not None:
                store = SqliteStore(self.path, durability="normal")
                stack.push_async_callback(lambda: outside(store.close()))
            with contextlib.suppress(Crash):
                await self._start(store, process, stack)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(ends_s):
                        await process.died.wait()
            self.life = None

    async def _start(self, store: Any, process: FatedProcess, stack: AsyncExitStack) -> None:
        client = await stack.enter_async_context(self._client())
        parts = VendorParts(
            MortalJobs(store, process),
            MortalApi(client, process),
            await self._open_outlets(stack),
            self._secret,
            self._new_id,
            self._jitter,
            readback=self.readback,
            reconcile_after_s=self.reconcile_after_s,
        )
        stack.push_async_callback(parts.bury)
        await parts.start()
        self.life = Life(process, parts.desk, parts.receiver)

    async def _open_outlets(self, stack: AsyncExitStack) -> Mapping[str, Outlet]:
        settings = DropSettings.model_validate({"kind": "csv", "dir": self.drops})
        drop = settings.build(SinkContext("drop", now_ms, self._jitter, SinkMemory("drop", self.memory)))
        await drop.open()
        stack.push_async_callback(drop.close)
        return {"drop": Outlet(drop, POLICY), "crm": Outlet(self.crm, POLICY)}


async def _listen(runner: web.BaseRunner, stack: AsyncExitStack) -> str:
    """Open *runner* on a free port until *stack* is unwound; return its URL."""
    return await listen(runner, ("127.0.0.1", 0), "server.bind", stack)


def _over(jobs: Sequence[Job]) -> bool:
    """Return whether a search of these pages has come to its end."""
    return bool(jobs) and not any(job.state in OPEN or job.more for job in jobs)


def _same(theirs: Any, ours: NewJob) -> bool:
    """Return whether the vendor's job is the one that we asked for."""
    return theirs == type(theirs).model_validate(ours.body())
