"""The composition root: settings in, running parts out; the only place that names a concrete store.

Here is what commands do with a store of their own; it imports no listener, so that a command answers at once.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from stibgate.app.clock import now_ms
from stibgate.app.token import admin_token
from stibgate.config import Settings
from stibgate.domain.audit import Action, Actor, AuditEntry
from stibgate.domain.instant import to_compact
from stibgate.errors import NoStore
from stibgate.stores import Ledger
from stibgate.stores.backup import Copy, Restored, back_up, restore
from stibgate.stores.connection import open_writer, sqlite_version
from stibgate.stores.ledger import open_ledger
from stibgate.stores.lock import InstanceLock
from stibgate.stores.migrations import migrate
from stibgate.stores.office import noted
from stibgate.stores.statements import unpin

__all__ = [
    "admin_token",
    "back_up_store",
    "migrate_store",
    "open_store_ledger",
    "pinned_schemes",
    "restore_store",
    "sqlite_version",
    "unpin_source",
]


def open_store_ledger(settings: Settings, *, older: bool = False) -> Ledger:
    """Return the store for reading; it needs no running service. With *older* an older schema will do for `status`."""
    return open_ledger(settings.storage.path, older=older)


def pinned_schemes(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """Return the pinned scheme of each source; none where nothing was ever received."""
    try:
        ledger = open_store_ledger(settings)
    except NoStore:
        return {}
    with closing(ledger):
        return ledger.pins()


def migrate_store(settings: Settings) -> tuple[str, ...]:
    """Bring the store to this version's schema; return the migrations that were applied.

    Raises:
        StoreLocked: A service is running on it.
        SchemaTooNew: A newer stibgate wrote it.
    """
    with _offline(settings) as database:
        return tuple(migrate(database))


def back_up_store(settings: Settings, to: Path | None) -> Copy:
    """Copy the store while a service may use it; into the folder *to* under a name of its own, or to the new file *to*.

    Raises:
        NoStore: Nothing was ever received.
        StoreError: It could not be copied.
    """
    store = settings.storage.path
    to = store.parent / "backups" if to is None else to.absolute()
    if to.is_dir() or not to.suffix:
        to /= f"{store.stem}-{to_compact(now_ms())}{store.suffix}"
    return back_up(store, to)


def restore_store(settings: Settings, file: Path, actor: Actor, *, dry_run: bool) -> Restored:
    """Put the copy *file* in the store's place; the store before it is kept beside it.

    Raises:
        StoreLocked: A service is running on it.
        StoreError: The copy is not fit; nothing was changed.
    """
    store = settings.storage.path
    aside = store.with_name(f"{store.name}.before-{to_compact(now_ms())}")
    note = AuditEntry(now_ms(), actor.principal.name, actor.principal.role, Action.RESTORE)
    return restore(store, file, aside=aside, note=note, dry_run=dry_run)


def unpin_source(settings: Settings, source: str, actor: Actor) -> bool:
    """Forget the scheme that was pinned for *source*, and note who did; return whether there was one.

    Raises:
        StoreLocked: A service is running on it.
        SchemaTooNew: A newer stibgate wrote it.
    """
    with _offline(settings) as database:
        migrate(database)
        line = AuditEntry(now_ms(), actor.principal.name, actor.principal.role, Action.UNPIN, source)
        act = noted(partial(unpin, source=source), lambda changed: replace(line, detail={"changed": changed}))
        with database.conn:  # commits, or undoes both
            database.conn.execute("BEGIN IMMEDIATE")
            return act(database)


@contextmanager
def _offline(settings: Settings) -> Iterator[Database]:
    """Yield the writing connection of a store that no service is using, and keep others out meanwhile."""
    lock = InstanceLock(settings.storage.path, service=False)
    try:
        database = open_writer(settings.storage.path, durability=settings.storage.durability)
        try:
            yield database
        finally:
            database.conn.close()
    finally:
        lock.release()
