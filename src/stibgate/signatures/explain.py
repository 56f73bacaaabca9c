"""Why a capture was refused, in sentences. Diagnosis only: nothing here ever accepts a delivery.

No secret and no expected MAC is ever part of an explanation; of a received one, four characters and its length.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from stibgate.errors import AuthReason, SignatureRefused
from stibgate.signatures.evidence import Headers, read_evidence
from stibgate.signatures.findings import Capture, findings
from stibgate.signatures.scheme import Scheme, TimestampUnit
from stibgate.signatures.search import Search, first_hit
from stibgate.signatures.secret import Secret, check_secret
from stibgate.signatures.stanza import likely_scheme, setting_of
from stibgate.signatures.verify import Verified, Verifier
from stibgate.signatures.wire import header_lookup


class Why(StrEnum):
    """What an explanation comes to, in one word."""

    RIGHT = "right"
    EXPIRED_SECRET = "expired_secret"  # noqa: S105  (a reason, not a password)
    AHEAD = "ahead"  # signed later than it was received
    STALE = "stale"
    UNSUPPORTED = "unsupported"  # right, in a way that stibgate cannot check
    OTHER_UNIT = "other_unit"
    OTHER_HEADER = "other_header"
    OTHER_READING = "other_reading"  # of whsec_
    OTHER_LAYOUT = "other_layout"
    BODY_CHANGED = "body_changed"
    REPEATED = "repeated"
    MISSING = "missing"
    MALFORMED = "malformed"
    OTHER_SCHEME = "other_scheme"  # the header's layout is that of another scheme, and no secret matches
    NO_SECRET = "no_secret"  # noqa: S105
    WRONG_SECRET = "wrong_secret"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a capture tells.

    Attributes:
        why: What it comes to.
        verdict: One sentence.
        findings: The evidence, in order, a line each.
        hint: What to do next; empty when all is well. NAME stands for the source.
        scheme: The scheme under which a MAC is right, even when something else stands in the way; None if none.
        secret_label: The secret that made that MAC, or None.
    """

    why: Why
    verdict: str
    findings: tuple[str, ...]
    hint: str
    scheme: Scheme | None = None
    secret_label: str | None = None

    @property
    def match(self) -> bool:
        """Whether the configured schemes and secrets accept it at the time it was received."""
        return self.why is Why.RIGHT


