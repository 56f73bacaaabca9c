"""What each page says of a small morning: one dead delivery, one delivered."""

import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from stibgate.config import ReloadStatus
from stibgate.domain.access import Role
from stibgate.domain.event import JOB_SUCCEEDED
from stibgate.web.console.delivery import _text
from tests.pipeline.world import NOW_MS, admit, delivery, job, make_intake


async def test_the_list_shows_both_and_filters_by_url(office):
    """Every state is listed, newest first; a filter in the URL holds for the page and its twins alike."""
    browser = await office.login(Role.VIEWER)
    page = await browser.open("/deliveries")
    first, second = office.deliveries
    assert page.text.index(second) < page.text.index(first)
    assert "drop dead" in page.words
    page = await browser.open("/deliveries?source=stib&sink=crm")
    assert "Nothing matches these filters" in page.words
    assert first not in page.text
    rows = json.loads((await browser.open("/deliveries.json?state=done&sink=drop")).text)
    assert [row["delivery_id"] for row in rows["data"]] == [second, first]
    assert rows["next"] is None


async def test_the_csv_is_a_file_without_formulas(office):
    """The name is ours, the type is said and not guessed, and no cell begins as a formula does."""
    page = await (await office.login()).open("/deliveries.csv")
    assert page.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert page.headers["Content-Disposition"] == 'attachment; filename="deliveries.csv"'
    header, *rows = csv.reader(io.StringIO(page.text))
    assert header[0] == "delivery_id"
    assert {row[0] for row in rows} == set(office.deliveries)
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)


@pytest.mark.parametrize("query", ["state=nope", "since=yesterday", "person=ann@example.com", "cursor=1", "colour=red"])
async def test_a_filter_that_is_none_is_an_error(office, query):
    """What cannot be understood is never the whole list."""
    browser = await office.login()
    for path in ("/deliveries", "/deliveries.json", "/deliveries.csv"):
        page = await browser.open(f"{path}?{query}")
        assert page.status == 400
        assert office.deliveries[0] not in page.text


@pytest.mark.parametrize("path", ["/deliveries", "/dead", "/audit", "/jobs/bills"])
async def test_what_was_chosen_stays_chosen(office, path):
    """A form sent again asks the same, also where nobody was offered what its URL says."""
    browser = await office.login()
    query = {"since": "2026-05-17", **({"sink": "gone"} if path in {"/deliveries", "/dead"} else {})}
    page = await browser.open(f"{path}?{urlencode(query)}")
    assert set(re.findall("<option selected>([^<]*)</option>", page.text)) == set(query.values())


async def test_a_delivery_tells_its_story(office):
    """The page has the timeline, the proof, the task with its attempt and error, and people under masks."""
    browser = await office.login()
    page = await browser.open(f"/deliveries/{office.deliveries[0]}")
    assert page.status == 200
    for words in ("came from source stib", "t_v1/1", "drop dead", "the sink said no", "attempt 1: refused for good"):
        assert words in page.words, words
    assert (await browser.open("/deliveries/dlv_nothing")).status == 404


def people_in(office, index=0):
    """Return what must not be seen of a delivery's people: names, addresses, numbers."""
    names = ("first_name", "last_name", "business_email", "mobile_phone", "linkedin_url")
    records = office.store.records(office.deliveries[index])
    return [value for one in records for name in names if (value := getattr(one, name))]


@pytest.mark.parametrize("role", list(Role))
async def test_people_are_masked_for_everybody(office, role):
    """No page shows what names or reaches a person before somebody asks for it, whoever it is."""
    browser = await office.login(role)
    hidden = people_in(office)
    assert len(hidden) >= 8
    for path in ("/", "/deliveries", f"/deliveries/{office.deliveries[0]}", "/dead"):
        page = await browser.open(path)
        assert page.status == 200
        assert not [value for value in hidden if value in page.text], path


async def test_a_reveal_is_a_click_and_a_line(office):
    """An operator sees the records after a POST, and the audit knows who, what and where before."""
    browser = await office.login(Role.OPERATOR)
    path = f"/deliveries/{office.deliveries[0]}"
    page = await browser.send(f"{path}/reveal", {"what": "records"})
    assert page.status == 200
    assert not [value for value in people_in(office) if value not in page.words]
    lines = [line.entry for line in office.audit() if line.entry.action == "pii_revealed"]
    assert [(one.actor, one.target, dict(one.detail)) for one in lines] == [
        ("operator-person", office.deliveries[0], {"what": "records"})
    ]
    assert (await browser.open(path)).words.count("***") >= 6


