"""What is in the way is said in one clear line with what to do, and with the documented exit code."""

import os
import pty
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.gateway import (
    PUSHED,
    Gateway,
    configure,
    environment,
    free_port,
    push_body,
    python_stibgate,
    stibgate,
    tmpfs,
)

pytestmark = pytest.mark.e2e

TEN_MISTAKES = """\
[server]
bind = "nowhere"
max_body = 32
colour = "red"

[storage]
durability = "perhaps"

[sources.jobs]
kind = "stibnite_jobs"
routes = ["dorp"]
ack_status = 404

[sources.push]
kind = "stibnite_push"
tokens = ["short"]

[sinks.drop]
kind = "csv"

[delivery]
max_age = "soon"
concurrency = 0
"""

NAMED = (
    "server.bind",
    "server.max_body",
    "server.colour",
    "storage.durability",
    "sources.jobs.secrets",
    "sources.jobs.routes",
    "sources.jobs.ack_status",
    "sources.push.tokens",
    "sinks.drop.dir",
    "delivery.max_age",
    "delivery.concurrency",
)

READING = (
    ("deliveries", "list"),
    ("deliveries", "show", "dlv_x"),
    ("tasks", "list"),
    ("explain", "dlv_x"),
    ("db", "status"),
    ("db", "check"),
)


def serve(config, **how):
    """Run `serve` where it cannot start."""
    return stibgate("serve", "--config", config, cwd=config.parent, **how)


def test_every_mistake_of_a_configuration_is_named_at_once(tmp_path):
    """A configuration with eleven mistakes ends with 78 and one line for each: file, line, key, what is allowed."""
    config = tmp_path / "config.toml"
    config.write_text(TEN_MISTAKES)
    for ran in (python_stibgate("serve", "--config", config), stibgate("config", "check", "--config", config)):
        assert ran.code == 78, ran
        *problems, error, hint = ran.err.splitlines()
        assert len(problems) == len(NAMED), ran.err
        for name in NAMED:
            assert any(re.search(rf"/config\.toml:\d+  {re.escape(name)}\b", line) for line in problems), name
        assert error == f"error: {len(NAMED)} problems in the configuration. Nothing was started."
        assert hint.startswith("hint: ")
    assert "short" not in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"], "nothing was made"


def test_a_configuration_that_is_not_toml_names_the_line(tmp_path):
    """Broken TOML is 78 with the line that cannot be read."""
    config = tmp_path / "config.toml"
    config.write_text('[server]\nbind = "127.0.0.1:8080\n')
    ran = serve(config)
    assert (ran.code, len(ran.err.splitlines())) == (78, 3), ran
    assert ran.err.startswith(f"{config}:2  "), ran


def test_a_configuration_file_that_was_named_must_be_there(tmp_path):
    """A missing file is 78; it is named with what named it, `--config` or $STIBGATE_CONFIG, and with `init`."""
    missing = tmp_path / "missing.toml"
    for words, env, named_by in (
        (["serve", "--config", missing], {}, "--config"),
        (["--config", missing, "serve"], {"STIBGATE_CONFIG": "other.toml"}, "--config"),
        (["serve"], {"STIBGATE_CONFIG": str(missing)}, "$STIBGATE_CONFIG"),
        (["deliveries", "list", "--config", missing], {}, "--config"),
    ):
        ran = stibgate(*words, env=env, cwd=tmp_path)
        assert ran.code == 78, ran
        problem, _, hint = ran.err.splitlines()
        assert problem == f"{missing}  {named_by}  no such file or directory"
        assert named_by in hint
        assert "`stibgate init`" in hint


@pytest.mark.skipif(Path("/etc/stibgate/config.toml").exists(), reason="this machine has a configuration")
@pytest.mark.parametrize("words", [("serve",), ("config", "check")], ids=" ".join)
def test_a_service_that_nobody_configured_does_not_start(tmp_path, words):
    """Without a file and without a source from elsewhere, 78 names where a file may be; nothing is made."""
    ran = stibgate(*words, cwd=tmp_path)
    assert ran.code == 78, ran
    assert "looked at $STIBGATE_CONFIG, ./config.toml and /etc/stibgate/config.toml" in ran.err
    assert "stibgate init" in ran.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(Path("/etc/stibgate/config.toml").exists(), reason="this machine has a configuration")
