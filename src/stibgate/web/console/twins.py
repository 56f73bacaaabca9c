"""A list by pages, and the same list for programs: JSON, and CSV that no spreadsheet takes for formulas."""

import asyncio
import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from stibgate.web.console.filters import CURSOR, cursor_of
from stibgate.web.console.page import Visit

ROWS = 50
"""How many rows a page of a list has; one more is read, to know whether there are older ones."""
TWIN_ROWS_MAX = 10_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def filters_of(visit: Visit) -> dict[str, str]:
    """Return the filters of a list, without where it goes on."""
    return {name: value for name, value in visit.query.items() if name != CURSOR}


def twins_of(visit: Visit) -> list[tuple[str, str]]:
    """Return the words and URLs of the twins of the list that is shown, from its beginning."""
    path, _, query = visit.here(CURSOR).partition("?")
    return [(word, path + word + (f"?{query}" if query else "")) for word in (".json", ".csv")]


def older_of(visit: Visit, numbers: Sequence[int]) -> str | None:
    """Return where the list goes on, when there is more of it; *numbers* are those of the rows that were read."""
    return visit.here(cursor=cursor_of(numbers[ROWS - 1], visit.query)) if len(numbers) > ROWS else None


def json_answer(visit: Visit, rows: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> web.Response:
    """Return a page of *rows* and the URL of those after it."""
    return web.json_response({"data": rows[:ROWS], "next": older_of(visit, numbers)})


async def csv_answer(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], name: str) -> web.Response:
    """Return those *columns* of *rows* as the file *name*, which is one of our own words."""
    return web.Response(
        text=await asyncio.to_thread(csv_text, rows, columns),  # thousands of rows: a tenth of a second and more
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return those *columns* of *rows* as RFC 4180, with a `'` before what a spreadsheet would calculate."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return out.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
