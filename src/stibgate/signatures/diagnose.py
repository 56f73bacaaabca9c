"""What a capture proves under secrets that somebody holds, with nothing configured: for `stibgate doctor signature`.

Diagnosis only. No secret, no body and no URL is ever part of what comes back; of a MAC not even four characters.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from stibgate.signatures.evidence import Claim, Evidence, Headers, is_named, read_evidence
from stibgate.signatures.scheme import Encoding
from stibgate.signatures.search import Hit, Search
from stibgate.signatures.secret import Secret, check_secret
from stibgate.signatures.stanza import Setting, setting_of


class Cause(StrEnum):
    """Why nothing matches, as far as the evidence tells."""

    UNSIGNED = "unsigned"
    SIGNED_IN_BODY = "signed_in_body"
    NO_HMAC = "no_hmac"
    PLAIN_HASH = "plain_hash"
    REWRITTEN_BODY = "rewritten_body"
    WRONG_SECRET = "wrong_secret"  # noqa: S105  (a reason, not a password)


@dataclass(frozen=True, slots=True)
class Request:
    """One captured request.

    Attributes:
        headers: Name and value of every header, in order.
        body: The raw bytes.
        method: Empty when nobody knows.
        path: Path and query as they came; empty when nobody knows.
        received_unix_s: When it came, or None.
    """

    headers: Headers
    body: bytes
    method: str = ""
    path: str = ""
    received_unix_s: float | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a capture proves.

    Attributes:
        verdict: One sentence.
        hint: What to do next; empty when there is a setting and nothing else to say.
        evidence: What was searched.
        macs_count: How many MACs were computed.
        hit: What made a MAC come true over the body as it came, or None.
        setting: How to configure that, or None when stibgate cannot verify it.
        cause: Why nothing matches, or None.
        skew_s: Seconds from the signed timestamp to the receipt; None when either is not known.
        notes: What else should be said, a line each.
    """

    verdict: str
    hint: str
    evidence: Evidence
    macs_count: int
    hit: Hit | None = None
    setting: Setting | None = None
    cause: Cause | None = None
    skew_s: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def match(self) -> bool:
        """Whether a MAC came true over the body as it came."""
        return self.hit is not None


def diagnose(request: Request, secrets: Sequence[Secret]) -> Diagnosis:
    """Return what *request* proves under *secrets*."""
    evidence = read_evidence(request.headers, request.body, method=request.method, path=request.path)
    search = Search(evidence, secrets)
    hit = search.hit()
    if hit is not None:
        return _matched(request, evidence, search, hit)
    rewritten = search.rewritten()
    if rewritten is not None:
        verdict, hint = _rewritten(rewritten[0])
        return Diagnosis(verdict, hint, evidence, search.macs_count, cause=Cause.REWRITTEN_BODY)
    if (plain := search.plain_hash()) is not None:
        verdict = (
            f"The header {plain.header} holds a plain {plain.algorithm} of the body, alone or with the secret beside"
            " it: no HMAC, and stibgate takes nothing else."
        )
        return Diagnosis(verdict, OTHER_PROOF, evidence, search.macs_count, cause=Cause.PLAIN_HASH)
    cause, verdict, hint = _unmatched(evidence, secrets)
    return Diagnosis(verdict, hint, evidence, search.macs_count, cause=cause)


OTHER_PROOF = (
    'Use auth = "token" (the token stands in the URL that you register; treat it as a password), and for job events'
    ' also stibnite.api_key with stibnite.readback = "always": the job is read back, and the body proves nothing.'
)


def describe(hit: Hit) -> str:
    """Return how *hit* was signed, in half a sentence."""
    signed = hit.template.replace("\n", "\\n")
    key = {
        "utf8": "the whole secret as text",
        "strip_prefix": "the secret as text without whsec_",
        "base64": "the secret without whsec_, decoded from base64",
        "hex": "the secret, decoded from hex",
        "base64url": "the secret, decoded from base64url",
        "base64_all": "the whole secret, prefix and all, decoded from base64url",
    }[hit.key.reading]
    return f"HMAC-{hit.claim.algorithm.upper()} in {hit.claim.encoding} over {signed}, and the key is {key}"


def _matched(request: Request, evidence: Evidence, search: Search, hit: Hit) -> Diagnosis:
    setting, hint = None, ""
    verdict = f"The header {hit.claim.header} holds {describe(hit)} ({hit.key.secret.label})."
    try:
        setting = setting_of(hit, request.headers, request.body)
        name = f"the preset {setting.name}" if setting.preset else "no preset of ours"
        verdict += f" That is {name}."
    except ValueError as why:
        verdict += f" stibgate cannot check its like: {why}."
        hint = OTHER_PROOF
    skew_s = None
    signed_unix_s = stamp_unix_s(hit.stamp.text) if hit.stamp else None
    if signed_unix_s is not None and request.received_unix_s is not None:
        skew_s = request.received_unix_s - signed_unix_s
    return Diagnosis(
        verdict=verdict,
        hint=hint,
        evidence=evidence,
        macs_count=search.macs_count,
        hit=hit,
        setting=setting,
        skew_s=skew_s,
        notes=tuple(_notes(hit, setting, skew_s)),
    )


