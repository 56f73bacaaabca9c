"""The first page: is it well, what came, what waits, what needs a person."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from stibgate.domain.circuit import SinkState
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import TaskState
from stibgate.stores import DeliveryFilter, Ledger, TaskFilter
from stibgate.web.console.page import ConsoleParts, Page, Visit
from stibgate.web.console.screen import counted, number

PROBLEMS_MAX = 5
OPEN = (TaskState.QUEUED, TaskState.LEASED, TaskState.WAITING, TaskState.PAUSED)


@dataclass(frozen=True, slots=True)
class SinkRow:
    """One sink at a glance."""

    name: str
    state: str
    reason: str | None
    waiting: int
    dead: int
    delivered: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that needs a person."""

    at_ms: int
    state: str
    what: str
    delivery_id: str
    why: str | None


@dataclass(frozen=True, slots=True)
class HealthLine:
    """One sentence about how the service is; *level* is `good`, `warn` or `bad`."""

    level: str
    text: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the four numbers."""

    label: str
    value: str
    note: str
    href: str


class Overview:
    """The page `/`."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the overview."""
        return [Page("/", self._show, "Overview", nav=True)]

    async def _show(self, visit: Visit) -> web.Response:
        names = tuple(self._parts.settings().sinks)
        sinks, problems, quarantined = await self._parts.read(lambda ledger: _look(ledger, names))
        health = [*self._health(sinks), *_sink_lines(sinks)] or [HealthLine("good", "All is well.")]
        waiting, dead = sum(sink.waiting for sink in sinks), sum(sink.dead for sink in sinks)
        figures = [
            Figure("Waiting", number(waiting), counted(waiting, "task"), "/deliveries?state=processing"),
            Figure("Dead", number(dead), counted(dead, "task"), "/dead"),
            Figure("Quarantined", number(quarantined), "", "/deliveries?state=quarantined"),
        ]
        return visit.show("overview.html", health=health, figures=figures, sinks=sinks, problems=problems)

    def _health(self, _sinks: Sequence[SinkRow]) -> Iterator[HealthLine]:
        for check, word in self._parts.ready().items():
            if word != "ok":
                yield HealthLine("bad", f"{check.replace('_', ' ')}: {word}")


def _look(ledger: Ledger, names: Sequence[str]) -> tuple[list[SinkRow], list[Problem], int]:
    counts, states = ledger.task_counts(), ledger.sinks()
    every = [*names, *(name for name in counts if name not in names)]
    sinks = [_row(name, states.get(name, SinkState(name)), counts.get(name, {}), known=name in names) for name in every]
    dead = [task for _, task in ledger.tasks(TaskFilter(state=TaskState.DEAD), limit=PROBLEMS_MAX)]
    kept = ledger.deliveries(DeliveryFilter(state=DeliveryState.QUARANTINED), limit=PROBLEMS_MAX)
    problems = [Problem(task.updated_at_ms, "dead", task.sink, task.delivery_id, task.error) for task in dead]
    problems += [Problem(one.received_at_ms, "quarantined", one.source, one.delivery_id, one.reason) for one in kept]
    problems.sort(key=lambda one: one.at_ms, reverse=True)
    return sinks, problems[:PROBLEMS_MAX], ledger.status().deliveries.get("quarantined", 0)


def _row(name: str, state: SinkState, counts: Mapping[str, int], *, known: bool) -> SinkRow:
    word = "gone" if not known else "paused" if state.paused else str(state.circuit.state)
    return SinkRow(
        name,
        "ok" if word == "closed" else word,
        state.circuit.reason if word != "paused" else f"by {state.paused_by}",
        sum(counts.get(one, 0) for one in OPEN),
        counts.get(TaskState.DEAD, 0),
        counts.get(TaskState.DELIVERED, 0) + counts.get(TaskState.PARTIAL, 0),
    )


def _sink_lines(sinks: Sequence[SinkRow]) -> Iterator[HealthLine]:
    for sink in sinks:
        href = f"/sinks/{sink.name}"
        if sink.state == "paused":
            yield HealthLine(
                "warn", f"{sink.name} is paused {sink.reason}; {counted(sink.waiting, 'task')} wait.", href
            )
        elif sink.state not in {"ok", "gone"}:
            yield HealthLine(
                "bad", f"{sink.name} is left alone: {sink.reason}. {counted(sink.waiting, 'task')} wait.", href
            )
        if sink.dead:
            yield HealthLine(
                "bad",
                f"{counted(sink.dead, 'task')} of {sink.name} will not be tried again.",
                f"/dead?sink={sink.name}",
            )
