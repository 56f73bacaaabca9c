"""Calls about jobs: what was asked for, submit, reconcile, resolve."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from stibgate.domain.access import Role
from stibgate.domain.audit import Action, Actor
from stibgate.domain.budget import Decision
from stibgate.domain.event import BILLED_MAX
from stibgate.domain.job import Job, JobState
from stibgate.errors import StoreUnavailable, UsageError
from stibgate.pipeline.audit import Auditor
from stibgate.pipeline.jobdesk import JobDesk
from stibgate.pipeline.purchase import Purchase
from stibgate.stores import JobFilter, Ledger
from stibgate.vendors.stibnite import NewJob
from stibgate.views.jobs import job_row_for
from stibgate.web.api import shapes
from stibgate.web.api.route import Api, Call, Page, Route, Text, missing, paged
from stibgate.web.bodies import JsonBody

_By = Annotated[str, Field(max_length=100)] | None
_LONGEST = 10_000


class SubmitBody(JsonBody):
    """A search job; the request's members have the vendor's names.

    Attributes:
        budget: The budget's name; None for none.
        confirmed: Whether a person said yes.
    """

    q: Annotated[str, Field(max_length=_LONGEST)]
    limit: int = 100
    max_records: int | None = None
    location_city: str | None = None
    location_state: str | None = None
    dedupe_token: str | None = None
    dedupe_user_id: str | None = None
    budget: str | None = None
    confirmed: bool = False
    by: _By = None

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
    by: _By = None


async def submit(desk: JobDesk, auditor: Auditor, actor: Actor, body: SubmitBody) -> dict[str, Any]:
    """Submit a job, and return what came of it as JSON."""
    purchase = await desk.submit(body.wanted(), body.budget, confirmed=body.confirmed, by=actor.called)
    verdict = "allow" if purchase.decision is None else str(purchase.decision.verdict)
    await auditor.note(actor, Action.JOBS_SUBMIT, purchase.run_id, verdict=verdict)
    return purchase_document(purchase, body.budget)


async def reconcile(desk: JobDesk, auditor: Auditor, actor: Actor, body: ReconcileBody) -> dict[str, Any]:
    """Ask for every open job, and return what became of each as JSON."""
    results = await desk.reconcile(confirmed=body.confirmed)
    await auditor.note(actor, Action.JOBS_RECONCILE, jobs=len(results), confirmed=body.confirmed)
    return {"data": [_result(job, result) for job, result in results]}


async def resolve(desk: JobDesk, auditor: Auditor, actor: Actor, body: ResolveBody) -> dict[str, Any]:
    """Say what became of a run, and return that as JSON."""
    result = await desk.resolve(body.run_id, body.job_id, by=actor.called, billed=body.billed)
    as_what = "job" if body.job_id is not None else "nothing" if body.billed is None else "billed"
    await auditor.note(actor, Action.JOBS_RESOLVE, body.run_id, as_what=as_what)
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


class JobsQuery(Page):
    """Which jobs; every filter that is given must hold."""

    state: JobState | None = None
    budget: Text | None = None


async def list_jobs(api: Api, call: Call) -> dict[str, Any]:
    """Return a page of jobs, newest first."""
    where = JobFilter(state=call.query.state, budget=call.query.budget)

    def find(ledger: Ledger, limit: int, before: int | None) -> Sequence[Job]:
        return ledger.jobs(where, limit=limit, before=before)

    return await paged(api, call, find, lambda job: job.sequence, partial(_shown, call))


async def show_job(api: Api, call: Call) -> dict[str, Any]:
    """Return one job, by its own id or its run's."""
    name = call.part("id")

    def look(ledger: Ledger) -> dict[str, Any]:
        job = ledger.job(name)
        if job is None:
            raise missing("job", name, "GET /api/v1/jobs lists them.")
        return _shown(call, job)

    return await api.read(look)


def _shown(call: Call, job: Job) -> dict[str, Any]:
    """Return a job as whoever calls may see it: a search's text may name people."""
    return job_row_for(job, plain=call.principal.role.may(Role.OPERATOR))


async def submit_job(api: Api, call: Call) -> dict[str, Any]:
    """Submit a job within a budget."""
    return await submit(_needed(api), api.acts.auditor, call.actor(call.body.by), call.body)


async def reconcile_jobs(api: Api, call: Call) -> dict[str, Any]:
    """Ask for every open job; the body may be left out."""
    return await reconcile(_needed(api), api.acts.auditor, call.actor(), call.body)


async def resolve_run(api: Api, call: Call) -> dict[str, Any]:
    """Say what became of a run."""
    return await resolve(_needed(api), api.acts.auditor, call.actor(call.body.by), call.body)


def _needed(api: Api) -> JobDesk:
    desk = api.desk()
    if desk is None:
        raise UsageError(
            "the running service has no stibnite.api_key",
            hint="Set stibnite.api_key and reload it, or STIBGATE_STIBNITE__API_KEY(_FILE) for it and restart it.",
        )
    if api.draining():
        raise StoreUnavailable("the service is stopping", hint="Nothing was done. Try again in a moment.")
    return desk


ROUTES = (
    Route("GET", "/jobs", Role.VIEWER, "List jobs, newest first", list_jobs, shapes.Jobs, JobsQuery),
    Route("GET", "/jobs/{id}", Role.VIEWER, "Show a job, by its id or its run's", show_job, shapes.Job),
    Route(
        "POST", "/jobs", Role.OPERATOR, "Submit a search job, within a budget", submit_job, shapes.Purchase,
        body=SubmitBody, keyed=True, refusals=(502, 503),
    ),
    Route(
        "POST", "/jobs/reconcile", Role.OPERATOR, "Ask for every open job now", reconcile_jobs, shapes.Reconciled,
        body=ReconcileBody, bodiless=True, refusals=(502, 503),
    ),
    Route(
        "POST", "/jobs/resolve", Role.OPERATOR, "Say what became of a run", resolve_run, shapes.Resolved,
        body=ResolveBody, refusals=(502, 503),
    ),
)  # fmt: skip
