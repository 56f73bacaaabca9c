"""Calls about deliveries: what came, what was made of it, what became of it. Whom it names only for those who may."""

from collections.abc import Sequence
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from stibgate.domain.access import Role
from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.errors import PermissionRefused
from stibgate.stores import DeliveryFilter, Ledger, TaskFilter
from stibgate.views.deliveries import delivery_row, describe_delivery, task_row
from stibgate.views.finding import narrowed, person_hashes
from stibgate.views.masking import masked_record
from stibgate.views.story import line_row, story_of_delivery
from stibgate.web.api import shapes
from stibgate.web.api.route import Api, Call, Page, Query, Route, Text, missing, paged, whole
from stibgate.web.api.times import Instant, instant_ms
from stibgate.web.refused import Refused


class DeliveriesQuery(Page):
    """Which deliveries; every filter that is given must hold.

    Attributes:
        q: An id of any kind, 8 or more digits of the body's SHA-256, or an e-mail address, phone number or LinkedIn
            URL, which needs the role operator; looked up, never searched for in text.
    """

    state: DeliveryState | None = None
    source: Text | None = None
    event_type: Text | None = None
    sink: Text | None = None
    since: Instant | None = None
    until: Instant | None = None
    search_id: Text | None = None
    job_id: Text | None = None
    partner_customer_id: Text | None = None
    person_id: Text | None = None
    q: Text | None = None

    def where(self, api: Api, ledger: Ledger, *, people: bool) -> DeliveryFilter:
        """Return the store's filter.

        Raises:
            Refused: 403 when `q` is an address, and *people* may not be looked up.
        """
        plain = {
            name: getattr(self, name)
            for name in ("state", "source", "event_type", "sink", "search_id", "job_id", "partner_customer_id")
        }
        person = None if self.person_id is None else tuple(person_hashes(ledger, [("person_id", self.person_id)]))
        where = DeliveryFilter(**plain, since_ms=instant_ms(self.since), until_ms=instant_ms(self.until), person=person)
        if self.q is None:
            return where
        try:
            return narrowed(ledger, where, self.q, api.rules, people=people)
        except PermissionRefused as error:
            raise Refused(403, error.message, error.hint) from error


class RecordsQuery(Query):
    """How records are shown.

    Attributes:
        masked: Whether personal data is masked; whoever may not see it gets it masked anyway.
    """

    masked: bool = False


class BodyQuery(Query):
    """Which body is meant.

    Attributes:
        sha256: Of a body that came under the same key and was not the same; without it the first one.
    """

    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")] | None = None


async def list_deliveries(api: Api, call: Call) -> dict[str, Any]:
    """Return a page of deliveries, newest first."""
    query: DeliveriesQuery = call.query
    people = call.principal.role.may(Role.OPERATOR)

    def find(ledger: Ledger, limit: int, before: int | None) -> Sequence[StoredDelivery]:
        return ledger.deliveries(query.where(api, ledger, people=people), limit=limit, before=before)

    return await paged(api, call, find, lambda one: one.sequence, delivery_row)


def _known(ledger: Ledger, delivery_id: str) -> StoredDelivery:
    delivery = ledger.delivery(delivery_id)
    if delivery is None:
        raise missing("delivery", delivery_id, "GET /api/v1/deliveries lists them.")
    return delivery


async def show(api: Api, call: Call) -> dict[str, Any]:
    """Return one delivery with its tasks, outcomes, duplicates and conflicts."""
    name = call.part("id")
    return await api.read(lambda ledger: describe_delivery(ledger, _known(ledger, name)))


async def body(api: Api, call: Call) -> web.Response:
    """Return the raw body, byte for byte, once the audit has it."""
    name, query = call.part("id"), call.query
    digest = None if query.sha256 is None else bytes.fromhex(query.sha256)
    await api.read(lambda ledger: _known(ledger, name))
    data = await api.read(lambda ledger: ledger.body(name, digest))
    if data is None and digest is not None:
        raise missing("body with that hash of delivery", name, "The delivery's `conflicts` name those that there are.")
    await api.acts.reveal(call.actor(), name, "body")
    # What a sender sent must not become a page of ours.
    headers = {"Content-Disposition": 'attachment; filename="body"', "Content-Security-Policy": "sandbox"}
    return web.Response(body=data or b"", content_type="application/octet-stream", headers=headers)


async def records(api: Api, call: Call) -> dict[str, Any]:
    """Return the normalised records: as they are for those who may see them, masked for all others."""
    name, query = call.part("id"), call.query
    await api.read(lambda ledger: _known(ledger, name))
    hidden = query.masked or not call.principal.role.may(Role.OPERATOR)
    if not hidden:
        await api.acts.reveal(call.actor(), name, "records")
    found = await api.read(lambda ledger: ledger.records(name))
    data = [masked_record(one) if hidden else one.to_document() for one in found]
    return {"masked": hidden, "data": data}


async def tasks(api: Api, call: Call) -> dict[str, Any]:
    """Return the tasks of one delivery, oldest first."""
    where = TaskFilter(delivery_id=_name(call))

    def look(ledger: Ledger) -> list[dict[str, Any]]:
        _known(ledger, _name(call))
        return [task_row(task) for _, task in reversed(ledger.tasks(where, limit=None))]

    return whole(await api.read(look))


async def timeline(api: Api, call: Call) -> dict[str, Any]:
    """Return what happened to one delivery, in order of time."""

    def look(ledger: Ledger) -> list[dict[str, Any]]:
        return [line_row(line) for line in story_of_delivery(ledger, _known(ledger, _name(call)))]

    return whole(await api.read(look))


def _name(call: Call) -> str:
    return call.part("id")


_ONE = "/deliveries/{id}"
ROUTES = (
    Route(
        "GET", "/deliveries", Role.VIEWER, "List deliveries, newest first", list_deliveries, shapes.Deliveries,
        DeliveriesQuery,
    ),
    Route("GET", _ONE, Role.VIEWER, "Show a delivery with its tasks and outcomes", show, shapes.DeliveryDetail),
    Route(
        "GET", f"{_ONE}/body", Role.OPERATOR, "Get the raw body, which is audited", body, query=BodyQuery,
        content_type="application/octet-stream",
    ),
    Route(
        "GET", f"{_ONE}/records", Role.VIEWER, "Get the records: masked for viewers, audited for others", records,
        shapes.Records, RecordsQuery,
    ),
    Route("GET", f"{_ONE}/tasks", Role.VIEWER, "List the tasks of a delivery", tasks, shapes.TaskList),
    Route("GET", f"{_ONE}/timeline", Role.VIEWER, "Tell what happened to a delivery", timeline, shapes.Timeline),
)  # fmt: skip
