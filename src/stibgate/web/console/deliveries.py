"""What came: the list of deliveries, and the box that finds one by whatever name somebody knows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from aiohttp import web

from stibgate.domain.access import Role
from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED, RECORDS_PUSHED
from stibgate.domain.task import Task
from stibgate.normalise import Rules
from stibgate.stores import DeliveryFilter, Ledger, TaskFilter
from stibgate.views.deliveries import delivery_row
from stibgate.views.finding import NOTHING, narrowed
from stibgate.web.console.filters import CURSOR, DELIVERIES, SINCE, before_of, delivery_filter
from stibgate.web.console.page import ConsoleParts, Page, Visit, go, missing
from stibgate.web.console.twins import ROWS, TWIN_ROWS_MAX, csv_answer, filters_of, json_answer, older_of, twins_of

COLUMNS = (
    "delivery_id", "received_at", "state", "source", "event_type", "records", "search_id", "job_id",
    "partner_customer_id", "duplicates", "via", "reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A delivery and where its records go."""

    delivery: StoredDelivery
    tasks: Sequence[Task]


class Deliveries:
    """The pages `/deliveries` and its twins."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the list, its twins, and the search."""
        query = DELIVERIES | {CURSOR}
        return [
            Page("/deliveries", self._list, "Deliveries", nav=True, query=query),
            Page("/deliveries.json", self._json, "Deliveries", query=query),
            Page("/deliveries.csv", self._csv, "Deliveries", query=query),
            Page("/deliveries/find", self._find, "Deliveries", method="POST", back="/deliveries"),
        ]

    async def _list(self, visit: Visit) -> web.Response:
        where, before = self._where(visit), before_of(visit.query)
        rows = await self._parts.read(partial(_rows, where=where, before=before))
        settings = self._parts.settings()
        return visit.show(
            "deliveries.html",
            rows=rows[:ROWS],
            older=older_of(visit, [row.delivery.sequence for row in rows]),
            filters=filters_of(visit),
            states=list(DeliveryState),
            sources=list(settings.sources),
            sinks=list(settings.sinks),
            event_types=(RECORDS_PUSHED, JOB_SUCCEEDED, JOB_FAILED),
            since_words=list(SINCE),
            twins=twins_of(visit),
            may_replay=visit.may(Role.OPERATOR),
        )

    async def _json(self, visit: Visit) -> web.Response:
        where, before = self._where(visit), before_of(visit.query)
        found = await self._parts.read(lambda ledger: ledger.deliveries(where, limit=ROWS + 1, before=before))
        return json_answer(visit, [delivery_row(one) for one in found], [one.sequence for one in found])

    async def _csv(self, visit: Visit) -> web.Response:
        where, before = self._where(visit), before_of(visit.query)
        found = await self._parts.read(lambda ledger: ledger.deliveries(where, limit=TWIN_ROWS_MAX, before=before))
        return await csv_answer(map(delivery_row, found), COLUMNS, "deliveries")

    def _where(self, visit: Visit) -> DeliveryFilter:
        return delivery_filter(visit.query, now_ms=self._parts.now_ms())

    async def _find(self, visit: Visit) -> web.Response:
        """Lead to what the search box names. It is a POST, so that no address stands in a URL."""
        text = visit.field("q").strip()
        if not text:
            return go("/deliveries")
        rules = self._parts.settings().normalise.rules()
        path = await self._parts.read(partial(_find, text=text, rules=rules, people=visit.may(Role.OPERATOR)))
        if path is None:
            raise missing(
                "nothing here has that name",
                "Known are the ids of deliveries, tasks, jobs, searches, customers and people, e-mail addresses, phone"
                " numbers, LinkedIn URLs and the body's SHA-256.",
            )
        return go(path)


def _rows(ledger: Ledger, *, where: DeliveryFilter, before: int | None) -> list[Row]:
    """Return one row more than a page shows, so that it is known whether there are older ones."""
    found = ledger.deliveries(where, limit=ROWS + 1, before=before)
    return [Row(one, _tasks(ledger, one)) for one in found[:ROWS]] + [Row(one, ()) for one in found[ROWS:]]


def _tasks(ledger: Ledger, delivery: StoredDelivery) -> Sequence[Task]:
    found = ledger.tasks(TaskFilter(delivery_id=delivery.delivery_id), limit=None)
    return [task for _, task in reversed(found)]


def _find(ledger: Ledger, *, text: str, rules: Rules, people: bool) -> str | None:
    """Return the path of what *text* names; None when it names nothing."""
    where = narrowed(ledger, DeliveryFilter(), text, rules, people=people)
    if where is NOTHING:
        return None
    if where.delivery_id is not None:
        return f"/deliveries/{where.delivery_id}"
    if where.person is not None:
        return f"/deliveries?{urlencode({'person': ','.join(f'h:{one.hex()}' for one in where.person)})}"
    if where.body_sha256 is not None:
        return f"/deliveries?{urlencode({'body_sha256': text.lower()})}"
    names = [name for name in ("job_id", "search_id", "partner_customer_id") if getattr(where, name) is not None]
    return f"/deliveries?{urlencode(dict.fromkeys(names, text))}"
