"""Gateways, their far sides and their senders, for the benchmarks: real processes on loopback, real files.

The gateway has the last core, everything else the others, where the machine has more than one.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, Self

import aiohttp

from stibgate.app import open_store_ledger
from stibgate.cli.stage import free_port
from stibgate.config import load
from stibgate.sandbox.people import People
from stibgate.sandbox.stibnite.documents import encode, push_document
from stibgate.stores import DeliveryFilter
from tests.benchmarks.test_acknowledge import Server, cpu_s

TOKEN = "benchmark-token-that-is-no-secret"
POLL_S = 0.05
PEOPLE = People(7)

_FAR_SIDE = Path(__file__).with_name("far_side.py")
_CONFIG = """
[server]
bind = "127.0.0.1:{port}"
admin_bind = "127.0.0.1:{admin}"
[server.limits]
rate = "1000000/s"
burst = 1000000
[storage]
durability = "full"
[sources.push]
kind = "stibnite_push"
tokens = ["{token}"]
routes = {routes}
{more}
"""


def push(search_id: str, numbers: Sequence[int]) -> bytes:
    """Return the body of a push with these people."""
    selection = {"mode": "selected", "prospect_ids": [PEOPLE.prospect_id(i) for i in numbers], "filters": {}}
    records = [PEOPLE.prospect(i) for i in numbers]
    document = push_document(
        search_id, customer_id="bench", user_id="dana", selection=selection, records=records, net_new=len(records)
    )
    return encode(document)


async def until(what: str, condition, *, within_s: float) -> None:
    """Return when `await condition()` is true; fail when that takes too long."""
    deadline_s = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {what}"
        await asyncio.sleep(POLL_S)


class FarSide:
    """HubSpot or a receiver, off the gateway's core."""

    def __init__(self, http: aiohttp.ClientSession, server: Server) -> None:
        self._http = http
        self.url = f"http://127.0.0.1:{server.port}"

    async def report(self) -> dict[str, Any]:
        async with self._http.get(f"{self.url}/bench/report") as answer:
            return await answer.json()

    async def become(self, mode: str) -> None:
        async with self._http.post(f"{self.url}/bench/become/{mode}") as answer:
            assert answer.status == 204


class Gate:
    """One `stibgate serve`, and what its store says."""

    def __init__(self, http: aiohttp.ClientSession, server: Server, folder: Path) -> None:
        self._http = http
        self._server = server
        self._url = f"http://127.0.0.1:{server.port}/hooks/push/{TOKEN}"
        self.settings = load(folder / "config.toml", environ={}).settings

    async def push(self, body: bytes) -> None:
        """Send one delivery and wait until it is acknowledged."""
        headers = {"content-type": "application/json", "stibnite-event-type": "prospecting.records.pushed"}
        async with self._http.post(self._url, data=body, headers=headers) as answer:
            assert answer.status == 202, await answer.text()

    async def push_all(self, bodies: Sequence[bytes], *, at_once: int = 8) -> None:
        """Send *bodies* in their order, some at a time."""
        left = iter(bodies)

        async def sender() -> None:
            for body in left:
                await self.push(body)

        await asyncio.gather(*(sender() for _ in range(at_once)))

    async def drained(self, deliveries: int, *, within_s: float) -> None:
        """Return when that many deliveries are done, each with every sink."""
        with closing(open_store_ledger(self.settings)) as ledger:

            async def done() -> bool:
                return ledger.status().deliveries.get("done", 0) >= deliveries

            await until(f"{deliveries} deliveries done", done, within_s=within_s)

    def searches(self) -> list[str]:
        """Return the search ids of all deliveries in the order in which they were accepted."""
        with closing(open_store_ledger(self.settings)) as ledger:
            return [str(one.search_id) for one in reversed(ledger.deliveries(DeliveryFilter(), limit=None))]

    def problems(self) -> list[str]:
        """Return what is wrong with the store: integrity, and records that are not accounted for."""
        with closing(open_store_ledger(self.settings)) as ledger:
            return list(ledger.check())

    def cpu_s(self) -> float:
        """Return the processor time that the gateway has used, user and system."""
        return cpu_s(self._server.process.pid)

    def freeze(self) -> None:
        """Stop the process where it is, so that it takes nothing from another one's round."""
        self._server.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the process go on."""
        self._server.process.send_signal(signal.SIGCONT)


class World:
    """Starts processes in folders of *folder*; ends them with the block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._cores = os.sched_getaffinity(0)
        if (cores := os.cpu_count() or 1) > 1:
            os.sched_setaffinity(0, set(range(cores - 1)))
        self._stack.callback(os.sched_setaffinity, 0, self._cores)
        connector = aiohttp.TCPConnector(limit=0)
        self._http = await self._stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        return self

    async def __aexit__(self, *_) -> None:
        await self._stack.aclose()

    async def far_side(self, kind: str, *args: object) -> FarSide:
        """Return a running `hubspot LATENCY_S LIMIT_TEN_S` or `receiver`."""
        port = free_port()
        command = [sys.executable, str(_FAR_SIDE), kind, str(port), *map(str, args)]
        server = self._run(Server(command, port, self._folder))
        os.sched_setaffinity(server.process.pid, os.sched_getaffinity(0))
        await server.ready()
        return FarSide(self._http, server)

    async def gate(self, name: str, *, routes: Sequence[str], more: str) -> Gate:
        """Return a running gateway with the configuration *more*; its pushes go to the sinks *routes*."""
        folder, port = self._folder / name, free_port()
        folder.mkdir()
        text = _CONFIG.format(port=port, admin=free_port(), token=TOKEN, routes=list(routes), more=more)
        (folder / "config.toml").write_text(text)
        (folder / "config.toml").chmod(0o600)
        server = self._run(Server([sys.executable, "-m", "stibgate", "serve"], port, folder))
        await server.ready()
        gate = Gate(self._http, server, folder)
        self._stack.callback(gate.thaw)
        return gate

    def _run(self, server: Server) -> Server:
        self._stack.callback(server.stop)
        return server
