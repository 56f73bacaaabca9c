"""The first page: is it well, what came, what waits, what needs a person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from stibgate.config import Settings
from stibgate.domain.access import Role
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.stats import WINDOWS, Stats
from stibgate.domain.task import TaskState
from stibgate.errors import UsageError
from stibgate.stores import DeliveryFilter, Ledger, TaskFilter
from stibgate.web.console.alarms import Found
from stibgate.web.console.glance import SinkRow, glance, stats_within
from stibgate.web.console.page import ConsoleParts, Page, Visit
from stibgate.web.console.screen import counted, number, span

PROBLEMS_MAX = 5
DAY = "24h"


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
    quarantined: int


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
        settings, now_ms, window = self._parts.settings(), self._parts.now_ms(), _window(visit)
        look = await self._parts.read(partial(_look, settings=settings, now_ms=now_ms))
        alarms = await self._parts.alarms.latest()
        health = [
            *self._health(visit),
            *_sink_lines(look.sinks),
            *_quarantine_lines(look.quarantined),
            *_money_lines(alarms),
        ] or [HealthLine("good", "All is well.")]
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
        window, now_ms = _window(visit), self._parts.now_ms()
        stats = await self._parts.read(lambda ledger: stats_within(ledger, window, now_ms))
        return web.json_response(_charts(stats))

    def _health(self, visit: Visit) -> Iterator[HealthLine]:
        for check, word in self._parts.ready().items():
            if word != "ok":
                yield HealthLine("bad", f"{check.replace('_', ' ')}: {word}")
        if not self._parts.reading().ok:
            where = "/config" if visit.may(Role.ADMIN) else ""
            yield HealthLine("bad", "The last reload was refused: the configuration before it applies.", where)


def _window(visit: Visit) -> str:
    window = visit.query.get("window", "1h")
    if window not in WINDOWS:
        raise UsageError(f"window {window!r} is none", hint=f"It is one of {', '.join(WINDOWS)}.")
    return window


def _look(ledger: Ledger, *, settings: Settings, now_ms: int) -> Look:
    day = stats_within(ledger, DAY, now_ms)
    quarantined = ledger.status().deliveries.get(DeliveryState.QUARANTINED, 0)
    return Look(day, glance(ledger, settings, day), _problems(ledger), quarantined)


def _problems(ledger: Ledger) -> Sequence[Problem]:
    """Return the latest things that need a person, newest first."""
    dead = [task for _, task in ledger.tasks(TaskFilter(state=TaskState.DEAD), limit=PROBLEMS_MAX)]
    kept = ledger.deliveries(DeliveryFilter(state=DeliveryState.QUARANTINED), limit=PROBLEMS_MAX)
    found = [Problem(task.updated_at_ms, "dead", task.sink, task.delivery_id, task.error) for task in dead]
    found += [Problem(one.received_at_ms, "quarantined", one.source, one.delivery_id, one.reason) for one in kept]
    return sorted(found, key=lambda one: one.at_ms, reverse=True)[:PROBLEMS_MAX]


def _figures(look: Look, now_ms: int) -> Sequence[Figure]:
    day = look.day
    waiting, dead = sum(sink.waiting for sink in look.sinks), sum(sink.dead for sink in look.sinks)
    oldest_ms = min((sink.owing_ms for sink in look.sinks if sink.owing_ms is not None), default=None)
    wait = "tasks that go by themselves" if oldest_ms is None else f"tasks, the oldest for {span(now_ms - oldest_ms)}"
    ack = (
        "no answers yet" if day.ack_ms.p50 is None else f"answered in {_ms(day.ack_ms.p50)}, p99 {_ms(day.ack_ms.p99)}"
    )
    return [
        Figure(
            "Accepted, 24 h",
            number(day.accepted),
            f"{counted(day.records, 'record')}; {ack}",
            f"/deliveries?since={DAY}",
        ),
        Figure("Rejected, 24 h", number(day.rejected), f"{day.rejected_share:.1%} of all", "/rejected"),
        Figure("Waiting", number(waiting), wait, "/deliveries?state=processing"),
        Figure("Dead", number(dead), "tasks that need a person", "/dead"),
    ]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms" if value < 10 else span(round(value))


def _sink_lines(sinks: Sequence[SinkRow]) -> Iterator[HealthLine]:
    for sink in sinks:
        wait = f"{counted(sink.waiting, 'task')} {'waits' if sink.waiting == 1 else 'wait'}."
        if sink.word == "paused":
            yield HealthLine("warn", f"{sink.name} is paused {sink.reason}. {wait}", sink.path)
        elif sink.word not in {"ok", "gone"}:
            yield HealthLine("bad", f"{sink.name} is left alone for now: {sink.reason}. {wait}", sink.path)
        if sink.dead:
            told = f"{counted(sink.dead, 'task')} of {sink.name} will not be tried again."
            yield HealthLine("bad", told, f"/dead?sink={sink.name}")


def _quarantine_lines(count: int) -> Iterator[HealthLine]:
    if count:
        told = "1 delivery is" if count == 1 else f"{counted(count, 'delivery')} are"
        yield HealthLine(
            "warn",
            f"{told} in quarantine: authentic, kept whole, and not understood.",
            f"/deliveries?state={DeliveryState.QUARANTINED}",
        )


def _money_lines(alarms: Found | None) -> Iterator[HealthLine]:
    if alarms is None:
        yield HealthLine("warn", "Whether all that was paid for has arrived is still being looked for.", "/jobs")
    elif alarms.rows:
        first, count = alarms.rows[0]["message"], len(alarms.rows)
        many = f"{counted(count, 'thing')} about jobs and money need a look, one of them: {first}"
        told = first if count == 1 else many
        yield HealthLine("bad", f"{told}.", "/jobs")


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
