"""Durable acknowledgements a second, beside a bare aiohttp handler in the same process layout, as ratios.

Run with `python -m pytest -m benchmark -s tests/benchmarks`. The server has one core and the load the other
where the machine allows it; rounds of the two servers alternate, so that a busy neighbour slows both. CPU time
a request is the steady figure: rates move with the machine's other work, and with what the load can offer.

The acknowledgements are measured on a source without routes: all that an answer waits for is done, and no
forwarding of one round steals time from the next. What forwarding costs is measured by itself, to the end.
"""

import asyncio
import hashlib
import hmac
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from stibgate.app import open_store_ledger, sqlite_version
from stibgate.cli.stage import free_port
from stibgate.config import load as load_config
from stibgate.sandbox.samples import sample

CONNECTIONS = 64
SECONDS = 2.5
ROUNDS = 8
FORWARDED = 1000
SECRET = "whsec_ZmFrZS1mb3ItYmVuY2htYXJrcy1vbmx5LW5vdC1hLXNlY3JldA=="

RECEIVING = """
[server]
bind = "127.0.0.1:{port}"
admin_bind = "127.0.0.1:{admin}"
[server.limits]
rate = "1000000/s"
burst = 1000000
[sources.push]
kind = "stibnite_push"
auth = "signature"
scheme = "sha256_hex"
secrets = ["{secret}"]
[sinks.drop]
kind = "csv"
dir = "./drops"
"""
"""A gateway that takes any rate, with a drop."""

CONFIG = (
    RECEIVING
    + """
[sources.forwarded]
kind = "stibnite_push"
auth = "signature"
scheme = "sha256_hex"
secrets = ["{secret}"]
routes = ["drop"]
"""
)

BARE = """
import asyncio, sys
from aiohttp import web
try:
    import uvloop as chosen
except ImportError:
    chosen = asyncio
async def take(request):
    await request.read()
    return web.Response(status=202)
app = web.Application(client_max_size=32 * 1024 * 1024)
app.router.add_post("/hooks/push", take)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=chosen.new_event_loop())
"""


@dataclass(frozen=True)
class Burst:
    """What one round of load measured; latencies in milliseconds."""

    per_s: float
    p50: float
    p99: float
    cpu_us: float


def requests(records: int, count: int, *, source: str = "push") -> list[bytes]:
    """Return whole HTTP requests, every body distinct and signed."""
    rng = random.Random(records)
    made = []
    base = json.loads(sample("prospecting.records.pushed", records=records, rng=rng, serial=1).body)
    for number in range(count):
        base["search_id"] = f"search_{rng.getrandbits(64):016x}_{number}"
        body = json.dumps(base, separators=(",", ":"), ensure_ascii=False).encode()
        mac = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
        made.append(
            b"POST /hooks/" + source.encode() + b" HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            b"user-agent: stibnite-prospecting/1.0\r\nstibnite-event-type: prospecting.records.pushed\r\n"
            b"stibnite-search-id: search\r\n"
            b"stibnite-signature: " + mac.encode() + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
    return made


class Client(asyncio.Protocol):
    """One keep-alive connection that sends its next request when the answer is there."""

    def __init__(self, load: "Load") -> None:
        self.load, self.buffer, self.sent_at = load, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        body = self.load.next()
        if body is None:
            self.transport.close()
            return
        self.sent_at = time.perf_counter()
        self.transport.write(body)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, mark, rest = self.buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) < length:
            return
        self.load.done(head[9:12], time.perf_counter() - self.sent_at)
        self.buffer = b""
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.closed += 1


class Load:
    """A closed loop of CONNECTIONS clients for SECONDS."""

    def __init__(self, pool: list[bytes], *, seconds: float = SECONDS) -> None:
        self.pool, self.latencies, self.closed, self.bad = pool, [], 0, 0
        self.end = time.perf_counter() + seconds

    async def run(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Client(self), "127.0.0.1", port)
        while self.closed < CONNECTIONS:
            await asyncio.sleep(0.01)
        assert self.bad == 0, f"{self.bad} answers were not 202"

    def next(self) -> bytes | None:
        return self.pool.pop() if self.pool and time.perf_counter() < self.end else None

    def done(self, status: bytes, seconds: float) -> None:
        self.bad += status != b"202"
        self.latencies.append(seconds * 1000)


