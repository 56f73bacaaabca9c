"""Where records go: whether each sink takes them, what waits and why, and what an operator can do about it."""

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from aiohttp import web

from stibgate.domain.access import Role
from stibgate.domain.task import Task, TaskState
from stibgate.errors import UsageError
from stibgate.sinks import Finding
from stibgate.stores import DeadGroup, Ledger, TaskFilter
from stibgate.views.sinks import sink_rows
from stibgate.web.console.glance import SinkRow, glance, stats_within
from stibgate.web.console.page import ConsoleParts, Page, Visit, go, missing

WHY = ("maintenance", "looking into it", "too many errors", "wrong configuration", "wrong records", "another reason")
"""Why somebody pauses a sink. Words of ours: what is typed freely could name a person, and goes into the log."""
NEXT_MAX = 10


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
        settings, now_ms = self._parts.settings(), self._parts.now_ms()
        rows = await self._parts.read(lambda ledger: glance(ledger, settings, stats_within(ledger, "24h", now_ms)))
        return visit.show("sinks.html", rows=rows, may_act=visit.may(Role.OPERATOR))

    async def _json(self, _visit: Visit) -> web.Response:
        settings = self._parts.settings()
        rows = await self._parts.read(lambda ledger: sink_rows(settings, ledger.sinks(), ledger.task_counts()))
        return web.json_response({"data": rows})

    async def _show(self, visit: Visit, findings: Sequence[Finding] | None = None) -> web.Response:
        settings, now_ms, name = self._parts.settings(), self._parts.now_ms(), visit.part("name")

        def look(ledger: Ledger) -> tuple[list[SinkRow], Sequence[Task], Sequence[DeadGroup]]:
            rows = glance(ledger, settings, stats_within(ledger, "24h", now_ms))
            tasks = ledger.tasks(TaskFilter(state=TaskState.WAITING, sink=name), limit=NEXT_MAX)
            return (
                [row for row in rows if row.name == name],
                [task for _, task in tasks],
                [one for one in ledger.dead_groups() if one.sink == name],
            )

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
