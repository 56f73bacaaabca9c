"""The door of the admin API: name, token, role, then what is asked for; and whatever is refused is a problem.

In this order, so that nobody without a good token learns anything, and nobody without the role has a body read.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import hdrs, web
from pydantic_core import to_json

from stibgate.domain.access import Principal
from stibgate.errors import EXIT_PERMISSION, EXIT_TEMPORARY, StibgateError, UsageError
from stibgate.web.access import PROBES, REQUEST_ID, TOKEN_NAMES, Access
from stibgate.web.api.keyed import once
from stibgate.web.api.route import PREFIX, WELCOME, Api, Call, Reply, Route
from stibgate.web.problem import SERVER
from stibgate.web.proxies import peer_of
from stibgate.web.refused import Refused, body_of

log = structlog.get_logger("stibgate.admin")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

RETRY_LATER_S = 2
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PRINCIPAL = web.RequestKey("stibgate_principal", Principal)
_CLIENT = web.RequestKey("stibgate_client", str)

_HINTS = {
    400: "",
    404: "GET /api/v1/openapi.json has all calls; a newer command needs its service restarted.",
    405: "The header Allow says how it is called.",
    413: "A body may have 1 MiB; a filter names more than a list of ids.",
}
_STATUS = {EXIT_TEMPORARY: 503, EXIT_PERMISSION: 502}
"""The vendor's refusal of our key is not the caller's fault, so it is no 401."""


class Door:
    """Lets calls in.

    Args:
        access: Who may come in.
        new_request_id: Makes request ids.
    """

    def __init__(self, access: Access, *, new_request_id: Callable[[], str]) -> None:
        self._access = access
        self._new_request_id = new_request_id

    def add_to(self, app: web.Application) -> None:
        """Stand before everything on *app*: what is asked under a foreign name is refused, whoever would answer."""
        app.middlewares.insert(0, self._let_in)

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in PROBES:
            return await handler(request)
        request[REQUEST_ID] = request_id = self._request_id(request)
        request[_CLIENT] = self._access.client(request)
        hosts = request.headers.getall(hdrs.HOST, [])
        if len(hosts) != 1 or not self._access.answers_to(hosts[0]):
            error = Refused(421, "this is not a name of this listener", "List it in [console] hosts, or use another.")
            return problem_of(error, request_id)
        if not request.path.startswith(f"{PREFIX}/"):
            return await handler(request)
        return await self._answer(request, handler)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Return the answer to a call; all that goes wrong is a problem."""
        request_id = request[REQUEST_ID]
        response: web.StreamResponse
        try:
            request[_PRINCIPAL] = self._prove(request)
            response = await handler(request)
        except StibgateError as error:
            response = problem_of(error, request_id)
        except web.HTTPException as error:
            response = problem_of(_refused(error), request_id)
        except Exception:
            log.exception("unhandled", request_id=request_id)
            told = Refused(500, "something failed here", "The log has a line `unhandled` with this request_id.")
            response = problem_of(told, request_id)
        if not response.prepared:
            dress(response, request_id)
        return response

    def _prove(self, request: web.Request) -> Principal:
        """Return who asks.

        Raises:
            Refused: 400 for a token in the URL, 429 for too many wrong ones, 401 for none or a wrong one.
        """
        if named := sorted(TOKEN_NAMES & request.query.keys()):
            raise Refused(
                400,
                f"{named[0]} in the URL",
                "Send `Authorization: Bearer TOKEN`. A token that stood in a URL is known to logs: replace it.",
            )
        token = _bearer(request)
        principal = None if token is None else self._access.principal_of(token)
        if principal is None:
            if token is not None:
                self._count_wrong(request)
            raise Refused(
                401,
                "the token is missing or wrong",
                "Send `Authorization: Bearer TOKEN`, once; README says under The admin API where tokens come from.",
                {"WWW-Authenticate": "Bearer"},
            )
        request[WELCOME] = self._access.lasting(principal, token or "")
        return principal

    def _count_wrong(self, request: web.Request) -> None:
        """Count and log a wrong token.

        Raises:
            Refused: 429: there were too many of them.
        """
        client = request[_CLIENT]
        if wait_s := self._access.wrong(client):
            raise Refused(
                429,
                "too many wrong tokens, and this one is wrong too",
                f"A right one is let in at once. A program at {client} may have an old one. Try again in {wait_s} s.",
                {"Retry-After": str(wait_s)},
            )
        log.warning("audit.token_refused", client_ip=client, request_id=request[REQUEST_ID])

    def _request_id(self, request: web.Request) -> str:
        given = request.headers.get("X-Request-Id", "")
        trusted = self._access.proxies.trusts(peer_of(request))
        return given if trusted and _REQUEST_ID.fullmatch(given) else self._new_request_id()


