"""Bills, budgets and what does not add up, as the contract lists them."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from stibgate.domain.budget import Budget, Decision, Unit
from stibgate.domain.job import STIBNITE
from stibgate.pipeline.alarms import RECENT, Alarm, BudgetUse, alarms, bills_of, uses_in
from stibgate.stores import Bill, Ledger
from stibgate.views.words import amount_number, known_amount, moment

_PLACES = Decimal("0.001")


def bill_row(bill: Bill) -> dict[str, Any]:
    """Return one bill as the contract lists it; what is not known is None, and so is all that a push has not."""
    job, delivery = bill.job, bill.delivery
    estimated = None if job is None else job.estimated
    ceiling = None if job is None else job.ceiling
    return {
        "job_id": job and job.job_id,
        "provider": STIBNITE,
        "unit": Unit.STIBNITE_CREDIT_UNIT if job is None else job.unit,
        "estimated": known_amount(estimated),
        "ceiling": known_amount(ceiling),
        "billed": bill.billed,
        "received": bill.received,
        "delivered": bill.delivered,
        "run_id": job and job.run_id,
        "search_id": delivery and delivery.search_id,
        "delivery_id": delivery and delivery.delivery_id,
        "state": job.state if job is not None else delivery and delivery.state,
        "budget": job and job.budget,
        "waiting": bill.waiting,
        "missing": bill.missing,
        "page": job and job.page,
        "parent_job_id": job and job.parent_job_id,
        "at": moment(bill.at_ms),
        "variance": variance(bill.billed, estimated),
    }


def variance(billed: int | None, estimated: Decimal | None) -> int | float | None:
    """Return which part of its estimate was billed; None where either is not known, or nothing was estimated."""
    if billed is None or not estimated:
        return None
    return amount_number((billed / estimated).quantize(_PLACES))


def budget_document(use: BudgetUse) -> dict[str, Any]:
    """Return a budget and its window, as the contract lists it."""
    return {
        "name": use.budget.name,
        "unit": use.budget.unit,
        "limit": amount_number(use.budget.limit),
        "reserved": amount_number(use.spent.reserved),
        "settled": amount_number(use.spent.settled),
        "remaining": amount_number(use.remaining),
        "window": use.window.name,
    }


def budget_row(use: BudgetUse) -> dict[str, Any]:
    """Return a budget as it is listed: with its window's kind, and what it is near to."""
    return budget_document(use) | {"period": use.budget.period, "state": use.state}


def decision_document(decision: Decision, reasons: Sequence[str] = ()) -> dict[str, Any]:
    """Return the decision as the contract shows it.

    Args:
        decision: What was decided.
        reasons: What stands in `reasons`; the decision's own message where there are none.
    """
    return {
        "decision": decision.verdict,
        "reason": decision.reason,
        "reasons": list(reasons) or [decision.message],
        "suggestions": [
            {
                "change": dict(suggestion.change),
                "estimated": amount_number(suggestion.ceiling),
                "decision": suggestion.verdict,
            }
            for suggestion in decision.suggestions
        ],
    }


def alarms_in(ledger: Ledger, budgets: Iterable[Budget], since_ms: int | None, *, now_ms: int) -> Sequence[Alarm]:
    """Return the alarms about all that began at *since_ms* or later.

    Usage is only judged without *since_ms*: of a part of the ledger, some bill would always seem somebody else's.
    """
    uses = uses_in(ledger, budgets, now_ms)
    # What misses records is found by itself; all else would mean counting every record that ever came.
    recent, usage = (ledger.bills(limit=RECENT, since_ms=since_ms), None) if since_ms is not None else bills_of(ledger)
    bills = {bill.sequence: bill for bill in (*recent, *ledger.bills(limit=None, since_ms=since_ms, short=True))}
    return alarms(bills.values(), uses, usage, now_ms=now_ms)


def alarm_row(alarm: Alarm) -> dict[str, Any]:
    """Return an alarm as it is listed."""
    return {
        "alarm": alarm.kind,
        "key": alarm.key,
        "message": alarm.message,
        "hint": alarm.hint,
        "at": moment(alarm.at_ms),
        **{name: alarm.about.get(name) for name in ("job_id", "run_id", "delivery_id", "budget")},
    }
