"""What `stibgate doctor` looks at by itself: this machine, the store, the keys, the sinks. Nothing is changed."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stibgate.cli.doctor_backlog import backlog, refused
from stibgate.cli.doctor_findings import Finding, note, ok, warning, wrong
from stibgate.cli.output import base_url, cause
from stibgate.errors import (
    NoStore,
    ServiceUnreachable,
    StibgateError,
    VendorRefused,
    VendorUnauthorized,
    VendorUnavailable,
)
from stibgate.stores.lock import running_service

if TYPE_CHECKING:
    from stibgate.config import Loaded, Settings
    from stibgate.stores import Ledger

SKEW_WARNING_S = 5.0
SKEW_WRONG_S = 60.0
ANSWER_MAX_S = 10.0
SQLITE_FIXED = (3, 51, 3)
_MIB = 1024**2


async def look(loaded: "Loaded") -> AsyncIterator[Finding]:
    """Yield everything that was found, in the order in which it matters."""
    settings = loaded.settings
    for finding in _config(loaded):
        yield finding
    yield await _clock(settings)
    for finding in (*_disk(settings), _sqlite(), *_store(settings)):
        yield finding
    yield await _stibnite(settings)
    yield await _thehog(settings)
    async for finding in _sinks(settings):
        yield finding
    for finding in await asyncio.to_thread(lambda: list(_listeners(settings))):
        yield finding


def _config(loaded: "Loaded") -> Iterator[Finding]:
    from stibgate.config import plug_in_notices

    sources, sinks = len(loaded.settings.sources), len(loaded.settings.sinks)
    where = str(loaded.path) if loaded.path else "the environment and the defaults"
    yield ok("config", f"{where}: sources {sources}, sinks {sinks}")
    for notice in (*loaded.notices, *plug_in_notices()):
        yield warning("config", notice, "`stibgate config show` prints what applies.")
    if not loaded.settings.server.public_url:
        yield note("config", "server.public_url is not set", "`stibgate register` and `stibgate doctor url` need it.")


async def _clock(settings: "Settings") -> Finding:
    """Return how far this machine's clock is from that of a service on the net."""
    stibnite, public = settings.stibnite.api_key is not None, settings.server.public_url
    if not stibnite and not public:
        return note("clock", "not compared: neither stibnite.api_key nor server.public_url is set")
    base = settings.stibnite.base_url if stibnite else f"{public}/healthz"
    origin = f"{urlsplit(base).scheme}://{urlsplit(base).netloc}"
    skew_s = await _skew_s(base)
    if skew_s is None:
        return note("clock", f"not compared: {origin} does not answer, or says no date")
    told = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} {origin}"
    hint = "Signatures have time limits: let chrony or systemd-timesyncd keep the clock (`timedatectl`)."
    if abs(skew_s) > SKEW_WRONG_S:
        return wrong("clock", told, hint)
    return warning("clock", told, hint) if abs(skew_s) > SKEW_WARNING_S else ok("clock", told)


async def _skew_s(url: str) -> float | None:
    """Return how many seconds this clock is ahead of the Date of what answers at *url*, or None."""
    import aiohttp

    limits = aiohttp.ClientTimeout(total=ANSWER_MAX_S)
    try:
        async with aiohttp.ClientSession(timeout=limits, cookie_jar=aiohttp.DummyCookieJar()) as http:
            sent_s = time.time()
            async with http.get(url, allow_redirects=False) as answer:
                date = parsedate_to_datetime(answer.headers["date"]).timestamp()
            came_s = time.time()
    except (aiohttp.ClientError, OSError, KeyError, ValueError, TypeError):
        return None
    # A Date is cut to its second: on average it lies half a second back.
    return (sent_s + came_s) / 2 - (date + 0.5)


def _disk(settings: "Settings") -> Iterator[Finding]:
    least = settings.storage.min_free
    places = {"store": settings.storage.path.parent}
    for name, sink in settings.sinks.items():
        folder = getattr(sink, "dir", None)
        if isinstance(folder, Path):
            places[f"sink {name}"] = folder
    for what, folder in places.items():
        yield _room(what, folder, least)


def _room(what: str, folder: Path, least: int) -> Finding:
    standing = next(path for path in (folder, *folder.parents) if _seen(path))
    check = f"disk of {what}"
    if not standing.is_dir() or not os.access(standing, os.W_OK | os.X_OK):
        return wrong(check, f"{standing} is not writable for this user", "Run the doctor as the service's user.")
    disk = os.statvfs(standing)
    if not disk.f_blocks:
        return wrong(check, f"{folder} cannot be made: {standing} holds no files", "Choose a folder on a disk.")
    free = disk.f_bavail * disk.f_frsize
    told = f"{free // _MIB} MiB free at {standing}, storage.min_free is {least // _MIB} MiB"
    if free < least:
        kept = "every delivery is answered 507" if what == "store" else "soon nothing can be written there"
        return wrong(check, told, f"Free space: below min_free {kept}.")
    if free < 2 * least:
        return warning(check, told, "Free space before it is used up.")
    return ok(check, told)


def _seen(path: Path) -> bool:
    """Return whether *path* is there; what this user may not see is not."""
    try:
        return path.exists()
    except PermissionError:
        return False


