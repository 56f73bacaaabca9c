"""`diagnose` names how a capture is signed from the capture and the secret alone, or why nothing fits."""

import base64
import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.signatures import KeyReading, Request, Secret, Verifier, candidates, diagnose, header_lookup, keys_of
from stibgate.signatures.evidence import read_evidence
from tests.signatures import vendors
from tests.signatures.vendors import (
    BODY,
    HEX,
    HOST,
    PATH,
    PERSON,
    PLAIN,
    RECEIVED_UNIX_S,
    VENDORS,
    WHSEC,
    WRONG,
    T,
    mac,
)

MACS_MAX = 1000
HERE = Path(__file__).parent / "vectors"
VECTORS = [
    vector for name in ("published", "openssl") for vector in json.loads((HERE / f"{name}.json").read_text())["vectors"]
]


def by_name(one):
    return one["name"] if isinstance(one, dict) else one.name


def ask(headers, body=BODY, *secrets, received=RECEIVED_UNIX_S, method="POST", path=PATH):
    named = [Secret(value, f"SECRET_{number}") for number, value in enumerate(secrets or (WHSEC,))]
    told = diagnose(Request(headers, body, method, path, received), named)
    text = " ".join(
        [told.verdict, told.hint, *told.notes, told.setting.toml("jobs", kind="k", secret="s") if told.setting else ""]
    )
    for secret in secrets or (WHSEC,):
        assert secret not in text
        assert secret.removeprefix("whsec_") not in text
    assert PERSON not in text
    assert "from=sender" not in text
    assert told.macs_count <= MACS_MAX * max(1, len(secrets))
    return told


def verifies(setting, headers, body, secret):
    """Whether the receiver takes the capture under what is to be configured."""
    schemes = candidates(setting.name, overrides=setting.overrides, allow_sha1=setting.needs_sha1)
    verifier = Verifier(schemes, [Secret(secret, "a")], tolerance_s=10**12)
    return bool(verifier.verify(header_lookup(headers), body, now_unix_s=RECEIVED_UNIX_S))


@pytest.mark.parametrize("vendor", VENDORS, ids=by_name)
def test_a_vendor_is_named(vendor):
    """Every vendor's way to sign is found, exactly, and what is to be configured takes the capture."""
    told = ask(vendor.headers, vendor.body, vendor.secret)
    assert told.match
    assert told.cause is None
    hit = told.hit
    where = hit.stamp.where if hit.stamp else "none"
    assert (hit.template, hit.claim.algorithm, hit.key.reading, where) == (
        vendor.content,
        vendor.algorithm,
        vendor.key,
        vendor.timestamp,
    )
    assert hit.claim.encoding == vendor.encoding
    assert (told.setting is not None) == vendor.expressible, told.verdict
    if told.setting is None:
        assert "stibgate cannot check its like: " in told.verdict
        assert 'auth = "token"' in told.hint
        return
    assert told.setting.preset == vendor.preset
    secret = vendor.secret
    if vendor.key == "hex":
        secret = "whsec_" + base64.b64encode(bytes.fromhex(secret)).decode()
        assert "configure the same bytes as base64" in " ".join(told.notes)
    assert verifies(told.setting, vendor.headers, vendor.body, secret)


@pytest.mark.parametrize("vendor", VENDORS, ids=by_name)
def test_a_wrong_secret_names_no_vendor(vendor):
    """With a wrong secret nothing matches, and the header is told as well-formed."""
    told = ask(vendor.headers, vendor.body, WRONG)
    assert not told.match
    assert told.setting is None
    if vendor.name != "Teams":  # nothing in the name of that header says signature
        assert told.cause == "wrong_secret"
        assert "is well-formed" in told.verdict


@pytest.mark.parametrize("vector", VECTORS, ids=by_name)
def test_a_literal_vector_is_named(vector):
    """Every preset, signed by somebody else, is found from its literal headers."""
    headers = [(name, value) for name, value in vector["headers"]]
    told = ask(headers, vector["body"].encode(), vector["secret"])
    assert told.match
    if vector["name"] == "custom base64url padded":  # it is the same text in base64
        assert any("base64 or base64url" in note for note in told.notes)
    else:
        assert (told.setting.preset or "custom") == vector["scheme"]
    assert verifies(told.setting, headers, vector["body"].encode(), vector["secret"])


