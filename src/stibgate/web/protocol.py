"""aiohttp's low-level server with our answers to what is not HTTP.

aiohttp answers a malformed request by itself, before any handler, with a page of its own, and logs a
traceback that quotes the offending header. This protocol answers with problem+json and logs one line.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from stibgate.web.limits import TokenBucket
from stibgate.web.problem import problem

log = structlog.get_logger("stibgate.receiver")

MALFORMED_LINES_PER_S = 50


def _status_of(exc: BaseException | None) -> int | None:
    """Return the status that says more than 400, where there is one; aiohttp tells only by its texts."""
    if isinstance(exc, LineTooLong):
        line = exc.args[0]
        return 414 if isinstance(line, bytes | bytearray) and line.startswith(b"/") else 431
    if isinstance(exc, BadHttpMessage) and exc.message.startswith("Too many headers"):
        return 431
    return None


class QuietProtocol(web.RequestHandler):  # type: ignore[misc,type-arg,unused-ignore]  # generic in newer aiohttp
    """A connection whose protocol errors are answered shortly and logged without their text."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  (aiohttp's text quotes the request)
    ) -> web.StreamResponse:
        """Return the answer to a request that could not be parsed, or whose handler raised."""
        server = cast("QuietServer", self._manager)
        request_id = server.new_request_id()
        if status >= 500:
            log.error("unhandled", request_id=request_id, http_status=status, client_ip=request.remote, exc_info=exc)
        else:
            status = _status_of(exc) or status
            server.log_malformed(request_id=request_id, http_status=status, client_ip=request.remote)
        return problem(status, request_id=request_id, close=True)

    def log_exception(self, *_args: object, **kwargs: Any) -> None:
        """Log an exception that escaped even `handle_error`, by type and place."""
        log.error("unhandled", exc_info=kwargs.get("exc_info"))


class QuietServer(web.Server):
    """A server whose connections are `QuietProtocol`s.

    Args:
        handler: Answers requests.
        new_request_id: Makes the ids of requests that could not be parsed.
        malformed: What the log calls such a request.
        settings: Those of `web.Server`.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        new_request_id: Callable[[], str | None] = lambda: None,
        malformed: str = "delivery.rejected",
        **settings: Any,
    ) -> None:
        super().__init__(handler, **settings)
        self.new_request_id = new_request_id
        self._malformed = malformed
        self._lines = TokenBucket(MALFORMED_LINES_PER_S, MALFORMED_LINES_PER_S, MALFORMED_LINES_PER_S, 0.0)
        self._suppressed = 0

    def log_malformed(self, *, request_id: str | None, http_status: int, client_ip: str | None) -> None:
        """Log a request that was not HTTP, as far as a flood of them leaves room for lines."""
        if self._lines.take(asyncio.get_running_loop().time()):
            self._suppressed += 1
            return
        log.warning(
            self._malformed,
            request_id=request_id,
            reason="malformed_http",
            http_status=http_status,
            client_ip=client_ip,
            suppressed=self._suppressed or None,
        )
        self._suppressed = 0

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of one new connection."""
        return QuietProtocol(self, loop=self._loop, **self._kwargs)
