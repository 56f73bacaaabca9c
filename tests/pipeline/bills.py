"""Bills as values: what a store would say of a job, or of a push, with a canary wherever a sender may name people."""

from decimal import Decimal

from stibgate.domain.budget import Unit
from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.event import RECORDS_PUSHED
from stibgate.domain.job import Job, JobState
from stibgate.stores import Bill

NOW_MS = 1_779_043_330_004
CANARY = "canary@example.com"


def delivery(**fields) -> StoredDelivery:
    values = {
        "sequence": 1,
        "delivery_id": "dlv_1",
        "source": "push",
        "state": DeliveryState.DONE,
        "reason": None,
        "event_type": RECORDS_PUSHED,
        "received_at_ms": NOW_MS,
        "processed_at_ms": NOW_MS,
        "body_sha256": b"",
        "body_bytes": 1,
        "records": 5,
        "issues": 0,
        "job_id": None,
        "search_id": CANARY,
        "partner_customer_id": CANARY,
        "partner_user_id": CANARY,
        "authenticated_by": CANARY,
        "stale": False,
        "evidence": {"x": CANARY},
        "via": "http",
        "repeat_of": None,
        "duplicates": 0,
        "conflicts": 0,
    }
    return StoredDelivery(**values | fields)


def job(**fields) -> Job:
    values = {
        "sequence": 1,
        "run_id": "run_1",
        "job_id": "job_1",
        "state": JobState.SUCCEEDED,
        "asked": {"q": CANARY, "limit": 5},
        "page": 1,
        "parent_job_id": None,
        "chain": "run_1",
        "budget": "team",
        "window": "2026-05",
        "unit": Unit.STIBNITE_CREDIT_UNIT,
        "estimated": Decimal(5),
        "ceiling": Decimal(5),
        "billed": 5,
        "received": 5,
        "next_cursor": CANARY,
        "left": None,
        "continued": False,
        "stopped": None,
        "created_at_ms": NOW_MS,
        "submitted_at_ms": NOW_MS,
        "ended_at_ms": NOW_MS,
        "polls": 0,
        "next_poll_at_ms": None,
        "delivery_id": "dlv_1",
        "reason": CANARY,
        "by": CANARY,
    }
    return Job(**values | fields)


def of_job(*, billed=5, received=5, delivered=5, waiting=0, brought=True, **fields) -> Bill:
    """Return the bill of a job, with its delivery when it *brought* one."""
    came = delivery(event_type="person_search.job.succeeded", job_id="job_1") if brought else None
    return Bill(1, NOW_MS, job(billed=billed, **fields), came, billed, received, delivered, waiting)


def of_push(*, billed=5, received=5, delivered=5, waiting=0, **fields) -> Bill:
    return Bill(1, NOW_MS, None, delivery(billed=billed, **fields), billed, received, delivered, waiting)
