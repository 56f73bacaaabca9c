"""The search behind every diagnosis: which digest of which signed text, under which reading of the secret, comes true.

A hit is proof, 2^-160 or less by chance, and no one plants one without the secret. It is for people all the
same: nothing here is used to accept a delivery. The number of MACs is bounded, the likeliest come first.
"""

import base64
import binascii
import hashlib
import hmac
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from stibgate.errors import SignatureRefused
from stibgate.signatures.evidence import Claim, Evidence, Headers, Place, Url
from stibgate.signatures.scheme import KeyReading, Scheme
from stibgate.signatures.secret import PREFIX, Secret, derive_key
from stibgate.signatures.variants import body_variants
from stibgate.signatures.verify import Verified, Verifier
from stibgate.signatures.wire import header_lookup

CORE = ("{body}", "{t}.{body}", "v0:{t}:{body}", "{id}.{t}.{body}")
"""What the presets sign; the only templates that are tried on changed bodies and on unlikely readings."""

_MORE = (
    "{t}{body}",
    "{t}:{body}",
    "{body}.{t}",
    "{body}{t}",
    "{t}|{body}",
    "{t}\n{body}",
    "v1:{t}:{body}",
    "{id}.{body}",
    "{t}.{id}.{body}",
    "{id}:{t}:{body}",
    "{id}{t}{body}",
    "{id}{body}{t}",
    "{method}{url}{body}{t}",
    "{method}{url}{body}",
    "{url}{body}",
    "{body}{url}",
    "{t}{method}{path}{body}",
    "{method}{path}{body}",
)
_FIELD = re.compile(r"(\{(?:body|t|id|method|url|path)\})")

_STRONGEST_FIRST = ("sha256", "sha512", "sha384", "sha1")

MACS_MAX = 650
"""A secret, on the body as it came."""
VARIANT_MACS_MAX = 350
"""A secret, on what the body may have been."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key that a secret may stand for, by a `KeyReading`, `hex`, `base64url`, or `base64_all` (prefix and all)."""

    value: bytes
    reading: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class Hit:
    """What made a MAC come true.

    Attributes:
        claim: The MAC and where it stands.
        template: What was signed: literals and `{body}`, `{t}`, `{id}`, `{method}`, `{url}`, `{path}`.
        key: The key, and how it was read from which secret.
        stamp: What stood for `{t}`, or None.
        message_id: What stood for `{id}`, or None.
        url: What stood for `{url}` or `{path}`, or None.
        change: What happened to the body on the way; empty when it is as it came.
    """

    claim: Claim
    template: str
    key: Key
    stamp: Place | None = None
    message_id: Place | None = None
    url: Url | None = None
    change: str = ""


@dataclass(frozen=True, slots=True)
class _Filling:
    template: str
    stamp: Place | None
    message_id: Place | None
    url: Url | None


class Search:
    """Looks for what makes a MAC come true.

    Args:
        evidence: Where to look.
        secrets: Whose keys to try; their end does not matter here.
        known: Templates that somebody configured; they are tried first.

    Attributes:
        macs_count: How many MACs were computed so far.
    """

    def __init__(self, evidence: Evidence, secrets: Sequence[Secret], *, known: Iterable[str] = ()) -> None:
        self._evidence = evidence
        self._keys = tuple(key for secret in secrets for key in keys_of(secret))
        self._core = tuple(dict.fromkeys((*known, *CORE)))
        self._scale = max(1, len(secrets))
        self.macs_count = 0

    def hit(self) -> Hit | None:
        """Return what makes a MAC over the body as it came come true, or None."""
        end = self.macs_count + MACS_MAX * self._scale
        likely = [claim for claim in self._evidence.claims if claim.likely]
        unlikely = [claim for claim in self._evidence.claims if not claim.likely]
        for templates, claims in ((self._core, likely), (self._core, unlikely), (_MORE, likely)):
            fillings = _fillings(templates, self._evidence)
            if (found := self._try(fillings, claims, self._evidence.body, end)) is not None:
                return found
        return None

    def rewritten(self) -> tuple[Hit, bytes] | None:
        """Return what makes a MAC come true over what the body may have been, and that body; or None."""
        end = self.macs_count + VARIANT_MACS_MAX * self._scale
        likely = [claim for claim in self._evidence.claims if claim.likely]
        if not likely or not self._keys:
            return None
        few = replace(self._evidence, stamps=self._evidence.stamps[:2], ids=self._evidence.ids[:1])
        for variant in body_variants(self._evidence.body):
            found = self._try(_fillings(self._core, few), likely, variant.body, end)
            if found is not None:
                return replace(found, change=variant.change), variant.body
        return None

    def plain_hash(self) -> Claim | None:
        """Return a claim that is a hash of the body without HMAC, alone or with the secret beside it, or None."""
        body = self._evidence.body
        texts = [body, *(text for key in self._keys for text in (key.value + body, body + key.value))]
        for claim in self._evidence.claims:
            for text in texts:
                if hmac.compare_digest(hashlib.new(claim.algorithm, text).digest(), claim.mac):
                    return claim
        return None

    def _try(self, fillings: Iterator[_Filling], claims: Sequence[Claim], body: bytes, end: int) -> Hit | None:
        algorithms = [name for name in _STRONGEST_FIRST if any(claim.algorithm == name for claim in claims)]
        for filling in fillings:
            text = _filled(filling, self._evidence.method, body)
            for key in self._keys:
                for algorithm in algorithms:
                    if self.macs_count >= end:
                        return None
                    self.macs_count += 1
                    mac = hmac.digest(key.value, text, algorithm)
                    for claim in claims:
                        if hmac.compare_digest(mac, claim.mac):
                            return Hit(claim, filling.template, key, filling.stamp, filling.message_id, filling.url)
        return None


