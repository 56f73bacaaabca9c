"""Commands that change something while the service runs: through its admin listener, or not at all."""

import json
import os
import signal
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.cli.test_operate import report, states
from tests.e2e.crm import Crm
from tests.e2e.gateway import Gateway, configure, free_port, push_body, python_stibgate, request, until

pytestmark = pytest.mark.e2e

SINKS = """
[sinks.drop]
kind = "csv"
dir = "./drops"

[sinks.bad]
kind = "csv"
dir = "./blocked/drops"

[delivery]
schedule = ["0s"]

[delivery.circuit]
failures = 1000
"""
CHANGING = [["dead", "replay"], ["tasks", "cancel", "--sink", "bad"], ["sinks", "pause", "bad"]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A running gateway with three dead letters of two records, all of `bad`."""
    folder = tmp_path_factory.mktemp("operating")
    (folder / "blocked").write_text("a file where a folder should be")
    with Gateway(configure(folder, sinks=SINKS, routes=("bad", "drop"))) as gateway:
        for serial in range(3):
            assert gateway.push(push_body(2, serial=serial)).status == 202
        gateway.settled()
        yield gateway
        assert gateway.stop() == 0
    gateway.checked()
    assert not gateway.events("unhandled")


@pytest.fixture
def token(shop):
    """The token's file, put back afterwards."""
    file = shop.folder / "data/stibgate.db.admin-token"
    before = file.read_bytes()
    yield file
    file.write_bytes(before)


def test_the_running_service_does_it_and_logs_it(shop):
    """A replay goes through the service, which says in its log who asked; what fails again is dead again."""
    dry = report(shop, "dead", "replay", "--dry-run")
    assert (dry["records"], dry["sinks"]) == (6, {"bad": 6})
    assert not shop.events("task.replayed")
    assert report(shop, "dead", "replay") == {**dry, "dry_run": False}
    shop.settled()
    assert states(shop) == ["dead"] * 3
    lines = shop.events("task.replayed")
    assert [(line["sink"], line["records"]) for line in lines] == [("bad", 2)] * 3
    assert {line["reason"].partition(", ")[2] for line in lines} == {"by command"}
    assert [one["attempts"] for one in shop.rows("dead", "list")] == [2, 2, 2]


def test_some_unknown_ids_do_not_keep_the_others(shop):
    """Through the service as without it: the unknown are named and exit 1, the known are done."""
    name = shop.rows("deliveries", "list")[0]["delivery_id"]
    ran = shop.run("dead", "replay", "dlv_nothing", name)
    assert ran.complaint(1) == "error: nothing is known of dlv_nothing"
    assert ran.lines[0] == "2 records sent again: 2 to bad"
    shop.settled()


@pytest.mark.parametrize("words", CHANGING, ids=" ".join)
def test_offline_insists_on_a_store_that_nobody_uses(shop, words):
    """`--offline` beside a running service is 75: it names the process, and changes nothing."""
    ran = shop.run(*words, "--offline")
    assert f"process {shop.process.pid} uses the store" in ran.complaint(75)
    assert ran.out == ""
    assert states(shop) == ["dead"] * 3


@pytest.mark.parametrize("words", CHANGING, ids=" ".join)
@pytest.mark.parametrize("left", [b"x" * 43, None, b"", b"\xff\x00" * 30], ids=["wrong", "missing", "empty", "binary"])
def test_without_the_service_s_token_it_is_a_matter_of_permission(shop, token, left, words):
    """A token file that is not the service's is 77 with a hint, is not made anew, and changes nothing."""
    token.unlink()
    if left is not None:
        token.write_bytes(left)
    ran = shop.run(*words)
    assert "token" in ran.complaint(77)
    assert (token.read_bytes() if token.exists() else None) == left
    assert states(shop) == ["dead"] * 3


def test_a_token_that_cannot_be_read_is_a_matter_of_permission(shop, token):
    """Anything else in the token's place is named."""
    before = token.read_bytes()
    token.unlink()
    token.mkdir()
    try:
        assert str(token) in shop.run("dead", "replay").complaint(77)
    finally:
        token.rmdir()
        token.write_bytes(before)


def test_an_admin_listener_of_another_service_takes_no_orders(shop, tmp_path):
    """Where admin_bind leads to another gateway, the order is refused there (77), and nothing changes anywhere."""
    (tmp_path / "blocked").write_text("a file where a folder should be")
    with Gateway(configure(tmp_path, sinks=SINKS, routes=("bad",))) as other:
        assert other.push(push_body(1, serial=9)).status == 202
        other.settled()
        shop.env = {"STIBGATE_SERVER__ADMIN_BIND": other.admin.removeprefix("http://")}
        ran = shop.run("dead", "replay")
        shop.env = {}
        assert "takes another admin token" in ran.complaint(77)
        assert "server.admin_bind" in ran.err
        assert states(other) == ["dead"]
        assert states(shop) == ["dead"] * 3
        assert other.stop() == 0


def ask_at(shop, port):
    shop.env = {"STIBGATE_SERVER__ADMIN_BIND": f"127.0.0.1:{port}"}
    try:
        return shop.run("dead", "replay")
    finally:
        shop.env = {}


def test_nobody_at_the_admin_address_is_unreachable(shop):
    """Where nobody listens at admin_bind, although somebody has the store: 69, with the cause in words."""
    assert ask_at(shop, free_port()).complaint(69).endswith(": connection refused")


@contextmanager
def stranger(answer, seen):
    """Give the port of an HTTP server that is none of ours; it writes the paths that it was asked for to *seen*.

    It is a process of its own, because commands are forked from a test, and threads do not go with that.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            with seen.open("a") as file:
                file.write(f"{self.path}\n")
            answer(self)

        do_GET = do_POST  # noqa: N815  (the standard library's names)

        def log_message(self, *_):
            """Say nothing."""

    seen.touch()
    server = HTTPServer(("127.0.0.1", 0), Handler)
    pid = os.fork()
    if pid == 0:
        try:
            server.serve_forever()
        finally:
            os._exit(0)
    try:
        yield server.server_address[1]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        server.server_close()


def says(status, body, **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


STRANGERS = {
    "page": says(404, b"<html>"),
    "json": says(200, b'{"records": 0}'),
    "problem": says(401, b'{"title": "no"}'),
    "redirect": says(302, b"", Location="/elsewhere"),
    "not_http": lambda handler: handler.wfile.write(b"hello\r\n"),
    "nothing": lambda handler: handler.connection.close(),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_what_is_no_gateway_at_the_admin_address_is_unreachable(shop, tmp_path, kind):
    """Whatever another server says is 69, never a traceback, and a redirect is not followed."""
    with stranger(STRANGERS[kind], tmp_path / "seen") as port:
        ask_at(shop, port).complaint(69)
    assert (tmp_path / "seen").read_text() == "/api/v1/replays\n"


def test_no_proxy_gets_the_token(shop, tmp_path):
    """A proxy that the environment names is not asked: what goes to this machine stays on it."""
    with stranger(says(200, b"{}"), tmp_path / "seen") as port:
        env = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), f"http://127.0.0.1:{port}")
        # From nothing: a proxy is looked for when a process starts.
        ran = python_stibgate("dead", "replay", "--dry-run", "--config", shop.config, env=env)
        assert (ran.code, ran.lines[0]) == (0, "6 records would be sent again: 6 to bad"), ran
        assert python_stibgate("health", "--config", shop.config, env=env).out == "ready\n"
    assert (tmp_path / "seen").read_text() == ""


def test_pausing_keeps_tasks_over_a_restart(tmp_path):
    """Tasks of a paused sink are `paused`, also those that come later and over a restart; `resume` lets them go."""
    with Crm() as crm, Gateway(configure(tmp_path, sinks=crm.sink, routes=("crm",))) as gateway:
        assert gateway.run("sinks", "pause", "crm").out == "crm is paused; its tasks wait\n"
        assert gateway.run("sinks", "pause", "crm").out == "crm was paused already\n"
        assert "'cmr'" in gateway.run("sinks", "pause", "cmr").complaint(2)
        bodies = [push_body(4, serial=serial) for serial in range(3)]
        for body in bodies[:2]:
            assert gateway.push(body).status == 202
        until("both are paused", lambda: states(gateway, "crm") == ["paused"] * 2)
        assert gateway.stop() == 0
        assert [row["state"]["paused_by"].partition(", ")[2] for row in gateway.rows("sinks", "list")] == ["by command"]

        gateway.start()
        assert gateway.push(bodies[2]).status == 202
        until("all are paused", lambda: states(gateway, "crm") == ["paused"] * 3)
        assert not crm.contacts()
        task = gateway.rows("tasks", "list")[0]["task_id"]
        assert "the sink is paused since " in gateway.rows("explain", task)[-1]["what"]
        assert gateway.run("tasks", "cancel", task).code == 0
        assert gateway.run("sinks", "resume", "crm").out == "crm goes on\n"
        assert gateway.run("sinks", "resume", "crm").out == "nothing kept crm\n"
        gateway.settled()
        assert states(gateway, "crm") == ["delivered", "delivered", "cancelled"]
        crm.holds_exactly([record for body in bodies[:2] for record in json.loads(body)["data"]])
        told = [len(gateway.events(name)) for name in ("sink.paused", "sink.resumed")]
        assert told == [1, 1]
        gateway.checked()
        assert gateway.stop() == 0


def test_paused_while_no_service_runs_is_paused_when_it_does(tmp_path):
    """Pausing on the store itself counts for the next service, and so does resuming."""
    with Gateway(configure(tmp_path)) as gateway:
        assert gateway.push(push_body(1, serial=1)).status == 202
        gateway.settled()
        assert gateway.stop() == 0
        assert gateway.run("sinks", "pause", "drop").code == 0
        gateway.start()
        assert gateway.push(push_body(1, serial=2)).status == 202
        until("it is paused", lambda: states(gateway, "drop") == ["delivered", "paused"])
        assert gateway.stop() == 0
        assert gateway.run("sinks", "resume", "drop").code == 0
        assert states(gateway, "drop") == ["delivered", "queued"]
        gateway.start()
        gateway.settled()
        assert states(gateway, "drop") == ["delivered"] * 2
        assert gateway.stop() == 0


def test_the_public_listener_has_no_admin_calls(shop):
    """What operators can do is not behind the address that the vendor knows; and the admin listener asks for a token."""
    assert request(f"{shop.url}/api/v1/sinks").status == 404
    assert request(f"{shop.url}/api/v1/replays", "POST", b"{}").status == 404
    answer = request(f"{shop.admin}/api/v1/sinks")
    assert (answer.status, answer.headers["server"]) == (401, "stibgate")
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_tokens_of_the_configuration(tmp_path):
    """With [console] tokens there is none beside the store: commands need one of theirs, and the audit has its name."""
    tokens = {role: f"{role}-token-for-this-test-only-123456" for role in ("viewer", "operator", "admin")}
    rows = ", ".join(f'{{ name = "{role}-dana", role = "{role}", token = "{one}" }}' for role, one in tokens.items())
    files = {role: tmp_path / f"{role}.token" for role in tokens}
    for role, file in files.items():
        file.write_text(f"{tokens[role]}\n")
    with Gateway(configure(tmp_path, extra=f"[console]\ntokens = [{rows}]")) as gateway:
        assert not (tmp_path / "data/stibgate.db.admin-token").exists()
        pause = ("sinks", "pause", "drop")
        ran = gateway.run(*pause)
        assert "[console] tokens" in ran.complaint(77)
        assert "--token-file" in ran.err
        assert "needs the role operator" in gateway.run(*pause, "--token-file", str(files["viewer"])).complaint(77)
        assert gateway.run(*pause, "--offline", "--admin", gateway.admin).code == 2
        gateway.env = {"STIBGATE_TOKEN_FILE": str(files["operator"])}
        assert gateway.run(*pause).out == "drop is paused; its tasks wait\n"
        gateway.env = {}
        resume = ("sinks", "resume", "drop", "--admin", gateway.admin, "--token-file", str(files["operator"]))
        assert gateway.run(*resume).out == "drop goes on\n"
        answer = request(f"{gateway.admin}/api/v1/audit", headers={"Authorization": f"Bearer {tokens['admin']}"})
        told = [(line["actor"], line["action"], line["target"]) for line in answer.json["data"]]
        assert told == [("operator-dana", "resume", "drop"), ("operator-dana", "pause", "drop")]
        assert [line["actor"] for line in gateway.events("audit.pause")] == ["operator-dana"]
        assert request(f"{gateway.admin}/api/v1/sinks", headers={"Host": "rebound.example"}).status == 421
        assert request(f"{gateway.admin}/livez", headers={"Host": "rebound.example"}).status == 200
        assert gateway.stop() == 0
        assert gateway.run(*pause, "--offline").out == "drop is paused; its tasks wait\n"
        gateway.checked()
