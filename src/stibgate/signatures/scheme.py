"""A signature scheme is data: where the signature stands, what it covers, how the key is read.

Every `Scheme` that exists is sound: `__post_init__` refuses what could not be verified safely, above all a
template whose fields run into each other, because then one MAC would prove two different messages.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TypeVar

Choice = TypeVar("Choice", bound=StrEnum)

DEFAULT_HEADER = "stibnite-signature"

_FIELD = re.compile(r"(\{(?:body|t|id)\})")
_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_PREFIX = re.compile(r"[\x20-\x2b\x2d-\x7e]{1,32}")
_LITERAL = re.compile(r"[\x20-\x7e]*")


class KeyReading(StrEnum):
    """How the HMAC key is read from the secret's text; `whsec_` alone does not tell."""

    UTF8 = "utf8"
    STRIP_PREFIX = "strip_prefix"
    BASE64 = "base64"


class Grammar(StrEnum):
    """How the header's value holds the signatures.

    `bare` is one digest; `prefix` one digest behind the literal label (`sha256=...`); `prefix_list` several
    behind one label (`v0=...,...`); `pairs` is `t=...,v1=...`; `versioned` is `v1,... v1,...`.
    """

    BARE = "bare"
    PREFIX = "prefix"
    PREFIX_LIST = "prefix_list"
    PAIRS = "pairs"
    VERSIONED = "versioned"


class Algorithm(StrEnum):
    """The hash under the HMAC; sha1 only where an operator asked for it by name."""

    SHA256 = "sha256"
    SHA512 = "sha512"
    SHA1 = "sha1"

    @property
    def digest_bytes(self) -> int:
        """The length of a MAC, in bytes."""
        return _DIGEST_BYTES[self]


_DIGEST_BYTES = {Algorithm.SHA256: 32, Algorithm.SHA512: 64, Algorithm.SHA1: 20}


class Encoding(StrEnum):
    """How a MAC is written as text."""

    HEX = "hex"
    BASE64 = "base64"
    BASE64URL = "base64url"


