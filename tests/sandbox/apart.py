"""A sandbox in a thread of its own, for clients that block: those that schemathesis makes."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from hypothesis import HealthCheck, Phase, settings

from stibgate.sandbox.server import serve


@contextmanager
def running(app: web.Application) -> Iterator[str]:
    """Yield the URL of *app*, which is served while the block runs."""
    loop, started, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    urls: list[str] = []

    async def run() -> None:
        async with serve(app) as url:
            urls.append(url)
            started.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert started.wait(10)
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
        loop.close()


def some(examples: int) -> settings:
    """Return settings for a bounded run that is the same each time."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
