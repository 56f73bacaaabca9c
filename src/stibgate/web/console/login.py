"""The way in and out: a token becomes a session, and the session ends."""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

import structlog
from aiohttp import web

from stibgate.domain.audit import Action, Actor
from stibgate.errors import PermissionRefused
from stibgate.pipeline.audit import Auditor
from stibgate.web.access import Access
from stibgate.web.console.page import Page, go
from stibgate.web.console.screen import Screen
from stibgate.web.console.security import (
    FORM_BYTES_MAX,
    FORM_TYPE,
    cookie_name,
    drop_session_cookie,
    is_loopback,
    local_path,
    require_csrf,
    require_same_origin,
    set_session_cookie,
)
from stibgate.web.console.session import Session, Sessions
from stibgate.web.refused import Refused, body_of

log = structlog.get_logger("stibgate.console")

Common = Callable[[Session | None, web.Request, Page | None], Mapping[str, object]]


class Login:
    """Takes a token, gives a session.

    Args:
        screen: Renders the form.
        sessions: Where sessions are kept.
        access: Who may come in, and how often a wrong token is tried.
        auditor: Told of who comes and goes.
        common: What every page shows.
    """

    def __init__(self, screen: Screen, sessions: Sessions, access: Access, auditor: Auditor, common: Common) -> None:
        self._screen = screen
        self._sessions = sessions
        self._auditor = auditor
        self._access = access
        self._common = common

    async def ask(self, request: web.Request) -> web.Response:
        """Return the form."""
        note = (
            "Your session has ended. Log in again; you come back to where you were." if "ended" in request.query else ""
        )
        return self._page(request, local_path(request.query.get("next")), note)

    async def enter(self, request: web.Request) -> web.Response:
        """Begin a session, or ask again."""
        require_same_origin(request)
        form = await _fields(request)
        path = local_path(form.get("next"))
        address = self._access.client(request)
        begun = self._sessions.begin(form.get("token", "").strip())
        if begun is None:
            return self._refused(request, path, address)
        session_id, session = begun
        self._sessions.end(request.cookies.get(cookie_name(request), ""))
        await self._auditor.note(Actor(session.principal, address), Action.LOGIN)
        answer = go(path)
        set_session_cookie(request, answer, session_id)
        return answer

    async def leave(self, request: web.Request) -> web.Response:
        """End the session."""
        require_same_origin(request)
        session_id = request.cookies.get(cookie_name(request), "")
        session = self._sessions.find(session_id)
        if session is not None:
            require_csrf(session.csrf, (await _fields(request)).get("csrf", ""))
            self._sessions.end(session_id)
            await self._auditor.note(Actor(session.principal, self._access.client(request)), Action.LOGOUT)
        answer = go("/login")
        drop_session_cookie(request, answer)
        return answer

    def _refused(self, request: web.Request, path: str, address: str) -> web.Response:
        """Return the form again after a wrong token."""
        if wait_s := self._access.wrong(address):
            note = f"That is no token of this service, and there were too many of them. Try again in {wait_s} s."
            answer = self._page(request, path, note, status=429)
            answer.headers["Retry-After"] = str(wait_s)
            return answer
        log.warning("audit.token_refused", client_ip=address)
        return self._page(request, path, "That is no token of this service.", status=403)

    def _page(self, request: web.Request, path: str, note: str, *, status: int = 200) -> web.Response:
        text = self._screen.render(
            "login.html",
            {
                **self._common(None, request, None),
                "title": "Log in",
                "next": path,
                "note": note,
                "needs_https": not is_loopback(request.host) and not request.secure,
            },
        )
        return web.Response(text=text, content_type="text/html", status=status)


async def _fields(request: web.Request) -> Mapping[str, str]:
    """Return the fields of a small form.

    Raises:
        PermissionRefused: It is no form.
        Refused: It is too large.
    """
    if request.content_type != FORM_TYPE:
        raise PermissionRefused("this is not a form", hint="Scripts use the API under /api/v1 with a bearer token.")
    if request.content_length is None or request.content_length > FORM_BYTES_MAX:
        raise Refused(413, "this form is too large", "A token is about 43 characters.")
    body = await body_of(request)
    return {name: values[0] for name, values in parse_qs(body.decode("ascii", "replace")).items()}
