"""The layouts that senders use, and the candidates that one source is tried against.

Stibnite names the header `stibnite-signature` and the secret `whsec_...`, and leaves all else open. The presets
are what its neighbours do. Source: research/vendors.md 4.3, U1 to U9.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from stibgate.signatures.scheme import (
    DEFAULT_HEADER,
    Algorithm,
    Encoding,
    Grammar,
    KeyReading,
    Scheme,
    TimestampUnit,
    choice,
)

AUTO = "auto"
CUSTOM = "custom"
AUTO_READINGS = (KeyReading.UTF8, KeyReading.BASE64)

_FREE_KEYS = ("header", "key", "timestamp", "timestamp_unit", "id")
_CUSTOM_KEYS = (
    "header",
    "grammar",
    "label",
    "algorithm",
    "encoding",
    "content",
    "key",
    "timestamp",
    "timestamp_unit",
    "id",
)


def _standard(family: str) -> Scheme:
    """Return Standard Webhooks under the header names `{family}-id`, `-timestamp` and `-signature`."""
    return Scheme(
        "standard_webhooks",
        Grammar.VERSIONED,
        "{id}.{t}.{body}",
        header=f"{family}-signature",
        label="v1",
        encoding=Encoding.BASE64,
        timestamp=f"header:{family}-timestamp",
        id_header=f"{family}-id",
        key=KeyReading.BASE64,
    )


PRESETS: Mapping[str, tuple[Scheme, ...]] = MappingProxyType(
    {
        # Stripe, Qonto, Persona.
        "t_v1": (Scheme("t_v1", Grammar.PAIRS, "{t}.{body}", label="v1", timestamp="pair:t"),),
        # Bare, and GitHub's spelling.
        "sha256_hex": (
            Scheme("sha256_hex", Grammar.BARE, "{body}"),
            Scheme("sha256_hex", Grammar.PREFIX, "{body}", label="sha256="),
        ),
        # Shopify.
        "sha256_base64": (Scheme("sha256_base64", Grammar.BARE, "{body}", encoding=Encoding.BASE64),),
        # Slack. Beside it Hookdeck Outpost, which writes the same `v0=` over the body alone and sends no
        # timestamp: it counts only while that header is absent, so no one reaches it by a wrong timestamp.
        "v0_timestamp": (
            Scheme(
                "v0_timestamp",
                Grammar.PREFIX,
                "v0:{t}:{body}",
                label="v0=",
                timestamp="header:stibnite-timestamp",
            ),
            Scheme("v0_timestamp", Grammar.PREFIX_LIST, "{body}", label="v0=", unless="stibnite-timestamp"),
        ),
        # Which set applies is told by the signature header that came.
        "standard_webhooks": tuple(_standard(family) for family in ("stibnite", "webhook", "svix")),
    }
)


def candidates(
    scheme: str, *, overrides: Mapping[str, str] | None = None, allow_sha1: bool = False
) -> tuple[Scheme, ...]:
    """Return the schemes that a source may be signed with, the likeliest first.

    Args:
        scheme: `auto` (every preset under both readings of `whsec_`), the name of a preset, or `custom`.
        overrides: What differs from the preset: `header`, `key`, `timestamp`, `timestamp_unit`, `id`, and for one
            preset also `label`, `algorithm`, `encoding`. With `custom`, all keys, of which only `content` is
            required. A `header` that ends in `-signature` brings its `-id` and `-timestamp` along for
            `standard_webhooks`.
        allow_sha1: Whether `algorithm = "sha1"` is taken.

    Raises:
        ValueError: A name, key or value is not allowed; the sentence says which, and what is.
    """
    given = {key: value.strip(" \t") if key != "label" else value for key, value in (overrides or {}).items()}
    if scheme not in (AUTO, CUSTOM, *PRESETS):
        raise ValueError(f"scheme: {scheme!r} is not allowed; use {', '.join((AUTO, *PRESETS, CUSTOM))}")
    _check_keys(scheme, given)
    if given.get("algorithm") == Algorithm.SHA1 and not allow_sha1:
        raise ValueError("algorithm: sha1 is only taken by explicit opt-in; use sha256 or sha512")
    if "header" in given:
        given["header"] = given["header"].lower()
    if scheme == CUSTOM:
        return (_custom(given),)
    names = tuple(PRESETS) if scheme == AUTO else (scheme,)
    found = [variant for name in names for variant in _variants(name, given, optional=scheme == AUTO)]
    _check_used(scheme, given, found)
    if scheme == AUTO and "key" not in given:
        found = [replace(variant, key=reading) for variant in found for reading in AUTO_READINGS]
    return tuple(dict.fromkeys(found))


def _check_keys(scheme: str, given: Mapping[str, str]) -> None:
    allowed: tuple[str, ...] = _CUSTOM_KEYS
    if scheme == AUTO:
        allowed = _FREE_KEYS
    elif scheme != CUSTOM:
        allowed = (*_FREE_KEYS, "label", "algorithm", "encoding")
    for key in given:
        if key in allowed:
            continue
        if key in _CUSTOM_KEYS:
            raise ValueError(f"{key}: is not allowed with scheme {scheme!r}; use scheme 'custom'")
        raise ValueError(f"{key}: no such key of a signature; there are {', '.join(_CUSTOM_KEYS)}")


def _custom(given: Mapping[str, str]) -> Scheme:
    content = given.get("content", "")
    if not content:
        raise ValueError("content: is required with scheme 'custom', for example '{t}.{body}'")
    timestamp = _place(given.get("timestamp", "none"))
    grammar = choice(Grammar, "grammar", given.get("grammar", "pairs" if timestamp[:5] == "pair:" else "bare"))
    usual = {Grammar.PAIRS: "v1", Grammar.VERSIONED: "v1"}
    return Scheme(
        CUSTOM,
        grammar,
        content,
        header=given.get("header", DEFAULT_HEADER),
        label=given.get("label", usual.get(grammar, "")),
        algorithm=choice(Algorithm, "algorithm", given.get("algorithm", "sha256")),
        encoding=choice(Encoding, "encoding", given.get("encoding", "hex")),
        timestamp=timestamp,
        timestamp_unit=choice(TimestampUnit, "timestamp_unit", given.get("timestamp_unit", "s")),
        id_header=given["id"].lower() if "id" in given else None,
        key=choice(KeyReading, "key", given.get("key", "utf8")),
    )


def _place(timestamp: str) -> str:
    kind, _, name = timestamp.partition(":")
    return f"header:{name.strip().lower()}" if kind == "header" else timestamp


def _variants(name: str, given: Mapping[str, str], *, optional: bool) -> list[Scheme]:
    """Return the variants of one preset with what was given applied where it fits."""
    variants = list(PRESETS[name])
    if name == "standard_webhooks" and "header" in given:
        variants = [variant for variant in variants if variant.header == given["header"]]
        if not variants:
            family = given["header"].removesuffix("-signature")
            if family == given["header"] and not {"id", "timestamp"} <= given.keys():
                if optional:
                    return []
                raise ValueError("id: and timestamp: are needed, because header: does not end in '-signature'")
            variants = [_standard(family)]
    return [_changed(variant, given) for variant in variants]


def _changed(variant: Scheme, given: Mapping[str, str]) -> Scheme:
    header = given.get("header", variant.header)
    timestamp, unless, id_header = variant.timestamp, variant.unless, variant.id_header
    if "timestamp" in given:
        place = _place(given["timestamp"])
        if place.partition(":")[0] == timestamp.partition(":")[0] != "none":
            timestamp = place
        if unless is not None and place.startswith("header:"):
            unless = place.removeprefix("header:")
    if "id" in given and id_header is not None:
        id_header = given["id"].lower()
    return replace(
        variant,
        header=header,
        label=given["label"] if "label" in given and variant.label else variant.label,
        algorithm=choice(Algorithm, "algorithm", given.get("algorithm", variant.algorithm)),
        encoding=choice(Encoding, "encoding", given.get("encoding", variant.encoding)),
        timestamp=timestamp,
        timestamp_unit=choice(TimestampUnit, "timestamp_unit", given.get("timestamp_unit", variant.timestamp_unit)),
        id_header=id_header,
        key=choice(KeyReading, "key", given.get("key", variant.key)),
        unless=unless,
    )


def _check_used(scheme: str, given: Mapping[str, str], found: list[Scheme]) -> None:
    """Refuse what was given and applies to nothing: a setting without effect is a mistake not yet noticed."""
    timed = [variant for variant in found if variant.timestamp != "none"]
    place = _place(given.get("timestamp", "none"))
    if "timestamp" in given and timed and not any(variant.timestamp == place for variant in timed):
        places = sorted({variant.timestamp.partition(":")[0] + ":NAME" for variant in timed})
        raise ValueError(f"timestamp: {place!r} does not fit scheme {scheme!r}; use {' or '.join(places)}")
    if place != "none" and not timed:
        raise ValueError(f"timestamp: {place!r} does not fit scheme {scheme!r}; it signs none")
    if "timestamp_unit" in given and not timed:
        raise ValueError(f"timestamp_unit: does not fit scheme {scheme!r}; it signs no timestamp")
    if "id" in given and all(v.id_header is None for v in found):
        raise ValueError(f"id: does not fit scheme {scheme!r}; it signs no id")
    if "label" in given and not any(v.label for v in found):
        raise ValueError(f"label: does not fit scheme {scheme!r}; its value is a bare digest")
    if given.get("algorithm", "sha256") != Algorithm.SHA256 and scheme.startswith("sha256"):
        raise ValueError(f"algorithm: {given['algorithm']!r} does not fit scheme {scheme!r}; use 'custom'")
