"""What can be read: by filters that are all known, page by page, and of people only what a role may see."""

import hashlib
import json
from urllib.parse import quote

import pytest

from stibgate.domain.access import Role
from stibgate.normalise import Rules
from stibgate.views.deliveries import delivery_row, describe_delivery
from stibgate.web.api import ROUTES
from tests.web.api.office import make_office

LISTS = [route for route in ROUTES if "cursor" in route.query.model_fields]


@pytest.fixture
async def many(aiohttp_client):
    """Return an office with eleven deliveries."""
    return await make_office(aiohttp_client, count=11)


async def pages(office, path, limit):
    """Return every row of a list, page by page."""
    rows, cursor, mark = [], None, "&" if "?" in path else "?"
    while True:
        page = await office.get(f"{path}{mark}limit={limit}" + (f"&cursor={cursor}" if cursor else ""), role="viewer")
        rows += page["data"]
        assert len(page["data"]) <= limit
        cursor = page["next_cursor"]
        if cursor is None:
            return rows
        assert len(page["data"]) == limit


@pytest.mark.parametrize("limit", [1, 2, 3, 200])
async def test_pages(many, limit):
    """Page by page everything is met once, newest first; the last page says that it is."""
    every = [one.delivery_id for one in many.store.deliveries(_nothing(), limit=None)]
    assert [row["delivery_id"] for row in await pages(many, "deliveries", limit)] == every
    tasks = [task.task_id for _, task in many.store.tasks(_no_task(), limit=None)]
    assert [row["task_id"] for row in await pages(many, "tasks", limit)] == tasks


def _nothing():
    from stibgate.stores import DeliveryFilter

    return DeliveryFilter()


def _no_task():
    from stibgate.stores import TaskFilter

    return TaskFilter()


async def test_a_cursor_is_of_one_list(many):
    """A cursor of other filters or of another list, one that is changed, and one that is none are 400 with a hint."""
    first = await many.get("deliveries?state=done&limit=1")
    cursor = first["next_cursor"]
    good = await many.get(f"deliveries?state=done&limit=2&cursor={cursor}")  # the page's size is no filter
    assert len(good["data"]) == 2
    broken = [
        cursor[:-1] + ("A" if cursor[-1] != "A" else "B"),
        "B" + cursor[1:],
        cursor + "AAAA",
        cursor[:8],
        "x",
        "%00",
        "é",
    ]
    refused = [f"deliveries?state=done&cursor={quote(one)}" for one in broken]
    refused += [f"deliveries?cursor={cursor}", f"deliveries?state=ignored&cursor={cursor}", f"tasks?cursor={cursor}"]
    refused += [f"deliveries?state=done&source=stib&cursor={cursor}", "deliveries?cursor="]
    for path in refused:
        status, problem = await many.ask(path, method="GET")
        assert status == 400, path
        assert problem["hint"]


@pytest.mark.parametrize(
    "route", [one for one in ROUTES if one.method == "GET" and one.parsed], ids=lambda one: one.path
)
async def test_an_unknown_filter_is_refused(office, route):
    """A filter that a call does not have is 400 and names those that it has: never an unfiltered list."""
    path = route.path.replace("{id}", "dlv_1").replace("{name}", "drop").strip("/")
    status, problem = await office.ask(f"{path}?surprise=1", method="GET")
    assert (status, "surprise" in problem["title"]) == (400, True)
    assert all(name in problem["hint"] for name in route.query.model_fields)
    for name in route.query.model_fields:
        status, _ = await office.ask(f"{path}?{name}=1&{name}=1", method="GET")
        assert status == 400


@pytest.mark.parametrize(
    "query",
    [
        "state=gone", "state=dead", "state=", "since=yesterday", "since=2026-13-01", "until=2026-05-17T18:42:10",
        "limit=0", "limit=201", "limit=x", "limit=1.5", "limit=-1", "source=", "q=", f"q={'x' * 501}", "State=done",
        "since=0000-00-00", "since=2026-05-17T18:42:10%2B99:00",
    ],
)  # fmt: skip
async def test_a_value_that_cannot_be_is_refused(office, query):
    """A bad value is 400, and nothing is listed."""
    status, problem = await office.ask(f"deliveries?{query}", method="GET")
    assert status == 400
    assert not [words for words in ("Input should be", "Value error") if words in problem["title"]]


