"""Reading commands: one JSON object a line, and nothing that a sender chose does anything to a terminal."""

import json
import os
import sqlite3
import subprocess
import sys

import pytest

from tests.e2e.gateway import Gateway, configure, environment, push_body, stibgate

pytestmark = pytest.mark.e2e

NASTY = "id\x1b]0;pwned\x07\x1b[31m\x9b2J\r\u202e\x00!"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A configuration whose store holds deliveries, one of them with texts that no terminal should see."""
    path = configure(tmp_path_factory.mktemp("reading"))
    with Gateway(path) as gateway:
        for serial in range(3):
            assert gateway.push(push_body(2, serial=serial)).status == 202
        assert gateway.push(b"[]").json["status"] == "quarantined"
        gateway.settled()
        assert gateway.stop() == 0
    # Intake takes no such ids; whoever writes the store by another way, or a later intake, might.
    with sqlite3.connect(path.parent / "data/stibgate.db") as db:
        db.execute(
            "UPDATE deliveries SET partner_customer_id = ?1, partner_user_id = ?1, search_id = ?1, reason = ?1,"
            " event_type = ?1 WHERE sequence = 1",
            (NASTY,),
        )
        db.execute("UPDATE tasks SET error = ? WHERE sequence = 1", (NASTY,))
        db.execute("UPDATE attempts SET error = ?", (NASTY,))
    db.close()
    return path


@pytest.fixture(scope="module")
def names(config):
    """The ids of the first delivery and of its task."""
    task = stibgate("tasks", "list", "--json", "--config", config).objects[-1]
    return {"delivery": task["delivery_id"], "task": task["task_id"]}


READING = [
    ("deliveries", "list"),
    ("deliveries", "show", "{delivery}"),
    ("tasks", "list"),
    ("explain", "{delivery}"),
    ("explain", "{task}"),
    ("db", "status"),
    ("config", "show"),
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_json_is_one_object_a_line(config, names, words):
    """`--json` of every reading command prints whole objects, one a line, in ASCII, and nothing on stderr."""
    ran = stibgate(*(word.format(**names) for word in words), "--json", "--config", config)
    assert (ran.code, ran.err) == (0, ""), ran
    assert ran.objects
    assert all(isinstance(one, dict) for one in ran.objects)
    assert ran.out.isascii()
    assert all(line.isprintable() for line in ran.lines)


@pytest.mark.parametrize("words", [*READING, ("deliveries", "list", "--ids")], ids=" ".join)
def test_what_a_sender_chose_never_reaches_the_terminal(config, names, words):
    """Control characters, escape sequences and direction marks in ids and errors are replaced."""
    ran = stibgate(*(word.format(**names) for word in words), "--config", config)
    assert ran.code == 0, ran
    shown = ran.out.replace("\n", "").replace("\t", "")
    assert shown.isprintable(), ascii([char for char in shown if not char.isprintable()])


def test_an_empty_list_says_so_beside_the_output(config):
    """Nothing found is 0, with empty standard output: a script that reads lines gets none."""
    for words in (["deliveries", "list", "--source", "nobody"], ["tasks", "list", "--sink", "nowhere"]):
        ran = stibgate(*words, "--config", config)
        assert (ran.code, ran.out) == (0, "")
        assert ran.err.startswith("no ")
        assert stibgate(*words, "--json", "--config", config).out == ""


def test_the_documented_keys_are_there(config, names):
    """Deliveries and tasks have exactly the keys that the contract names, and times end with a Z."""
    delivery = stibgate("deliveries", "list", "--json", "--config", config).objects[-1]
    assert " ".join(delivery) == (
        "delivery_id state source event_type received_at records search_id job_id partner_customer_id"
        " duplicates via reason"
    )
    assert delivery["received_at"].endswith("Z")
    task = stibgate("tasks", "list", "--json", "--config", config).objects[-1]
    assert " ".join(task) == "task_id delivery_id sink state attempts next_attempt_at error"
    shown = stibgate("deliveries", "show", names["delivery"], "--json", "--config", config).objects[0]
    assert {"tasks", "duplicates_seen", "conflicts"} <= shown.keys()
    (task,) = shown["tasks"]
    assert {"task_id", "sink", "state", "attempts", "next_attempt_at", "outcomes", "refused"} <= task.keys()


@pytest.mark.parametrize(
    "words",
    [
        ("deliveries", "list"),
        ("deliveries", "list", "--json"),
        ("deliveries", "list", "--ids"),
        ("deliveries", "show", "{delivery}", "--raw"),
        ("deliveries", "show", "{delivery}", "--records"),
        ("explain", "{delivery}"),
    ],
    ids=" ".join,
)
def test_a_reader_that_goes_away_is_no_failure(config, names, words):
    """Into a pipe that nobody reads any more, as `| head -1` leaves it, every command ends with 0 and in silence."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "stibgate", *(word.format(**names) for word in words), "--config", config],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_reading_does_not_change_the_store(config):
    """Reading commands need no service, take no lock, and leave the database's bytes alone."""
    store = config.parent / "data/stibgate.db"
    before = store.read_bytes()
    for words in READING[:1] + READING[2:3]:
        assert stibgate(*words, "--config", config).code == 0
    assert store.read_bytes() == before


def test_configuration_is_shown_without_its_secrets(config):
    """`config show` masks secrets and tokens; `config schema` is a JSON Schema."""
    from tests.e2e.gateway import SECRET, TOKEN

    for words in (["config", "show"], ["config", "show", "--json"]):
        ran = stibgate(*words, "--config", config)
        assert ran.code == 0
        assert SECRET not in ran.out
        assert TOKEN not in ran.out
    schema = json.loads(stibgate("config", "schema").out)
    assert schema["type"] == "object"
