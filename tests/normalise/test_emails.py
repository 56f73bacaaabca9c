import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from stibgate.normalise import emails

LOCALS = st.from_regex(r"[A-Za-z0-9_+\-.!#']{0,70}", fullmatch=True)
DOMAINS = st.sampled_from(
    ["example.com", "EXAMPLE.com", "a-b.example.co.uk", "b\u00fccher.de", "localhost", "x..y", ""]
) | st.from_regex(r"[A-Za-z0-9\-.]{0,40}\.(com|test|xn--p1ai|1)", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jane@example.com", "jane@example.com"),
        ("Jane.Doe+crm@EXAMPLE.Com", "Jane.Doe+crm@example.com"),
        ("Info@Example.com", "Info@example.com"),
        ("o'brien@example.com", "o'brien@example.com"),
        ("jane@b\u00fccher.de", "jane@xn--bcher-kva.de"),
        ("jane@xn--bcher-kva.de", "jane@xn--bcher-kva.de"),
        ("jos\u00e9@example.com", "jos\u00e9@example.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
        ("a" * 64 + "@" + ".".join(["b" * 60] * 3) + ".com", "a" * 64 + "@" + ".".join(["b" * 60] * 3) + ".com"),
        ("a" * 64 + "@" + ".".join(["b" * 62] * 3) + ".com", None),
        ("jane", None),
        ("@example.com", None),
        ("jane@", None),
        ("jane@example", None),
        ("jane@example.com.", None),
        ("jane doe@example.com", None),
        ("Jane <jane@example.com>", None),
        ("mailto:jane@example.com", None),
        ("jane@@example.com", None),
        (".jane@example.com", None),
        ("ja..ne@example.com", None),
        ("jane@example.test", None),
        ("jane@[127.0.0.1]", None),
        ("jane@-example.com", None),
    ],
)
def test_canonical(text: str, expected: str | None):
    """An address keeps its local part and gets its domain in lower-case ASCII; anything else is none."""
    assert emails.canonical(text) == expected


@settings(max_examples=200, deadline=None)
@given(LOCALS, DOMAINS)
def test_short_cut_is_the_library(local: str, domain: str):
    """The short cut for plain local parts gives the verdict of email-validator on the whole address."""
    text = f"{local}@{domain}"
    try:
        valid = validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        assert emails.canonical(text) is None
    else:
        assert emails.canonical(text) == f"{local}@{valid.ascii_domain}"


@settings(deadline=None)
@given(st.emails() | st.text() | st.tuples(st.text(), st.text()).map("@".join))
def test_never_raises_and_is_idempotent(text: str):
    """Any text is an address or none, and an address that is read again is itself."""
    once = emails.canonical(text)
    assert once is None or emails.canonical(once) == once
