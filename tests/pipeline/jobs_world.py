"""A house that buys: a vendor that follows a script, and everything that asks it, over one store and one clock."""

import json
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from stibgate.domain.budget import Budget, Period, Unit, window
from stibgate.domain.event import JOB_SUCCEEDED
from stibgate.errors import VendorError, VendorRefused, VendorUnavailable
from stibgate.normalise import Rules
from stibgate.pipeline.alarms import found_in, uses_in
from stibgate.pipeline.asking import Line
from stibgate.pipeline.dispatch import Outlet
from stibgate.pipeline.fanout import Fanout, Readback
from stibgate.pipeline.jobdesk import JobDesk
from stibgate.pipeline.purchase import Buyer
from stibgate.pipeline.readback import ResultFetcher
from stibgate.pipeline.reconcile import Jobs, Reconciler
from stibgate.sandbox.stibnite.documents import encode, job_event
from stibgate.stores import DeliveryFilter, JobFilter, TaskFilter
from stibgate.stores.memory import MemoryStore
from stibgate.stores.sqlite import SqliteStore
from stibgate.vendors.stibnite import Job, NewJob, Usage
from tests.pipeline.world import (
    POLICY,
    Clock,
    ScriptedSink,
    ids,
    make_dispatcher,
    make_intake,
    make_source,
    receive,
    signed,
    to_sinks,
)

RECONCILE_AFTER_S = 120.0
CREDITS = Unit.STIBNITE_CREDIT_UNIT
AFAR = VendorUnavailable("POST /v1/persons/search/jobs: no connection")
LIMITED = VendorUnavailable("POST /v1/persons/search/jobs: 429", retry_after_s=7.0)
IN_DOUBT = VendorUnavailable("POST /v1/persons/search/jobs: no answer in time", maybe_done=True)
UNKNOWN = VendorRefused(404, "GET /v1/persons/search/jobs/{job_id}: 404")
BAD = VendorRefused(400, "POST /v1/persons/search/jobs: 400: bad cursor")


def budget(limit: int | str = 100, *, confirm_above: int | None = None, unit: Unit = CREDITS) -> Budget:
    """Return the budget `ops`, of a month."""
    confirm = None if confirm_above is None else Decimal(confirm_above)
    return Budget("ops", unit, Decimal(limit), Period.MONTH, confirm)


def person(number: int) -> dict[str, Any]:
    """Return an invented person."""
    return {"person_id": f"person_{number}", "first_name": "Zoë", "company": {"name": "Acme", "state": "ID"}}


def document(
    job_id: str, status: str = "succeeded", *, people: int = 2, first: int = 0, **fields: Any
) -> dict[str, Any]:
    """Return a job as the vendor's API answers it; a field that is None is left out."""
    job: dict[str, Any] = {"job_id": job_id, "status": status}
    if status == "succeeded":
        job |= {
            "pagination": {"limit": 100, "next_cursor": None},
            "data": [person(number) for number in range(first, first + people)],
            "billable_records": people,
        }
    if status == "failed":
        job["error"] = "the search failed"
    return {name: value for name, value in {**job, **fields}.items() if value is not None}


def full(job: Mapping[str, Any], event_type: str = JOB_SUCCEEDED) -> bytes:
    """Return the event that carries *job*."""
    return encode(job_event(event_type, job))


def thin(job_id: str, event_type: str = JOB_SUCCEEDED) -> bytes:
    """Return an event that only names its job."""
    return encode({"event": event_type, "job_id": job_id})


def fresh(error: BaseException) -> BaseException:
    """Return a copy of *error*: whoever catches one may add to it."""
    copy = type(error).__new__(type(error), *error.args)
    copy.__dict__.update(vars(error))
    return copy


Act = BaseException | Mapping[str, Any] | bytes | Callable[[], Any]