class TimestampUnit(StrEnum):
    """What the digits of the timestamp count, since the Unix epoch."""

    SECONDS = "s"
    MILLISECONDS = "ms"


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to sign a delivery.

    Attributes:
        name: The preset's name, or `custom`.
        grammar: How the header's value holds the signatures.
        content: What is signed: literals, `{body}` once, `{t}` and `{id}` at most once.
        header: The signature header, lower case.
        label: The literal before the digest (`sha256=`), or the name of the pair or version (`v1`).
        algorithm: The hash under the HMAC.
        encoding: How a MAC is written as text.
        timestamp: `none`, `pair:NAME` (inside the signature header) or `header:NAME`.
        timestamp_unit: What the timestamp counts.
        id_header: The header that holds the message id, or None.
        key: How the key is read from the secret.
        unless: A header whose mere presence rules this scheme out; it keeps a layout without timestamp from
            being reached by taking away, or by disregarding, the timestamp of its sibling.

    Raises:
        ValueError: The parts do not fit together; the sentence names the part and what is allowed.
    """

    name: str
    grammar: Grammar
    content: str
    header: str = DEFAULT_HEADER
    label: str = ""
    algorithm: Algorithm = Algorithm.SHA256
    encoding: Encoding = Encoding.HEX
    timestamp: str = "none"
    timestamp_unit: TimestampUnit = TimestampUnit.SECONDS
    id_header: str | None = None
    key: KeyReading = KeyReading.UTF8
    unless: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be verified safely."""
        _check_headers(self)
        _check_label(self)
        _check_content(self)

    @property
    def timestamp_pair(self) -> str | None:
        """The pair inside the signature header that holds the timestamp, or None."""
        kind, _, name = self.timestamp.partition(":")
        return name if kind == "pair" else None

    @property
    def timestamp_header(self) -> str | None:
        """The header that holds the timestamp, or None."""
        kind, _, name = self.timestamp.partition(":")
        return name if kind == "header" else None

    def to_document(self) -> dict[str, str | None]:
        """Return the scheme as a plain JSON object, for the store and for people."""
        document: dict[str, str | None] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            document[field.name] = None if value is None else str(value)
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> "Scheme":
        """Return the scheme that `to_document` wrote.

        Fields that have a default may be left out. A sha1 document is taken as it is: what was pinned or
        written by hand was opted into when it was chosen.

        Raises:
            ValueError: A key is unknown or missing, or a value is not allowed.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(document) - known):
            raise ValueError(f"{unknown[0]}: no such field of a scheme; there are {_listed(sorted(known))}")
        text: dict[str, str] = {}
        for key, value in document.items():
            if value is None and key in {"id_header", "unless"}:
                continue
            if not isinstance(value, str):
                raise ValueError(f"{key}: must be text")  # noqa: TRY004  (a bad value of a document)
            text[key] = value
        for key in ("name", "grammar", "content"):
            if key not in text:
                raise ValueError(f"{key}: is missing")
        return cls(
            name=text["name"],
            grammar=choice(Grammar, "grammar", text["grammar"]),
            content=text["content"],
            header=text.get("header", DEFAULT_HEADER),
            label=text.get("label", ""),
            algorithm=choice(Algorithm, "algorithm", text.get("algorithm", "sha256")),
            encoding=choice(Encoding, "encoding", text.get("encoding", "hex")),
            timestamp=text.get("timestamp", "none"),
            timestamp_unit=choice(TimestampUnit, "timestamp_unit", text.get("timestamp_unit", "s")),
            id_header=text.get("id_header"),
            key=choice(KeyReading, "key", text.get("key", "utf8")),
            unless=text.get("unless"),
        )


def choice(kind: type[Choice], key: str, value: str) -> Choice:
    """Return the member of *kind* that *value* names.

    Raises:
        ValueError: There is none; the sentence lists what is allowed.
    """
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"{key}: {value!r} is not allowed; use {_listed(kind)}") from None


def pieces(content: str) -> list[str]:
    """Return the template cut into literals (even positions, perhaps empty) and fields (odd positions)."""
    return _FIELD.split(content)


def id_stops(content: str) -> str:
    """Return the characters that an id must not hold under this template.

    A dot is always one. So is every character of the literals beside `{id}`: an id that held its own
    separator could be cut in another place, with the same MAC (field shifting).
    Source: research/security.md 1.2, `std-51-field-shift`.
    """
    parts = pieces(content)
    if "{id}" not in parts:
        return "."
    at = parts.index("{id}")
    return "".join(sorted({".", *parts[at - 1], *parts[at + 1]}))


def _listed(words: Iterable[str]) -> str:
    return ", ".join(str(word) for word in words)


def _check_headers(scheme: Scheme) -> None:
    where = {"header": scheme.header, "id": scheme.id_header, "unless": scheme.unless}
    if scheme.timestamp != "none":
        kind, _, name = scheme.timestamp.partition(":")
        if kind == "header":
            where["timestamp"] = name
        elif kind != "pair" or not _NAME.fullmatch(name):
            raise ValueError(f"timestamp: {scheme.timestamp!r} is not allowed; use none, pair:NAME or header:NAME")
        elif scheme.grammar is not Grammar.PAIRS:
            raise ValueError("timestamp: pair:NAME needs the grammar pairs; use header:NAME or none")
    for key, name_or_none in where.items():
        if name_or_none is not None and not _TOKEN.fullmatch(name_or_none):
            raise ValueError(f"{key}: {name_or_none!r} is not a header name in lower case")


def _check_label(scheme: Scheme) -> None:
    label = scheme.label
    match scheme.grammar:
        case Grammar.BARE:
            if label:
                raise ValueError(f"label: {label!r} is not allowed with the grammar bare; leave it out")
        case Grammar.PREFIX | Grammar.PREFIX_LIST:
            if not _PREFIX.fullmatch(label):
                raise ValueError(f"label: {label!r} is not allowed; give the text before the digest, such as 'sha256='")
        case Grammar.PAIRS | Grammar.VERSIONED:
            if not _NAME.fullmatch(label) or label == scheme.timestamp_pair:
                raise ValueError(f"label: {label!r} is not allowed; give the signature's name, such as 'v1'")


def _check_content(scheme: Scheme) -> None:
    parts = pieces(scheme.content)
    literals, named = parts[0::2], parts[1::2]
    if named.count("{body}") != 1 or len(set(named)) != len(named):
        raise ValueError("content: needs {body} exactly once, and {t} and {id} at most once")
    if not all(_LITERAL.fullmatch(text) for text in literals) or any(set(text) & set("{}") for text in literals):
        raise ValueError("content: holds {body}, {t}, {id} and printable ASCII, nothing else")
    if not all(literals[1:-1]):
        raise ValueError("content: two fields need a separator between them, or one MAC proves two messages")
    if "{t}" in parts:
        at = parts.index("{t}")
        if parts[at - 1][-1:].isdigit() or parts[at + 1][:1].isdigit():
            raise ValueError("content: the separator beside {t} must not be a digit")
    if ("{t}" in named) != (scheme.timestamp != "none"):
        raise ValueError("timestamp: must be given when content signs {t}, and only then")
    if ("{id}" in named) != (scheme.id_header is not None):
        raise ValueError("id: must name a header when content signs {id}, and only then")
