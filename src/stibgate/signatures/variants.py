"""What a body may have been before something between the sender and here changed it; for diagnosis only."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from stibgate.signatures.evidence import BODY_BYTES_MAX

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class BodyVariant:
    """The body as it may have been when it was signed.

    Attributes:
        change: What happened to it on the way, in words.
        body: The bytes to try.
    """

    change: str
    body: bytes


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
