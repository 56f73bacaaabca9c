"""What a capture holds that a signature may be made of: digests, timestamps, ids and URLs, wherever they stand.

Pure observation, for people: nothing here decides about a delivery. Values are kept for the search and never
printed as they are.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stibgate.signatures.scheme import Encoding, Scheme
from stibgate.signatures.wire import HEADER_CHARS_MAX

Headers = Sequence[tuple[str, str]]

ALGORITHMS = {20: "sha1", 32: "sha256", 48: "sha384", 64: "sha512"}
BODY_BYTES_MAX = 4 << 20
CLAIMS_MAX = 24
PLACES_MAX = 4
URLS_MAX = 10

_NAMED = re.compile(r"sign|hmac|digest")
# They hold credentials, not signatures; GitHub once sent the secret itself in such a header.
_NEVER = re.compile(r"secret|token|authorization|cookie|api-?key|password|content-digest|repr-digest")
_STAMP_NAME = re.compile(r"timestamp|request-time|(?:^|-)(?:time|date|ts|at)$")
_ID_NAME = re.compile(r"(?:^|-)(?:id|uuid|guid|nonce|delivery|idempotency-key)$")
_STAMP_PAIR = re.compile(r"(?:^|[\s,;])([A-Za-z0-9_-]{1,32})=([0-9]{9,16})(?=$|[\s,;])")
_STAMP_KEYS = ("timestamp", "created_at", "created", "sent_at", "time", "ts", "t")
_ID_KEYS = ("id", "event_id", "eventId", "delivery_id", "webhook_id")
_BODY_SIGNATURE = re.compile(r"sign|hmac|digest", re.IGNORECASE)
_TEXT = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,254}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A text that may be a MAC.

    Attributes:
        header: Where it stands, lower case.
        value: The header's whole value.
        text: The part of it that spells the MAC.
        mac: The bytes that it spells.
        encoding: How.
        likely: Whether that is the likelier reading: 64 hex digits are also the base64 of 48 bytes.
    """

    header: str
    value: str
    text: str
    mac: bytes
    encoding: Encoding
    likely: bool = True

    @property
    def algorithm(self) -> str:
        """The hash that makes digests of this length."""
        return ALGORITHMS[len(self.mac)]


@dataclass(frozen=True, slots=True)
class Place:
    """A text that may be signed beside the body, and where it stands: `pair:t`, `header:x-time` or `body:id`."""

    where: str
    text: str
    header: str = ""


@dataclass(frozen=True, slots=True)
class Url:
    """The request's URL as the sender may have seen it; its path may hold a token, so it is not printed."""

    origin: str
    path: str
    as_came: bool

    @property
    def text(self) -> str:
        """The whole URL."""
        return self.origin + self.path


@dataclass(frozen=True, slots=True)
class Evidence:
    """What there is to search among; the likeliest first in each.

    Attributes:
        body: The raw bytes.
        claims: Texts that may be a MAC.
        stamps: Texts that may be a signed timestamp.
        ids: Texts that may be a signed id.
        urls: What may be the signed URL; none when nobody said which path it was.
        method: The request's method.
        named: The headers that are named like a signature, or hold what looks like one.
        odd: Header and length, in bytes, of values that are no digest of a hash, such as an RSA signature.
        in_body: The body's top-level field that looks like a signature, or None.
    """

    body: bytes
    claims: tuple[Claim, ...]
    stamps: tuple[Place, ...]
    ids: tuple[Place, ...]
    urls: tuple[Url, ...]
    method: str
    named: tuple[str, ...]
    odd: tuple[tuple[str, int], ...]
    in_body: str | None


def read_evidence(
    headers: Headers, body: bytes, *, method: str = "", path: str = "", known: Sequence[Scheme] = ()
) -> Evidence:
    """Return what *headers* and *body* hold that a signature may be made of.

    Args:
        headers: Name and value of every header, in order.
        body: The raw bytes.
        method: The request's method.
        path: Path and query as they came; empty when nobody knows.
        known: Schemes whose headers count, whatever their names look like.
    """
    pairs = [(name.lower(), value.strip(" \t")[:HEADER_CHARS_MAX]) for name, value in headers]
    ours = {scheme.header for scheme in known}
    proofs = [(name, value) for name, value in pairs if name in ours or _may_prove(name, value)]
    proofs.sort(key=lambda pair: not (pair[0] in ours or is_named(pair[0])))
    claims = [claim for name, value in proofs for claim in _claims(name, value)]
    document = _document(body)
    family = [name.removesuffix("-signature") for name, _ in proofs]
    return Evidence(
        body=body,
        claims=tuple(dict.fromkeys(sorted(claims, key=lambda claim: not claim.likely)))[:CLAIMS_MAX],
        stamps=_unlike([*_pair_stamps(proofs), *_stamps(pairs, known), *_fields(document, _STAMP_KEYS)]),
        ids=_unlike([*_ids(pairs, family, known), *_fields(document, _ID_KEYS)]),
        urls=tuple(_urls(pairs, path))[:URLS_MAX],
        method=method.upper(),
        named=tuple(dict.fromkeys(name for name, value in proofs if is_named(name) or _claims(name, value))),
        odd=tuple(dict.fromkeys((name, size) for name, value in proofs for size in _odd_sizes(value))),
        in_body=next((key for key, value in document.items() if _signs_inside(key, value)), None),
    )


def is_named(header: str) -> bool:
    """Return whether *header*, lower case, is named like a signature."""
    return _NAMED.search(header) is not None


def _may_prove(name: str, value: str) -> bool:
    if name == "authorization":
        return value[:4].lower() == "hmac"
    return _NEVER.search(name) is None and (is_named(name) or bool(_claims(name, value)))


