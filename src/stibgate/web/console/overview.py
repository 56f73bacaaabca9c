"""The first page: is it well, what came, what waits, what needs a person."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from stibgate.domain.circuit import SinkState
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.stats import WINDOWS, SinkStats, Stats
from stibgate.domain.task import TaskState
from stibgate.errors import UsageError
from stibgate.stores import DeliveryFilter, Ledger, TaskFilter
from stibgate.web.console.page import ConsoleParts, Page, Visit
from stibgate.web.console.screen import counted, number, span

PROBLEMS_MAX = 5
OPEN = (TaskState.QUEUED, TaskState.LEASED, TaskState.WAITING, TaskState.PAUSED)
DAY = "24h"


@dataclass(frozen=True, slots=True)
class SinkRow:
    """One sink at a glance.

    Attributes:
        state: `ok`, `paused`, `open`, `half_open`, or `gone` when the configuration has it no longer.
        oldest_ms: Since when the oldest of those that wait is owed.
        day: What it did in the last 24 hours.
    """

    name: str
    state: str
    reason: str | None
    waiting: int
    oldest_ms: int | None
    dead: int
    day: SinkStats

    @property
    def path(self) -> str:
        """Where its own page is."""
        return f"/sinks/{self.name}"


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


@dataclass(frozen=True, slots=True)
class Look:
    """What the store says."""

    day: Stats
    sinks: Sequence[SinkRow]
    problems: Sequence[Problem]


class Overview:
    """The page `/`, and the numbers of its charts."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the overview and its charts."""
        window = frozenset({"window"})
        return [
            Page("/", self._show, "Overview", nav=True, query=window),
            Page("/charts.json", self._charts, "Charts", query=window),
        ]

    async def _show(self, visit: Visit) -> web.Response:
        names, window = tuple(self._parts.settings().sinks), _window(visit)
        now_ms = self._parts.now_ms()
        look = await self._parts.read(partial(_look, names=names, now_ms=now_ms))
        health = [*self._health(), *_sink_lines(look.sinks)] or [HealthLine("good", "All is well.")]
        return visit.show(
            "overview.html",
            health=health,
            figures=_figures(look, now_ms),
            sinks=look.sinks,
            problems=look.problems,
            window=window,
            windows=[(name, visit.here(window=name)) for name in WINDOWS],
        )

    async def _charts(self, visit: Visit) -> web.Response:
        length_ms, step_ms = WINDOWS[_window(visit)]
        now_ms = self._parts.now_ms()
        stats = await self._parts.read(
            lambda ledger: ledger.stats(since_ms=now_ms - length_ms, until_ms=now_ms, step_ms=step_ms)
        )
        return web.json_response(_charts(stats))

    def _health(self) -> Iterator[HealthLine]:
        for check, word in self._parts.ready().items():
            if word != "ok":
                yield HealthLine("bad", f"{check.replace('_', ' ')}: {word}")


def _window(visit: Visit) -> str:
    window = visit.query.get("window", "1h")
    if window not in WINDOWS:
        raise UsageError(f"window {window!r} is none", hint=f"It is one of {', '.join(WINDOWS)}.")
    return window


def _look(ledger: Ledger, *, names: Sequence[str], now_ms: int) -> Look:
    length_ms, step_ms = WINDOWS[DAY]
    day = ledger.stats(since_ms=now_ms - length_ms, until_ms=now_ms, step_ms=step_ms)
    counts, states, oldest = ledger.task_counts(), ledger.sinks(), ledger.owing_since()
    rows = [
        _row(states.get(name, SinkState(name)), counts.get(name, {}), oldest.get(name), day, known=name in names)
        for name in [*names, *(name for name in counts if name not in names)]
    ]
    return Look(day, rows, _problems(ledger))


