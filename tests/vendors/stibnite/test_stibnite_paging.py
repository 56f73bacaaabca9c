import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.errors import UsageError, VendorMisbehaved
from stibgate.vendors.stibnite.paging import EMPTY_PAGES_MAX, pages, rows


@dataclass(frozen=True)
class Page:
    rows: list[int]
    next_cursor: str | None


class Shelf:
    """A list of numbers in pages, which remembers what it was asked for."""

    def __init__(self, total: int, *, short: int = 0) -> None:
        self.total = total
        self.short = short
        self.asked: list[tuple[int, str | None]] = []

    async def fetch(self, limit: int, cursor: str | None) -> Page:
        self.asked.append((limit, cursor))
        first = int(cursor or 0)
        last = min(first + max(limit - self.short, 1), self.total)
        return Page(list(range(first, last)), str(last) if last < self.total else None)


async def read(fetch, into: list[int] | None = None, **caps) -> list[int]:
    got = [] if into is None else into
    async for row in rows("GET /list", fetch, **caps):
        got.append(row)
    return got


@given(total=st.integers(0, 60), limit=st.integers(1, 20), cap=st.integers(1, 80), short=st.integers(0, 3))
async def test_every_row_once_and_none_too_many(total, limit, cap, short):
    """All rows come, in order, once, up to the cap; never is more asked for than is left."""
    shelf = Shelf(total, short=short)
    assert await read(shelf.fetch, limit=limit, max_records=cap) == list(range(min(total, cap)))
    left = cap
    for asked, cursor in shelf.asked:
        assert 1 <= asked <= min(limit, cap - int(cursor or 0))
        left -= asked
    if not short:
        assert len(shelf.asked) == max(1, math.ceil(min(total, cap) / limit))


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["a", "b", "c", "d", "", None])), min_size=1, max_size=30))
async def test_no_vendor_makes_it_endless(script):
    """Whatever pages and cursors come, reading ends: with the list, with the cap, or with an error."""
    turns = 0

    async def fetch(limit: int, cursor: str | None) -> Page:
        nonlocal turns
        count, following = script[turns % len(script)]
        turns += 1
        return Page(list(range(count)), following)

    got = []
    try:
        async for row in rows("GET /list", fetch, limit=5, max_records=20):
            got.append(row)
    except VendorMisbehaved:
        pass
    assert len(got) <= 20
    assert turns <= 5


async def test_a_circle_is_named():
    """A cursor that comes twice is an error that names it, after the rows of its page."""

    async def fetch(limit: int, cursor: str | None) -> Page:
        return Page([1], {None: "b", "b": "a", "a": "b"}[cursor])

    got = []
    with pytest.raises(VendorMisbehaved, match=r"GET /list: the cursor 'b' came twice") as caught:
        await read(fetch, got, limit=5, max_records=50)
    assert got == [1, 1, 1]
    assert caught.value.hint


async def test_the_cursor_that_began_it_counts_too():
    """A list that leads back to where it was begun is a circle, seen on its first page."""
    asked = []

    async def fetch(limit: int, cursor: str | None) -> Page:
        asked.append(cursor)
        return Page([1], "start")

    with pytest.raises(VendorMisbehaved, match="came twice"):
        async for _ in pages("GET /list", fetch, limit=5, max_records=50, cursor="start"):
            pass
    assert asked == ["start"]


async def test_empty_pages_end():
    """Pages without rows, each with a new cursor, are an error after ten in a row."""
    turns = 0

    async def fetch(limit: int, cursor: str | None) -> Page:
        nonlocal turns
        turns += 1
        return Page([], f"cursor-{turns}" + "\n" * 99)

    with pytest.raises(VendorMisbehaved, match="empty pages") as caught:
        await read(fetch, limit=5, max_records=50)
    assert turns == EMPTY_PAGES_MAX
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


async def test_a_page_beyond_its_limit():
    """A page longer than asked for gives what the cap allows, then an error: more may have been billed."""

    async def fetch(limit: int, cursor: str | None) -> Page:
        return Page(list(range(limit + 3)), "next")

    got = []
    with pytest.raises(VendorMisbehaved, match="a page of 7 records, 4 were asked for") as caught:
        await read(fetch, got, limit=5, max_records=4)
    assert got == [0, 1, 2, 3]
    assert caught.value.maybe_done is True


async def test_a_page_is_asked_for_when_it_is_wanted():
    """Whoever stops reading is billed for no further page."""
    shelf = Shelf(50)
    async for row in rows("GET /list", shelf.fetch, limit=5, max_records=50):
        if row == 4:
            break
    assert len(shelf.asked) == 1


@pytest.mark.parametrize("cap", [0, -1])
async def test_a_cap_is_needed(cap):
    """Reading without a cap is not possible."""
    with pytest.raises(UsageError):
        await read(Shelf(5).fetch, limit=5, max_records=cap)
