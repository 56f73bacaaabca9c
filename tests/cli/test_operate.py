"""Commands that change something, on a store that no service uses: what is meant, what is done, what is asked."""

import json
import os
import pty
import shutil

import pytest

from stibgate.cli.operate import Request
from stibgate.cli.service import Way
from tests.e2e.gateway import SUCCEEDED, Gateway, _become, _wait, configure, environment, push_body

pytestmark = pytest.mark.e2e

OTHER_TOKEN = "doomed-token-that-nobody-else-has"
SINKS = """
[sinks.drop]
kind = "csv"
dir = "./drops"

[sinks.bad]
kind = "csv"
dir = "./blocked/drops"

[delivery]
schedule = ["0s"]
"""
DOOMED = f"""
[sources.doomed]
kind = "stibnite_push"
tokens = ["{OTHER_TOKEN}"]
routes = ["bad"]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A gateway, stopped, whose three deliveries are dead letters of `bad`: of 2, 3 and 1 records; one is quarantined."""
    folder = tmp_path_factory.mktemp("operate")
    (folder / "blocked").write_text("a file where a folder should be")
    with Gateway(configure(folder, sinks=SINKS, sources=DOOMED, routes=("bad", "drop"))) as gateway:
        assert gateway.push(push_body(2, serial=1)).status == 202
        assert gateway.post(f"/hooks/doomed/{OTHER_TOKEN}", push_body(3, serial=2)).status == 202
        assert gateway.run("trigger", SUCCEEDED, "--records", 1).code == 0
        assert gateway.push(b"[]").json["status"] == "quarantined"
        gateway.settled()
        assert gateway.stop() == 0
    return gateway


@pytest.fixture(scope="module")
def came(shop):
    """The deliveries, oldest first: of `push`, of `doomed`, the job, the quarantined one."""
    return shop.rows("deliveries", "list")[::-1]


@pytest.fixture
def copy(shop, tmp_path):
    """The same, for one test alone."""
    shutil.copytree(shop.folder, tmp_path, dirs_exist_ok=True)
    return Gateway(tmp_path / "config.toml")


def report(gateway, *words, code=0):
    """Return the report of a command that changes something, which is one JSON object."""
    ran = gateway.run(*words, "--json")
    assert ran.code == code, ran
    (told,) = ran.objects
    assert told.keys() == {"dry_run", "records", "results", "sinks", "unknown"}
    return told


def states(gateway, sink="bad"):
    """Return the states of a sink's tasks, oldest first."""
    return [one["state"] for one in gateway.rows("tasks", "list", "--sink", sink)[::-1]]


def person(shop, came, number=0):
    return shop.run("deliveries", "show", came[number]["delivery_id"], "--records").objects[0]


@pytest.mark.parametrize(
    ("words", "records"),
    [
        ((), 6),
        (("--sink", "bad"), 6),
        (("--sink", "drop"), 0),
        (("--source", "push"), 2),
        (("--source", "doomed"), 3),
        (("--source", "nobody"), 0),
        (("--error", "not a folder"), 6),
        (("--error", "100%"), 0),
        (("--since", "{1[received_at]}"), 4),
        (("--until", "{1[received_at]}"), 2),
        (("--since", "{1[received_at]}", "--until", "{2[received_at]}"), 3),
        (("--since", "2999-01-01"), 0),
        (("--job-id", "{2[job_id]}"), 1),
        (("--search-id", "{0[search_id]}"), 2),
        (("--search-id", "{0[search_id]}", "--source", "doomed"), 0),
        (("--person", "{who[person_id]}"), 2),
        (("--person", "{who[prospect_id]}"), 2),
        (("--person", "{who[business_email]}"), 2),
        (("--person", "{who[mobile_phone]}"), 2),
        (("--person", "{who[linkedin_url]}"), 2),
        (("--person", "{who[business_email]}", "--source", "doomed"), 0),
        (("--person", "nobody@example.com"), 0),
    ],
    ids=str,
)
def test_each_filter_narrows_what_is_meant(shop, came, words, records):
    """Every filter of `dead replay` must hold for a dead letter to be meant; a dry run tells how much that is."""
    given = [word.format(*came, who=person(shop, came)) for word in words]
    told = report(shop, "dead", "replay", "--dry-run", *given)
    assert (told["records"], told["dry_run"]) == (records, True)
    assert told["sinks"] == ({"bad": records} if records else {})


