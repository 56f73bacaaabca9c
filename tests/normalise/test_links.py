import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stibgate.normalise import links

JANE = "https://linkedin.com/in/janedoe"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (JANE, JANE),
        ("https://linkedin.com/company/example", "https://linkedin.com/company/example"),
        ("http://www.linkedin.com/in/janedoe/", JANE),
        ("https://WWW.LinkedIn.com/in/JaneDoe", "https://linkedin.com/in/JaneDoe"),
        ("https://uk.linkedin.com/in/janedoe?trk=x#about", JANE),
        ("https://m.linkedin.com/in/janedoe", JANE),
        ("linkedin.com/in/janedoe", JANE),
        ("www.linkedin.com/in//janedoe//", JANE),
        ("//linkedin.com/in/janedoe", JANE),
        ("https://linkedin.com:443/in/janedoe", JANE),
        ("https://linkedin.com./in/janedoe", JANE),
        ("https://x:y@linkedin.com/in/janedoe", JANE),
        ("https://linkedin.com/in/jos\u00e9", "https://linkedin.com/in/jos%C3%A9"),
        ("https://linkedin.com/in/jos%c3%a9", "https://linkedin.com/in/jos%C3%A9"),
        ("https://linkedin.com/pub/jane-doe/1/2/3", "https://linkedin.com/pub/jane-doe/1/2/3"),
        ("https://linkedin.com", None),
        ("https://linkedin.com/", None),
        ("https://linkedin.com/in/", None),
        ("https://linkedin.com/janedoe", None),
        ("https://www.linkedin.com/profile/view?id=123", None),
        ("https://linkedin.com@example.com/in/janedoe", None),
        ("https://linkedin.com.example.com/in/janedoe", None),
        ("https://notlinkedin.com/in/janedoe", None),
        ("https://business.linkedin.com/in/janedoe", None),
        ("https://example.com/in/janedoe", None),
        ("https://linkedin.com:8443/in/janedoe", None),
        ("https://linkedin.com:99999/in/janedoe", None),
        ("ftp://linkedin.com/in/janedoe", None),
        ("javascript:alert(1)//linkedin.com/in/janedoe", None),
        ("https://linkedin.com/in/jane doe", None),
        ("https://linkedin.com/in/%2e%2e", None),
        ("janedoe", None),
        ("in/janedoe", None),
        ("", None),
        ("https://[::1", None),
    ],
)
def test_canonical(text: str, expected: str | None):
    """A page of linkedin.com gets one spelling; what names no single page of it is none."""
    assert links.canonical(text) == expected


PATHS = st.text(st.sampled_from("ab/%2EeFf.?#\\:@\u00e9 ~+;&"), max_size=20)


@settings(deadline=None)
@given(
    st.text()
    | PATHS
    | PATHS.map(lambda path: f"https://www.linkedin.com/in/{path}")
    | st.text().map(lambda path: f"linkedin.com/in/{path}")
)
def test_never_raises_and_is_idempotent(text: str):
    """Any text is a LinkedIn page or none, and a page that is read again is itself."""
    once = links.canonical(text)
    if once is not None:
        assert once.isascii()
        assert once.startswith("https://linkedin.com/")
        assert links.canonical(once) == once
