"""Plain text: trimmed, NFC, white space collapsed, control and zero-width characters dropped."""

import unicodedata

_ZERO_WIDTH = (
    0x00AD, 0x061C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF,
    *range(0xFFF9, 0xFFFC), 0xE0001, *range(0xE0020, 0xE0080),
)  # fmt: skip
"""Characters without ink: soft hyphen, joiners, directional marks, byte order mark, annotations, tags."""

_SURROGATES = range(0xD800, 0xE000)
_CONTROLS = (code for code in (*range(0x20), *range(0x7F, 0xA0)) if not chr(code).isspace())
_DROPPED = dict.fromkeys((*_ZERO_WIDTH, *_SURROGATES, *_CONTROLS))


def clean(text: str) -> str:
    """Return *text* as a person would have typed it; idempotent; empty when there is nothing to read.

    Tabs and line breaks are white space and become one space; half surrogate pairs are no characters and go.
    """
    if text.isascii() and text.isprintable():
        if "  " not in text and text[:1] != " " and text[-1:] != " ":
            return text
        return " ".join(text.split())
    return " ".join(unicodedata.normalize("NFC", text.translate(_DROPPED)).split())


def encodable(text: str) -> str:
    r"""Return *text* with half surrogate pairs written out as `\ud800`, so that it can become UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
