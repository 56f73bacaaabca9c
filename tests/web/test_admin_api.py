"""The admin API on a real socket: behind its token, strict about what it is asked, silent about people."""

import io
import json
from dataclasses import dataclass

import pytest
from aiohttp.test_utils import TestClient

from stibgate.errors import SinkRejected, StoreUnavailable
from stibgate.log import as_json
from stibgate.normalise import Rules
from stibgate.pipeline.dispatch import Outlet
from stibgate.pipeline.operations import Operations
from stibgate.stores import TaskFilter
from stibgate.stores.memory import MemoryStore
from stibgate.web.admin import IDS_MAX, AdminApi
from stibgate.web.health import health_application
from stibgate.web.live import Feed, LiveStream
from tests.pipeline.world import (
    POLICY,
    Clock,
    ScriptedSink,
    admit,
    delivery,
    ids,
    make_dispatcher,
    make_fanout,
    make_intake,
    to_sinks,
)

TOKEN = "admin-token-that-nobody-else-has"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
CALLS = [
    ("POST", "/api/v1/replays"),
    ("POST", "/api/v1/cancellations"),
    ("GET", "/api/v1/sinks"),
    ("GET", "/api/v1/events"),
    ("POST", "/api/v1/sinks/drop/pause"),
    ("POST", "/api/v1/sinks/drop/resume"),
]


@dataclass
class Office:
    """The API of a store with a delivery whose task is dead, and one whose task is delivered."""

    client: TestClient
    store: MemoryStore
    bodies: list[bytes]
    names: list[str]

    async def ask(self, path, body=None, *, method="POST", headers=HEADERS):
        """Return the status and the document of an answer; every refusal must be a problem with a hint."""
        data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode()) if body is not None else None
        answer = await self.client.request(method, f"/api/v1/{path}", data=data, headers=headers)
        document = await answer.json(content_type=None)
        assert answer.headers["Server"] == "stibgate"
        if answer.status != 200:
            assert answer.content_type == "application/problem+json"
            assert document.keys() - {"exit_code"} == {"type", "title", "status", "hint"}
            assert document["status"] == answer.status
            assert document["title"]
            assert document["hint"]
        return answer.status, document

    def states(self):
        return [str(task.state) for _, task in reversed(self.store.tasks(TaskFilter(), limit=None))]


@pytest.fixture
async def office(aiohttp_client):
    clock, store, sink = Clock(), MemoryStore(), ScriptedSink(script=[SinkRejected("never")])
    intake, fanout = make_intake(store, now_ms=clock), make_fanout(store, ["drop"], now_ms=clock)
    dispatcher = make_dispatcher(store, {"drop": Outlet(sink, POLICY)}, now_ms=clock)
    samples = [delivery(records=2, serial=serial) for serial in (1, 2)]
    names = []
    for one in samples:
        names.append((await admit(intake, one)).delivery_id)
        assert await fanout.run_once()
        for task in (await store.claim("drop", POLICY, now_ms=clock(), limit=10)).tasks:
            await dispatcher.attempt(task)

    async def read(query):
        return query(store)

    operations = Operations(
        store, read, to_sinks("drop"), ("drop", "crm"), now_ms=clock, new_id=ids("new"), wake=lambda: None
    )
    app = health_application(alive=lambda: True, ready=dict)
    live = LiveStream(Feed(encode=as_json, run="r1", clock_s=lambda: 0.0), dict)
    AdminApi(operations, token=TOKEN, rules=Rules(), live=live).add_to(app)
    office = Office(await aiohttp_client(app), store, [one.body for one in samples], names)
    assert office.states() == ["dead", "delivered"]
    return office


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer t\u00f6ken"},
        {"X-Api-Key": TOKEN, "Cookie": f"token={TOKEN}"},
    ],
    ids=str,
)
@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_without_the_token_nothing_is_answered(office, headers, method, path):
    """Every call without exactly the token is 401, whatever else is wrong with it, and does nothing."""
    status, document = await office.ask(path.removeprefix("/api/v1/"), b"{", method=method, headers=headers)
    assert status == 401
    assert TOKEN not in json.dumps(document)
    assert office.states() == ["dead", "delivered"]
    assert not office.store.sinks().get("drop") or not office.store.sinks()["drop"].paused


