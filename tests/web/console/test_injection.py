"""What senders write stays text: no page, in no position, lets a record's field become markup or a script."""

import csv
import io
import json
from html.parser import HTMLParser

import pytest

from stibgate.domain.access import Role
from stibgate.domain.record import COLUMNS
from stibgate.sandbox.samples import Sample
from tests.pipeline.world import delivery
from tests.web.console.office import make_office

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "{{7777*8888}}{% raw %}",
    "</pre></td></table><form action=https://evil.example>",
    "a\u202egnp.exe\u200b",
)


def hostile() -> Sample:
    """Return a push whose every string is a payload, unknown fields and their names too."""
    payload = " ".join(PAYLOADS)
    record = {
        **dict.fromkeys([*COLUMNS, payload], payload),
        "company": {"name": payload, "domain": payload, payload: payload},
    }
    record |= {"prospect_id": payload[:100], "person_id": f"p{payload}"[:100]}
    usual = delivery()
    body = {
        **json.loads(usual.body),
        **dict.fromkeys(["search_id", "partner_customer_id", "partner_user_id", payload], payload[:200]),
        "data": [record, {**record, "person_id": "second"}],
    }
    return Sample(json.dumps(body).encode(), [*usual.headers, ("stibnite-delivery-id", PAYLOADS[1])])


class Reader(HTMLParser):
    """Collects every tag, and every attribute that could run something."""

    def __init__(self):
        super().__init__()
        self.tags, self.bad = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        values = dict(attrs)
        self.bad += [name for name in values if name.startswith("on") or name == "style"]
        self.bad += [value for name, value in attrs if name in {"href", "src", "action"} and not _ours(value)]
        self.bad += ["script"] if tag == "script" and not values.get("src", "").startswith("/static/") else []


def _ours(url):
    return url.startswith(("/", "?", "#", "data:,")) and not url.startswith("//")


@pytest.fixture
async def attacked(aiohttp_client):
    return await make_office(aiohttp_client, deliveries=[hostile()])


async def test_no_position_runs_anything(attacked):
    """On every page that shows something of the delivery, masked or revealed, markup stays text."""
    browser = await attacked.login(Role.ADMIN)
    name = attacked.deliveries[0]
    delivery = attacked.store.delivery(name)
    assert delivery.records == 2, delivery.reason
    pages = [await browser.open(path) for path in ("/", "/deliveries", f"/deliveries/{name}", "/dead", "/replays")]
    pages += [await browser.open(f"/{path}?error={PAYLOADS[1]}") for path in ("dead", "deliveries")]
    pages += [await browser.send(f"/deliveries/{name}/reveal", {"what": what}) for what in ("records", "body")]
    found = await browser.send("/deliveries/find", {"q": "second"})
    pages += [await browser.open(found.headers["Location"])]
    pages += [await browser.open("/records?person_id=second")]
    pages += [await browser.send("/replays/ask", {"of": "deliveries", "which": "chosen", "id": [name, PAYLOADS[1]]})]
    for page in pages:
        assert page.status == 200, page.words
        reader = Reader()
        reader.feed(page.text)
        assert not reader.bad, reader.bad
        assert "img" not in reader.tags
        assert "69121976" not in page.text
        assert "\u202e" not in page.text
        assert "\u200b" not in page.text
    assert any(PAYLOADS[0] in page.words or "alert(1)" in page.words for page in pages)


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_no_error_page_runs_anything(attacked, payload):
    """What somebody puts into a URL or a form comes back as text."""
    browser = await attacked.login(Role.ADMIN)
    from urllib.parse import quote

    pages = [await browser.open(f"/deliveries/{quote(payload, safe='')}")]
    pages += [await browser.open(f"/deliveries?state={quote(payload)}"), await browser.open(f"/x/{quote(payload)}")]
    pages += [await browser.open(f"/?{quote(payload)}=1"), await browser.open(f"/login?next={quote(payload)}")]
    for page in pages:
        reader = Reader()
        reader.feed(page.text)
        assert not reader.bad
        assert "img" not in reader.tags
        assert "\u202e" not in page.text


@pytest.mark.parametrize("first", ["=", "+", "-", "@"])
async def test_no_cell_is_a_formula(aiohttp_client, first):
    """An id that a sender chose is text in a spreadsheet, whatever it begins with."""
    usual = delivery()
    body = {**json.loads(usual.body), "partner_customer_id": f"{first}HYPERLINK(1)", "search_id": f'{first}"x",\r\ny'}
    office = await make_office(aiohttp_client, deliveries=[Sample(json.dumps(body).encode(), usual.headers)])
    page = await (await office.login(Role.VIEWER)).open("/deliveries.csv")
    (row,) = csv.DictReader(io.StringIO(page.text, newline=""))
    assert row["partner_customer_id"] == f"'{first}HYPERLINK(1)"
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())