def test_the_second_secret_is_named():
    """Which of several secrets made the signature is told by its label."""
    told = ask([("x-fullenrich-signature", mac(BODY, PLAIN, "sha1").hex())], BODY, WRONG, PLAIN)
    assert told.hit.key.secret.label == "SECRET_1"
    assert "SECRET_1" in told.verdict
    assert any("SHA-1 is weak" in note for note in told.notes)
    assert told.setting.needs_sha1


def test_sixty_four_digits_are_tried_as_both():
    """64 hex digits are also the base64 of 48 bytes: both readings are tried, the likely one first."""
    claims = read_evidence([("x-signature", "0123456789abcdef" * 4)], b"").claims
    assert [(claim.algorithm, claim.encoding, claim.likely) for claim in claims] == [
        ("sha256", "hex", True),
        ("sha384", "base64", False),
    ]


@pytest.mark.parametrize(
    ("signed_url", "headers"),
    [
        (f"http://{HOST}{PATH}", [("host", HOST)]),
        (f"https://{HOST}:443{PATH}", [("host", HOST)]),
        (f"https://{HOST}{PATH}", [("host", f"{HOST}:8443")]),
        (f"https://{HOST}:8443{PATH}", [("host", HOST), ("x-forwarded-port", "8443")]),
        (
            f"https://{HOST}{PATH}",
            [("host", "127.0.0.1:8080"), ("x-forwarded-host", HOST), ("x-forwarded-proto", "https")],
        ),
        (f"https://{HOST}/hooks/jobs/?from=sender", [("host", HOST)]),
    ],
)
def test_a_signed_url_behind_a_proxy_is_found(signed_url, headers):
    """A signature over the URL is found whatever the proxy did to scheme, host, port and slash."""
    told = ask([*headers, ("x-signature", mac(signed_url.encode() + BODY).hex())])
    assert told.hit.template == "{url}{body}"
    assert told.setting is None
    assert "covers the request's URL" in told.verdict


@pytest.mark.parametrize(
    ("came", "words"),
    [
        (BODY + b"\n", "line end was added"),
        (BODY + b"\r\n", "line end was added"),
        (BODY + b" ", "white space"),
        (b"\xef\xbb\xbf" + BODY, "byte order mark"),
        (json.dumps(json.loads(BODY), separators=(",", ":"), ensure_ascii=False).encode(), "written anew"),
    ],
)
@pytest.mark.parametrize(
    "vendor", [v for v in VENDORS if v.name in {"Stripe", "Shopify", "Svix", "Slack"}], ids=by_name
)
def test_a_rewritten_body_is_named_and_never_a_match(vendor, came, words):
    """A hit on a changed body alone says what changes it, and is no match."""
    told = ask(vendor.headers, came, vendor.secret)
    assert not told.match
    assert told.setting is None
    assert told.cause == "rewritten_body"
    assert words in told.verdict


@pytest.mark.parametrize(
    ("headers", "body", "cause", "words"),
    [
        ([("content-type", "application/json")], BODY, "unsigned", "No header holds a signature"),
        ([("x-signature", "none")], BODY, "unsigned", "named like one and holds no digest"),
        ([("x-commit", "ab" * 20)], BODY, "unsigned", "as long as a digest"),
        ([("x-signature", base64.b64encode(b"\x07" * 256).decode())], BODY, "no_hmac", "256 bytes.*RSA"),
        ([("x-webhook-signature", f"t={T},v0={base64.b64encode(bytes(256)).decode()}")], BODY, "no_hmac", "public key"),
        ([("x-signature", "cd" * 64)], BODY, "wrong_secret", "may also be Ed25519"),
        ([], json.dumps({"signature": "ab" * 20, "data": {}}).encode(), "signed_in_body", "the body's field 'signature'"),
        ([("x-signature", __import__("hashlib").sha256(PLAIN.encode() + BODY).hexdigest())], BODY, "plain_hash", "no HMAC"),
    ],
)  # fmt: skip
def test_no_match_is_explained_by_the_evidence(headers, body, cause, words):
    """Without a match the likeliest reason is told, by what was seen, with what to do."""
    told = ask(headers, body, PLAIN)
    assert not told.match
    assert told.cause == cause
    assert re.search(words, told.verdict)
    assert told.hint