@dataclass(frozen=True, slots=True)
class _Answer:
    why: Why
    verdict: str
    hint: str
    hit: Verified | None = None


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
        _rewritten_body,
    )
    answer = next((answer for step in steps if (answer := step(capture)) is not None), None)
    if answer is None:
        answer = _no_hit(capture)
    return Explanation(
        why=answer.why,
        verdict=answer.verdict,
        findings=tuple(findings(capture, answer.hit.signed_unix_s if answer.hit else None)),
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
            Why.EXPIRED_SECRET,
            f"The signature is right, but only under secret {label!r}, whose not_after has passed.",
            "The sender still signs with the old secret: finish the rotation there, or move not_after.",
            hit,
        )
    if reason is AuthReason.FUTURE:
        over = f"{-age_s:.0f} s ahead of the time received, {-age_s - capture.future_s:.0f} s over the limit"
        return _Answer(
            Why.AHEAD,
            f"The signature is right, but it was made {over}.",
            "Clock skew: compare this machine's clock with the sender's (`timedatectl`, chrony).",
            hit,
        )
    if reason is AuthReason.STALE:
        over = f"{age_s:.0f} s before it was received, {age_s - capture.tolerance_s:.0f} s over the tolerance"
        return _Answer(
            Why.STALE,
            f"The signature is right, but it was made {over}.",
            'A late retry or a replay, or this machine\'s clock is fast: see `stale = "accept_if_new"`.',
            hit,
        )
    unjudged = hit.signed_unix_s is not None and not capture.age_known
    note = "; no --received-at: its age was not judged" if unjudged else ""
    return _Answer(
        Why.RIGHT,
        f"The signature is right: scheme {name}, key read as {hit.scheme.key}, secret {label!r}{note}.",
        "",
        hit,
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
    """Answer when another reading of the secret, another layout, header or unit makes the MAC come true."""
    hit = _search(capture).hit()
    if hit is None or _reason(capture) is AuthReason.REPEATED:
        return None
    try:
        setting = setting_of(hit, capture.headers, capture.body)
    except ValueError as why:
        return _Answer(
            Why.UNSUPPORTED,
            f"The signature in the header {hit.claim.header} is right, but stibgate cannot check its like: {why}.",
            "`stibgate doctor signature` says what to use instead.",
        )
    scheme = setting.scheme
    verified = first_hit(capture.headers, capture.body, [scheme], capture.secrets)
    if scheme.timestamp_unit not in {one.timestamp_unit for one in capture.schemes}:
        as_configured = any(replace(scheme, timestamp_unit=one.timestamp_unit) == one for one in capture.schemes)
        only = f'Put timestamp_unit = "{scheme.timestamp_unit}" under [sources.NAME.signature].'
        return _Answer(
            Why.OTHER_UNIT,
            f"The signature is right, but its timestamp is in {_UNITS[scheme.timestamp_unit]}.",
            only if as_configured else setting.sentence(),
            verified,
        )
    configured = [one for one in capture.schemes if one.header == scheme.header]
    if not configured:
        places = ", ".join(sorted({one.header for one in capture.schemes}))
        return _Answer(
            Why.OTHER_HEADER,
            f"The signature is in the header {scheme.header}, not in {places or 'a configured one'}.",
            setting.sentence("header"),
            verified,
        )
    same = [one for one in configured if one.content == scheme.content]
    if any(one.key is not scheme.key and _like(one, scheme) for one in same):
        seen = " or ".join(sorted({one.key.value for one in same}))
        return _Answer(
            Why.OTHER_READING,
            f"The sender uses the other reading of whsec_: {scheme.key}, where {seen} is configured.",
            f'Put key = "{scheme.key}" under [sources.NAME.signature].',
            verified,
        )
    return _Answer(
        Why.OTHER_LAYOUT,
        f"The signature is right under another layout: {scheme.name}, key read as {scheme.key}.",
        setting.sentence(),
        verified,
    )


_UNITS = {TimestampUnit.SECONDS: "seconds", TimestampUnit.MILLISECONDS: "milliseconds"}


def _search(capture: Capture) -> Search:
    evidence = read_evidence(capture.headers, capture.body, known=capture.schemes)
    return Search(evidence, capture.secrets, known=[scheme.content for scheme in capture.schemes])


def _like(one: Scheme, other: Scheme) -> bool:
    return (one.grammar, one.algorithm, one.encoding) == (other.grammar, other.algorithm, other.encoding)


def _rewritten_body(capture: Capture) -> _Answer | None:
    """Answer when the MAC is right for the body as it was before something changed it."""
    found = _search(capture).rewritten()
    if found is None:
        return None
    hit, body = found
    verified = None
    with suppress(ValueError):
        scheme = setting_of(hit, capture.headers, body).scheme
        verified = first_hit(capture.headers, body, [scheme], capture.secrets)
    return _Answer(
        Why.BODY_CHANGED,
        f"Something between the sender and here rewrites the body: {hit.change}.",
        "Let the proxy or middleware pass the raw bytes through; a signature covers every one of them.",
        verified,
    )


def _no_hit(capture: Capture) -> _Answer:
    """Answer from the evidence when nothing makes the MAC come true."""
    reason = _reason(capture)
    came = read_evidence(capture.headers, b"").named
    wanted = ", ".join(sorted({scheme.header for scheme in capture.schemes})) or "none"
    if reason is AuthReason.REPEATED:
        return _Answer(
            Why.REPEATED,
            "A signature header came more than once, and which one counts is anyone's guess.",
            "A proxy may add its own copy: exactly one line per name is taken.",
        )
    if reason is AuthReason.MISSING:
        others = f"; what came looks like one in: {', '.join(came)}" if came else ""
        return _Answer(
            Why.MISSING,
            f"A header that the signature needs is missing (expected in: {wanted}){others}.",
            "The sender does not sign this route, or a proxy strips the header on the way.",
        )
    if reason is AuthReason.MALFORMED:
        return _malformed(capture)
    if all(check_secret(secret.value) is not None for secret in capture.secrets):
        return _Answer(
            Why.NO_SECRET,
            "The header is well-formed, but there is no usable secret to compare it with.",
            "Put the secret in place that the vendor showed when the endpoint was registered.",
        )
    return _Answer(
        Why.WRONG_SECRET,
        "The header is well-formed, but no secret matches: a wrong or rotated secret.",
        "Compare the endpoint's id and creation time with the secret's; every endpoint has its own."
        " With the right secret: something on the way changes the body, more than white space.",
    )


def _malformed(capture: Capture) -> _Answer:
    """Answer when a header is there that no configured scheme can read."""
    evidence = read_evidence(capture.headers, capture.body)
    layouts = (likely_scheme(claim, evidence.stamps) for claim in evidence.claims)
    known = next((scheme for scheme in layouts if scheme is not None), None)
    if known is None:
        return _Answer(
            Why.MALFORMED,
            "The signature header is there, but not in a configured or known layout.",
            "`--explain` shows its shape: 128 hex digits may be SHA-512 or Ed25519; 512 may be RSA, which is no HMAC.",
        )
    name = known.name if known.algorithm == "sha256" else f"{known.name} with {known.algorithm}"
    stamp = " and a timestamp in milliseconds" if known.timestamp_unit is TimestampUnit.MILLISECONDS else ""
    wanted = " or ".join(dict.fromkeys(scheme.name for scheme in capture.schemes)) or "nothing"
    return _Answer(
        Why.OTHER_SCHEME,
        f"The header {known.header} has the layout of {name}{stamp},"
        f" while the source is set to {wanted}, and no secret matches.",
        f'Put scheme = "{known.name}" under [sources.NAME], and compare the secret with the one that the vendor'
        " showed when the endpoint was registered.",
    )
