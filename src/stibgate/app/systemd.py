"""What systemd gives a service and is told by it: listening sockets, readiness, and a watchdog.

Both protocols are a few environment variables and one socket; no library is needed, and none of it needs systemd: any
supervisor may speak them. The variables are taken out of the environment, so that no child believes they are its own.
Source: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).
"""

import os
import socket
import stat
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Self

import structlog

from stibgate.config import Settings
from stibgate.config.fields import is_loopback
from stibgate.errors import ConfigError, Problem

log = structlog.get_logger("stibgate.service")

FIRST_FD = 3
PUBLIC, ADMIN = "public", "admin"
ROLES = (PUBLIC, ADMIN)
SEND_S = 0.5
"""How long the supervisor may take to have room for one message; it must not keep the loop from turning."""

_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class Notifier:
    """Tells the supervisor how the service is; nobody, where there is none.

    Args:
        address: `NOTIFY_SOCKET`: a path, or a name in the abstract namespace behind an `@`.
        watchdog_s: Without a sign of life for so long the supervisor ends the service; None for no watchdog.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s
        self._lost = False

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return self._address is not None

    def ready(self, status: str) -> None:
        """Say that the service does its work, after the start or a reload."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """Say in one line what it is doing."""
        self._send(f"STATUS={text}")

    def reloading(self) -> None:
        """Say that it reads its configuration; `ready` follows in any case."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that it ends."""
        self._send("STOPPING=1\nSTATUS=draining")

    def alive(self) -> None:
        """Give the watchdog its sign of life, where there is one."""
        if self.watchdog_s is not None:
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        """Send one datagram; a supervisor that does not take it must not cost a delivery."""
        if self._address is None:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SEND_S)
                sender.sendto(message.encode(), address)
        except OSError as error:
            if not self._lost:
                log.warning("service.notify_failed", error=error.strerror or "no room for the message")
            self._lost = True


@dataclass(frozen=True, slots=True)
class Supervision:
    """What the supervisor gave at the start.

    Attributes:
        notifier: Tells it how the service is.
        sockets: Listening sockets by role, `public` or `admin`, to be used in place of the addresses in `[server]`.
    """

    notifier: Notifier = field(default_factory=Notifier)
    sockets: Mapping[str, socket.socket] = field(default_factory=dict)

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Self:
        """Return what *environ* says, and take it out of there.

        Raises:
            ConfigError: The sockets are not what they should be.
        """
        names = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
        said = {name: environ.pop(name, "") for name in names}
        address = said["NOTIFY_SOCKET"] if said["NOTIFY_SOCKET"][:1] in {"/", "@"} else None
        return cls(Notifier(address, _watchdog_s(said)), _sockets(said))


def check_admin(given: socket.socket | None, settings: Settings) -> None:
    """Refuse an admin socket that others than this machine could reach, while nothing but an address guards it.

    Raises:
        ConfigError: It is such a one.
    """
    if given is None or given.family == socket.AF_UNIX or settings.console.tokens:
        return
    host = given.getsockname()[0]
    if not is_loopback(host):
        words = "must be a loopback address while there are no [console] tokens: anybody could reach it"
        raise ConfigError([Problem("socket activation", ADMIN, host, words)])


def _watchdog_s(said: Mapping[str, str]) -> float | None:
    for_us = said["WATCHDOG_PID"] in {"", str(os.getpid())}
    microseconds = said["WATCHDOG_USEC"]
    return int(microseconds) / 1_000_000 if for_us and microseconds.isdecimal() and int(microseconds) else None


def _sockets(said: Mapping[str, str]) -> dict[str, socket.socket]:
    """Return the sockets by role: named `public` and `admin`, or without these names in that order."""
    if said["LISTEN_PID"] != str(os.getpid()) or not said["LISTEN_FDS"].isdecimal():
        return {}  # meant for somebody else
    count = int(said["LISTEN_FDS"])
    names = said["LISTEN_FDNAMES"].split(":") if said["LISTEN_FDNAMES"] else []
    roles = tuple(names) if set(names) & set(ROLES) else ROLES[:count]
    if count > len(ROLES) or len(roles) != count or set(roles) - set(ROLES) or len(set(roles)) != count:
        given = ", ".join(names) or "unnamed"
        words = f"{count} sockets ({given}): at most one named public and one named admin, or both in this order"
        raise _unfit("LISTEN_FDS", words)
    return {role: _socket(number, role) for number, role in enumerate(roles, FIRST_FD)}


def _socket(number: int, role: str) -> socket.socket:
    """Return descriptor *number* as a socket of ours that no child inherits.

    Raises:
        ConfigError: It is no stream socket that listens.
    """
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            raise _unfit(role, f"descriptor {number} is no socket")
    except OSError as error:
        raise _unfit(role, f"descriptor {number} is not open") from error
    os.set_inheritable(number, False)  # noqa: FBT003  (takes no name)
    found = socket.socket(fileno=number)
    listens = found.type == socket.SOCK_STREAM and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if found.family not in _FAMILIES or not listens:
        found.close()
        raise _unfit(role, f"descriptor {number} is no stream socket that listens: ListenStream=, and Accept=no")
    found.settimeout(0)
    return found


def _unfit(what: str, words: str) -> ConfigError:
    hint = "Socket units for this: FileDescriptorName=public or admin, ListenStream=ADDRESS, Accept=no."
    return ConfigError([Problem("socket activation", what, "", words)], hint=hint)
