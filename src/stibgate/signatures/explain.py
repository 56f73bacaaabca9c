"""Why a capture was refused, in sentences. Diagnosis only: nothing here ever accepts a delivery.

No secret and no expected MAC is ever part of an explanation; of a received one, four characters and its length.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from stibgate.errors import AuthReason, SignatureRefused
from stibgate.signatures.scheme import Scheme, TimestampUnit
from stibgate.signatures.search import (
    Headers,
    body_variants,
    first_hit,
    layout_of,
    layouts,
    other_units,
    readings,
    signature_headers,
)
from stibgate.signatures.secret import Secret, check_secret
from stibgate.signatures.verify import Verified, Verifier
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


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a capture tells.

    Attributes:
        match: Whether the configured schemes and secrets accept it at the time it was received.
        verdict: One sentence.
        findings: The evidence, in order, a line each.
        hint: What to do next; empty when all is well. NAME stands for the source.
        scheme: The scheme under which a MAC is right, even when something else stands in the way; None if none.
        secret_label: The secret that made that MAC, or None.
    """

    match: bool
    verdict: str
    findings: tuple[str, ...]
    hint: str
    scheme: Scheme | None = None
    secret_label: str | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    verdict: str
    hint: str
    hit: Verified | None = None
    match: bool = False


def explain(
    headers: Headers,
    body: bytes,
    *,
    schemes: Sequence[Scheme],
    secrets: Sequence[Secret],
    now_unix_s: float,
    tolerance_s: float = 300.0,
    future_s: float = 60.0,
    age_known: bool = True,
) -> Explanation:
    """Return what *headers* and *body* tell about why they verify or do not.

    Args:
        headers: Name and value of every header, in order.
        body: The raw bytes as they came.
        schemes: The configured candidates.
        secrets: The configured secrets, newest first.
        now_unix_s: When the delivery was received.
        tolerance_s: The configured age limit, in seconds.
        future_s: The configured limit ahead of the clock, in seconds.
        age_known: Whether *now_unix_s* is when it was received; otherwise a signed timestamp is taken at its word.
    """
    capture = Capture(tuple(headers), body, schemes, secrets, now_unix_s, tolerance_s, future_s, age_known)
    if not age_known:
        claim = first_hit(capture.headers, body, schemes, secrets)
        if claim is not None and claim.signed_unix_s is not None:
            capture = replace(capture, now_unix_s=claim.signed_unix_s)
    steps: tuple[Callable[[Capture], _Answer | None], ...] = (
        _as_configured,
        _other_layout,
        _other_unit,
        _rewritten_body,
    )
    answer = next((answer for step in steps if (answer := step(capture)) is not None), None)
    if answer is None:
        answer = _no_hit(capture)
    return Explanation(
        match=answer.match,
        verdict=answer.verdict,
        findings=tuple(_findings(capture, answer.hit)),
        hint=answer.hint,
        scheme=answer.hit.scheme if answer.hit else None,
        secret_label=answer.hit.secret_label if answer.hit else None,
    )


def _as_configured(capture: Capture) -> _Answer | None:
    """Answer when the configured schemes make the MAC come true, whatever the clock and the secret's end say."""
    hit = first_hit(capture.headers, capture.body, capture.schemes, capture.secrets)
    reason = _reason(capture)
    if hit is None:
        return None
    name, label = hit.scheme.name, hit.secret_label
    age_s = capture.now_unix_s - hit.signed_unix_s if hit.signed_unix_s is not None else 0.0
    if reason is AuthReason.EXPIRED_SECRET:
        return _Answer(
            f"The signature is right, but only under secret {label!r}, whose not_after has passed.",
            "The sender still signs with the old secret: finish the rotation there, or move not_after.",
            hit,
        )
    if reason is AuthReason.FUTURE:
        over = f"{-age_s:.0f} s ahead of the time received, {-age_s - capture.future_s:.0f} s over the limit"
        return _Answer(
            f"The signature is right, but it was made {over}.",
            "Clock skew: compare this machine's clock with the sender's (`timedatectl`, chrony).",
            hit,
        )
    if reason is AuthReason.STALE:
        over = f"{age_s:.0f} s before it was received, {age_s - capture.tolerance_s:.0f} s over the tolerance"
        return _Answer(
            f"The signature is right, but it was made {over}.",
            'A late retry or a replay, or this machine\'s clock is fast: see `stale = "accept_if_new"`.',
            hit,
        )
    unjudged = hit.signed_unix_s is not None and not capture.age_known
    note = "; no --received-at: its age was not judged" if unjudged else ""
    return _Answer(
        f"The signature is right: scheme {name}, key read as {hit.scheme.key}, secret {label!r}{note}.",
        "",
        hit,
        match=True,
    )


