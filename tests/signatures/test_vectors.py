"""Vectors that this package did not make: published, computed by openssl, made by `standardwebhooks`."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from stibgate.signatures import Secret, Verifier, candidates, header_lookup, sign

HERE = Path(__file__).parent / "vectors"
PUBLISHED: list[dict[str, Any]] = json.loads((HERE / "published.json").read_text())["vectors"]
OPENSSL: list[dict[str, Any]] = json.loads((HERE / "openssl.json").read_text())["vectors"]


def by_name(vector: dict[str, Any]) -> str:
    return vector["name"]


def verify(vector: dict[str, Any]):
    verifier = Verifier(candidates(vector["scheme"], overrides=vector["overrides"]), [Secret(vector["secret"], "a")])
    headers = header_lookup([(name, value) for name, value in vector["headers"]])
    return verifier.verify(headers, vector["body"].encode(), now_unix_s=vector["now_unix_s"])


@pytest.mark.parametrize("vector", PUBLISHED + OPENSSL, ids=by_name)
def test_vector_verifies(vector):
    """A delivery that an independent implementation signed verifies, and is not stale."""
    assert not verify(vector).stale


@pytest.mark.parametrize("vector", [v for v in PUBLISHED + OPENSSL if v["scheme"] != "custom"], ids=by_name)
def test_auto_finds_the_preset(vector):
    """`auto` recognises every preset and names the very scheme that made the MAC."""
    header = {"header": vector["overrides"]["header"]} if "header" in vector["overrides"] else {}
    if vector["name"] == "Slack":
        header["timestamp"] = vector["overrides"]["timestamp"]
    if vector["overrides"].get("key") == "strip_prefix":
        header["key"] = "strip_prefix"
    found = verify({**vector, "scheme": "auto", "overrides": header})
    assert (found.scheme.name, found.scheme.key) == (vector["scheme"], verify(vector).scheme.key)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("vector", OPENSSL, ids=by_name)
def test_openssl_makes_the_same_mac(vector, tmp_path):
    """The literal MAC is what openssl computes over the literal bytes, and stands in the literal header."""
    signed = tmp_path / "signed"
    signed.write_bytes(vector["signed"].encode())
    key = f"hexkey:{vector['key_hex']}"
    command = ["openssl", "dgst", f"-{vector['algorithm']}", "-mac", "HMAC", "-macopt", key, str(signed)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert answer.split()[-1] == vector["mac_hex"]


@pytest.mark.parametrize("vector", OPENSSL, ids=by_name)
def test_sign_lays_out_the_same_headers(vector):
    """`sign` makes, byte for byte, a header set that the independent vector also holds or that verifies as it."""
    found = verify(vector)
    pairs = sign(
        found.scheme,
        vector["secret"],
        vector["body"].encode(),
        unix_s=int(found.signed_unix_s or 0),
        message_id=found.message_id or "",
    )
    again = verify({**vector, "headers": pairs})
    assert (again.scheme, again.signed_unix_s, again.message_id) == (
        found.scheme,
        found.signed_unix_s,
        found.message_id,
    )
    if not any(word in vector["name"] for word in ("upper-case", "over the body", "unpadded")):
        assert sorted(pairs) == sorted((name, value) for name, value in vector["headers"])


def test_standardwebhooks_package_signs_for_us():
    """What the official package signs verifies under the preset, id and time included."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", '{"name":"Zoë"}'
    signature = Webhook(secret).sign("msg_42", datetime.fromtimestamp(1779043375, UTC), body)
    pairs = [("Webhook-Id", "msg_42"), ("Webhook-Timestamp", "1779043375"), ("Webhook-Signature", signature)]
    verifier = Verifier(candidates("standard_webhooks"), [Secret(secret, "a")])
    found = verifier.verify(header_lookup(pairs), body.encode(), now_unix_s=1779043380)
    assert (found.message_id, found.signed_unix_s, found.stale) == ("msg_42", 1779043375.0, False)


def test_standardwebhooks_package_takes_what_we_sign():
    """What we sign under the preset, the official package verifies."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"name":"Zo\xc3\xab"}'
    now = int(datetime.now(UTC).timestamp())
    scheme = candidates("standard_webhooks", overrides={"header": "webhook-signature"})[0]
    pairs = dict(sign(scheme, secret, body, unix_s=now, message_id="task_1"))
    assert Webhook(secret).verify(body, pairs) == {"name": "Zoë"}
