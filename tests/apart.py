"""What is served from a thread of its own, for clients that block: those that schemathesis makes."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings

T = TypeVar("T")

PATIENCE_S = 60


@contextmanager
def apart(made: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Yield what *made* gives; it lives in a loop of its own while the block runs."""
    loop, stack = asyncio.new_event_loop(), AsyncExitStack()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def done(step):
        return asyncio.run_coroutine_threadsafe(step, loop).result(PATIENCE_S)

    try:
        yield done(stack.enter_async_context(made))
    finally:
        done(stack.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
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
