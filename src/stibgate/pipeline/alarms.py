"""What somebody should look at: money that brought nothing, more than was allowed, and budgets near their end.

Pure: what the ledger says goes in, alarms come out. An alarm's key stays the same while the thing is the same, so
whoever logs alarms can log each once. No message holds personal data: ids and counts only.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from stibgate.domain.budget import Budget, Window, format_amount, window
from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.event import QuarantineReason
from stibgate.domain.job import Job, JobState
from stibgate.stores import Bill, Ledger, Spent, UsageNote

NEAR = Decimal("0.8")
"""Which part of a budget's limit is near its end."""
GRACE_MS = 15 * 60_000
"""How old the latest note of usage must be: until then a bill may be known to the vendor and not yet to us."""
RECENT = 1_000
"""Of how many bills all alarms are looked for."""
SHORT = 2_000
LATER = 5_000
"""Of how many bills since the latest note of usage it is judged; with more, the note is too old to say anything."""


class AlarmKind(StrEnum):
    """What is wrong, in a closed word."""

    NOT_DELIVERED = "billed_not_delivered"
    OVER_CEILING = "over_ceiling"
    OVER_ASKED = "received_over_asked"
    COUNTS_DIFFER = "counts_differ"
    USAGE_UNEXPLAINED = "usage_unexplained"
    RUN_DOUBTFUL = "run_doubtful"
    JOB_LOST = "job_lost"
    BILL_UNKNOWN = "bill_unknown"
    BUDGET_NEAR = "budget_80"
    BUDGET_EXHAUSTED = "budget_100"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing to look at.

    Attributes:
        key: The same for the same thing.
        message: What it is, on one line.
        hint: What to do about it.
        at_ms: When what it is about began.
        about: The ids that it is about: `job_id`, `run_id`, `delivery_id` or `budget`.
    """

    kind: AlarmKind
    key: str
    message: str
    hint: str
    at_ms: int
    about: dict[str, str] = field(default_factory=dict)


class BudgetState(StrEnum):
    """How near to its end a budget is."""

    OK = "ok"
    NEAR = "80%"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """A budget and what its current window has gone to."""

    budget: Budget
    window: Window
    spent: Spent

    @property
    def used(self) -> Decimal:
        """What is billed or set aside."""
        return self.spent.reserved + self.spent.settled

    @property
    def remaining(self) -> Decimal:
        """What is left; below 0 when more was billed than was allowed."""
        return self.budget.limit - self.used

    @property
    def state(self) -> BudgetState:
        """How near to its end it is."""
        if self.remaining <= 0:
            return BudgetState.EXHAUSTED
        return BudgetState.NEAR if self.used >= self.budget.limit * NEAR else BudgetState.OK


def uses_in(ledger: Ledger | None, budgets: Iterable[Budget], now_ms: int) -> list[BudgetUse]:
    """Return what the current window of each of *budgets* has gone to, as *ledger* says; nothing without one."""
    windows = [(one, window(one.period, now_ms)) for one in budgets]
    return [
        BudgetUse(one, current, Spent() if ledger is None else ledger.spent(one.name, current.name))
        for one, current in windows
    ]


def found_in(ledger: Ledger, budgets: Iterable[BudgetUse], *, now_ms: int) -> Sequence[Alarm]:
    """Return the alarms that *ledger* and *budgets* give rise to now, as far back as can be looked at again and again.

    What misses records is looked for in all bills, all else in the newest, usage in those since its latest note.
    """
    bills, notes = bills_of(ledger)
    return alarms(bills, budgets, notes, now_ms=now_ms)


def bills_of(ledger: Ledger) -> tuple[Sequence[Bill], tuple[UsageNote, UsageNote] | None]:
    """Return the bills that alarms are looked for in, and the notes of usage where these are good for anything."""
    notes = ledger.usage_notes()
    later = [] if notes is None else ledger.bills(limit=LATER, since_ms=notes[1].at_ms)
    looked_at = (*ledger.bills(limit=RECENT), *later, *ledger.bills(limit=SHORT, short=True))
    bills = {bill.sequence: bill for bill in looked_at}
    return list(bills.values()), notes if len(later) < LATER else None


def alarms(
    bills: Iterable[Bill],
    budgets: Iterable[BudgetUse] = (),
    usage: tuple[UsageNote, UsageNote] | None = None,
    *,
    now_ms: int,
) -> Sequence[Alarm]:
    """Return what should be looked at: what is wrong with bills, in their order, then usage, then budgets.

    Args:
        bills: What was paid for and where it went. With *usage*, all that may have come to an end since its latest
            note must be among them, or a late bill looks like somebody else's.
        budgets: Budgets with their current window.
        usage: The first and the latest note of what the vendor billed; None to leave it out.
        now_ms: The present.
    """
    bills = list(bills)
    found = [alarm for bill in bills for alarm in _of_bill(bill)]
    if usage is not None:
        found += _of_usage(*usage, bills, now_ms)
    return [*found, *(alarm for use in budgets for alarm in _of_budget(use))]


def _of_bill(bill: Bill) -> Iterator[Alarm]:
    if bill.missing:
        yield _not_delivered(bill)
    job, delivery = bill.job, bill.delivery
    if job is None and delivery is not None and bill.billed is not None and _counted(delivery):
        if bill.billed > bill.received:
            yield Alarm(
                AlarmKind.COUNTS_DIFFER,
                f"{AlarmKind.COUNTS_DIFFER}:{delivery.delivery_id}",
                f"{_subject(bill)} was billed {bill.billed} new records but brought {bill.received}",
                f"`stibgate deliveries show {delivery.delivery_id} --raw` shows what came; ask Stibnite for the rest.",
                bill.at_ms,
                _about(bill),
            )
    elif job is not None:
        yield from _of_job(bill, job)


def _of_job(bill: Bill, job: Job) -> Iterator[Alarm]:
    yield from _of_its_end(bill, job)
    if job.ceiling is not None and job.settled > job.ceiling:
        yield Alarm(
            AlarmKind.OVER_CEILING,
            f"{AlarmKind.OVER_CEILING}:{_name(bill)}",
            f"{_subject(bill)} was billed {format_amount(job.settled)}, above its ceiling {format_amount(job.ceiling)}",
            "The vendor billed more than the request allows: ask it why.",
            bill.at_ms,
            _about(bill),
        )
    asked = _asked(job)
    received = max(bill.received, job.received or 0)
    if asked is not None and received > asked:
        yield Alarm(
            AlarmKind.OVER_ASKED,
            f"{AlarmKind.OVER_ASKED}:{_name(bill)}",
            f"{_subject(bill)} brought {received} records; {asked} were asked for",
            "The vendor sent more than the request asks for: compare its limit and max_records.",
            bill.at_ms,
            _about(bill),
        )


def _of_its_end(bill: Bill, job: Job) -> Iterator[Alarm]:
    """Yield an alarm when nobody asks any more what became of *job*, or what it was billed."""
    again = "`stibgate jobs reconcile` asks the vendor again;"
    if job.state is JobState.DOUBTFUL:
        kind, stands, flag = (
            AlarmKind.RUN_DOUBTFUL,
            "is doubtful: whether the vendor took it is not known",
            " --job JOB_ID",
        )
        again = "`stibgate jobs list` shows jobs that only an event told of;"
    elif job.state is JobState.LOST:
        kind, stands, flag = AlarmKind.JOB_LOST, "is lost, and whether it was billed is not known", ""
    elif job.state is JobState.SUCCEEDED and job.billed is None and job.next_poll_at_ms is None:
        kind, stands, flag = AlarmKind.BILL_UNKNOWN, "succeeded, and nobody said what was billed", " --billed N"
    else:
        return
    aside = f"; {format_amount(job.ceiling)} stay set aside" if job.ceiling else ""
    yield Alarm(
        kind,
        f"{kind}:{_name(bill)}",
        f"{_subject(bill)} {stands}{aside}",
        f"{again} `stibgate jobs resolve {job.run_id}{flag}` ends it by your word.",
        bill.at_ms,
        _about(bill),
    )


def _asked(job: Job) -> int | None:
    """Return the most records that the job's page may have; None when nobody knows."""
    limits = [(job.asked or {}).get("limit"), job.left]
    return min((each for each in limits if isinstance(each, int)), default=None)


