"""One exchange with a vendor: bounded in time and size, no redirects, no cookies, nothing compressed.

Keys stay where they belong: a redirect would carry `x-api-key` to another host, so none is followed. Compressed
answers are not asked for and not unpacked, so none can grow. Every exchange has a connection of its own: a kept one
may be closed by the vendor in the moment when it is used again, which nobody can tell from a failed request.
Errors of aiohttp know URLs and headers, so none of them is chained to ours.
Source: research/security.md 3.2; RFC 9110, 12.5.3.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from stibgate import __version__
from stibgate.domain.calling import telling
from stibgate.domain.fact import Observe, unobserved
from stibgate.errors import UsageError, VendorMisbehaved, VendorUnavailable

BODY_MAX_BYTES = 16 * 1024 * 1024
_CONNECTIONS_MAX = 8
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Repeat(Enum):
    """When a request may be sent again by itself."""

    FREELY = "it changes nothing, or repeating it changes nothing more"
    UNLESS_DONE = "it bills what it returns: again only when it surely was not carried out"
    NEVER = "it may be carried out twice"


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        method: `GET`, `POST` or `DELETE`.
        route: What errors call it: a path with `{names}` in place of values.
        target: Path and query as they go over the wire.
        headers: Those that prove who we are, and those of this request alone.
        body: JSON, or None.
        private: Secrets and personal values in the request; masked where the vendor repeats them.
        hints: What to do about a refusal with this status; goes before the general hints.
        repeat: When it may be sent again by itself.
        answer_max_bytes: How long its answer may be.
    """

    method: str
    route: str
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    private: tuple[str, ...] = field(default=(), repr=False)
    hints: Mapping[int, str] = field(default_factory=dict, repr=False)
    repeat: Repeat = Repeat.NEVER
    answer_max_bytes: int = BODY_MAX_BYTES

    @property
    def name(self) -> str:
        """What errors call it, `GET /v1/usage`."""
        return f"{self.method} {self.route}"

    @property
    def maybe_done(self) -> bool:
        """Whether it matters that it may have been carried out although no answer came."""
        return self.repeat is not Repeat.FREELY or self.method != "GET"

    @property
    def doubt_hint(self) -> str:
        """What to do when nobody knows whether it was carried out; "" when that does not matter."""
        if self.repeat is Repeat.FREELY:
            return ""
        return "It may have been carried out, and billed: look at what is there before asking again."


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole.

    Attributes:
        headers: Whatever the case of their names.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Http:
    """The connections to one vendor; an async context manager.

    Args:
        base_url: https, or http on loopback; a path in it stands before every target.
        timeout_s: For one exchange, from looking up the name to the last byte.
        connect_timeout_s: For making the connection.
        observe: Told of each exchange.

    Raises:
        UsageError: *base_url* is not one.
    """

    def __init__(
        self, base_url: str, *, timeout_s: float = 30.0, connect_timeout_s: float = 10.0, observe: Observe = unobserved
    ) -> None:
        self._base_url = checked_base_url(base_url)
        self._host = urlsplit(self._base_url).hostname or ""
        self._observe = observe
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(connect_timeout_s, timeout_s))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Make ready; nothing is sent yet."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS_MAX, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                auto_decompress=False,
                middlewares=(_once,),
                headers={"Accept-Encoding": "identity", "User-Agent": f"stibgate/{__version__}"},
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def exchange(self, call: Call) -> Answer:
        """Return what came back, whatever its status.

        Raises:
            VendorUnavailable: No connection, no answer in time, or only half of one.
            VendorMisbehaved: The answer is compressed, or longer than `call.answer_max_bytes`.
        """
        if self._session is None:
            raise RuntimeError("the client is used outside of its `async with`")
        headers = dict(call.headers) if call.body is None else {**call.headers, "Content-Type": "application/json"}
        url = URL(self._base_url + call.target, encoded=True)
        try:
            with telling(self._observe, asyncio.get_running_loop().time, self._host, call.method, call.name) as told:
                async with self._session.request(
                    call.method, url, data=call.body, headers=headers, allow_redirects=False
                ) as response:
                    told.status, told.remaining = response.status, _remaining(response.headers)
                    return Answer(response.status, response.headers.copy(), await _read(response, call))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            failure = _failure(call, error)
        raise failure


def checked_base_url(text: str) -> str:
    """Return *text* without a slash at its end.

    Raises:
        UsageError: It is not https (http on loopback), or has a user name, a query or a fragment. The message does
            not show it.
    """
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not text.isascii() or not text.isprintable() or any(mark in text for mark in " ?#@\\"):
        raise UsageError("base_url is not a URL without user name, query and fragment", hint=_BASE_URL_HINT)
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise UsageError("base_url must begin with https://", hint=_BASE_URL_HINT)
    return text.rstrip("/")


_BASE_URL_HINT = 'For example "https://platform.stibnite.co"; http:// is for 127.0.0.1, [::1] and localhost only.'


def _remaining(headers: Mapping[str, str]) -> int | None:
    text = headers.get("x-ratelimit-remaining", "")
    return int(text) if re.fullmatch("[0-9]{1,9}", text, re.ASCII) else None


class _Broken(aiohttp.ClientError):
    """The connection broke after it was made."""


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send *request* once: aiohttp would send a GET or DELETE again by itself when its connection breaks."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        kind = type(error).__name__
    raise _Broken(kind)


def _failure(call: Call, error: Exception) -> VendorUnavailable:
    """Return what a failed exchange means: whoever did not get a connection has not asked yet."""
    kind = str(error) if isinstance(error, _Broken) else type(error).__name__
    if isinstance(error, aiohttp.ClientSSLError):
        hint = "Check base_url; SSL_CERT_FILE names other authorities. Nothing was sent."
        return VendorUnavailable(f"{call.name}: no trusted connection ({kind})", hint=hint)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        hint = "Check base_url and the network. Nothing was sent."
        return VendorUnavailable(f"{call.name}: no connection ({kind})", hint=hint)
    what = "no answer in time" if isinstance(error, TimeoutError) else f"the connection broke ({kind})"
    return VendorUnavailable(f"{call.name}: {what}", hint=call.doubt_hint, maybe_done=call.maybe_done)


async def _read(response: aiohttp.ClientResponse, call: Call) -> bytes:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity"}:
        response.close()
        raise VendorMisbehaved(
            f"{call.name}: the answer is compressed, which was not asked for",
            hint="Something between here and the vendor compresses answers: have it respect Accept-Encoding.",
            maybe_done=call.maybe_done,
        )
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > call.answer_max_bytes:
            response.close()
            raise VendorMisbehaved(
                f"{call.name}: the answer is longer than {call.answer_max_bytes} bytes",
                hint="Ask for less at once, with a smaller limit or selection.",
                maybe_done=call.maybe_done,
            )
    return bytes(body)