@dataclass
class Vendor:
    """The vendor's API by script: an error is raised, a document or bytes answered, a function awaited first.

    Attributes:
        jobs: What it knows, by id.
        on_create: What the next submissions do, then it takes them.
        on_read: What the next questions get, then the truth.
        created: Every submission that it saw.
        reads: Every job id that it was asked for.
        people: How many people a search finds.
        used: What it billed.
    """

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    on_create: list[Act] = field(default_factory=list)
    on_read: list[Act] = field(default_factory=list)
    created: list[NewJob] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    people: int = 250
    used: int | BaseException = 0

    async def create_job(self, job: NewJob) -> Job:
        self.created.append(job)
        act = self.on_create.pop(0) if self.on_create else None
        if callable(act):
            await act()
        job_id = f"job_{len(self.created)}"
        if not isinstance(act, VendorError) or act.maybe_done:
            self.jobs[job_id] = {"job_id": job_id, "status": "queued"}
        if isinstance(act, BaseException):
            raise fresh(act)
        return Job.model_validate(self.jobs[job_id])

    def finish(self, number: int = 0, **fields: Any) -> str:
        """Let submission *number* (from 1, else the last) succeed with its page; return its job id."""
        number = number or len(self.created)
        asked, job_id = self.created[number - 1], f"job_{number}"
        first = int(asked.cursor) if (asked.cursor or "").isdigit() else 0
        count = max(min(asked.limit, self.people - first), 0)
        following = str(first + count) if first + count < self.people else None
        page = {"pagination": {"limit": asked.limit, "next_cursor": following}}
        self.jobs[job_id] = document(job_id, **{"people": count, "first": first, **page, **fields})
        return job_id

    async def read_job(self, job_id: str) -> tuple[Job, bytes]:
        self.reads.append(job_id)
        act = self.on_read.pop(0) if self.on_read else None
        if isinstance(act, BaseException):
            raise fresh(act)
        if isinstance(act, bytes):
            return Job.model_validate(self.jobs[job_id]), act
        if callable(act):
            await act()
        found = act if isinstance(act, Mapping) else self.jobs.get(job_id)
        if found is None:
            raise VendorRefused(404, UNKNOWN.message)
        return Job.model_validate(found), json.dumps(found).encode()

    async def usage(self) -> Usage:
        if isinstance(self.used, BaseException):
            raise self.used
        return Usage(requests=1, billable_records=self.used)