def test_variables_alone_are_a_configuration(tmp_path):
    """A source that comes from the environment needs no file."""
    env = {"STIBGATE_SOURCES__PUSH__KIND": "stibnite_push", "STIBGATE_SOURCES__PUSH__TOKENS": "a-token-of-this-test"}
    ran = stibgate("config", "check", cwd=tmp_path, env=env)
    assert (ran.code, ran.out) == (0, "config ok: 1 source, 0 sinks\n"), ran


def test_a_file_without_sources_starts_with_a_notice(tmp_path):
    """A file that names no source is somebody's wish: no problem, but a notice."""
    (tmp_path / "config.toml").write_text("")
    ran = stibgate("config", "check", cwd=tmp_path)
    assert ran.code == 0, ran
    assert "nothing can be received" in ran.err


@pytest.mark.parametrize(("value", "coloured"), [("", True), ("1", False)])
def test_colours_can_be_turned_off(tmp_path, value, coloured):
    """On a terminal the word `error` is red, unless NO_COLOR says otherwise."""
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123  (a descriptor)
        subprocess.run(
            [sys.executable, "-m", "stibgate", "serve", "--config", str(tmp_path / "missing.toml")],
            stderr=theirs,
            env=environment({"NO_COLOR": value}),
            check=False,
            timeout=60,
        )
        shown = terminal.read(65_536)
    os.close(theirs)
    assert b"error" in shown
    assert (b"\x1b[" in shown) == coloured


def test_a_configuration_that_may_not_be_read_is_a_matter_of_permission(tmp_path):
    """A folder in the configuration's place is one clear line, not a traceback."""
    (tmp_path / "config.toml").mkdir()
    ran = stibgate("config", "check", cwd=tmp_path)
    assert ran.code in {77, 78}, ran
    assert "Traceback" not in ran.err
    assert "hint: " in ran.err


def test_an_older_store_is_not_misread(tmp_path):
    """A store that was not brought up to date is 78 for reading commands, which say how to; `serve` does it."""
    config = configure(tmp_path)
    assert stibgate("db", "migrate", "--config", config).code == 0
    with sqlite3.connect(tmp_path / "data/stibgate.db") as db:
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm005_filing'")
    db.close()
    for words in READING:
        ran = stibgate(*words, "--config", config)
        if words != ("db", "status"):
            assert "m005_filing" in ran.complaint(78)
    assert "m005_filing" in stibgate("db", "status", "--config", config).out


def test_a_newer_store_is_left_alone(tmp_path):
    """A store that a newer stibgate wrote is 78, for `serve` and for every reading command, and is not changed."""
    config = configure(tmp_path)
    assert (
        stibgate("db", "migrate", "--config", config).out
        == "applied m001_first, m002_forwarding, m003_spending, m004_operating, m005_filing\n"
    )
    assert stibgate("db", "migrate", "--config", config).out == "the schema is current; nothing to do\n"
    store = tmp_path / "data/stibgate.db"
    with sqlite3.connect(store) as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('stibgate', 'm999_later', 'now')"
        )
    db.close()
    before = store.read_bytes()
    assert "m999_later" in serve(config).complaint(78)
    for words in (*READING, ("db", "migrate")):
        assert "m999_later" in stibgate(*words, "--config", config).complaint(78)
    assert store.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_a_matter_of_permission(tmp_path):
    """A store on a read-only file system is 77."""
    with tmpfs(tmp_path / "ro", "size=1m,ro") as folder:
        config = configure(tmp_path, store=f"{folder}/data/stibgate.db")
        assert "read-only" in serve(config).complaint(77).lower()
        stibgate("db", "migrate", "--config", config).complaint(77)
        stibgate("init", "--dir", folder).complaint(77)
        stibgate("demo", "--dir", folder / "demo").complaint(77)