async def test_a_token_in_the_query_is_none(office):
    """What stands in a URL stands in logs: a token there is not looked at."""
    for name in ("token", "access_token", "key"):
        assert (await office.ask(f"sinks?{name}={TOKEN}", method="GET", headers={}))[0] == 401


async def test_the_word_bearer_is_written_as_one_likes(office):
    """The scheme's name is not case-sensitive (RFC 9110, 11.1)."""
    assert (await office.ask("sinks", method="GET", headers={"authorization": f"bearer  {TOKEN}"}))[0] == 200


async def test_a_dry_run_counts_and_changes_nothing(office):
    """`dry_run` answers what would be sent where; the same call without it does exactly that."""
    body = {"of": "tasks", "filter": {"state": "dead"}, "dry_run": True}
    report = {"dry_run": True, "records": 2, "results": {"replayed": 1}, "sinks": {"drop": 2}, "unknown": []}
    assert await office.ask("replays", body) == (200, report)
    assert office.states() == ["dead", "delivered"]
    assert office.store.replays(office.names[0]) == []
    assert await office.ask("replays", {**body, "dry_run": False, "by": "ann"}) == (200, {**report, "dry_run": False})
    assert office.states() == ["queued", "delivered"]
    assert [note.by for note in office.store.replays(office.names[0])] == ["ann"]


async def test_what_is_done_is_left_out_unless_all_is_asked_for(office):
    """Without a filter all deliveries are meant; `all` sends again what is done, too."""
    assert (await office.ask("replays", {"dry_run": True}))[1]["results"] == {"replayed": 1, "nothing_left": 1}
    assert (await office.ask("replays", {"dry_run": True, "all": True}))[1]["records"] == 4


async def test_ids_that_name_nothing_are_told_and_the_others_done(office):
    """Unknown ids are in `unknown`; they do not keep the known ones from being done."""
    ids_ = ["dlv_nothing", office.names[0], "tsk_nothing"]
    status, report = await office.ask("replays", {"ids": ids_})
    assert (status, report["records"], report["unknown"]) == (200, 2, ["dlv_nothing", "tsk_nothing"])
    assert office.states() == ["queued", "delivered"]


async def test_cancelling(office):
    """A cancellation ends what nobody works on, counts the rest by state, and can be tried first."""
    body = {"of": "tasks", "dry_run": True}
    report = {"dry_run": True, "records": 2, "results": {"cancelled": 1, "delivered": 1}}
    report |= {"sinks": {"drop": 2}, "unknown": []}
    told = (await office.ask("cancellations", body))[1]
    assert {**told, "sinks": {k: v for k, v in told["sinks"].items() if v}} == report
    assert office.states() == ["dead", "delivered"]
    await office.ask("cancellations", {**body, "dry_run": False})
    assert office.states() == ["cancelled", "delivered"]


async def test_pause_and_resume(office):
    """Both say whether they changed anything; who paused is known, and `sinks` shows it."""
    assert await office.ask("sinks/drop/pause?by=ann") == (200, {"changed": True})
    assert await office.ask("sinks/drop/pause?by=bob") == (200, {"changed": False})
    status, told = await office.ask("sinks", method="GET")
    drop, crm = told["data"]
    assert (status, drop["sink"], drop["paused_by"], crm["paused_by"]) == (200, "drop", "ann", None)
    assert drop["paused_at"].endswith("Z")
    assert drop.keys() == crm.keys() == {
        "sink", "paused_at", "paused_by", "circuit", "held", "open_until", "failures", "reason",
    }  # fmt: skip
    assert await office.ask("sinks/drop/resume") == (200, {"changed": True})
    assert await office.ask("sinks/drop/resume") == (200, {"changed": False})


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[]", "object"),
        (b"null", "object"),
        ({"surprise": 1}, "surprise"),
        ({"filter": {"surprise": 1}}, "filter.surprise"),
        ({"filter": {"state": "gone"}}, "state"),
        ({"filter": {"state": "dead"}}, "deliveries are never dead"),
        ({"of": "tasks", "filter": {"state": "quarantined"}}, "tasks are never quarantined"),
        ({"of": "people"}, "of"),
        ({"ids": "dlv_1"}, "ids"),
        ({"ids": [1]}, "ids.0"),
        ({"ids": ["x"] * (IDS_MAX + 1)}, "10000"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"all": 1}, "all"),
        ({"by": "x" * 101}, "by"),
        ({"filter": {"since": "yesterday"}}, "since"),
        ({"filter": {"until": "2026-05-17T18:42:10"}}, "until"),
        ({"sink": "crmm"}, "crmm"),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("call", ["replays", "cancellations"])
