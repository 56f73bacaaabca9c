"""LinkedIn URLs: one spelling for one page, because a person is found again by it.

`https://linkedin.com/in/janedoe`: https, no sub-domain, no query, no fragment, no slash at the end. The path
keeps its case; look-ups fold it.
"""

import re

from yarl import URL

_PLAIN = re.compile(r"https://linkedin\.com/(?:in|company)/[A-Za-z0-9_\-]+")
_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//")
_HOST = re.compile(r"(?:(?:www|m|mobile|[a-z]{2})\.)?linkedin\.com")
_PORTS = frozenset({None, 80, 443})
_QUERY_IS_THE_PERSON = frozenset({("profile", "view")})
"""Old pages whose identity is in the query; without it all people would share one URL."""


def canonical(text: str) -> str | None:
    """Return the page's one spelling, or None when *text* does not name one page of linkedin.com.

    A bare `https://linkedin.com/` or `/in/` is refused: it names nobody, and as a key it would name everybody.

    Args:
        text: Cleaned text; the scheme may be missing.
    """
    if _PLAIN.fullmatch(text):
        return text
    if any(map(str.isspace, text)):
        return None
    scheme = _SCHEME.match(text)
    if scheme is None or scheme[0] == "//":
        text = f"https://{text.removeprefix('//')}"
    try:
        url = URL(text)
        host, port, path = (url.host or "").lower().removesuffix("."), url.explicit_port, url.raw_path
    except ValueError:
        return None
    if url.scheme not in {"http", "https"} or port not in _PORTS or not _HOST.fullmatch(host):
        return None
    parts = tuple(part for part in path.split("/") if part)
    if len(parts) < 2 or parts in _QUERY_IS_THE_PERSON or not {".", ".."}.isdisjoint(parts):
        return None
    return "https://linkedin.com/" + "/".join(parts)
