"""Settings from the environment, and sinks that are not there when the gateway starts."""

import pytest

from tests.e2e.gateway import Gateway, configure, dropped, free_port, people_of, push_body, stibgate, until

pytestmark = pytest.mark.e2e

IMPATIENT = """
[delivery]
schedule = ["0s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]
"""


def test_the_environment_wins_over_the_file(tmp_path):
    """STIBGATE_SERVER__BIND is where it listens, whatever the file says; a flag wins over both."""
    config = configure(tmp_path)
    env = {"STIBGATE_SERVER__BIND": f"127.0.0.1:{free_port()}"}
    with Gateway(config, env=env) as gateway:
        assert gateway.events("service.started")[0]["url"] == gateway.url == f"http://{env['STIBGATE_SERVER__BIND']}"
        assert gateway.push(push_body(1, serial=1)).status == 202
        gateway.stop()
    flagged = f"127.0.0.1:{free_port()}"
    with Gateway(config, env=env, words=("serve", "--bind", flagged)) as gateway:
        assert gateway.events("service.started")[-1]["url"] == f"http://{flagged}"
        gateway.stop()


def test_a_secret_can_come_from_a_file_that_the_environment_names(tmp_path):
    """A `_FILE` variable gives the value, its last newline taken away; the file's own value no longer proves."""
    config = configure(tmp_path)
    token = tmp_path / "token"
    token.write_text("a-token-out-of-a-secret-file\n")
    env = {"STIBGATE_SOURCES__PUSH__TOKENS_FILE": str(token)}
    with Gateway(config, env=env) as gateway:
        assert gateway.post("/hooks/push/a-token-out-of-a-secret-file", push_body(1, serial=1)).status == 202
        assert gateway.push(push_body(1, serial=2)).status == 404
        assert gateway.run("trigger", "prospecting.records.pushed").code == 0
        gateway.stop()
    both = env | {"STIBGATE_SOURCES__PUSH__TOKENS": "another-token-from-the-variable"}
    assert stibgate("config", "check", "--config", config, env=both).code == 78


@pytest.mark.parametrize("name", ["STIBGATE_SERVER__BNID", "STIBGATE_SINKS__DROP__DRI", "STIBGATE_X"])
def test_a_variable_that_means_nothing_stops_the_start(tmp_path, name):
    """An unknown STIBGATE_ variable is 78 and is named: a misspelt setting never passes in silence."""
    ran = stibgate("serve", "--config", configure(tmp_path), env={name: "1"})
    assert ran.code == 78, ran
    assert name in ran.err


def test_ipv6_works_for_every_command(tmp_path):
    """A gateway on [::1] is found by `trigger` and `health` from the same configuration."""
    env = {"STIBGATE_SERVER__BIND": f"[::1]:{free_port()}", "STIBGATE_SERVER__ADMIN_BIND": f"[::1]:{free_port()}"}
    with Gateway(configure(tmp_path), env=env) as gateway:
        assert gateway.run("health").out == "ready\n"
        assert gateway.run("trigger", "prospecting.records.pushed").code == 0
        gateway.stop()


@pytest.mark.parametrize("layout", ["per_delivery", "rolling"])
def test_a_sink_that_is_not_there_keeps_nobody_from_delivering(tmp_path, layout):
    """The gateway is ready without its drop folder; the task waits with a reason, and is delivered once it can be."""
    sinks = f'[sinks.drop]\nkind = "csv"\ndir = "./blocked/drops"\nlayout = "{layout}"'
    config = configure(tmp_path, sinks=sinks, extra=IMPATIENT)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    body = push_body(3, serial=1)
    with Gateway(config) as gateway:
        assert gateway.events("sink.unavailable")[0]["sink"] == "drop"
        name = gateway.push(body).json["delivery_id"]
        (task,) = until("the task waits", lambda: gateway.rows("tasks", "list", "--state", "waiting"))
        assert task["delivery_id"] == name
        assert task["next_attempt_at"] is not None
        assert task["error"] == "the drop folder is not a folder"
        shown = gateway.rows("deliveries", "show", name)[0]
        assert (shown["state"], shown["tasks"][0]["error"]) == ("processing", task["error"])
        assert "not a folder" in gateway.run("explain", name).out
        assert gateway.readyz().status == 200
        blocked.unlink()
        (done,) = gateway.settled()
        assert done["state"] == "done"
        (task,) = gateway.rows("tasks", "list")
        assert (task["state"], task["error"]) == ("delivered", None)
        assert task["attempts"] >= 2
        assert {line["error"] for line in gateway.events("task.retry_scheduled")} == {"the drop folder is not a folder"}
        assert dropped(tmp_path / "blocked") == dict.fromkeys(people_of(body), 1)
        assert gateway.stop() == 0


def test_one_dead_sink_does_not_hold_up_another(tmp_path):
    """While one of two sinks cannot be written, the other one gets everything."""
    sinks = '[sinks.good]\nkind = "csv"\ndir = "./good"\n[sinks.bad]\nkind = "ndjson"\ndir = "./blocked/drops"'
    (tmp_path / "blocked").write_text("")
    with Gateway(configure(tmp_path, sinks=sinks, routes=("bad", "good"))) as gateway:
        bodies = [push_body(2, serial=serial) for serial in range(4)]
        for body in bodies:
            assert gateway.push(body).status == 202
        expected = {person: 1 for body in bodies for person in people_of(body)}
        until("the good sink has everything", lambda: dropped(tmp_path / "good") == expected)
        until("the bad one waits", lambda: len(gateway.rows("tasks", "list", "--state", "waiting")) == 4)
        assert len(gateway.rows("tasks", "list", "--state", "delivered", "--sink", "good")) == 4
        assert gateway.stop() == 0
