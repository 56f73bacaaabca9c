"""Serving on loopback."""

import aiohttp
import pytest
from aiohttp import web

from stibgate.sandbox.server import serve
from stibgate.sandbox.stibnite import StibniteSandbox


async def test_serves_while_the_block_runs(clock):
    """The base URL answers inside the block, on loopback only, and refuses connections after it."""
    sandbox = StibniteSandbox(seed=7, now=clock.now, pause=clock.pause)
    async with aiohttp.ClientSession() as session:
        async with serve(sandbox.app()) as url:
            assert url.startswith("http://127.0.0.1:")
            async with session.get(f"{url}/v1/usage", headers={"x-api-key": sandbox.api_key}) as response:
                assert await response.json() == {"requests": 0, "billable_records": 0}
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{url}/v1/usage")


async def test_port(unused_tcp_port):
    """A port that is asked for is the port that is served; a taken one is an OSError."""
    async with serve(web.Application(), unused_tcp_port) as url:
        assert url == f"http://127.0.0.1:{unused_tcp_port}"
        with pytest.raises(OSError, match="address"):
            async with serve(web.Application(), unused_tcp_port):
                pass
