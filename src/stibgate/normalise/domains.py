"""Domains: a host name in lower-case ASCII, without `www.`, whatever it was wrapped in."""

import re
from functools import lru_cache

import idna
from publicsuffixlist import PublicSuffixList

_HOST_CHARS_MAX = 253
_WRAPPING = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//")
_END_OF_AUTHORITY = re.compile(r"[/?#\\]")
_PORT = re.compile(r":[0-9]{0,5}\Z")
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?\.)+(?:xn--[a-z0-9\-]{0,58}[a-z0-9]|[a-z]{2,63})")
_SUFFIXES = PublicSuffixList()


@lru_cache(maxsize=4096)
def canonical(text: str) -> str | None:
    """Return the domain in *text*: a host name, a URL or an e-mail address; None when there is none.

    At least two valid labels, the last one a word, so that no address of a machine passes. Whether the top
    level exists is not asked: our list is as old as the package, and a new one must not cost a company its domain.

    Args:
        text: Cleaned text.
    """
    if any(map(str.isspace, text)):
        return None
    wrapping = _WRAPPING.match(text)
    authority = _END_OF_AUTHORITY.split(text[wrapping.end() :] if wrapping else text, maxsplit=1)[0]
    host = ascii_host(_PORT.sub("", authority.rpartition("@")[2]))
    return _without_www(host) if host else None


def ascii_host(host: str) -> str | None:
    """Return *host* in lower-case ASCII without a trailing dot, or None when it is not a host name with a dot.

    Non-ASCII labels become IDNA 2008 after UTS 46 mapping, as browsers and email-validator do.
    """
    name = host.lower()
    if not name.isascii() or "xn--" in name:
        try:
            name = idna.encode(name.removesuffix("."), uts46=True).decode("ascii").lower()
        except (ValueError, IndexError):  # idna.IDNAError is a ValueError; its punycode may raise the other
            return None
    name = name.removesuffix(".")
    return name if len(name) <= _HOST_CHARS_MAX and _HOST.fullmatch(name) else None


def _without_www(host: str) -> str:
    """Return *host* without leading `www.`, as long as what is left is a domain that somebody can own.

    `www.co.uk` and `www.com` are somebody's domain; `co.uk` and `com` are not.
    """
    while host.startswith("www.") and _SUFFIXES.privatesuffix(host[4:]):
        host = host[4:]
    return host
