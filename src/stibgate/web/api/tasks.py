"""Calls about tasks: what is owed to which sink, and how each attempt ended."""

from collections.abc import Sequence
from typing import Any

from stibgate.domain.access import Role
from stibgate.domain.task import Task, TaskState
from stibgate.stores import Ledger, TaskFilter
from stibgate.views.deliveries import describe_task, task_row
from stibgate.web.api import shapes
from stibgate.web.api.route import Api, Call, Page, Route, Text, missing, paged
from stibgate.web.api.times import Instant, instant_ms


class TasksQuery(Page):
    """Which tasks; every filter that is given must hold. `error` is a part of their error, as it is written."""

    state: TaskState | None = None
    sink: Text | None = None
    source: Text | None = None
    delivery_id: Text | None = None
    search_id: Text | None = None
    job_id: Text | None = None
    since: Instant | None = None
    until: Instant | None = None
    error: Text | None = None

    def where(self) -> TaskFilter:
        """Return the store's filter."""
        return TaskFilter(
            state=self.state,
            sink=self.sink,
            source=self.source,
            delivery_id=self.delivery_id,
            search_id=self.search_id,
            job_id=self.job_id,
            since_ms=instant_ms(self.since),
            until_ms=instant_ms(self.until),
            error=self.error,
        )


async def list_tasks(api: Api, call: Call) -> dict[str, Any]:
    """Return a page of tasks, newest first."""
    where = call.query.where()

    def find(ledger: Ledger, limit: int, before: int | None) -> Sequence[tuple[int, Task]]:
        return ledger.tasks(where, limit=limit, before=before)

    return await paged(api, call, find, lambda one: one[0], lambda one: task_row(one[1]))


async def show(api: Api, call: Call) -> dict[str, Any]:
    """Return one task with its outcomes and attempts."""
    name = call.part("id")

    def look(ledger: Ledger) -> dict[str, Any]:
        task = ledger.task(name)
        if task is None:
            raise missing("task", name, "GET /api/v1/tasks lists them.")
        return describe_task(ledger, task)

    return await api.read(look)


ROUTES = (
    Route("GET", "/tasks", Role.VIEWER, "List tasks, newest first", list_tasks, shapes.Tasks, TasksQuery),
    Route("GET", "/tasks/{id}", Role.VIEWER, "Show a task with its outcomes and attempts", show, shapes.TaskDetail),
)
