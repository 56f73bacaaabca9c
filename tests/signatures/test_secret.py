"""What is a secret, and how a key is read from it."""

import pytest

from stibgate.signatures import KeyReading, check_secret, derive_key

UNUSABLE = [
    "",
    " ",
    "\n",
    "whsec_",
    " whsec_ ",
    "None",
    "null",
    "changeme",
    "CHANGE_ME",
    "***",
    "*" * 40,
    "whsec_" + "*" * 32,
    "whsec_...",
    "whsec_changeme",
    "<your-signing-secret>",
    "short",
    "whsec_0123456789abcde",
    "é" * 7,
]


@pytest.mark.parametrize("value", UNUSABLE)
def test_no_secret_is_refused(value):
    """Nothing, a blank, a placeholder, a bare prefix and what is under 16 bytes are no secrets."""
    problem = check_secret(value)
    assert problem is not None
    assert len(value.strip()) < 8 or value.strip() not in problem


@pytest.mark.parametrize(
    "value",
    [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "It's a Secret to Everybody",
        "0123456789abcdef",
        "whsec_0123456789abcdef",
        "correct horse battery staple\n",
        "x" * 16,
        "é" * 8,
    ],
)
def test_ordinary_text_is_a_secret(value):
    """Any ordinary text of 16 bytes is a secret, base64 or not."""
    assert check_secret(value) is None


def test_the_readings_of_one_secret_differ():
    """`whsec_Zm9v` has three keys: the text, the text behind the prefix, and the bytes that it spells."""
    assert [derive_key(" whsec_Zm9v\n", reading) for reading in KeyReading] == [b"whsec_Zm9v", b"Zm9v", b"foo"]
    assert derive_key("Zm9v", KeyReading.BASE64) == b"foo"
    assert derive_key("whsec_Zm9vYg", KeyReading.BASE64) == derive_key("whsec_Zm9vYg==", KeyReading.BASE64) == b"foob"


@pytest.mark.parametrize("value", ["", "  ", "whsec_", "whsec_ ", "whsec_=", "whsec_a b c", "whsec_Zm9-", "\ud800"])
def test_no_key_raises_without_repeating_the_secret(value):
    """A text without a key under a reading is a ValueError that does not hold the text."""
    with pytest.raises(ValueError, match="secret") as caught:
        derive_key(value, KeyReading.BASE64)
    assert "Zm9" not in str(caught.value)
