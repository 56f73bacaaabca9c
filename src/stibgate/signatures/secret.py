"""Signing secrets: how a key is read from one, and which ones are no secrets at all."""

import base64
import binascii
from dataclasses import dataclass, field

from stibgate.signatures.scheme import KeyReading

PREFIX = "whsec_"
SECRET_BYTES_MIN = 16

_PLACEHOLDERS = frozenset(
    {
        "changeme",
        "change-me",
        "change_me",
        "example",
        "false",
        "nil",
        "none",
        "null",
        "password",
        "placeholder",
        "replaceme",
        "replace-me",
        "replace_me",
        "secret",
        "todo",
        "true",
        "undefined",
        "your-secret",
        "your_secret",
        "your-signing-secret",
        "your_signing_secret",
    }
)
_MASK = frozenset("*.•…")


@dataclass(frozen=True, slots=True)
class Secret:
    """One signing secret of a source.

    Attributes:
        value: The text as the vendor gave it; never printed.
        label: The name under which a match is logged and counted.
        not_after_unix_s: The last second at which the secret still proves anything; None for no end.
    """

    value: str = field(repr=False)
    label: str
    not_after_unix_s: float | None = None

    def is_live(self, now_unix_s: float) -> bool:
        """Return whether the secret may still match at *now_unix_s*."""
        return self.not_after_unix_s is None or now_unix_s <= self.not_after_unix_s


def derive_key(value: str, reading: KeyReading) -> bytes:
    """Return the HMAC key that *value* holds under *reading*, at least one byte.

    White space around the text is not part of it: secrets come out of files that end with a newline. `base64`
    works with and without `whsec_`, and with and without padding.
    Source: Standard Webhooks specification, "Signature scheme"; stripe-python `_webhook.py` for `utf8`.

    Raises:
        ValueError: The text holds no key under this reading; the message does not repeat it.
    """
    text = value.strip()
    stripped = text.removeprefix(PREFIX)
    if not stripped:
        raise ValueError("the secret is empty")
    try:
        if reading is KeyReading.BASE64:
            return _decoded(stripped)
        return (text if reading is KeyReading.UTF8 else stripped).encode()
    except (binascii.Error, ValueError):
        raise ValueError(f"the secret cannot be read as {reading}") from None


def _decoded(text: str) -> bytes:
    key = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    if not key:
        raise ValueError("the secret is empty")
    return key


def check_secret(value: str) -> str | None:
    """Return None when *value* can be a secret, else one sentence that says why not, without repeating it.

    The prefix `whsec_` is public, so it counts for nothing: 16 bytes must stand behind it. Any ordinary text of
    that length passes, whether or not it is base64. (Published flaws: an empty, blank or placeholder secret
    that verified whatever an attacker signed with it. Source: research/security.md 1.3.)
    """
    text = value.strip()
    if not text:
        return "the secret is empty or blank"
    material = text.removeprefix(PREFIX)
    if not material:
        return f"the secret is only the prefix {PREFIX}; the part behind it is missing"
    bare = material.strip("<>[]{}\"'").casefold()
    if bare in _PLACEHOLDERS or set(material) <= _MASK:
        return "the secret is a placeholder"
    count = len(material.encode("utf-8", "surrogatepass"))
    if count < SECRET_BYTES_MIN:
        behind = f" behind {PREFIX}" if material != text else ""
        return f"the secret has {count} bytes{behind}; it needs at least {SECRET_BYTES_MIN}"
    return None
