"""Names and overrides: what a source may be configured with."""

import pytest

from stibgate.signatures import PRESETS, KeyReading, Scheme, candidates, sign


def test_the_presets_are_those_of_the_contract():
    """The presets have the documented names, and Stibnite's header is the first of each."""
    assert list(PRESETS) == ["t_v1", "sha256_hex", "sha256_base64", "v0_timestamp", "standard_webhooks"]
    assert {variants[0].header for variants in PRESETS.values()} == {"stibnite-signature"}
    assert all(variant.name == name for name, variants in PRESETS.items() for variant in variants)


def test_auto_is_every_preset_under_both_readings_and_never_sha1():
    """`auto` holds each variant once as text and once as base64, and no sha1."""
    found = candidates("auto", allow_sha1=True)
    assert len(found) == 2 * sum(map(len, PRESETS.values())) == len(set(found))
    assert {scheme.key for scheme in found} == {KeyReading.UTF8, KeyReading.BASE64}
    assert {scheme.algorithm.value for scheme in found} == {"sha256"}


def test_a_header_override_reaches_every_variant():
    """A header, in any case, replaces that of each variant; `standard_webhooks` takes its family along."""
    for name in ("t_v1", "sha256_hex", "sha256_base64", "v0_timestamp"):
        assert {s.header for s in candidates(name, overrides={"header": "X-Acme-Sig"})} == {"x-acme-sig"}
    (found,) = candidates("standard_webhooks", overrides={"header": "Acme-Signature"})
    assert (found.header, found.id_header, found.timestamp) == (
        "acme-signature",
        "acme-id",
        "header:acme-timestamp",
    )
    (svix,) = candidates("standard_webhooks", overrides={"header": "svix-signature"})
    assert svix == PRESETS["standard_webhooks"][2]


def test_auto_with_a_strange_header_leaves_out_what_cannot_be_there():
    """Under `auto` a header that has no family drops `standard_webhooks` and keeps the rest."""
    found = candidates("auto", overrides={"header": "x-hub-256", "key": "utf8"})
    assert {s.name for s in found} == {"t_v1", "sha256_hex", "sha256_base64", "v0_timestamp"}
    assert {s.key for s in found} == {KeyReading.UTF8}


def test_the_timestamp_header_moves_with_its_absence():
    """Renaming the timestamp header of `v0_timestamp` also renames what must be absent for its other variant."""
    slack, outpost = candidates("v0_timestamp", overrides={"timestamp": "header:X-Time"})
    assert (slack.timestamp, outpost.unless) == ("header:x-time", "x-time")


def test_custom_needs_only_its_content():
    """`custom` takes the usual values for what is not given."""
    (bare,) = candidates("custom", overrides={"content": "{body}"})
    assert (bare.name, bare.grammar, bare.algorithm, bare.encoding) == ("custom", "bare", "sha256", "hex")
    (pairs,) = candidates("custom", overrides={"content": "{t}.{body}", "timestamp": "pair:t"})
    assert (pairs.grammar, pairs.label) == ("pairs", "v1")


