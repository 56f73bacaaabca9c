"""Invented deliveries, records and settlements; every value can be told apart from every other."""

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from stibgate.domain.backoff import Policy
from stibgate.domain.budget import Budget, Period, Unit
from stibgate.domain.circuit import CircuitPolicy
from stibgate.domain.delivery import Delivery, DeliveryState, IdempotencyKey, StoredDelivery
from stibgate.domain.job import JobResult, NewRun
from stibgate.domain.record import Issue, IssueReason, Record
from stibgate.domain.task import Attempt, Outcome, OutcomeKind, Settlement, Signal, Task
from stibgate.stores import DeliveryFilter, JobFilter, Ledger, NewTask, Processed, TaskFilter
from stibgate.stores.memory import MemoryStore

NOW_MS = 1_779_043_330_004
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LEASE_MS = 60_000
UNBREAKABLE = CircuitPolicy(failures=10**9)
PATIENT = Policy((0,) * 99, max_age_s=10**7, timeout_s=30, concurrency=8, lease_s=LEASE_MS / 1000, circuit=UNBREAKABLE)
"""Gives nothing up and opens no breaker."""

EVERYTHING = DeliveryFilter()
EVERY_TASK = TaskFilter()
EVERY_JOB = JobFilter()

CREDITS = Unit.STIBNITE_CREDIT_UNIT
MONTHLY = Budget("team", CREDITS, Decimal(100), Period.MONTH, confirm_above=Decimal(50))
MONTH = "2026-05"
"""The window of `NOW_MS`."""


def make_delivery(number: int, *, key: bytes | None = None, body: bytes | None = None, **fields: object) -> Delivery:
    """Return delivery `d<number>`, a push of its own unless *key* says otherwise."""
    raw = b'{"n": %d}\x00\xff' % number if body is None else body
    at_ms = fields.setdefault("received_at_ms", NOW_MS)
    ttl_ms = fields.pop("ttl_ms", DAY_MS)
    values = {
        "delivery_id": f"d{number}",
        "source": "stibnite",
        "body": raw,
        "body_sha256": hashlib.sha256(raw).digest(),
        "state": DeliveryState.ACCEPTED,
        "event_type": "prospecting.records.pushed",
        "key": IdempotencyKey(b"key %d" % number if key is None else key, at_ms + ttl_ms),
    }
    return Delivery(**{**values, **fields})


def make_people(*names: str | None) -> list[Record]:
    """Return a record for each of *names*; nothing names the person of a None."""
    return [Record(person_id=name, first_name="Zoë", position=position) for position, name in enumerate(names)]


def make_records(count: int, number: int = 1, **fields: object) -> list[Record]:
    """Return *count* people of delivery `d<number>`, with what JSON may not lose."""
    return [
        Record(
            **{
                "person_id": f"person_{number}_{position}",
                "first_name": "Zoë\u2028\x00🜚",
                "company_naics": "005112",
                "company_revenue": 2**63,
                "extra": {"näh": [1, None, {"x": 0.5}]},
                "issues": (Issue("mobile_phone", IssueReason.INVALID, "none"),) if position % 2 else (),
                "position": position,
                **fields,
            }
        )
        for position in range(count)
    ]


def make_processed(
    number: int,
    sinks: Sequence[str] = ("crm",),
    *,
    records: int | Sequence[Record] = 2,
    at_ms: int = NOW_MS,
    **fields: object,
) -> Processed:
    """Return what becomes of delivery `d<number>`: tasks `d<number>/<sink>` that owe every record."""
    people = make_records(records, number) if isinstance(records, int) else records
    positions = tuple(range(len(people)))
    values = {
        "state": DeliveryState.PROCESSING if sinks else DeliveryState.DONE,
        "records": people,
        "tasks": [NewTask(f"d{number}/{sink}", sink, positions) for sink in sinks],
    }
    return Processed(f"d{number}", at_ms, **{**values, **fields})


