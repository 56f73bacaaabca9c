"""Laws that hold for every scheme, secret, body and header."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stibgate.errors import AuthReason, SignatureRefused
from stibgate.signatures import (
    PRESETS,
    KeyReading,
    Scheme,
    Secret,
    Verified,
    Verifier,
    candidates,
    header_lookup,
    sign,
)

NOW = 1779043375
PRESET_NAMES = sorted(PRESETS)

secrets = st.binary(min_size=16, max_size=64).map(lambda raw: "whsec_" + base64.b64encode(raw).decode())
bodies = st.binary(max_size=200).map(lambda raw: b'{"x":"' + raw + b'"}')
ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="."), min_size=1, max_size=256)
schemes: st.SearchStrategy[Scheme] = st.sampled_from(PRESET_NAMES).flatmap(
    lambda name: st.sampled_from([s for key in KeyReading for s in candidates(name, overrides={"key": key.value})])
)


def refusal(verifier, pairs, body, now=NOW) -> AuthReason | None:
    try:
        verifier.verify(header_lookup(pairs), body, now_unix_s=now)
    except SignatureRefused as refused:
        return refused.reason
    return None


@given(schemes, secrets, bodies, ids)
def test_what_is_signed_verifies(scheme, secret, body, message_id):
    """Whatever `sign` lays out verifies, and says which scheme, secret, id and time it was."""
    pairs = sign(scheme, secret, body, unix_s=NOW, message_id=message_id)
    found = Verifier([scheme], [Secret(secret, "a")]).verify(header_lookup(pairs), body, now_unix_s=NOW)
    assert found == Verified(
        scheme,
        "a",
        None if scheme.timestamp == "none" else float(NOW),
        message_id if scheme.id_header else None,
        stale=False,
    )


@given(schemes.filter(lambda s: s.key is not KeyReading.STRIP_PREFIX), secrets, bodies, ids)
def test_auto_accepts_every_preset(scheme, secret, body, message_id):
    """`auto` verifies whatever any preset signs, under the reading that was used."""
    pairs = sign(scheme, secret, body, unix_s=NOW, message_id=message_id)
    found = Verifier(candidates("auto"), [Secret(secret, "a")]).verify(header_lookup(pairs), body, now_unix_s=NOW)
    assert found.scheme == scheme


@given(schemes, secrets, bodies, st.data())
def test_a_flipped_bit_in_the_body_refuses(scheme, secret, body, data):
    """One changed bit anywhere in the body is a mismatch."""
    pairs = sign(scheme, secret, body, unix_s=NOW, message_id="msg_1")
    at = data.draw(st.integers(0, len(body) * 8 - 1))
    changed = bytearray(body)
    changed[at // 8] ^= 1 << at % 8
    assert refusal(Verifier([scheme], [Secret(secret, "a")]), pairs, bytes(changed)) is AuthReason.MISMATCH


@given(schemes, secrets, bodies, st.data())
def test_a_flipped_bit_in_any_header_character_refuses(scheme, secret, body, data):
    """One changed bit in any character of a signature, time or id header refuses, but for the case of hex."""
    pairs = sign(scheme, secret, body, unix_s=NOW, message_id="msg_1")
    index = data.draw(st.integers(0, len(pairs) - 1))
    name, value = pairs[index]
    at, bit = data.draw(st.integers(0, len(value) - 1)), data.draw(st.integers(0, 7))
    changed = value[:at] + chr(ord(value[at]) ^ 1 << bit) + value[at + 1 :]
    pairs[index] = (name, changed)
    reason = refusal(Verifier([scheme], [Secret(secret, "a")]), pairs, body)
    if scheme.encoding == "hex" and changed.lower() == value.lower():
        assert reason is None or reason is AuthReason.MALFORMED
    else:
        assert reason is not None


@given(schemes, secrets, secrets, bodies)
def test_another_secret_refuses(scheme, secret, other, body):
    """A delivery signed with another secret is a mismatch."""
    pairs = sign(scheme, secret, body, unix_s=NOW, message_id="msg_1")
    if secret != other:
        assert refusal(Verifier([scheme], [Secret(other, "a")]), pairs, body) is AuthReason.MISMATCH


@given(schemes, st.lists(secrets, min_size=1, max_size=4, unique=True), bodies, st.data())
def test_any_of_several_secrets_verifies(scheme, values, body, data):
    """Any of k secrets verifies, the match is named, and an expired one never matches."""
    index = data.draw(st.integers(0, len(values) - 1))
    pairs = sign(scheme, values[index], body, unix_s=NOW, message_id="msg_1")
    live = Verifier([scheme], [Secret(v, f"s{i}") for i, v in enumerate(values)])
    assert live.verify(header_lookup(pairs), body, now_unix_s=NOW).secret_label == f"s{index}"
    ended = [Secret(v, f"s{i}", NOW - 1 if i == index else None) for i, v in enumerate(values)]
    assert refusal(Verifier([scheme], ended), pairs, body) is AuthReason.EXPIRED_SECRET


texts = st.text(max_size=80)
shapes = st.one_of(
    texts,
    st.sampled_from(["t=1779043375,v1=", "v1,", "v0=", "sha256=", "t=1,t=2,v1=", "\udcff", "v1", ",,,=", " " * 5000]),
    st.text("tv01=, abcdef.5d", max_size=200),
    st.binary(max_size=64).map(lambda raw: "v1," + base64.b64encode(raw).decode()),
    st.integers(-5, 10**14).map(str),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
)
names = st.sampled_from(
    [
        "stibnite-signature",
        "stibnite-timestamp",
        "stibnite-id",
        "webhook-signature",
        "webhook-id",
        "webhook-timestamp",
        "svix-signature",
    ]
)
clocks = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.just(float(NOW)))


@settings(max_examples=150)
@given(st.lists(st.tuples(names, shapes), max_size=8), st.binary(max_size=300), clocks)
def test_only_ever_signature_refused(pairs, body, now):
    """Arbitrary headers, bodies and clocks are refused, and nothing but `SignatureRefused` is raised."""
    for verifier in (
        Verifier(candidates("auto"), [Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a")]),
        Verifier(candidates("auto"), [Secret("", "a"), Secret("whsec_", "b"), Secret("\ud800" * 16, "c")]),
        Verifier([], []),
    ):
        with pytest.raises(SignatureRefused):
            verifier.verify(header_lookup(pairs), body, now_unix_s=now)


@given(schemes, st.integers(0, 2 * 10**9))
def test_the_window_has_two_sides(scheme, signed):
    """Whatever the time signed: within the limits fresh, older stale, further ahead refused."""
    body, secret = b"{}", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    pairs = header_lookup(sign(scheme, secret, body, unix_s=signed, message_id="m"))
    verifier = Verifier([scheme], [Secret(secret, "a")], tolerance_s=300, future_s=60)
    if scheme.timestamp == "none":
        assert not verifier.verify(pairs, body, now_unix_s=0).stale
        return
    assert not verifier.verify(pairs, body, now_unix_s=signed + 300).stale
    assert verifier.verify(pairs, body, now_unix_s=signed + 300.5).stale
    assert not verifier.verify(pairs, body, now_unix_s=signed - 60).stale
    with pytest.raises(SignatureRefused) as caught:
        verifier.verify(pairs, body, now_unix_s=signed - 60.5)
    assert caught.value.reason is AuthReason.FUTURE


@given(schemes)
def test_a_document_is_the_scheme(scheme):
    """A scheme survives being written as a document and read back."""
    assert Scheme.from_document(scheme.to_document()) == scheme
