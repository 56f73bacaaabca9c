"""Dead letters: what will not be tried again by itself, by the sink and its reason, and the way to try it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from stibgate.domain.access import Role
from stibgate.domain.task import Task, TaskState
from stibgate.stores import Ledger, TaskFilter
from stibgate.stores.glance import alike
from stibgate.views.deliveries import task_row
from stibgate.web.console.filters import CURSOR, SINCE, TASKS, before_of, task_filter
from stibgate.web.console.page import ConsoleParts, Page, Visit
from stibgate.web.console.twins import ROWS, TWIN_ROWS_MAX, csv_answer, filters_of, json_answer, older_of, twins_of

GROUPED_MAX = 1_000
"""How many of the latest dead letters are sorted into groups."""
GROUPS_MAX = 50
"""How many groups are shown, the largest ones."""
PART_CHARS_MIN = 4
LEFT_OUT = "\N{HORIZONTAL ELLIPSIS}"
"""What `alike` puts in place of what differs."""
COLUMNS = ("task_id", "delivery_id", "sink", "state", "attempts", "error")


@dataclass(slots=True)
class Group:
    """Dead letters of one sink for one reason.

    Attributes:
        error: What their errors have in common.
        part: What each of them has in it, word for word; None where that is too little to find them by.
        latest: The one that died last.
    """

    sink: str
    error: str
    part: str | None
    latest: Task
    tasks: int = 0
    records: int = 0


class Dead:
    """The page `/dead` and its twins."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the page and its twins."""
        query = (TASKS | {CURSOR}) - {"state"}
        return [
            Page("/dead", self._show, "Dead letters", nav=True, query=query),
            Page("/dead.json", self._json, "Dead letters", query=query),
            Page("/dead.csv", self._csv, "Dead letters", query=query),
        ]

    async def _show(self, visit: Visit) -> web.Response:
        where, before = self._where(visit), before_of(visit.query)
        groups, cut, rows = await self._parts.read(partial(_look, where=where, before=before))
        return visit.show(
            "dead.html",
            groups=groups,
            cut=cut,
            grouped_max=GROUPED_MAX,
            rows=[task for _, task in rows[:ROWS]],
            older=older_of(visit, [number for number, _ in rows]),
            filters=filters_of(visit),
            sinks=list(self._parts.settings().sinks),
            since_words=list(SINCE),
            twins=twins_of(visit),
            may_replay=visit.may(Role.OPERATOR),
        )

    async def _json(self, visit: Visit) -> web.Response:
        where, before = self._where(visit), before_of(visit.query)
        rows = await self._parts.read(lambda ledger: ledger.tasks(where, limit=ROWS + 1, before=before))
        return json_answer(visit, [task_row(task) for _, task in rows], [number for number, _ in rows])

    async def _csv(self, visit: Visit) -> web.Response:
        where, before = self._where(visit), before_of(visit.query)
        rows = await self._parts.read(lambda ledger: ledger.tasks(where, limit=TWIN_ROWS_MAX, before=before))
        return await csv_answer((task_row(task) for _, task in rows), COLUMNS, "dead-letters")

    def _where(self, visit: Visit) -> TaskFilter:
        return task_filter({**visit.query, "state": TaskState.DEAD}, now_ms=self._parts.now_ms())


def _look(
    ledger: Ledger, *, where: TaskFilter, before: int | None
) -> tuple[Sequence[Group], bool, Sequence[tuple[int, Task]]]:
    """Return the groups, whether there are more dead letters than were looked at, and a page of them."""
    latest = ledger.tasks(where, limit=GROUPED_MAX + 1)
    groups: dict[tuple[str, str], Group] = {}
    for _, task in latest[:GROUPED_MAX]:
        error = alike(task.error)
        group = groups.setdefault((task.sink, error), Group(task.sink, error, _part(error, task), task))
        group.tasks += 1
        group.records += task.records
    rows = latest[: ROWS + 1] if before is None else ledger.tasks(where, limit=ROWS + 1, before=before)
    ranked = sorted(groups.values(), key=lambda group: group.tasks, reverse=True)[:GROUPS_MAX]
    return ranked, len(latest) > GROUPED_MAX, rows


def _part(error: str, task: Task) -> str | None:
    """Return the longest text that all errors like this one have, to find them by."""
    longest = max(error.split(LEFT_OUT), key=len).strip()
    return longest if task.error and len(longest) >= PART_CHARS_MIN else None
