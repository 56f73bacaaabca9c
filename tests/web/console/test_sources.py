"""Who posts, what proves it, and which secret may go."""

import pytest

from stibgate.config import Settings
from stibgate.domain.access import Role
from stibgate.domain.stats import DAY_MS, HOUR_MS
from stibgate.domain.tally import QUARTER_MS, Counted, Key, Series
from stibgate.views.keys import counting_from, key_slots
from tests.web.console.annex import OLDER, SECRET, SETTINGS, URL_TOKEN, make_annex


def proved(at_ms, slot, count=1):
    return Counted(at_ms - at_ms % 60_000, Key(Series.PROVED, "jobs", f"t_v1/{slot}"), count)


def answered(at_ms, outcome, count):
    return Counted(at_ms - at_ms % 60_000, Key(Series.ANSWERS, "jobs", outcome), count)


async def test_the_list_shows_what_came(annex):
    """Each source has its proof, its scheme and its numbers of a day."""
    now_ms = annex.clock()
    counts = [answered(now_ms - HOUR_MS, "accepted", 1204), answered(now_ms - HOUR_MS, "rejected", 3)]
    await annex.store.add_counts("b", counts)
    await annex.store.pin("jobs", {"name": "t_v1", "key": "utf8"})
    page = await (await annex.login(Role.VIEWER)).open("/sources")
    assert "jobs stibnite jobs signature t_v1 pinned never 1 204 0 3 drop" in page.words
    assert "push stibnite push token none never 0 0 0 drop" in page.words


async def test_a_source_says_how_it_is_registered(annex):
    """The URL stands there with its token masked, and the command that registers it; no secret is on any page."""
    browser = await annex.login()
    jobs, push = await browser.open("/sources/jobs"), await browser.open("/sources/push")
    assert "https://hooks.example.com/hooks/jobs" in jobs.words
    assert "stibgate register --source jobs" in jobs.words
    assert "https://hooks.example.com/hooks/push/*** (token 1)" in push.words
    assert "stibgate embed-key create --source push" in push.words
    for page in (jobs, push, await browser.open("/sources")):
        assert SECRET[6:] not in page.text
        assert OLDER[6:] not in page.text
        assert URL_TOKEN not in page.text


async def test_without_a_public_url_the_page_asks_for_it(aiohttp_client):
    """What cannot be said is not made up."""
    annex = await make_annex(aiohttp_client, {**SETTINGS, "server": {}})
    page = await (await annex.login()).open("/sources/jobs")
    assert "set server.public_url" in page.words
    assert "/hooks/" not in page.words


async def test_an_unknown_source_is_missing(annex):
    """It is a 404 that names those there are."""
    page = await (await annex.login()).open("/sources/none%3Cscript%3E")
    assert page.status == 404
    assert "The configuration has jobs, push" in page.words
    assert "<script>" not in page.text


async def test_no_source_teaches(aiohttp_client):
    """Without a source the page says what that means, and what to run."""
    annex = await make_annex(aiohttp_client, {})
    page = await (await annex.login()).open("/sources")
    assert "nobody may post" in page.words
    assert "stibgate init" in page.words


@pytest.mark.parametrize(
    ("used", "may_go"),
    [
        ({}, [False, False]),
        ({"1": 5}, [False, True]),
        ({"2": 5}, [False, False]),
        ({"1": 5, "2": 5}, [False, False]),
    ],
)
def test_when_a_secret_may_go(used, may_go):
    """An older one may, once the newest one verifies and it does not; never the newest."""
    source = Settings.model_validate(SETTINGS).sources["jobs"]
    counted = [proved(DAY_MS, slot, count) for slot, count in used.items()]
    slots = key_slots("jobs", source, counted, since_ms=0, now_ms=2 * DAY_MS)
    assert [slot["may_go"] for slot in slots] == may_go
    assert [slot["verified"] for slot in slots] == [used.get("1", 0), used.get("2", 0)]
    assert not [slot for slot in key_slots("push", source, counted, since_ms=0, now_ms=0) if slot["verified"]]


def test_an_expired_secret_may_go():
    """Past its not_after it verifies nothing."""
    source = {"kind": "stibnite_jobs", "secrets": [SECRET, {"value": OLDER, "not_after": "1970-01-02T00:00:00Z"}]}
    settings = Settings.model_validate({"sources": {"jobs": source}})
    slots = key_slots("jobs", settings.sources["jobs"], [proved(DAY_MS, "2")], since_ms=0, now_ms=2 * DAY_MS)
    assert [(slot["expired"], slot["may_go"]) for slot in slots] == [(False, False), (True, True)]


def test_secrets_are_counted_since_their_numbers_hold():
    """What came under an earlier configuration is not counted: its secrets may have had other numbers."""
    now_ms = 100 * DAY_MS + 12_345
    since_ms, step_ms = counting_from(now_ms=now_ms, configured_ms=0)
    assert (since_ms, step_ms) == (99 * DAY_MS + QUARTER_MS, QUARTER_MS)
    configured_ms = now_ms - HOUR_MS
    since_ms, step_ms = counting_from(now_ms=now_ms, configured_ms=configured_ms)
    assert configured_ms <= since_ms < configured_ms + 60_000 == configured_ms + step_ms
