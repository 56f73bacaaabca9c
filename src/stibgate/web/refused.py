"""What the admin listener does not answer, in the API and the console alike, and the bodies that do not come."""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from stibgate.errors import StibgateError

BODY_S = 30.0


class Refused(StibgateError):
    """An answer that is none.

    Args:
        status: The HTTP status.
        message: What is wrong.
        hint: What the caller can do.
        headers: Headers of the answer.
    """

    def __init__(self, status: int, message: str, hint: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.headers = dict(headers or {})


async def body_of(request: web.Request) -> bytes:
    """Return the body, which may be slow or cut off only within bounds.

    Raises:
        Refused: It did not come, or not whole.
    """
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError:
        raise Refused(408, "what was sent did not arrive in time", "Send it again, at once.") from None
    except (web.RequestPayloadError, ConnectionError):
        raise Refused(400, "what was sent was cut off", "Send it again.") from None
