"""`stibgate doctor signature` names the scheme and prints what `stibgate config check` accepts, and nothing secret."""

import base64
import json
import tomllib

import pytest

from stibgate.cli.doctor_envelope import read_envelope
from stibgate.config import load
from tests.cli.doctor_world import capture, findings, run
from tests.signatures import vendors
from tests.signatures.vendors import BODY, PERSON, PLAIN, VENDORS, WHSEC, WRONG, T, mac

STRIPE = next(vendor for vendor in VENDORS if vendor.name == "Stibnite as Stripe")


def told(tmp_path, vendor, *, secret=None, code=0, **others):
    headers, body = vendor.headers, vendor.body
    path = vendors.PATH if any(name == "Host" for name, _ in headers) else "/hooks/jobs"
    file = capture(tmp_path / "one.json", headers, body, path=path, **others)
    words = ("signature", "--capture", file, "--secret-env", "THE_SECRET")
    env = {"THE_SECRET": secret or vendor.secret}
    _, out, err = run(*words, env=env)
    for text in (secret or vendor.secret, (secret or vendor.secret).removeprefix("whsec_"), PERSON, "psj_1"):
        assert text not in out + err
    (document,) = findings(*words, env=env, code=code)
    return document


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_the_stanza_is_accepted_and_makes_the_same_scheme(tmp_path, vendor):
    """What is printed to paste loads as it is, with the secret beside it; what cannot be configured has no stanza."""
    document = told(tmp_path, vendor)
    assert document["match"] is True
    assert document["unsupported"] is not vendor.expressible
    signature = document["signature"]
    assert signature["content"] == vendor.content
    assert (signature["algorithm"], signature["encoding"], signature["key"], signature["timestamp"]) == (
        vendor.algorithm,
        vendor.encoding,
        vendor.key,
        vendor.timestamp,
    )
    assert document.get("preset") == vendor.preset
    if not vendor.expressible:
        assert document["config"] is None
        assert document["hint"]
        return
    source = tomllib.loads(document["config"])["sources"]["jobs"]
    config = tmp_path / "config.toml"
    config.write_text(document["config"])
    secret = vendor.secret
    if vendor.key == "hex":
        secret = "whsec_" + base64.b64encode(bytes.fromhex(secret)).decode()
    loaded = load(config, environ={"STIBGATE_SOURCES__JOBS__SECRETS": json.dumps([secret])}).settings.sources["jobs"]
    assert loaded.scheme == source["scheme"]
    assert loaded.allow_sha1 is (vendor.algorithm == "sha1")
    for key in ("header", "key"):
        if key in document:
            assert document[key] == source["signature"][key]


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_a_wrong_secret_matches_nothing(tmp_path, vendor):
    """With a wrong secret the answer is no match, a reason, a hint, and exit code 1."""
    document = told(tmp_path, vendor, secret=WRONG, code=1)
    assert document["match"] is False
    assert document["reason"]
    assert document["hint"]
    assert "config" not in document


def test_people_get_verdict_stanza_and_limits(tmp_path):
    """Without --json: the verdict, the stanza, the envelope, and what one capture cannot tell."""
    file = capture(tmp_path / "one.json", STRIPE.headers, BODY)
    code, out, _ = run("signature", "--capture", file, "--secret-env", "S", "--source", "mine", env={"S": WHSEC})
    assert code == 0
    assert out.startswith("The header stibnite-signature holds HMAC-SHA256 in hex over {t}.{body}")
    assert "[sources.mine]" in out
    assert "event type: person_search.job.succeeded, at body:event" in out
    assert "full: 1 record at body:data" in out
    assert "signed 5.0 s before it was received" in out
    assert "one capture cannot tell" in out


def test_two_captures_tell_whether_ids_stay(tmp_path):
    """Two captures of one event say which ids stay and whether it is signed anew; two of different events do not."""
    later = str(int(T) + 60)
    again = [
        ("webhook-id", "b"),
        ("x-event-id", "e"),
        ("stibnite-signature", f"t={later},v1={mac(f'{later}.'.encode() + BODY).hex()}"),
    ]
    first = capture(tmp_path / "1.json", [("webhook-id", "a"), ("x-event-id", "e"), *STRIPE.headers], BODY)
    second = capture(tmp_path / "2.json", again, BODY)
    words = ("signature", "--capture", first, "--capture", second, "--secret-env", "S")
    found = findings(*words, env={"S": WHSEC})[-1]
    assert found["same_event"] is True
    assert found["ids"] == {"header:webhook-id": "changes", "header:x-event-id": "stays"}
    assert (found["resigned"], found["timestamp"]) == (True, "changes")
    assert "it is signed anew" in run(*words, env={"S": WHSEC})[1]
    body = BODY.replace(b"psj_1", b"psj_2")
    other = [("stibnite-signature", f"t={T},v1={mac(f'{T}.'.encode() + body).hex()}")]
    third = capture(tmp_path / "3.json", other, body)
    words = ("signature", "--capture", first, "--capture", third, "--secret-env", "S")
    assert findings(*words, env={"S": WHSEC})[-1]["same_event"] is False
    same = ("signature", "--capture", first, "--capture", first, "--secret-env", "S")
    assert findings(*same, env={"S": WHSEC})[-1]["resigned"] is False
    assert "accept_if_new" in run(*same, env={"S": WHSEC})[1]


