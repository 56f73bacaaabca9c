"""The two doors: aiohttp's runners with our limits, and what is in the way when one cannot open."""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from aiohttp import web

from stibgate.app.clock import new_request_id
from stibgate.errors import AddressInUse, ConfigError, PermissionRefused, Problem, StibgateError
from stibgate.web.protocol import QuietServer

HEAD_BYTES_MAX = 8 * 1024 - 2
HEADERS_MAX = 100
LINGER_S = 2.0
ANSWERED_S = 2.0
"""How long a listener may take to write its last answers, once they are made."""
ADMIN_KEEPALIVE_S = 15
ADMIN_ANSWERED_S = 10.0
"""How long it may wait for a vendor, whose answer decides whether money was spent."""
BACKLOG = 1024
HANDED_BACK_S = 1.0
"""How long a connection that was accepted just before the end may take until its request is here."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def public_runner(handle: Handler, *, keepalive_s: float) -> web.ServerRunner:
    """Return the public listener; bodies stay as they came, because signatures are over the wire's bytes."""
    server = QuietServer(
        handle,
        new_request_id=new_request_id,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=keepalive_s,
        lingering_time=LINGER_S,
        max_line_size=HEAD_BYTES_MAX,
        max_field_size=HEAD_BYTES_MAX,
        max_headers=HEADERS_MAX,
    )
    return web.ServerRunner(server, handle_signals=False, shutdown_timeout=ANSWERED_S)


def admin_runner(app: web.Application) -> web.AppRunner:
    """Return the admin listener."""
    return _AdminRunner(
        app,
        handle_signals=False,
        shutdown_timeout=ADMIN_ANSWERED_S,
    )


class _AdminRunner(web.AppRunner):
    """An application's runner whose connections answer what is no HTTP as the public listener's do."""

    async def _make_server(self) -> web.Server:  # type: ignore[type-arg,unused-ignore]  # generic in newer aiohttp
        made = await super()._make_server()
        return QuietServer(
            made.request_handler,
            request_factory=made.request_factory,
            new_request_id=new_request_id,
            malformed="admin.malformed",
            access_log=None,
            keepalive_timeout=ADMIN_KEEPALIVE_S,
        )


async def listen(
    runner: web.BaseRunner,
    address: tuple[str, int],
    setting: str,
    stack: AsyncExitStack,
    *,
    given: socket.socket | None = None,
) -> str:
    """Open *runner* at *address*, or at a socket that was *given*, until *stack* is unwound; return its URL.

    Raises:
        AddressInUse: Another program listens there.
        PermissionRefused: This user may not listen there.
        ConfigError: This machine has no such address.
    """
    host, port = address
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, host, port, backlog=BACKLOG)
    try:
        await (site if given is None else web.SockSite(runner, given, backlog=BACKLOG)).start()
    except OSError as error:
        raise _cannot_listen(error, f"{host}:{port}", setting) from error
    name = runner.addresses[0]
    if isinstance(name, str):
        return f"unix:{name}"
    return f"http://{'[' + name[0] + ']' if ':' in name[0] else name[0]}:{name[1]}"


async def hand_back(runner: web.BaseRunner, given: socket.socket) -> None:
    """Take no more connections from *given*, which outlives us, and let those that are here say what they came for."""
    loop = asyncio.get_running_loop()
    # The loop would fail for whoever it accepts in the turn that closes its end (CPython before 3.12).
    loop.remove_reader(given.fileno())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for site in runner.sites:
        await site.stop()
    until_s = loop.time() + HANDED_BACK_S
    while runner.server is not None and runner.server.connections and loop.time() < until_s:  # noqa: ASYNC110  (aiohttp has no event for it)
        await asyncio.sleep(0.02)


def _cannot_listen(error: OSError, address: str, setting: str) -> StibgateError:
    hint = f"Stop it, or choose another address in {setting}."
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(f"{address} is in use by another program", hint=hint)
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in {errno.EACCES, errno.EPERM}:
        return PermissionRefused(f"cannot listen on {address}: {reason}", hint=f"Choose another address in {setting}.")
    return ConfigError([Problem("configuration", setting, address, f"cannot be listened on: {reason}")])
