"""Exact lookups: people by identifier, people of a company, and the inventory of domains.

A lookup has no pages in the document; here it answers the first 100. A company that nobody knows has no people,
which is no error.

Source: Stibnite Person Data API, "Exact person lookup", "Company domain inventory", "Company people".
"""

from itertools import islice
from typing import Annotated, Any

from aiohttp import web
from pydantic import AfterValidator

from stibgate.sandbox.stibnite.account import Account
from stibgate.sandbox.stibnite.border import PAGE_MAX, Query, QueryCount, QueryLimit, Word, keyed, read_query
from stibgate.sandbox.stibnite.directory import Directory, Wanted, plain_domain
from stibgate.sandbox.stibnite.refusals import Refused

STAFF_PAGE = 100
STAFF_PAGE_MAX = 500
CONTACTS_MIN_DEFAULT = 5


class LookupQuery(Query):
    """The query of a lookup: at least one of them."""

    email: Word | None = None
    company_domain: Word | None = None
    linkedin_url: Word | None = None
    phone: Word | None = None


class DomainsQuery(Query):
    """The query of the domain inventory."""

    limit: QueryLimit = PAGE_MAX
    cursor: str | None = None
    min_contacts: QueryCount = CONTACTS_MIN_DEFAULT
    industry: Word | None = None
    location_state: Word | None = None


class StaffQuery(Query):
    """The query of a company's people."""

    limit: Annotated[QueryCount, AfterValidator(lambda limit: min(limit, STAFF_PAGE_MAX))] = STAFF_PAGE
    max_records: QueryCount | None = None
    cursor: str | None = None


class Lookups:
    """The lookups of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._directory = Directory(account.people)

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoints of this room."""
        return [
            web.get("/v1/persons/lookup", keyed(self._account, self._lookup)),
            web.get("/v1/domains", keyed(self._account, self._domains)),
            web.get("/v1/companies/{domain}/people", keyed(self._account, self._staff)),
        ]

    async def _lookup(self, request: web.Request) -> web.Response:
        asked = read_query(request, LookupQuery)
        if not asked.model_fields_set:
            raise Refused(400, "email, company_domain, linkedin_url or phone is required")
        wanted = Wanted.of(
            email=asked.email, domain=asked.company_domain, linkedin_url=asked.linkedin_url, phone=asked.phone
        )
        people = self._directory.lookup(wanted, PAGE_MAX)
        return web.json_response({"data": people, "billable_records": self._billed(people)})

    async def _domains(self, request: web.Request) -> web.Response:
        asked = read_query(request, DomainsQuery)
        filters = ("domains", asked.min_contacts, asked.industry, asked.location_state)
        first = self._account.cursors.place(asked.cursor, *filters)
        found = self._directory.domains(
            first, contacts_min=asked.min_contacts, industry=asked.industry or "", state=asked.location_state
        )
        page = list(islice(found, asked.limit + 1))  # one more, to know whether there is a next page
        following = page[asked.limit][0] if len(page) > asked.limit else None
        return web.json_response(
            {
                "data": [domain for _, domain in page[: asked.limit]],
                "pagination": {
                    "next_cursor": None if following is None else self._account.cursors.cursor(following, *filters)
                },
            }
        )

    async def _staff(self, request: web.Request) -> web.Response:
        asked = read_query(request, StaffQuery)
        domain = plain_domain(request.match_info["domain"])
        first = self._account.cursors.place(asked.cursor, "staff", domain)
        total = self._directory.staff_count(domain)
        if asked.max_records is not None:
            total = min(total, asked.max_records)
        last = min(first + asked.limit, total)
        people = list(self._directory.staff(domain, first, last))
        pagination: dict[str, Any] = {
            "limit": asked.limit,
            "next_cursor": self._account.cursors.cursor(last, "staff", domain) if last < total else None,
        }
        if asked.max_records is not None:
            pagination["max_records"] = asked.max_records
        return web.json_response({"data": people, "pagination": pagination, "billable_records": self._billed(people)})

    def _billed(self, people: list[dict[str, Any]]) -> int:
        """Return how many records were returned; they are billed now."""
        self._account.billable_records += len(people)
        return len(people)
