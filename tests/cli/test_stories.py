"""What `explain`, `deliveries show`, `verify`, `health` and `trigger` tell a person is true, in order and in words."""

import json
import sqlite3

import pytest

from stibgate.signatures import PRESETS, candidates, sign
from tests.e2e.gateway import FAILED, PUSHED, SECRET, SUCCEEDED, Gateway, configure, free_port, push_body

pytestmark = pytest.mark.e2e

SINKS = """
[sinks.drop]
kind = "csv"
dir = "./drops"

[sinks.bad]
kind = "csv"
dir = "./blocked/drops"

[normalise]
default_region = "GB"

[delivery]
schedule = ["0s"]
"""
DOOMED = """
[sources.doomed]
kind = "stibnite_push"
tokens = ["doomed-token-that-nobody-else-has"]
routes = ["bad"]
"""
NATIONAL = "020 7946 0123"
ORIGINAL = "nobody at nowhere"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A gateway, stopped, that took a good push with a flagged field twice, one that died, and two jobs."""
    folder = tmp_path_factory.mktemp("stories")
    (folder / "blocked").write_text("a file where a folder should be")
    good = json.loads(push_body(2, serial=1))
    for record in good["data"]:
        record["mobile_phone"] = record["mobile_phone"] and NATIONAL
    good["data"][0].update(mobile_phone=NATIONAL)
    good["data"][1].update(business_email=ORIGINAL)
    with Gateway(configure(folder, sinks=SINKS, sources=DOOMED)) as gateway:
        assert gateway.push(json.dumps(good).encode()).status == 202
        gateway.post("/hooks/doomed/doomed-token-that-nobody-else-has", push_body(3, serial=2))
        for event in (FAILED, SUCCEEDED):
            assert gateway.run("trigger", event, "--records", 1).code == 0
        gateway.settled()
        assert gateway.push(json.dumps(good).encode()).json["status"] == "duplicate"
        assert gateway.stop() == 0
    return gateway


@pytest.fixture(scope="module")
def came(shop):
    """The deliveries, oldest first: the good push, the doomed one, the failed job, the finished one."""
    return shop.rows("deliveries", "list")[::-1]


def story(shop, *words):
    return [line["what"] for line in shop.rows("explain", *words)]


def test_a_dead_task_is_not_hidden_by_done(shop, came):
    """The end of a story, and `deliveries show`, say how many records a dead task did not forward, and why."""
    name = came[1]["delivery_id"]
    error = "the drop folder is not a folder"
    lines = shop.rows("explain", name)
    assert lines[-1]["what"] == f"{name} is now done; bad dead: 3 records not forwarded: {error}"
    task = shop.rows("tasks", "list", "--delivery", name)[0]["task_id"]
    assert story(shop, task)[-1] == f"{task} is now dead; bad dead: 3 records not forwarded: {error}"
    assert f"3 records not forwarded: {error}" in shop.run("deliveries", "show", name).out
    person = shop.run("deliveries", "show", name, "--records").objects[0]["person_id"]
    assert story(shop, person)[-1].endswith(f"bad dead: this record not forwarded: {error}")


def test_a_story_is_told_in_order_of_time_and_in_plain_words(shop, came):
    """Events are in time order, up to the end at the latest time, in words that no one need look up."""
    name = came[0]["delivery_id"]
    lines = shop.rows("explain", name)
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    told = [line["what"] for line in lines]
    task = shop.rows("tasks", "list", "--delivery", name)[0]["task_id"]
    assert f"owed to sink drop (task {task})" in told
    assert told[-3:] == ["drop: attempt 1: delivered, 2 written", "came again: not forwarded", f"{name} is now done"]
    assert any("1 record normalised, 1 task for the sinks" in line for line in story(shop, came[3]["delivery_id"]))


def test_a_failed_job_is_told_as_failed(shop, came):
    """The story of a failed job says that the vendor reports it as failed and that there is nothing to forward."""
    told = story(shop, came[2]["delivery_id"])
    assert "the vendor reports the job as failed: there is nothing to forward" in told
    assert not any("normalised" in line for line in told)


def test_flagged_fields_are_named_without_their_value(shop, came):
    """A story names flagged fields and the reason; a person's own story only those of that record."""
    told = story(shop, came[0]["delivery_id"])
    assert "1 field flagged: business_email is invalid (record 1)" in told
    assert ORIGINAL not in "".join(told)
    people = [one["person_id"] for one in shop.run("deliveries", "show", came[0]["delivery_id"], "--records").objects]
    assert not any("flagged" in line for line in story(shop, people[0]))
    assert "1 field flagged: business_email is invalid" in story(shop, people[1])


def test_a_person_is_found_by_a_number_as_the_configured_region_writes_it(shop, came):
    """`--person` reads a phone number by `normalise.default_region`, and prints nothing but the story."""
    ran = shop.run("explain", "--person", NATIONAL)
    assert ran.code == 0, ran
    assert f"record 0 of {came[0]['delivery_id']}" in ran.lines[0]
    assert "in logs" not in ran.out