def stamp_unix_s(text: str) -> float | None:
    """Return the time that a signed timestamp says, in seconds since the epoch, or None when it is none."""
    if text.isascii() and text.isdigit():
        number = int(text)
        # Seconds reach 10^11 in the year 5138; what is larger counts thousandths or millionths.
        return number / (1 if number < 10**11 else 1_000 if number < 10**14 else 1_000_000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


def _notes(hit: Hit, setting: Setting | None, skew_s: float | None) -> list[str]:
    notes: list[str] = []
    if hit.claim.algorithm == "sha1":
        notes.append("warning: SHA-1 is weak; ask the sender for SHA-256. allow_sha1 = true opts into it.")
    if hit.claim.encoding is not Encoding.HEX and not re.search(r"[+/_-]", hit.claim.text):
        notes.append("base64 or base64url: this value is the same in both; a value with + / - or _ in it tells")
    if hit.url is not None:
        seen = "as it came" if hit.url.as_came else "with or without the slash at its end, unlike what came"
        notes.append(f"the signed URL begins with {hit.url.origin}, its path {seen}")
    if hit.key.reading in {"hex", "base64url", "base64_all"} and setting is not None:
        notes.append(
            f"stibgate reads no key as {hit.key.reading}: configure the same bytes as base64 behind whsec_, which"
            ' key = "base64" then decodes'
        )
    if (problem := check_secret(hit.key.secret.value)) is not None:
        notes.append(f"warning: the configuration will refuse this secret: {problem}")
    if skew_s is not None and not -60 <= skew_s <= 300:
        side = "before" if skew_s > 0 else "after"
        notes.append(
            f"warning: it was signed {abs(skew_s):.0f} s {side} it was received, outside the limits (300 s before,"
            " 60 s after): a late retry, a replay, or a clock that is wrong"
        )
    if hit.stamp is None:
        notes.append("no timestamp is signed: an old delivery that is sent again cannot be told by its age")
    return notes


def _rewritten(hit: Hit) -> tuple[str, str]:
    verdict = (
        f"Something between the sender and here rewrites the body: {hit.change}. With that undone, the header"
        f" {hit.claim.header} holds {describe(hit)} ({hit.key.secret.label})."
    )
    hint = (
        "Let the proxy or middleware pass the raw bytes through; a signature covers every one of them. This is a"
        " diagnosis: such a body is never accepted."
    )
    return verdict, hint


def _unmatched(evidence: Evidence, secrets: Sequence[Secret]) -> tuple[Cause, str, str]:
    """Return the likeliest cause by the evidence, a sentence and a hint."""
    claims = [claim for claim in evidence.claims if is_named(claim.header)]
    if claims:
        return _wrong_secret(evidence, claims, secrets)
    if evidence.odd:
        header, size = evidence.odd[0]
        verdict = (
            f"The header {header} holds {size} bytes, which no hash of an HMAC has: it looks like an RSA signature or"
            " another one with a public key."
        )
        return Cause.NO_HMAC, verdict, OTHER_PROOF
    if evidence.in_body is not None:
        verdict = (
            f"No header holds a signature; the body's field {evidence.in_body!r} does. stibgate verifies signatures in"
            " headers only: those cover every byte of the body."
        )
        return Cause.SIGNED_IN_BODY, verdict, OTHER_PROOF
    seen = ""
    if evidence.claims:
        seen = f"; {evidence.claims[0].header} holds something as long as a digest, which no given secret makes"
    elif evidence.named:
        seen = f"; {evidence.named[0]} is named like one and holds no digest"
    hint = (
        "The sender does not sign this route, or a proxy strips the header on the way: capture in front of the proxy."
        f" For a route that is not signed: {OTHER_PROOF[0].lower()}{OTHER_PROOF[1:]}"
    )
    return Cause.UNSIGNED, f"No header holds a signature{seen}.", hint


def _wrong_secret(evidence: Evidence, claims: Sequence[Claim], secrets: Sequence[Secret]) -> tuple[Cause, str, str]:
    variables = ", ".join(secret.label for secret in secrets)
    which = f"the secret in {variables} does not make"
    if len(secrets) > 1:
        which = f"none of the secrets in {variables} makes"
    verdict = f"The header {claims[0].header} is well-formed, but {which} it come true in any known way."
    if {len(claim.mac) for claim in claims if claim.likely} == {64}:
        verdict += " Its 64 bytes may also be Ed25519, which is no HMAC and needs a public key."
    hint = (
        "Likeliest it is the secret of another endpoint, or one from before a rotation. Compare the endpoint's id and"
        " creation time, and how many secrets are on file; try the others, and the API key, with more --secret-env."
    )
    return Cause.WRONG_SECRET, verdict, hint + _about_urls(evidence)


def _about_urls(evidence: Evidence) -> str:
    if not evidence.urls:
        return " The capture says no path or no host, so schemes that sign the URL were not tried."
    return (
        f" Schemes that sign the URL were tried with {len(evidence.urls)} spellings of it (http and https, with and"
        " without port and slash); a proxy that rewrites the path would hide one."
    )
