import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stibgate.normalise import domains


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.com", "example.com"),
        ("Example.COM", "example.com"),
        ("www.example.com", "example.com"),
        ("WWW.www.example.com", "example.com"),
        ("example.com.", "example.com"),
        ("https://www.example.com/about?x=1#y", "example.com"),
        ("HTTP://user:pass@shop.example.co.uk:8080/", "shop.example.co.uk"),
        ("//example.com/x", "example.com"),
        ("example.com/careers", "example.com"),
        ("example.com:443", "example.com"),
        ("jane@example.com", "example.com"),
        ("mailto:jane@example.com", "example.com"),
        ("b\u00fccher.de", "xn--bcher-kva.de"),
        ("stra\u00dfe.de", "xn--strae-oqa.de"),
        ("\u4f8b\u5b50.\u4e2d\u56fd", "xn--fsqu00a.xn--fiqs8s"),
        ("www.com", "www.com"),
        ("www.co.uk", "www.co.uk"),
        ("www2.example.com", "www2.example.com"),
        ("gov.uk", "gov.uk"),
        ("", None),
        ("com", None),
        ("localhost", None),
        ("n/a", None),
        ("Example Inc", None),
        ("192.0.2.1", None),
        ("[2001:db8::1]", None),
        ("exa_mple.com", None),
        ("-example.com", None),
        ("example..com", None),
        (".com", None),
        ("https://", None),
        ("xn--\u00fc.com", None),
        ("xn--a.com", None),
        ("a" * 64 + ".com", None),
        (".".join(["a" * 60] * 5) + ".com", None),
    ],
)
def test_canonical(text: str, expected: str | None):
    """A host, a URL or an address becomes its host in lower-case ASCII without `www.`; anything else is none."""
    assert domains.canonical(text) == expected


HOSTILE = st.text(st.sampled_from("aw.:/@-_\\?#xn1\u00fc\u3002\u200d\u0130\u00df%[] "), max_size=30)


@settings(deadline=None)
@given(
    st.text()
    | HOSTILE
    | st.text().map(lambda label: f"www.{label}.com")
    | st.text().map(lambda label: f"xn--{label}.com")
)
def test_never_raises_and_is_idempotent(text: str):
    """Any text has a domain or none, and a domain that is read again is itself."""
    once = domains.canonical(text)
    if once is not None:
        assert once.isascii()
        assert once == once.lower()
        assert domains.canonical(once) == once