def _problems(ledger: Ledger) -> Sequence[Problem]:
    """Return the latest things that need a person, newest first."""
    dead = [task for _, task in ledger.tasks(TaskFilter(state=TaskState.DEAD), limit=PROBLEMS_MAX)]
    kept = ledger.deliveries(DeliveryFilter(state=DeliveryState.QUARANTINED), limit=PROBLEMS_MAX)
    found = [Problem(task.updated_at_ms, "dead", task.sink, task.delivery_id, task.error) for task in dead]
    found += [Problem(one.received_at_ms, "quarantined", one.source, one.delivery_id, one.reason) for one in kept]
    return sorted(found, key=lambda one: one.at_ms, reverse=True)[:PROBLEMS_MAX]


def _row(state: SinkState, counts: Mapping[str, int], oldest_ms: int | None, day: Stats, *, known: bool) -> SinkRow:
    word = "gone" if not known else "paused" if state.paused else str(state.circuit.state)
    return SinkRow(
        state.sink,
        "ok" if word == "closed" else word,
        f"by {state.paused_by}" if word == "paused" else state.circuit.reason,
        sum(counts.get(one, 0) for one in OPEN),
        oldest_ms,
        counts.get(TaskState.DEAD, 0),
        day.sinks.get(state.sink, SinkStats()),
    )


def _figures(look: Look, now_ms: int) -> Sequence[Figure]:
    day = look.day
    waiting, dead = sum(sink.waiting for sink in look.sinks), sum(sink.dead for sink in look.sinks)
    oldest_ms = min((sink.oldest_ms for sink in look.sinks if sink.oldest_ms is not None), default=None)
    wait = "tasks that come by themselves" if oldest_ms is None else f"tasks, the oldest for {span(now_ms - oldest_ms)}"
    ack = (
        "no answers yet" if day.ack_ms.p50 is None else f"answered in {_ms(day.ack_ms.p50)}, p99 {_ms(day.ack_ms.p99)}"
    )
    return [
        Figure("Accepted, 24 h", number(day.accepted), counted(day.records, "record"), f"/deliveries?since={DAY}"),
        Figure("Rejected, 24 h", number(day.rejected), f"{day.rejected_share:.1%} of all; {ack}", "/rejected"),
        Figure("Waiting", number(waiting), wait, "/deliveries?state=processing"),
        Figure("Dead", number(dead), "tasks that need a person", "/dead"),
    ]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms" if value < 10 else span(round(value))


def _sink_lines(sinks: Sequence[SinkRow]) -> Iterator[HealthLine]:
    for sink in sinks:
        wait = f"{counted(sink.waiting, 'task')} {'waits' if sink.waiting == 1 else 'wait'}."
        if sink.state == "paused":
            yield HealthLine("warn", f"{sink.name} is paused {sink.reason}. {wait}", sink.path)
        elif sink.state not in {"ok", "gone"}:
            yield HealthLine("bad", f"{sink.name} is left alone for now: {sink.reason}. {wait}", sink.path)
        if sink.dead:
            told = f"{counted(sink.dead, 'task')} of {sink.name} will not be tried again."
            yield HealthLine("bad", told, f"/dead?sink={sink.name}")


def _charts(stats: Stats) -> dict[str, Any]:
    """Return the lines of the three charts; times in seconds, as the charts take them."""
    chart = stats.chart
    rejected = [sum(each) for each in zip(*chart.rejected.values(), strict=True)] or [0] * len(chart.at_ms)
    accepted = [sum(each) for each in zip(*chart.accepted.values(), strict=True)] or [0] * len(chart.at_ms)
    minutes = chart.step_ms / 60_000
    return {
        "at_s": [at_ms // 1000 for at_ms in chart.at_ms],
        "received": {"accepted": _rate(accepted, minutes), "rejected": _rate(rejected, minutes)},
        "ack_ms": {"p50": chart.ack_p50_ms, "p99": chart.ack_p99_ms},
        "delivered": {sink: _rate(line, minutes) for sink, line in chart.delivered.items()},
    }


def _rate(line: Sequence[int], minutes: float) -> Sequence[float]:
    return [round(count / minutes, 3) for count in line]
