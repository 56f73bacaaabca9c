"""How senders sign: pure signing and verification, with schemes as data.

The rule of the room: raw bytes in, an answer out. No clock, disk, network, randomness or log; the time and the
ids are arguments. `Verifier.verify` raises `SignatureRefused` and nothing else, whatever was sent. `explain`
and `diagnose` speak about captures and never decide about a delivery.
"""

from stibgate.signatures.diagnose import Diagnosis, Request, diagnose
from stibgate.signatures.explain import Explanation, Why, explain
from stibgate.signatures.presets import PRESETS, candidates
from stibgate.signatures.scheme import Algorithm, Encoding, Grammar, KeyReading, Scheme, TimestampUnit
from stibgate.signatures.search import keys_of
from stibgate.signatures.secret import Secret, check_secret, derive_key
from stibgate.signatures.sign import sign
from stibgate.signatures.verify import Verified, Verifier
from stibgate.signatures.wire import HeaderLookup, header_lookup

__all__ = [
    "PRESETS",
    "Algorithm",
    "Diagnosis",
    "Encoding",
    "Explanation",
    "Grammar",
    "HeaderLookup",
    "KeyReading",
    "Request",
    "Scheme",
    "Secret",
    "TimestampUnit",
    "Verified",
    "Verifier",
    "Why",
    "candidates",
    "check_secret",
    "derive_key",
    "diagnose",
    "explain",
    "header_lookup",
    "keys_of",
    "sign",
]
