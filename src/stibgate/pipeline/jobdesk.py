"""What people ask for about jobs: submit one, ask for those that are open, say what became of a doubtful one.

A person who says that a run was not taken gives its money back. Should its event come all the same, nothing ties the
two together: the job is adopted, and stands in the ledger with what it was billed, but in no budget.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stibgate.domain.budget import Budget, format_amount
from stibgate.domain.job import Job, JobState, StopReason
from stibgate.errors import UsageError
from stibgate.pipeline.operations import Reader
from stibgate.pipeline.purchase import Buyer, Purchase, whole_search
from stibgate.pipeline.reconcile import Reconciler
from stibgate.stores import JobBook, JobFilter
from stibgate.vendors.paths import segment
from stibgate.vendors.stibnite import NewJob

_WAITING = JobFilter(stopped=StopReason.NEEDS_CONFIRMATION)


@dataclass(frozen=True, slots=True)
class JobDesk:
    """Does what people ask for about jobs.

    Attributes:
        book: The store's writes.
        read: The store's reads.
        buyer: Submits.
        reconciler: Asks for open jobs.
        budgets: By name.
        now_ms: The clock.
        wake: Called after something changed.
        takes_jobs: Whether a source takes the events of jobs.
    """

    book: JobBook
    read: Reader
    buyer: Buyer
    reconciler: Reconciler
    budgets: Mapping[str, Budget]
    now_ms: Callable[[], int]
    wake: Callable[[], None] = lambda: None
    takes_jobs: bool = True

    async def submit(self, wanted: NewJob, budget: str | None, *, confirmed: bool, by: str) -> Purchase:
        """Submit a job within the budget of that name; see `Buyer.submit`.

        Raises:
            UsageError: There is no such budget, it counts something else, or nothing could take the result.
        """
        if not self.takes_jobs:
            raise UsageError(
                "no source takes the events of jobs, so the people would be paid for and go nowhere",
                hint='Add a source with kind = "stibnite_jobs" to the configuration.',
            )
        purchase = await self.buyer.submit(wanted, self._budget(budget), confirmed=confirmed, by=by)
        self.wake()
        return purchase

    async def reconcile(self, *, confirmed: bool = False) -> Sequence[tuple[Job, str]]:
        """Ask for every open job now; return what became of each, and which searches wait for a confirmation.

        Args:
            confirmed: A person says yes to all pages of those searches.
        """
        await self.buyer.catch_up()
        waiting = await self.read(lambda ledger: ledger.jobs(_WAITING, limit=None)) if confirmed else ()
        for job in waiting:
            await self.book.confirm(job.run_id, whole_search(job))
        results = [(job, f"confirmed: {format_amount(whole_search(job))} with all its pages") for job in waiting]
        results += await self.reconciler.reconcile()
        for job in await self.read(lambda ledger: ledger.jobs(_WAITING, limit=None)):
            all_pages = format_amount(whole_search(job))
            results.append((job, f"needs confirmation: {all_pages} with all its pages; --yes confirms"))
        self.wake()
        return results

    async def resolve(self, run_id: str, job_id: str | None, *, by: str, billed: int | None = None) -> str:
        """Say what became of a run of which that is not known; return it in words.

        A doubtful run, or one that nobody submits any more, becomes *job_id*; or nothing, which gives its ceiling
        back: then a later page is forgotten, and its search may go on with it. A lost run is asked for again as its
        own job, or is given up. A run that succeeded without anybody saying what it was billed, was billed *billed*.

        Raises:
            UsageError: What became of it is known, the job belongs to another run, or *job_id* cannot be one.
        """
        if job_id is not None:
            segment("a job's id", job_id)
        if job_id is not None and billed is not None:
            raise UsageError("a job and a bill were given", hint="Say which job it is, or what it was billed.")
        run = await self.read(lambda ledger: ledger.job(run_id))
        if run is None:
            raise UsageError(f"run {run_id} is not known", hint="`stibgate jobs list` shows them.")
        if billed is not None:
            told = await self._was_billed(run, billed)
        elif job_id is None:
            told = await self._is_nothing(run, by)
        else:
            told = await self._is_job(run, job_id)
        self.wake()
        return told

    async def _was_billed(self, run: Job, billed: int) -> str:
        if run.state is not JobState.SUCCEEDED or run.billed is not None or run.job_id is None:
            known = run.state if run.billed is None else f"{run.state}, billed {run.billed}"
            hint = "A bill is given for a job that succeeded, and of which nobody said what was billed."
            raise UsageError(f"run {run.run_id} is {known}", hint=hint)
        await self.book.amend(run.job_id, billed=billed, next_cursor=None)
        return f"{run.run_id} was billed {billed}"

    async def _is_nothing(self, run: Job, by: str) -> str:
        self._refuse_known(run)
        if run.page > 1 and run.state is not JobState.LOST:
            await self.book.withdraw(run.run_id)  # the search may ask for this page again
            return f"{run.run_id} was not taken; nothing is set aside for it"
        how = "was given up" if run.state is JobState.LOST else "was not taken"
        if not await self.book.unsubmitted(run.run_id, JobState.REFUSED, f"{how}, says {by}", now_ms=self.now_ms()):
            raise UsageError(f"run {run.run_id} has just changed", hint="`stibgate jobs list` shows what it is now.")
        return f"{run.run_id} {how}; nothing is set aside for it"

    async def _is_job(self, run: Job, job_id: str) -> str:
        if run.job_id == job_id and run.state is not JobState.LOST:
            return f"{run.run_id} is {job_id}"  # it is noted already
        self._refuse_known(run)
        if run.state is JobState.LOST and run.job_id != job_id:
            raise UsageError(f"run {run.run_id} is job {run.job_id}", hint="It can be asked for again as that only.")
        known = await self.read(lambda ledger: ledger.job(job_id))
        if known is not None and known.asked is not None and known.run_id != run.run_id:
            raise UsageError(f"job {job_id} is run {known.run_id}", hint="Its event and its bill count there.")
        await self.buyer.taken(run.run_id, job_id, poll_after_ms=0)
        return f"{run.run_id} is {job_id}"

    def _refuse_known(self, run: Job) -> None:
        """Refuse to say what became of *run* when that is known, or somebody is about to know it."""
        if run.run_id in self.buyer.under_way:
            raise UsageError(f"run {run.run_id} is being submitted now", hint="Wait until that has ended.")
        if run.state not in {JobState.RESERVED, JobState.DOUBTFUL, JobState.LOST}:
            unknown = run.state is JobState.SUCCEEDED and run.billed is None
            hint = f"`stibgate jobs resolve {run.run_id} --billed N` says what it was billed." if unknown else ""
            raise UsageError(
                f"run {run.run_id} is {run.state}, not doubtful", hint=hint or "`stibgate jobs list` shows them."
            )

    def _budget(self, name: str | None) -> Budget | None:
        if name is None:
            return None
        budget = self.budgets.get(name)
        if budget is None:
            known = ", ".join(self.budgets) or "none"
            raise UsageError(f"there is no budget {name!r}", hint=f"The configuration has {known}: [budgets.NAME].")
        return budget