async def test_filters_of_deliveries(many):
    """Each filter that is given must hold; what matches nothing is an empty list."""
    store, every = many.store, many.store.deliveries(_nothing(), limit=None)
    one = store.deliveries(_nothing(), limit=1)[0]
    person = store.records(one.delivery_id)[0].person_id
    found = {
        "state=done": 11, "state=quarantined": 0, "source=stib": 11, "source=STIB": 0, "sink=drop": 11, "sink=crm": 0,
        f"event_type={one.event_type}": 11, f"search_id={one.search_id}": 1, "job_id=none": 0,
        "since=2026-05-17": 11, "until=2026-05-17T18:42:10Z": 0, "since=2026-05-17T18:42:10Z&until=2026-05-18": 11,
        "partner_customer_id=nobody": 0, f"person_id={quote(person)}": 1, "person_id=nobody": 0,
        f"search_id={one.search_id}&state=ignored": 0,
    }  # fmt: skip
    assert len(every) == 11
    for query, count in found.items():
        data = (await many.get(f"deliveries?{query}&limit=200", role="viewer"))["data"]
        assert len(data) == count, query
    assert (await many.get(f"deliveries?search_id={one.search_id}"))["data"] == [delivery_row(one)]


async def test_q_is_an_id_or_a_person(office):
    """`q` finds a delivery by every id that belongs to it, its hash, or how a person in it is reached; never by text."""
    delivery = office.store.delivery(office.names[1])
    task = office.store.tasks(_no_task(), limit=1)[0][1]
    person = office.store.records(delivery.delivery_id)[0]
    words = [
        delivery.delivery_id, task.task_id, delivery.search_id, person.person_id, person.prospect_id,
        person.business_email, person.business_email.upper(), person.mobile_phone, person.linkedin_url,
        delivery.body_sha256.hex(), delivery.body_sha256.hex()[:8], delivery.body_sha256.hex()[:9].upper(),
    ]  # fmt: skip
    for word in words:
        data = (await office.get(f"deliveries?q={quote(word, safe='')}", role="operator"))["data"]
        assert [row["delivery_id"] for row in data] == [delivery.delivery_id], word
        other = f"deliveries?q={quote(word, safe='')}&state=quarantined"
        assert (await office.get(other))["data"] == []
    for nothing in (person.first_name, delivery.search_id[:-1], delivery.body_sha256.hex()[:7], "drop", "%", "'", " "):
        assert (await office.get(f"deliveries?q={quote(nothing, safe='')}"))["data"] == []
    assert (await office.get(f"deliveries?q={delivery.delivery_id}&search_id=other"))["data"] == []


async def test_a_viewer_finds_nobody_by_an_address(office):
    """Whether somebody is here is personal data too: an address is refused alike, known or not; ids are found."""
    person = office.store.records(office.names[1])[0]
    refused = []
    for address in (person.business_email, "nobody@example.com", person.mobile_phone, person.linkedin_url):
        told = await office.get(f"deliveries?q={quote(address, safe='')}", role="viewer", status=403)
        assert address not in json.dumps(told)
        refused.append({name: value for name, value in told.items() if name != "request_id"})
    assert refused[1:] == refused[:-1]
    for word in (office.names[1], person.person_id, person.prospect_id):
        data = (await office.get(f"deliveries?q={quote(word, safe='')}", role="viewer"))["data"]
        assert [row["delivery_id"] for row in data] == [office.names[1]], word


async def test_one_delivery(office):
    """A delivery is shown as the contract has it, with its tasks, timeline and records; an unknown one is 404."""
    name = office.names[0]
    shown = await office.get(f"deliveries/{name}", role="viewer")
    assert shown == json.loads(json.dumps(describe_delivery(office.store, office.store.delivery(name))))
    (task,) = (await office.get(f"deliveries/{name}/tasks", role="viewer"))["data"]
    assert (task["state"], task["sink"]) == ("dead", "drop")
    detail = await office.get(f"tasks/{task['task_id']}", role="viewer")
    assert [(one["number"], one["signal"]) for one in detail["attempts_made"]] == [(1, "rejected")]
    told = [line["what"] for line in (await office.get(f"deliveries/{name}/timeline", role="viewer"))["data"]]
    assert any("refused for good" in what for what in told)
    for path in (
        "deliveries/x",
        "deliveries/x/tasks",
        "deliveries/x/timeline",
        "deliveries/x/body",
        "deliveries/x/records",
    ):
        assert (await office.ask(path, method="GET"))[0] == 404, path
    for path in ("tasks/x", "sinks/x", "jobs/x", "replays/x"):
        assert (await office.ask(path, method="GET"))[0] == 404, path
    assert office.audit() == []


