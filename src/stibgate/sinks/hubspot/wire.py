"""The connection to HubSpot: bounded in time and size, no redirects, no cookies, the token in no error."""

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from stibgate import __version__
from stibgate.domain.calling import telling
from stibgate.domain.fact import Observe, unobserved
from stibgate.errors import SinkUnavailable
from stibgate.sinks.hubspot.answers import Again, Reply, Trouble

BODY_MAX_BYTES = 16 * 1024 * 1024
_CONNECT_S = 10.0


class Wire:
    """One keep-alive pool.

    Args:
        base_url: Scheme, host and port.
        token: Printable ASCII.
        timeout_s: For one exchange, from connecting to the last byte.
        observe: Told of each exchange.

    Raises:
        ValueError: *token* cannot stand in a header; the message does not show it.
    """

    def __init__(self, base_url: str, token: str, timeout_s: float, observe: Observe = unobserved) -> None:
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("the token must be printable ASCII without spaces")
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._host = urlsplit(base_url).hostname or ""
        self._observe = observe
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(_CONNECT_S, timeout_s))
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make ready; nothing is sent yet."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),  # the limiter says how many
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                headers={
                    "Authorization": f"Bearer {self._token}",
                    "Accept": "application/json",
                    "User-Agent": f"stibgate/{__version__}",
                },
            )

    async def close(self) -> None:
        """Let go of the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def exchange(self, method: str, path: str, data: bytes | None) -> Reply | Again:
        """Return what came back, or that nothing whole did: then nobody knows whether HubSpot did as asked."""
        if self._session is None:
            raise SinkUnavailable("the sink is not open")
        headers = None if data is None else {"Content-Type": "application/json"}
        url = f"{self._base_url}/{path}"
        try:
            with telling(self._observe, asyncio.get_running_loop().time, self._host, method) as told:
                async with self._session.request(
                    method, url, data=data, headers=headers, allow_redirects=False
                ) as response:
                    told.status = response.status
                    return Reply(response.status, response.headers, await _read(response))
        except TimeoutError:
            return Again(Trouble.BROKEN, "HubSpot did not answer in time")
        except (aiohttp.ClientError, OSError) as error:
            return Again(Trouble.BROKEN, f"the connection to HubSpot failed: {_cause(error)}")


def _cause(error: aiohttp.ClientError | OSError) -> str:
    """Return why in the system's words, which name no address; else in ours."""
    system = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    number = system.errno if isinstance(system, OSError) else None
    if number is not None and number > 0:
        return os.strerror(number)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known here"
    return "it was cut" if isinstance(error, aiohttp.ServerDisconnectedError) else type(error).__name__


def encode(document: Mapping[str, Any]) -> bytes:
    """Return *document* as JSON, escaped to ASCII: a lone surrogate must spoil one record, not the request."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """Return the unpacked body; None when it is longer than we read."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > BODY_MAX_BYTES:
            response.close()
            return None
        parts.append(part)
    return b"".join(parts)
