"""What is proposed to configure makes the very scheme that was found, by a preset where one says it."""

import tomllib
from dataclasses import replace

import pytest

from stibgate.signatures import PRESETS, Algorithm, KeyReading, TimestampUnit, candidates
from stibgate.signatures.scheme import Encoding, Grammar, Scheme
from stibgate.signatures.stanza import settle

VARIANTS = [variant for variants in PRESETS.values() for variant in variants]


def made(setting):
    return candidates(setting.name, overrides=setting.overrides, allow_sha1=setting.needs_sha1)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: f"{one.name} {one.header} {one.grammar}")
@pytest.mark.parametrize("key", list(KeyReading))
@pytest.mark.parametrize("header", ["", "x-acme-signature"])
def test_a_preset_settles_as_itself(variant, key, header):
    """Every preset, with any key and header, is proposed as itself, and the proposal makes it again."""
    scheme = replace(variant, key=key, header=header or variant.header)
    setting = settle(replace(scheme, name="custom", unless=None))
    assert setting.preset == variant.name
    assert setting.scheme in made(setting)
    assert replace(setting.scheme, unless=None) == replace(scheme, unless=None)
    assert ("key" in setting.overrides) == (key is not variant.key)


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": Algorithm.SHA512},
        {"algorithm": Algorithm.SHA1},
        {"encoding": Encoding.BASE64URL},
        {"label": "sig"},
        {"content": "{body}.{t}"},
        {"timestamp": "pair:ts"},
        {"timestamp_unit": TimestampUnit.MILLISECONDS},
    ],
)
def test_what_no_preset_says_is_custom(change):
    """A scheme that differs in more than places and key is custom, with every key that it needs."""
    scheme = replace(PRESETS["t_v1"][0], name="custom", **change)
    setting = settle(scheme)
    simple = "timestamp_unit" in change or "timestamp" in change
    assert setting.preset == ("t_v1" if simple else None)
    assert setting.scheme in made(setting)
    assert replace(setting.scheme, name="custom") == scheme


@pytest.mark.parametrize("algorithm", ["sha512", "sha1"])
def test_a_preset_named_by_its_hash_is_never_proposed_with_another(algorithm):
    """`sha256_hex` with another algorithm would be refused, so it is custom; sha1 brings its opt-in along."""
    scheme = Scheme("custom", Grammar.BARE, "{body}", algorithm=Algorithm(algorithm))
    setting = settle(scheme)
    assert setting.name == "custom"
    assert setting.overrides["algorithm"] == algorithm
    source = tomllib.loads(setting.toml("jobs", kind="stibnite_jobs", secret="yours"))["sources"]["jobs"]
    assert source.get("allow_sha1", False) is (algorithm == "sha1")
    assert source["signature"] == setting.overrides
    assert ("allow_sha1 = true" in setting.sentence()) == (algorithm == "sha1")