def _not_delivered(bill: Bill) -> Alarm:
    stands, hint = _whereabouts(bill.delivery)
    return Alarm(
        AlarmKind.NOT_DELIVERED,
        f"{AlarmKind.NOT_DELIVERED}:{_name(bill)}",
        f"{_subject(bill)}: {bill.missing} missing of {bill.billed} billed ({bill.received} received,"
        f" {bill.delivered} delivered, {bill.waiting} waiting); {stands}",
        hint,
        bill.at_ms,
        _about(bill),
    )


def _whereabouts(delivery: StoredDelivery | None) -> tuple[str, str]:
    """Return where the missing records are, and what to do about it."""
    if delivery is None:
        return "no delivery brought them", "`stibgate jobs reconcile` asks the vendor for them."
    name, state = delivery.delivery_id, delivery.state
    if state in {DeliveryState.QUARANTINED, DeliveryState.IGNORED}:
        # A reason is a closed word of ours, but a store may have been written by a later version: only known ones.
        known = delivery.reason in set(QuarantineReason)
        why = f" ({delivery.reason})" if known else ""
        hint = f"`stibgate explain {name}` tells why; `stibgate deliveries replay {name}` processes it again."
        return f"delivery {name} is {state}{why}", hint
    hint = f"`stibgate explain {name}` tells why; `stibgate dead replay` sends dead letters again."
    return f"delivery {name} is {state}, and no sink has them", hint