def test_a_dry_run_changes_nothing(copy):
    """`--dry-run` of each command leaves every task, attempt and replay as it was."""
    before = copy.rows("tasks", "list")
    for words in (["dead", "replay"], ["tasks", "retry", "--sink", "bad"], ["tasks", "cancel", "--sink", "bad"]):
        ran = copy.run(*words, "--dry-run")
        assert (ran.code, ran.err) == (0, "")
        assert ran.lines[0].startswith("6 records would be ")
        assert copy.rows("tasks", "list") == before
    ran = copy.run("deliveries", "replay", "--source", "doomed", "--dry-run")
    assert ran.lines == ["3 records would be sent again: 3 to bad", f"  {'sent again':40} 1"]
    assert copy.rows("tasks", "list") == before
    assert not any("sent again" in line["what"] for line in copy.rows("explain", before[0]["delivery_id"]))


def test_replayed_without_a_service_goes_out_with_the_next_one(copy, came):
    """What is replayed on the store itself waits for the next start, and then goes its usual way once."""
    assert report(copy, "dead", "replay")["results"] == {"replayed": 3}
    assert states(copy) == ["queued"] * 3
    assert report(copy, "dead", "replay")["results"] == {}
    (copy.folder / "blocked").unlink()
    with copy:
        assert {one["state"] for one in copy.settled()} == {"done", "quarantined"}
        assert copy.stop() == 0
    assert states(copy) == [*states(copy, "drop"), "delivered"] == ["delivered"] * 3
    told = [line["what"] for line in copy.rows("explain", came[1]["delivery_id"])]
    assert [line for line in told if "sent again by " in line and line.endswith("3 records, it was dead")]
    assert told[-2:] == ["bad: attempt 2: delivered, 3 written", f"{came[1]['delivery_id']} is now done"]
    copy.checked()


def test_ids_that_name_nothing_are_told_and_the_others_done(copy, came):
    """An unknown id ends with 1 and is named; the known ones are done all the same, of tasks and of deliveries."""
    task = copy.rows("tasks", "list", "--delivery", came[0]["delivery_id"], "--sink", "bad")[0]["task_id"]
    ran = copy.run("dead", "replay", "tsk_nothing", task, came[1]["delivery_id"])
    assert ran.complaint(1) == "error: nothing is known of tsk_nothing"
    assert ran.lines[0] == "5 records sent again: 5 to bad"
    assert states(copy) == ["queued", "queued", "dead"]
    told = report(copy, "tasks", "cancel", "tsk_nothing", came[2]["delivery_id"], code=1)
    assert (told["unknown"], told["records"]) == (["tsk_nothing"], 1)
    assert told["results"] == {"cancelled": 1, "delivered": 1}


def test_cancelled_is_kept_and_can_be_sent_later(copy, came):
    """`tasks cancel` ends tasks and says so in `explain`; they are in no later dead letter, and `retry` brings them back."""
    assert report(copy, "tasks", "cancel", "--source", "doomed")["results"] == {"cancelled": 1}
    assert states(copy) == ["dead", "cancelled", "dead"]
    assert report(copy, "dead", "replay", "--dry-run")["records"] == 3
    end = copy.rows("explain", came[1]["delivery_id"])[-1]["what"]
    assert "bad cancelled: 3 records not forwarded: cancelled by " in end
    assert report(copy, "tasks", "retry", "--state", "cancelled")["results"] == {"replayed": 1}
    assert states(copy) == ["dead", "queued", "dead"]


def test_what_is_done_is_sent_again_only_with_all(copy, came):
    """A delivered task has nothing left to send, unless `--all` says so."""
    name = came[0]["delivery_id"]
    told = report(copy, "deliveries", "replay", name, "--dry-run")
    assert (told["results"], told["sinks"]) == ({"replayed": 1, "nothing_left": 1}, {"bad": 2})
    assert report(copy, "deliveries", "replay", name, "--all", "--dry-run")["sinks"] == {"bad": 2, "drop": 2}
    assert report(copy, "deliveries", "replay", name, "--sink", "drop", "--dry-run")["results"] == {"nothing_left": 1}
    assert report(copy, "deliveries", "replay", "--all", "--dry-run")["records"] == 9


