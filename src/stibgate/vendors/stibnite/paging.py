"""Lists that come in pages: never more than was asked for, and never without end.

Asking is capped, not only reading: the last page is asked for with what is left, so nothing is billed that nobody
wants. A cursor that comes twice, empty pages in a row, and a page longer than its limit are errors; what may be
taken of that page is given first, for it is paid.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from stibgate.errors import UsageError, VendorMisbehaved

EMPTY_PAGES_MAX = 10
_CURSOR_SHOWN_MAX = 40

Row_co = TypeVar("Row_co", covariant=True)


class Paged(Protocol[Row_co]):
    """What a page must have."""

    @property
    def rows(self) -> Sequence[Row_co]:
        """What it lists."""

    @property
    def next_cursor(self) -> str | None:
        """What the next page is asked for with; None when there is none."""


Row = TypeVar("Row")
AnyPage = TypeVar("AnyPage", bound=Paged[Any])
Fetch = Callable[[int, str | None], Awaitable[AnyPage]]
"""Gets one page: takes its limit and its cursor."""


async def pages(
    what: str, fetch: Fetch[AnyPage], *, limit: int, max_records: int, cursor: str | None = None
) -> AsyncIterator[AnyPage]:
    """Yield pages, as they are wanted, until *max_records* rows are there or the list ends.

    Args:
        what: What errors call the list.
        fetch: Gets one page.
        limit: The longest page to ask for.
        max_records: The most rows in all.
        cursor: Where to begin; None for the start.

    Raises:
        UsageError: *max_records* is below 1.
        VendorMisbehaved: The cursors lead in a circle or nowhere, or a page is longer than asked for.
    """
    if max_records < 1:
        raise UsageError("max_records must be above 0", hint="It caps what is read, and billed, over all pages.")
    seen = {cursor}
    left, empty = max_records, 0
    while True:
        asked = min(limit, left)
        page = await fetch(asked, cursor)
        yield page
        count, cursor = len(page.rows), page.next_cursor
        if count > asked:
            raise VendorMisbehaved(
                f"{what}: a page of {count} records, {asked} were asked for",
                hint="Compare the vendor's usage with what you received: more may have been billed.",
                maybe_done=True,
            )
        left -= count
        empty = 0 if count else empty + 1
        if not cursor or left < 1:
            return
        if cursor in seen or empty >= EMPTY_PAGES_MAX:
            why = "came twice" if cursor in seen else f"follows {empty} empty pages"
            raise VendorMisbehaved(
                f"{what}: the cursor {_shown(cursor)} {why}; the list would never end",
                hint="Ask again from the start; if it stays so, tell the vendor.",
            )
        seen.add(cursor)


async def rows(
    what: str, fetch: Callable[[int, str | None], Awaitable[Paged[Row]]], *, limit: int, max_records: int
) -> AsyncIterator[Row]:
    """Yield at most *max_records* rows; arguments and errors are those of `pages`."""
    left = max_records
    async for page in pages(what, fetch, limit=limit, max_records=max_records):
        for row in page.rows[:left]:
            yield row
        left -= len(page.rows)


def _shown(cursor: str) -> str:
    return repr(cursor if len(cursor) <= _CURSOR_SHOWN_MAX else f"{cursor[:_CURSOR_SHOWN_MAX]}…")
