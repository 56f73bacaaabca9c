"""What people ask for about jobs: submit one, ask for those that are open, say what became of a doubtful one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from stibgate.domain.budget import Budget
from stibgate.domain.job import Job, JobState
from stibgate.errors import UsageError
from stibgate.pipeline.operations import Reader
from stibgate.pipeline.purchase import Buyer, Purchase
from stibgate.pipeline.reconcile import Reconciler
from stibgate.stores import JobBook
from stibgate.vendors.stibnite import NewJob

log = structlog.get_logger("stibgate.jobs")


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
    """

    book: JobBook
    read: Reader
    buyer: Buyer
    reconciler: Reconciler
    budgets: Mapping[str, Budget]
    now_ms: Callable[[], int]
    wake: Callable[[], None] = lambda: None

    async def submit(self, wanted: NewJob, budget: str | None, *, confirmed: bool, by: str) -> Purchase:
        """Submit a job within the budget of that name; see `Buyer.submit`.

        Raises:
            UsageError: There is no such budget, or it counts something else.
        """
        purchase = await self.buyer.submit(wanted, self._budget(budget), confirmed=confirmed, by=by)
        self.wake()
        return purchase

    async def reconcile(self) -> Sequence[tuple[Job, str]]:
        """Ask for every open job now; return what became of each."""
        results = await self.reconciler.reconcile()
        self.wake()
        return results

    async def resolve(self, run_id: str, job_id: str | None, *, by: str) -> None:
        """Say what became of a doubtful run: *job_id*, or nothing, which gives its ceiling back.

        A later page that was not taken is forgotten, and its search may go on with it.

        Raises:
            UsageError: It is not doubtful, or the job belongs to another run.
        """
        run = await self.read(lambda ledger: ledger.job(run_id))
        if run is None or run.state is not JobState.DOUBTFUL:
            state = "not known" if run is None else str(run.state)
            raise UsageError(f"run {run_id} is {state}, not doubtful", hint="`stibgate jobs list` shows them.")
        if job_id is None and run.page > 1:
            await self.book.withdraw(run_id)  # the search may ask for this page again
        elif job_id is None:
            reason = f"was not taken, says {by}"
            await self.book.unsubmitted(run_id, JobState.REFUSED, reason, now_ms=self.now_ms())
        else:
            known = await self.read(lambda ledger: ledger.job(job_id))
            if known is not None and known.asked is not None:
                raise UsageError(f"job {job_id} is run {known.run_id}", hint="Its event and its bill count there.")
            await self.buyer.taken(run_id, job_id, poll_after_ms=0)
        self.wake()

    def _budget(self, name: str | None) -> Budget | None:
        if name is None:
            return None
        budget = self.budgets.get(name)
        if budget is None:
            known = ", ".join(self.budgets) or "none"
            raise UsageError(f"there is no budget {name!r}", hint=f"The configuration has {known}: [budgets.NAME].")
        return budget
