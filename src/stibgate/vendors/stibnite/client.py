"""The client of the Stibnite Person Data API: every documented endpoint, typed.

    async with StibniteClient("https://platform.stibnite.co", SecretStr("stib_live_..."), means=means) as stibnite:
        async for domain in stibnite.domains(DomainFilters(min_contacts=20), max_records=500):
            ...

A GET that bills (`lookup`, `company_people`) is sent again by itself only when it surely was not carried out. A POST
is sent again only where its caller says so (`repeatable`), and what makes a second thing (an embed key, an endpoint,
a grant) never is. `maybe_done` of an error says whether the vendor may have done, and billed, what was asked.
Source: Stibnite Person Data API; research/vendors.md 4.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Self

from pydantic import SecretStr

from stibgate.vendors.answers import read_json, shaped
from stibgate.vendors.http import BODY_MAX_BYTES, Http, Repeat
from stibgate.vendors.retry import Means, Patience
from stibgate.vendors.stibnite import models, paging
from stibgate.vendors.stibnite.export import EXPORT_MAX_BYTES, Export, read_export
from stibgate.vendors.stibnite.people import Domain, Person
from stibgate.vendors.stibnite.polling import Polling, ended_job
from stibgate.vendors.stibnite.proofs import by_api_key, by_embed_token, by_public_key
from stibgate.vendors.stibnite.requests import (
    COMPANY_PAGE_MAX,
    PAGE_MAX,
    DomainFilters,
    Lookup,
    NewCredits,
    NewEmbedKey,
    NewEmbedSession,
    NewEndpoint,
    NewJob,
    Selection,
    check_page,
)
from stibgate.vendors.stibnite.wire import Question, Wire

_JOBS = "/v1/persons/search/jobs"
_ENDPOINTS = "/v1/webhooks/endpoints"
_PEOPLE = "/v1/companies/{domain}/people"
_WALLET = "/v1/partner-customers/{partner_customer_id}/wallet"


class StibniteClient:
    """One account at Stibnite; an async context manager.

    Every method raises a `VendorError` when there is no documented answer, and `UsageError` for what cannot be asked.

    Args:
        base_url: https, or http on loopback.
        api_key: The account's.
        means: Clock, sleep and jitter.
        patience: How long one call is tried.
        timeout_s: For one exchange.

    Raises:
        UsageError: *base_url* or *api_key* cannot be used; the message shows neither.
    """

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr,
        *,
        means: Means,
        patience: Patience | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self._wire = Wire(Http(base_url, timeout_s=timeout_s, observe=means.observe), means, patience or Patience())
        self._key = by_api_key(api_key)

    async def __aenter__(self) -> Self:
        """Make ready; nothing is sent yet."""
        await self._wire.http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of the connections."""
        await self._wire.http.__aexit__()

    async def create_job(self, job: NewJob, *, repeatable: bool = False) -> models.Job:
        """Queue a search; nothing is billed before it succeeds. A *repeatable* one may be queued twice."""
        question = Question(_JOBS, body=job.body(), repeat=_repeat(repeatable), private=(job.q,))
        return await self._wire.typed(question, self._key, models.Job)

    async def get_job(self, job_id: str) -> models.Job:
        """Return a job, with its page when it has succeeded; reading it bills nothing."""
        job, _ = await self.read_job(job_id)
        return job

    async def read_job(self, job_id: str) -> tuple[models.Job, bytes]:
        """Return a job as `get_job` does, and the answer's body byte for byte."""
        question = Question(f"{_JOBS}/{{job_id}}", ids={"job_id": job_id})
        call, answer = await self._wire.whole(question, self._key)
        return shaped(call, read_json(call, answer), models.Job), answer.body

    async def wait_for_job(self, job_id: str, *, polling: Polling | None = None) -> models.Job:
        """Return the job once it has succeeded or failed.

        Raises:
            VendorUnavailable: It has not ended in time; it may end yet.
        """
        return await ended_job(lambda: self.get_job(job_id), means=self._wire.means, polling=polling or Polling())

    def search(self, job: NewJob, *, max_records: int, polling: Polling | None = None) -> AsyncIterator[models.Job]:
        """Yield one ended job a page until the search ends, *max_records* are there, or a job fails (the last).

        One job runs at a time: two under one `dedupe_token` could both be billed for the same people.
        """

        async def fetch(limit: int, cursor: str | None) -> models.Job:
            asked = replace(job, limit=limit, cursor=cursor, max_records=max_records)
            return await self.wait_for_job((await self.create_job(asked)).job_id, polling=polling)

        return paging.pages(f"POST {_JOBS}", fetch, limit=job.limit, max_records=max_records, cursor=job.cursor)

    async def taxonomy(self) -> models.Taxonomy:
        """Return which roles, industries and filters are searched fast."""
        return await self._wire.typed(Question("/v1/persons/search/taxonomy"), self._key, models.Taxonomy)

    async def lookup(self, lookup: Lookup) -> models.PeoplePage:
        """Return the people with exactly these identifiers; bills whom it returns."""
        question = Question(
            "/v1/persons/lookup",
            query=lookup.query(),
            repeat=Repeat.UNLESS_DONE,
            private=tuple(lookup.query().values()),
        )
        return await self._wire.typed(question, self._key, models.PeoplePage)

    async def customer_wallet(self, partner_customer_id: str) -> models.CustomerWallet:
        """Return a partner customer's wallet; needs a managed-account key."""
        question = Question(_WALLET, ids={"partner_customer_id": partner_customer_id})
        return await self._wire.typed(question, self._key, models.CustomerWallet)

    async def grant_credits(self, partner_customer_id: str, credits_: NewCredits) -> models.GrantedCredits:
        """Grant credits to a partner customer, and return its wallet then. Never sent again by itself."""
        question = Question(
            f"{_WALLET}/credits",
            ids={"partner_customer_id": partner_customer_id},
            body=credits_.body(),
            repeat=Repeat.NEVER,
        )
        return await self._wire.typed(question, self._key, models.GrantedCredits)

    async def create_embed_key(self, key: NewEmbedKey) -> models.CreatedEmbedKey:
        """Create a public loader key; its value is in this answer only. Never sent again by itself."""
        private = (key.result_delivery_url,) if key.result_delivery_url else ()
        question = Question("/v1/prospecting/embed-keys", body=key.body(), repeat=Repeat.NEVER, private=private)
        return await self._wire.typed(question, self._key, models.CreatedEmbedKey)

    async def open_embed_session(self, session: NewEmbedSession, *, repeatable: bool = False) -> models.EmbedSession:
        """Return a customer's embed token; the customer is made on first use."""
        question = Question("/v1/prospecting/embed-sessions", body=session.body(), repeat=_repeat(repeatable))
        proof = by_public_key(session.partner_key, session.origin)
        return await self._wire.typed(question, proof, models.EmbedSession)

    async def embed_wallet(self, token: SecretStr) -> models.CustomerWallet:
        """Return the wallet of the embed token's customer."""
        return await self._wire.typed(Question("/v1/prospecting/wallet"), by_embed_token(token), models.CustomerWallet)

    async def push(
        self, token: SecretStr, search_id: str, selection: Selection, *, repeatable: bool = False
    ) -> models.Pushed:
        """Buy the selection and have it posted to the partner's endpoint. Again, it is delivered again, not billed."""
        question = _of_session("push", search_id, selection, repeatable=repeatable)
        return await self._wire.typed(question, by_embed_token(token), models.Pushed)

    async def export(
        self, token: SecretStr, search_id: str, selection: Selection, *, repeatable: bool = False
    ) -> Export:
        """Buy the selection and return it as CSV, at most 128 MiB. Again, it is not billed again."""
        question = _of_session("export", search_id, selection, repeatable=repeatable)
        return read_export(*await self._wire.whole(question, by_embed_token(token)))

    async def domains_page(
        self, filters: DomainFilters, *, limit: int = PAGE_MAX, cursor: str | None = None
    ) -> models.DomainsPage:
        """Return one page of companies' domains; not billed."""
        check_page(limit, PAGE_MAX, cursor)
        question = Question("/v1/domains", query={"limit": limit, "cursor": cursor, **filters.query()})
        return await self._wire.typed(question, self._key, models.DomainsPage)

    def domains(self, filters: DomainFilters, *, max_records: int, limit: int = PAGE_MAX) -> AsyncIterator[Domain]:
        """Yield at most *max_records* domains, page by page as they are wanted."""

        async def fetch(asked: int, cursor: str | None) -> models.DomainsPage:
            return await self.domains_page(filters, limit=asked, cursor=cursor)

        return paging.rows("GET /v1/domains", fetch, limit=limit, max_records=max_records)

    async def company_people_page(
        self, domain: str, *, limit: int = PAGE_MAX, cursor: str | None = None, max_records: int | None = None
    ) -> models.PeoplePage:
        """Return one page, of at most 500, of a company's people; bills whom it returns."""
        check_page(limit, COMPANY_PAGE_MAX, cursor, max_records)
        question = Question(
            _PEOPLE,
            ids={"domain": domain},
            query={"limit": limit, "max_records": max_records, "cursor": cursor},
            repeat=Repeat.UNLESS_DONE,
        )
        return await self._wire.typed(question, self._key, models.PeoplePage)

    def company_people(self, domain: str, *, max_records: int, limit: int = PAGE_MAX) -> AsyncIterator[Person]:
        """Yield at most *max_records* people of a company, page by page as they are wanted; bills each page."""

        async def fetch(asked: int, cursor: str | None) -> models.PeoplePage:
            return await self.company_people_page(domain, limit=asked, cursor=cursor, max_records=max_records)

        return paging.rows(f"GET {_PEOPLE}", fetch, limit=limit, max_records=max_records)

    async def create_endpoint(self, endpoint: NewEndpoint) -> models.CreatedEndpoint:
        """Register a webhook endpoint; its secret is in this answer only. Never sent again by itself."""
        question = Question(_ENDPOINTS, body=endpoint.body(), repeat=Repeat.NEVER, private=(endpoint.url,))
        return await self._wire.typed(question, self._key, models.CreatedEndpoint)

    async def list_endpoints(self) -> list[models.Endpoint]:
        """Return the account's webhook endpoints."""
        call, value = await self._wire.value(Question(_ENDPOINTS), self._key)
        # The document names this list without showing it: like the other lists, or bare.
        return shaped(call, {"data": value} if isinstance(value, list) else value, models.Endpoints).data

    async def delete_endpoint(self, endpoint_id: str) -> models.Deleted:
        """Delete a webhook endpoint: nothing is delivered to it any more."""
        question = Question(f"{_ENDPOINTS}/{{endpoint_id}}", ids={"endpoint_id": endpoint_id}, deletes=True)
        call, answer = await self._wire.whole(question, self._key)
        if answer.status in {204, 404}:
            return models.Deleted(deleted=True)
        return shaped(call, read_json(call, answer), models.Deleted)

    async def usage(self) -> models.Usage:
        """Return what the API key has used so far."""
        return await self._wire.typed(Question("/v1/usage"), self._key, models.Usage)


def _repeat(repeatable: bool) -> Repeat:  # noqa: FBT001  (the only thing it is about)
    return Repeat.FREELY if repeatable else Repeat.NEVER


def _of_session(verb: str, search_id: str, selection: Selection, *, repeatable: bool) -> Question:
    return Question(
        f"/v1/prospecting/sessions/{{search_id}}/{verb}",
        ids={"search_id": search_id},
        body=selection.body(),
        repeat=_repeat(repeatable),
        answer_max_bytes=EXPORT_MAX_BYTES if verb == "export" else BODY_MAX_BYTES,
    )
