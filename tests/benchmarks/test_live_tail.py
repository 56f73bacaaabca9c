"""What those cost who look on: memory and acknowledgements, with a thousand live tails and without, side by side.

Run with `python -m pytest -m benchmark -s tests/benchmarks/test_live_tail.py`. Two gateways of the same kind share a core;
one has the clients. Rounds of load alternate between them, so that a busy neighbour slows both.
"""

import asyncio
import os
import resource
import statistics
import sys
import time
from pathlib import Path

import pytest

from stibgate.cli.stage import free_port
from tests.benchmarks.test_acknowledge import CONFIG, SECRET, Burst, Server, burst, requests

CLIENTS = 1000
ROUNDS = 6
SECONDS = 1.5
MEMORY_MAX_BYTES = 60 * 1024**2

IDLE, EVERYTHING = "event=task.dead", ""
"""What the clients ask for: what does not happen, and all there is."""


class Watcher(asyncio.Protocol):
    """A live tail that reads all it is sent."""

    def __init__(self, admin: int, token: str, query: str) -> None:
        self.read_bytes, self.closed = 0, False
        self.request = (
            f"GET /api/v1/events?{query} HTTP/1.1\r\nHost: 127.0.0.1:{admin}\r\nAuthorization: Bearer {token}\r\n\r\n"
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.request.encode())

    def data_received(self, data: bytes) -> None:
        assert self.read_bytes or data.startswith(b"HTTP/1.1 200"), data
        self.read_bytes += len(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.closed = True


class Gate:
    """A gateway with both listeners' ports."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.port, self.admin = folder, free_port(), free_port()
        config = folder / "config.toml"
        config.write_text(CONFIG.format(port=self.port, admin=self.admin, secret=SECRET))
        config.chmod(0o600)
        self.server = Server([sys.executable, "-m", "stibgate", "serve"], self.port, folder)

    @property
    def pid(self) -> int:
        return self.server.process.pid

    @property
    def rss_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024

    async def watched(self, query: str) -> list[Watcher]:
        """Open the clients; return when each has its first event."""
        token = next((self.folder / "data").glob("*.admin-token")).read_text().strip()
        loop, watchers = asyncio.get_running_loop(), []
        for _ in range(CLIENTS):
            _, watcher = await loop.create_connection(
                lambda: Watcher(self.admin, token, query), "127.0.0.1", self.admin
            )
            watchers.append(watcher)
        while not all(watcher.read_bytes for watcher in watchers):
            await asyncio.sleep(0.05)
        return watchers

    async def push(self, pool: list[bytes]) -> Burst:
        return await burst(self.port, pool, self.pid, seconds=SECONDS)


@pytest.mark.benchmark
@pytest.mark.timeout(300)
@pytest.mark.parametrize("query", [IDLE, EVERYTHING], ids=["idle", "everything"])
async def test_a_thousand_live_tails(query: str, tmp_path: Path) -> None:
    """Idle clients cost less than 60 MiB, and no acknowledgement is measurably later for them."""
    if (cores := os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, set(range(cores - 1)))
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    alone, watched = Gate(tmp_path / "alone"), Gate(tmp_path / "watched")
    pool = requests(1, 70_000)
    try:
        for gate in (alone, watched):
            await gate.server.ready()
        before, before_alone = watched.rss_bytes, alone.rss_bytes
        started = time.perf_counter()
        watchers = await watched.watched(query)
        opened_s = time.perf_counter() - started
        cost = watched.rss_bytes - before
        for gate in (alone, watched):
            await gate.push(pool)  # warm
        pairs = [(await alone.push(pool), await watched.push(pool)) for _ in range(ROUNDS)]
        grown = (watched.rss_bytes - before) - (alone.rss_bytes - before_alone)
        lost = sum(watcher.closed for watcher in watchers)
        read = statistics.median(watcher.read_bytes for watcher in watchers)
        stopping = time.perf_counter()
        watched.server.stop()
        stopped_s = time.perf_counter() - stopping
    finally:
        for gate in (alone, watched):
            if gate.server.process.poll() is None:
                gate.server.stop()
    ratios = [
        statistics.median(getattr(two, key) / getattr(one, key) for one, two in pairs) for key in Burst.__annotations__
    ]
    print(
        f"\n{CLIENTS} live tails of {query or 'everything'!r}, opened in {opened_s:.1f} s: {cost / 2**20:.1f} MiB,",
        end=" ",
    )
    print(f"{cost / CLIENTS / 1024:.1f} KiB each; {grown / 2**20:.1f} MiB more than without them after {ROUNDS} rounds")
    for name, bursts in (("alone", [one for one, _ in pairs]), ("watched", [two for _, two in pairs])):
        rate, p50, p99, cpu = (statistics.median(getattr(b, key) for b in bursts) for key in Burst.__annotations__)
        print(f"{name:8} {rate:6.0f}/s  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms  {cpu:5.0f} us CPU")
    print("watched / alone: rate {:.2f}, p50 {:.2f}, p99 {:.2f}, CPU {:.2f};".format(*ratios), end=" ")
    print(f"{read / 1024:.0f} KiB read by each, {lost} cut off, stopped in {stopped_s:.1f} s")
    assert lost == 0
    if query == IDLE:
        assert max(cost, grown) < MEMORY_MAX_BYTES
        assert ratios[0] > 0.9, "a loss of the rate that no noise explains"