def make_outcomes(count: int, kind: OutcomeKind = OutcomeKind.CREATED) -> list[Outcome]:
    """Return one outcome for each of *count* records."""
    return [Outcome(position, kind) for position in range(count)]


def make_settlement(task: Task, signal: Signal, *, records: int = 2, **fields: object) -> Settlement:
    """Return how the current attempt of *task* ended, with the outcomes that *signal* must bring."""
    outcomes: list[Outcome] = []
    if signal is Signal.TAKEN:
        outcomes = make_outcomes(records)
    elif signal in {Signal.SPLIT, Signal.REJECTED}:
        outcomes = make_outcomes(records, OutcomeKind.REFUSED)
    values = {"ended_at_ms": NOW_MS + 100, "outcomes": outcomes}
    if signal in {Signal.UNAVAILABLE, Signal.HELD}:
        values["next_attempt_at_ms"] = NOW_MS + 5_000
    return Settlement(task.task_id, task.attempts, signal, **{**values, **fields})


def make_run(number: int, ceiling: str = "25", **fields: object) -> NewRun:
    """Return run `r<number>`; its request has the dedupe *token* and *user* that are given."""
    asked = {"q": "zoë", "limit": 25, "nested": [1, None]}
    for name, key in (("token", "dedupe_token"), ("user", "dedupe_user_id")):
        if name in fields:
            asked[key] = fields.pop(name)
    values = {"asked": asked, "unit": CREDITS, "estimated": Decimal("20.5"), "at_ms": NOW_MS, "by": "me"}
    return NewRun(f"r{number}", ceiling=Decimal(ceiling), **{**values, **fields})


def make_result(number: int, billed: int | None = 20, **fields: object) -> JobResult:
    """Return how job `j<number>` ended: well, with two records, unless *fields* say otherwise."""
    return JobResult(f"j{number}", **{"succeeded": True, "received": 2, "billed": billed, **fields})


class MemoryLedger:
    """What people read of a `MemoryStore`, whose own `pins` is the inbox's coroutine."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def pins(self) -> dict[str, Any]:
        return dict(self._store._pins)


def snapshot(ledger: Ledger) -> dict[str, object]:
    """Return everything that *ledger* says, for comparison with another's."""
    deliveries: Sequence[StoredDelivery] = ledger.deliveries(EVERYTHING, limit=None)
    tasks = ledger.tasks(EVERY_TASK, limit=None)
    attempts: dict[str, list[Attempt]] = {task.task_id: list(ledger.attempts(task.task_id)) for _, task in tasks}
    return {
        "deliveries": list(deliveries),
        "bodies": {d.delivery_id: ledger.body(d.delivery_id) for d in deliveries},
        "records": {d.delivery_id: list(ledger.records(d.delivery_id)) for d in deliveries},
        "sightings": {d.delivery_id: list(ledger.sightings(d.delivery_id)) for d in deliveries},
        "conflicts": {
            d.delivery_id: [
                (one.body_sha256, ledger.body(d.delivery_id, one.body_sha256))
                for one in ledger.sightings(d.delivery_id)
            ]
            for d in deliveries
        },
        "tasks": list(tasks),
        "attempts": attempts,
        "outcomes": {task.task_id: list(ledger.outcomes(task.task_id)) for _, task in tasks},
        "history": {task.task_id: list(ledger.history(task.task_id)) for _, task in tasks},
        "positions": {task.task_id: list(ledger.positions(task.task_id)) for _, task in tasks},
        "replays": {d.delivery_id: list(ledger.replays(d.delivery_id)) for d in deliveries},
        "sinks": dict(ledger.sinks()),
        "pins": dict(ledger.pins()),
        "results": {d.delivery_id: ledger.result(d.delivery_id) for d in deliveries},
        "jobs": list(ledger.jobs(EVERY_JOB, limit=None)),
        "bills": list(ledger.bills(limit=None)),
        "short": list(ledger.bills(limit=None, short=True)),
        "usage": ledger.usage_notes(),
        "spent": [ledger.spent("team", window) for window in (MONTH, "2026-06", "total")],
    }
