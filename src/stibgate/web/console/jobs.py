"""What was bought: budgets, alarms, jobs, and what each bill brought.

A search's text may name people, so only operators see it.
"""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from stibgate.domain.access import Role
from stibgate.domain.job import Job, JobState
from stibgate.errors import UsageError
from stibgate.pipeline.alarms import uses_in
from stibgate.stores import Bill, JobFilter, Ledger
from stibgate.views.job_story import story_of_job
from stibgate.views.jobs import job_row_for
from stibgate.views.money import bill_row, budget_row
from stibgate.web.console.filters import CURSOR, SINCE, before_of, moment_of
from stibgate.web.console.page import ConsoleParts, Page, Visit, missing
from stibgate.web.console.twins import ROWS, TWIN_ROWS_MAX, csv_answer, filters_of, json_answer, older_of, twins_of

ALARMS_MAX = 20
JOBS = frozenset({"state", "budget"})
BILLS = frozenset({"since", "short"})
JOB_COLUMNS = (
    "job_id", "run_id", "state", "page", "parent_job_id", "q", "limit", "max_records", "budget", "unit", "estimated",
    "ceiling", "billed", "received", "more", "stopped", "delivery_id", "submitted_at", "ended_at", "polls",
    "reason", "by",
)  # fmt: skip
BILL_COLUMNS = (
    "at", "job_id", "run_id", "search_id", "delivery_id", "state", "unit", "budget", "estimated", "ceiling", "billed",
    "received", "delivered", "waiting", "missing",
)  # fmt: skip


class Jobs:
    """The pages `/jobs`, `/jobs/bills` and `/jobs/{id}`, and the twins of the lists."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the lists, their twins, and one job."""
        jobs, bills = JOBS | {CURSOR}, BILLS | {CURSOR}
        return [
            Page("/jobs", self._jobs, "Jobs", nav=True, query=jobs),
            Page("/jobs.json", self._jobs_json, "Jobs", query=jobs),
            Page("/jobs.csv", self._jobs_csv, "Jobs", query=jobs),
            Page("/jobs/bills", self._bills, "Bills", query=bills),
            Page("/jobs/bills.json", self._bills_json, "Bills", query=bills),
            Page("/jobs/bills.csv", self._bills_csv, "Bills", query=bills),
            Page("/jobs/{id}", self._job, "Job"),
        ]

    async def _jobs(self, visit: Visit) -> web.Response:
        where, before, now_ms = self._where(visit), before_of(visit.query), self._parts.now_ms()
        settings = self._parts.settings()

        def look(ledger: Ledger) -> tuple[Sequence[Job], list[dict[str, Any]]]:
            uses = uses_in(ledger, [settings.budget(name) for name in settings.budgets], now_ms)
            return ledger.jobs(where, limit=ROWS + 1, before=before), [budget_row(use) for use in uses]

        found, budgets = await self._parts.read(look)
        alarms = await self._parts.alarms.latest()
        return visit.show(
            "jobs.html",
            rows=[_shown(visit, job) for job in found[:ROWS]],
            older=older_of(visit, [job.sequence for job in found]),
            budgets=budgets,
            alarms=alarms,
            alarms_max=ALARMS_MAX,
            filters=filters_of(visit),
            states=list(JobState),
            budget_names=list(settings.budgets),
            twins=twins_of(visit),
            has_key=settings.stibnite.api_key is not None,
        )

    async def _jobs_json(self, visit: Visit) -> web.Response:
        found = await self._read(visit, ROWS + 1)
        return json_answer(visit, [_shown(visit, job) for job in found], [job.sequence for job in found])

    async def _jobs_csv(self, visit: Visit) -> web.Response:
        found = await self._read(visit, TWIN_ROWS_MAX)
        return await csv_answer((_shown(visit, job) for job in found), JOB_COLUMNS, "jobs")

    async def _read(self, visit: Visit, limit: int) -> Sequence[Job]:
        where, before = self._where(visit), before_of(visit.query)
        return await self._parts.read(lambda ledger: ledger.jobs(where, limit=limit, before=before))

    def _where(self, visit: Visit) -> JobFilter:
        """Return which jobs the URL asks for.

        Raises:
            UsageError: There is no such state or budget.
        """
        state, budget = visit.query.get("state"), visit.query.get("budget")
        if state is not None and state not in set(JobState):
            raise UsageError(f"a job is never {state!r}", hint=f"It is one of {', '.join(JobState)}.")
        if budget is not None:
            self._parts.settings().budget(budget)
        return JobFilter(state=None if state is None else JobState(state), budget=budget)

    async def _bills(self, visit: Visit) -> web.Response:
        found = await self._read_bills(visit, ROWS + 1)
        return visit.show(
            "bills.html",
            rows=None if found is None else [bill_row(bill) for bill in found[:ROWS]],
            older=older_of(visit, [bill.sequence for bill in found or ()]),
            filters=filters_of(visit),
            since_words=list(SINCE),
            twins=twins_of(visit),
        )

    async def _bills_json(self, visit: Visit) -> web.Response:
        found = await self._read_bills(visit, ROWS + 1, patient=True) or ()
        return json_answer(visit, [bill_row(bill) for bill in found], [bill.sequence for bill in found])

    async def _bills_csv(self, visit: Visit) -> web.Response:
        found = await self._read_bills(visit, TWIN_ROWS_MAX, patient=True) or ()
        return await csv_answer(map(bill_row, found), BILL_COLUMNS, "bills")

    async def _read_bills(self, visit: Visit, limit: int, *, patient: bool = False) -> Sequence[Bill] | None:
        """Return the bills that the URL asks for; None while those that miss records are still being looked for.

        Raises:
            UsageError: A filter has a value that it cannot have.
        """
        query, short = visit.query, visit.query.get("short", "no")
        if short not in {"yes", "no"}:
            raise UsageError(f"short {short!r} is none", hint="It is yes or no.")
        before, since_ms = before_of(query), moment_of(query, "since", now_ms=self._parts.now_ms())
        if short == "no":
            return await self._parts.read(lambda ledger: ledger.bills(limit=limit, before=before, since_ms=since_ms))
        found = await self._parts.alarms.latest(patient=patient)
        if found is None:
            return None
        meant = (one for one in found.short if before is None or one.sequence < before)
        return [one for one in meant if since_ms is None or one.at_ms >= since_ms][:limit]

    async def _job(self, visit: Visit) -> web.Response:
        name = visit.part("id")

        def look(ledger: Ledger) -> tuple[Job, list[Any], Sequence[Job]] | None:
            job = ledger.job(name)
            if job is None:
                return None
            pages = ledger.jobs(JobFilter(chain=job.chain), limit=ROWS)
            return job, story_of_job(ledger, job), pages if len(pages) > 1 else ()

        found = await self._parts.read(look)
        if found is None:
            raise missing("the ledger has no such job", "Jobs lists those that it has, each by its job's or run's id.")
        job, story, pages = found
        return visit.show(
            "job.html",
            title=f"Job {job.job_id or job.run_id}",
            row=_shown(visit, job),
            story=story,
            pages=[_shown(visit, page) for page in reversed(pages)],
        )


def _shown(visit: Visit, job: Job) -> dict[str, Any]:
    """Return a job as this person may see it."""
    return job_row_for(job, plain=visit.may(Role.OPERATOR))
