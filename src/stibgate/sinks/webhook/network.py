"""How the receiver is reached: every address is judged before it is dialled, and the judged one is dialled.

A name is resolved once for each connection, all of its addresses are judged, and the connection goes to one of them:
a name server that answers otherwise a moment later is not asked again. Literal addresses never meet a resolver, so
the place where sockets are made judges once more what is really dialled. Every delivery has a connection of its own:
a kept one may be closed by the receiver in the moment when it is used again, which nobody can tell from a failure.
Source: OWASP SSRF prevention; research/security.md 3.2.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

_LOOKUPS_MAX = 4
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class AddressRefused(OSError):
    """An address that must not be dialled.

    Args:
        address: The address.
    """

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} is not a public address")
        self.address = address


class Lookup(AbstractResolver):
    """The system's resolver, in threads of its own.

    A lookup cannot be cancelled. While name servers are silent, lookups that nobody waits for any more would fill
    the threads that everything else in the process shares, and other sinks would stand still.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS_MAX, thread_name_prefix="webhook-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of *host* as the system knows them.

        Raises:
            OSError: There is no such name, or nobody answers for it.
        """
        look = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look)
        return [
            ResolveResult(hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=_NUMERIC)
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Let the threads end with what they do."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def make_tls() -> ssl.SSLContext:
    """Return what verifies receivers: the system's authorities, or those of `SSL_CERT_FILE`. Reads files."""
    tls = ssl.create_default_context()
    tls.set_alpn_protocols(["http/1.1"])
    return tls


@dataclass(frozen=True, slots=True)
class Network:
    """What may be dialled, and with which means.

    Attributes:
        allowed: Whether an address may be dialled.
        make_resolver: Makes what turns names into addresses.
        make_tls: Makes what verifies the receiver's certificate; runs in a thread.
    """

    allowed: Callable[[str], bool]
    make_resolver: Callable[[], AbstractResolver] = Lookup
    make_tls: Callable[[], ssl.SSLContext] = make_tls

    def resolver(self) -> AbstractResolver:
        """Return what looks up names and judges their addresses; its user closes it."""
        return _Judge(self.make_resolver(), self._judge)

    async def connector(self, resolver: AbstractResolver, *, tls: bool) -> aiohttp.TCPConnector:
        """Return what a session connects with, over TLS or not; its user closes it, but *resolver* stays open."""
        return aiohttp.TCPConnector(
            resolver=resolver,
            socket_factory=self._make_socket,
            ssl=await asyncio.to_thread(self.make_tls) if tls else True,
            use_dns_cache=False,
            force_close=True,
            limit=0,  # the pipeline knows how many deliveries may run at once
        )

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of *host*, at least one, all of which may be dialled.

        Raises:
            AddressRefused: One of them must not be dialled.
            OSError: There is no such name, or nobody answers for it.
        """
        resolver = self.resolver()
        try:
            found = await resolver.resolve(host, port, socket.AF_UNSPEC)
        finally:
            await resolver.close()
        return list(dict.fromkeys(result["host"] for result in found))

    async def touch(self, addresses: Sequence[str], port: int, *, server_hostname: str | None) -> str:
        """Connect to the first of *addresses* that answers, send no request, and return the version of TLS or "".

        Args:
            addresses: What `resolve` returned.
            port: The port.
            server_hostname: The name that the certificate must have; None for no TLS.

        Raises:
            OSError: No address answers, or the certificate is not the right one.
        """
        tls = None if server_hostname is None else await asyncio.to_thread(self.make_tls)
        failure: OSError | None = None
        for address in addresses:
            try:
                _, writer = await asyncio.open_connection(address, port, ssl=tls, server_hostname=server_hostname)
            except OSError as error:
                failure = error
                continue
            version = writer.get_extra_info("ssl_object")
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return str(version.version()) if version else ""
        raise failure or OSError("no address")

    def _judge(self, address: str) -> None:
        if not self.allowed(address):
            raise AddressRefused(address)

    def _make_socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        self._judge(str(address[0]))
        return socket.socket(family, kind, protocol)


class _Judge(AbstractResolver):
    """A resolver all of whose answers are judged: one address that is refused spoils the name."""

    def __init__(self, inner: AbstractResolver, judge: Callable[[str], None]) -> None:
        self._inner = inner
        self._judge = judge

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not found:
            raise OSError("the name has no address")
        for result in found:
            self._judge(result["host"])
        return found

    async def close(self) -> None:
        await self._inner.close()
