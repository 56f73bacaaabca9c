"""Content confusion: one MAC, two schemes, two meanings.

Two candidates that share a key can be played against each other: a captured MAC over `1779043375.{...}` is also a
valid body-only MAC over a body that begins with `1779043375.`, and so escapes the time limit. So, among several
candidates, bytes that a richer template could have signed do not count for a poorer one. Genuine bodies are JSON
and never look like that. Source: research/security.md 1.2 (field shifting), research/vendors.md 4.5 (pinning).
"""

import re
from collections.abc import Iterable

from stibgate.signatures.mac import ID_CHARS_MAX, STAMP_DIGITS_MAX
from stibgate.signatures.scheme import Scheme, id_stops, pieces


def rivals(scheme: Scheme, others: Iterable[Scheme]) -> tuple[re.Pattern[bytes], ...]:
    """Return one pattern for every template among *others* that signs more fields than *scheme* does.

    A pattern matches signed bytes, from their first to their last, that such a template may have made.
    """
    fields = _field_count(scheme)
    richer = {other.content: other for other in others if _field_count(other) > fields}
    return tuple(_pattern(other) for other in richer.values())


def is_ambiguous(patterns: tuple[re.Pattern[bytes], ...], signed: bytes) -> bool:
    """Return whether a richer template could have made the *signed* bytes as well."""
    return any(pattern.fullmatch(signed) for pattern in patterns)


def _field_count(scheme: Scheme) -> int:
    return ("{t}" in scheme.content) + ("{id}" in scheme.content)


def _pattern(scheme: Scheme) -> re.Pattern[bytes]:
    stops = re.escape(id_stops(scheme.content).encode())
    fields = {
        "{body}": b"(?s:.*)",
        "{t}": b"[0-9]{1,%d}" % STAMP_DIGITS_MAX[scheme.timestamp_unit],
        "{id}": b"(?:(?![%s])[\\x21-\\x7e]){1,%d}" % (stops, ID_CHARS_MAX),
    }
    return re.compile(b"".join(fields.get(part, re.escape(part.encode())) for part in pieces(scheme.content)))
