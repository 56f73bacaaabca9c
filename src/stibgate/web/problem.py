"""Errors as RFC 9457 `application/problem+json`: type, title, status and request id, and nothing more."""

import json
from http import HTTPStatus

from aiohttp import web

SERVER = "stibgate"
"""Instead of aiohttp's own header, which names its version and Python's."""

_TITLES = {413: "Content Too Large", 414: "URI Too Long"}


def problem(
    status: int,
    *,
    request_id: str | None,
    title: str | None = None,
    retry_after_s: int | None = None,
    allow: str | None = None,
    close: bool = False,
) -> web.Response:
    """Return the answer for *status*; with *close* the connection is not used again."""
    body = {
        "type": "about:blank",
        "title": title or _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "request_id": request_id,
    }
    headers = {"Server": SERVER}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if allow is not None:
        headers["Allow"] = allow
    response = web.Response(
        status=status, body=json.dumps(body).encode(), content_type="application/problem+json", headers=headers
    )
    if close:
        response.force_close()
    return response
