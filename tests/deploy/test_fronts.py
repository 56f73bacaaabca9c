"""The fronts that we ship let through what they must, nothing else, once, and tell no log of a token."""

import json
import re
import subprocess

import pytest

from stibgate.config.model import ServerSettings
from tests.deploy.fronts import DEPLOY, Upstream, caddy, nginx, nginx_conf, program
from tests.e2e.gateway import TOKEN, Gateway, configure, free_port, push_body

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
OURS = ServerSettings()
NO = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@pytest.fixture(params=[nginx, caddy], ids=lambda front: front.__name__)
def front_of(request, tmp_path):
    """What starts one of the fronts."""
    (tmp_path / "front").mkdir()
    return lambda upstream: request.param(tmp_path / "front", upstream)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway behind both fronts."""
    with Gateway(configure(tmp_path_factory.mktemp("gateway"))) as running:
        yield running


def test_a_push_goes_through_and_its_token_into_no_log(front_of, gateway, request):
    """Through a front: a push is stored, too much is 413, nothing but the two paths is there, and no log has the token."""
    with front_of(int(gateway.url.rpartition(":")[2])) as front:
        body = push_body(2, serial=len(request.node.name))
        assert front.request("POST", f"/hooks/push/{TOKEN}", body)[0] == 202
        status, headers, answer = front.request("POST", f"/hooks/push?key={TOKEN}", body)
        assert (status, json.loads(answer)["status"]) == (202, "duplicate")
        assert re.fullmatch(r"[0-9a-f-]{32,36}", headers["x-request-id"])
        declared = {"content-length": str(33 * MIB)}
        assert front.request("POST", f"/hooks/push/{TOKEN}", b"{", declared)[0] == 413
        assert front.request("POST", f"/hooks/push/{TOKEN}", iter([bytes(MIB)] * 33))[0] == 413
        assert front.request("GET", f"/hooks/push/{TOKEN}")[0] == 200
        assert front.request("GET", "/healthz")[0] == 200
        assert front.request("POST", "/hooks/push/wrong-token-wrong-token", body)[0] == 404
        for path in ("/", "/metrics", "/api/v1/deliveries", "/readyz", "/hooks/../metrics", f"/{TOKEN}"):
            assert front.request("GET", path)[0] in {400, 404}, path
        assert {line["client_ip"] for line in gateway.events("delivery.rejected")} == {"127.0.0.1"}
    written = front.written()
    assert TOKEN.encode() not in written
    assert b"wrong-token" not in written
    assert written.count(b"/hooks/push") >= 6  # it was logged, only without the token


def test_a_post_is_sent_once(front_of, tmp_path):
    """When the gateway dies with a POST in its hands, the sender is told, and no second one is made of it."""
    with Upstream(port := free_port(), b"") as upstream, front_of(port) as front:
        headers = {"idempotency-key": "one", "x-forwarded-for": "203.0.113.9", "x-request-id": "theirs"}
        assert front.request("POST", "/hooks/push/some-token-some-token", b"{}", headers)[0] == 502
        assert [line for line, _ in upstream.seen] == ["POST /hooks/push/some-token-some-token HTTP/1.1"]
    assert b"some-token" not in front.written()


def test_what_a_sender_says_of_itself_is_not_believed(front_of, tmp_path):
    """Address and request id are the front's: what comes from outside under these names is dropped."""
    with Upstream(port := free_port(), NO) as upstream, front_of(port) as front:
        headers = {"x-forwarded-for": "203.0.113.9", "x-request-id": "theirs", "stibnite-signature": "t=1,v1=ab"}
        assert front.request("POST", "/hooks/jobs", b"{}", headers)[0] == 202
        ((_, seen),) = upstream.seen
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert re.fullmatch(r"[0-9a-f-]{32,36}", seen["x-request-id"])
    assert seen["stibnite-signature"] == "t=1,v1=ab"
    assert seen["host"].startswith("hooks.example.com")


def test_limits_are_ours():
    """Both files hold the limits that the settings have by default; whoever changes one is told of the others."""
    assert (OURS.max_body, OURS.body_timeout, OURS.ack_timeout, OURS.keepalive) == (32 * MIB, 15, 10, 15)
    conf = (DEPLOY / "nginx/stibgate.conf").read_text()
    said = dict(re.findall(r"^\s*(\w+) ([^;]+);", conf, re.MULTILINE))
    assert said["client_max_body_size"] == f"{OURS.max_body // MIB}m"
    assert said["client_body_timeout"] == f"{OURS.body_timeout:g}s"
    waits = [int(found) for found in re.findall(r"proxy_read_timeout (\d+)s", conf)]
    assert max(waits) > OURS.body_timeout + OURS.ack_timeout
    assert int(re.search(r"(?<!\w)keepalive_timeout (\d+)s;\s+# less", conf)[1]) < OURS.keepalive
    file = (DEPLOY / "caddy/Caddyfile").read_text()
    assert re.search(r"max_size (\d+)MiB", file)[1] == f"{OURS.max_body // MIB}"
    assert int(re.search(r"> (\d+)\.0`", file)[1]) == OURS.max_body
    assert re.search(r"read_body (\d+)s", file)[1] == f"{OURS.body_timeout:g}"
    assert int(re.search(r"response_header_timeout (\d+)s", file)[1]) > OURS.body_timeout + OURS.ack_timeout
    assert int(re.search(r"\tkeepalive (\d+)s", file)[1]) < OURS.keepalive


def test_the_fronts_own_check_takes_the_file(tmp_path):
    """`nginx -t` and `caddy validate` find nothing wrong, and Caddy's file is formatted as Caddy formats it."""
    ran = subprocess.run(
        [program("nginx"), "-t", "-p", tmp_path, "-e", tmp_path / "error.log", "-c", nginx_conf(tmp_path, 8443, 8080)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "[warn]" not in ran.stderr
    file = DEPLOY / "caddy/Caddyfile"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    words = [program("caddy"), "validate", "--config", file, "--adapter", "caddyfile"]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    assert ran.returncode == 0, ran.stderr
    ran = subprocess.run([words[0], "fmt", file], capture_output=True, text=True, check=False, env=env)
    assert ran.stdout == file.read_text()
