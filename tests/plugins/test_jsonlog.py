"""A sink in a package of its own, installed as people install one, does all that ours do."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.gateway import FROM_NOTHING, PUSHED, Gateway, configure, environment, python_stibgate, until

pytestmark = pytest.mark.e2e

SOURCE = Path(__file__).parent / "stibgate-sink-jsonlog"
SINK = """
[sinks.people]
kind = "jsonlog"
path = "people.jsonl"
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the package, built and installed by pip without a network."""
    folder = tmp_path_factory.mktemp("plug-in")
    source = shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    without_network = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    ran = subprocess.run(
        [sys.executable, "-m", "pip", "install", *without_network, "--target", str(folder / "site"), str(source)],
        capture_output=True,
        text=True,
        check=False,
        env=environment({"PIP_CONFIG_FILE": os.devnull}),
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder / "site"


@pytest.fixture
def env(site):
    """The environment in which the package is installed."""
    return {"PYTHONPATH": str(site)}


def test_its_own_tests_pass(site, env, tmp_path):
    """The laws for sinks run in the package's own tests, with plain pytest, without anything of ours but the package."""
    tests = shutil.copytree(SOURCE, tmp_path / "package", ignore=shutil.ignore_patterns("stibgate_sink_*", ".*"))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tests)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tests,
        env=environment(env),
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "14 passed" in ran.stdout


def test_config_commands_know_it(env, tmp_path):
    """`config check` takes its keys and names its mistakes; `config schema` describes them; without it there is a problem."""
    config = configure(tmp_path, sinks=SINK, routes=["people"])
    checked = python_stibgate("config", "check", "--config", config, env=env)
    assert (checked.code, checked.out) == (0, "config ok: 2 sources, 1 sink\n"), checked.err
    schema = python_stibgate("config", "schema", env=env)
    assert schema.err == ""
    [node] = json.loads(schema.out)["properties"]["sinks"]["patternProperties"].values()
    assert {"const": "jsonlog", "type": "string"} in [one["properties"]["kind"] for one in node["anyOf"]]
    config.write_text(config.read_text().replace("path =", "pth ="))
    wrong = python_stibgate("config", "check", "--config", config, env=env)
    assert wrong.code == 78
    assert "sinks.people.pth  no such key; did you mean path?" in wrong.err
    gone = python_stibgate("config", "check", "--config", config)
    assert gone.code == 78
    assert "sinks.people.kind  'jsonlog'  no such kind; " in gone.err


def test_it_takes_records(env, tmp_path):
    """What is pushed to a served gateway stands in its file, and the commands about sinks speak of it."""
    config = configure(tmp_path, sinks=SINK, routes=["people"])
    file = tmp_path / "people.jsonl"
    with Gateway(config, env=env, launcher=FROM_NOTHING):
        sent = python_stibgate("trigger", PUSHED, "--records", "4", "--config", config, env=env)
        assert sent.code == 0, sent
        until("the records are in the file", lambda: file.exists() and file.read_text().count("\n") == 4)
    people = [json.loads(line) for line in file.read_text().splitlines()]
    assert [one["position"] for one in people] == [0, 1, 2, 3]
    assert len({one["person_id"] for one in people}) == 4
    listed = python_stibgate("sinks", "list", "--json", "--config", config, env=env)
    [row] = listed.objects
    assert row.pop("state")["circuit"] == "closed"
    assert row == {
        "sink": "people",
        "kind": "jsonlog",
        "destination": str(file),
        "routes": ["sources.jobs", "sources.push"],
        "tasks": {"delivered": 1},
    }
    tested = python_stibgate("sinks", "test", "people", "--config", config, env=env)
    assert (tested.code, tested.out) == (0, f"people: ok: {tmp_path} can be written\n")
