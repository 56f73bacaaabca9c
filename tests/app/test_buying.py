"""The service and its account at Stibnite: at the start, and when it stops."""

import asyncio
import json
import time

import pytest
from aiohttp import ClientSession

from stibgate.app import admin_token, open_store_ledger
from stibgate.config import load
from stibgate.sandbox.server import serve
from stibgate.sandbox.stibnite import Pace, StibniteSandbox
from stibgate.stores import DeliveryFilter, JobFilter
from tests.app.running import running
from tests.e2e.gateway import configure, free_port

TOKEN = "tok_that_nobody_else_has_1"
JOBS = f"""
[sources.told]
kind = "stibnite_jobs"
auth = "token"
tokens = ["{TOKEN}"]
routes = ["drop"]
"""


@pytest.fixture(autouse=True)
def _own_log(lines):
    """Keep the terminal clean."""


def account(url, key):
    return {"STIBGATE_STIBNITE__BASE_URL": url, "STIBGATE_STIBNITE__API_KEY": key}


def stored(config, query):
    ledger = open_store_ledger(load(config, environ={}).settings)
    try:
        return query(ledger)
    finally:
        ledger.close()


async def test_stopped_while_buying(tmp_path):
    """A submission that is under way when the service is told to stop gets its answer; the next one is refused."""
    sandbox = StibniteSandbox(seed=1, now=time.time, faults={"slow"}, pace=Pace(slow_s=0.5))
    config = configure(tmp_path)
    async with serve(sandbox.app()) as url, ClientSession() as http:
        async with running(config, **account(url, sandbox.api_key)) as gateway:
            token = admin_token(load(config, environ={}).settings.storage.path)
            headers = {"Authorization": f"Bearer {token}"}

            async def buy():
                async with http.post(f"{gateway.admin_url}/api/v1/jobs", json={"q": "CMOs"}, headers=headers) as got:
                    return got.status, await got.json()

            first = asyncio.create_task(buy())
            while not stored(config, lambda ledger: ledger.jobs(JobFilter(), limit=None)):
                await asyncio.sleep(0.01)
            gateway._receiver.draining = True
            status, problem = await buy()
            assert (status, problem["title"]) == (503, "the service is stopping")
        status, answer = await first
    (job,) = stored(config, lambda ledger: ledger.jobs(JobFilter(), limit=None))
    assert (status, job.job_id, job.state) == (200, answer["job_id"], "submitted")


async def test_the_key_is_gone(tmp_path):
    """What waited for a read-back when the API key was taken away says so, and can be replayed."""
    config = configure(tmp_path, sources=JOBS)
    nowhere = account(f"http://127.0.0.1:{free_port()}", "stib_live_fake_for_tests")
    async with running(config, **nowhere) as gateway, ClientSession() as http:
        thin = json.dumps({"event": "person_search.job.succeeded", "job_id": "job_1"}).encode()
        headers = {"content-type": "application/json"}
        async with http.post(f"{gateway.url}/hooks/told/{TOKEN}", data=thin, headers=headers) as got:
            answer = await got.json()
        assert answer["status"] == "accepted"
        while stored(config, lambda ledger: ledger.awaited(answer["delivery_id"])) is None:
            await asyncio.sleep(0.01)

    def delivery(ledger):
        return ledger.deliveries(DeliveryFilter(), limit=None)[0]

    async with running(config):
        while stored(config, delivery).state == "accepted":
            await asyncio.sleep(0.01)
    assert (stored(config, delivery).state, stored(config, delivery).reason) == ("quarantined", "records_missing")
