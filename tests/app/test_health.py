"""Alive and ready: what is asked, and what a part that is stuck or gone answers."""

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession

from stibgate.app import health
from tests.app.running import running
from tests.e2e.gateway import configure


@pytest.fixture(autouse=True)
def _own_log(lines):
    """Keep the terminal clean."""


@asynccontextmanager
async def asked(tmp_path):
    async with running(configure(tmp_path)) as gateway, ClientSession(gateway.admin_url) as http:

        async def ask(page):
            async with http.get(page) as answer:
                return answer.status, await answer.json()

        yield gateway, ask


async def test_all_is_well(tmp_path):
    """A service that nothing is wrong with is alive and ready."""
    async with asked(tmp_path) as (_, ask):
        assert await ask("/livez") == (200, {"status": "ok"})
        assert (await ask("/readyz"))[0] == 200


async def test_a_writer_that_is_stuck(tmp_path, monkeypatch):
    """A commit that does not come back is first not ready, and then not alive; when it comes, both are well again."""
    began, release = threading.Event(), threading.Event()

    def hang(_):
        began.set()
        release.wait()

    async with asked(tmp_path) as (gateway, ask):
        hanging = gateway._store._writer.submit(hang)
        try:
            await asyncio.to_thread(began.wait)
            assert (await ask("/readyz"))[0] == 200, "it has just begun"
            gateway._health.late_s = 0.0
            status, document = await ask("/readyz")
            assert status == 503
            assert document["checks"]["store"].startswith("a commit has been under way")
            assert (await ask("/livez"))[0] == 200, "it may still come back"
            monkeypatch.setattr(health, "STUCK_S", 0.0)
            assert (await ask("/livez"))[0] == 503
        finally:
            release.set()
        await hanging
        assert (await ask("/livez"))[0] == 200
        assert (await ask("/readyz"))[0] == 200


@pytest.mark.parametrize("loop", ["fanout", "lane drop"])
async def test_a_loop_that_has_ended(tmp_path, loop, lines):
    """A loop that is gone forwards nothing any more: not alive, and said in the log; stopping is another matter."""
    async with asked(tmp_path) as (gateway, ask):
        (found,) = (one for one in asyncio.all_tasks() if one.get_name() == loop)
        found.cancel()
        await asyncio.wait([found])
        assert (await ask("/livez"))[0] == 503
        beat = health.Heartbeat(gateway._health, gateway._supervision.notifier)
        for _ in range(3):
            await beat._beat(1.0)
    told = lines.of("service.stuck")
    assert 1 <= len(told) <= 2, "once, and once by the service's own"
    assert all("loop" in line["error"] for line in told)
    assert gateway._health.worker.alive, "it was stopped"


async def test_the_writer_s_thread_is_gone(tmp_path):
    """Without its thread nothing is stored any more: neither alive nor ready."""
    async with asked(tmp_path) as (gateway, ask):
        writer = gateway._store._writer
        thread, writer._thread = writer._thread, threading.Thread()
        try:
            assert (await ask("/livez"))[0] == 503
            assert (await ask("/readyz"))[1]["checks"]["store"] == "cannot write"
        finally:
            writer._thread = thread