def _reason(capture: Capture) -> AuthReason | None:
    """Return why the configured verifier refuses the capture, or None when it does not."""
    verifier = Verifier(capture.schemes, capture.secrets, tolerance_s=capture.tolerance_s, future_s=capture.future_s)
    try:
        verified = verifier.verify(header_lookup(capture.headers), capture.body, now_unix_s=capture.now_unix_s)
    except SignatureRefused as refused:
        return refused.reason
    return AuthReason.STALE if verified.stale else None


def _other_layout(capture: Capture) -> _Answer | None:
    """Answer when another reading of the secret, another layout or another header makes the MAC come true."""
    hit = first_hit(capture.headers, capture.body, readings(capture.schemes), capture.secrets)
    if hit is None:
        hit = first_hit(capture.headers, capture.body, layouts(capture.headers), capture.secrets)
    if hit is None:
        return None
    configured = [scheme for scheme in capture.schemes if scheme.header == hit.scheme.header]
    if not configured:
        places = ", ".join(sorted({scheme.header for scheme in capture.schemes}))
        return _Answer(
            f"The signature is in the header {hit.scheme.header}, not in {places or 'a configured one'}.",
            _settings(hit.scheme, "header"),
            hit,
        )
    same = [scheme for scheme in configured if scheme.content == hit.scheme.content]
    if any(scheme.key is not hit.scheme.key and _like(scheme, hit.scheme) for scheme in same):
        seen = " or ".join(sorted({scheme.key.value for scheme in same}))
        return _Answer(
            f"The sender uses the other reading of whsec_: {hit.scheme.key}, where {seen} is configured.",
            f'Put key = "{hit.scheme.key}" under [sources.NAME.signature].',
            hit,
        )
    return _Answer(
        f"The signature is right under another layout: {hit.scheme.name}, key read as {hit.scheme.key}.",
        _settings(hit.scheme),
        hit,
    )


def _like(one: Scheme, other: Scheme) -> bool:
    return (one.grammar, one.algorithm, one.encoding) == (other.grammar, other.algorithm, other.encoding)


def _settings(scheme: Scheme, *more: str) -> str:
    """Return the sentence that says what to set for *scheme*, and where; *more* names further fields of it."""
    names = [*more, "key"]
    if scheme.algorithm != "sha256":
        names.append("algorithm")
    if scheme.timestamp_header:
        names.append("timestamp")
    if scheme.timestamp_unit is TimestampUnit.MILLISECONDS:
        names.append("timestamp_unit")
    listed = ", ".join(f'{name} = "{getattr(scheme, name)}"' for name in names)
    return f'Put scheme = "{scheme.name}" under [sources.NAME], and {listed} under [sources.NAME.signature].'


def _other_unit(capture: Capture) -> _Answer | None:
    """Answer when the MAC is right and the timestamp counts in another unit than the configured one."""
    for schemes in (capture.schemes, [*readings(capture.schemes), *layouts(capture.headers)]):
        hit = first_hit(capture.headers, capture.body, other_units(schemes), capture.secrets)
        if hit is None:
            continue
        unit = hit.scheme.timestamp_unit
        as_configured = any(replace(hit.scheme, timestamp_unit=one.timestamp_unit) == one for one in capture.schemes)
        setting = f'Put timestamp_unit = "{unit}" under [sources.NAME.signature].'
        return _Answer(
            f"The signature is right, but its timestamp is in {_UNITS[unit]}.",
            setting if as_configured else _settings(hit.scheme),
            hit,
        )
    return None


_UNITS = {TimestampUnit.SECONDS: "seconds", TimestampUnit.MILLISECONDS: "milliseconds"}


