"""`stibgate doctor url` tells what stands between a sender and the receiver, and forwards nothing."""

import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stibgate.cli.doctor_transport import look_at_transport
from tests.certificates import self_signed
from tests.cli.doctor_world import findings, front, run, served
from tests.e2e.gateway import SECRET, TOKEN, Gateway, configure, free_port

pytestmark = pytest.mark.e2e

AUTO_TOKEN = "auto-token-that-nobody-else-has"
AUTO = f"""
[sources.auto]
kind = "stibnite_jobs"
auth = "signature+token"
secrets = ["{SECRET}"]
tokens = ["{AUTO_TOKEN}"]
routes = ["drop"]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A running gateway with a job source, a push source, and one whose scheme is not settled yet."""
    with Gateway(configure(tmp_path_factory.mktemp("doctor"), sources=AUTO)) as gateway:
        yield gateway


def look(gateway, *words, code=0):
    found = findings("url", "--config", gateway.config, *words, code=code)
    text = str(found)
    for secret in (TOKEN, AUTO_TOKEN, SECRET):
        assert secret not in text
    return found


def of(found, state):
    return [one for one in found if one["state"] == state]


def test_a_good_receiver_is_found_good(gateway):
    """Against the receiver itself nothing is wrong, every source is looked at, and the push is kept as ignored."""
    before = gateway.rows("deliveries", "list")
    found = look(gateway, "--url", gateway.url)
    assert not of(found, "wrong")
    assert not of(found, "warning")
    said = {(one["check"], one["message"]) for one in found}
    for source in ("source jobs", "source push", "source auto"):
        assert (source, "GET of its URL is 200") in said
        assert (source, "a wrong token is refused with 404") in said
        assert (source, "a compressed body is refused with 415") in said
        assert (source, "a body over 32 MiB is refused before it is sent") in said
    assert ("source jobs", "a wrong signature is refused with 401") in said
    (push,) = [one for one in found if "2,000 records" in one["message"]]
    assert push["check"] == "source push"
    assert "kept as ignored" in push["message"]
    new = gateway.rows("deliveries", "list")[: -len(before) or None]
    assert [(one["state"], one["event_type"], one["source"]) for one in new] == [("ignored", "stibgate.doctor", "push")]
    assert gateway.rows("tasks", "list") == []


def test_it_never_settles_a_scheme(gateway):
    """No valid signature is sent to a source that has not settled on a scheme, and nothing is pinned."""
    found = look(gateway, "--url", gateway.url, "--source", "auto")
    (skipped,) = [one for one in found if one["check"] == "size"]
    assert "would pin" in skipped["message"]
    assert all(row["pinned"] is None for row in gateway.rows("sources", "list"))


def test_a_source_with_a_settled_scheme_is_asked_with_a_signature(gateway):
    """Where the scheme is configured the large delivery is signed, and taken."""
    found = look(gateway, "--url", gateway.url, "--source", "jobs")
    assert any("2,000 records" in one["message"] and one["state"] == "ok" for one in found)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("redirect", {r"is redirected to https://elsewhere\.example\.com \(308\)": "wrong"}),
        (
            "limit",
            {
                r"a push of 2,000 records .* is too large for what answers \(front/1\)": "wrong",
                r"a body of 32 MiB \(server.max_body\) is refused on the way": "wrong",
            },
        ),
        ("cut", {r"a push of 2,000 records .* is cut off": "wrong"}),
        ("gunzip", {"a compressed body is answered 202, not 415": "wrong"}),
        ("twice", {"a proxy repeats POSTs": "warning"}),
        ("everything", {"a wrong token is answered 200, not 404": "wrong"}),
        (
            "none",
            {
                "a proxy answers for it: front/1": "note",
                "is not refused before it is sent: a proxy takes bodies whole": "note",
                "a push of 2,000 records .* was taken": "ok",
            },
        ),
    ],
)
def test_a_front_that_misbehaves_is_named(gateway, fault, said):
    """What a proxy does to deliveries is told, with its state and what to do."""
    with served(front(gateway.url, fault)) as url:
        found = look(gateway, "--url", url, "--source", "push", code=int("wrong" in said.values()))
    for words, state in said.items():
        (told,) = [one for one in found if re.search(words, one["message"])][:1]
        assert told["state"] == state
        assert told["hint"] or state in {"ok", "note"}


def test_nothing_that_answers_is_69(gateway):
    """Without anybody at the URL, or without such a host, the exit code is 69 and says so."""
    code, _, err = run("url", "--config", gateway.config, "--url", f"http://127.0.0.1:{free_port()}")
    assert (code, "connection refused" in err) == (69, True)
    code, _, err = run("url", "--config", gateway.config, "--url", f"https://127.0.0.1:{free_port()}")
    assert (code, "nothing answers" in err) == (69, True)


def test_a_token_in_a_log_is_found(gateway, tmp_path):
    """A log that holds a token is named with how many lines do, without showing one; the service's own holds none."""
    log = tmp_path / "access.log"
    log.write_text(f"GET /hooks/push/{TOKEN} 200\nGET / 200\nPOST /hooks/push/{TOKEN} 202\n")
    found = look(gateway, "--url", gateway.url, "--source", "push", "--log", log, code=1)
    (told,) = of(found, "wrong")
    assert "holds a token of source push in 2 lines" in told["message"]
    own = look(gateway, "--url", gateway.url, "--log", gateway.log)
    assert any(one["check"] == "log" and one["state"] == "ok" for one in own)


def test_what_it_is_asked_for_must_exist(gateway):
    """Without a URL, and for an unknown source, it is a usage error."""
    assert run("url", "--config", gateway.config)[0] == 2
    assert run("url", "--config", gateway.config, "--url", gateway.url, "--source", "nobody")[0] == 2
    assert run("url", "--config", gateway.config, "--url", "nonsense")[0] == 2


@pytest.fixture
def secured():
    """Return a function that serves TLS with a certificate and gives the URL."""
    servers = []

    def serve(path):
        server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        server.handle_error = lambda *_: None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((server, thread))
        return f"https://127.0.0.1:{server.server_address[1]}"

    yield serve
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(("days", "state"), [(60, "ok"), (5, "warning")])
async def test_a_certificate_is_told_by_its_days(tmp_path, secured, days, state):
    """A valid certificate is told with its days left, and warned about when they are few."""
    path = self_signed(tmp_path / "both.pem", days=days)
    context = ssl.create_default_context(cafile=path)
    found = []
    assert await look_at_transport(secured(path), found.append, context=context)
    assert (found[-1].state, f"another {days} days" in found[-1].message) == (state, True)


@pytest.mark.parametrize("days", [60, -5])
async def test_a_bad_certificate_is_wrong_and_ends_the_look(tmp_path, secured, days):
    """A certificate that senders refuse is wrong, with the reason, and nothing else is asked."""
    path = self_signed(tmp_path / "both.pem", days=days)
    context = ssl.create_default_context(cafile=path if days < 0 else None)
    found = []
    assert not await look_at_transport(secured(path), found.append, context=context)
    assert found[-1].state == "wrong"
    assert ("expired" if days < 0 else "self-signed") in found[-1].message
    assert ("Renew it" if days < 0 else "the whole chain") in found[-1].hint


async def test_http_is_for_this_machine_only():
    """Http is fine on loopback and wrong elsewhere."""
    found = []
    assert await look_at_transport("http://127.0.0.1:1", found.append)
    assert await look_at_transport("http://[::1]:1", found.append)
    assert {one.state for one in found} == {"ok"}
    await look_at_transport("http://10.0.0.1", found.append)
    assert found[-1].state == "wrong"
