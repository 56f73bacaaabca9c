"""How commands print what they read: JSON lines, or an aligned table."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from stibgate.domain.delivery import StoredDelivery
from stibgate.domain.instant import to_rfc3339
from stibgate.domain.task import Task
from stibgate.stores import Ledger


@contextmanager
def open_ledger(config: Path | None) -> Iterator[Ledger]:
    """Give the configured store for reading, closed at the end of the block.

    Raises:
        StoreError: There is no store, or SQLite cannot read it.
    """
    from stibgate.app import open_store_ledger
    from stibgate.config import load
    from stibgate.stores.connection import classify

    with closing(open_store_ledger(load(config).settings)) as ledger:
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


def moment(unix_ms: int | None) -> str | None:
    """Return a time for output, or None."""
    return None if unix_ms is None else to_rfc3339(unix_ms)


def delivery_row(delivery: StoredDelivery) -> dict[str, Any]:
    """Return a delivery as the contract lists it."""
    return {
        "delivery_id": delivery.delivery_id,
        "state": delivery.state,
        "source": delivery.source,
        "event_type": delivery.event_type,
        "received_at": moment(delivery.received_at_ms),
        "records": delivery.records,
        "search_id": delivery.search_id,
        "job_id": delivery.job_id,
        "partner_customer_id": delivery.partner_customer_id,
        "duplicates": delivery.duplicates,
        "via": delivery.via,
        "reason": delivery.reason,
    }


def task_row(task: Task) -> dict[str, Any]:
    """Return a task as the contract lists it."""
    return {
        "task_id": task.task_id,
        "delivery_id": task.delivery_id,
        "sink": task.sink,
        "state": task.state,
        "attempts": task.attempts,
        "next_attempt_at": moment(task.next_attempt_at_ms),
        "error": task.error,
    }


def chosen(values: Iterable[str]) -> click.Choice[str]:
    """Return a choice whose error names what is allowed."""
    return click.Choice([str(value) for value in values])


def printable(value: object) -> str:
    """Return *value* as text for a terminal: what a sender chose must not move the cursor or colour it."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(value))


def _cell(value: object) -> str:
    return "-" if value is None else printable(value)
