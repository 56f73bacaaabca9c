"""`routes test` says of a body what the gateway would do with its records, and shows nobody."""

import json
import random

import pytest

from stibgate.sandbox.samples import sample
from tests.e2e.gateway import FAILED, PUSHED, SUCCEEDED, stibgate

pytestmark = pytest.mark.e2e

CONFIG = """
[sources.jobs]
kind = "stibnite_jobs"
auth = "token"
tokens = ["routes-token-of-jobs"]
routes = ["drop"]

[sources.push]
kind = "stibnite_push"
tokens = ["routes-token-of-push"]

[sinks.drop]
kind = "csv"
dir = "drops"

[sinks.crm]
kind = "ndjson"
dir = "crm"

[[routes]]
name = "west"
when = { source = "push", company_state = ["ID", "Washington"] }
to = ["crm"]
continue = true

[[routes]]
name = "no address"
when = { lacks = "business_email" }
to = []

[[routes]]
name = "large"
when = { source = "push", employee_count_min = 50 }
to = ["drop"]
"""
PEOPLE = [
    {"person_id": "p0", "business_email": "p0@example.com", "company_state": "Idaho", "company_employee_count": "50"},
    {"person_id": "p1", "business_email": "p1@example.com", "company_state": "ID", "company_employee_count": 9},
    {"person_id": "p2", "business_email": "p2@example.com", "company": {"state": "OR", "employee_count": 9}},
    {"person_id": "p3", "prospect_id": "5x5-p3", "company_employee_count": 99},
    {"prospect_id": "5x5-p4", "business_email": "p4@example.com", "company": {"state": "WA", "employee_count": 99}},
]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A configuration with routes, and no store beside it."""
    path = tmp_path_factory.mktemp("routes") / "config.toml"
    path.write_text(CONFIG)
    path.chmod(0o600)
    return path


@pytest.fixture
def run(config):
    """Return a function that runs `routes test` on a body from standard input, as an object or as bytes."""

    def ran(body, *words):
        text = body if isinstance(body, str) else json.dumps(body)
        return stibgate("routes", "test", "--file", "-", "--config", config, *words, stdin=text, cwd=config.parent)

    return ran


def pushed(people, **more):
    return {"event": PUSHED, "search_id": "search_1", "data": people, **more}


def test_json_says_who_goes_where_and_why(run):
    """`--json` is one object: positions by sink, what was not routed, and for each record every route's word."""
    ran = run(pushed(PEOPLE), "--json")
    assert (ran.code, ran.err) == (0, "")
    (told,) = ran.objects
    assert {key: told[key] for key in ("source", "event_type", "records")} == {
        "source": "push",
        "event_type": PUSHED,
        "records": 5,
    }
    assert told["sinks"] == {"crm": {"count": 3, "positions": [0, 1, 4]}, "drop": {"count": 2, "positions": [0, 4]}}
    assert told["unrouted"] == {"count": 2, "positions": [2, 3]}
    both, one, none, aside, _ = told["decisions"]
    assert (both["sinks"], both["routes"], both["why"]) == (["crm", "drop"], ["west", "large"], None)
    assert (one["position"], one["person_id"], one["prospect_id"], one["routes"]) == (1, "p1", None, ["west"])
    assert none["sinks"] == []
    assert none["why"].split("; ") == [
        "west: company_state, saw OR",
        "no address: lacks business_email, saw a value not shown here",
        "large: employee_count_min, saw 9",
    ]
    assert (aside["why"], aside["routes"], aside["prospect_id"]) == ("no address: to nowhere", ["no address"], "5x5-p3")
    assert aside["steps"] == [
        {"route": "west", "to": ["crm"], "asked": "missed", "condition": "company_state", "seen": "nothing"},
        {"route": "no address", "to": [], "asked": "matched", "condition": None, "seen": None},
        {"route": "large", "to": ["drop"], "asked": "not_asked", "condition": None, "seen": None},
    ]


def test_a_table_for_people(run):
    """Without `--json`: counts and positions by sink, and one line a record with the routes that decided."""
    ran = run(pushed(PEOPLE))
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[:4] == [
        f"{PUSHED} from push: 5 records",
        "  to crm: 3 records (0-1, 4)",
        "  to drop: 2 records (0, 4)",
        "  to no sink: 2 records (2-3)",
    ]
    assert ran.lines[4].split() == ["POSITION", "PERSON_ID", "PROSPECT_ID", "SINKS", "ROUTES", "WHY"]
    assert [line.split()[0] for line in ran.lines[5:]] == ["0", "1", "2", "3", "4"]
    assert ran.lines[5].split() == ["0", "p0", "-", "crm,", "drop", "west,", "large", "-"]
    assert ran.lines[8].endswith("no address: to nowhere")


