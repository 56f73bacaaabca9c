"""Diagnosis: every common cause is named, and nothing secret is."""

import hmac
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.signatures import PRESETS, Secret, candidates, explain, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1779043375
BODY = b'{"job_id": "psj_1", "data": [{"name": "Zo\xc3\xab"}], "event": "person_search.job.succeeded"}'
COMPACT = BODY.replace(b'": ', b'":').replace(b', "', b',"')


def signed(scheme, body=BODY, unix_s=NOW, secret=SECRET):
    return sign(scheme, secret, body, unix_s=unix_s, message_id="msg_1")


def diagnose(pairs, body=BODY, *, scheme="t_v1", secrets=None, now=NOW + 5, age_known=True, **overrides):
    found = explain(
        pairs,
        body,
        schemes=candidates(scheme, overrides=overrides),
        secrets=[Secret(SECRET, "a")] if secrets is None else secrets,
        now_unix_s=now,
        age_known=age_known,
    )
    text = "\n".join([found.verdict, found.hint, *found.findings])
    assert SECRET not in text
    assert SECRET[6:] not in text
    return found, text


T_V1 = PRESETS["t_v1"][0]


def test_a_good_capture_matches():
    """A capture that the configuration accepts is a match, with its age among the findings."""
    found, text = diagnose(signed(T_V1))
    assert found.match
    assert (found.scheme, found.secret_label, found.hint) == (T_V1, "a", "")
    assert "header stibnite-signature: t=1779043375,v1=" in text
    assert "(64 hex)" in text
    assert "signed 5 s before it was received" in text


@pytest.mark.parametrize(
    "now, words", [(NOW + 1000, "1000 s before.*700 s over"), (NOW - 100, "100 s ahead.*40 s over")]
)
def test_clock_skew_is_measured(now, words):
    """A right MAC outside the limits tells by how many seconds and on which side."""
    found, text = diagnose(signed(T_V1), now=now)
    assert not found.match
    assert found.scheme == T_V1
    assert re.search(words, text)


def test_an_age_that_nobody_can_know_is_not_judged():
    """Without the time of receipt a right signature is a match, however old, and says that its age was not judged."""
    for now in (NOW - 10**6, NOW + 10**6):
        found, text = diagnose(signed(T_V1), now=now, age_known=False)
        assert found.match
        assert "no --received-at: its age was not judged" in found.verdict
        assert "it was received" not in text


@pytest.mark.parametrize(
    ("scheme", "hint"),
    [
        ("t_v1", 'Put timestamp_unit = "ms" under [sources.NAME.signature].'),
        ("sha256_hex", 'Put scheme = "t_v1" under [sources.NAME], and key = "utf8", timestamp_unit = "ms" under'),
    ],
)
def test_a_timestamp_in_milliseconds_is_named(scheme, hint):
    """A right MAC over a timestamp in milliseconds says so, and which setting takes it."""
    (in_ms,) = candidates("t_v1", overrides={"timestamp_unit": "ms"})
    found, _ = diagnose(signed(in_ms), scheme=scheme)
    assert not found.match
    assert found.verdict == "The signature is right, but its timestamp is in milliseconds."
    assert found.hint.startswith(hint)


def test_the_layout_is_named_although_the_secret_is_wrong():
    """A header in a known layout that is not the configured one is named, also when no secret matches."""
    (in_ms,) = candidates("t_v1", overrides={"timestamp_unit": "ms"})
    for scheme, layout in ((T_V1, "t_v1"), (in_ms, "t_v1 and a timestamp in milliseconds")):
        found, _ = diagnose(signed(scheme, secret="whsec_" + "Q" * 32), scheme="sha256_hex")
        assert found.verdict == (
            f"The header stibnite-signature has the layout of {layout}, while the source is set to sha256_hex,"
            " and no secret matches."
        )
        assert 'scheme = "t_v1" under [sources.NAME]' in found.hint


def test_the_other_reading_of_whsec_is_named():
    """A sender that decodes the secret, or strips its prefix, is told apart from a wrong secret."""
    for reading in ("base64", "strip_prefix"):
        (scheme,) = candidates("t_v1", overrides={"key": reading})
        found, text = diagnose(signed(scheme))
        assert not found.match
        assert "other reading of whsec_" in text
        assert found.hint == f'Put key = "{reading}" under [sources.NAME.signature].'


def test_another_layout_is_named():
    """A layout that is not the configured one is found, with the stanza to set."""
    found, text = diagnose(signed(PRESETS["sha256_base64"][0]))
    assert not found.match
    assert found.scheme == PRESETS["sha256_base64"][0]
    assert "another layout: sha256_base64" in text


def test_another_algorithm_is_named():
    """A sha512 or sha1 layout is found although no preset uses it."""
    for algorithm in ("sha512", "sha1"):
        (scheme,) = candidates("custom", overrides={"content": "{body}", "algorithm": algorithm}, allow_sha1=True)
        _, text = diagnose(signed(scheme), scheme="sha256_hex")
        assert f'algorithm = "{algorithm}"' in text


@pytest.mark.parametrize("algorithm", ["sha512", "sha1"])
def test_what_is_proposed_for_another_algorithm_is_accepted(algorithm):
    """A hint never names a preset that its own algorithm does not fit: what it says is a scheme that verifies."""
    (scheme,) = candidates("custom", overrides={"content": "{body}", "algorithm": algorithm}, allow_sha1=True)
    pairs = signed(scheme)
    found, _ = diagnose(pairs, scheme="sha256_hex")
    assert found.hint.startswith('Put scheme = "custom"')
    assert ("allow_sha1 = true" in found.hint) == (algorithm == "sha1")
    overrides = dict(re.findall(r'(\w+) = "([^"]*)"', found.hint))
    name = overrides.pop("scheme")
    schemes = candidates(name, overrides=overrides, allow_sha1=True)
    assert explain(pairs, BODY, schemes=schemes, secrets=[Secret(SECRET, "a")], now_unix_s=NOW).match


