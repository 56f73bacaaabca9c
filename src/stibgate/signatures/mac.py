"""The bytes that are signed, and their HMAC: the one place where signing and verifying meet."""

import hmac
from dataclasses import dataclass

from stibgate.signatures.scheme import TimestampUnit

COPY_BYTES_MAX = 1 << 18


@dataclass(frozen=True, slots=True)
class Content:
    """What a template puts round the body.

    Attributes:
        before: The template's text in front of `{body}`, fields unfilled.
        after: The template's text behind it.
    """

    before: str
    after: str

    @classmethod
    def of(cls, template: str) -> "Content":
        """Return the two halves of a sound template."""
        before, _, after = template.partition("{body}")
        return cls(before, after)

    def mac(self, key: bytes, body: bytes, algorithm: str, stamp: str, message_id: str) -> bytes:
        """Return the HMAC over the filled template; large bodies are not copied.

        Args:
            key: The HMAC key.
            body: The raw bytes.
            algorithm: The hash's name as OpenSSL knows it; a plain str, because an enum is slow here.
            stamp: What `{t}` stands for.
            message_id: What `{id}` stands for.
        """
        if not self.before and not self.after:
            return hmac.digest(key, body, algorithm)
        before, after = _filled(self.before, stamp, message_id), _filled(self.after, stamp, message_id)
        if len(body) <= COPY_BYTES_MAX:
            return hmac.digest(key, before + body + after, algorithm)
        running = hmac.new(key, before, algorithm)
        running.update(body)
        running.update(after)
        return running.digest()

    def signed(self, body: bytes, stamp: str, message_id: str) -> bytes:
        """Return the filled template itself."""
        return _filled(self.before, stamp, message_id) + body + _filled(self.after, stamp, message_id)


def _filled(text: str, stamp: str, message_id: str) -> bytes:
    # The id goes in last: it may hold `{t}` as text, a timestamp holds digits only.
    return text.replace("{t}", stamp).replace("{id}", message_id).encode() if text else b""


STAMP_DIGITS_MAX = {TimestampUnit.SECONDS: 12, TimestampUnit.MILLISECONDS: 13}
ID_CHARS_MAX = 256


def is_stamp(text: str, digits_max: int) -> bool:
    """Return whether *text* is a timestamp as we take it: 1 to *digits_max* ASCII digits.

    No sign, point, underscore or foreign digit: `int()` and `float()` take them all, and `nan` besides.
    """
    return 0 < len(text) <= digits_max and text.isascii() and text.isdigit()


def is_message_id(text: str, stops: str) -> bool:
    """Return whether *text* is an id as we take it: 1 to 256 visible ASCII characters, none of *stops*."""
    return (
        0 < len(text) <= ID_CHARS_MAX
        and text.isascii()
        and text.isprintable()
        and " " not in text
        and not any(stop in text for stop in stops)
    )