async def test_people_are_masked_for_viewers(office):
    """A viewer gets no name, address, number or profile from any call; an operator does, and the audit has each look."""
    name = office.names[0]
    people = json.loads(office.bodies[0])["data"]
    secrets = [
        p[field]
        for p in people
        for field in ("first_name", "last_name", "business_email", "mobile_phone", "linkedin_url")
    ]
    for route in ROUTES:
        if route.method == "GET" and route.role is Role.VIEWER and route.parsed:
            path = route.path.replace("{id}", name).replace("{name}", "drop").strip("/")
            answer, document = await office.answer(path, method="GET", role="viewer")
            text = json.dumps(document)
            assert not [value for value in secrets if f'"{value}"' in text or (len(value) > 8 and value in text)], path
            assert answer.status in {200, 404}
    assert office.audit() == []
    masked = await office.get(f"deliveries/{name}/records", role="viewer")
    assert (masked["masked"], len(masked["data"])) == (True, 2)
    assert masked == await office.get(f"deliveries/{name}/records?masked=true", role="operator")
    assert (await office.get(f"deliveries/{name}/records?masked=false", role="viewer"))["masked"]
    assert office.audit() == []
    plain = await office.get(f"deliveries/{name}/records", role="operator")
    assert (plain["masked"], plain["data"][0]["business_email"]) == (False, people[0]["business_email"])
    assert await office.get(f"deliveries/{name}/body", role="operator") == office.bodies[0]
    seen = ("operator-dana", "pii_revealed", name)
    assert office.audit() == [(*seen, {"what": "records"}), (*seen, {"what": "body"})]


async def test_nothing_is_revealed_without_its_line(office, monkeypatch):
    """When the audit cannot be written, nothing is shown."""
    from stibgate.errors import StoreUnavailable

    async def full(_entry):
        raise StoreUnavailable("the disk is full", hint="Free some space.")

    monkeypatch.setattr(office.store, "append_audit", full)
    for what in ("records", "body"):
        status, problem = await office.ask(f"deliveries/{office.names[0]}/{what}", method="GET", role="operator")
        assert (status, problem["title"]) == (503, "the disk is full")


async def test_a_body_by_its_hash(office):
    """Of several bodies under one key each is had by its hash; a hash that none has is 404, and no hash 400."""
    path = f"deliveries/{office.names[0]}/body"
    digest = hashlib.sha256(office.bodies[0]).hexdigest()
    assert await office.get(f"{path}?sha256={digest.upper()}", role="operator") == office.bodies[0]
    for wrong, status in (("0" * 64, 404), (digest[:-1], 400), ("", 400)):
        told, problem = await office.ask(f"{path}?sha256={wrong}", method="GET", role="operator")
        assert (told, bool(problem["hint"])) == (status, True)
    assert len(office.audit()) == 1


async def test_the_body_is_no_page(office):
    """What a sender sent is given as bytes to be saved, whatever it is: no browser shows it under our name."""
    answer, _ = await office.answer(f"deliveries/{office.names[0]}/body", method="GET")
    assert answer.content_type == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")


async def test_configuration(office):
    """The configuration is shown to admins, without its secrets."""
    document = await office.get("config", role="admin")
    assert document["sinks"]["drop"]["kind"] == "csv"
    assert "tok_" + "x" * 30 not in json.dumps(document)


async def test_the_audit_is_listed(office):
    """Admins see who did what, by page and filter; the chain goes on."""
    for name in ("pause", "resume"):
        await office.ask(f"sinks/drop/{name}", role="operator", status=200)
    page = await office.get("audit?limit=1", role="admin")
    (line,) = page["data"]
    assert (line["sequence"], line["actor"], line["role"], line["action"]) == (2, "operator-dana", "operator", "resume")
    assert line["client_ip"] == "127.0.0.1"
    older = await office.get(f"audit?limit=1&cursor={page['next_cursor']}", role="admin")
    assert ([one["action"] for one in older["data"]], older["next_cursor"]) == (["pause"], None)
    assert (await office.get("audit?action=replay", role="admin"))["data"] == []
    assert (await office.ask("audit?action=nothing", method="GET", role="admin"))[0] == 400


async def test_the_rules_of_people_are_those_of_records(office):
    """A phone number is found however it is written, as records are normalised."""
    person = office.store.records(office.names[1])[0]
    written = f"({person.mobile_phone[2:5]}) {person.mobile_phone[5:8]}-{person.mobile_phone[8:]}"
    assert Rules().default_region == "US"
    assert len((await office.get(f"deliveries?q={quote(written)}"))["data"]) == 1
