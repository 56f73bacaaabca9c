"""What people do, put together: for a service, and for a command that has the store to itself."""

from collections.abc import Callable

from stibgate.app.clock import new_id, now_ms
from stibgate.app.looking import look_at
from stibgate.config import Settings
from stibgate.pipeline.acts import Acts
from stibgate.pipeline.audit import Auditor
from stibgate.pipeline.bulk import Bulks
from stibgate.pipeline.operations import Operations
from stibgate.stores.sqlite import SqliteStore


def acts_of(settings: Callable[[], Settings], store: SqliteStore, operations: Operations) -> Acts:
    """Return what people do through *operations*, as *settings* are then, with its lines in the audit."""
    auditor = Auditor(store, now_ms)
    return Acts(
        operations,
        auditor,
        Bulks(operations, store, auditor, lambda: new_id("rpl")),
        lambda sink: look_at(sink, settings().sinks[sink]),
    )
