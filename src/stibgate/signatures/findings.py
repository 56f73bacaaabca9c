"""What a capture shows, in lines for people: shapes, lengths and ages, never a secret and never a whole MAC."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stibgate.signatures.evidence import Headers, read_evidence
from stibgate.signatures.scheme import Scheme
from stibgate.signatures.secret import Secret, check_secret
from stibgate.signatures.wire import header_lookup

_HEX = re.compile(r"[0-9a-fA-F]{32,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{27,}={0,2}")
_SHOWN_VALUES_MAX = 4


@dataclass(frozen=True, slots=True)
class Capture:
    """What came, what was configured, and when.

    Attributes:
        headers: Name and value of every header, in order.
        body: The raw bytes.
        schemes: The configured candidates.
        secrets: The configured secrets, newest first.
        now_unix_s: When it was received.
        tolerance_s: The configured age limit.
        future_s: The configured limit ahead of the clock.
        age_known: Whether anybody said when it was received.
    """

    headers: Headers
    body: bytes
    schemes: Sequence[Scheme]
    secrets: Sequence[Secret]
    now_unix_s: float
    tolerance_s: float
    future_s: float
    age_known: bool


def findings(capture: Capture, signed_unix_s: float | None) -> list[str]:
    """Return the evidence: the headers that count, the timestamp's age, the secrets."""
    lookup = header_lookup(capture.headers)
    names = dict.fromkeys([s.header for s in capture.schemes if lookup(s.header)])
    names.update(dict.fromkeys(read_evidence(capture.headers, b"").named))
    lines = [f"header {name}: {shape_of(value)}" for name in names for value in lookup(name)[:_SHOWN_VALUES_MAX]]
    if not lines:
        lines.append("no header looks like a signature")
    stamps = dict.fromkeys(s.timestamp_header for s in capture.schemes if s.timestamp_header)
    lines.extend(f"header {name}: {shape_of(value)}" for name in stamps if name for value in lookup(name)[:1])
    lines.append(f"body: {len(capture.body)} bytes")
    if signed_unix_s is not None and capture.age_known:
        age_s = capture.now_unix_s - signed_unix_s
        side = "before" if age_s >= 0 else "after"
        limits = f"limits: {capture.tolerance_s:.0f} s before, {capture.future_s:.0f} s after"
        lines.append(f"signed {abs(age_s):.0f} s {side} it was received ({limits})")
    for secret in capture.secrets:
        if (problem := check_secret(secret.value)) is not None:
            lines.append(f"secret {secret.label!r}: {problem}")
        elif not secret.is_live(capture.now_unix_s):
            lines.append(f"secret {secret.label!r}: its not_after has passed")
    return lines


def shape_of(value: str) -> str:
    """Return *value* with every digest cut to four characters and every unknown text to its length."""
    parts = re.split(r"([, ]+)", value.strip(" \t")[:512])
    return "".join(part if index % 2 else _part_shape(part) for index, part in enumerate(parts))


def _part_shape(part: str) -> str:
    name, sign, text = part.partition("=")
    if sign and re.fullmatch(r"[A-Za-z0-9_-]{1,12}", name) and text.strip("="):
        return f"{name}={_digest_shape(text)}"
    return _digest_shape(part)


def _digest_shape(text: str) -> str:
    if re.fullmatch(r"[0-9]{1,16}", text) or re.fullmatch(r"v[0-9][a-z]?", text) or not text:
        return text
    kind = "hex" if _HEX.fullmatch(text) else "base64" if _BASE64.fullmatch(text) else ""
    return f"{text[:4]}... ({len(text)} {kind})" if kind else f"({len(text)} characters)"