def keys_of(secret: Secret) -> list[Key]:
    """Return the distinct keys that *secret* may stand for, the likeliest first; none of them is empty."""
    text = secret.value.strip()
    behind = text.removeprefix(PREFIX)
    found: dict[bytes, Key] = {}
    for reading in (KeyReading.UTF8, KeyReading.BASE64, KeyReading.STRIP_PREFIX):
        try:
            value = derive_key(text, reading)
        except ValueError:
            continue
        found.setdefault(value, Key(value, reading.value, secret))
    if len(behind) % 2 == 0 and re.fullmatch(r"[0-9a-fA-F]+", behind):
        value = bytes.fromhex(behind)
        found.setdefault(value, Key(value, "hex", secret))
    for whole, word in ((behind, "base64url"), (text, "base64_all")):
        if not behind or re.fullmatch(r"[A-Za-z0-9_-]{2,}=*", whole) is None:
            continue
        bare = whole.rstrip("=")
        with suppress(binascii.Error):
            value = base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
            found.setdefault(value, Key(value, word, secret))
    return list(found.values())


def first_hit(headers: Headers, body: bytes, schemes: Sequence[Scheme], secrets: Sequence[Secret]) -> Verified | None:
    """Return the match of *schemes* and *secrets*, at whatever time and with whatever age of the secret."""
    ageless = [replace(secret, not_after_unix_s=None) for secret in secrets]
    verifier = Verifier(schemes, ageless, tolerance_s=math.inf, future_s=math.inf)
    try:
        return verifier.verify(header_lookup(headers), body, now_unix_s=0.0)
    except SignatureRefused:
        return None


def _fillings(templates: Iterable[str], evidence: Evidence) -> Iterator[_Filling]:
    """Yield each template with everything that its fields may stand for."""
    for template in templates:
        stamps: tuple[Place | None, ...] = evidence.stamps if "{t}" in template else (None,)
        ids: tuple[Place | None, ...] = evidence.ids if "{id}" in template else (None,)
        urls: tuple[Url | None, ...] = (None,)
        if "{url}" in template:
            urls = evidence.urls
        elif "{path}" in template:
            urls = evidence.urls[:1]
        for stamp in stamps:
            for message_id in ids:
                for url in urls:
                    yield _Filling(template, stamp, message_id, url)


def _filled(filling: _Filling, method: str, body: bytes) -> bytes:
    fields = {
        "{body}": body,
        "{t}": filling.stamp.text.encode() if filling.stamp else b"",
        "{id}": filling.message_id.text.encode() if filling.message_id else b"",
        "{url}": filling.url.text.encode("utf-8", "surrogatepass") if filling.url else b"",
        "{path}": filling.url.path.encode("utf-8", "surrogatepass") if filling.url else b"",
        "{method}": method.encode("utf-8", "surrogatepass"),
    }
    return b"".join(fields[part] if part in fields else part.encode() for part in _FIELD.split(filling.template))
