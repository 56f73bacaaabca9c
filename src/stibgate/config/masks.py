"""How a value of the configuration may be shown: secrets as a fingerprint, everything else cut short.

A fingerprint (`whsec_...(44 chars, sha256 9f2c4e1a)`) lets two people compare what they have without either of
them saying it. Nothing in this package puts a value into a message except through `seen`.
"""

import hashlib
import re
from typing import Any

SECRET_KEYS = frozenset({
    "access_key", "account_key", "api_key", "headers", "password", "private_key", "sas_key", "secret",
    "secret_access_key", "secret_key", "secrets", "service_account_key", "session_token", "token", "tokens",
})  # fmt: skip
"""Keys that hold a secret by their name alone, whatever the model of a sink from elsewhere makes of them."""

_SHOWN_MAX = 60
# Fewer characters could be found again by trying them all against the hash.
_HASHED_MIN = 16
_PREFIXES = ("whsec_", "stib_live_", "stib_test_", "pat-")
_USERINFO = re.compile(r"://[^/@\s]*@")


def mask(secret: str) -> str:
    """Return a fingerprint of *secret*: its public prefix, its length without it, 32 bits of its SHA-256."""
    prefix = next((known for known in _PREFIXES if secret.startswith(known)), "")
    count = len(secret) - len(prefix)
    if count < _HASHED_MIN:
        return f"{prefix}...({count} chars)"
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{prefix}...({count} chars, sha256 {digest})"


def seen(value: object, *, secret: bool = False) -> str:
    """Return *value* as a problem may show it, at most 60 characters of it and never a secret.

    Args:
        value: What was found.
        secret: Whether it stands where a secret belongs, and so is masked.
    """
    # A secret pasted under the wrong key is still a secret; a table may hold one under a wrong key.
    if secret or _holds_table(value) or looks_secret(str(value)):
        return _masked_whole(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    # A URL may carry a password.
    text = _USERINFO.sub("://***@", repr(value))
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}..."


def looks_secret(text: str) -> bool:
    """Return whether *text* holds something that by its prefix is a secret."""
    return any(prefix in text for prefix in _PREFIXES)


def _holds_table(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_table(item) for item in value)
    return isinstance(value, dict)


def _masked_whole(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return mask(value if isinstance(value, str) else str(value))