async def test_what_is_not_understood_is_refused_whole(office, call, body, word):
    """A body that is not exactly as described is 400 with what is wrong, and nothing of it is done."""
    status, problem = await office.ask(call, body)
    assert status == 400
    assert word in problem["title"]
    assert len(problem["title"]) <= 500
    assert office.states() == ["dead", "delivered"]


async def test_a_sink_that_is_not_there(office):
    """Pause, resume and a selection of an unknown sink are 400 and name those that there are."""
    for path in ("sinks/crmm/pause", "sinks/crmm/resume", "sinks/a%2Fb/pause"):
        status, problem = await office.ask(path)
        assert status == 400, path
        assert "drop, crm" in problem["hint"]
    assert (await office.ask("sinks/crm/pause"))[0] == 200


async def test_limits_of_the_body(office):
    """As many ids as the limit are taken; a body beyond aiohttp's is 413, and nothing of it is read as a request."""
    ids_ = [f"dlv_{number:032x}" for number in range(IDS_MAX)]
    status, report = await office.ask("replays", {"ids": ids_})
    assert (status, len(report["unknown"])) == (200, IDS_MAX)
    assert (await office.ask("replays", b"{" + b" " * 2**21 + b"}"))[0] == 413
    assert office.states() == ["dead", "delivered"]


async def test_what_there_is_no_call_for(office):
    """A path or a method that is none is 404 or 405, as a problem with a hint, too."""
    assert (await office.ask("nothing"))[0] == 404
    assert (await office.ask("replays", method="GET"))[0] == 405
    answer = await office.client.delete("/api/v1/sinks", headers=HEADERS)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")
    assert (await office.client.get("/elsewhere")).status == 404
    assert (await office.client.get("/livez")).status == 200


async def test_answers_hold_nobody(office):
    """Whoever is looked for and whatever fails: no name, address, number or link of a person comes back."""
    people = [person for body in office.bodies for person in json.loads(body)["data"]]
    answers = []
    for person in people:
        for who in (person["business_email"], person["mobile_phone"], person["linkedin_url"], person["person_id"]):
            status, report = await office.ask("replays", {"filter": {"person": who}, "dry_run": True, "all": True})
            assert (status, report["records"]) == (200, 2), who
            answers.append(report)
    answers.append(await office.ask("sinks", method="GET"))
    answers.append(await office.ask("replays", {"filter": {"since": people[0]["business_email"]}}))
    text = json.dumps(answers)
    for person in people:
        values = (value for key, value in person.items() if isinstance(value, str) and key != "reveal_state")
        assert not [value for value in values if value in text]


async def test_a_store_that_cannot_write_is_told_as_such(office, monkeypatch):
    """What the store cannot do now is 503 with the store's own hint, never a traceback."""

    async def full(*_args, **_kwargs):
        raise StoreUnavailable("the disk is full", hint="Free some space.")

    monkeypatch.setattr(office.store, "pause", full)
    assert (await office.ask("sinks/drop/pause"))[1] == {
        "type": "about:blank", "title": "the disk is full", "status": 503, "hint": "Free some space.",
        "exit_code": 75,
    }  # fmt: skip
