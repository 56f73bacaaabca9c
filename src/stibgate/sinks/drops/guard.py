"""The formula guard: an apostrophe before what a spreadsheet would compute.

A cell is dangerous when its first visible character, in any width, is one of `= + - @`, or when a TAB or CR stands
before it: spreadsheets trim blanks, and quoting does not help. Two things are provably only numbers and stay as
they are, because the apostrophe would break them for importers: a whole E.164 phone, and an integer of ours
(which never comes here, not being text).

A text that already begins with apostrophes and is dangerous behind them gets one more. So the guard can be undone
without a doubt: take one apostrophe away where what follows the leading apostrophes is dangerous.

Source: CWE-1236; OWASP ASVS 1.2.10; `research/security.md` 3.1.
"""

import re
import string
import unicodedata

SAFE_FIRST = frozenset(("", *string.ascii_letters, *string.digits))
"""First characters (of text, "" when it is empty) that need no closer look; nearly all values end here."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_IGNORABLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})  # controls, zero-width and BOM, every kind of blank
_FORMULA = ("=", "+", "-", "@")


def is_dangerous(text: str) -> bool:
    """Return whether a spreadsheet might compute *text* instead of showing it."""
    for character in text:
        if character in "\t\r":
            return True
        if unicodedata.category(character) not in _IGNORABLE:
            # NFKC folds the full-width and small forms, which a spreadsheet may fold too.
            return unicodedata.normalize("NFKC", character).startswith(_FORMULA) and not _E164.fullmatch(text)
    return False


def guarded(text: str) -> str:
    """Return *text*, with an apostrophe in front where a spreadsheet might compute it."""
    return f"'{text}" if is_dangerous(text.lstrip("'")) else text
