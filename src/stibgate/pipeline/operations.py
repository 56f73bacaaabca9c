"""What operators ask for: send again, cancel, pause, resume. First a plan that anybody may read, then the writes.

A replay leaves out what is done unless everything is asked for, goes the same way as the original, and is noted.
Reading and writing are two steps: what changed in between (a task was leased meanwhile) is counted as what it was
when it was written. A page is read, done, and the next one read: pages go by the order in which things came, which
nothing changes, so none is skipped or met twice, and what comes meanwhile is not meant.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeVar

import structlog

from stibgate.domain.circuit import CircuitState
from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.fact import CircuitMoved, Observe, Replayed, unobserved
from stibgate.domain.record import lookup_hash
from stibgate.domain.routing import Router
from stibgate.domain.task import Task, TaskState
from stibgate.errors import UsageError
from stibgate.pipeline.fanout import provenance_of
from stibgate.stores import (
    DeliveryFilter,
    Desk,
    Ledger,
    NewTask,
    Replay,
    ReplayResult,
    TaskFilter,
)

log = structlog.get_logger("stibgate.operations")

T = TypeVar("T")
PAGE = 200

CANCELLABLE = frozenset({TaskState.QUEUED, TaskState.WAITING, TaskState.PAUSED, TaskState.DEAD})


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries or tasks are meant: those with the *ids*, or without any those that *where* holds for.

    Attributes:
        ids: Delivery ids; for tasks task ids, or delivery ids for all tasks of those.
        where: A `DeliveryFilter` means deliveries, a `TaskFilter` tasks.
        identifiers: (kind, value) pairs of which one must name a person in it.
        sink: Only what is owed to this sink.
    """

    where: DeliveryFilter | TaskFilter
    ids: Sequence[str] = ()
    identifiers: Sequence[tuple[str, str]] = ()
    sink: str | None = None


