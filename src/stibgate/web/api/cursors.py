"""Cursors: where a list goes on, sealed with what the list was asked for, so that one of another list is noticed."""

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stibgate.errors import UsageError

_NUMBER_BYTES = 8
_SEAL_BYTES = 12


@dataclass(frozen=True, slots=True)
class Cursors:
    """Makes and reads cursors.

    Attributes:
        key: Returns 32 bytes that nobody outside knows, the same over restarts.
    """

    key: Callable[[], bytes]

    def write(self, scope: Sequence[Any], before: int) -> str:
        """Return the cursor of what comes after number *before* in the list of *scope*."""
        number = before.to_bytes(_NUMBER_BYTES, "big")
        return _text(number + self._seal(scope, number))

    def read(self, scope: Sequence[Any], cursor: str) -> int:
        """Return the number that *cursor* goes on from.

        Raises:
            UsageError: It is no cursor of ours, or one of another list.
        """
        try:
            data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            data = b""
        number, seal = data[:_NUMBER_BYTES], data[_NUMBER_BYTES:]
        known = len(seal) == _SEAL_BYTES and _text(data) == cursor  # of all that decode alike, one is ours
        if not known or not hmac.compare_digest(seal, self._seal(scope, number)):
            raise UsageError(
                "the cursor is not of this list",
                hint="Go on with the next_cursor of the page before and the same filters, or begin without one.",
            )
        return int.from_bytes(number, "big")

    def _seal(self, scope: Sequence[Any], number: bytes) -> bytes:
        text = json.dumps(scope, sort_keys=True, separators=(",", ":"), default=str)
        return hmac.digest(self.key(), b"cursor\0" + number + text.encode(), "sha256")[:_SEAL_BYTES]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
