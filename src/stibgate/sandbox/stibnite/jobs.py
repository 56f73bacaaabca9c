"""Person searches. Async ones are queued, running, then succeeded or failed, and an event says so.

The synchronous twin, GET /v1/persons/search, is named in the document and has no section of its own: "the same
interpreted result, pagination, data, and billable_records shape".

Source: Stibnite Person Data API, "Create async person search job", "Get async person search job".
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiohttp import web

from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED
from stibgate.sandbox.stibnite.account import Account
from stibgate.sandbox.stibnite.background import Background
from stibgate.sandbox.stibnite.border import (
    PAGE_MAX,
    Body,
    Count,
    Limit,
    QueryCount,
    QueryLimit,
    Question,
    Word,
    keyed,
    read,
    read_query,
)
from stibgate.sandbox.stibnite.courier import Pause
from stibgate.sandbox.stibnite.documents import job_event, thin_job_event
from stibgate.sandbox.stibnite.refusals import Refused
from stibgate.sandbox.stibnite.search import RECORDS_MAX_DEFAULT, Criteria, Interpretation, Searcher, interpret
from stibgate.sandbox.stibnite.webhooks import Webhooks

SEARCH_FAILED = "person search worker failed: the query asked for it"


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class NewJob(Body):
    """The body of a job's creation."""

    q: Question
    location_city: Word | None = None
    location_state: Word | None = None
    limit: Limit = PAGE_MAX
    max_records: Count = RECORDS_MAX_DEFAULT
    cursor: str | None = None
    dedupe_token: Word | None = None
    dedupe_user_id: Word | None = None

    @property
    def criteria(self) -> Criteria:
        """What it filters by."""
        return Criteria(self.q, self.location_city, self.location_state)


class SearchQuery(NewJob):
    """The query of a synchronous search."""

    limit: QueryLimit = PAGE_MAX
    max_records: QueryCount = RECORDS_MAX_DEFAULT


@dataclass(slots=True)
class Job:
    """One job; `result` is what GET adds to it when it has ended."""

    job_id: str
    asked: NewJob
    offset: int
    meaning: Interpretation
    created_at: str
    status: JobStatus
    result: dict[str, Any]

    def head(self) -> dict[str, Any]:
        """Return the fields that every state has."""
        return {
            "job_id": self.job_id,
            "status": str(self.status),
            "search_strategy": self.meaning.strategy,
            "interpretation": self.meaning.document,
        }

    def document(self) -> dict[str, Any]:
        """Return what GET answers."""
        return self.head() | self.result


class Jobs:
    """The jobs of one account.

    Args:
        account: Who pays.
        webhooks: Who is told.
        background: Where jobs run.
        pause: Waits the given seconds.
        step_s: Seconds that a job is queued, and again that it runs.
        thin: Whether events carry no records.
    """

    def __init__(
        self,
        account: Account,
        webhooks: Webhooks,
        background: Background,
        *,
        pause: Pause,
        step_s: float,
        thin: bool,
    ) -> None:
        self._account = account
        self._webhooks = webhooks
        self._background = background
        self._pause = pause
        self._step_s = step_s
        self._thin = thin
        self._searcher = Searcher(account.seed, account.people, account.cursors)
        self._jobs: dict[str, Job] = {}
        self._delivered: dict[tuple[str, str, str | None], set[int]] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoints of this room."""
        return [
            web.get("/v1/persons/search", keyed(self._account, self._search)),
            web.post("/v1/persons/search/jobs", keyed(self._account, self._create)),
            web.get("/v1/persons/search/jobs/{job_id}", keyed(self._account, self._get)),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        asked = await read(request, NewJob)
        offset = self._searcher.offset(asked.criteria, asked.cursor)
        account = self._account
        job = Job(
            account.new_job_id(),
            asked,
            offset,
            interpret(asked.criteria),
            account.timestamp(),
            JobStatus.QUEUED,
            {},
        )
        self._jobs[job.job_id] = job
        answer = job.head() | {"created_at": job.created_at}
        self._background.spawn(self._run(job))
        return web.json_response(answer)

    async def _search(self, request: web.Request) -> web.Response:
        asked = read_query(request, SearchQuery)
        offset = self._searcher.offset(asked.criteria, asked.cursor)
        if asked.criteria.fails:
            raise Refused(400, SEARCH_FAILED)
        meaning = interpret(asked.criteria)
        head = {"search_strategy": meaning.strategy, "interpretation": meaning.document}
        return web.json_response(head | self._found(asked, offset, meaning))

    async def _get(self, request: web.Request) -> web.Response:
        job = self._jobs.get(request.match_info["job_id"])
        if job is None:
            raise Refused(404, "no such job")
        return web.json_response(job.document())

    async def _run(self, job: Job) -> None:
        await self._pause(self._step_s)
        job.status = JobStatus.RUNNING
        await self._pause(self._step_s)
        # Status and result change in one step of the loop: no GET sees one without the other.
        if job.asked.criteria.fails:
            job.status, job.result = JobStatus.FAILED, {"error": SEARCH_FAILED}
            self._tell(JOB_FAILED, job)
        else:
            job.status, job.result = JobStatus.SUCCEEDED, self._found(job.asked, job.offset, job.meaning)
            self._tell(JOB_SUCCEEDED, job)

    def _found(self, asked: NewJob, offset: int, meaning: Interpretation) -> dict[str, Any]:
        """Return the page that was *asked* for, and bill it."""
        before: set[int] = set()
        if asked.dedupe_token is not None:
            key = (meaning.key(asked.criteria), asked.dedupe_token, asked.dedupe_user_id)
            before = self._delivered.setdefault(key, set())
        page = self._searcher.page(
            asked.criteria, offset=offset, limit=asked.limit, records_max=asked.max_records, without=before
        )
        before.update(page.numbers)
        self._account.billable_records += len(page.numbers)
        search_ms = self._account.draw("search_ms").randrange(200, 1_500)
        return {
            "pagination": page.pagination,
            "data": [self._account.people.person(i) for i in page.numbers],
            "billable_records": len(page.numbers),
            "timings_ms": {
                "interpretation": 0,
                "search": search_ms,
                "total": search_ms + 9,
                "search_strategy": meaning.strategy,
            },
        }

    def _tell(self, event_type: str, job: Job) -> None:
        if self._thin:
            document = thin_job_event(event_type, job.job_id, str(job.status), job.created_at)
        else:
            document = job_event(event_type, job.document())
        self._webhooks.tell(event_type, job.job_id, document)