def handler_of(api: Api, route: Route) -> Handler:
    """Return what answers *route*: the role first, then the query, then the body."""

    async def handle(request: web.Request) -> web.StreamResponse:
        principal = request[_PRINCIPAL]
        if not principal.role.may(route.role):
            raise Refused(
                403,
                f"this needs the role {route.role}; {principal.name} is {principal.role}",
                "Use a token of that role: [console] tokens in the configuration.",
            )
        query = route.query.read(request.query) if route.parsed else route.query()
        data = b"" if route.body is None else await body_of(request)

        async def answer() -> web.StreamResponse:
            body = None if route.body is None else route.body.read(data or (b"{}" if route.bodiless else b""))
            told = await route.handle(api, Call(request, route, principal, request[_CLIENT], query, body))
            return response_of(told, route.status)

        if route.keyed:
            return await once(api.office, request, principal.name, answer, now_ms=api.now_ms())
        return await answer()

    return handle


def response_of(told: Any, status: int = 200) -> web.StreamResponse:
    """Return the response that *told* means: one already, a `Reply`, or a document."""
    if isinstance(told, web.StreamResponse):
        return told
    reply = told if isinstance(told, Reply) else Reply(told, status)
    return web.Response(
        body=to_json(reply.document), status=reply.status, content_type="application/json", headers=dict(reply.headers)
    )


def dress(response: web.StreamResponse, request_id: str) -> None:
    """Put on *response* what every answer of the API has."""
    response.headers["X-Request-Id"] = request_id
    response.headers["Server"] = SERVER
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")


def problem_of(error: StibgateError, request_id: str) -> web.Response:
    """Return *error* as an RFC 9457 problem: what happened, the id to quote, what to do."""
    status, headers = _status_of(error)
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": error.message,
        "status": status,
        "hint": error.hint,
        "request_id": request_id,
    }
    if not isinstance(error, Refused | UsageError):
        document["exit_code"] = error.exit_code  # with which a command ends that asked for this
    response = web.Response(
        body=to_json(document), status=status, content_type="application/problem+json", headers=dict(headers)
    )
    dress(response, request_id)
    return response


def _status_of(error: StibgateError) -> tuple[int, Mapping[str, str]]:
    if isinstance(error, Refused):
        return error.status, error.headers
    if isinstance(error, UsageError):
        return 400, {}
    status = _STATUS.get(error.exit_code, 500)
    return status, {"Retry-After": str(RETRY_LATER_S)} if status == 503 else {}


def _refused(error: web.HTTPException) -> Refused:
    """Return what aiohttp refuses by itself."""
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return Refused(error.status, HTTPStatus(error.status).phrase, _HINTS.get(error.status, ""), headers)


def _bearer(request: web.Request) -> str | None:
    """Return the token of the one header that may carry it; None where there is none, or two."""
    given = request.headers.getall(hdrs.AUTHORIZATION, [])
    if len(given) != 1:
        return None
    kind, _, token = given[0].partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None
