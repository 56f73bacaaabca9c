"""Verification: raw bytes in, `Verified` or `SignatureRefused` out, and nothing else, whatever was sent.

All that depends on the configuration is worked out once, when the source is built. What runs per delivery parses
each header once, computes one MAC for each layout and key that could apply, and compares them all.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from stibgate.errors import AuthReason, SignatureRefused
from stibgate.signatures.guard import is_ambiguous, rivals
from stibgate.signatures.mac import STAMP_DIGITS_MAX, Content, is_message_id, is_stamp
from stibgate.signatures.scheme import KeyReading, Scheme, TimestampUnit, id_stops
from stibgate.signatures.secret import Secret, derive_key
from stibgate.signatures.wire import HEADER_CHARS_MAX, SIGNATURES_MAX, HeaderLookup, decode_mac, split_value

# Which reason says most when several schemes failed: the one that came closest to a match.
_TELLING = {
    AuthReason.MISSING: 0,
    AuthReason.MALFORMED: 1,
    AuthReason.MISMATCH: 2,
    AuthReason.REPEATED: 3,
    AuthReason.EXPIRED_SECRET: 4,
    AuthReason.STALE: 5,
    AuthReason.FUTURE: 6,
}

_MESSAGES = {
    AuthReason.MISSING: "a signature header is missing",
    AuthReason.MALFORMED: "a signature header cannot be read",
    AuthReason.MISMATCH: "no signature matches",
    AuthReason.REPEATED: "a signature header came more than once",
    AuthReason.EXPIRED_SECRET: "only an expired secret matches",
    AuthReason.STALE: "the signature is too old",
    AuthReason.FUTURE: "the signature is from the future",
}


@dataclass(frozen=True, slots=True)
class Verified:
    """A delivery that proved itself.

    Attributes:
        scheme: The scheme that matched, fit to be pinned.
        secret_label: Which secret matched.
        signed_unix_s: When it was signed, or None where the scheme signs no time.
        message_id: The sender's id, or None where the scheme does not sign it.
        stale: Whether it was signed longer ago than the tolerance; the caller decides what that means.
    """

    scheme: Scheme
    secret_label: str
    signed_unix_s: float | None
    message_id: str | None
    stale: bool


class _Claim(NamedTuple):
    """What the headers say under one layout, unproven; a tuple, since one is made per delivery and layout."""

    macs: list[bytes]
    stamp: str
    message_id: str


@dataclass(frozen=True, slots=True)
class _Key:
    """One key under which a layout may be signed, and whose it is."""

    value: bytes
    secret: Secret
    scheme: Scheme


@dataclass(frozen=True, slots=True)
class _Layout:
    """Schemes that differ only in how the key is read: one parse serves them all."""

    shape: Scheme
    keys: tuple[_Key, ...]
    content: Content
    algorithm: str
    digest_bytes: int
    time_pair: str | None
    time_header: str | None
    stamp_digits: int
    unit_s: int
    id_stops: str
    rivals: tuple[re.Pattern[bytes], ...]

    @classmethod
    def of(cls, shape: Scheme, keys: tuple[_Key, ...], candidates: Sequence[Scheme]) -> "_Layout":
        """Return the layout with all that depends on the configuration worked out."""
        unit = shape.timestamp_unit
        return cls(
            shape=shape,
            keys=keys,
            content=Content.of(shape.content),
            algorithm=shape.algorithm.value,
            digest_bytes=shape.algorithm.digest_bytes,
            time_pair=shape.timestamp_pair,
            time_header=shape.timestamp_header,
            stamp_digits=0 if shape.timestamp == "none" else STAMP_DIGITS_MAX[unit],
            unit_s=1000 if unit is TimestampUnit.MILLISECONDS else 1,
            id_stops=id_stops(shape.content),
            rivals=rivals(shape, candidates),
        )

    def read(self, headers: HeaderLookup) -> _Claim | AuthReason | None:
        """Return the claim, why there is none, or None when this layout does not apply at all."""
        shape = self.shape
        if shape.unless is not None and headers(shape.unless):
            return None
        value = _only(headers, shape.header)
        if isinstance(value, AuthReason):
            return value
        found = split_value(value, shape.grammar, shape.label, self.time_pair)
        if found is None:
            return AuthReason.MALFORMED
        stamp = self._stamp(headers, found[1])
        if isinstance(stamp, AuthReason):
            return stamp
        message_id = self._message_id(headers)
        if isinstance(message_id, AuthReason):
            return message_id
        encoding, size = shape.encoding, self.digest_bytes
        macs = [mac for text in found[0][:SIGNATURES_MAX] if (mac := decode_mac(text, encoding, size)) is not None]
        return _Claim(macs, stamp, message_id) if macs else AuthReason.MALFORMED

    def _stamp(self, headers: HeaderLookup, inside: str | None) -> str | AuthReason:
        """Return the timestamp as text, empty where none is signed."""
        if not self.stamp_digits:
            return ""
        stamp = _only(headers, self.time_header) if self.time_header is not None else inside or ""
        if isinstance(stamp, AuthReason) or is_stamp(stamp, self.stamp_digits):
            return stamp
        return AuthReason.MALFORMED

    def _message_id(self, headers: HeaderLookup) -> str | AuthReason:
        """Return the message id, empty where none is signed."""
        if self.shape.id_header is None:
            return ""
        message_id = _only(headers, self.shape.id_header)
        if isinstance(message_id, AuthReason) or is_message_id(message_id, self.id_stops):
            return message_id
        return AuthReason.MALFORMED

    def match(self, claim: _Claim, body: bytes, now_unix_s: float) -> _Key | None:
        """Return the key that made one of the claim's MACs, a live one before an expired one, or None.

        Every MAC is compared with that of every key: how long it takes tells nothing about which one matched.
        """
        best: _Key | None = None
        for key in self.keys:
            expected = self.content.mac(key.value, body, self.algorithm, claim.stamp, claim.message_id)
            same = False
            for mac in claim.macs:
                same |= hmac.compare_digest(expected, mac)
            if same and (best is None or (key.secret.is_live(now_unix_s) and not best.secret.is_live(now_unix_s))):
                best = key
        if best is not None and self.rivals:
            signed = self.content.signed(body, claim.stamp, claim.message_id)
            return None if is_ambiguous(self.rivals, signed) else best
        return best


def _only(headers: HeaderLookup, name: str) -> str | AuthReason:
    """Return the one value under *name*, or why there is none that can be trusted."""
    values = headers(name)
    if not values:
        return AuthReason.MISSING
    if len(values) > 1:
        return AuthReason.REPEATED
    value = values[0].strip(" \t")
    if not value or len(value) > HEADER_CHARS_MAX or not value.isascii():
        return AuthReason.MALFORMED
    return value


class Verifier:
    """Verifies the deliveries of one source.

    Args:
        schemes: The candidates, the likeliest first; one when the source is pinned.
        secrets: The source's secrets, newest first.
        tolerance_s: How old a signature may be before it is stale.
        future_s: How far ahead of our clock it may be before it is refused.

    A secret that has no key under a scheme's reading is passed over; when nothing is left, every delivery is
    refused. `check_secret` and `derive_key` tell beforehand.
    """

    __slots__ = ("_future_s", "_layouts", "_tolerance_s")

    def __init__(
        self,
        schemes: Sequence[Scheme],
        secrets: Sequence[Secret],
        *,
        tolerance_s: float = 300.0,
        future_s: float = 60.0,
    ) -> None:
        self._tolerance_s = tolerance_s
        self._future_s = future_s
        groups: dict[Scheme, list[Scheme]] = {}
        for scheme in schemes:
            shape = replace(scheme, name="", key=KeyReading.UTF8)
            groups.setdefault(shape, []).append(scheme)
        self._layouts = tuple(_Layout.of(shape, _keys(group, secrets), schemes) for shape, group in groups.items())

    def verify(self, headers: HeaderLookup, body: bytes, *, now_unix_s: float) -> Verified:
        """Return what the delivery proved about itself.

        A signature that matches and is merely old comes back with `stale` set.

        Args:
            headers: Every value under a lower-case name.
            body: The raw bytes as they came.
            now_unix_s: The clock.

        Raises:
            SignatureRefused: Nothing matched; `reason` is that of the candidate that came closest.
        """
        best: Verified | None = None
        reason = AuthReason.MISSING
        for layout in self._layouts:
            outcome: _Claim | AuthReason | Verified | None = layout.read(headers)
            if isinstance(outcome, _Claim):
                outcome = self._judge(layout, outcome, body, now_unix_s)
            if isinstance(outcome, Verified):
                if not outcome.stale:
                    return outcome  # which layout proved it is no secret
                best = best or outcome
            elif outcome is not None and _TELLING[outcome] > _TELLING[reason]:
                reason = outcome
        if best is None:
            raise SignatureRefused(reason, _MESSAGES[reason])
        return best

    def _judge(self, layout: _Layout, claim: _Claim, body: bytes, now_unix_s: float) -> Verified | AuthReason:
        key = layout.match(claim, body, now_unix_s)
        if key is None:
            return AuthReason.MISMATCH
        if not key.secret.is_live(now_unix_s):
            return AuthReason.EXPIRED_SECRET
        signed_unix_s: float | None = None
        stale = False
        if claim.stamp:
            signed_unix_s = int(claim.stamp) / layout.unit_s
            # Written so that a clock that is not a number refuses.
            if not signed_unix_s - now_unix_s <= self._future_s:
                return AuthReason.FUTURE
            stale = now_unix_s - signed_unix_s > self._tolerance_s
        return Verified(key.scheme, key.secret.label, signed_unix_s, claim.message_id or None, stale)


def _keys(schemes: Sequence[Scheme], secrets: Sequence[Secret]) -> tuple[_Key, ...]:
    """Return the distinct keys of *secrets* under the readings of *schemes*, in the order of both."""
    found: dict[tuple[bytes, Secret], _Key] = {}
    for scheme in schemes:
        for secret in secrets:
            try:
                value = derive_key(secret.value, scheme.key)
            except ValueError:
                continue
            found.setdefault((value, secret), _Key(value, secret, scheme))
    return tuple(found.values())
