"""The console as a whole: the door with its locks, and the rooms behind it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from urllib.parse import parse_qs, urlencode

import structlog
from aiohttp import web

from stibgate import __version__
from stibgate.domain.audit import Actor
from stibgate.domain.instant import to_rfc3339
from stibgate.errors import EXIT_PERMISSION, EXIT_TEMPORARY, EXIT_USAGE, PermissionRefused, StibgateError
from stibgate.web.access import REQUEST_ID, TOKEN_NAMES
from stibgate.web.console.audit import Audit
from stibgate.web.console.configuration import Configuration
from stibgate.web.console.dead import Dead
from stibgate.web.console.deliveries import Deliveries
from stibgate.web.console.delivery import DeliveryPage
from stibgate.web.console.help import Help
from stibgate.web.console.jobs import Jobs
from stibgate.web.console.live import Live
from stibgate.web.console.login import Login
from stibgate.web.console.overview import Overview
from stibgate.web.console.page import ConsoleParts, Page, Room, Visit, check_query, go
from stibgate.web.console.records import Records
from stibgate.web.console.rejected import Rejected
from stibgate.web.console.replays import Replays
from stibgate.web.console.screen import Screen
from stibgate.web.console.security import (
    FORM_BYTES_MAX,
    FORM_TYPE,
    cookie_name,
    require_csrf,
    require_same_origin,
    secure,
)
from stibgate.web.console.session import Session, Sessions
from stibgate.web.console.sinks import Sinks
from stibgate.web.console.sources import Sources
from stibgate.web.refused import Refused, body_of

log = structlog.get_logger("stibgate.console")

ROOMS: Sequence[Callable[[ConsoleParts], Room]] = (
    Overview,
    Deliveries,
    DeliveryPage,
    Live,
    Dead,
    Replays,
    Records,
    Rejected,
    Sinks,
    Sources,
    Jobs,
    Configuration,
    Audit,
    Help,
)
"""In the order of the navigation."""

FIELDS_MAX = 10_000
_TYPES = {"css": "text/css", "js": "text/javascript"}
_STATUS = {EXIT_USAGE: 400, EXIT_PERMISSION: 403, EXIT_TEMPORARY: 503}
_TITLES = {400: "Not understood", 403: "Not allowed", 404: "Not found", 503: "Not now"}
_UNKNOWN = {
    404: ("there is no such page", "The navigation has them all."),
    405: ("this page cannot be asked for like that", "Open it from the page that leads to it."),
}


class Console:
    """The pages for people.

    Args:
        parts: What they show, and what they act through.
    """

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts
        self._screen = Screen(parts.now_ms)
        self._sessions = Sessions(
            parts.access.grants, lifetime_s=lambda: parts.settings().console.session, now_ms=parts.now_ms
        )
        self._login = Login(self._screen, self._sessions, parts.access, parts.acts.auditor, self._common)
        self._pages = [page for room in ROOMS for page in room(parts).pages()]

    def add_to(self, app: web.Application) -> None:
        """Add the pages to *app*; what aiohttp itself refuses is a page too, but for the API's calls."""
        app.middlewares.append(self._as_page)
        for page in self._pages:
            app.router.add_route(page.method, page.path, self._guarded(page))
        app.router.add_get("/login", self._open(self._login.ask))
        app.router.add_post("/login", self._open(self._login.enter))
        app.router.add_post("/logout", self._open(self._login.leave))
        app.router.add_get("/static/{name:.+}", self._open(self._static))

    def _guarded(self, page: Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return *page* behind its locks: the session, then the role, then where the form is from, then the form."""

        async def answer(request: web.Request) -> web.StreamResponse:
            session_id = request.cookies.get(cookie_name(request), "")
            session = self._sessions.find(session_id)
            if session is None:
                return self._to_login(request, page)
            if not session.principal.role.may(page.role):
                raise PermissionRefused(
                    f"this needs the role {page.role}; {session.principal.name} is {session.principal.role}",
                    hint="Log in with a token of that role: [console] tokens in the configuration.",
                )
            check_query(page, request.query)
            form = {} if page.method == "GET" else await _form(request, session)
            actor = Actor(session.principal, self._parts.access.client(request))
            common = self._common(session, request, page)
            lasting = partial(self._lasts, session_id, session)
            visit = Visit(request, self._screen, session, page, form, actor, common, lasting)
            return await page.handle(visit)

        return self._open(answer)

    def _lasts(self, session_id: str, session: Session) -> bool:
        return self._sessions.find(session_id) is session

    def _open(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return *handler* with our headers on whatever it answers, and refusals as pages."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                _refuse_token(request)
                response = await handler(request)
            except StibgateError as error:
                response = self._refusal(request, error)
            except web.HTTPException:
                raise
            except Exception:
                request_id = request.get(REQUEST_ID, "-")
                log.exception("unhandled", request_id=request_id)
                response = self._refusal(request, _failed(request_id))
            if not response.prepared:
                secure(response)
            return response

        return answer

    @web.middleware
    async def _as_page(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            if request.path.startswith("/api/") or error.status not in _UNKNOWN:
                raise
            response = self._refusal(request, _unknown(error.status))
            secure(response)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response

    def _refusal(self, request: web.Request, error: StibgateError) -> web.Response:
        status = error.status if isinstance(error, Refused) else _STATUS.get(error.exit_code, 500)
        session = self._sessions.find(request.cookies.get(cookie_name(request), ""))
        text = self._screen.render(
            "error.html",
            {
                **self._common(session, request, None),
                "title": _TITLES.get(status, "Failed"),
                "message": error.message,
                "hint": error.hint,
            },
        )
        return web.Response(text=text, content_type="text/html", status=status)

    def _to_login(self, request: web.Request, page: Page) -> web.Response:
        """Send somebody without a session to the login, and from there back to where they were."""
        came = page.back.format_map(request.match_info) if page.method == "POST" else str(request.rel_url)
        query = {} if came == "/" else {"next": came}
        if cookie_name(request) in request.cookies:
            query["ended"] = "1"
        path = "/login" + (f"?{urlencode(query)}" if query else "")
        if "HX-Request" in request.headers:  # htmx would put the login where the fragment belongs
            return web.Response(status=401, headers={"HX-Redirect": path})
        return go(path)

    def _common(self, session: Session | None, request: web.Request, page: Page | None) -> Mapping[str, object]:
        """Return what every page shows: who is here, where else one may go."""
        role = None if session is None else session.principal.role
        nav = [one for one in self._pages if one.nav and role is not None and role.may(one.role)]
        section = "/" + request.path.strip("/").partition("/")[0].partition(".")[0]
        return {
            "environment": self._parts.settings().console.environment,
            "version": __version__,
            "now": to_rfc3339(self._parts.now_ms()),
            "principal": None if session is None else session.principal,
            "csrf": "" if session is None else session.csrf,
            "nav": nav,
            "section": section,
            "title": "" if page is None else page.title,
        }

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        data = self._screen.static.get(name)
        if data is None:
            raise Refused(404, "there is no such file", "Reload the page: a newer stibgate may run.")
        return web.Response(
            body=data,
            content_type=_TYPES[name.rpartition(".")[2]],
            charset="utf-8",
            headers={"Cache-Control": "public, max-age=31536000, immutable"},
        )


def _failed(request_id: str) -> Refused:
    hint = f"The log has a line `unhandled` with the request_id {request_id}."
    return Refused(500, "something failed here", hint)


def _unknown(status: int) -> Refused:
    message, hint = _UNKNOWN[status]
    return Refused(status, message, hint)


def _refuse_token(request: web.Request) -> None:
    """Refuse a URL that carries a token.

    Raises:
        Refused: It does.
    """
    if TOKEN_NAMES & request.query.keys():
        raise Refused(
            400,
            "a token does not belong in a URL",
            "It stands in the browser's history now: replace that token, then log in at /login.",
        )


async def _form(request: web.Request, session: Session) -> Mapping[str, Sequence[str]]:
    """Return the fields of a form that a page of this session sent.

    Raises:
        PermissionRefused: Something else sent it.
        Refused: It is no form, or too large.
    """
    require_same_origin(request)
    if request.content_type != FORM_TYPE:
        raise Refused(415, "this is not a form", "Scripts use the API under /api/v1.")
    if request.content_length is None or request.content_length > FORM_BYTES_MAX:
        raise Refused(413, "this form is too large", "Choose less at once; a filter can name more.")
    body = await body_of(request)
    try:
        form = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise Refused(400, "this form cannot be read", "Reload the page and try again.") from error
    require_csrf(session.csrf, form.pop("csrf", [""])[0])
    return form