def _of_usage(first: UsageNote, latest: UsageNote, bills: Iterable[Bill], now_ms: int) -> Iterator[Alarm]:
    """Yield an alarm when the vendor billed more than all that we know of, or may yet come to know of, explains."""
    if now_ms - latest.at_ms < GRACE_MS:
        return
    vendor = latest.billable_records - first.billable_records
    known = latest.known_records - first.known_records
    left = vendor - known - sum(_later(bill, latest.at_ms) for bill in bills)
    if left <= 0:
        return
    # The count goes up and down with what is on its way; a new key for each doubling says that it grew.
    yield Alarm(
        AlarmKind.USAGE_UNEXPLAINED,
        f"{AlarmKind.USAGE_UNEXPLAINED}:{first.at_ms}:{int(left).bit_length()}",
        f"the vendor billed {vendor} records since it was first asked; {format_amount(Decimal(left))} of them belong"
        " to no job or push that is known here",
        "Somebody else uses the same API key, or events did not arrive: `stibgate usage` and the vendor's own list.",
        latest.at_ms,
    )


def _later(bill: Bill, noted_ms: int) -> Decimal:
    """Return what the vendor may have counted at *noted_ms* although we did not: it came then or later, or will."""
    if bill.job is not None:
        ended = bill.job.ended_at_ms
        return bill.job.reserved if ended is None or ended < noted_ms else max(bill.job.settled, bill.job.reserved)
    came = bill.delivery is not None and bill.delivery.received_at_ms >= noted_ms
    return Decimal(bill.billed or 0) if came else Decimal(0)


def _of_budget(use: BudgetUse) -> Iterator[Alarm]:
    """Yield an alarm for a budget that comes to its end; one whose limit is 0 was never to be used."""
    if use.state is BudgetState.OK or not use.used:
        return
    exhausted = use.state is BudgetState.EXHAUSTED
    kind = AlarmKind.BUDGET_EXHAUSTED if exhausted else AlarmKind.BUDGET_NEAR
    budget = use.budget
    left = "nothing is left" if exhausted else f"{format_amount(use.remaining)} are left"
    yield Alarm(
        kind,
        f"{kind}:{budget.name}:{use.window.name}",
        f"budget {budget.name} has used {format_amount(use.used)} of {format_amount(budget.limit)} {budget.unit}"
        f" ({use.window.name}); {left}",
        f"Raise budgets.{budget.name}.limit, or wait for its next window.",
        use.window.from_ms,
        {"budget": budget.name},
    )


def _counted(delivery: StoredDelivery) -> bool:
    """Return whether its records are counted by now; what is quarantined was never read."""
    return delivery.state not in {DeliveryState.ACCEPTED, DeliveryState.QUARANTINED}


def _name(bill: Bill) -> str:
    """Return what names the bill for good: an adopted job gets its run later, a run its job."""
    if bill.job is not None:
        return bill.job.job_id or bill.job.run_id
    return "" if bill.delivery is None else bill.delivery.delivery_id


def _subject(bill: Bill) -> str:
    if bill.job is not None:
        return f"job {bill.job.job_id}" if bill.job.job_id else f"run {bill.job.run_id}"
    return f"push {_name(bill)}"


def _about(bill: Bill) -> dict[str, str]:
    job, delivery = bill.job, bill.delivery
    ids = {
        "run_id": job and job.run_id,
        "job_id": job and job.job_id,
        "delivery_id": delivery and delivery.delivery_id,
    }
    return {name: value for name, value in ids.items() if value}
