"""How commands print what they read: JSON lines, or an aligned table."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from os import strerror
from pathlib import Path
from socket import gaierror
from typing import Any
from urllib.parse import urlsplit

import click

from stibgate.errors import NoStore, UsageError
from stibgate.stores import Ledger


@contextmanager
def open_ledger(config: Path | None, *, older: bool = False) -> Iterator[Ledger]:
    """Give the configured store for reading, closed at the end of the block; with *older* for its `status` only.

    Raises:
        StoreError: There is no store, or SQLite cannot read it.
    """
    from stibgate.app import open_store_ledger
    from stibgate.config import load
    from stibgate.stores.connection import classify

    loaded = load(config, only=["storage"])
    try:
        opened = open_store_ledger(loaded.settings, older=older)
    except NoStore as error:
        if loaded.path is not None:
            raise
        hint = "No configuration file was found here: give --config FILE, or go to its folder."
        raise NoStore(error.message, hint=hint) from error
    with closing(opened) as ledger:
        try:
            yield ledger
        except Exception as error:
            told = classify(error)
            if told is error:
                raise
            raise told from error


def base_url(address: tuple[str, int]) -> str:
    """Return the URL under which a listener bound to *address* is reached from this machine."""
    host, port = address
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def checked_url(text: str) -> str:
    """Return the base URL *text* without a slash at its end.

    Raises:
        UsageError: It is not the URL of an HTTP service.
    """
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not text.isprintable() or " " in text:
        raise UsageError(f"{text!r} is not a URL", hint="Write it like http://127.0.0.1:8080.")
    return text.rstrip("/")


def cause(error: BaseException) -> str:
    """Return why a connection failed, in words: `connection refused`."""
    # aiohttp and urllib both wrap what the system said.
    for name in ("os_error", "reason"):
        inner = getattr(error, name, None)
        if isinstance(inner, OSError):
            return cause(inner)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, gaierror):
        return "there is no such host"
    if isinstance(error, OSError) and error.errno:
        return strerror(error.errno).lower()
    return "the connection broke, or what answers is not HTTP"


def print_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, columns: Sequence[str], empty: str) -> None:
    """Print *rows* as one JSON object a line, or those *columns* as a table."""
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    if not rows:
        click.echo(empty, err=True)
        return
    from tabulate import tabulate

    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    click.echo(tabulate(cells, headers=[name.upper() for name in columns], tablefmt="plain", disable_numparse=True))


def chosen(values: Iterable[str]) -> click.Choice[str]:
    """Return a choice whose error names what is allowed."""
    return click.Choice([str(value) for value in values])


def printable(value: object) -> str:
    """Return *value* as text for a terminal: what a sender chose must not move the cursor or colour it."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(value))


def _cell(value: object) -> str:
    return "-" if value is None else printable(value)