def test_a_header_sent_twice_is_not_configured():
    """A signature header that came twice is named, and no configuration is given for it."""
    told = ask([("x-signature", mac(BODY).hex()), ("x-signature", "0" * 64)])
    assert told.match
    assert told.setting is None
    assert "came more than once" in told.verdict


@pytest.mark.parametrize(
    ("stamp", "received", "skew"),
    [(T, RECEIVED_UNIX_S, 5.0), (T, int(T) - 100.0, -100.0), (vendors.T_MS, RECEIVED_UNIX_S, 4.877), (T, None, None)],
)
def test_skew_is_measured(stamp, received, skew):
    """The distance from the signed timestamp to the receipt is told, whatever the unit, and warned about."""
    headers = [("stibnite-signature", f"t={stamp},v1={mac(f'{stamp}.'.encode() + BODY).hex()}")]
    told = ask(headers, received=received)
    assert (told.skew_s is None) == (skew is None)
    assert skew is None or told.skew_s == pytest.approx(skew, abs=0.001)
    assert any("100 s after" in note for note in told.notes) == (skew == -100.0)


def test_no_key_is_empty():
    """No reading of a secret gives an empty key, and one that is only a prefix gives none at all."""
    for text in ("", "  ", "whsec_", "whsec_====", "====", "AA==", HEX, PLAIN, WHSEC, "whsec_-_-_"):
        assert all(key.value for key in keys_of(Secret(text, "a"))), text
    for text in ("", " \n", "whsec_", " whsec_ "):
        assert keys_of(Secret(text, "a")) == []
    readings = {key.reading for key in keys_of(Secret(HEX, "a"))}
    assert readings >= {KeyReading.UTF8.value, "base64", "hex"}
    told = ask([("x-signature", mac(BODY, b"").hex())], BODY, "whsec_====")
    assert not told.match


def test_the_search_ends_at_its_bound():
    """A capture full of digests, timestamps, ids and hosts is searched no longer than the bound, and says so little."""
    digests = [f"t={1779043000 + n},v1={'ab' * size}" for n, size in enumerate((20, 32, 48, 64))]
    headers = [("x-signature", value) for value in digests]
    headers += [(f"x-{n}-timestamp", str(1779043000 + n)) for n in range(9)] + [
        (f"x-{n}-id", f"id{n}") for n in range(9)
    ]
    headers += [("host", "a.example.com:81"), ("x-forwarded-host", HOST), ("x-forwarded-port", "82")]
    for secrets in ([WHSEC], [WHSEC, WRONG]):
        told = ask(headers, BODY, *secrets)
        assert not told.match
        assert told.macs_count == MACS_MAX * len(secrets)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["stibnite-signature", "Webhook-Signature", "x-time", "webhook-id", "host", "digest"]),
            st.one_of(st.text(max_size=60), st.from_regex(r"[tv][01]=[0-9a-f]{64}( ?,?[tv]1=[0-9]{9,16})?")),
        ),
        max_size=6,
    ),
    st.one_of(st.binary(max_size=60), st.sampled_from([b"{}", BODY, b'{"timestamp": 1e999, "id": "\\ud800"}'])),
    st.sampled_from(["", "/", "/a?b", "x"]),
)
def test_a_diagnosis_never_fails(headers, body, path):
    """Whatever was captured, there is a diagnosis, no match, and a bounded search."""
    assert not ask(headers, body, path=path).match


@pytest.mark.benchmark
def test_how_long_a_diagnosis_takes(capsys):
    """Prints milliseconds and MACs for every vendor, with the right and with a wrong secret."""
    with capsys.disabled():
        for vendor in VENDORS:
            for secret in (vendor.secret, WRONG):
                started = time.perf_counter()
                told = ask(vendor.headers, vendor.body, secret)
                took_ms = (time.perf_counter() - started) * 1000
                print(f"{vendor.name:28} {told.match!s:6} {told.macs_count:5} MACs {took_ms:7.2f} ms")