def test_a_quarantined_delivery_is_read_anew(copy, came):
    """`deliveries replay` of a quarantined one has it processed again; `explain` knows by whom."""
    assert report(copy, "deliveries", "replay", "--state", "quarantined")["results"] == {"replayed": 1}
    (row,) = copy.rows("deliveries", "list", "--state", "accepted")
    assert row["delivery_id"] == came[3]["delivery_id"]
    assert any("processed again by " in line["what"] for line in copy.rows("explain", row["delivery_id"]))


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (("tasks", "retry"), "say what to retry", "--state dead"),
        (("tasks", "cancel"), "say what to cancel", "--state dead"),
        (("deliveries", "replay"), "say what to replay", "--since"),
        (("dead", "replay", "--sink", "bda"), "there is no sink 'bda'", "drop, bad"),
        (("dead", "replay", "--since", "yesterday"), "--since 'yesterday'", "2026-05-17"),
        (("dead", "replay", "dlv_1", "--source", "push"), "ids and filters were both given", "one or the other"),
        (("tasks", "cancel", "tsk_1", "--state", "dead"), "ids and filters were both given", "one or the other"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_is_not_clear_is_a_matter_of_usage(shop, words, said, hint):
    """A command that does not say what is meant, or says two things, exits 2 and does nothing."""
    ran = shop.run(*words)
    assert said in ran.complaint(2)
    assert hint in ran.err
    assert ran.out == ""
    assert states(shop) == ["dead"] * 3


def test_a_state_that_is_none_is_a_matter_of_usage(shop):
    """An unknown state is named with those that there are."""
    ran = shop.run("tasks", "retry", "--state", "gone")
    assert ran.code == 2
    assert "'partial'" in ran.err


def test_without_a_store_there_is_nothing_to_change(tmp_path):
    """Before anything was received every such command says so, and makes no store."""
    gateway = Gateway(configure(tmp_path))
    for words in (["dead", "replay"], ["tasks", "cancel", "--sink", "drop"], ["sinks", "pause", "drop"]):
        gateway.run(*words).complaint(1)
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_without_a_terminal_nobody_is_asked(copy):
    """In a script, `dead replay` of everything goes ahead: there is nobody to ask."""
    ran = copy.run("dead", "replay")
    assert (ran.code, ran.err) == (0, "")
    assert states(copy) == ["queued"] * 3


def at_terminal(gateway, *words, types=""):
    """Run a command at a terminal where *types* is typed; return its exit code and what was to be seen there."""
    leader, follower = pty.openpty()
    os.write(leader, types.encode())
    pid = os.fork()
    if pid == 0:
        stream = os.fdopen(follower, "rb+", buffering=0)
        words = [*map(str, words), "--config", str(gateway.config)]
        _become(words, environment({"NO_COLOR": "1"}), gateway.folder, (stream, stream, stream))
    os.close(follower)
    code, seen = _wait(pid, 60), b""
    try:
        while part := os.read(leader, 65_536):
            seen += part
    except OSError:  # Linux's way to say that the other end is closed
        pass
    os.close(leader)
    return code, seen.decode()


@pytest.mark.parametrize(
    ("words", "types", "code", "after"),
    [
        ((), "y\n", 0, "queued"),
        ((), "n\n", 1, "dead"),
        ((), "\n", 1, "dead"),
        (("--yes",), "", 0, "queued"),
        (("--dry-run",), "", 0, "dead"),
    ],
    ids=["yes", "no", "return", "--yes", "--dry-run"],
)
def test_at_a_terminal_it_asks_first(copy, words, types, code, after):
    """At a terminal a bulk write says what it would do and asks, no by default; `--yes` and a dry run do not ask."""
    ended, seen = at_terminal(copy, "dead", "replay", *words, types=types)
    assert (ended, states(copy)) == (code, [after] * 3), seen
    assert ("Do it? [y/N]" in seen) is bool(types)
    if types:
        assert "6 records would be sent again: 6 to bad" in seen
        assert ("aborted" in seen) is (code == 1)


def test_with_ids_nobody_is_asked(copy, came):
    """Who names what is meant has said it."""
    ended, seen = at_terminal(copy, "dead", "replay", came[1]["delivery_id"])
    assert (ended, "Do it?" in seen) == (0, False), seen


def test_a_name_of_any_length_may_have_done_it(copy, came):
    """Who did it is a courtesy: neither a long nor a strange user name keeps a command from working."""
    name = "ann\u00e9 & co? " * 20
    copy.env = {"LOGNAME": name}
    assert report(copy, "dead", "replay", came[1]["delivery_id"])["records"] == 3
    assert copy.run("sinks", "pause", "bad").code == 0
    assert any(name[:60] in line["what"] for line in copy.rows("explain", came[1]["delivery_id"]))


def test_a_request_names_all_that_was_chosen():
    """The body that goes to the service says everything that the command line said."""
    chosen = dict.fromkeys(("sink", "source", "since", "until", "error", "job_id", "search_id", "person", "state"))
    request = Request(None, {**chosen, "ids": (), "sink": "bad", "source": "push", "dry_run": True}, Way(),
                      as_json=False, yes=False)  # fmt: skip
    body = json.loads(json.dumps(request.body("tasks", state="dead")))
    assert body.pop("by").endswith(", by command")
    assert body == {
        "of": "tasks", "ids": [], "filter": {"source": "push", "state": "dead"}, "sink": "bad", "dry_run": True,
    }  # fmt: skip
