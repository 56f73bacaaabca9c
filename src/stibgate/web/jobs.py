"""The admin API's calls about jobs: submit, reconcile, resolve."""

from collections.abc import Callable
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from stibgate.domain.budget import Decision
from stibgate.domain.event import BILLED_MAX
from stibgate.domain.job import Job
from stibgate.errors import StoreUnavailable, UsageError
from stibgate.pipeline.jobdesk import JobDesk
from stibgate.pipeline.purchase import Purchase
from stibgate.vendors.stibnite import NewJob
from stibgate.web.bodies import JsonBody

_By = Annotated[str, Field(max_length=100)]


class SubmitBody(JsonBody):
    """A search job; the request's members have the vendor's names.

    Attributes:
        budget: The budget's name; None for none.
        confirmed: Whether a person said yes.
    """

    q: str
    limit: int = 100
    max_records: int | None = None
    location_city: str | None = None
    location_state: str | None = None
    dedupe_token: str | None = None
    dedupe_user_id: str | None = None
    budget: str | None = None
    confirmed: bool = False
    by: _By = "the admin API"

    def wanted(self) -> NewJob:
        """Return the job.

        Raises:
            UsageError: It is outside of the documented limits.
        """
        return NewJob(**self.model_dump(exclude={"budget", "confirmed", "by"}))


class ReconcileBody(JsonBody):
    """Whether a person says yes to all pages of the searches that wait for that."""

    confirmed: bool = False


class ResolveBody(JsonBody):
    """What became of a run: it is a job, it was billed that much, or, with neither, it was not taken."""

    run_id: str
    job_id: str | None = None
    billed: Annotated[int, Field(ge=0, le=BILLED_MAX)] | None = None
    by: _By = "the admin API"


async def submit(desk: JobDesk, body: SubmitBody) -> dict[str, Any]:
    """Submit a job, and return what came of it as JSON."""
    purchase = await desk.submit(body.wanted(), body.budget, confirmed=body.confirmed, by=body.by)
    return purchase_document(purchase, body.budget)


async def reconcile(desk: JobDesk, body: ReconcileBody) -> dict[str, Any]:
    """Ask for every open job, and return what became of each as JSON."""
    results = await desk.reconcile(confirmed=body.confirmed)
    return {"data": [_result(job, result) for job, result in results]}


async def resolve(desk: JobDesk, body: ResolveBody) -> dict[str, Any]:
    """Say what became of a run, and return that as JSON."""
    result = await desk.resolve(body.run_id, body.job_id, by=body.by, billed=body.billed)
    return {"run_id": body.run_id, "job_id": body.job_id, "result": result}


def purchase_document(purchase: Purchase, budget: str | None) -> dict[str, Any]:
    """Return *purchase* as JSON; amounts are text, to stay exact."""
    return {
        "run_id": purchase.run_id,
        "job_id": purchase.job_id,
        "unit": purchase.unit,
        "ceiling": str(purchase.ceiling),
        "budget": budget,
        "decision": None if purchase.decision is None else _decision(purchase.decision),
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict,
        "reason": decision.reason,
        "message": decision.message,
        "remaining": str(decision.remaining),
        "suggestions": [
            {"change": dict(one.change), "ceiling": str(one.ceiling), "verdict": one.verdict}
            for one in decision.suggestions
        ],
    }


def _result(job: Job, result: str) -> dict[str, Any]:
    return {"run_id": job.run_id, "job_id": job.job_id, "page": job.page, "result": result}


class JobsApi:
    """The calls.

    Args:
        desk: Does what they ask for; None without an API key.
        draining: Whether the service is about to end: then nothing is bought any more.
    """

    def __init__(self, desk: JobDesk | None, *, draining: Callable[[], bool] = lambda: False) -> None:
        self.desk = desk
        self._draining = draining

    async def submit(self, request: web.Request) -> web.Response:
        """Submit a job."""
        body = SubmitBody.read(await request.read())
        return web.json_response(await submit(self._needed(), body))

    async def reconcile(self, request: web.Request) -> web.Response:
        """Ask for every open job; the body may be left out."""
        body = ReconcileBody.read(await request.read() or b"{}")
        return web.json_response(await reconcile(self._needed(), body))

    async def resolve(self, request: web.Request) -> web.Response:
        """Say what became of a run."""
        body = ResolveBody.read(await request.read())
        return web.json_response(await resolve(self._needed(), body))

    def _needed(self) -> JobDesk:
        if self.desk is None:
            raise UsageError(
                "the running service has no stibnite.api_key",
                hint="Set stibnite.api_key and reload it, or STIBGATE_STIBNITE__API_KEY(_FILE) for it and restart it.",
            )
        if self._draining():
            raise StoreUnavailable("the service is stopping", hint="Nothing was done. Try again in a moment.")
        return self.desk
