"""Single deliveries as the vendor would send them, for `stibgate trigger` and for tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED, RECORDS_PUSHED
from stibgate.errors import UsageError
from stibgate.sandbox.dice import Random
from stibgate.sandbox.people import People
from stibgate.sandbox.stibnite.border import PAGE_MAX
from stibgate.sandbox.stibnite.documents import (
    Headers,
    encode,
    job_event,
    job_event_headers,
    push_document,
    push_headers,
)
from stibgate.sandbox.stibnite.jobs import SEARCH_FAILED, JobStatus
from stibgate.sandbox.stibnite.search import RECORDS_MAX_DEFAULT, Criteria, interpret

PEOPLE_A_SERIAL = 10_000
_ID_MAX = 2**48


@dataclass(frozen=True, slots=True)
class Sample:
    """One delivery, unsigned.

    Attributes:
        body: Exactly the bytes to sign and send.
        headers: The headers before any signature.
    """

    body: bytes
    headers: Headers


def sample(event_type: str, *, records: int, rng: Random, serial: int) -> Sample:
    """Return a delivery of *event_type* in the documented shape.

    Args:
        event_type: One of the three documented event types.
        records: How many people it carries; a failed job carries none, whatever is asked.
        rng: Which world; equal dice give equal samples.
        serial: The sample's number; no two serials share a job, a session or a person.

    Raises:
        UsageError: *event_type* is not one that Stibnite sends, or a number is out of range.
    """
    build = _BUILDERS.get(event_type)
    if build is None:
        raise UsageError(f"no sample of {event_type!r}", hint=f"There are {', '.join(_BUILDERS)}.")
    if not 0 <= records <= PEOPLE_A_SERIAL or not 0 <= serial < _ID_MAX:
        raise UsageError(f"a sample has 0 to {PEOPLE_A_SERIAL} records and a serial from 0 to 2^48 - 1")
    return build(records, rng, serial)


def _push(records: int, rng: Random, serial: int) -> Sample:
    people = People(rng.getrandbits(32))
    first = serial * PEOPLE_A_SERIAL
    numbers = range(first, first + records)
    search_id = f"search_{rng.getrandbits(32):08x}_{serial}"
    document = push_document(
        search_id,
        customer_id="customer_sample",
        user_id="user_sample",
        selection={
            "mode": "selected",
            "prospect_ids": [people.prospect_id(i) for i in numbers],
            "filters": {},
            "total_records": records,
        },
        records=[people.prospect(i) for i in numbers],
        net_new=records,
    )
    return Sample(encode(document), push_headers(search_id))


def _succeeded(records: int, rng: Random, serial: int) -> Sample:
    people = People(rng.getrandbits(32))
    first = serial * PEOPLE_A_SERIAL
    result = {
        "pagination": {
            "limit": max(records, PAGE_MAX),
            "total_records": records,
            "total_records_relation": "eq",
            "total_pages": 1,
            "next_cursor": None,
            "max_records": max(records, RECORDS_MAX_DEFAULT),
        },
        "data": [people.person(i) for i in range(first, first + records)],
        "billable_records": records,
        "timings_ms": {"interpretation": 0, "search": 842, "total": 851, "search_strategy": "indexed_dynamic"},
    }
    return _job(JOB_SUCCEEDED, JobStatus.SUCCEEDED, result, rng, serial)


def _failed(_records: int, rng: Random, serial: int) -> Sample:
    return _job(JOB_FAILED, JobStatus.FAILED, {"error": SEARCH_FAILED}, rng, serial)


def _job(event_type: str, status: JobStatus, result: Mapping[str, Any], rng: Random, serial: int) -> Sample:
    meaning = interpret(Criteria("CMOs of SaaS companies"))
    job = {
        # The version and variant digits of a UUIDv7, and the serial where no two can meet.
        "job_id": f"{rng.getrandbits(32):08x}-{rng.getrandbits(16):04x}-7a8c-8cf2-{serial:012x}",
        "status": str(status),
        "search_strategy": meaning.strategy,
        "interpretation": meaning.document,
        **result,
    }
    return Sample(encode(job_event(event_type, job)), job_event_headers(event_type))


_BUILDERS: Mapping[str, Callable[[int, Random, int], Sample]] = {
    JOB_SUCCEEDED: _succeeded,
    JOB_FAILED: _failed,
    RECORDS_PUSHED: _push,
}
