"""Where records go: whether each sink takes them, what waits and why, and what an operator can do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import quote

from aiohttp import web

from stibgate.config import Settings
from stibgate.domain.access import Role
from stibgate.domain.circuit import CircuitState, SinkState
from stibgate.domain.stats import WINDOWS, SinkStats
from stibgate.domain.task import FINAL, Task, TaskState
from stibgate.errors import UsageError
from stibgate.sinks import Finding
from stibgate.stores import DeadGroup, Ledger, TaskFilter
from stibgate.views.sinks import destination, routes_to, sink_rows
from stibgate.web.console.page import ConsoleParts, Page, Visit, go, missing

WHY = ("maintenance", "looking into it", "too many errors", "wrong configuration", "wrong records", "another reason")
"""Why somebody pauses a sink. Words of ours: what is typed freely could name a person, and goes into the log."""
NEXT_MAX = 10
NO_STATS = SinkStats()
DAY_MS, STEP_MS = WINDOWS["24h"]
OPEN = tuple(state for state in TaskState if state not in FINAL)


@dataclass(frozen=True, slots=True)
class Row:
    """One sink at a glance.

    Attributes:
        kind: None for one that is no longer configured.
        where: Where it leads, without secrets.
        counts: Its tasks by state.
        owing_ms: Since when the longest waiting one owes its records.
    """

    name: str
    kind: str | None
    where: str | None
    routes: Sequence[str]
    state: SinkState
    counts: Mapping[str, int]
    owing_ms: int | None
    stats: SinkStats

    @property
    def word(self) -> str:
        """Its state, in one word."""
        if self.kind is None:
            return "gone"
        if self.state.paused:
            return "paused"
        return "ok" if self.state.circuit.closed else str(self.state.circuit.state)

    @property
    def waiting(self) -> int:
        """How many tasks are open."""
        return sum(self.counts.get(state, 0) for state in OPEN)

    @property
    def dead(self) -> int:
        """How many tasks will not be tried again by themselves."""
        return self.counts.get(TaskState.DEAD, 0)

    @property
    def path(self) -> str:
        """Its page."""
        return f"/sinks/{quote(self.name, safe='')}"

    @property
    def meaning(self) -> str:
        """Its state, in a sentence without times."""
        circuit = self.state.circuit
        if self.kind is None:
            return "It is no longer configured: what it is owed waits until it is again, or is cancelled."
        if self.state.paused:
            return f"By {self.state.paused_by}. Its tasks wait, and nothing is lost."
        if circuit.closed:
            failures = circuit.failures
            lately = "attempt" if failures == 1 else f"{failures} attempts"
            return f"Its breaker is closed, but the last {lately} failed." if failures else "It takes records."
        if circuit.held_since_ms is not None:
            return f"It says itself that it takes nothing now: {circuit.reason}."
        if circuit.state is CircuitState.HALF_OPEN:
            return f"It failed {circuit.failures} times in a row and is being tried: {circuit.reason}."
        return f"It failed {circuit.failures} times in a row and is left alone for a while: {circuit.reason}."


class Sinks:
    """The pages `/sinks` and `/sinks/{name}`, and what can be done to a sink."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the list, one sink, and the four acts."""
        one, role = "/sinks/{name}", Role.OPERATOR
        return [
            Page("/sinks", self._list, "Sinks", nav=True),
            Page("/sinks.json", self._json, "Sinks"),
            Page(one, self._show, "Sink"),
            Page(f"{one}/test", self._test, "Sink", method="POST", role=role, back=one),
            Page(f"{one}/pause", self._pause, "Sink", method="POST", role=role, back=one),
            Page(f"{one}/resume", self._resume, "Sink", method="POST", role=role, back=one),
            Page(f"{one}/reset", self._reset, "Sink", method="POST", role=role, back=one),
        ]

    async def _list(self, visit: Visit) -> web.Response:
        rows = await self._parts.read(partial(_rows, settings=self._parts.settings(), now_ms=self._parts.now_ms()))
        return visit.show("sinks.html", rows=rows, may_act=visit.may(Role.OPERATOR))

    async def _json(self, _visit: Visit) -> web.Response:
        settings = self._parts.settings()
        rows = await self._parts.read(lambda ledger: sink_rows(settings, ledger.sinks(), ledger.task_counts()))
        return web.json_response({"data": rows})

    async def _show(self, visit: Visit, findings: Sequence[Finding] | None = None) -> web.Response:
        settings, now_ms, name = self._parts.settings(), self._parts.now_ms(), visit.part("name")

        def look(ledger: Ledger) -> tuple[list[Row], Sequence[Task], Sequence[DeadGroup]]:
            rows = _rows(ledger, settings=settings, now_ms=now_ms, only=name)
            tasks = ledger.tasks(TaskFilter(state=TaskState.WAITING, sink=name), limit=NEXT_MAX)
            return rows, [task for _, task in tasks], [one for one in ledger.dead_groups() if one.sink == name]

        rows, waiting, dead = await self._parts.read(look)
        if not rows:
            raise missing(f"there is no sink {name!r}", f"The configuration has {', '.join(settings.sinks) or 'none'}.")
        return visit.show(
            "sink.html",
            title=f"Sink {name}",
            row=rows[0],
            waiting=waiting,
            dead=dead,
            findings=findings,
            delivery=settings.delivery_of(name) if name in settings.sinks else None,
            why=WHY,
            may_act=visit.may(Role.OPERATOR),
            paused_states=(TaskState.QUEUED, TaskState.WAITING, TaskState.LEASED, TaskState.PAUSED),
        )

    async def _test(self, visit: Visit) -> web.Response:
        return await self._show(visit, await self._parts.acts.test(visit.actor, visit.part("name")))

    async def _pause(self, visit: Visit) -> web.Response:
        why = visit.field("reason")
        if why not in WHY:
            raise UsageError("a pause needs a reason", hint=f"It is one of {', '.join(WHY)}.")
        actor = replace(visit.actor, by=f"{visit.principal.name} ({why})")
        await self._parts.acts.pause(actor, visit.part("name"))
        return self._back(visit)

    async def _resume(self, visit: Visit) -> web.Response:
        await self._parts.acts.resume(visit.actor, visit.part("name"))
        return self._back(visit)

    async def _reset(self, visit: Visit) -> web.Response:
        await self._parts.acts.reset(visit.actor, visit.part("name"))
        return self._back(visit)

    def _back(self, visit: Visit) -> web.Response:
        return go(f"/sinks/{quote(visit.part('name'), safe='')}")


def _rows(ledger: Ledger, *, settings: Settings, now_ms: int, only: str | None = None) -> list[Row]:
    counts, states, owing = ledger.task_counts(), ledger.sinks(), ledger.owing_since()
    stats = ledger.stats(since_ms=now_ms - DAY_MS, until_ms=now_ms, step_ms=STEP_MS).sinks
    every = [*settings.sinks, *(name for name in counts if name not in settings.sinks)]
    return [
        Row(
            name,
            None if (sink := settings.sinks.get(name)) is None else sink.kind,
            None if sink is None else destination(sink),
            routes_to(name, settings),
            states.get(name, SinkState(name)),
            counts.get(name, {}),
            owing.get(name),
            stats.get(name, NO_STATS),
        )
        for name in every
        if only in {None, name}
    ]
