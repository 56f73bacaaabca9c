"""Prospecting sessions: the widget's search, and the push or export of what its user chose.

The document leaves the widget's search open ("returned by the iframe search endpoint"); here it is
POST /v1/prospecting/sessions with `{q, limit}`.

Source: Stibnite Person Data API, "Push prospecting results to partner", "Export prospecting results as CSV".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from stibgate.domain.event import RECORDS_PUSHED
from stibgate.sandbox.people import STAFF_COUNT
from stibgate.sandbox.stibnite.account import Account
from stibgate.sandbox.stibnite.border import PAGE_MAX, Body, Limit, Question, Word, read
from stibgate.sandbox.stibnite.courier import Courier, Parcel
from stibgate.sandbox.stibnite.documents import encode, export_csv, push_document, push_headers
from stibgate.sandbox.stibnite.prospecting import Customer, Embedded, Prospecting
from stibgate.sandbox.stibnite.refusals import Refused
from stibgate.sandbox.stibnite.search import Criteria, Searcher

FILTERS = ("city", "state", "industry", "name", "employee_count")
"""What `applied_filters` may refine by, each as `company_<name>`; not documented beyond "refinement filters"."""


class NewSearch(Body):
    """The body of the widget's search."""

    q: Question
    limit: Limit = PAGE_MAX


