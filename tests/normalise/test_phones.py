import itertools

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stibgate.normalise import phones

SPELLINGS = ["+1{}{}{}", "+1 {}-{}-{}", "1{}{}{}", "1-{}-{}-{}", "{}{}{}", "({}) {}-{}", "+1 ({}) {}-{}", "{}.{}.{}"]


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("+12085550123", "US", "+12085550123"),
        ("+12085550100", "GB", "+12085550100"),
        ("(208) 555-0123", "US", "+12085550123"),
        ("208.555.0123", "US", "+12085550123"),
        ("1-208-555-0123", "CA", "+12085550123"),
        ("tel:+12085550123", "US", "+12085550123"),
        ("011 44 20 7946 0958", "US", "+442079460958"),
        ("+44 (0)20 7946 0958", "US", "+442079460958"),
        ("020 7946 0958", "GB", "+442079460958"),
        ("+1 800 555 0100", "US", "+18005550100"),
        ("+1 876 555 0123", "US", "+18765550123"),
        ("\uff0b\uff11\uff12\uff10\uff18\uff15\uff15\uff15\uff10\uff11\uff12\uff13", "US", "+12085550123"),
        ("5550123", "US", None),
        ("0044 20 7946 0958", "US", None),
        ("208 555 0123", "GB", "+442085550123"),
        ("+1 999 555 0123", "US", None),
        ("+1 208 155 0123", "US", None),
        ("none", "US", None),
        ("208-555-0123 / 208-555-0199", "US", None),
        ("", "US", None),
        ("+", "US", None),
        ("1" * 300, "US", None),
        ("+12085550123", "no such region", "+12085550123"),
        ("2085550123", "no such region", None),
    ],
)
def test_e164(text: str, region: str, expected: str | None):
    """A valid number is written in E.164; a number that the library calls invalid is none."""
    assert phones.e164(text, region) == expected


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("+12085550123", True),
        ("+44 (0)20 7946 0958", True),
        ("011 44 20 7946 0958", True),
        ("208-555-0123 x5", False),
        ("+1 208 555 0123 ext. 77", False),
        ("208-555-0123 /x 208-555-0199", False),
    ],
)
def test_whole(text: str, whole):
    """An extension or a second number, which E.164 cannot say, is noticed."""
    phone = phones.read(text, "US")
    assert phone is not None
    assert phone.whole is whole


def by_library(text: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def test_short_cut_on_every_area_code():
    """For all 800 possible area codes and every first digit of the exchange, the short cut and the library agree."""
    yes = 0
    for area, digit in itertools.product(range(200, 1000), "0123456789"):
        text = f"+1{area}{digit}550123"
        short = phones._short_cut(text, "US")
        yes += short is not None
        assert (short or by_library(text, "US")) == by_library(text, "US"), text
    assert yes > 3000  # the assigned codes do take it: hundreds of them, eight digits each


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(SPELLINGS),
    st.integers(200, 999),
    st.integers(200, 999),
    st.integers(0, 9999),
    st.sampled_from(["US", "CA", "GB", "DE", "MX", "JM", "XX"]),
)
def test_short_cut_is_the_library(spelling: str, area: int, exchange: int, line: int, region: str):
    """Whatever the short cut says yes to, the library reads as the same number, in every spelling and region."""
    text = spelling.format(area, exchange, f"{line:04d}")
    short = phones._short_cut(text, region)
    if short is not None:
        assert short == by_library(text, region)
        assert phones._by_library(text, region) == phones.Phone(short, whole=True)
    assert phones.e164(text, region) == by_library(text, region)


@settings(max_examples=200, deadline=None)
@given(st.from_regex(phones._SPELLING, fullmatch=True), st.sampled_from(["US", "CA", "GB"]))
def test_short_cut_is_the_library_on_its_own_spellings(text: str, region: str):
    """Every text that the short cut's grammar admits gets the library's answer."""
    assert phones.e164(text, region) == by_library(text, region)


def test_e164_is_idempotent_in_every_region():
    """A number in E.164 stays what it is, for every kind of number of every region."""
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in phonenumbers.PhoneNumberType.values():
            number = phonenumbers.example_number_for_type(region, kind)
            if number is None:
                continue
            text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            once = phones.e164(text, "US")
            assert once is None or phones.e164(once, "US") == once


@settings(deadline=None)
@given(st.text(max_size=300) | st.from_regex(r"[+0-9() x;=./-]{0,40}", fullmatch=True), st.sampled_from(["US", "GB"]))
def test_never_raises(text: str, region: str):
    """Any text is a number or none, and a number that is read again is itself, whole."""
    phone = phones.read(text, region)
    if phone is not None:
        assert phones.read(phone.e164, region) == phones.Phone(phone.e164, whole=True)
