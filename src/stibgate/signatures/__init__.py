"""How senders sign: pure signing and verification, with schemes as data.

The rule of the room: raw bytes in, an answer out. No clock, disk, network, randomness or log; the time and the
ids are arguments. `Verifier.verify` raises `SignatureRefused` and nothing else, whatever was sent. `explain`
diagnoses a capture and never decides about a delivery.
"""

from stibgate.signatures.explain import Explanation, explain
from stibgate.signatures.presets import PRESETS, candidates
from stibgate.signatures.scheme import Algorithm, Encoding, Grammar, KeyReading, Scheme, TimestampUnit
from stibgate.signatures.secret import Secret, check_secret, derive_key
from stibgate.signatures.sign import sign
from stibgate.signatures.verify import Verified, Verifier
from stibgate.signatures.wire import HeaderLookup, header_lookup

__all__ = [
    "PRESETS",
    "Algorithm",
    "Encoding",
    "Explanation",
    "Grammar",
    "HeaderLookup",
    "KeyReading",
    "Scheme",
    "Secret",
    "TimestampUnit",
    "Verified",
    "Verifier",
    "candidates",
    "check_secret",
    "derive_key",
    "explain",
    "header_lookup",
    "sign",
]
