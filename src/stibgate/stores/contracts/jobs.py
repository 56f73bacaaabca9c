"""What is bought, and what it costs."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from stibgate.domain.budget import Budget
from stibgate.domain.job import Job, JobState, NewRun, Reservation


class JobBook(Protocol):
    """What is bought, and what it costs. Each call is one transaction."""

    async def reserve(self, run: NewRun, budget: Budget | None, *, confirmed: bool) -> Reservation:
        """Set aside what *run* may cost, if `domain.budget.decide` allows it; then the run is `reserved`.

        The window's sum and the new reservation are one transaction, so no two runs can have the same money. A run
        without a budget is always allowed. A page that has a next one already gets no second
        (`Reservation.busy_run_id`). Nothing is written for a run that is not allowed, except that its parent
        is stopped (`over_budget`, `needs_confirmation`); of one that is allowed, the parent is continued.
        Of two runs with one dedupe token (and user) only one is open (`domain.job.OPEN`) at a time.
        """
        ...

    async def submitted(self, run_id: str, job_id: str, *, now_ms: int, poll_at_ms: int) -> None:
        """Note that the vendor took a reserved or doubtful run as *job_id*; or that a lost one, which is it, goes on.

        What an event said of the job meanwhile counts for the run: the row of its adoption becomes this run's. A
        delivery that was quarantined because nobody knew the job (`job_unknown`) is accepted again.
        """
        ...

    async def unsubmitted(self, run_id: str, state: JobState, reason: str, *, now_ms: int) -> bool:
        """Note that the vendor did not take a reserved or doubtful run (`REFUSED`), or that nobody knows (`DOUBTFUL`).

        A refused run's parent is stopped (`refused`). Return False when the run is neither reserved nor doubtful; a
        lost run may be refused too.
        """
        ...

    async def withdraw(self, run_id: str) -> None:
        """Forget a reserved or doubtful run that was surely not submitted; its parent may be continued again."""
        ...

    async def recover_runs(self, *, now_ms: int) -> int:
        """Make runs that are still reserved doubtful: whoever asked for them is gone; return how many there were."""
        ...

    async def open_polls(self, *, now_ms: int, limit: int, given_up: bool = False) -> Sequence[Job]:
        """Return up to *limit* jobs that the vendor should be asked for now, longest due first.

        Those are submitted ones, and succeeded ones of which nobody said what was billed.

        Args:
            now_ms: The present.
            limit: How many at most.
            given_up: Whether, before all others, also lost ones, and those for which polling was ended.
        """
        ...

    async def polled(self, run_id: str, *, next_poll_at_ms: int | None, reason: str | None = None) -> None:
        """Count a poll in vain; None ends polling, with *reason* written on the job until its bill is known."""
        ...

    async def lose(self, run_id: str, reason: str, *, now_ms: int) -> bool:
        """Give up a submitted job; return False when it is not submitted. An event that comes later still counts."""
        ...

    async def amend(self, job_id: str, *, billed: int, next_cursor: str | None) -> None:
        """Add what a succeeded job was billed, where that was not known; and where its next page begins."""
        ...

    async def stop(self, run_id: str, reason: str) -> None:
        """Go no further with the search of *run_id*."""
        ...

    async def unstop(self) -> int:
        """Let searches go on whose stop may be over; return how many there were.

        Those were stopped by a budget, by its absence, for want of credits, or because something failed.
        """
        ...

    async def confirm(self, run_id: str, amount: Decimal) -> None:
        """Let a search go on that waits for a confirmation: *amount* of the whole search is said yes to."""
        ...

    async def continuable(self, *, limit: int) -> Sequence[Job]:
        """Return up to *limit* jobs that have a next page (`Job.more`), oldest first.

        Those whose dedupe token an open run holds are left out: they must wait for its end.
        """
        ...

    async def note_usage(self, billable_records: int, *, at_ms: int) -> None:
        """Keep what the vendor says was billed so far, beside what the ledger knows of at that moment."""
        ...

    async def raise_alarm(self, key: str, *, at_ms: int) -> bool:
        """Note an alarm; return False when it was raised before."""
        ...

    async def next_poll_ms(self) -> int | None:
        """Return when the next job should be asked for; None when none should."""
        ...
