"""What the admin API does: send again, cancel, pause, go on; strict about what it is asked, silent about people."""

import json
from dataclasses import replace

import pytest

from stibgate.errors import StoreUnavailable
from stibgate.web.api.replays import IDS_MAX
from tests.web.api.office import make_office


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


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("replays", {}),
        ("replays", {"of": "tasks"}),
        ("replays", {"background": True}),
        ("cancellations", {"of": "tasks"}),
    ],
)
async def test_an_empty_request_does_not_mean_everything(office, call, body):
    """Whoever names nothing is asked what is meant; only a dry run may count everything."""
    status, problem = await office.ask(call, body)
    assert (status, problem["title"]) == (400, "nothing says what is meant")
    assert office.states() == ["dead", "delivered"]


async def test_ids_that_name_nothing_are_told_and_the_others_done(office):
    """Unknown ids are in `unknown`; they do not keep the known ones from being done."""
    ids_ = ["dlv_nothing", office.names[0], "tsk_nothing"]
    status, report = await office.ask("replays", {"ids": ids_})
    assert (status, report["records"], report["unknown"]) == (200, 2, ["dlv_nothing", "tsk_nothing"])
    assert office.states() == ["queued", "delivered"]


async def test_cancelling(office):
    """A cancellation ends what nobody works on, counts the rest by state, and can be tried first."""
    body = {"of": "tasks", "dry_run": True, "filter": {"since": "2020-01-01"}}
    report = {"dry_run": True, "records": 2, "results": {"cancelled": 1, "delivered": 1}}
    report |= {"sinks": {"drop": 2}, "unknown": []}
    told = (await office.ask("cancellations", body))[1]
    assert {**told, "sinks": {k: v for k, v in told["sinks"].items() if v}} == report
    assert office.states() == ["dead", "delivered"]
    await office.ask("cancellations", {**body, "dry_run": False})
    assert office.states() == ["cancelled", "delivered"]


async def test_only_tasks_are_cancelled(office):
    """Who names deliveries is told how to, instead of that nothing was there; their ids mean all of their tasks."""
    for body in ({"ids": office.names[:1]}, {"of": "deliveries", "ids": office.names[:1]}, {}):
        status, problem = await office.ask("cancellations", body)
        assert (status, problem["title"].partition(":")[0]) == (400, "of")
    assert office.states() == ["dead", "delivered"]
    await office.ask("cancellations", {"of": "tasks", "ids": office.names[:1]}, status=200)
    assert office.states() == ["cancelled", "delivered"]


async def test_pause_and_resume(office):
    """Both say whether they changed anything; who paused is known, and `sinks` shows it."""
    assert await office.ask("sinks/drop/pause?by=ann") == (200, {"changed": True})
    assert await office.ask("sinks/drop/pause?by=bob") == (200, {"changed": False})
    status, told = await office.ask("sinks", method="GET")
    drop, crm = (row["state"] for row in told["data"])
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
        ({"of": "tasks", "sink": "crmm"}, "crmm"),
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


async def test_a_state_that_deliveries_never_have(office):
    """A state of tasks is none of deliveries: an error, never everything."""
    problem = (await office.ask("replays", {"filter": {"state": "dead"}}, status=400))[1]
    assert "deliveries are never dead" in problem["title"]


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
    assert (await office.ask("cancellations", method="GET"))[0] == 405
    answer, _ = await office.answer("sinks", method="DELETE")
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
        "request_id": "req1", "exit_code": 75,
    }  # fmt: skip


async def test_who_did_what(office):
    """Each act is one line of the audit: who, what, to what, and counts; a dry run and a refusal leave none."""
    tasks = {"of": "tasks", "filter": {"person": "jane@example.com", "state": "dead"}}
    for path, body in (
        ("replays", tasks),
        ("replays", {"ids": [office.names[0], "jane@example.com"], "dry_run": True}),
    ):
        await office.ask(path, {**body, "dry_run": True}, role="operator", status=200)
    assert (await office.ask("sinks/crmm/pause", role="operator"))[0] == 400
    assert office.audit() == []
    await office.ask("replays", tasks, role="operator", status=200)
    await office.ask("replays", {"ids": [office.names[0], "jane@example.com"]}, role="operator", status=200)
    await office.ask("cancellations", {"of": "tasks", "sink": "drop"}, role="operator", status=200)
    for verb in ("pause", "pause", "resume", "reset", "test"):
        await office.ask(f"sinks/drop/{verb}", role="operator", status=200)
    who, counts = "operator-dana", {"all": False}
    assert office.audit() == [
        (who, "replay", None, {"of": "tasks", "ids": 0, "filters": "person,state", "records": 0, **counts}),
        (who, "replay", "dlv_1", {"of": "deliveries", "ids": 2, "records": 2, "count_replayed": 1, **counts}),
        (who, "cancel", None, {"of": "tasks", "ids": 0, "sink": "drop", "records": 2, "count_cancelled": 1,
                               "count_delivered": 1, **counts}),
        (who, "pause", "drop", {"changed": True}),
        (who, "pause", "drop", {"changed": False}),
        (who, "resume", "drop", {"changed": True}),
        (who, "reset", "drop", {"changed": False}),
        (who, "sink_test", "drop", {"ok": False}),
    ]  # fmt: skip
    assert office.store.check() == []