@dataclass
class House:
    """Everything that buys and asks over *store*; what it does, it does when it is told."""

    store: Any
    readback: Readback = Readback.AUTO
    adopt_unknown: bool = True
    sinks: tuple[str, ...] = ("drop",)
    budgets: dict[str, Budget] = field(default_factory=dict)
    continue_pages: bool = False
    has_door: bool = True
    schemes: Any = None
    clock: Clock = field(default_factory=Clock)
    sink: ScriptedSink = field(default_factory=ScriptedSink)
    new_ids: Callable[[str], Callable[[], str]] = ids
    vendor: Vendor = field(default_factory=Vendor)
    woken: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = {} if self.schemes is None else {"schemes": self.schemes}
        self.line = Line(self.clock, lambda: 0.5)
        self.intake = make_intake(
            self.store,
            make_source(**settings),
            router=to_sinks(*self.sinks),
            now_ms=self.clock,
            readback=self.readback is not Readback.NEVER,
            adopt_unknown=self.adopt_unknown,
            new_id=self.new_ids("dlv"),
            on_admitted=lambda: self.woken.append("admitted"),
        )
        self.fanout = self._fanout()
        self.fetcher = ResultFetcher(self.store, self.vendor, self.line, lambda: self.woken.append("fetched"))
        self.buyer = Buyer(
            self.store,
            self.vendor,
            self.clock,
            self._sleep,
            self.new_ids("run"),
            round(RECONCILE_AFTER_S * 1000),
            lambda: self.woken.append("taken"),
            self.continue_pages,
        )
        self.reconciler = Reconciler(self._jobs())
        self.desk = JobDesk(self.store, self.read, self.buyer, self.reconciler, self.budgets, self.clock)
        outlets = {name: Outlet(self.sink, POLICY) for name in self.sinks}
        self._dispatcher = make_dispatcher(self.store, outlets, now_ms=self.clock)

    def _fanout(self) -> Fanout:
        return Fanout(
            self.store,
            to_sinks(*self.sinks),
            Rules(),
            now_ms=self.clock,
            new_id=self.new_ids("tsk"),
            readback=self.readback,
            on_job=lambda: self.woken.append("job"),
            take_job=self.intake.take_job,
        )

    def _jobs(self) -> Jobs:
        async def door(event_type: str, body: bytes) -> Any:
            return (await self.intake.take_job("stib", event_type, body))[1]

        return Jobs(
            self.store,
            self.store,
            self.read,
            self.vendor,
            self.line,
            self.buyer,
            door if self.has_door else None,
            self.budgets,
            self._alarms,
            RECONCILE_AFTER_S,
            self.continue_pages,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    async def _alarms(self) -> Any:
        now_ms = self.clock()
        return found_in(self.ledger, uses_in(self.ledger, self.budgets.values(), now_ms), now_ms=now_ms)

    @property
    def ledger(self) -> Any:
        """What people read."""
        return self.store.ledger if isinstance(self.store, SqliteStore) else self.store

    async def read(self, query: Callable[[Any], Any]) -> Any:
        return query(self.ledger)

    # -- what happens

    async def post(self, body: bytes, **settings: Any) -> str:
        """Send an event as the vendor would; return its delivery's id."""
        how = {"at_ms": self.clock(), **settings}
        if self.schemes is not None:
            how["scheme"] = self.schemes[0]
        receipt = await receive(self.intake, body, signed(body, **how))
        self.answers.append(str(receipt.status))
        return receipt.delivery_id

    async def process(self) -> None:
        """Process everything that is accepted."""
        while await self.fanout.run_once():
            pass

    async def poll(self, seconds: float = 0.0) -> None:
        """Let the reconciler look once, *seconds* later."""
        self.clock.advance(seconds)
        await self.reconciler.run_once()

    async def deliver(self) -> None:
        """Make an attempt for every task that is due."""
        for sink in self.sinks:
            for task in (await self.store.claim(sink, POLICY, now_ms=self.clock(), limit=99)).tasks:
                await self._dispatcher.attempt(task)

    async def settle_all(self, hours: float = 2.0) -> None:
        """Do whatever is due until nothing is, for so long."""
        until_ms = self.clock() + round(hours * 3_600_000)
        while self.clock() < until_ms:
            await self.process()
            await self.deliver()
            if not (await self.fetcher.run_once() or await self.reconciler.run_once()):
                due = [due_ms for each in (self.fetcher, self.reconciler) if (due_ms := await each.next_due_ms())]
                self.clock.ms = max(min(due), self.clock() + 1)

    # -- what is seen

    def deliveries(self) -> list[Any]:
        """Return every delivery, oldest first."""
        return list(reversed(self.ledger.deliveries(DeliveryFilter(), limit=None)))

    def state(self, delivery_id: str) -> tuple[str, str | None]:
        """Return the state of a delivery, and why."""
        stored = self.ledger.delivery(delivery_id)
        return str(stored.state), None if stored.reason is None else str(stored.reason)

    def runs(self) -> list[Any]:
        """Return every job, oldest first."""
        return list(reversed(self.ledger.jobs(JobFilter(), limit=None)))

    def run(self) -> Any:
        """Return the one job that there is."""
        (job,) = self.runs()
        return job

    def held(self) -> list[str]:
        """Return whom the sink has, everybody as often as it has them."""
        return sorted(who for task in self.sink.held.values() for who in task)

    def tasks(self) -> int:
        """Return how many tasks there ever were."""
        return len(self.ledger.tasks(TaskFilter(), limit=None))

    def spent(self, name: str = "ops") -> tuple[int, int]:
        """Return (reserved, settled) of this month."""
        spent = self.ledger.spent(name, window(Period.MONTH, self.clock()).name)
        return int(spent.reserved), int(spent.settled)


async def bought(house: House, limit: int = 2, *, name: str | None = "ops", **fields: Any) -> str | None:
    """Return the id of a job that is submitted."""
    wanted = NewJob("CMOs", limit=limit, **fields)
    return (await house.desk.submit(wanted, name, confirmed=False, by="me")).job_id


def shared_ids() -> Callable[[str], Callable[[], str]]:
    """Return what makes makers of ids that go on where an earlier house ended."""
    makers: dict[str, Callable[[], str]] = {}
    return lambda prefix: makers.setdefault(prefix, ids(prefix))


@asynccontextmanager
async def opened(kind: str, folder: Path):
    """Give an empty store of *kind*; what it holds afterwards must be sound."""
    if kind == "memory":
        yield MemoryStore()
        return
    store = SqliteStore(folder / "stibgate.db", durability="normal")
    try:
        yield store
        assert list(store.ledger.check()) == []
    finally:
        await store.close()
