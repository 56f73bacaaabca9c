"""Serving an application on loopback, and nowhere else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def serve(app: web.Application, port: int = 0) -> AsyncIterator[str]:
    """Serve *app* on loopback while the block runs; gives the base URL, `http://127.0.0.1:PORT`.

    Args:
        app: Any application; its clean-up runs when the block ends.
        port: 0 takes a free one.

    Raises:
        OSError: *port* is taken.
    """
    # No access log: paths carry search ids, and the gateway's logs are what a reader of the demo looks at.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
