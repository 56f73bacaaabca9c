"""Sinks: how each is, and what an operator can do about it."""

import json

import pytest

from stibgate.domain.access import Role
from stibgate.domain.audit import Action
from stibgate.domain.circuit import Circuit, CircuitState, SinkState
from stibgate.domain.stats import HOUR_MS
from stibgate.domain.tally import Counted, Key, Series
from stibgate.errors import SinkHeld, SinkUnavailable
from stibgate.pipeline.dispatch import Outlet
from stibgate.sinks import Finding
from stibgate.stores import AuditFilter
from stibgate.web.console.glance import SinkRow
from stibgate.web.console.sinks import WHY
from tests.pipeline.world import POLICY, ScriptedSink, admit, delivery, make_dispatcher, make_fanout, make_intake
from tests.web.console.annex import BAD, INJECTED, make_annex
from tests.web.console.office import SAME_ORIGIN

ACTS = ("test", "pause", "resume", "reset")


def row(state, *, kind="csv"):
    return SinkRow("crm", kind, None, (), state, {}, None, None)


async def test_the_list_shows_each_sink(annex):
    """Its kind, its state in words, and the numbers of a day; and what an operator can do."""
    at_ms = (annex.clock() - HOUR_MS) // 60_000 * 60_000
    counts = [("outcomes", "created", 11930), ("outcomes", "refused", 7), ("attempts", "unavailable", 37)]
    await annex.store.add_counts("b", [Counted(at_ms, Key(Series(s), "crm", word), n) for s, word, n in counts])
    await annex.store.pause("drop", now_ms=annex.clock() - 60_000, by="dana (maintenance)")
    page = await (await annex.login(Role.OPERATOR)).open("/sinks")
    assert "crm hubspot ok 0 - 0 11 930 7 37 - Test Pause…" in page.words
    assert "drop csv paused by dana (maintenance), 1 min ago 0 - 0 0 0 0 - Test Resume" in page.words
    rows = json.loads((await (await annex.login()).open("/sinks.json")).text)["data"]
    assert [one["sink"] for one in rows] == ["drop", "crm"]


@pytest.mark.parametrize(
    ("state", "word", "meaning"),
    [
        (SinkState("crm"), "ok", "It takes records."),
        (SinkState("crm", paused_at_ms=1, paused_by="dana"), "paused", "By dana. Its tasks wait"),
        (SinkState("crm", Circuit(CircuitState.OPEN, 5, 9, 9, None, "503")), "open", "It failed 5 times in a row"),
        (SinkState("crm", Circuit(CircuitState.HALF_OPEN, 5, 9, 9, None, "503")), "half_open", "is being tried: 503."),
        (SinkState("crm", Circuit(CircuitState.OPEN, 0, 9, 0, 1, "quota")), "open", "It says itself that"),
    ],
)
def test_a_state_is_said_in_words(state, word, meaning):
    """One word for its shape, one sentence for who must act."""
    assert row(state).word == word
    assert meaning in row(state).meaning
    assert row(state, kind=None).word == "gone"


async def test_a_breaker_is_said_as_it_is_meant(annex):
    """Nobody at night takes an open breaker for a good sign; a try that is due is not said to be past."""
    intake = make_intake(annex.store, now_ms=annex.clock)
    for serial in (1, 2):
        await admit(intake, delivery(serial=serial))
    fanout = make_fanout(annex.store, ["crm"], now_ms=annex.clock)
    while await fanout.run_once():
        pass
    sink = ScriptedSink(script=[SinkHeld("quota", retry_after_s=60), SinkUnavailable("out for lunch")])
    dispatcher = make_dispatcher(annex.store, {"crm": Outlet(sink, POLICY)}, now_ms=annex.clock)
    for task in (await annex.store.claim("crm", POLICY, now_ms=annex.clock(), limit=2)).tasks:
        await dispatcher.attempt(task)
    page = await (await annex.login()).open("/sinks/crm")
    assert "due" not in page.words
    annex.clock.advance(61)
    browser = await annex.login()
    assert "left alone quota" in (await browser.open("/")).words
    page = await browser.open("/sinks/crm")
    assert "left alone · It says itself that" in page.words
    assert "Last error due 1" in page.words


