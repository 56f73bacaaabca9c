"""The live tail's page and stream, and the page that helps."""

import asyncio

import pytest

from stibgate.domain.access import Role
from tests.web.console.office import COOKIE


async def test_the_page_names_its_stream(annex):
    """What is filtered in the URL is filtered in the stream and in the command; without a script it says so."""
    page = await (await annex.login(Role.VIEWER)).open("/live?source=jobs&event=task.*&level=&job_id=a%22b%3Bls")
    assert 'data-stream="/live/events?last=50&amp;source=jobs&amp;event=task.%2A&amp;job_id=a%22b%3Bls"' in page.text
    assert "in a terminal: stibgate listen --source jobs --event 'task.*' --job-id 'a\"b;ls'" in page.words
    assert "<option selected>jobs</option>" in page.text


@pytest.mark.parametrize(
    "query", ["source=none", "state=none", "level=loud", "event=%3C", "since=1h", "source=" + "x" * 300]
)
async def test_what_is_no_filter_is_an_error(annex, query):
    """The page refuses in words what its stream would refuse unread; the stream does too."""
    browser = await annex.login()
    assert (await browser.open(f"/live?{query}")).status == 400
    assert (await browser.open(f"/live/events?{query}")).status == 400


async def test_the_stream_needs_a_session(annex):
    """Its lines go to nobody else; and they go to whoever has one."""
    assert (await annex.open("/live/events")).status == 303
    browser = await annex.login(Role.VIEWER)
    line = {"timestamp": "2026-05-17T18:42:10Z", "level": "info", "sink": "crm"}
    annex.feed.hear({**line, "event": "task.dead"})
    annex.feed.hear({**line, "event": "audit.pause"})
    annex.feed.hear({**line, "event": "task.dead"})
    headers = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    async with annex.client.get("/live/events?last=5&sink=crm", headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        async with asyncio.timeout(60):
            seen = b""
            while b"event: line" not in seen:
                seen += await answer.content.readline()
            assert b'"task.dead"' in await answer.content.readline()
            assert b"audit." not in await answer.content.readuntil(b'"task.dead"')
    await annex.feed.close()


async def test_the_stream_ends_with_the_session(annex):
    """Whoever logs out in one window is told nothing more in the other."""
    browser = await annex.login(Role.VIEWER)
    headers = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    async with annex.client.get("/live/events", headers=headers) as answer:
        await answer.content.readuntil(b"event: ready")
        assert (await browser.send("/logout")).status == 303
        async with asyncio.timeout(60):
            assert b"event: bye" in await answer.content.read()


async def test_help_helps(annex):
    """First steps, keys, words, states and commands; for any role."""
    page = await (await annex.login(Role.VIEWER)).open("/help")
    assert page.status == 200
    for words in ("First steps", "stibgate trigger", "quarantine", "idempotency key", "stibgate listen", "next row"):
        assert words in page.words
    assert "/api/v1/openapi.json" in page.text