async def burst(port: int, pool: list[bytes], pid: int, *, seconds: float = SECONDS) -> Burst:
    load = Load(pool, seconds=seconds)
    cpu, started = cpu_s(pid), time.perf_counter()
    await load.run(port)
    elapsed, used = time.perf_counter() - started, cpu_s(pid) - cpu
    assert load.pool, "the pool of distinct requests ran out"
    cuts = statistics.quantiles(load.latencies, n=100)
    count = len(load.latencies)
    return Burst(count / elapsed, cuts[49], cuts[98], used / count * 1e6)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server:
    """A server process on the last core."""

    def __init__(self, command: list[str], port: int, cwd: Path) -> None:
        self.port = port
        with (cwd / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log)
        if (cores := os.cpu_count() or 1) > 1:
            os.sched_setaffinity(self.process.pid, {cores - 1})

    async def ready(self) -> None:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        raise TimeoutError(self.process.args)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@pytest.mark.benchmark
@pytest.mark.timeout(600)
@pytest.mark.parametrize("records", [1, 25])
async def test_acknowledgements(records: int, tmp_path: Path) -> None:
    """Prints how many durable acknowledgements a second stibgate makes beside a handler that stores nothing."""
    if (cores := os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, set(range(cores - 1)))
    bare_port, port = free_port(), free_port()
    (tmp_path / "config.toml").write_text(CONFIG.format(port=port, admin=free_port(), secret=SECRET))
    (tmp_path / "config.toml").chmod(0o600)
    bare = Server([sys.executable, "-c", BARE, str(bare_port)], bare_port, tmp_path)
    gate = Server([sys.executable, "-m", "stibgate", "serve"], port, tmp_path)
    pool = requests(records, 160_000 if records == 1 else 60_000)
    try:
        await bare.ready()
        await gate.ready()
        pairs = []
        for _ in range(ROUNDS):
            one = await burst(bare_port, list(pool[:60_000]), bare.process.pid)
            two = await burst(port, pool, gate.process.pid)
            pairs.append((one, two))
    finally:
        bare.stop()
        gate.stop()
    show(records, pairs[1:])  # the first pair warms both up


@pytest.mark.benchmark
@pytest.mark.timeout(600)
@pytest.mark.parametrize("records", [1, 25])
async def test_forwarding(records: int, tmp_path: Path) -> None:
    """Prints how many deliveries a second go all the way: acknowledged, normalised, in a synced CSV file, settled."""
    port = free_port()
    (tmp_path / "config.toml").write_text(CONFIG.format(port=port, admin=free_port(), secret=SECRET))
    (tmp_path / "config.toml").chmod(0o600)
    gate = Server([sys.executable, "-m", "stibgate", "serve"], port, tmp_path)
    try:
        await gate.ready()
        started = time.perf_counter()
        load = Load(requests(records, FORWARDED, source="forwarded"), seconds=60)
        await load.run(port)
        acknowledged = time.perf_counter() - started
        with closing(open_store_ledger(load_config(tmp_path / "config.toml").settings)) as ledger:
            while ledger.status().deliveries.get("done", 0) < FORWARDED:
                await asyncio.sleep(0.05)
        whole = time.perf_counter() - started
    finally:
        gate.stop()
    rows = sum(path.read_text().count("\n") - 1 for path in (tmp_path / "drops").rglob("*.csv"))
    assert rows == FORWARDED * records
    print(
        f"\n{FORWARDED} deliveries of {records}: acknowledged in {acknowledged:.1f} s, all {rows} rows in drops after",
        end=" ",
    )
    print(f"{whole:.1f} s: {FORWARDED / whole:.0f} deliveries/s, {rows / whole:.0f} records/s")


def show(records: int, pairs: list[tuple[Burst, Burst]]) -> None:
    def row(name: str, bursts: list[Burst]) -> str:
        middle = [statistics.median(getattr(b, key) for b in bursts) for key in ("per_s", "p50", "p99", "cpu_us")]
        return (
            f"{name:28} {middle[0]:8.0f}/s  p50 {middle[1]:6.2f} ms  p99 {middle[2]:6.2f} ms  {middle[3]:5.0f} us CPU"
        )

    ratios = sorted(two.per_s / one.per_s for one, two in pairs)
    print(f"\n{records} records, {CONNECTIONS} connections, {len(pairs)} paired rounds of {SECONDS} s,", end=" ")
    print(f"Python {platform.python_version()}, SQLite {sqlite_version()}, synchronous=FULL")
    print(row("bare aiohttp, reads, 202", [one for one, _ in pairs]))
    print(row("stibgate, committed, synced", [two for _, two in pairs]))
    cpu = statistics.median(one.cpu_us / two.cpu_us for one, two in pairs)
    print(f"ratio {statistics.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f}), of CPU time {cpu:.2f}")
