"""One search job at the vendor: what it may cost, what it was billed, and what became of its page.

A run is our side of a job: it begins before the vendor has given the job an id, with a reservation of all that it
may cost, and is settled with what was billed. Each page of a search is a job, and a run, of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from stibgate.domain.budget import Decision, Unit

STIBNITE = "stibnite"
"""The only provider of jobs."""

ZERO = Decimal(0)


class JobState(StrEnum):
    """Where a job stands, as far as we know."""

    RESERVED = "reserved"  # the vendor is being asked
    DOUBTFUL = "doubtful"  # it was asked, and nobody knows whether it took the job
    REFUSED = "refused"  # it did not take the job; nothing is billed
    SUBMITTED = "submitted"  # it has the job; queued or running there
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # as the vendor says; not billed
    LOST = "lost"  # it did not end in time, or the vendor does not know it any more


OPEN = frozenset({JobState.RESERVED, JobState.DOUBTFUL, JobState.SUBMITTED})
"""States in which a job may still come to an end, and be billed."""
UNSETTLED = OPEN | {JobState.LOST}
"""States in which all that it may cost stays set aside."""


class StopReason(StrEnum):
    """Why a search was not continued although there are more pages."""

    OVER_BUDGET = "over_budget"
    NEEDS_CONFIRMATION = "needs_confirmation"
    BUDGET_GONE = "budget_gone"
    CURSOR_REPEATED = "cursor_repeated"
    EMPTY_PAGES = "empty_pages"
    REFUSED = "refused"
    NO_CREDITS = "no_credits"  # at the vendor
    FAILED = "failed"  # its next page could not even be asked for


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that is about to be submitted.

    Attributes:
        asked: The request, by the vendor's names: `q`, `limit`, `max_records`, `cursor`, `dedupe_token` and so on.
        ceiling: The most that it may cost, in *unit*.
        estimated: What it is expected to cost.
        at_ms: When; it belongs to its budget's window of that moment.
        by: Who asked for it.
        left: How many records it and its later pages may bring; None for no limit.
        parent_run_id: The run whose next page this is.
        whole: What a person is asked to confirm where that is more than the ceiling: the whole search.
        confirmed: How much of the whole search is said yes to when this run is allowed, by its budget or a person.
    """

    run_id: str
    asked: Mapping[str, Any]
    unit: Unit
    ceiling: Decimal
    estimated: Decimal
    at_ms: int
    by: str
    left: int | None = None
    parent_run_id: str | None = None
    whole: Decimal | None = None
    confirmed: Decimal | None = None

    @property
    def dedupe_key(self) -> tuple[str, str | None] | None:
        """What no two open jobs may share: both could be billed for the same people."""
        token = self.asked.get("dedupe_token")
        return None if token is None else (token, self.asked.get("dedupe_user_id"))


@dataclass(frozen=True, slots=True)
class Reservation:
    """What came of asking for money.

    Attributes:
        decision: What the budget said; None for a run that names no budget.
        busy_run_id: The open run with the same dedupe token, which must end first, or the one that is this next page
            already; nothing was reserved then.
    """

    decision: Decision | None = None
    busy_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended, as an event, a read-back or a poll says.

    Attributes:
        received: How many records its page has.
        billed: How many were billed; None when it was not said.
        next_cursor: Where the next page begins; None when there is none, or it was not said.
        error: What the vendor says went wrong, for one that failed; without personal data.
    """

    job_id: str
    succeeded: bool
    received: int = 0
    billed: int | None = None
    next_cursor: str | None = field(default=None, repr=False)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A run and its job, as the store remembers them.

    Attributes:
        job_id: The vendor's; None until it is known.
        asked: As in `NewRun`; None for a job that was only seen in an event.
        page: From 1.
        parent_job_id: Whose next page it is.
        chain: The run id of the first page.
        budget: The budget's name; None when none was named.
        window: The budget's window that it counts in, `2026-05`.
        unit: What `ceiling` and `estimated` count.
        billed: Records billed; None while that is not known.
        received: Records of its page; None while there is none.
        left: As in `NewRun`.
        continued: Whether its next page has a run.
        stopped: Why its search went no further.
        polls: How often the vendor was asked in vain.
        next_poll_at_ms: When it is asked next; None for never.
        delivery_id: The delivery that brought its end.
        reason: Why it is refused, doubtful, failed or lost, or why nobody asks for its bill any more; one line.
        confirmed: As in `NewRun`.
    """

    sequence: int
    run_id: str
    job_id: str | None
    state: JobState
    asked: Mapping[str, Any] | None
    page: int
    parent_job_id: str | None
    chain: str
    budget: str | None
    window: str | None
    unit: Unit
    estimated: Decimal | None
    ceiling: Decimal | None
    billed: int | None
    received: int | None
    next_cursor: str | None = field(repr=False)
    left: int | None
    continued: bool
    stopped: str | None
    created_at_ms: int
    submitted_at_ms: int | None
    ended_at_ms: int | None
    polls: int
    next_poll_at_ms: int | None
    delivery_id: str | None
    reason: str | None
    by: str
    confirmed: Decimal | None = None

    @property
    def pollable(self) -> bool:
        """Whether the vendor has more to say: it is on its way, or nobody said what it was billed."""
        return self.state is JobState.SUBMITTED or self._bill_unknown

    @property
    def _bill_unknown(self) -> bool:
        return self.state is JobState.SUCCEEDED and self.billed is None

    @property
    def given_up(self) -> bool:
        """Whether nobody asks the vendor by itself any more, although there is something to learn."""
        return self.state is JobState.LOST or (self.pollable and self.next_poll_at_ms is None)

    @property
    def reserved(self) -> Decimal:
        """What stays set aside for it: its ceiling, until what was billed is known."""
        return (self.ceiling or ZERO) if self.state in UNSETTLED or self._bill_unknown else ZERO

    @property
    def settled(self) -> Decimal:
        """What it was billed, in its unit: one for each record."""
        return Decimal(self.billed) if self.state is JobState.SUCCEEDED and self.billed is not None else ZERO

    @property
    def more(self) -> bool:
        """Whether there is a next page that may be asked for."""
        wanted = self.left is None or self.left > (self.received or 0)
        asked = self.asked is not None and not self.continued and self.stopped is None
        return asked and wanted and self.state is JobState.SUCCEEDED and self.next_cursor is not None
