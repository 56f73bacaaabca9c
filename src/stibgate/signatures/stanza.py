"""From what was found to what is configured: the scheme of a hit, the preset that it is, the TOML to paste.

Whatever comes out of here was tried first: `setting_of` gives a scheme only when the verifier itself takes the
capture under it, and names a preset only when `candidates` makes that very scheme of it.
"""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from stibgate.signatures.evidence import Claim, Headers, Place
from stibgate.signatures.presets import CUSTOM, PRESETS, candidates
from stibgate.signatures.scheme import (
    DEFAULT_HEADER,
    Algorithm,
    Grammar,
    KeyReading,
    Scheme,
    TimestampUnit,
    pieces,
)
from stibgate.signatures.search import Hit, first_hit
from stibgate.signatures.secret import PREFIX, Secret
from stibgate.signatures.wire import split_value

_BY_PLACE = ("header", "timestamp", "timestamp_unit", "id", "key")


@dataclass(frozen=True, slots=True)
class Setting:
    """How to configure a scheme.

    Attributes:
        name: A preset, or `custom`.
        overrides: What stands under `[sources.NAME.signature]`.
        scheme: The scheme that the two make.
    """

    name: str
    overrides: dict[str, str]
    scheme: Scheme

    @property
    def preset(self) -> str | None:
        """The preset's name, or None."""
        return None if self.name == CUSTOM else self.name

    @property
    def needs_sha1(self) -> bool:
        """Whether the operator must opt into sha1."""
        return self.scheme.algorithm is Algorithm.SHA1

    def sentence(self, *more: str) -> str:
        """Return what to set and where, in one sentence; the key, and *more*, are named even where they are usual."""
        named = {key: str(getattr(self.scheme, key)) for key in (*more, "key")} | self.overrides
        listed = ", ".join(f"{key} = {json.dumps(value)}" for key, value in named.items())
        sha1 = " and allow_sha1 = true" if self.needs_sha1 else ""
        return (
            f"Put scheme = {json.dumps(self.name)}{sha1} under [sources.NAME],"
            f" and {listed} under [sources.NAME.signature]."
        )

    def toml(self, source: str, *, kind: str, secret: str) -> str:
        """Return the tables for *source*, of *kind*; *secret* says in words which secret belongs there."""
        variable = f"STIBGATE_SOURCES__{source.upper().replace('-', '_')}__SECRETS_FILE"
        lines = [
            f"[sources.{source}]",
            f'kind = "{kind}"',
            'auth = "signature"',
            f"# secrets = [...]: {secret}; or its file in {variable}",
            f'scheme = "{self.name}"',
        ]
        if self.needs_sha1:
            lines.append("allow_sha1 = true   # SHA-1 is weak: ask the sender for SHA-256")
        if self.overrides:
            lines += ["", f"[sources.{source}.signature]"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in self.overrides.items()]
        return "\n".join(lines) + "\n"


def setting_of(hit: Hit, headers: Headers, body: bytes) -> Setting:
    """Return how to configure what *hit* found, tried on *headers* and *body*.

    Raises:
        ValueError: stibgate cannot verify that; the sentence says why.
    """
    key, secret = _key(hit)
    content, algorithm, id_header = _expressible(hit.template), _algorithm(hit.claim), _id_header(hit)
    timestamp, unit = _timestamp(hit)
    for grammar, label in _grammars(hit.claim, _pair(timestamp)):
        try:
            scheme = Scheme(
                CUSTOM,
                grammar,
                content,
                header=hit.claim.header,
                label=label,
                algorithm=algorithm,
                encoding=hit.claim.encoding,
                timestamp=timestamp,
                timestamp_unit=unit,
                id_header=id_header,
                key=key,
            )
        except ValueError:
            continue
        setting = settle(scheme)
        # Tried under what is configured later, and under nothing laxer.
        if first_hit(headers, body, [setting.scheme], [secret]) is not None:
            return setting
    names = [name.lower() for name, _ in headers]
    if names.count(hit.claim.header) > 1:
        raise ValueError("the header came more than once, and which one counts is anyone's guess")
    raise ValueError("its header, timestamp or id is written in a way that stibgate does not read")


def settle(scheme: Scheme) -> Setting:
    """Return how to configure *scheme*: by a preset where that says it shorter."""
    for name, variants in PRESETS.items():
        for variant in variants:
            overrides = {key: value for key, value, usual in _differences(scheme, variant) if value != usual}
            try:
                made = candidates(name, overrides=overrides)
            except ValueError:
                continue
            for one in made:
                if replace(one, name=CUSTOM, unless=None) == replace(scheme, name=CUSTOM, unless=None):
                    return Setting(name, overrides, one)
    overrides = _custom(scheme)
    (made_custom,) = candidates(CUSTOM, overrides=overrides, allow_sha1=True)
    return Setting(CUSTOM, overrides, made_custom)


def _differences(scheme: Scheme, variant: Scheme) -> Iterator[tuple[str, str, str]]:
    """Yield key, value and usual value of what a preset lets one choose."""
    # A family of headers goes together: that of the preset's first variant is the usual one.
    usual = variant
    family = scheme.header.removesuffix("-signature")
    if variant.id_header is not None and scheme.id_header == f"{family}-id":
        usual = replace(variant, id_header=scheme.id_header)
        if scheme.timestamp == f"header:{family}-timestamp":
            usual = replace(usual, timestamp=scheme.timestamp)
    for key in _BY_PLACE:
        field = "id_header" if key == "id" else key
        standard = DEFAULT_HEADER if key == "header" else str(getattr(usual, field) or "")
        yield key, str(getattr(scheme, field) or ""), standard


