"""Ports for tests that must know one beforehand."""

import contextlib
import itertools
import os
import random
import socket

# Below the range from which the system takes the ports of outgoing connections: a client under load must not
# take the port of a gateway that is about to come back.
PORTS = range(20_000, 32_000)


def _own_ports():
    """Return this process's share of the ports, in random order: two xdist workers never reach for the same one."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = PORTS[worker :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
    return itertools.cycle(random.sample(share, len(share)))


_ports = _own_ports()


def free_port() -> int:
    """Return a loopback port that nobody listens on, nor is about to: what was given to one test is not given again."""
    for port in itertools.islice(_ports, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")