@pytest.mark.parametrize("key", ["bind", "admin_bind"])
def test_a_port_in_use_is_temporary(tmp_path, key):
    """An address that another program listens on is 75, names the address and the setting, and leaves no lock."""
    config = configure(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        complaint = serve(config, env={f"STIBGATE_SERVER__{key.upper()}": address})
        assert address in complaint.complaint(75)
        assert f"server.{key}" in complaint.err
    with Gateway(config) as gateway:
        assert gateway.stop() == 0


def test_a_second_instance_names_the_first(tmp_path):
    """One store takes one service: the second one is 75 and names the first one's process; the first goes on."""
    config = configure(tmp_path)
    with Gateway(config) as gateway:
        words = ("--bind", f"127.0.0.1:{free_port()}", "--admin-bind", f"127.0.0.1:{free_port()}")
        ran = stibgate("serve", "--config", config, *words)
        assert f"process {gateway.process.pid} " in ran.complaint(75)
        assert gateway.push(push_body(1, serial=1)).status == 202
        gateway.stop(signal.SIGKILL)
    with Gateway(config) as gateway:  # a lock dies with its process
        assert gateway.stop() == 0


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    """A store that is not SQLite's is 1, for `serve` and for reading, and is not changed."""
    config = configure(tmp_path)
    store = tmp_path / "data/stibgate.db"
    store.parent.mkdir()
    store.write_bytes(b"this is a letter to somebody\n" * 100)
    assert "not a sound SQLite database" in serve(config).complaint(1)
    for words in READING:
        stibgate(*words, "--config", config).complaint(1)
    assert store.read_bytes() == b"this is a letter to somebody\n" * 100


def test_a_damaged_store_is_found_by_the_check(tmp_path):
    """`db check` of a store with broken pages ends with 1 and what is wrong, and reading it is no traceback."""
    config = configure(tmp_path)
    with Gateway(config) as gateway:
        assert gateway.push(push_body(50, serial=1)).status == 202
        gateway.settled()
        gateway.stop()
    store = tmp_path / "data/stibgate.db"
    with sqlite3.connect(store) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    size = store.stat().st_size
    with store.open("r+b") as file:
        for page in range(2, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xaa" * 2048)
    ran = stibgate("db", "check", "--config", config)
    assert ran.code == 1, ran
    assert "Traceback" not in ran.err
    assert "ok" not in ran.lines
    for words in READING:
        ran = stibgate(*words, "--config", config)
        assert "Traceback" not in ran.err, (words, ran)
        assert ran.code == 1, (words, ran)


def test_what_the_command_line_does_not_know_is_a_matter_of_usage(tmp_path):
    """Unknown commands, options and values are 2, and name what was not understood."""
    for words, named in (
        (["sevre"], "sevre"),
        (["deliveries", "lsit"], "lsit"),
        (["serve", "--prot", "1"], "--prot"),
        (["deliveries", "list", "--state", "lost"], "lost"),
        (["deliveries", "list", "--limit", "0"], "0"),
        (["tasks", "list", "--cursor", "x"], "x"),
        (["trigger", PUSHED, "--count", "many"], "many"),
        (["sign"], "--body"),
        ([], "Usage"),
    ):
        ran = stibgate(*words, cwd=tmp_path)
        assert ran.code == 2, (words, ran)
        assert named in ran.err + ran.out
        assert "Traceback" not in ran.err


def test_reading_needs_a_store(tmp_path):
    """Before the first `serve` every reading command is 1 and says where the store would be; none makes one."""
    config = configure(tmp_path)
    for words in READING:
        assert "there is no store at" in stibgate(*words, "--config", config).complaint(1)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/stibgate.db").write_bytes(b"")
    for words in READING:
        assert "holds no store yet" in stibgate(*words, "--config", config).complaint(1)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["config.toml", "data", "stibgate.db"]


def test_a_service_that_is_not_there_is_unreachable(tmp_path):
    """`health` and `trigger` without a service are 69, and so is a port where something else answers."""
    config = configure(tmp_path)
    stibgate("health", "--config", config).complaint(69)
    stibgate("trigger", PUSHED, "--config", config).complaint(69)
    for answer in (b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno", b"SSH-2.0-x\r\n", b"", b"\x00" * 100):
        with socket.create_server(("127.0.0.1", 0)) as other:
            url = f"http://127.0.0.1:{other.getsockname()[1]}"
            for words in (["health", "--url", url], ["trigger", PUSHED, "--to", url]):
                _answers(other, answer, words, config)


def _answers(other, answer, words, config):
    """Assert that a command ends with 69 when *other* answers its request with these bytes."""
    import threading

    def serve_one():
        connection, _ = other.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass

    thread = threading.Thread(target=serve_one)
    thread.start()
    try:
        stibgate(*words, "--config", config).complaint(69)
    finally:
        thread.join(60)


def test_an_address_that_is_not_ours_is_said_plainly(tmp_path):
    """An address that this machine does not have is one line that names it and its setting."""
    ran = serve(configure(tmp_path), env={"STIBGATE_SERVER__BIND": "192.0.2.1:8080"})
    assert ran.code == 78, ran
    (line,) = [line for line in ran.err.splitlines() if line.startswith("configuration")]
    assert "server.bind  192.0.2.1:8080" in line
    assert "server.bind" in ran.err
