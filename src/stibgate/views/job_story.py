"""What happened to a job and its money, as lines in order of time; never what was searched for or who was found."""

from collections.abc import Iterator

from stibgate.domain.budget import format_amount
from stibgate.domain.job import Job, JobState
from stibgate.stores import JobFilter, Ledger
from stibgate.views.story import Line
from stibgate.views.words import counted, moment


def story_of_job(ledger: Ledger, job: Job) -> list[Line]:
    """Return what happened to a job, up to the delivery that brought its end."""
    about = job.delivery_id or ""
    return [Line(at_ms, about, what) for at_ms, what in _told(ledger, job)]


def _told(ledger: Ledger, job: Job) -> Iterator[tuple[int, str]]:
    if job.asked is None:
        yield job.created_at_ms, f"job {job.job_id} is known from {job.by} only: nobody here submitted it"
    else:
        parent = f", after {job.parent_job_id}" if job.parent_job_id else ""
        page = f"page {job.page}{parent}" if job.page > 1 or parent else "a search"
        aside = f", set aside in budget {job.budget} ({job.window})" if job.budget else ", counted in no budget"
        most = format_amount(job.ceiling) if job.ceiling is not None else "?"
        yield job.created_at_ms, f"{job.run_id}: {page}, asked for by {job.by}; at most {most} {job.unit}{aside}"
    if job.submitted_at_ms is not None:
        yield job.submitted_at_ms, f"{job.run_id} is job {job.job_id} at Stibnite"
    yield _last_ms(job), f"{job.job_id or job.run_id} is now {job.state}{_ending(job)}"
    if job.state is JobState.SUCCEEDED and job.asked is not None:
        yield _last_ms(job), _next_page(ledger, job)


def _last_ms(job: Job) -> int:
    return job.ended_at_ms or job.submitted_at_ms or job.created_at_ms


def _ending(job: Job) -> str:
    """Return how it ended, or what is known of an end to come."""
    words = [job.reason] if job.reason else []
    if job.received is not None:
        billed = "nobody said what was billed" if job.billed is None else f"{job.billed} billed"
        words.append(f"{counted(job.received, 'record')}, {billed}")
    if job.polls:
        words.append(f"asked for {counted(job.polls, 'time')} in vain")
    if job.next_poll_at_ms is not None:
        words.append(f"asked for again at {moment(job.next_poll_at_ms)}")
    if job.reserved:
        words.append(f"{format_amount(job.reserved)} {job.unit} stay set aside")
    return f": {'; '.join(words)}" if words else ""


def _next_page(ledger: Ledger, job: Job) -> str:
    """Return what became of the search after this page."""
    if job.stopped is not None:
        return f"the search goes no further: {job.stopped}"
    if job.continued:
        pages = ledger.jobs(JobFilter(chain=job.chain), limit=None)
        names = [page.job_id or page.run_id for page in pages if page.page == job.page + 1]
        return f"the next page is {', '.join(names) or 'under way'}"
    if job.more:
        return "there is a next page; it follows with stibnite.continue_pages"
    return "the search ends here"
