"""Sending again from the console: a count first, a reason where it is much, and a page that says how far it is."""

import re

import pytest

from stibgate.domain.access import Role
from stibgate.stores import TaskFilter
from tests.web.console.office import hidden_fields

DEAD = [("of", "tasks"), ("which", "all"), ("where.state", "dead")]


async def test_the_question_counts_and_changes_nothing(office):
    """The page says how many records go to which sinks, and what repeats mean there; nothing is sent yet."""
    browser = await office.login(Role.OPERATOR)
    page = await browser.send("/replays/ask", DEAD)
    assert page.status == 200
    assert "Replay 1 task?" in page.words
    assert "2 records would be sent again: 2 to drop." in page.words
    assert "rows that a file has already are not doubled" in page.words
    assert office.states() == ["dead", "delivered"]


async def test_yes_sends_exactly_that(office):
    """The question's form sends what was counted, under the name of who did it, and leads to its progress."""
    browser = await office.login(Role.OPERATOR)
    question = await browser.send("/replays/ask", DEAD)
    page = await browser.send("/replays", hidden_fields(question))
    assert page.status == 303
    assert re.fullmatch(r"/replays/rpl_\d+", page.headers["Location"])
    await office.settled(page.headers["Location"])
    shown = await browser.open(page.headers["Location"])
    assert "done" in shown.words
    assert "1 task sent again, 2 records." in shown.words
    assert office.states() == ["queued", "delivered"]
    assert [note.by for note in office.store.replays(office.deliveries[0])] == ["operator-person"]
    assert "operator-person" in (await browser.open("/replays")).words
    assert {line.entry.action for line in office.audit()} >= {"replay_started", "replay"}


async def test_what_is_done_is_left_out_unless_asked_for(office):
    """Chosen deliveries that are done send nothing; with the box ticked they do."""
    browser = await office.login(Role.OPERATOR)
    chosen = [("of", "deliveries"), ("which", "chosen"), ("id", office.deliveries[1])]
    page = await browser.send("/replays/ask", chosen)
    assert "Nothing would be sent" in page.words
    assert "1 done already" in page.words
    page = await browser.send("/replays/ask", [*chosen, ("all", "1")])
    assert "2 records would be sent again" in page.words


async def test_many_need_a_reason(crowd):
    """More than a hundred go only with a reason, which the stories keep; no address is one."""
    browser = await crowd.login(Role.OPERATOR)
    everything = [("of", "deliveries"), ("which", "all"), ("where.state", "done"), ("all", "1")]
    for reason, words in (("", "Say why"), (" ", "Say why"), ("ann@example.com", "nobody's address"), ("x" * 81, "80")):
        page = await browser.send("/replays", [*everything, ("reason", reason)])
        assert page.status == 400
        assert words in page.words
    assert set(crowd.states()) == {"dead", "delivered"}
    page = await browser.send("/replays", [*everything, ("reason", "the CRM was down")])
    assert page.status == 303
    await crowd.settled(page.headers["Location"])
    assert set(crowd.states()) == {"queued"}
    assert [note.by for note in crowd.store.replays(crowd.deliveries[5])] == ["operator-person: the CRM was down"]


@pytest.mark.parametrize(
    "fields",
    [
        [("of", "deliveries"), ("which", "chosen")],
        [("of", "deliveries"), ("which", "all")],
        [("of", "sinks"), ("which", "all"), ("where.state", "dead")],
        [("of", "tasks"), ("which", "all"), ("where.colour", "red")],
        [("of", "tasks"), ("which", "all"), ("where.state", "nope")],
        [],
    ],
    ids=str,
)
async def test_what_is_not_said_is_not_everything(office, fields):
    """Nothing chosen, no filter or an unknown one is an error, and sends nothing."""
    browser = await office.login(Role.OPERATOR)
    for path in ("/replays/ask", "/replays"):
        assert (await browser.send(path, fields)).status == 400
    assert office.states() == ["dead", "delivered"]


async def test_dead_letters_are_grouped(office):
    """The page has one line a sink and error, with its count and its button; a filter narrows it."""
    browser = await office.login(Role.OPERATOR)
    page = await browser.open("/dead")
    assert "drop the sink said no 1 2" in page.words
    (_, dead), *_ = office.store.tasks(TaskFilter(), limit=None)[1:]
    assert dead.task_id in page.text
    fields = hidden_fields(page, form=r'action="/replays/ask"')
    assert dict(fields) | {"csrf": ""} == {
        "csrf": "", "of": "tasks", "which": "all", "where.state": "dead", "where.sink": "drop",
        "where.error": "the sink said no",
    }  # fmt: skip
    assert "No dead letter matches" in (await browser.open("/dead?error=other")).words


async def test_a_replay_that_is_gone_says_so(office):
    """Only the latest are remembered; the page of another says where else to look."""
    page = await (await office.login(Role.OPERATOR)).open("/replays/rpl_nothing")
    assert page.status == 404
    assert "The last hundred are remembered" in page.words
