"""What operators ask for: send again, cancel, pause, resume. First a plan that anybody may read, then the writes.

A replay leaves out what is done unless everything is asked for, goes the same way as the original, and is noted.
Reading and writing are two steps: what changed in between (a task was leased meanwhile) is counted as what it was
when it was written. A page is read, done, and the next one read: pages go by the order in which things came, which
nothing changes, so none is skipped or met twice, and what comes meanwhile is not meant.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import structlog

from stibgate.domain.circuit import CircuitState
from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.fact import CircuitMoved, Observe, Replayed, unobserved
from stibgate.domain.routing import Router
from stibgate.domain.task import Task
from stibgate.errors import UsageError
from stibgate.pipeline.audit import Lines
from stibgate.pipeline.fanout import provenance_of
from stibgate.pipeline.selecting import Met, by_id, fit_to_keep, listed, tasks_in, with_people
from stibgate.stores import (
    CHUNK_RECORDS,
    Desk,
    Ledger,
    NewTask,
    Note,
    Page,
    Replay,
    ReplayResult,
    Report,
    Selection,
    Step,
    TaskFilter,
)

log = structlog.get_logger("stibgate.operations")

T = TypeVar("T")
PAGE = 200
"""How many deliveries, tasks or ids are looked at before the first of them is done."""
STEPS_MAX = 50
"""How many tasks are sent again or cancelled in one transaction: acknowledgements wait some 20 ms behind it."""


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
        self, selection: Selection, *, forced: bool, by: str, dry_run: bool, lines: Lines | None = None
    ) -> Report:
        """Send what *selection* names again; return what was done."""
        report = Report(dry_run)
        async for page, first, last in _with_ends(self.pages(selection, forced=forced), Page(None, 0, (), 0)):

            def after(results: Sequence[ReplayResult], page: Page = page, before: Report = report) -> Report:
                told = deepcopy(before)
                told.add(page, results)
                return told

            if dry_run:
                report = after([step.verdict for step in page.steps])
                continue
            note = None if lines is None else lines.note(after, first=first, last=last)
            results = await self.desk.replay(page.steps, Replay(self.now_ms(), by, forced), note)
            report = after(results)
            self.tell(page, results, by=by)
            if lines is not None and note is not None:
                lines.tell(note(results))
        return report

    async def pages(self, selection: Selection, *, forced: bool, position: int | None = None) -> AsyncIterator[Page]:
        """Yield what a replay of *selection* does, the newest first, a few pages planned at a time."""
        async for met in self._met(selection, position):
            planned = await self.read(partial(self._planned, met=met, sink=selection.sink, forced=forced))
            for page in _cut(planned, position):
                yield page
                position = page.ends

    def tell(self, page: Page, results: Sequence[ReplayResult], *, by: str) -> None:
        """Say what was sent again, and have it begin."""
        for step, result in zip(page.steps, results, strict=True):
            if result is ReplayResult.REPLAYED:
                self.observe(Replayed(step.sink))
                log.info(
                    "task.replayed",
                    delivery_id=step.delivery_id,
                    task_id=step.task_id,
                    sink=step.sink,
                    records=step.records,
                    reason=by,
                )
        self.wake()

    async def kept(self, selection: Selection) -> Selection:
        """Return *selection* as it may be stored: people by their hashes, and no id that is none of ours.

        Raises:
            UsageError: It looks for an error in words that may name somebody.
        """
        return await self.read(partial(fit_to_keep, selection=selection))

    async def count(
        self, selection: Selection, *, position: int | None = None, stopped: Callable[[], bool] = lambda: False
    ) -> int:
        """Return how many deliveries or tasks *selection* names; fewer when it is *stopped* meanwhile."""
        total = 0
        async for met in self._met(selection, position):
            total += sum(len(one.things) for one in met)
            if stopped():
                break
        return total

    async def cancel(self, selection: Selection, *, by: str, dry_run: bool, lines: Lines | None = None) -> Report:
        """End what *selection* names and nobody works on; return what was done."""
        report = Report(dry_run)
        async for met, first, last in _with_ends(self._met(selection, None, limit=STEPS_MAX), ()):

            def after(ended: Sequence[str], met: Sequence[Met] = met, before: Report = report) -> Report:
                return _without(before, met, frozenset(ended))

            able = [task.task_id for task in tasks_in(met) if task.cancellable]
            if dry_run:
                report = after(able)
                continue
            note = None if lines is None else lines.note(after, first=first, last=last)
            ended = await self.desk.cancel(able, now_ms=self.now_ms(), by=by, note=note)
            report = after(ended)
            if lines is not None and note is not None:
                lines.tell(note(ended))
        return report

    async def pause(self, sink: str, *, by: str, note: Note[bool] | None = None) -> bool:
        """Lease no more tasks of *sink*; return False when it was paused already.

        Raises:
            UsageError: There is no such sink.
        """
        self.known(sink)
        changed = await self.desk.pause(sink, now_ms=self.now_ms(), by=by, note=note)
        if changed:
            log.warning("sink.paused", sink=sink, reason=by)
        return changed

    async def resume(self, sink: str, *, note: Note[bool] | None = None) -> bool:
        """Go on with *sink* at once, its breaker closed; return False when nothing kept it.

        Raises:
            UsageError: There is no such sink.
        """
        self.known(sink)
        changed = await self.desk.resume(sink, now_ms=self.now_ms(), note=note)
        if changed:
            log.info("sink.resumed", sink=sink)
            self.wake()
        return changed

    async def reset(self, sink: str, *, note: Note[bool] | None = None) -> bool:
        """Close the breaker of *sink*, and leave it paused if it is; return False when it was closed.

        Raises:
            UsageError: There is no such sink.
        """
        self.known(sink)
        changed = await self.desk.reset(sink, now_ms=self.now_ms(), note=note)
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

    async def _met(
        self, selection: Selection, position: int | None, *, limit: int | None = None
    ) -> AsyncIterator[Sequence[Met]]:
        """Yield everything that is named from *position* on, *limit* at a time, the newest first or by its ids."""
        limit = limit or PAGE
        if selection.sink is not None:
            self.known(selection.sink)
        if selection.ids:
            seen: set[str] = set()
            for start in range(0, len(selection.ids), limit):
                met = await self.read(partial(by_id, selection=selection, start=start, limit=limit, seen=seen))
                # Those before the position are looked up once more, so that none is met under another name.
                if left := [one for one in met if one.ends > (position or 0)]:
                    yield left
            return
        where = await self.read(lambda ledger: with_people(ledger, selection))
        while met := await self.read(partial(listed, where=where, limit=limit, before=position)):
            yield met
            position = met[-1].ends

    def _planned(
        self, ledger: Ledger, *, met: Sequence[Met], sink: str | None, forced: bool
    ) -> Sequence[tuple[Met, Sequence[Step]]]:
        """Return what a replay does with each that was met."""
        planned = []
        for one in met:
            steps: list[Step] = []
            for thing in one.things:
                if isinstance(thing, Task):
                    steps.append(self._plan_task(ledger, thing, (), forced=forced))
                else:
                    steps += self._plan_delivery(ledger, thing, sink, forced=forced)
            planned.append((one, steps))
        return planned

    def _plan_delivery(
        self, ledger: Ledger, delivery: StoredDelivery, sink: str | None, *, forced: bool
    ) -> Iterator[Step]:
        """Yield what happens to a delivery's tasks, and to sinks that its records are routed to by now."""
        name = delivery.delivery_id
        if delivery.state in {DeliveryState.QUARANTINED, DeliveryState.IGNORED}:
            yield Step(name, ReplayResult.REPLAYED, delivery.records)
            return
        if delivery.state is DeliveryState.ACCEPTED:
            yield Step(name, ReplayResult.ON_THE_WAY)
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
                yield Step(name, ReplayResult.REPLAYED, len(new.positions), one, new=new)

    def _plan_task(self, ledger: Ledger, task: Task, positions: Sequence[int], *, forced: bool) -> Step:
        if task.sink not in self.sinks:
            return Step(task.delivery_id, ReplayResult.SINK_GONE)
        if not task.replayable:
            return Step(task.delivery_id, ReplayResult.ON_THE_WAY)
        owed = {*ledger.positions(task.task_id), *positions}
        done = set() if forced else {o.position for o in ledger.outcomes(task.task_id) if o.kind.done}
        pending = len(owed - done)
        verdict = ReplayResult.REPLAYED if pending else ReplayResult.NOTHING_LEFT
        return Step(task.delivery_id, verdict, pending, task.sink, task.task_id, positions=positions)