def _custom(scheme: Scheme) -> dict[str, str]:
    """Return every key of *scheme* that is not its default."""
    given = {
        "header": scheme.header,
        "grammar": scheme.grammar.value,
        "label": scheme.label,
        "algorithm": scheme.algorithm.value,
        "encoding": scheme.encoding.value,
        "content": scheme.content,
        "timestamp": scheme.timestamp,
        "timestamp_unit": scheme.timestamp_unit.value,
        "id": scheme.id_header or "",
        "key": scheme.key.value,
    }
    silent = {"label": "", "timestamp": "none", "timestamp_unit": "s", "id": "", "grammar": "bare"}
    return {key: value for key, value in given.items() if silent.get(key) != value}


def _key(hit: Hit) -> tuple[KeyReading, Secret]:
    """Return the reading to configure, and the secret to configure it with."""
    secret = replace(hit.key.secret, not_after_unix_s=None)
    if hit.key.reading in set(KeyReading):
        return KeyReading(hit.key.reading), secret
    return KeyReading.BASE64, replace(secret, value=PREFIX + base64.b64encode(hit.key.value).decode())


def _algorithm(claim: Claim) -> Algorithm:
    try:
        return Algorithm(claim.algorithm)
    except ValueError:
        raise ValueError(f"it uses {claim.algorithm}; stibgate takes sha256, sha512 and, by opt-in, sha1") from None


def _expressible(template: str) -> str:
    if any(field in template for field in ("{url}", "{path}", "{method}")):
        raise ValueError("it covers the request's URL, which stibgate does not know behind a proxy")
    parts = pieces(template)
    if not all(parts[2:-1:2]):
        raise ValueError("it joins two fields without a separator, so that one MAC proves two different messages")
    if "\n" in template:
        raise ValueError("it puts a line end between the fields, which stibgate's content cannot hold")
    return template


def _timestamp(hit: Hit) -> tuple[str, TimestampUnit]:
    stamp = hit.stamp
    if stamp is None:
        return "none", TimestampUnit.SECONDS
    if stamp.where.startswith("body:"):
        raise ValueError("the signed timestamp stands in the body; stibgate reads it from headers only")
    if not (stamp.text.isascii() and stamp.text.isdigit()):
        raise ValueError("the signed timestamp is text; stibgate takes Unix time in digits only")
    if stamp.where.startswith("pair:") and stamp.header != hit.claim.header:
        raise ValueError("the timestamp stands in another header's pairs")
    return stamp.where, _unit(stamp)


def _unit(stamp: Place | None) -> TimestampUnit:
    return TimestampUnit.MILLISECONDS if stamp is not None and len(stamp.text) >= 12 else TimestampUnit.SECONDS


def _id_header(hit: Hit) -> str | None:
    if hit.message_id is None:
        return None
    kind, _, name = hit.message_id.where.partition(":")
    if kind != "header":
        raise ValueError("the signed id stands in the body; stibgate reads it from a header only")
    return name


def _pair(timestamp: str) -> str | None:
    """Return the name of the pair that *timestamp* stands in, or None."""
    kind, _, name = timestamp.partition(":")
    return name if kind == "pair" else None


def _grammars(claim: Claim, time_name: str | None) -> Iterator[tuple[Grammar, str]]:
    """Yield how the header's value may hold the MAC: grammar and label, the simplest first."""
    value, text = claim.value, claim.text
    before = value[: value.find(text)]
    pair = (Grammar.PAIRS, re.split(r"[,; ]", before)[-1].removesuffix("="))
    tried = [
        (Grammar.BARE, ""),
        (Grammar.VERSIONED, before.split(" ")[-1].removesuffix(",")),
        (Grammar.PREFIX, before),
        (Grammar.PREFIX_LIST, before.partition("=")[0] + "="),
        (Grammar.PREFIX_LIST, before),
        pair,
    ]
    for grammar, label in tried if time_name is None else [pair]:
        found = split_value(value, grammar, label, time_name)
        if found is not None and text in found[0]:
            yield grammar, label


def likely_scheme(claim: Claim, stamps: Sequence[Place]) -> Scheme | None:
    """Return the scheme whose layout *claim* has, right or wrong, or None when none of ours has it."""
    inside = next((stamp for stamp in stamps if stamp.header == claim.header), None)
    beside = next((stamp for stamp in stamps if stamp.where.startswith("header:")), None)
    for grammar, label in _grammars(claim, _pair(inside.where) if inside else None):
        content, stamp, id_header = "{body}", inside, None
        if inside is not None:
            content = "{t}.{body}"
        elif beside is not None and grammar is Grammar.VERSIONED:
            content, stamp, id_header = "{id}.{t}.{body}", beside, claim.header.removesuffix("-signature") + "-id"
        elif beside is not None and label == "v0=":
            content, stamp = "v0:{t}:{body}", beside
        try:
            scheme = Scheme(
                CUSTOM,
                grammar,
                content,
                header=claim.header,
                label=label,
                algorithm=_algorithm(claim),
                encoding=claim.encoding,
                timestamp=stamp.where if stamp else "none",
                timestamp_unit=_unit(stamp),
                id_header=id_header,
            )
        except ValueError:
            continue
        return settle(scheme).scheme
    return None