async def test_pause_and_resume_are_written_down(annex):
    """Each act does what it says, leads back to the sink, and is a line in the audit with who and why."""
    browser = await annex.login(Role.OPERATOR)
    done = await browser.send("/sinks/crm/pause", {"reason": "maintenance"})
    assert (done.status, done.headers["Location"]) == (303, "/sinks/crm")
    page = await browser.open("/sinks/crm")
    assert "paused · By operator-person (maintenance). Its tasks wait" in page.words
    await browser.send("/sinks/crm/resume")
    assert "It takes records." in (await browser.open("/sinks/crm")).words
    await browser.send("/sinks/crm/reset")
    lines = annex.store.audit(AuditFilter(), limit=10)
    assert [(line.entry.action, line.entry.target) for line in lines if line.entry.target] == [
        (Action.RESET, "crm"),
        (Action.RESUME, "crm"),
        (Action.PAUSE, "crm"),
    ]
    assert lines[0].entry.actor == "operator-person"


@pytest.mark.parametrize("reason", ["", "because I say so", BAD])
async def test_a_pause_needs_one_of_our_reasons(annex, reason):
    """What is typed freely could name a person and would go into the log."""
    browser = await annex.login()
    assert (await browser.send("/sinks/crm/pause", {"reason": reason})).status == 400
    assert "crm" not in annex.store.sinks()
    page = await browser.open("/sinks/crm")
    assert all(why in page.words for why in WHY)


async def test_a_test_shows_what_it_saw(annex):
    """Findings stand on the sink's page as text; the test is a line in the audit."""
    annex.findings = [Finding("token accepted"), Finding(BAD, ok=False, hint=f"`do` {BAD}")]
    page = await (await annex.login(Role.OPERATOR)).send("/sinks/crm/test")
    assert page.status == 200
    assert "ok token accepted" in page.words
    assert "failed \"'><img" in page.words
    for bad in INJECTED:
        assert bad not in page.text
    assert annex.store.audit(AuditFilter(action=Action.SINK_TEST), limit=1)


@pytest.mark.parametrize("act", ACTS)
async def test_a_viewer_does_nothing(annex, act):
    """The role is looked at whatever the form says, and a viewer's pages have no form for it."""
    browser = await annex.login(Role.VIEWER)
    assert (await browser.send(f"/sinks/crm/{act}", {"reason": WHY[0]})).status == 403
    assert not annex.store.sinks()
    for path in ("/sinks", "/sinks/crm"):
        page = await browser.open(path)
        assert page.status == 200
        assert f"/sinks/crm/{act}" not in page.text


@pytest.mark.parametrize("act", ACTS)
async def test_only_our_forms_act(annex, act):
    """Without the session's token, or from another site, nothing is done; without a session the login comes first."""
    browser = await annex.login(Role.OPERATOR)
    fields = {"reason": WHY[0]}
    assert (await browser.send(f"/sinks/crm/{act}", {**fields, "csrf": "wrong"})).status == 403
    assert (
        await browser.send(f"/sinks/crm/{act}", fields, headers={**SAME_ORIGIN, "Sec-Fetch-Site": "cross-site"})
    ).status == 403
    assert (await annex.send(f"/sinks/crm/{act}", fields)).headers["Location"] == "/login?next=%2Fsinks%2Fcrm"
    assert not annex.store.sinks()


async def test_an_unknown_sink_is_missing(annex):
    """A page about none is 404, an act on none is refused; neither shows markup."""
    browser = await annex.login()
    assert (await browser.open("/sinks/none%3Cscript%3E")).status == 404
    page = await browser.send("/sinks/none%3Cscript%3E/resume")
    assert page.status == 400
    assert "<script>" not in page.text


async def test_no_sink_teaches(aiohttp_client):
    """Without a sink the page says what that means, and what to run."""
    annex = await make_annex(aiohttp_client, {})
    page = await (await annex.login()).open("/sinks")
    assert "records have nowhere to go" in page.words
    assert "stibgate init" in page.words