def test_what_cannot_be_configured_is_said_so():
    """A right signature in a way that no configuration expresses is named, with why, and proposes no scheme."""
    mac = hmac.new(SECRET.encode(), str(NOW).encode() + BODY, "sha256").hexdigest()
    found, text = diagnose([("x-timestamp", str(NOW)), ("x-signature", mac)])
    assert not found.match
    assert found.scheme is None
    assert "without a separator" in text
    assert "doctor signature" in found.hint


@pytest.mark.parametrize("header", ["x-hub-signature-256", "x-acme-hmac"])
def test_another_header_is_named(header):
    """A signature under another name is found there."""
    (scheme,) = candidates("sha256_hex", overrides={"header": header})[:1]
    found, text = diagnose(signed(scheme), scheme="sha256_hex")
    assert not found.match
    assert f"in the header {header}, not in stibnite-signature" in text


REWRITES = {
    "newline added": (BODY, BODY + b"\n", "line end was added"),
    "newline removed": (BODY + b"\n", BODY, "line end at its end was removed"),
    "CRLF": (BODY + b"\n{}", BODY + b"\r\n{}", "LF to CRLF"),
    "LF": (BODY + b"\r\n{}", BODY + b"\n{}", "CRLF to LF"),
    "BOM added": (BODY, b"\xef\xbb\xbf" + BODY, "byte order mark was added"),
    "BOM removed": (b"\xef\xbb\xbf" + BODY, BODY, "byte order mark was removed"),
    "written with spaces": (COMPACT, BODY, "written anew .signed compact"),
    "written compact": (BODY, COMPACT, "written anew .signed with spaces"),
    "keys sorted": (
        json.dumps(json.loads(BODY), sort_keys=True, ensure_ascii=False).encode(),
        BODY,
        "sorted keys",
    ),
    "escapes undone": (json.dumps(json.loads(BODY)).encode(), BODY, "with escapes"),
    "escapes made": (BODY, json.dumps(json.loads(BODY)).encode(), "plain UTF-8"),
}


@pytest.mark.parametrize(("sent", "came", "words"), REWRITES.values(), ids=REWRITES.keys())
@pytest.mark.parametrize("scheme", ["t_v1", "auto"])
def test_a_rewritten_body_is_named(sent, came, words, scheme):
    """What a proxy does to a body is found and named, and never counts as a match."""
    found, text = diagnose(signed(T_V1, sent), came, scheme=scheme)
    assert not found.match
    assert "between the sender and here rewrites the body" in found.verdict
    assert re.search(words, text)


def test_a_missing_header_is_named_with_what_came():
    """Without the header the explanation says where it was expected and that a proxy may strip it."""
    found, text = diagnose([("content-type", "application/json"), ("x-other-signature", "f" * 64)])
    assert not found.match
    assert "missing" in found.verdict
    assert "x-other-signature" in found.verdict
    assert "proxy strips" in text
    _, bare = diagnose([("content-type", "application/json")])
    assert "no header looks like a signature" in bare


def test_a_repeated_header_is_named():
    """Two lines under one name are told as such."""
    pairs = signed(T_V1)
    assert "more than once" in diagnose(pairs * 2)[0].verdict


def test_a_malformed_header_is_named():
    """A value in no known layout is told as such, by its shape alone."""
    found, text = diagnose([("stibnite-signature", "hello there, this is " + "text" * 3)])
    assert "not in a configured or known layout" in found.verdict
    assert "texttext" not in text
    assert "below" not in text


def test_an_expired_secret_is_named():
    """A match of nothing but an expired secret tells which one."""
    found, text = diagnose(signed(T_V1), secrets=[Secret(SECRET, "2025", NOW - 1)])
    assert not found.match
    assert "'2025', whose not_after has passed" in text


def test_a_wrong_secret_is_named():
    """A well-formed signature that nothing explains is a wrong or rotated secret."""
    found, _ = diagnose(signed(T_V1, secret="whsec_" + "Q" * 32))
    assert found.verdict == "The header is well-formed, but no secret matches: a wrong or rotated secret."
    assert found.scheme is None


def test_no_usable_secret_is_named():
    """A placeholder or missing secret is told before the secret is called wrong."""
    found, text = diagnose(signed(T_V1), secrets=[Secret("changeme", "a")])
    assert "no usable secret" in found.verdict
    assert "secret 'a': the secret is a placeholder" in text
    assert "no usable secret" in diagnose(signed(T_V1), secrets=[])[0].verdict


def test_no_received_mac_or_credential_is_printed():
    """Of a received MAC four characters are shown, and headers that hold credentials are not looked at."""
    pairs = [*signed(T_V1), ("x-encoded-secret", SECRET), ("authorization", "Bearer " + "ab" * 32)]
    mac = signed(T_V1)[0][1].split("v1=")[1]
    _, text = diagnose(pairs)
    assert mac not in text
    assert mac[4:12] not in text
    assert "abab" not in text
    assert "x-encoded-secret" not in text


@given(
    st.lists(
        st.tuples(st.sampled_from(["stibnite-signature", "Webhook-Signature", "x-y"]), st.text(max_size=60)), max_size=5
    ),
    st.binary(max_size=60),
)
def test_an_explanation_never_fails(pairs, body):
    """Whatever was captured, there is an explanation, and it is no match."""
    assert not diagnose(pairs, body, scheme="auto")[0].match
