"""The two doors: aiohttp's runners with our limits, and what is in the way when one cannot open."""

import errno
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from aiohttp import web

from stibgate.app.parts import new_request_id
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
    return web.AppRunner(
        app,
        handle_signals=False,
        access_log=None,
        keepalive_timeout=ADMIN_KEEPALIVE_S,
        shutdown_timeout=ADMIN_ANSWERED_S,
    )


async def listen(runner: web.BaseRunner, address: tuple[str, int], setting: str, stack: AsyncExitStack) -> str:
    """Open *runner* at *address* until *stack* is unwound; return its URL.

    Raises:
        AddressInUse: Another program listens there.
        PermissionRefused: This user may not listen there.
        ConfigError: This machine has no such address.
    """
    host, port = address
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    except OSError as error:
        raise _cannot_listen(error, f"{host}:{port}", setting) from error
    name = runner.addresses[0]
    return f"http://{'[' + name[0] + ']' if ':' in name[0] else name[0]}:{name[1]}"


def _cannot_listen(error: OSError, address: str, setting: str) -> StibgateError:
    hint = f"Stop it, or choose another address in {setting}."
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(f"{address} is in use by another program", hint=hint)
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in {errno.EACCES, errno.EPERM}:
        return PermissionRefused(f"cannot listen on {address}: {reason}", hint=f"Choose another address in {setting}.")
    return ConfigError([Problem("configuration", setting, address, f"cannot be listened on: {reason}")])
