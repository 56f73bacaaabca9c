"""How requests are read and refused.

Source: Stibnite Person Data API, "Authentication", "Bad Requests". The document says "400 with a JSON error
message" and no more; here every refusal is `{"message": "..."}`.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from yarl import URL

from stibgate.errors import StibgateError
from stibgate.sandbox.stibnite.account import Account

PAGE_MAX = 100
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(StibgateError):
    """A request that the vendor would refuse.

    Args:
        status: The HTTP status.
        message: What the client reads.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _safe_url(text: str) -> str:
    try:
        url = URL(text)
    except ValueError as error:
        raise ValueError("is not a URL") from error
    if not url.host or url.scheme not in {"https", "http"}:
        raise ValueError("must be an https URL")
    if url.scheme == "http" and url.host not in _LOOPBACK:
        raise ValueError("must be https; http is for 127.0.0.1, ::1 and localhost only")
    return text


Word = Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"\S")]
SafeUrl = Annotated[str, AfterValidator(_safe_url)]
Origin = Annotated[str, AfterValidator(_safe_url), AfterValidator(lambda text: str(URL(text).origin()))]
"""A full page path is normalised to its origin, as documented for `allowed_origins`."""
Count = Annotated[int, Field(gt=0)]
Limit = Annotated[Count, AfterValidator(lambda limit: min(limit, PAGE_MAX))]
"""A page size: capped above the page's maximum, refused when it is no number above 0."""


class Body(BaseModel):
    """A request body: JSON types as they are (`"100"` is no number); unknown fields are the vendor's to ignore."""

    model_config = ConfigDict(strict=True, frozen=True)


AnyBody = TypeVar("AnyBody", bound=Body)


async def read(request: web.Request, model: type[AnyBody]) -> AnyBody:
    """Return the request's body as *model*.

    Raises:
        Refused: 400, naming every field that is wrong.
    """
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        raise Refused(400, "; ".join(_said(dict(problem)) for problem in error.errors())) from error


def _said(problem: dict[str, Any]) -> str:
    where = ".".join(map(str, problem["loc"])) or "body"
    if problem["type"] == "missing":
        return f"{where} is required"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}"


def keyed(account: Account, handler: Handler) -> Handler:
    """Return *handler* behind the account's `x-api-key`; what it answers well is counted as a request."""

    async def checked(request: web.Request) -> web.StreamResponse:
        sent = request.headers.get("x-api-key", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(sent, account.api_key.encode()):
            raise Refused(401, "x-api-key is missing or not known")
        response = await handler(request)
        account.requests += 1
        return response

    return checked


def bearer(request: web.Request) -> str:
    """Return the bearer token of the `authorization` header.

    Raises:
        Refused: 401, when there is none.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise Refused(401, "authorization must be a bearer embed token")
    return token.strip()


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every refusal as JSON, aiohttp's own (404, 405, 413) too."""
    try:
        return await handler(request)
    except Refused as refused:
        return web.json_response({"message": refused.message}, status=refused.status)
    except web.HTTPException as error:
        return web.json_response({"message": error.reason}, status=error.status)