def test_two_schemes(tmp_path):
    """Captures that are signed in different ways are not of one endpoint: that is said, and is no success."""
    first = capture(tmp_path / "1.json", STRIPE.headers, BODY)
    second = capture(tmp_path / "2.json", [("stibnite-signature", mac(BODY).hex())], BODY)
    words = ("signature", "--capture", first, "--capture", second, "--secret-env", "S")
    code, out, _ = run(*words, env={"S": WHSEC})
    assert (code, "signed in different ways" in out) == (1, True)


@pytest.mark.parametrize(
    ("env", "words"),
    [({}, "S is not set"), ({"S": ""}, "S is empty"), ({"S": " \n"}, "S is empty"), ({"S": "whsec_"}, "holds no key")],
)
def test_a_secret_that_is_none_is_refused(tmp_path, env, words):
    """An unset, empty or blank variable, and one without a key, is a usage error that names the variable."""
    file = capture(tmp_path / "one.json", STRIPE.headers, BODY)
    code, out, err = run("signature", "--capture", file, "--secret-env", "S", env={"S": None, **env})
    assert (code, out) == (2, "")
    assert words in err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"headers": ...}, "headers is missing"),
        ({"headers": [["a"]]}, "not a list of"),
        ({"headers": {"a": "b"}}, "not a list of"),
        ({"body_base64": ...}, "body_base64 is missing"),
        ({"body_base64": "%"}, "body_base64 is not base64"),
        ({"body_base64": 1}, "body_base64 is not base64"),
        ({"received_at": "yesterday"}, "received_at is not RFC 3339"),
        ({"received_at": "2026-05-17T18:43:00"}, "received_at is not RFC 3339"),
        ({"path": 7}, "path is not text"),
    ],
)
def test_what_is_no_capture_is_said(tmp_path, change, words):
    """A capture that lacks a part, or has a wrong one, is a usage error that names the part."""
    file = capture(tmp_path / "one.json", STRIPE.headers, BODY, **change)
    code, _, err = run("signature", "--capture", file, "--secret-env", "S", env={"S": WHSEC})
    assert code == 2
    assert words in err
    file.write_text("[" * 10**5)
    assert run("signature", "--capture", file, "--secret-env", "S", env={"S": WHSEC})[0] == 2


def test_headers_and_body_are_enough(tmp_path):
    """Method, path and time may be missing; then no skew is told."""
    document = told(tmp_path, STRIPE, method=..., received_at=...)
    assert document["match"] is True
    assert document["skew_s"] is None


def test_a_push_gets_a_push_source(tmp_path):
    """A signed push is configured as a source of pushes, whose proof is the signature all the same."""
    body = json.dumps({"event": "prospecting.records.pushed", "data": []}).encode()
    file = capture(tmp_path / "one.json", [("stibnite-signature", mac(body).hex())], body)
    words = ("signature", "--capture", file, "--secret-env", "S", "--source", "push")
    (document,) = findings(*words, env={"S": WHSEC})
    source = tomllib.loads(document["config"])["sources"]["push"]
    assert (source["kind"], source["auth"]) == ("stibnite_push", "signature")


def test_sha1_needs_an_opt_in_and_is_warned_about(tmp_path):
    """A sha1 signature prints the opt-in and a warning beside it."""
    body = BODY
    file = capture(tmp_path / "one.json", [("x-signature", mac(body, PLAIN, "sha1").hex())], body)
    code, out, _ = run("signature", "--capture", file, "--secret-env", "S", env={"S": PLAIN})
    assert code == 0
    assert "allow_sha1 = true" in out
    assert "warning: SHA-1 is weak" in out


@pytest.mark.parametrize(
    ("document", "event_at", "job_at", "shape"),
    [
        ({"event": "e.x", "job_id": "j", "data": [{}]}, "body:event", "body:job_id", "full"),
        ({"type": "e.x", "data": {"job_id": "j"}}, "body:type", "body:data.job_id", "thin"),
        ({"type": "e.x", "data": {"object": {"id": "j", "data": []}}}, "body:type", "body:data.object.id", "full"),
        ({"eventType": "e.x", "data": {"id": "j"}}, "body:eventType", "body:data.id", "thin"),
        ({"job_id": "j"}, "header:stibnite-event-type", "body:job_id", "thin"),
        ([], "header:stibnite-event-type", None, None),
    ],
)
def test_an_envelope_is_told_by_its_places(document, event_at, job_at, shape):
    """Where event type and job id stand, and whether records are in it, is found in every known envelope."""
    headers = [("Stibnite-Event-Type", "e.x")] if event_at.startswith("header") else []
    found = read_envelope(headers, json.dumps(document).encode())
    assert (found.event_type_at, found.job_id_at, found.shape) == (event_at, job_at, shape)