async def test_nothing_is_done_without_its_line(office, monkeypatch):
    """When the audit cannot be written, what it would tell of has not happened either."""
    office.store._sinks["crm"] = replace(office.store._sink("crm"), paused_at_ms=1, paused_by="ann")
    before = snapshot(office)

    async def full(_entry):
        raise StoreUnavailable("the disk is full", hint="Free some space.")

    monkeypatch.setattr(office.store, "append_audit", full)
    for path, body in (
        ("sinks/drop/pause", None),
        ("sinks/crm/resume", None),
        ("replays", {"of": "tasks", "filter": {"state": "dead"}}),
        ("replays", {"of": "tasks", "all": True, "background": True}),
        ("cancellations", {"of": "tasks", "sink": "drop"}),
    ):
        assert (await office.ask(path, body, role="operator"))[0] == 503, path
        assert snapshot(office) == before, path


def snapshot(office):
    return office.states(), dict(office.store.sinks()), office.store.bulks()


async def test_what_takes_long_is_noted_when_it_begins(aiohttp_client, monkeypatch):
    """Of what takes more than one transaction a line says that it has begun, with the first, and the last the counts."""
    monkeypatch.setattr("stibgate.pipeline.operations.PAGE", 2)
    monkeypatch.setattr("stibgate.pipeline.operations.STEPS_MAX", 2)
    office = await make_office(aiohttp_client, count=5)
    page, pages = office.store.replay, []

    async def failing(*args):
        pages.append(args)
        if len(pages) == 2:
            raise StoreUnavailable("the disk is full", hint="Free some space.")
        return await page(*args)

    monkeypatch.setattr(office.store, "replay", failing)
    everything = {"of": "tasks", "all": True}
    assert (await office.ask("replays", everything, role="operator"))[0] == 503
    begun = {"of": "tasks", "ids": 0, "all": True}
    who = "operator-dana"
    assert office.audit() == [(who, "replay_started", None, begun)]
    await office.ask("replays", everything, role="operator", status=200)
    counts = {"records": 6, "count_replayed": 3, "count_on_the_way": 2}
    assert office.audit()[1:] == [(who, "replay_started", None, begun), (who, "replay", None, begun | counts)]
    await office.ask("cancellations", {"of": "tasks", "sink": "drop"}, role="operator", status=200)
    asked = {"of": "tasks", "ids": 0, "sink": "drop", "all": False}
    assert office.audit()[3:] == [
        (who, "cancel_started", None, asked),
        (who, "cancel", None, asked | {"records": 10, "count_cancelled": 5}),
    ]


async def test_the_log_has_the_audit_too(office, lines):
    """Each line of the audit is one of the log, without a person."""
    await office.ask("replays", {"filter": {"person": "jane@example.com"}}, role="operator", status=200)
    (line,) = lines.of("audit.replay")
    assert (line["actor"], line["role"], line["client_ip"]) == ("operator-dana", "operator", "127.0.0.1")
    assert line["detail"]["filters"] == "person"
    assert "jane" not in lines.text
    assert "dropped" not in line


async def test_who_asks_is_told_in_the_story(office):
    """The story names the token's owner; only the command line's own token may say who its user is."""
    await office.ask("sinks/drop/pause?by=ann", role="operator")
    assert (await office.get("sinks/drop"))["state"]["paused_by"] == "operator-dana: ann"
    await office.ask("sinks/crm/pause", role="operator")
    assert (await office.get("sinks/crm"))["state"]["paused_by"] == "operator-dana, by the admin API"
    await office.ask("replays", {"ids": office.names[:1], "by": "ann"}, role="local")
    assert [note.by for note in office.store.replays(office.names[0])] == ["ann"]


async def test_a_sink_is_tested(office):
    """`test` says what is in the way, as `stibgate sinks test` does, and changes nothing."""
    told = (await office.ask("sinks/drop/test", role="operator"))[1]
    assert told == {
        "ok": False,
        "findings": [
            {"ok": True, "what": "drop is there", "hint": ""},
            {"ok": False, "what": "it is full", "hint": "Empty it."},
        ],
    }


async def test_a_filter_that_cannot_hold_is_refused(office):
    """Tasks have no event type of their own: a filter that is not looked at would widen what is done."""
    for name in ("event_type", "partner_customer_id"):
        status, problem = await office.ask("cancellations", {"of": "tasks", "filter": {name: "x"}})
        assert (status, name in problem["title"]) == (400, True)
    assert office.states() == ["dead", "delivered"]
