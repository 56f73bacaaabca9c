"""Opaque cursors: a place in a list, sealed to what the list was filtered by.

Source: Stibnite Person Data API, "Company domain inventory" ("Cursors are tied to the same ... filters"), "Bad
Requests" (invalid cursors are a 400).
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

from stibgate.sandbox.stibnite.refusals import Refused

_PLACE_BYTES = 4
_SEAL_BYTES = 17


class Cursors:
    """Makes and reads the cursors of one seed."""

    def __init__(self, seed: int) -> None:
        self._key = f"cursor {seed}".encode()

    def cursor(self, place: int, *filters: object) -> str:
        """Return the cursor of *place* in what *filters* leave."""
        raw = place.to_bytes(_PLACE_BYTES, "big")
        return urlsafe_b64encode(raw + self._seal(raw, filters)).decode()

    def place(self, cursor: str | None, *filters: object) -> int:
        """Return the place that *cursor* names; 0 without one.

        Raises:
            Refused: 400, when it was not made for *filters*.
        """
        if cursor is None:
            return 0
        try:
            raw = urlsafe_b64decode(cursor.encode("ascii"))
        except ValueError:
            raw = b""
        place = raw[:_PLACE_BYTES]
        # Decoding skips what is no base64: only the one spelling that we gave out is a cursor.
        same = urlsafe_b64encode(raw).decode() == cursor
        if not same or not hmac.compare_digest(raw[_PLACE_BYTES:], self._seal(place, filters)):
            raise Refused(400, "cursor is not valid for this request; resend the filters that it came with")
        return int.from_bytes(place, "big")

    def _seal(self, place: bytes, filters: tuple[object, ...]) -> bytes:
        return hmac.digest(self._key, place + repr(filters).encode("utf-8", "surrogatepass"), "sha256")[:_SEAL_BYTES]
