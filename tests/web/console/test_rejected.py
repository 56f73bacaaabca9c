"""Refused requests, explained."""

import json

import pytest

from stibgate.domain.access import Role
from stibgate.web.console.screen import ticked
from tests.web.console.annex import BAD, INJECTED, refused


async def test_groups_are_explained(annex):
    """A group says how often, to which source, what it means, why, and what to do next; any role may see it."""
    await annex.store.add_counts("b", [], [refused(annex.clock()), refused(annex.clock(), "-", "unknown_source")])
    page = await (await annex.login(Role.VIEWER)).open("/rejected")
    for words in (
        "mismatch 3 requests to jobs",
        "last 1 min ago",
        "The signature is well-formed and no secret makes it.",
        "verdict curl/8",
        "Next: hint curl/8",
        "unknown source 3 requests to no source of ours",
        "The path names no configured source",
    ):
        assert words in page.words


async def test_filters_leave_out(annex):
    """Source, reason and time each leave out what they do not mean, also in the twin."""
    now_ms = annex.clock()
    await annex.store.add_counts(
        "b", [], [refused(now_ms), refused(now_ms, "push", "stale"), refused(now_ms - 7_200_000, "jobs", "missing")]
    )
    browser = await annex.login()

    async def reasons(query):
        rows = json.loads((await browser.open(f"/rejected.json?{query}")).text)["data"]
        return [row["reason"] for row in rows]

    assert await reasons("") == ["mismatch", "stale", "missing"]
    assert await reasons("source=jobs") == ["mismatch", "missing"]
    assert await reasons("source=jobs&reason=missing") == ["missing"]
    assert await reasons("since=1h") == ["mismatch", "stale"]
    assert "Nothing was refused that matches" in (await browser.open("/rejected?source=push&reason=missing")).words


@pytest.mark.parametrize("query", ["source=none", "reason=none", "since=2h", "state=dead"])
async def test_what_is_no_filter_is_an_error(annex, query):
    """A word that no group can have is a mistake, never an empty or a whole list."""
    browser = await annex.login()
    for path in ("/rejected", "/rejected.json"):
        assert (await browser.open(f"{path}?{query}")).status == 400


async def test_an_empty_page_teaches(annex):
    """With nothing refused, the page says what would stand there and how to see it."""
    page = await (await annex.login()).open("/rejected")
    assert "Nothing was refused in the last 24 hours" in page.words
    assert "stibgate trigger" in page.words


async def test_nothing_of_a_stranger_is_markup(annex):
    """Whatever a refused request carries stands on the page as text."""
    await annex.store.add_counts("b", [], [refused(annex.clock(), text=BAD)])
    page = await (await annex.login()).open("/rejected")
    assert "onerror=alert(1)" in page.words
    for bad in INJECTED:
        assert bad not in page.text.replace(page.csrf, "")


def test_commands_in_a_sentence_are_code():
    """What stands between backticks is code, and nothing in it or beside it is markup."""
    assert ticked("run `a <b>` & `c`") == "run <code>a &lt;b&gt;</code> &amp; <code>c</code>"