async def test_a_body_is_revealed_as_it_came(office):
    """The page shows the body as text, the download is it byte for byte; both are in the audit."""
    browser = await office.login(Role.OPERATOR)
    path = f"/deliveries/{office.deliveries[0]}"
    page = await browser.send(f"{path}/reveal", {"what": "body"})
    assert people_in(office)[0] in page.words
    page = await browser.send(f"{path}/body")
    assert page.text.encode() == office.bodies[0]
    assert page.headers["Content-Type"] == "application/octet-stream"
    assert "attachment" in page.headers["Content-Disposition"]
    assert [line.entry.detail["what"] for line in office.audit() if line.entry.target] == ["file", "body"]


async def test_another_body_under_the_same_key(annex):
    """What came for the same job with another body can be seen, too; a hash that nothing has leads nowhere."""
    intake = make_intake(annex.store, now_ms=annex.clock)
    first = job()
    other = replace(first, body=first.body.replace(b"{", b'{ "note": "changed", ', 1))
    name = (await admit(intake, first)).delivery_id
    assert (await admit(intake, other)).conflict
    digest = hashlib.sha256(other.body).hexdigest()
    path = f"/deliveries/{name}"
    assert "Download that body" not in (await (await annex.login(Role.VIEWER)).open(path)).words
    browser = await annex.login(Role.OPERATOR)
    page = await browser.open(path)
    assert digest in page.words
    assert "Download that body" in page.words
    assert (await browser.send(f"{path}/body", {"sha256": digest})).text.encode() == other.body
    assert (await browser.send(f"{path}/body")).text.encode() == first.body
    assert (await browser.send(f"{path}/body", {"sha256": "0" * 64})).status == 404
    assert (await browser.send(f"{path}/body", {"sha256": "x"})).status == 400
    assert [line.entry.detail["what"] for line in annex.audit() if line.entry.target] == ["file", "file"]


async def test_a_delivery_that_comes_all_day(annex):
    """The page tells how it began and how it ended, how often it came, and where all of it stands; no more than that."""
    intake = make_intake(annex.store, now_ms=annex.clock)
    name = (await admit(intake, delivery())).delivery_id
    for _ in range(250):
        annex.clock.advance(1)
        await admit(intake, delivery())
    page = await (await annex.login(Role.VIEWER)).open(f"/deliveries/{name}")
    assert "came 250 times more" in page.words
    assert f"52 lines left out: stibgate explain {name} tells them all" in page.words
    assert page.text.count("<li>") < 250
    assert page.text.count("<dt>Came again</dt>") == 20


def test_a_body_is_shown_about_as_long_as_it_came():
    """JSON that people wrote has lines of its own; what is deep, and would fill the page with spaces, stays as it came."""
    assert _text(b'{"a": [1, "\xc3\xa9"]}') == ('{\n  "a": [\n    1,\n    "\u00e9"\n  ]\n}', True)
    deep = b"[" * 900 + b"1," * 31_000 + b"1" + b"]" * 900
    assert _text(deep) == (deep.decode(), True)


async def test_nothing_is_shown_that_cannot_be_written_down(office, monkeypatch):
    """While the audit cannot be written, nobody sees anything."""

    async def fail(_entry):
        from stibgate.errors import StoreUnavailable

        raise StoreUnavailable("the disk is gone", hint="Look at it.")

    browser = await office.login(Role.OPERATOR)
    monkeypatch.setattr(office.store, "append_audit", fail)
    for what in ("reveal", "body"):
        page = await browser.send(f"/deliveries/{office.deliveries[0]}/{what}", {"what": "records"})
        assert page.status == 503
        assert not [value for value in people_in(office) if value in page.text]