def test_a_job_or_a_search_leads_to_its_deliveries(shop, came):
    """`explain` takes a job_id and a search_id; an id that is unknown leads to the list, and two are one too many."""
    told, *more = story(shop, came[2]["job_id"])
    assert "nobody here submitted it" in told
    assert more[-len(story(shop, came[2]["delivery_id"])) :] == story(shop, came[2]["delivery_id"])
    assert story(shop, came[0]["search_id"]) == story(shop, came[0]["delivery_id"])
    unknown = shop.run("explain", "nobody")
    unknown.complaint(1)
    assert "`stibgate deliveries list`" in unknown.err
    both = shop.run("explain", "nobody", "--person", "a@example.com")
    both.complaint(2)
    assert "hint: Give one of them." in both.err


def test_no_records_is_said(shop, came):
    """`deliveries show --records` of a delivery without any says so beside the output."""
    ran = shop.run("deliveries", "show", came[2]["delivery_id"], "--records")
    assert (ran.code, ran.out, ran.err) == (0, "", "no records\n")


def test_a_plain_date_is_midnight_utc(shop, came):
    """`--since` and `--until` take a date as midnight UTC; anything else says what to write."""
    today = came[0]["received_at"][:10]
    assert len(shop.rows("deliveries", "list", "--since", "2026-05-17", "--until", "2999-01-01")) == len(came)
    assert shop.rows("deliveries", "list", "--until", today) == []
    ran = shop.run("deliveries", "list", "--since", "yesterday")
    assert "isoformat" not in ran.complaint(2)
    assert "2026-05-17, which is midnight UTC" in ran.err


def test_who_does_not_answer_is_told_by_cause(shop):
    """`health` and `trigger` say why nobody answers, and never with the name of a class."""
    nobody = f"http://127.0.0.1:{free_port()}"
    for words, option in ((["health"], "--url"), (["trigger", PUSHED, "--source", "push"], "--to")):
        assert shop.run(*words, option, nobody).complaint(69).endswith(": connection refused")
        for text in ("nonsense", "http://", "http://a:b"):
            assert shop.run(*words, option, text).complaint(2) == f"error: {text!r} is not a URL"


def test_a_service_that_is_not_the_admin_listener_is_told_as_such(tmp_path):
    """`health` at another HTTP service says that it is not the admin listener."""
    with Gateway(configure(tmp_path)) as gateway:
        ran = gateway.run("health", "--url", gateway.url)
        assert ran.complaint(69).endswith("that is not the admin listener of stibgate")
        assert gateway.stop() == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"headers": []}', "body_base64 is missing"),
        ('{"headers": 1, "body_base64": ""}', "headers is not a list of [name, value]"),
        ('{"headers": [], "body_base64": "?"}', "body_base64 is not base64"),
    ],
)
def test_what_is_wrong_with_a_capture_is_told(shop, text, why):
    """`verify --capture` of anything else says what is wrong with it."""
    ran = shop.run("verify", "--source", "jobs", "--capture", "-", stdin=text)
    assert ran.complaint(2).endswith(f"is not a capture: {why}")


def verified(shop, body, headers, *words):
    given = [word for name, value in headers for word in ("--header", f"{name}: {value}")]
    return shop.run("verify", "--explain", "--body", "-", *given, *words, stdin=body.decode())


def test_an_age_is_judged_only_against_a_time_of_receipt(shop):
    """An old signature without --received-at is right, with a word about its age; a header without colon is refused."""
    headers = sign(PRESETS["t_v1"][0], SECRET, b"{}", unix_s=1779043375, message_id="m")
    ran = verified(shop, b"{}", headers, "--source", "jobs")
    assert ran.code == 0, ran
    assert "no --received-at: its age was not judged" in ran.out
    assert verified(shop, b"{}", headers, "--source", "jobs", "--received-at", "2030-01-01T00:00:00Z").code == 1
    ran = verified(shop, b"{}", headers, "--source", "jobs", "--header", "foo")
    assert ran.complaint(2) == "error: --header 'foo' has no colon"


def test_a_hint_names_the_source_and_where_a_setting_belongs(shop):
    """A hint puts each setting under the table that takes it, with the name of the source."""
    (stripped,) = candidates("t_v1", overrides={"key": "base64"})
    headers = sign(stripped, SECRET, b"{}", unix_s=1779043375, message_id="m")
    ran = verified(shop, b"{}", headers, "--source", "jobs")
    assert ran.err == 'hint: Put key = "base64" under [sources.jobs.signature].\n'


def test_a_pinned_source_is_to_be_unpinned(tmp_path):
    """When a source on auto was pinned and its sender changed to another preset, the hint is to unpin it."""
    auto = f"""
[sources.auto]
kind = "stibnite_jobs"
secrets = ["{SECRET}"]
routes = ["drop"]
"""
    with Gateway(configure(tmp_path, sources=auto)) as gateway:
        assert gateway.run("trigger", SUCCEEDED, "--source", "auto").code == 0
        gateway.settled()
        assert gateway.stop() == 0
    with sqlite3.connect(tmp_path / "data/stibgate.db") as db:
        assert db.execute("SELECT source FROM pins").fetchall() == [("auto",)]
    db.close()
    headers = sign(PRESETS["sha256_hex"][0], SECRET, b"{}", unix_s=0, message_id="m")
    ran = verified(gateway, b"{}", headers, "--source", "auto")
    assert ran.code == 1
    assert ran.err.startswith("hint: `stibgate sources unpin auto`")
