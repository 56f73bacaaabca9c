"""`stibgate jobs`: search jobs at Stibnite, within a budget, and what became of them."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.decisions import exit_code_of, print_decision
from stibgate.cli.job_rows import print_job, read_decision, submitted_row, why
from stibgate.cli.operate import actor, operate, user
from stibgate.cli.output import chosen, open_ledger, print_rows, printable
from stibgate.cli.service import Way, way_options
from stibgate.domain.job import JobState
from stibgate.errors import StibgateError, UsageError, VendorError, VendorUnavailable
from stibgate.views.jobs import job_row

if TYPE_CHECKING:
    from stibgate.config import Settings

_COLUMNS = ("job_id", "state", "page", "ceiling", "billed", "received", "budget", "submitted_at", "q")
_Q_SHOWN_MAX = 40


@click.group()
def jobs() -> None:
    """Submit search jobs within a budget, and see what became of them."""


@jobs.command()
@click.argument("query")
@config_option
@json_option
@click.option("--limit", type=int, default=100, show_default=True, help="Page size, 1 to 100.")
@click.option("--max-records", type=int, help="Most records over all pages.  [default: --limit, one page]")
@click.option("--location-city", metavar="CITY")
@click.option("--location-state", metavar="STATE")
@click.option("--dedupe-token", metavar="T", help="People delivered under this token are not delivered again.")
@click.option("--dedupe-user", metavar="ID", help="Whose deliveries those are.  [default: the account's]")
@click.option("--budget", metavar="NAME", help="Count it against [budgets.NAME]; without it nothing is checked.")
@click.option("--yes", is_flag=True, help="Confirm a run above the budget's confirm_above.")
@way_options
def submit(
    *,
    query: str,
    config: Path | None,
    as_json: bool,
    limit: int,
    max_records: int | None,
    location_city: str | None,
    location_state: str | None,
    dedupe_token: str | None,
    dedupe_user: str | None,
    budget: str | None,
    yes: bool,
    way: Way,
) -> int:
    """Submit a search job for QUERY, and print its id.

    All that it may cost is set aside before Stibnite is asked, and settled with what was billed. Its records come as
    an event; should that not come, the service asks for the job. Later pages follow by themselves only with
    stibnite.continue_pages.

    Exit codes: 0 submitted, 3 denied by the budget, 4 needs confirmation (--yes), 75 not submitted for now, or nobody
    knows.
    """
    from stibgate.config import load
    from stibgate.web.api.jobs import SubmitBody
    from stibgate.web.api.jobs import submit as do

    body = {
        "q": query,
        "limit": limit,
        "max_records": max_records,
        "location_city": location_city,
        "location_state": location_state,
        "dedupe_token": dedupe_token,
        "dedupe_user_id": dedupe_user,
        "budget": budget,
        "confirmed": yes,
        "by": f"{user()}, by command",
    }
    asked = SubmitBody.read(json.dumps(body))
    asked.wanted()  # its limits are said here, whoever submits it
    settings = load(config).settings
    if budget is not None:
        settings.budget(budget)
    done = operate(settings, "/api/v1/jobs", body, _with_jobs(settings, do, asked), way=way)
    decision = read_decision(done["decision"])
    if as_json:
        click.echo(json.dumps(submitted_row(done, decision)))
    else:
        if decision is not None:
            print_decision(decision, err=True)
        if done["job_id"]:
            click.echo(printable(done["job_id"]))
    return 0 if decision is None else exit_code_of(decision.verdict)


@jobs.command("list")
@config_option
@json_option
@click.option("--state", type=chosen(JobState))
@click.option("--budget", metavar="NAME", help="Only those that count against it.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--cursor", help="Go on after the page that printed it.")
def list_(
    *, config: Path | None, as_json: bool, state: str | None, budget: str | None, limit: int, cursor: str | None
) -> None:
    """List jobs, newest first; each page of a search is a job."""
    from stibgate.stores import JobFilter

    if cursor is not None and not cursor.isdigit():
        raise UsageError(f"--cursor {cursor!r} is not a cursor", hint="Use the one printed at the end of a page.")
    where = JobFilter(state=JobState(state) if state else None, budget=budget)
    with open_ledger(config) as ledger:
        found = ledger.jobs(where, limit=limit, before=int(cursor) if cursor else None)
    rows = [job_row(job) for job in found]
    if not as_json:
        rows = [{**row, "q": _short(row["q"]), "job_id": row["job_id"] or row["run_id"]} for row in rows]
    print_rows(rows, as_json=as_json, columns=_COLUMNS, empty="no jobs")
    if not as_json:
        for job in found:
            for line in why(job):
                click.echo(printable(line))
    if len(found) == limit:
        click.echo(f"more: --cursor {found[-1].sequence}", err=True)


@jobs.command()
@click.argument("id_", metavar="ID")
@config_option
@json_option
def get(*, id_: str, config: Path | None, as_json: bool) -> None:
    """Show a job: what the ledger knows, and what Stibnite says now.

    ID is a job's or a run's. Reading a job bills nothing; people are not shown: they are in `deliveries show`.
    """
    from stibgate.config import load
    from stibgate.errors import NoStore

    settings = load(config).settings
    try:
        with open_ledger(config) as ledger:
            job = ledger.job(id_)
    except NoStore:
        job = None
    job_id = id_ if job is None else job.job_id
    row: dict[str, Any] = {} if job is None else job_row(job)
    row["vendor"], failure = None, None
    if job_id and settings.stibnite.api_key:
        try:
            row["vendor"] = asyncio.run(_asked(settings, job_id))
        except VendorError as error:
            failure = error
    elif job is None:
        raise StibgateError(
            f"the ledger has no job {id_}",
            hint="`stibgate jobs list` shows those that it has; with stibnite.api_key Stibnite is asked too.",
        )
    if job is not None or failure is None:
        print_job(row, as_json=as_json)
    if failure is not None:
        raise failure


@jobs.command()
@config_option
@json_option
@click.option("--yes", is_flag=True, help="Confirm all pages of the searches that stopped as needs_confirmation.")
@way_options
def reconcile(*, config: Path | None, as_json: bool, yes: bool, way: Way) -> None:
    """Ask Stibnite for every job that has not ended, now.

    What has ended comes in as a delivery, as its event would have. Searches that a budget stopped are tried again;
    one that may cost more with all its pages than the budget's confirm_above, and was not confirmed with them, needs
    --yes.
    """
    from stibgate.config import load
    from stibgate.pipeline.reconcile import UNREACHABLE
    from stibgate.web.api.jobs import ReconcileBody
    from stibgate.web.api.jobs import reconcile as do

    settings, body = load(config).settings, {"confirmed": yes}
    asked = ReconcileBody.read(json.dumps(body))
    done = operate(settings, "/api/v1/jobs/reconcile", body, _with_jobs(settings, do, asked), way=way)
    rows = done["data"]
    print_rows(rows, as_json=as_json, columns=("job_id", "page", "result"), empty="no job is open")
    if rows and all(row["result"].startswith(UNREACHABLE) for row in rows):
        raise VendorUnavailable(
            "Stibnite could not be asked for any job", hint="`stibgate doctor` looks at the account."
        )


@jobs.command()
@click.argument("run_id")
@click.option("--job", "job_id", metavar="JOB_ID", help="The job that it became.  [default: none, it was not taken]")
@click.option("--billed", type=int, metavar="N", help="What a job was billed that succeeded without saying so.")
@config_option
@way_options
def resolve(*, run_id: str, job_id: str | None, billed: int | None, config: Path | None, way: Way) -> None:
    """Say what became of a run that is doubtful, lost, or succeeded without a bill.

    A run is doubtful when Stibnite's answer was lost: it may have become a job, so all that it may cost stays set
    aside. With --job it is that job, and asked for at once; without, it is none, and its ceiling is given back. Should
    its event come all the same, the job is in the ledger, but in no budget.

    A lost run is asked for again with --job and its own job's id; without, its ceiling is given back. An event that
    comes later still counts, for its budget too.
    """
    from stibgate.config import load
    from stibgate.web.api.jobs import ResolveBody
    from stibgate.web.api.jobs import resolve as do

    body = {"run_id": run_id, "job_id": job_id, "billed": billed, "by": f"{user()}, by command"}
    asked = ResolveBody.read(json.dumps(body))
    settings = load(config).settings
    done = operate(settings, "/api/v1/jobs/resolve", body, _with_jobs(settings, do, asked), way=way)
    click.echo(printable(done["result"]))


def _with_jobs(settings: "Settings", do: Any, asked: Any) -> Any:
    """Return what does *asked* on the store itself."""

    async def locally() -> dict[str, Any]:
        from stibgate.app.jobs import operate_jobs

        return await operate_jobs(settings, lambda desk, auditor: do(desk, auditor, actor(), asked))

    return locally


async def _asked(settings: "Settings", job_id: str) -> dict[str, Any]:
    """Return what Stibnite says of a job, without its people.

    Raises:
        VendorError: It does not say.
    """
    from stibgate.app.vendors import stibnite_client

    async with stibnite_client(settings) as stibnite:
        job = await stibnite.get_job(job_id)
    page = job.pagination
    return {
        "status": job.status,
        "records": None if job.data is None else len(job.data),
        "billable_records": job.billable_records,
        "total_records": page.total_records if page else None,
        "total_records_relation": page.total_records_relation if page else None,
        "next_page": job.next_cursor is not None,
        "error": job.error,
    }


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= _Q_SHOWN_MAX else f"{text[: _Q_SHOWN_MAX - 1]}…"
