"""What stands between a page and a stranger: headers, cookies, and whether a POST comes from a page of ours."""

import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from stibgate.errors import PermissionRefused
from stibgate.web.problem import SERVER

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": SERVER,
}
"""On every answer of the console, whatever its status."""
NO_STORE = "no-store"

FORM_TYPE = "application/x-www-form-urlencoded"
FORM_BYTES_MAX = 256 * 1024


def secure(response: web.StreamResponse) -> None:
    """Put our headers on *response*; nothing is kept in caches unless it says so itself."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", NO_STORE)


def is_loopback(host: str) -> bool:
    """Return whether the Host header *host* means this machine, where browsers trust plain http."""
    name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    try:
        return name == "localhost" or name.endswith(".localhost") or ip_address(name).is_loopback
    except ValueError:
        return False


def cookie_name(request: web.Request) -> str:
    """Return what the session's cookie is called: with `__Host-`, browsers take it over https and for one host only."""
    return "stibgate_session" if is_loopback(request.host) else "__Host-stibgate_session"


def set_session_cookie(request: web.Request, response: web.StreamResponse, session_id: str) -> None:
    """Give the browser its session until it is closed; scripts cannot read it, other sites cannot send it."""
    response.set_cookie(
        cookie_name(request),
        session_id,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=not is_loopback(request.host),
    )


def drop_session_cookie(request: web.Request, response: web.StreamResponse) -> None:
    """Take the session's cookie back."""
    response.del_cookie(
        cookie_name(request), path="/", httponly=True, samesite="Strict", secure=not is_loopback(request.host)
    )


def require_same_origin(request: web.Request) -> None:
    """Refuse a POST that no page of ours sent.

    `Sec-Fetch-Site` decides; a browser that does not send it sends `Origin`. Our `Referrer-Policy` makes `Origin`
    `null`, so a page of ours is never known by `Origin` where `Sec-Fetch-Site` is there.

    Raises:
        PermissionRefused: It is from another site, or nothing says where it is from.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = _host_of(request.headers.get("Origin", ""))
    good = origin == request.host if site is None else site == "same-origin"
    if not good:
        raise PermissionRefused(
            "this form was not sent by a page of this console",
            hint="Open the page here and send it again. Commands and scripts use the API under /api/v1.",
        )


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # nothing that a browser sends
        return None


def require_csrf(expected: str, given: str) -> None:
    """Refuse a form without its session's token.

    Raises:
        PermissionRefused: The token is missing, or another session's.
    """
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape")):
        raise PermissionRefused(
            "this form belongs to another session", hint="Somebody logged in again meanwhile: reload the page first."
        )


def local_path(text: str | None) -> str:
    """Return *text* when it is a path of this console, else `/`: nobody is sent elsewhere after the login."""
    if not text or not text.startswith("/") or text.startswith(("//", "/\\", "/log")):
        return "/"
    printable = all("!" <= character <= "~" and character != "\\" for character in text)
    return text if printable and not urlsplit(text).netloc else "/"
