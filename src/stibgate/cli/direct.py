"""Requests to services of this machine: as they were asked for, to nobody else.

urllib would ask the environment's proxy even for loopback, and follow a redirect with every header: both would hand
the admin token to whoever answers.
"""

import http.client
import urllib.request
from typing import Any, cast


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        """Follow nothing: the answer is an `HTTPError` like any other that is no success."""


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def open_direct(request: urllib.request.Request | str, *, timeout_s: float) -> http.client.HTTPResponse:
    """Return the answer to *request*, to be closed by the caller.

    Raises:
        HTTPError: It is no success.
        OSError: Nobody answers.
    """
    return cast("http.client.HTTPResponse", _OPENER.open(request, timeout=timeout_s))
