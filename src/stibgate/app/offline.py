"""What operators do, on a store that no service is using."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from stibgate.app import open_store_ledger
from stibgate.app.acting import acts_of
from stibgate.app.parts import open_for_command, operations_of
from stibgate.config import Settings
from stibgate.pipeline.acts import Acts

T = TypeVar("T")


async def operate(settings: Settings, work: Callable[[Acts], Awaitable[T]]) -> T:
    """Return what *work* returns, done on a store that no service is using.

    Raises:
        NoStore: Nothing was ever received.
        StoreLocked: A service is running on it.
        SchemaTooNew: A newer stibgate wrote it.
    """
    open_store_ledger(settings, older=True).close()  # raises before a store is made that nobody asked for
    store = open_for_command(settings)
    try:
        return await work(acts_of(lambda: settings, store, operations_of(settings, store)))
    finally:
        await store.close()
