"""How requests are read, let in and refused.

Source: Stibnite Person Data API, "Authentication", "Rate Limits", "Bad Requests".
"""

import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from yarl import URL

from stibgate.sandbox.stibnite.account import Account
from stibgate.sandbox.stibnite.courier import Pace, Pause
from stibgate.sandbox.stibnite.faults import Faults
from stibgate.sandbox.stibnite.refusals import Refused

PAGE_MAX = 100
OPENAPI_PATH = "/openapi.json"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_URL = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://")
_HOST = re.compile(r"[\w.:-]+")
_URL_SCHEMA = {
    "type": "string",
    "pattern": f"^{_URL.pattern}",
    "examples": ["https://partner.example/app"],
    "description": "https; http for 127.0.0.1, ::1 and localhost only",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _safe_url(text: str) -> str:
    try:
        url = URL(text)
    except ValueError as error:
        raise ValueError("is not a URL") from error
    if not _URL.match(text) or not _HOST.fullmatch(url.host or ""):
        raise ValueError("must be an https URL")
    if url.scheme == "http" and url.host not in _LOOPBACK:
        raise ValueError("must be https; http is for 127.0.0.1, ::1 and localhost only")
    return text


def _number(text: object) -> object:
    """Return the number that a query's *text* is; anything else as it was, for the model to refuse."""
    return int(text) if isinstance(text, str) and re.fullmatch("[0-9]+", text) else text


def whole(number: object) -> object:
    """Return the integer that a JSON number like `10.0` is; anything else as it was."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


Word = Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"\S")]
Question = Annotated[Word, WithJsonSchema({"type": "string", "pattern": "[A-Za-z]", "maxLength": 2_000})]
"""A search in words; a letter of any script will do."""
SafeUrl = Annotated[str, AfterValidator(_safe_url), WithJsonSchema(_URL_SCHEMA)]
Origin = Annotated[
    str, AfterValidator(_safe_url), AfterValidator(lambda text: str(URL(text).origin())), WithJsonSchema(_URL_SCHEMA)
]
"""A full page path is normalised to its origin, as documented for `allowed_origins`."""
Count = Annotated[int, Field(gt=0), BeforeValidator(whole)]
Limit = Annotated[Count, AfterValidator(lambda limit: min(limit, PAGE_MAX))]
"""A page size: capped above the page's maximum, refused when it is no number above 0."""
QueryCount = Annotated[Count, BeforeValidator(_number)]
QueryLimit = Annotated[Limit, BeforeValidator(_number)]


class Body(BaseModel):
    """A request body: JSON types as they are (`"100"` is no number); unknown fields are the vendor's to ignore."""

    model_config = ConfigDict(strict=True, frozen=True)


class Query(Body):
    """A request's query; numbers are digits and nothing else."""


AnyBody = TypeVar("AnyBody", bound=Body)
AnyQuery = TypeVar("AnyQuery", bound=Body)


async def read(request: web.Request, model: type[AnyBody]) -> AnyBody:
    """Return the request's body as *model*.

    Raises:
        Refused: 400, naming every field that is wrong.
    """
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        raise _refused(error, "body") from error


def read_query(request: web.Request, model: type[AnyQuery]) -> AnyQuery:
    """Return the request's query as *model*.

    Raises:
        Refused: 400, naming every parameter that is wrong.
    """
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise _refused(error, "query") from error


def _refused(error: ValidationError, whole: str) -> Refused:
    return Refused(400, "; ".join(_said(dict(problem), whole) for problem in error.errors()))


def _said(problem: dict[str, Any], whole: str) -> str:
    where = ".".join(map(str, problem["loc"])) or whole
    if problem["type"] == "missing":
        return f"{where} is required"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}"


def keyed(account: Account, handler: Handler) -> Handler:
    """Return *handler* behind the account's `x-api-key`; what it answers well is counted as a request."""

    async def checked(request: web.Request) -> web.StreamResponse:
        sent = request.headers.get("x-api-key", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(sent, account.api_key.encode()):
            raise Refused(401, "x-api-key is missing or not known")
        account.limit.spend()
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


class Border:
    """What every request passes: faults on the way in and out, and refusals as JSON."""

    def __init__(self, account: Account, faults: Faults, pace: Pace, pause: Pause) -> None:
        self._account = account
        self._faults = faults
        self._pace = pace
        self._pause = pause

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer every refusal as JSON, aiohttp's own (404, 405, 413) too."""
        spared = request.path == OPENAPI_PATH
        try:
            if not spared:
                await self._spoil()
            response = await handler(request)
        except Refused as refused:
            response = web.json_response({"message": refused.message}, status=refused.status, headers=refused.headers)
        except web.HTTPException as error:
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            response = web.json_response({"message": error.reason}, status=error.status, headers=allow)
        if not spared and self._faults.hits("cut", "call") and request.transport is not None:
            request.transport.abort()  # all was done and billed; only the client cannot know
        return response

    async def _spoil(self) -> None:
        if self._faults.hits("slow"):
            await self._pause(self._pace.slow_s)
        if self._faults.hits("http429"):
            raise self._account.limit.refused()
        if self._faults.hits("http500"):
            raise Refused(500, "internal error; this is the sandbox's fault http500")
