"""Who did what: the audit, newest first. Reveals, replays, pauses, logins; never what a person is called."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from stibgate.domain.access import Role
from stibgate.domain.audit import Action, AuditLine
from stibgate.errors import UsageError
from stibgate.stores import AuditFilter
from stibgate.views.audit import audit_row
from stibgate.web.console.filters import CURSOR, SINCE, before_of, moment_of
from stibgate.web.console.page import ConsoleParts, Page, Visit
from stibgate.web.console.twins import ROWS, TWIN_ROWS_MAX, csv_answer, filters_of, json_answer, older_of, twins_of

QUERY = frozenset({"action", "actor", "since", "until"})
COLUMNS = ("sequence", "at", "actor", "role", "action", "target", "detail", "client_ip", "chain")


class Audit:
    """The page `/audit` and its twins."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the list and its twins."""
        query, role = QUERY | {CURSOR}, Role.ADMIN
        return [
            Page("/audit", self._list, "Audit", role=role, nav=True, query=query),
            Page("/audit.json", self._json, "Audit", role=role, query=query),
            Page("/audit.csv", self._csv, "Audit", role=role, query=query),
        ]

    async def _list(self, visit: Visit) -> web.Response:
        found = await self._read(visit, ROWS + 1)
        return visit.show(
            "audit.html",
            rows=[audit_row(line) | {"href": _href(line), "words": _words(line.entry.detail)} for line in found[:ROWS]],
            older=older_of(visit, [line.sequence for line in found]),
            filters=filters_of(visit),
            actions=list(Action),
            since_words=list(SINCE),
            twins=twins_of(visit),
        )

    async def _json(self, visit: Visit) -> web.Response:
        found = await self._read(visit, ROWS + 1)
        return json_answer(visit, [audit_row(line) for line in found], [line.sequence for line in found])

    async def _csv(self, visit: Visit) -> web.Response:
        found = await self._read(visit, TWIN_ROWS_MAX)
        return await csv_answer(map(audit_row, found), COLUMNS, "audit")

    async def _read(self, visit: Visit, limit: int) -> Sequence[AuditLine]:
        query, now_ms = visit.query, self._parts.now_ms()
        action = query.get("action")
        if action is not None and action not in set(Action):
            raise UsageError(f"nobody ever did {action!r}", hint=f"It is one of {', '.join(Action)}.")
        where = AuditFilter(
            action=None if action is None else Action(action),
            actor=query.get("actor"),
            since_ms=moment_of(query, "since", now_ms=now_ms),
            until_ms=moment_of(query, "until", now_ms=now_ms),
        )
        before = before_of(query)
        return await self._parts.read(lambda ledger: ledger.audit(where, limit=limit, before=before))


def _href(line: AuditLine) -> str | None:
    """Return the page of what a line is about."""
    target, action = line.entry.target, line.entry.action
    if target is None:
        return None
    if action in {Action.PAUSE, Action.RESUME, Action.RESET, Action.SINK_TEST}:
        return f"/sinks/{target}"
    if target.startswith("dlv_"):
        return f"/deliveries/{target}"
    if target.startswith("run_"):
        return f"/jobs/{target}"
    return f"/replays/{target}" if action is Action.REPLAY_STARTED else None


def _words(detail: Mapping[str, Any]) -> str:
    """Return a line's counts and words as people read them."""
    told = ((name.removeprefix("count_").replace("_", " "), value) for name, value in detail.items())
    said = {True: "yes", False: "no"}
    return ", ".join(f"{name} {said[value] if isinstance(value, bool) else value}" for name, value in told)