C = "custom"
MISTAKES = [
    ("stripe", {}, "scheme: 'stripe'.*t_v1.*custom"),
    ("auto", {"content": "{body}"}, "content: .*custom"),
    ("t_v1", {"grammar": "bare"}, "grammar: .*custom"),
    ("t_v1", {"colour": "red"}, "colour: no such key"),
    ("t_v1", {"key": "hex"}, "key: 'hex' is not allowed; use utf8, strip_prefix, base64"),
    ("t_v1", {"header": "two words"}, "header: 'two words'"),
    ("t_v1", {"algorithm": "md5"}, "algorithm: 'md5' is not allowed"),
    ("t_v1", {"algorithm": "sha1"}, "algorithm: sha1"),
    ("t_v1", {"timestamp": "header:x"}, "timestamp: 'header:x' does not fit.*pair:NAME"),
    ("t_v1", {"id": "x-id"}, "id: does not fit"),
    ("sha256_hex", {"timestamp": "header:x"}, "timestamp: .*it signs none"),
    ("sha256_hex", {"timestamp_unit": "ms"}, "timestamp_unit: "),
    ("sha256_hex", {"algorithm": "sha512"}, "algorithm: 'sha512' does not fit"),
    ("sha256_base64", {"label": "x="}, "label: "),
    ("v0_timestamp", {"timestamp": "none"}, "timestamp: 'none' does not fit"),
    ("standard_webhooks", {"header": "x-hook"}, "id: and timestamp: are needed"),
    (C, {}, "content: is required"),
    (C, {"content": "{t}.{body}"}, "timestamp: must be given"),
    (C, {"content": "{body}", "timestamp": "header:x"}, "timestamp: .*only then"),
    (C, {"content": "{id}.{body}"}, "id: must name"),
    (C, {"content": "{body}", "id": "x-id"}, "id: .*only then"),
    (C, {"content": "{body}{body}"}, "content: .*exactly once"),
    (C, {"content": "{t}"}, "content: .*exactly once"),
    (C, {"content": "{url}.{body}"}, "content: .*nothing else"),
    (C, {"content": "é{body}"}, "content: .*nothing else"),
    (C, {"content": "{t}{body}", "timestamp": "header:x"}, "content: .*separator"),
    (C, {"content": "{t}0{body}", "timestamp": "header:x"}, "content: .*digit"),
    (C, {"content": "{t}.{body}", "timestamp": "somewhere"}, "timestamp: 'somewhere'"),
    (C, {"content": "{t}.{body}", "timestamp": "pair:t", "grammar": "bare"}, "timestamp: pair:NAME needs"),
    (C, {"content": "{body}", "grammar": "prefix"}, "label: '' is not allowed"),
    (C, {"content": "{body}", "label": "x"}, "label: 'x' is not allowed with the grammar bare"),
    (C, {"content": "{t}.{body}", "timestamp": "pair:v1"}, "label: 'v1'"),
    (C, {"content": "{body}", "encoding": "base32"}, "encoding: 'base32' is not allowed; use hex, base64"),
]


@pytest.mark.parametrize("scheme, overrides, message", MISTAKES)
def test_a_mistake_is_named_with_what_is_allowed(scheme, overrides, message):
    """A wrong name, key, value or combination is a ValueError that begins with the key at fault."""
    with pytest.raises(ValueError, match=message):
        candidates(scheme, overrides=overrides)


@pytest.mark.parametrize(
    "document, message",
    [
        ({}, "name: is missing"),
        ({"name": "x", "grammar": "bare"}, "content: is missing"),
        ({"name": "x", "grammar": "bare", "content": "{body}", "colour": "red"}, "colour: no such field"),
        ({"name": "x", "grammar": "bare", "content": 3}, "content: must be text"),
        ({"name": "x", "grammar": "bear", "content": "{body}"}, "grammar: 'bear' is not allowed"),
        ({"name": "x", "grammar": "bare", "content": "{body}", "header": "A"}, "header: 'A'"),
    ],
)
def test_a_bad_document_is_refused(document, message):
    """A pinned document that is not a sound scheme is a ValueError, not a scheme."""
    with pytest.raises(ValueError, match=message):
        Scheme.from_document(document)


@pytest.mark.parametrize("unix_s, message_id", [(-1, "m"), (10**12, "m"), (1, ""), (1, "a.b"), (1, "a b")])
def test_sign_refuses_what_no_receiver_takes(unix_s, message_id):
    """`sign` raises rather than make headers that could never verify."""
    with pytest.raises(ValueError, match=r"unix_s|message_id"):
        sign(PRESETS["standard_webhooks"][0], "whsec_" + "A" * 32, b"{}", unix_s=unix_s, message_id=message_id)
