"""The search behind a diagnosis: which layout, key reading, header or change of the body makes a MAC come true.

A hit is proof, 2^-160 or less by chance, and no one plants one without the secret. It is for people all the
same: nothing here is used to accept a delivery. Time limits and expiry of secrets are left to the caller.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from stibgate.errors import AuthReason, SignatureRefused
from stibgate.signatures.presets import PRESETS
from stibgate.signatures.scheme import Algorithm, KeyReading, Scheme, TimestampUnit
from stibgate.signatures.secret import Secret
from stibgate.signatures.verify import Verified, Verifier
from stibgate.signatures.wire import header_lookup

Headers = Sequence[tuple[str, str]]

BOM = b"\xef\xbb\xbf"
BODY_BYTES_MAX = 4 << 20

_SIGNATURE_NAME = re.compile(r"sign|hmac|digest")
_SIGNATURE_VALUE = re.compile(
    r"(?:[a-z0-9]{1,8}[=,])?(?:[0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{128}|[A-Za-z0-9+/]{43}=)"
    r"|t=[0-9]{1,13},.*"
)
# They hold credentials, not signatures; GitHub once sent the secret itself in such a header.
_NEVER = re.compile(r"secret|token|authorization|cookie|api-?key|password|content-digest|repr-digest")
_TIMESTAMP_NAME = re.compile(r"timestamp|request-time|-time$")


@dataclass(frozen=True, slots=True)
class BodyVariant:
    """The body as it may have been when it was signed.

    Attributes:
        change: What happened to it on the way, in words.
        body: The bytes to try.
    """

    change: str
    body: bytes


def first_hit(headers: Headers, body: bytes, schemes: Sequence[Scheme], secrets: Sequence[Secret]) -> Verified | None:
    """Return the match of *schemes* and *secrets*, at whatever time and with whatever age of the secret."""
    ageless = [replace(secret, not_after_unix_s=None) for secret in secrets]
    verifier = Verifier(schemes, ageless, tolerance_s=math.inf, future_s=math.inf)
    try:
        return verifier.verify(header_lookup(headers), body, now_unix_s=0.0)
    except SignatureRefused:
        return None


def signature_headers(headers: Headers) -> list[str]:
    """Return the names, lower case and in order, of the headers that look like a signature."""
    names: dict[str, None] = {}
    for name, value in headers:
        lower = name.lower()
        if not _NEVER.search(lower) and (
            _SIGNATURE_NAME.search(lower) or _SIGNATURE_VALUE.fullmatch(value.strip(" \t"))
        ):
            names[lower] = None
    return list(names)


def readings(schemes: Iterable[Scheme]) -> list[Scheme]:
    """Return *schemes* under every reading of the key."""
    return [replace(scheme, key=reading) for scheme in schemes for reading in KeyReading]


def other_units(schemes: Iterable[Scheme]) -> list[Scheme]:
    """Return those of *schemes* that sign a timestamp, each with the unit that it does not have."""
    other = {TimestampUnit.SECONDS: TimestampUnit.MILLISECONDS, TimestampUnit.MILLISECONDS: TimestampUnit.SECONDS}
    return [replace(one, timestamp_unit=other[one.timestamp_unit]) for one in schemes if one.timestamp != "none"]


def layout_of(headers: Headers) -> Scheme | None:
    """Return the first layout in which *headers* hold a signature, right or wrong; None when there is none."""
    known = layouts(headers)
    for scheme in (*known, *other_units(known)):
        try:
            Verifier([scheme], ()).verify(header_lookup(headers), b"", now_unix_s=0.0)
        except SignatureRefused as refused:
            if refused.reason is AuthReason.MISMATCH:
                return scheme
    return None


def layouts(headers: Headers) -> list[Scheme]:
    """Return every preset in every header that looks like a signature, with all algorithms and readings."""
    stamps = [name.lower() for name, _ in headers if _TIMESTAMP_NAME.search(name.lower())]
    found: dict[Scheme, None] = {}
    for header in signature_headers(headers):
        for preset in PRESETS.values():
            for variant in preset:
                for placed in _placed(variant, header, stamps):
                    found.update(dict.fromkeys(_algorithms(placed)))
    return readings(found)


def _placed(variant: Scheme, header: str, stamps: Sequence[str]) -> Iterator[Scheme]:
    """Yield *variant* in *header*, with the timestamp and id headers that may go with it."""
    family = header.removesuffix("-signature")
    id_header = f"{family}-id" if variant.id_header is not None else None
    if variant.timestamp_header is None:
        yield replace(variant, header=header, id_header=id_header, unless=None)
        return
    for stamp in dict.fromkeys((*stamps, variant.timestamp_header)):
        yield replace(variant, header=header, id_header=id_header, timestamp=f"header:{stamp}")


def _algorithms(scheme: Scheme) -> Iterator[Scheme]:
    for algorithm in Algorithm:
        label = f"{algorithm}=" if scheme.label == "sha256=" else scheme.label
        yield replace(scheme, algorithm=algorithm, label=label)


def body_variants(body: bytes) -> Iterator[BodyVariant]:
    """Yield what the body may have been before something between the sender and here changed it.

    A body over 4 MiB yields only what costs one copy: parsing it again would take seconds.
    """
    seen = {body}
    for change, variant in _byte_variants(body):
        if variant not in seen:
            seen.add(variant)
            yield BodyVariant(change, variant)
    if len(body) > BODY_BYTES_MAX:
        return
    for change, variant in _json_variants(body):
        if variant not in seen:
            seen.add(variant)
            yield BodyVariant(change, variant)


def _byte_variants(body: bytes) -> Iterator[tuple[str, bytes]]:
    unix = body.replace(b"\r\n", b"\n")
    yield "a line end was added at its end", body.removesuffix(b"\n").removesuffix(b"\r")
    yield "the line end at its end was removed", body + b"\n"
    yield "the line end at its end was removed", body + b"\r\n"
    yield "white space round it was added", body.strip()
    yield "its line ends were changed from LF to CRLF", unix
    yield "its line ends were changed from CRLF to LF", unix.replace(b"\n", b"\r\n")
    yield "a byte order mark was added", body.removeprefix(BOM)
    yield "its byte order mark was removed", BOM + body


def _json_variants(body: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        document = json.loads(body)
        for ascii_only in (False, True):
            escapes = "with escapes for all but ASCII" if ascii_only else "with plain UTF-8"
            for sort_keys in (False, True):
                order = "sorted keys" if sort_keys else "keys in this order"
                for name, separators in (("compact", (",", ":")), ("with spaces", (", ", ": "))):
                    text = json.dumps(document, ensure_ascii=ascii_only, sort_keys=sort_keys, separators=separators)
                    yield f"its JSON was written anew (signed {name}, {order}, {escapes})", text.encode()
            text = json.dumps(document, ensure_ascii=ascii_only, indent=2)
            yield f"its JSON was written anew (signed indented by 2, {escapes})", text.encode()
    except (ValueError, RecursionError):
        return