def test_the_short_form_of_a_source_is_told_too(run):
    """What no route took goes to the source's own sinks, and is told as such."""
    body = {"event": SUCCEEDED, "job_id": "job_1", "data": PEOPLE[:1]}
    (told,) = run(body, "--json").objects
    assert told["source"] == "jobs"
    assert told["decisions"][0]["routes"] == ["sources.jobs.routes"]
    (told,) = run(body, "--json", "--source", "push").objects
    assert told["sinks"] == {"crm": {"count": 1, "positions": [0]}, "drop": {"count": 1, "positions": [0]}}


def test_nothing_of_a_person_is_shown(run):
    """Of a record only position, person_id and prospect_id come out, whatever it holds."""
    canary = "Canary Of Jane"
    names = [name for name in sample_person() if name not in {"person_id", "prospect_id", "company"}]
    inner = dict.fromkeys([*sample_person()["company"], "domain", "city", "state", "employee_count"], canary)
    person = {**dict.fromkeys(names, canary), "business_email": "canary.of.jane@example.com", "company": inner}
    for words in ((), ("--json",)):
        ran = run(pushed([{"person_id": "p0", "unknown": canary, **person}], partner_user_id=canary), *words)
        assert ran.code == 0
        assert "p0" in ran.out
        assert "canary" not in (ran.out + ran.err).lower()


def sample_person():
    return json.loads(sample(PUSHED, records=1, rng=random.Random(1), serial=1).body)["data"][0]


def test_a_file_and_the_header_of_a_delivery(config, tmp_path):
    """The body may be a file, and what its header would say comes by `--event-type`; samples are taken whole."""
    file = tmp_path / "body.json"
    file.write_bytes(sample(PUSHED, records=30, rng=random.Random(3), serial=1).body)
    (told,) = stibgate("routes", "test", "--file", file, "--config", config, "--json").objects
    assert told["records"] == 30
    file.write_text(json.dumps({"data": PEOPLE}))
    ran = stibgate("routes", "test", "--file", file, "--config", config, "--event-type", PUSHED, "--json")
    assert ran.objects[0]["records"] == 5


def test_no_records_are_nothing_to_route(run):
    """An event without records is no failure: nothing goes anywhere, and that is said."""
    ran = run({"event": FAILED, "job_id": "job_1"})
    assert (ran.code, ran.lines, ran.err) == (0, [f"{FAILED} from jobs: 0 records"], "no records to route\n")
    (told,) = run(pushed([]), "--json").objects
    assert (told["sinks"], told["unrouted"], told["decisions"]) == ({}, {"count": 0, "positions": []}, [])


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        ("{", "the body is not understood: the body is not UTF-8 JSON", "not_json_object"),
        ("[]", "the body is not understood: the body is JSON, but not an object", "not_json_object"),
        ('{"data": []}', "the body is not understood: neither the body nor the header says an event type", "envelope"),
        ('{"event": "x.y"}', "'x.y' is an event type that is not known", "kept and ignored"),
        ({"event": PUSHED, "data": 5}, "the body is not understood: `data` is not a list", "envelope"),
    ],
)
def test_a_body_that_is_not_understood(run, body, message, hint):
    """What would be quarantined or ignored ends with 1, and with the reason that the delivery would have."""
    ran = run(body)
    assert ran.complaint(1) == f"error: {message}"
    assert hint in ran.err
    assert ran.out == ""


def test_which_source_is_asked_when_several_could(tmp_path):
    """With two sources of the kind, or none, `--source` is asked for, and its choices named; a wrong one is refused."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIG + '[sources.push2]\nkind = "stibnite_push"\ntokens = ["routes-token-of-push"]\n')
    file = tmp_path / "body.json"
    file.write_text(json.dumps(pushed(PEOPLE)))
    ran = stibgate("routes", "test", "--file", file, "--config", path)
    assert ran.complaint(2) == "error: which source?"
    assert "Give --source: could be push, push2." in ran.err
    ran = stibgate("routes", "test", "--file", file, "--config", path, "--source", "psuh")
    assert ran.complaint(2) == "error: there is no source 'psuh'"
    path.write_text(CONFIG.partition("[sources.push]")[0])
    path.write_text(path.read_text() + '[sinks.drop]\nkind = "csv"\ndir = "drops"\n')
    ran = stibgate("routes", "test", "--file", file, "--config", path)
    assert ran.complaint(2) == "error: which source?"
    assert "none is of kind stibnite_push; there are jobs" in ran.err


def test_no_store_is_made(config, run):
    """Nothing is written: no store, no drop."""
    assert run(pushed(PEOPLE)).code == 0
    assert [path.name for path in config.parent.iterdir()] == ["config.toml"]


def test_ids_cannot_move_the_cursor(run):
    """An id with control characters is shown without them."""
    ran = run(pushed([{"person_id": "p\u001b[31m", "business_email": "p0@example.com"}]))
    assert ran.code == 0
    assert ran.out.replace("\n", "").isprintable()
