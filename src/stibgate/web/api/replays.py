"""Calls that send again or cancel: by ids or a filter, counted first with `dry_run`, and once for each key."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from stibgate.domain.access import Role
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.task import TaskState
from stibgate.errors import UsageError
from stibgate.normalise import Rules
from stibgate.stores import Bulk, DeliveryFilter, Selection, TaskFilter
from stibgate.views.finding import person_identifiers
from stibgate.views.replays import bulk_row, report_row
from stibgate.web.api import shapes
from stibgate.web.api.keyed import asked_as
from stibgate.web.api.route import Api, Call, Reply, Route, missing, whole
from stibgate.web.api.times import Instant, instant_ms
from stibgate.web.bodies import JsonBody

IDS_MAX = 10_000
_ID_MAX = 200


def _state(text: str) -> str:
    if text not in {*DeliveryState, *TaskState}:
        raise ValueError("must be a state of deliveries or tasks")
    return text


class FilterBody(JsonBody):
    """Which deliveries or tasks; every field that is given must hold."""

    state: Annotated[str, AfterValidator(_state)] | None = None
    source: str | None = None
    event_type: str | None = None
    since: Instant | None = None
    until: Instant | None = None
    search_id: str | None = None
    job_id: str | None = None
    partner_customer_id: str | None = None
    error: str | None = None
    person: str | None = None


class SelectionBody(JsonBody):
    """Ids, or a filter, of deliveries or of tasks.

    Attributes:
        of: What is meant.
        ids: What exactly; a filter is not looked at then.
        by: Who asks, as the stories of deliveries tell it.
    """

    of: Literal["deliveries", "tasks"] = "deliveries"
    ids: Annotated[list[Annotated[str, Field(max_length=_ID_MAX)]], Field(max_length=IDS_MAX, default_factory=list)]
    filter: FilterBody = FilterBody()
    sink: str | None = None
    dry_run: bool = False
    by: Annotated[str, Field(max_length=100)] | None = None

    @property
    def named(self) -> bool:
        """Whether anything says what is meant: an empty body must not act on everything."""
        return bool(self.ids or self.sink or self.filter.model_dump(exclude_none=True))

    def selection(self, rules: Rules) -> Selection:
        """Return what is meant.

        Raises:
            UsageError: A state is not one of these, or nothing at all says what is meant.
        """
        given = self.filter
        if not (self.dry_run or self.named):
            raise UsageError(
                "nothing says what is meant", hint="Give ids or a filter; `dry_run` counts everything without one."
            )
        states = DeliveryState if self.of == "deliveries" else TaskState
        if given.state is not None and given.state not in set(states):
            raise UsageError(f"{self.of} are never {given.state}", hint=f"One of {', '.join(states)}.")
        where: DeliveryFilter | TaskFilter
        if self.of == "deliveries":
            where = DeliveryFilter(
                state=None if given.state is None else DeliveryState(given.state),
                event_type=given.event_type,
                partner_customer_id=given.partner_customer_id,
            )
        elif given.event_type is not None or given.partner_customer_id is not None:
            raise UsageError(
                "tasks have no event_type and no partner_customer_id",
                hint='Say "of": "deliveries", or filter otherwise.',
            )
        else:
            where = TaskFilter(state=None if given.state is None else TaskState(given.state))
        where = replace(
            where,
            source=given.source,
            search_id=given.search_id,
            job_id=given.job_id,
            error=given.error,
            since_ms=instant_ms(given.since),
            until_ms=instant_ms(given.until),
        )
        identifiers = [] if given.person is None else person_identifiers(given.person, rules)
        return Selection(where, self.ids, identifiers, self.sink)


class ReplayBody(SelectionBody):
    """What to send again.

    Attributes:
        all: Send records again that are done.
        background: Answer 202 at once; GET /replays/{id} tells how far it has come.
    """

    all: bool = False
    background: bool = False

    @property
    def named(self) -> bool:
        """Whether anything says what is meant; `all` does."""
        return self.all or super().named


class CancelBody(SelectionBody):
    """What to end: tasks, by their ids, or by the ids of deliveries for all tasks of those, or by a filter."""

    of: Literal["tasks"]


async def replay(api: Api, call: Call) -> Any:
    """Send again, or count what would be."""
    body: ReplayBody = call.body
    selection, actor = body.selection(api.rules), call.actor(body.by)
    if body.background and not body.dry_run:
        bulk = await api.acts.start_replay(actor, selection, forced=body.all, asked_as=asked_as(call.request))
        return Reply(bulk_row(bulk), 202, {"Location": f"/api/v1/replays/{bulk.replay_id}"})
    return report_row(await api.acts.replay(actor, selection, forced=body.all, dry_run=body.dry_run))


async def cancel(api: Api, call: Call) -> dict[str, Any]:
    """End tasks that nobody works on, or count those that would be."""
    body: CancelBody = call.body
    return report_row(await api.acts.cancel(call.actor(body.by), body.selection(api.rules), dry_run=body.dry_run))


async def list_replays(api: Api, _call: Call) -> dict[str, Any]:
    """Return the replays in the background that are remembered, newest first."""
    return whole([bulk_row(bulk) for bulk in await api.read(lambda ledger: ledger.bulks())])


async def progress(api: Api, call: Call) -> dict[str, Any]:
    """Return how far a replay has come."""
    return _row(await api.read(lambda ledger: ledger.bulk(call.part("id"))), call)


async def stop(api: Api, call: Call) -> dict[str, Any]:
    """End a replay after what it is at."""
    return _row(await api.acts.cancel_replay(call.actor(), call.part("id")), call)


def _row(bulk: Bulk | None, call: Call) -> dict[str, Any]:
    if bulk is None:
        raise missing("replay", call.part("id"), _GONE)
    return bulk_row(bulk)


_GONE = "Only the last hundred of those that have ended are remembered; the audit has the others."
ROUTES = (
    Route(
        "POST", "/replays", Role.OPERATOR, "Send deliveries or tasks again; dry_run counts first", replay,
        shapes.Report, body=ReplayBody, keyed=True, later=shapes.Bulk,
    ),
    Route("GET", "/replays", Role.VIEWER, "List replays in the background", list_replays, shapes.Replays),
    Route("GET", "/replays/{id}", Role.VIEWER, "Tell how far a replay has come", progress, shapes.Bulk),
    Route("POST", "/replays/{id}/cancel", Role.OPERATOR, "Stop a replay after what it is at", stop, shapes.Bulk),
    Route(
        "POST", "/cancellations", Role.OPERATOR, "End tasks that nobody works on; dry_run counts first", cancel,
        shapes.Report, body=CancelBody, keyed=True,
    ),
)  # fmt: skip
