"""The few words of a refusal that may be kept: no person, no secret, no control character.

A receiver that refuses likes to repeat what it was sent. What an operator needs is its sentence, not the person in
it. So everything that belongs to a person of the batch, looks like an e-mail address or a telephone number, or is a
secret of ours is masked. Comparing is by words, without case and accents. When in doubt nothing is kept.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from stibgate.domain.record import Record

CHARS_MAX = 200

_MASK = "***"
_LOOKED_AT_MAX = 1000
_PERSONAL = ("first_name", "last_name", "business_email", "mobile_phone", "linkedin_url")
_CODE_UNIT = re.compile(r"\\u([0-9a-fA-F]{4})")
_EMAIL = re.compile(r"[^\s\"'<>,;:()\[\]{}]+@[^\s\"'<>,;()\[\]{}]+")
_PHONE = re.compile(r"\+?[0-9](?:[\s()./-]{0,3}[0-9]){6,}")
_WORD = re.compile(r"[^\W_]+")


def excerpt(data: bytes, *, whole: bool, secrets: Iterable[str], records: Sequence[Record]) -> str:
    """Return at most 200 printable characters of *data*, on one line, or "" when nothing may be kept.

    Args:
        data: The answer's body, or its beginning.
        whole: Whether it is all of the body; else its last word may be half a name.
        secrets: Texts of ours that must not appear.
        records: The persons who must not appear.
    """
    text = _plain(data, whole=whole)
    for secret in secrets:
        text = text.replace(secret, _MASK)
    text = _PHONE.sub(_MASK, _EMAIL.sub(_MASK, text))
    persons = {_folded(word) for value in _values(records) for word in _WORD.findall(value) if len(word) > 1}
    text = _WORD.sub(lambda found: _MASK if _folded(found[0]) in persons else found[0], text)
    # Scripts without spaces have no words to compare.
    rest = _folded(text)
    if any(not word.isascii() and word in rest for word in persons):
        return ""
    return text if len(text) <= CHARS_MAX else f"{text[: CHARS_MAX - 1]}…"


def _plain(data: bytes, *, whole: bool) -> str:
    """Return *data* as one line, with the escapes of JSON, HTML and URLs undone: a name may hide in them."""
    text = _CODE_UNIT.sub(lambda found: chr(int(found[1], 16)), data.decode("utf-8", "replace"))
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = unicodedata.normalize("NFC", unquote(html.unescape(text)))
    text = " ".join("".join(char for char in text if char.isprintable() or char.isspace()).split())
    if whole and len(text) <= _LOOKED_AT_MAX:
        return text
    return text[:_LOOKED_AT_MAX].rpartition(" ")[0]  # half a name would not be found


def _values(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        yield from (value for name in _PERSONAL if (value := getattr(record, name)))
        yield from (issue.original for issue in record.issues)
        yield from _strings(record.extra)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _folded(text: str) -> str:
    """Return *text* without case and accents."""
    if text.isascii():
        return text.lower()
    bare = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return bare.casefold()
