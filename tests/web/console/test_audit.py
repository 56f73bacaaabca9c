"""Who did what, for admins."""

import json

import pytest

from stibgate.domain.access import Role
from stibgate.domain.audit import Action, AuditEntry
from tests.web.console.annex import BAD, INJECTED


async def acted(annex, number, *, actor="dana", action=Action.REPLAY, target=None, ago_ms=0, **detail):
    at_ms = annex.clock() - ago_ms
    await annex.store.append_audit(
        AuditEntry(at_ms, actor, Role.OPERATOR, action, target, {"records": number, **detail}, "192.0.2.7")
    )


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
@pytest.mark.parametrize("path", ["/audit", "/audit.json", "/audit.csv"])
async def test_only_admins_see_it(annex, role, path):
    """Others get 403, and nothing of it."""
    await acted(annex, 1)
    page = await (await annex.login(role)).open(path)
    assert (page.status, "dana" in page.text) == (403, False)


async def test_a_line_says_who_did_what(annex):
    """Actor, role, act, what it was about, counts and address; what has a page is a link to it."""
    await acted(annex, 3, action=Action.PII_REVEALED, target="dlv_1", what="records")
    await acted(annex, 4, action=Action.PAUSE, target="crm", changed=True)
    page = await (await annex.login()).open("/audit")
    assert "dana operator pii revealed dlv_1 records 3, what records 192.0.2.7" in page.words
    assert "dana operator pause crm records 4, changed yes 192.0.2.7" in page.words
    assert 'href="/deliveries/dlv_1"' in page.text
    assert 'href="/sinks/crm"' in page.text


async def test_filters_and_cursor(annex):
    """Action, actor and time leave out; the list goes on where it ended."""
    for number in range(60):
        await acted(annex, number, actor="eve" if number % 20 == 0 else "dana", ago_ms=7_200_000 if number < 30 else 0)
    await acted(annex, 99, action=Action.PAUSE)
    browser = await annex.login()

    async def read(path):
        return json.loads((await browser.open(path)).text)

    async def records(query):
        return [row["detail"]["records"] for row in (await read(f"/audit.json?{query}"))["data"]]

    assert await records("action=pause") == [99]
    assert await records("actor=eve") == [40, 20, 0]
    assert await records("actor=eve&since=1h") == [40]
    first = await read("/audit.json?actor=dana")
    second = await read(first["next"])
    assert [row["detail"]["records"] for row in first["data"] + second["data"]][1:] == [
        number for number in reversed(range(60)) if number % 20
    ]
    cursor = first["next"].partition("cursor=")[2]
    for bad in (f"cursor={cursor}", "action=none", "since=never", "until=x", "role=admin"):
        assert (await browser.open(f"/audit?{bad}")).status == 400, bad
    assert "No line matches these filters" in (await browser.open("/audit?actor=nobody")).words


async def test_nothing_of_a_line_is_markup(annex):
    """A token's name, and whatever else may stand in a line, is text."""
    await acted(annex, 1, actor=BAD, target=BAD, what=BAD)
    browser = await annex.login()
    page = await browser.open("/audit")
    for bad in INJECTED:
        assert bad not in page.text
    assert "onerror" in page.words