def _sqlite() -> Finding:
    from stibgate.app import sqlite_version

    version = sqlite_version()
    if tuple(int(part) for part in version.split(".")) >= SQLITE_FIXED:
        return ok("sqlite", f"SQLite {version}")
    return warning(
        "sqlite",
        f"SQLite {version} is older than 3.51.3 and has the WAL-reset bug; with one writer, as here, it does not show",
        "Install stibgate[sqlite], which brings a fixed one.",
    )


def _store(settings: "Settings") -> Iterator[Finding]:
    """Yield what the store says; it is opened for reading only, and its lock is not touched."""
    from stibgate.app import open_store_ledger

    path = settings.storage.path
    try:
        with closing(open_store_ledger(settings, older=True)) as ledger:
            status = ledger.status()
            waiting = [] if status.pending_migrations else [*backlog(ledger), *_refused(ledger, settings)]
    except NoStore:
        yield note("store", f"{path} is not there yet; `stibgate serve` makes it")
        return
    except StibgateError as error:
        yield wrong("store", error.message, error.hint)
        return
    count = sum(status.deliveries.values())
    yield ok("store", f"{path}: schema {status.schema_version}, deliveries {count}, {status.size_bytes // _MIB} MiB")
    if status.pending_migrations:
        yield warning(
            "store",
            f"its schema is older than this version: {', '.join(status.pending_migrations)}",
            "`stibgate serve` brings it up to date, and so does `stibgate db migrate`.",
        )
    running = running_service(path)
    yield note("store", f"process {running[0]} runs on it" if running else "no service runs on it")
    yield from waiting


def _refused(ledger: "Ledger", settings: "Settings") -> Iterator[Finding]:
    return refused(ledger, settings.sources.keys(), now_ms=time.time_ns() // 1_000_000)


async def _stibnite(settings: "Settings") -> Finding:
    from stibgate.app.vendors import stibnite_client
    from stibgate.vendors.retry import Patience

    if settings.stibnite.api_key is None:
        return note(
            "stibnite",
            "stibnite.api_key is not set: nothing is read back, polled or submitted",
            "Job events without records stay without them until there is a key.",
        )
    try:
        async with stibnite_client(settings, patience=Patience(tries_max=1)) as client:
            usage = await client.usage()
    except StibgateError as error:
        return _of_vendor("stibnite", error, "the API key")
    return ok("stibnite", f"the API key is taken: requests {usage.requests}, billable records {usage.billable_records}")


async def _thehog(settings: "Settings") -> Finding:
    from stibgate.app.vendors import thehog_client
    from stibgate.vendors.retry import Patience
    from stibgate.vendors.thehog import PeopleSearch

    if settings.thehog.access_key is None and settings.thehog.secret_key is None:
        return note("thehog", "thehog.access_key and thehog.secret_key are not set: no estimates")
    try:
        async with thehog_client(settings, patience=Patience(tries_max=1)) as client:
            await client.estimate(PeopleSearch("software engineers", limit=1))
    except StibgateError as error:
        return _of_vendor("thehog", error, "the pair of keys")
    return ok("thehog", "the pair of keys is taken: a free estimate was answered")


def _of_vendor(check: str, error: StibgateError, proof: str) -> Finding:
    """Return what a failed call means."""
    if isinstance(error, VendorUnauthorized) and error.status == 403:
        return wrong(check, f"{proof} is known, and may not do this: {error.message}", error.hint)
    if isinstance(error, VendorUnauthorized):
        return wrong(check, f"{proof} is not taken: {error.message}", error.hint)
    if isinstance(error, VendorUnavailable | VendorRefused):
        return warning(check, f"{proof} could not be tried: {error.message}", error.hint)
    return wrong(check, error.message, error.hint)


async def _sinks(settings: "Settings") -> AsyncIterator[Finding]:
    """Yield what `stibgate sinks test` would say of every sink."""
    from stibgate.app.looking import look as look_at_sinks

    if not settings.sinks:
        yield warning("sinks", "no sink is configured: records are kept and go nowhere", "Add [sinks.NAME].")
    found = await look_at_sinks(settings.sinks)
    for name, findings in zip(settings.sinks, found, strict=True):
        for one in findings:
            yield ok(f"sink {name}", one.what) if one.ok else wrong(f"sink {name}", one.what, one.hint)


def _listeners(settings: "Settings") -> Iterator[Finding]:
    """Yield whether a service of this configuration answers; that none runs is no fault."""
    from stibgate.cli.direct import open_direct
    from stibgate.cli.health import ask as ask_readiness

    try:
        told = ask_readiness(base_url(settings.server.admin_address), 3.0)
    except ServiceUnreachable:
        yield note("listeners", "no service answers on this machine", "Start `stibgate serve`.")
        return
    if told["status"] == "ready":
        yield ok("admin listener", "the service is ready")
    else:
        checks = ", ".join(f"{name}: {word}" for name, word in told["checks"].items() if word != "ok")
        yield warning("admin listener", f"the service is {told['status']}: {checks}", "Look at its log.")
    public = base_url(settings.server.bind_address)
    try:
        with open_direct(f"{public}/healthz", timeout_s=3.0):
            yield ok("public listener", f"{public} answers")
    except (OSError, ValueError) as error:
        yield wrong("public listener", f"{public} does not answer: {cause(error)}", "Is server.bind what serves there?")