class NewSelection(Body):
    """The body of a push and of an export: whom."""

    selection_mode: Literal["selected", "page", "all_results"]
    prospect_ids: list[Word] | None = None
    applied_filters: dict[str, str | int | list[str | int]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Session:
    """One search of one customer: everybody whom it found, of whom the first `shown` are on the loaded page."""

    search_id: str
    customer: Customer
    found: tuple[int, ...]
    shown: int


class Sessions:
    """The prospecting sessions of one account."""

    def __init__(self, account: Account, prospecting: Prospecting, courier: Courier) -> None:
        self._account = account
        self._prospecting = prospecting
        self._courier = courier
        self._searcher = Searcher(account.seed, account.people, account.cursors)
        self._sessions: dict[str, Session] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoints of this room."""
        return [
            web.post("/v1/prospecting/sessions", self._create),
            web.post("/v1/prospecting/sessions/{search_id}/push", self._push),
            web.post("/v1/prospecting/sessions/{search_id}/export", self._export),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        embedded = self._prospecting.embedded(request)
        asked = await read(request, NewSearch)
        criteria = Criteria(asked.q)
        criteria.require_supported()
        embedded.customer.wallet.open_session()
        found = self._searcher.all_found(criteria)
        session = Session(self._account.new_id("search"), embedded.customer, found, min(asked.limit, len(found)))
        self._sessions[session.search_id] = session
        owned = embedded.customer.owned
        previews = [self._account.people.preview(i, purchased=i in owned) for i in found[: session.shown]]
        return web.json_response({"search_id": session.search_id, "data": previews})

    async def _push(self, request: web.Request) -> web.Response:
        embedded, session = self._opened(request)
        asked = await read(request, NewSelection)
        if embedded.key.result_delivery_url is None:
            raise Refused(400, "the embed key has no result_delivery_url")
        chosen = self._chosen(session, asked)
        net_new = self._buy(embedded.customer, chosen)
        document = self._document(session, embedded.user_id, asked, chosen, net_new)
        parcel = Parcel(embedded.key.result_delivery_url, push_headers(session.search_id), encode(document))
        sent = await self._courier.push(RECORDS_PUSHED, session.search_id, parcel)
        return web.json_response(
            {
                "delivered": sent.taken,
                "delivery_status": sent.status,
                "search_id": session.search_id,
                "partner_customer_id": session.customer.partner_customer_id,
                "selection": {"mode": asked.selection_mode, "prospect_ids": self._named(asked, chosen)},
                "pushed_records": len(chosen),
                "net_new_billable_records": net_new,
                "already_purchased_records": len(chosen) - net_new,
            }
        )

    async def _export(self, request: web.Request) -> web.Response:
        embedded, session = self._opened(request)
        if not embedded.key.csv_export_enabled:
            raise Refused(403, "csv_export_enabled is not true for this customer")
        chosen = self._chosen(session, await read(request, NewSelection))
        net_new = self._buy(embedded.customer, chosen)
        return web.Response(
            body=export_csv(self._account.people.prospect(i) for i in chosen),
            headers={
                "content-type": "text/csv; charset=utf-8",
                "content-disposition": f'attachment; filename="prospecting-{session.search_id}.csv"',
                "x-exported-records": str(len(chosen)),
                "x-net-new-billable-records": str(net_new),
                "x-already-purchased-records": str(len(chosen) - net_new),
            },
        )

    def _opened(self, request: web.Request) -> tuple[Embedded, Session]:
        """Return whose token it is, and the session in the path.

        Raises:
            Refused: 401, or 404 when the session is not this customer's.
        """
        embedded = self._prospecting.embedded(request)
        session = self._sessions.get(request.match_info["search_id"])
        if session is None or session.customer is not embedded.customer:
            raise Refused(404, "no such prospecting session")
        return embedded, session

    def _chosen(self, session: Session, asked: NewSelection) -> list[int]:
        """Return whom the user chose, each once.

        Raises:
            Refused: 400, when nobody, or somebody whom the session did not find.
        """
        if asked.selection_mode == "all_results":
            return [i for i in session.found if self._fits(i, asked.applied_filters)]
        if asked.prospect_ids is None and asked.selection_mode == "page":
            return list(session.found[: session.shown])
        if not asked.prospect_ids:
            raise Refused(400, f"prospect_ids is required with selection_mode {asked.selection_mode}")
        numbers = {self._account.people.prospect_id(i): i for i in session.found}
        unknown = [prospect_id for prospect_id in asked.prospect_ids if prospect_id not in numbers]
        if unknown:
            raise Refused(400, f"prospect_ids: {len(unknown)} of them are not results of this session")
        return [numbers[prospect_id] for prospect_id in dict.fromkeys(asked.prospect_ids)]

    def _fits(self, i: int, filters: Mapping[str, Any]) -> bool:
        if not filters:
            return True
        company = self._account.people.company(i // STAFF_COUNT)
        for name, wanted in filters.items():
            key = name.removeprefix("company_")
            if key == name or key not in FILTERS:
                allowed = ", ".join(f"company_{filter_}" for filter_ in FILTERS)
                raise Refused(400, f"applied_filters: there are {allowed}")
            if company[key] not in (wanted if isinstance(wanted, list) else [wanted]):
                return False
        return True

    def _buy(self, customer: Customer, chosen: list[int]) -> int:
        """Return how many of *chosen* the customer did not own yet; it owns and has paid for them now.

        Raises:
            Refused: 402, when its wallet does not allow that.
        """
        # Bought before the delivery is tried, as documented: a push that fails has been paid, and a second
        # push delivers the same people without billing them again.
        net_new = len(set(chosen) - customer.owned)
        customer.wallet.reveal(net_new)
        customer.owned.update(chosen)
        self._account.billable_records += net_new
        return net_new

    def _document(
        self, session: Session, user_id: str | None, asked: NewSelection, chosen: list[int], net_new: int
    ) -> dict[str, Any]:
        return push_document(
            session.search_id,
            customer_id=session.customer.partner_customer_id,
            user_id=user_id,
            selection={
                "mode": asked.selection_mode,
                "prospect_ids": self._named(asked, chosen),
                "filters": asked.applied_filters,
                "total_records": len(chosen),
            },
            records=[self._account.people.prospect(i) for i in chosen],
            net_new=net_new,
        )

    def _named(self, asked: NewSelection, chosen: list[int]) -> list[str]:
        """Return the ids that the selection names; `all_results` names none."""
        if asked.selection_mode == "all_results":
            return []
        return [self._account.people.prospect_id(i) for i in chosen]