def _rewritten_body(capture: Capture) -> _Answer | None:
    """Answer when the MAC is right for the body as it was before something changed it."""
    schemes = [*readings(capture.schemes), *layouts(capture.headers)]
    if not any(header_lookup(capture.headers)(scheme.header) for scheme in schemes):
        return None
    for variant in body_variants(capture.body):
        hit = first_hit(capture.headers, variant.body, schemes, capture.secrets)
        if hit is not None:
            return _Answer(
                f"Something between the sender and here rewrites the body: {variant.change}.",
                "Let the proxy or middleware pass the raw bytes through; a signature covers every one of them.",
                hit,
            )
    return None


def _no_hit(capture: Capture) -> _Answer:
    """Answer from the evidence when nothing makes the MAC come true."""
    reason = _reason(capture)
    came = signature_headers(capture.headers)
    wanted = ", ".join(sorted({scheme.header for scheme in capture.schemes})) or "none"
    if reason is AuthReason.REPEATED:
        return _Answer(
            "A signature header came more than once, and which one counts is anyone's guess.",
            "A proxy may add its own copy: exactly one line per name is taken.",
        )
    if reason is AuthReason.MISSING:
        others = f"; what came looks like one in: {', '.join(came)}" if came else ""
        return _Answer(
            f"A header that the signature needs is missing (expected in: {wanted}){others}.",
            "The sender does not sign this route, or a proxy strips the header on the way.",
        )
    if reason is AuthReason.MALFORMED:
        return _malformed(capture)
    if all(check_secret(secret.value) is not None for secret in capture.secrets):
        return _Answer(
            "The header is well-formed, but there is no usable secret to compare it with.",
            "Put the secret in place that the vendor showed when the endpoint was registered.",
        )
    return _Answer(
        "The header is well-formed, but no secret matches: a wrong or rotated secret.",
        "Compare the endpoint's id and creation time with the secret's; every endpoint has its own.",
    )


def _malformed(capture: Capture) -> _Answer:
    """Answer when a header is there that no configured scheme can read."""
    known = layout_of(capture.headers)
    if known is None:
        return _Answer(
            "The signature header is there, but not in a configured or known layout.",
            "`--explain` shows its shape: 128 hex digits may be SHA-512 or Ed25519; 512 may be RSA, which is no HMAC.",
        )
    name = known.name if known.algorithm == "sha256" else f"{known.name} with {known.algorithm}"
    stamp = " and a timestamp in milliseconds" if known.timestamp_unit is TimestampUnit.MILLISECONDS else ""
    wanted = " or ".join(dict.fromkeys(scheme.name for scheme in capture.schemes)) or "nothing"
    return _Answer(
        f"The header {known.header} has the layout of {name}{stamp},"
        f" while the source is set to {wanted}, and no secret matches.",
        f'Put scheme = "{known.name}" under [sources.NAME], and compare the secret with the one that the vendor'
        " showed when the endpoint was registered.",
    )


def _findings(capture: Capture, hit: Verified | None) -> list[str]:
    """Return the evidence: the headers that count, the timestamp's age, the secrets."""
    lookup = header_lookup(capture.headers)
    names = dict.fromkeys([s.header for s in capture.schemes if lookup(s.header)])
    names.update(dict.fromkeys(signature_headers(capture.headers)))
    lines = [f"header {name}: {_shape(value)}" for name in names for value in lookup(name)[:_SHOWN_VALUES_MAX]]
    if not lines:
        lines.append("no header looks like a signature")
    stamps = dict.fromkeys(s.timestamp_header for s in capture.schemes if s.timestamp_header)
    lines.extend(f"header {name}: {_shape(value)}" for name in stamps if name for value in lookup(name)[:1])
    lines.append(f"body: {len(capture.body)} bytes")
    if hit is not None and hit.signed_unix_s is not None and capture.age_known:
        age_s = capture.now_unix_s - hit.signed_unix_s
        side = "before" if age_s >= 0 else "after"
        limits = f"limits: {capture.tolerance_s:.0f} s before, {capture.future_s:.0f} s after"
        lines.append(f"signed {abs(age_s):.0f} s {side} it was received ({limits})")
    for secret in capture.secrets:
        if (problem := check_secret(secret.value)) is not None:
            lines.append(f"secret {secret.label!r}: {problem}")
        elif not secret.is_live(capture.now_unix_s):
            lines.append(f"secret {secret.label!r}: its not_after has passed")
    return lines


def _shape(value: str) -> str:
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