async def test_the_search_box_leads_to_what_is_meant(office):
    """Any id and any address leads somewhere, and no address stands in a URL afterwards."""
    browser = await office.login(Role.OPERATOR)
    record = office.store.records(office.deliveries[1])[0]
    delivery = office.store.delivery(office.deliveries[1])
    for text, leads in (
        (delivery.delivery_id, f"/deliveries/{delivery.delivery_id}"),
        (delivery.search_id, f"/deliveries?search_id={delivery.search_id}"),
        (delivery.partner_customer_id, f"/deliveries?partner_customer_id={delivery.partner_customer_id}"),
    ):
        assert (await browser.send("/deliveries/find", {"q": text})).headers["Location"] == leads
    for text in (record.business_email, record.person_id, record.business_email.upper()):
        location = (await browser.send("/deliveries/find", {"q": text})).headers["Location"]
        assert re.fullmatch(r"/deliveries\?person=(h%3A[0-9a-f]{32}(%2C)?)+", location)
        page = await browser.open(location)
        assert office.deliveries[1] in page.text
        assert office.deliveries[0] not in page.text
    assert (await browser.send("/deliveries/find", {"q": "nobody@example.com"})).status == 404


async def test_a_viewer_finds_nobody_by_an_address(office):
    """Whether somebody is here is personal data too: an address is refused alike, known or not; ids are found."""
    browser = await office.login(Role.VIEWER)
    record = office.store.records(office.deliveries[1])[0]
    known = await browser.send("/deliveries/find", {"q": record.business_email})
    unknown = await browser.send("/deliveries/find", {"q": "nobody@example.com"})
    assert (known.status, known.words) == (403, unknown.words)
    assert "needs the role operator" in known.words
    assert (await browser.send("/deliveries/find", {"q": record.person_id})).status == 303


async def test_one_person_across_deliveries(office):
    """An operator sees where a person's records went, and what each sink made of them."""
    browser = await office.login(Role.OPERATOR)
    person_id = office.store.records(office.deliveries[0])[1].person_id
    page = await browser.open(f"/records?person_id={person_id}")
    assert "record 1" in page.words
    assert "drop dead" in page.words
    assert "No record of this person" in (await browser.open("/records?person_id=person_nobody")).words
    assert (await (await office.login(Role.VIEWER)).open(f"/records?person_id={person_id}")).status == 403


async def test_an_empty_console_teaches(empty_office):
    """Where nothing is yet, each page says what to do next."""
    browser = await empty_office.login()
    assert "stibgate trigger prospecting.records.pushed" in (await browser.open("/deliveries")).words
    assert "stibgate dead list" in (await browser.open("/dead")).words
    assert (await browser.open("/")).status == 200


async def test_what_needs_a_person_is_said_first(annex):
    """The overview is not well while something is in quarantine, or while the configuration on the disk is refused."""
    browser = await annex.login(Role.VIEWER)
    assert "All is well." in (await browser.open("/")).words
    await admit(make_intake(annex.store, now_ms=annex.clock), replace(delivery(), body=b"[]"))
    page = await browser.open("/")
    assert "1 delivery is in quarantine: authentic, kept whole, and not understood." in page.words
    assert 'href="/deliveries?state=quarantined"' in page.text
    annex.reading = ReloadStatus(0, 0, errors=1)
    page = await browser.open("/")
    assert "The last reload was refused" in page.words
    assert "applies.</li>" in page.text
    assert (
        'class="health-bad">The last reload was refused: the configuration before it applies. <a href="/config"'
        in (await (await annex.login()).open("/")).text
    )


async def test_times_are_relative_and_exact(office):
    """A table says how long ago, and the title when exactly."""
    office.clock.advance(90)
    page = await (await office.login()).open("/deliveries")
    assert '<time datetime="2026-05-17T18:42:10.004Z" title="2026-05-17T18:42:10.004Z">1 min ago</time>' in page.text
    assert office.clock() - NOW_MS == 90_000
    assert JOB_SUCCEEDED in page.text


async def test_a_cursor_is_of_its_list(crowd):
    """A page leads to the one after it without a gap; its cursor is refused under other filters."""
    browser = await crowd.login()
    seen, path = [], "/deliveries?source=stib"
    while path:
        page = await browser.open(path)
        seen += re.findall(r'href="/deliveries/(dlv_\d+)"', page.text)
        older = re.search(r'href="([^"]+)" rel="next"', page.text)
        last, path = path, older and older[1].replace("&amp;", "&")
    assert seen == list(reversed(crowd.deliveries))
    assert (await browser.open(last.replace("source=stib", "source=other"))).status == 400
