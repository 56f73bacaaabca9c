"""Virtual time with real sockets: it stands still while a connection is open, because its other end is being waited for.

Both ends of every connection are in this process, so bytes that were sent are already there. The kernel may need a
moment nevertheless; whoever pauses with a connection open (a slow vendor) gets that moment, then the clock moves on.
"""

import asyncio
import socket
from typing import Any

from tests.virtual import VirtualLoop, _Selector

GRACE_S = 0.001


class _SocketSelector(_Selector):
    def __init__(self) -> None:
        super().__init__()
        self._connections: set[int] = set()

    def register(self, fileobj: Any, events: int, data: Any = None) -> Any:
        key = super().register(fileobj, events, data)
        if _is_connection(key.fd):
            self._connections.add(key.fd)
        return key

    def unregister(self, fileobj: Any) -> Any:
        key = super().unregister(fileobj)
        self._connections.discard(key.fd)
        return key

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0 or self.threads or not self._connections:
            return super().select(timeout)
        return super(_Selector, self).select(GRACE_S) or super().select(timeout)


def _is_connection(fd: int) -> bool:
    """Return whether *fd* is a connection over TCP: no listener, and not the loop's own pair."""
    with socket.socket(fileno=socket.dup(fd)) as held:
        tcp = held.family in {socket.AF_INET, socket.AF_INET6}
        return tcp and not held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


class SocketLoop(VirtualLoop):
    """A virtual loop that waits for its sockets."""

    def __init__(self) -> None:
        self._virtual = _SocketSelector()
        asyncio.SelectorEventLoop.__init__(self, self._virtual)