@dataclass(slots=True)
class Report:
    """What was done, or with *dry_run* would be.

    Attributes:
        records: How many records wait again, or do not wait any more.
        results: Tasks and deliveries by what became of them.
        sinks: Records by sink; those of deliveries that are processed again are in no sink yet.
        unknown: Ids that name nothing.
    """

    dry_run: bool
    records: int = 0
    results: Counter[str] = field(default_factory=Counter)
    sinks: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Progress:
    """What can be seen of a replay while it runs, and how it is ended early.

    Attributes:
        report: What was done so far.
        done: How many of the deliveries or tasks that are meant it has come to.
        stopped: Set it, and no more is begun.
    """

    report: Report = field(default_factory=lambda: Report(dry_run=False))
    done: int = 0
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing that a replay does.

    Attributes:
        task: The task to send again; None for a whole delivery, or for a new task.
        new: The sink and the positions of a task that the delivery does not have yet.
    """

    delivery_id: str
    verdict: ReplayResult
    records: int = 0
    task: Task | None = None
    new: NewTask | None = None
    positions: Sequence[int] = ()

    @property
    def sink(self) -> str | None:
        """Where it goes."""
        if self.task is not None:
            return self.task.sink
        return None if self.new is None else self.new.sink


class Reader(Protocol):
    """Runs a query of the ledger where it may block."""

    def __call__(self, query: Callable[[Ledger], T], /) -> Awaitable[T]:
        """Return what *query* returns."""
        ...


@dataclass(slots=True)
class Operations:
    """Does what operators ask for; a reload changes where records go now, and to which sinks.

    Attributes:
        desk: The store's writes.
        read: The store's reads.
        router: Where records go now.
        sinks: The names of the configured sinks.
        now_ms: The clock.
        new_id: Makes task ids.
        wake: Called after something changed.
        observe: Told what was sent again.
    """

    desk: Desk
    read: Reader
    router: Router
    sinks: Sequence[str]
    now_ms: Callable[[], int]
    new_id: Callable[[], str]
    wake: Callable[[], None]
    observe: Observe = unobserved

    async def replay(
        self, selection: Selection, *, forced: bool, by: str, dry_run: bool, progress: Progress | None = None
    ) -> Report:
        """Send what *selection* names again; return what was done."""
        progress = progress or Progress(Report(dry_run))
        report = progress.report
        replay = Replay(self.now_ms(), by, forced)
        async for page in self._pages(selection, report):
            for step in await self.read(partial(self._plan, page=page, sink=selection.sink, forced=forced)):
                if progress.stopped:
                    break
                verdict = step.verdict if dry_run else await self._send_again(step, replay)
                report.results[verdict] += 1
                if verdict is ReplayResult.REPLAYED:
                    report.records += step.records
                    report.sinks[step.sink or ""] += step.records
                    if not dry_run:
                        self.observe(Replayed(step.sink))
            if not dry_run:
                self.wake()
            if progress.stopped:
                break
            progress.done += len(page)
        del report.sinks[""]
        return report

    async def count(self, selection: Selection, progress: Progress | None = None) -> int:
        """Return how many deliveries or tasks *selection* names; fewer when *progress* is stopped meanwhile."""
        total = 0
        async for page in self._pages(selection, Report(dry_run=True)):
            total += len(page)
            if progress is not None and progress.stopped:
                break
        return total

    async def cancel(self, selection: Selection, *, by: str, dry_run: bool) -> Report:
        """End what *selection* names and nobody works on; return what was done."""
        report = Report(dry_run)
        async for page in self._pages(selection, report):
            for task in page:
                if not isinstance(task, Task):
                    continue
                ended = task.state in CANCELLABLE and (
                    dry_run or await self.desk.cancel(task.task_id, now_ms=self.now_ms(), by=by)
                )
                report.results["cancelled" if ended else str(task.state)] += 1
                report.sinks[task.sink] += task.records if ended else 0
                report.records += task.records if ended else 0
        return report

    async def pause(self, sink: str, *, by: str) -> bool:
        """Lease no more tasks of *sink*; return False when it was paused already.

        Raises:
            UsageError: There is no such sink.
        """
        self.known(sink)
        changed = await self.desk.pause(sink, now_ms=self.now_ms(), by=by)
        if changed:
            log.warning("sink.paused", sink=sink, reason=by)
        return changed

    async def resume(self, sink: str) -> bool:
        """Go on with *sink* at once, its breaker closed; return False when nothing kept it.

        Raises:
            UsageError: There is no such sink.
        """
        self.known(sink)
        changed = await self.desk.resume(sink, now_ms=self.now_ms())
        if changed:
            log.info("sink.resumed", sink=sink)
            self.wake()
        return changed

    async def reset(self, sink: str) -> bool:
        """Close the breaker of *sink*, and leave it paused if it is; return False when it was closed.

        Raises:
            UsageError: There is no such sink.
        """
        self.known(sink)
        changed = await self.desk.reset(sink, now_ms=self.now_ms())
        if changed:
            log.info("sink.circuit_closed", sink=sink, reason="reset")
            self.observe(CircuitMoved(sink, CircuitState.CLOSED))
            self.wake()
        return changed

    def known(self, sink: str) -> None:
        """Raise `UsageError` when there is no sink of that name."""
        if sink not in self.sinks:
            raise UsageError(
                f"there is no sink {sink!r}", hint=f"The configuration has {', '.join(self.sinks) or 'none'}."
            )

    async def _pages(self, selection: Selection, report: Report) -> AsyncIterator[Sequence[StoredDelivery | Task]]:
        """Yield everything that is meant, the newest first."""
        if selection.sink is not None:
            self.known(selection.sink)
        if selection.ids:
            yield await self.read(lambda ledger: self._by_id(ledger, selection, report))
            return
        where = await self.read(lambda ledger: _with_people(ledger, selection))
        before: int | None = None
        while True:
            page, before = await self.read(partial(_page, where=where, before=before))
            if not page:
                return
            yield page

    def _by_id(self, ledger: Ledger, selection: Selection, report: Report) -> Sequence[StoredDelivery | Task]:
        """Return what the ids name; of tasks only those that the filter's state and the sink hold for."""
        found: dict[str, StoredDelivery | Task] = {}
        for name in selection.ids:
            delivery, task = ledger.delivery(name), ledger.task(name)
            if task is not None:
                found[name] = task
            elif delivery is not None and isinstance(selection.where, DeliveryFilter):
                found[name] = delivery
            elif delivery is not None:
                where = TaskFilter(delivery_id=name)
                found |= {task.task_id: task for _, task in ledger.tasks(where, limit=None)}
            else:
                report.unknown.append(name)
        wanted = [one for one in found.values() if _is_meant(one, selection)]
        report.results.update(str(one.state) for one in found.values() if not _is_meant(one, selection))
        return wanted

    def _plan(
        self, ledger: Ledger, *, page: Sequence[StoredDelivery | Task], sink: str | None, forced: bool
    ) -> Sequence[_Step]:
        """Return what a replay of *page* does."""
        steps: list[_Step] = []
        for one in page:
            if isinstance(one, Task):
                steps.append(self._plan_task(ledger, one, (), forced=forced))
            else:
                steps += self._plan_delivery(ledger, one, sink, forced=forced)
        return steps

    def _plan_delivery(
        self, ledger: Ledger, delivery: StoredDelivery, sink: str | None, *, forced: bool
    ) -> Iterator[_Step]:
        """Yield what happens to a delivery's tasks, and to sinks that its records are routed to by now."""
        name = delivery.delivery_id
        if delivery.state in {DeliveryState.QUARANTINED, DeliveryState.IGNORED}:
            yield _Step(name, ReplayResult.REPLAYED, delivery.records)
            return
        if delivery.state is DeliveryState.ACCEPTED:
            yield _Step(name, ReplayResult.ON_THE_WAY)
            return
        routed = self.router.route(provenance_of(delivery), ledger.records(name)).sinks
        tasks = {task.sink: task for _, task in ledger.tasks(TaskFilter(delivery_id=name), limit=None)}
        for one in [*tasks, *(new for new in routed if new not in tasks)]:
            if sink not in {None, one}:
                continue
            if one in tasks:
                yield self._plan_task(ledger, tasks[one], routed.get(one, ()), forced=forced)
            else:
                new = NewTask(self.new_id(), one, routed[one])
                yield _Step(name, ReplayResult.REPLAYED, len(new.positions), new=new)

    def _plan_task(self, ledger: Ledger, task: Task, positions: Sequence[int], *, forced: bool) -> _Step:
        if task.sink not in self.sinks:
            return _Step(task.delivery_id, ReplayResult.SINK_GONE, task=task)
        if not task.replayable:
            return _Step(task.delivery_id, ReplayResult.ON_THE_WAY, task=task)
        owed = {*ledger.positions(task.task_id), *positions}
        done = set() if forced else {o.position for o in ledger.outcomes(task.task_id) if o.kind.done}
        pending = len(owed - done)
        verdict = ReplayResult.REPLAYED if pending else ReplayResult.NOTHING_LEFT
        return _Step(task.delivery_id, verdict, pending, task=task, positions=positions)

    async def _send_again(self, step: _Step, replay: Replay) -> ReplayResult:
        if step.verdict is not ReplayResult.REPLAYED:
            return step.verdict
        if step.task is not None:
            result = await self.desk.replay_task(step.task.task_id, replay, step.positions)
        elif step.new is not None:
            added = await self.desk.add_tasks(step.delivery_id, [step.new], replay)
            result = ReplayResult.REPLAYED if added else ReplayResult.ON_THE_WAY
        else:
            result = await self.desk.replay_delivery(step.delivery_id, replay)
        if result is ReplayResult.REPLAYED:
            log.info(
                "task.replayed",
                delivery_id=step.delivery_id,
                task_id=None if step.task is None else step.task.task_id,
                sink=step.sink,
                records=step.records,
                reason=replay.by,
            )
        return result


def _is_meant(one: StoredDelivery | Task, selection: Selection) -> bool:
    """Whether something that was named by its id also is in the state, and owed to the sink, that were asked for."""
    if isinstance(one, Task) and selection.sink not in {None, one.sink}:
        return False
    return selection.where.state in {None, one.state}


def _with_people(ledger: Ledger, selection: Selection) -> DeliveryFilter | TaskFilter:
    where = selection.where if selection.sink is None else replace(selection.where, sink=selection.sink)
    if not selection.identifiers:
        return where
    return replace(where, person=[lookup_hash(ledger.hash_key, *pair) for pair in selection.identifiers])


def _page(
    ledger: Ledger, *, where: DeliveryFilter | TaskFilter, before: int | None
) -> tuple[Sequence[StoredDelivery | Task], int | None]:
    """Return the next page of what matches, and where the one after it begins."""
    if isinstance(where, DeliveryFilter):
        deliveries = ledger.deliveries(where, limit=PAGE, before=before)
        return deliveries, deliveries[-1].sequence if deliveries else None
    numbered = ledger.tasks(where, limit=PAGE, before=before)
    return [task for _, task in numbered], numbered[-1][0] if numbered else None