async def _with_ends(parts: AsyncIterator[T], nothing: T) -> AsyncIterator[tuple[T, bool, bool]]:
    """Yield each of *parts*, whether it is the first, and whether it is the last; *nothing* where there is none."""
    held, first = nothing, True
    async for part in parts:
        if held is not nothing:
            yield held, first, False
            first = False
        held = part
    yield held, first, True


def _without(report: Report, met: Sequence[Met], ended: Collection[str]) -> Report:
    """Return *report* with what was met, of which *ended* does not wait any more."""
    told = deepcopy(report)
    for one in met:
        told.results.update(one.others)
        told.unknown += [] if one.unknown is None else [one.unknown]
    for task in tasks_in(met):
        told.results["cancelled" if task.task_id in ended else str(task.state)] += 1
        if task.task_id in ended:
            told.sinks[task.sink] += task.records
            told.records += task.records
    return told


def _cut(planned: Iterable[tuple[Met, Sequence[Step]]], position: int | None) -> Iterator[Page]:
    """Yield pages that are small enough to be one transaction: acknowledgements wait behind it."""
    begins, met, steps = position, list[Met](), list[Step]()
    for one, its in planned:
        too_many = len(steps) + len(its) > STEPS_MAX
        if met and (too_many or sum(step.records for step in (*steps, *its)) > CHUNK_RECORDS):
            yield _page_of(begins, met, steps)
            begins, met, steps = met[-1].ends, [], []
        met.append(one)
        steps += its
    if met:
        yield _page_of(begins, met, steps)


def _page_of(begins: int | None, met: Sequence[Met], steps: Sequence[Step]) -> Page:
    others = Counter(state for one in met for state in one.others)
    unknown = [one.unknown for one in met if one.unknown is not None]
    return Page(begins, met[-1].ends, tuple(steps), sum(len(one.things) for one in met), others, unknown)
