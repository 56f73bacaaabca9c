"""One account's jobs may be told of at two sources; a job that was asked for is the same at both."""

import pytest

from stibgate.domain.event import JOB_SUCCEEDED
from stibgate.stores import DeliveryFilter
from tests.pipeline.jobs_world import document, full, opened
from tests.pipeline.world import Clock, make_intake, make_source, receive, signed


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    async with opened(request.param, tmp_path) as store:
        yield store


@pytest.mark.parametrize("asked_first", [True, False])
async def test_asked_for_and_told_elsewhere(store, asked_first):
    """A poll and an event at another source are one delivery, whichever is first; at that source too it comes once."""
    clock, job = Clock(), document("job_1")
    intake = make_intake(
        store, make_source("stib"), make_source("other"), now_ms=clock, job_sources=("stib", "other")
    )  # fmt: skip

    async def ask():
        return (await intake.take_job("stib", JOB_SUCCEEDED, full(job)))[1].duplicate

    async def told():
        receipt = await receive(intake, full(job), signed(full(job)), source="other")
        return receipt.status == "duplicate"

    first, second = (ask, told) if asked_first else (told, ask)
    assert [await first(), await second(), await told()] == [False, True, True]
    ledger = getattr(store, "ledger", store)
    (delivery,) = ledger.deliveries(DeliveryFilter(), limit=None)
    assert (delivery.via, delivery.duplicates, delivery.conflicts) == ("poll" if asked_first else "http", 2, 0)