def _tokens(value: str) -> Iterator[str]:
    """Yield the parts of *value* that may spell a MAC: between spaces, commas and semicolons, then behind = / and :."""
    for item in re.split(r"[\s,;]+", value)[:32]:
        yield item
        ends = (match.end() for match in re.finditer(r"[=/:]", item.rstrip("=")))
        yield from (item[end:] for _, end in zip(range(8), ends, strict=False))


def _claims(header: str, value: str) -> list[Claim]:
    found: list[Claim] = []
    for token in _tokens(value):
        text = token.strip("\"'")
        found.extend(
            Claim(header, value, text, mac, encoding, likely)
            for mac, encoding, likely in _readings(text)
            if len(mac) in ALGORITHMS
        )
    return found


def _readings(text: str) -> list[tuple[bytes, Encoding, bool]]:
    """Return what *text* spells in each encoding that it may be in, with whether that is likely."""
    found: list[tuple[bytes, Encoding, bool]] = []
    if len(text) < 27 or not text.isascii():
        return found
    if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", text):
        found.append((bytes.fromhex(text), Encoding.HEX, True))
    url_safe = "-" in text or "_" in text
    padded = text if "=" in text else text + "=" * (-len(text) % 4)
    try:
        mac = base64.b64decode(padded, b"-_" if url_safe else None, validate=True)
    except (binascii.Error, ValueError):
        return found
    # Without padding and without + and /, it is base64url as well, and that may come without.
    plain = padded != text and "+" not in text and "/" not in text
    found.append((mac, Encoding.BASE64URL if url_safe or plain else Encoding.BASE64, not found))
    return found


def _odd_sizes(value: str) -> Iterator[int]:
    for token in _tokens(value):
        sizes = {len(mac) for mac, _, likely in _readings(token.strip("\"'")) if likely}
        yield from (size for size in sizes if size not in ALGORITHMS and size >= 64)


def _pair_stamps(proofs: Iterable[tuple[str, str]]) -> Iterator[Place]:
    for header, value in proofs:
        for name, digits in _STAMP_PAIR.findall(value):
            yield Place(f"pair:{name}", digits, header)


def _stamps(pairs: Iterable[tuple[str, str]], known: Sequence[Scheme]) -> Iterator[Place]:
    ours = {scheme.timestamp_header for scheme in known}
    for name, value in pairs:
        if (name in ours or _STAMP_NAME.search(name)) and len(value) <= 64 and _TEXT.fullmatch(value):
            yield Place(f"header:{name}", value)


def _ids(pairs: Sequence[tuple[str, str]], family: Sequence[str], known: Sequence[Scheme]) -> list[Place]:
    first = {f"{name}-id" for name in family} | {scheme.id_header for scheme in known if scheme.id_header}
    named = [
        Place(f"header:{name}", value)
        for name, value in pairs
        if (name in first or _ID_NAME.search(name)) and _NEVER.search(name) is None and _TEXT.fullmatch(value)
    ]
    # A proxy's own request id is the least likely one.
    return sorted(named, key=lambda place: (place.where[7:] not in first, "request-id" in place.where))


def _document(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object that *body* is, or an empty one; a large body is not looked into."""
    if len(body) > BODY_BYTES_MAX:
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _fields(document: Mapping[str, Any], keys: Iterable[str]) -> Iterator[Place]:
    for key in keys:
        value = document.get(key)
        if isinstance(value, bool) or not isinstance(value, int | str):
            continue
        text = str(value) if isinstance(value, str) or abs(value) < 10**18 else ""
        if _TEXT.fullmatch(text) and len(text) <= 64:
            yield Place(f"body:{key}", text)


def _signs_inside(key: str, value: object) -> bool:
    return (
        isinstance(value, str)
        and _BODY_SIGNATURE.search(key) is not None
        and any(len(mac) in ALGORITHMS or len(mac) >= 64 for mac, _, _ in _readings(value))
    )


def _unlike(places: Iterable[Place]) -> tuple[Place, ...]:
    """Return the first few of *places* that differ in their text."""
    found: dict[str, Place] = {}
    for place in places:
        found.setdefault(place.text, place)
    return tuple(found.values())[:PLACES_MAX]


def _urls(pairs: Iterable[tuple[str, str]], path: str) -> Iterator[Url]:
    """Yield the URLs that the sender may have called, proxies between: http or https, port or none, slash or none."""
    if not path.startswith("/"):
        return
    given = dict(reversed([*pairs]))
    hosts = [given[name] for name in ("x-forwarded-host", "host") if _TEXT.fullmatch(given.get(name, ""))]
    said = given.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    schemes = [*(one for one in (said,) if one in {"http", "https"}), "https", "http"]
    port = given.get("x-forwarded-port", "")
    bare = path.partition("?")
    other = bare[0][:-1] if bare[0].endswith("/") else f"{bare[0]}/"
    paths = [path, other + bare[1] + bare[2]] if len(bare[0]) > 1 else [path]
    seen: set[str] = set()
    origins: dict[str, bool] = {}
    for scheme in schemes:
        usual = {"https": "443", "http": "80"}[scheme]
        for host in hosts:
            name = re.sub(r":[0-9]+$", "", host)
            spelled = (host, name, f"{name}:{usual}", f"{name}:{port}" if port.isdigit() else host)
            for one in spelled:
                origins.setdefault(f"{scheme}://{one}", one == host)
    ranked = sorted(origins, key=lambda origin: not origins[origin])
    for at, one in enumerate(paths):
        for origin in ranked[: 8 if at == 0 else 2]:
            if origin + one not in seen:
                seen.add(origin + one)
                yield Url(origin, one, at == 0)
