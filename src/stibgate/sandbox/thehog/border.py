"""The way in and out: keys, rate, faults, bodies, and the envelope that every error has.

Source: the vendor's OpenAPI document, `PublicErrorResponseDto`, and its notes on rate limits: 600 requests a minute,
429 with `Retry-After` and `X-RateLimit-*`. The names behind the star and the window's shape are not documented: here
they are `Limit`, `Remaining` and `Reset` (seconds), and a minute that begins with its first request.
"""

import hmac
import math
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from stibgate.domain.instant import to_rfc3339
from stibgate.errors import StibgateError
from stibgate.sandbox.dice import Random
from stibgate.sandbox.thehog.bodies import ErrorEnvelope, PeopleSearch, PropertyError

KEY_HEADERS = ("X-Access-Key", "X-Secret-Key")
WINDOW_S = 60.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CONSTRAINTS = {
    "missing": "isDefined",
    "extra_forbidden": "whitelistValidation",
    "string_too_long": "maxLength",
    "greater_than_equal": "min",
    "less_than_equal": "max",
    "too_short": "arrayMinSize",
    "too_long": "arrayMaxSize",
    "literal_error": "isEnum",
}


class Refused(StibgateError):
    """A request that the vendor would refuse.

    Args:
        status: The HTTP status.
        message: What the client reads.
        errors: What is wrong with each property.
        headers: Headers of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *,
        errors: Sequence[PropertyError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = list(errors)
        self.headers = headers or {}


class Rate:
    """So many requests a minute, for one organisation and user.

    Attributes:
        limit: How many; may be changed at any time.
    """

    def __init__(self, limit: int, now: Callable[[], float]) -> None:
        self.limit = limit
        self._now = now
        self._begun_s = float("-inf")
        self._used = 0

    def spend(self) -> None:
        """Count one request.

        Raises:
            Refused: 429, when there were too many already.
        """
        if not 0 <= self._now() - self._begun_s < WINDOW_S:
            self._begun_s, self._used = self._now(), 0
        if self._used >= self.limit:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS, "Rate limit exceeded", headers={"Retry-After": str(self._left_s())}
            )
        self._used += 1

    def headers(self) -> dict[str, str]:
        """Return what every answer says about the rate."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(self.limit - self._used, 0)),
            "X-RateLimit-Reset": str(self._left_s()),
        }

    def _left_s(self) -> int:
        return math.ceil(self._begun_s + WINDOW_S - self._now())


def authenticate(request: web.Request, access_key: str, secret_key: str) -> None:
    """Refuse a request without both keys.

    Raises:
        Refused: 401.
    """
    sent = [request.headers.get(name, "").encode("utf-8", "surrogateescape") for name in KEY_HEADERS]
    right = [hmac.compare_digest(*pair) for pair in zip(sent, (access_key.encode(), secret_key.encode()), strict=True)]
    if not all(right):
        raise Refused(HTTPStatus.UNAUTHORIZED, "Invalid or missing API credentials")


async def read(request: web.Request) -> PeopleSearch:
    """Return the request's body.

    Raises:
        Refused: 400, naming every property that is wrong.
    """
    if request.content_type != "application/json":
        raise Refused(HTTPStatus.BAD_REQUEST, "The body must be application/json")
    try:
        return PeopleSearch.model_validate_json(await request.read())
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        if problems[0]["type"] == "json_invalid":
            raise Refused(HTTPStatus.BAD_REQUEST, "The body is not JSON") from error
        errors = [_said(dict(problem)) for problem in problems]
        raise Refused(HTTPStatus.BAD_REQUEST, "Validation failed", errors=errors) from error


def _said(problem: dict[str, Any]) -> PropertyError:
    where = ".".join(map(str, problem["loc"])) or "body"
    constraint = _CONSTRAINTS.get(problem["type"], "isValid")
    if problem["type"] == "extra_forbidden":
        message = f"property {where} should not exist"
    else:
        message = f"{where}: {problem['msg'].removeprefix('Value error, ')}"
    return PropertyError(property=where, message=message, constraints={constraint: message})


def refusals(now: Callable[[], float], draw: Random) -> Any:
    """Return the middleware that names every request, and gives every error its envelope, aiohttp's own too.

    Args:
        now: Seconds since the Unix epoch.
        draw: Where the requests' ids come from.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = f"req_{draw.randbytes(8).hex()}"
        try:
            response = await handler(request)
        except Refused as refused:
            response = _envelope(request, refused, request_id, now())
        except web.HTTPException as error:
            kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
            not_served = Refused(HTTPStatus(error.status), error.reason, headers=kept)
            response = _envelope(request, not_served, request_id, now())
        response.headers["X-Request-Id"] = request_id
        return response

    return middleware


def _envelope(request: web.Request, refused: Refused, request_id: str, now_s: float) -> web.Response:
    body = ErrorEnvelope(
        statusCode=refused.status,
        error=refused.status.phrase,
        message=refused.message,
        path=request.path,
        timestamp=to_rfc3339(int(now_s * 1000)),
        requestId=request_id,
        errors=refused.errors,
    )
    left_out = set() if refused.errors else {"errors"}
    return web.json_response(body.model_dump(exclude=left_out), status=refused.status, headers=refused.headers)
