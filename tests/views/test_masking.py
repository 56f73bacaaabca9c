"""What a viewer sees of a person: never more characters than the table says, whatever the value is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.domain.record import Issue, IssueReason, Record
from stibgate.views.masking import HIDDEN, mask_email, mask_name, mask_phone, mask_profile, masked_record

ANY = st.text(max_size=40)
NUMBERS = st.from_regex(r"\+[0-9]{7,15}", fullmatch=True)
PLACE = "https://linkedin.com/in/"


@pytest.mark.parametrize(
    ("mask", "value", "shown"),
    [
        (mask_name, "Jane", "J."),
        (mask_name, "J", HIDDEN),
        (mask_name, "", HIDDEN),
        (mask_name, "\u00c5sa", "\u00c5."),
        (mask_name, "<b>", HIDDEN),
        (mask_email, "jane@example.com", "j***@example.com"),
        (mask_email, "j@example.com", "***@example.com"),
        (mask_email, "jane", HIDDEN),
        (mask_email, "jane@bob@example.com", HIDDEN),
        (mask_email, "jane@Bob Miller", HIDDEN),
        (mask_email, "@example.com", "***@example.com"),
        (mask_phone, "+12085550123", "+1208***0123"),
        (mask_phone, "+4712345678", "***78"),
        (mask_phone, "208-555-0123", HIDDEN),
        (mask_phone, "call Jane", HIDDEN),
        (mask_profile, PLACE + "jane-doe", PLACE + HIDDEN),
        (mask_profile, "https://example.com/jane", HIDDEN),
    ],
)
def test_examples(mask, value, shown):
    """Values of every kind, good and bad."""
    assert mask(value) == shown


@given(ANY)
def test_names(name):
    """Of a name at most one letter survives, and never all of it."""
    shown = mask_name(name)
    assert shown == HIDDEN or (shown == f"{name[0]}." and len(name) > 1 and name[0].isalpha())


@given(st.one_of(ANY, st.builds("{}@{}".format, ANY, st.sampled_from(["example.com", "a.example", "x y"]))))
def test_emails(address):
    """Of an address at most the first character of a longer local part survives, beside a domain that is one."""
    shown = mask_email(address)
    if shown == HIDDEN:
        return
    first, _, domain = shown.partition(f"{HIDDEN}@")
    local = address.removesuffix(f"@{domain}")
    assert address == f"{local}@{domain}"
    assert "@" not in domain
    assert set(domain) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
    assert first == "" or (first == local[0] and len(local) > 1)


@given(st.one_of(ANY, NUMBERS))
def test_phones(number):
    """Of a number at least three digits are hidden, of a short one all but two; of anything else all."""
    shown = mask_phone(number)
    if shown == HIDDEN:
        return
    assert number[1:].isascii()
    assert number[1:].isdigit()
    before, after = shown.split(HIDDEN)
    assert number.startswith(before)
    assert number.endswith(after)
    assert len(number) - len(before) - len(after) >= 3
    assert (len(before), len(after)) == ((5, 4) if len(number) >= 12 else (0, 2))


@given(st.one_of(ANY, st.builds(lambda name: PLACE + name, ANY)))
def test_profiles(url):
    """Of a profile's URL nothing survives that depends on whose it is."""
    assert mask_profile(url) in {HIDDEN, PLACE + HIDDEN}


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.text(alphabet="\u00df\u03a9", min_size=2, max_size=9)
            for name in ("first_name", "last_name", "business_email", "mobile_phone", "company_phone", "linkedin_url")
        },
    )
)
def test_records(fields):
    """In a whole record a personal value never stands, nor its original, nor what an unknown field holds."""
    issue = Issue("business_email", IssueReason.INVALID, "\u03a9\u03a9\u03a9")
    record = Record(person_id="person_1", position=3, issues=(issue,), extra={"note": "\u00df\u00df\u00df"}, **fields)
    masked = masked_record(record)
    text = json.dumps(masked, ensure_ascii=False)
    assert not [value for value in fields.values() if value in text]
    assert "\u03a9\u03a9" not in text
    assert "\u00df\u00df" not in text
    assert (masked["person_id"], masked["position"], masked.keys()) == ("person_1", 3, record.to_document().keys())
