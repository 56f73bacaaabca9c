"""The admin listener under what is no HTTP."""

import asyncio

import pytest
from aiohttp import web

from stibgate.app.listeners import admin_runner


@pytest.mark.parametrize(
    "data",
    [b"GARBAGE\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\nX: canary\x00token\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"],
    ids=["no request", "bad header", "bad version"],
)
async def test_what_is_no_http(data, lines):
    """It is answered as a problem that repeats nothing of it, and is a line of the log, not a bug."""
    runner = admin_runner(web.Application())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(data)
        async with asyncio.timeout(60):
            answer = await reader.read()
        writer.close()
    finally:
        await runner.cleanup()
    assert b" 400 " in answer.splitlines()[0]
    assert b"application/problem+json" in answer
    assert not [word for word in (b"GARBAGE", b"canary", b"aiohttp") if word in answer]
    assert [line["reason"] for line in lines.of("admin.malformed")] == ["malformed_http"]
    assert not lines.of("unhandled")
