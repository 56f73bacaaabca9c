import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stibgate.normalise.text import clean, encodable

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("Jane", "Jane"),
        ("  Jane  ", "Jane"),
        ("Jane   van\t\n Dyk", "Jane van Dyk"),
        ("Jane\u00a0Doe\u3000", "Jane Doe"),
        ("Jose\u0301", "José"),
        ("\ufeffJane\u200b\u200d", "Jane"),
        ("Ja\u00adne", "Jane"),
        ("\u202eJane\u202c", "Jane"),
        ("Ja\x00\x07ne\x7f\x9f", "Jane"),
        ("Jane\x1fDoe\x85", "Jane Doe"),
        ("\U000e0041Jane", "Jane"),
        ("Jane\ud800", "Jane"),
        (" \u200b ", ""),
        ("李 小龍", "李 小龍"),
        ("👩🏽 VP", "👩🏽 VP"),
        ("O\u2019Brien", "O\u2019Brien"),
    ],
)
def test_clean(text: str, expected: str):
    """Text is trimmed, composed, its white space collapsed, what has no ink dropped; all else stays."""
    assert clean(text) == expected


@settings(deadline=None)
@given(ANY_TEXT)
def test_clean_is_idempotent(text: str):
    """Clean text is clean: NFC, single spaces, nothing invisible, and cleaning it changes nothing."""
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once == " ".join(once.split())
    assert not any(unicodedata.category(char) in {"Cc", "Cs"} for char in once)


@settings(deadline=None)
@given(ANY_TEXT)
def test_encodable(text: str):
    """Any text becomes UTF-8, unchanged when it could already, and only once."""
    once = encodable(text)
    once.encode("utf-8")
    assert encodable(once) == once
    if not any(unicodedata.category(char) == "Cs" for char in text):
        assert once == text
