"""A million deliveries, people who look at them, and ingest: how long every page and list takes, and what it costs.

Run with `python -m pytest -m benchmark -s tests/benchmarks/test_reading.py`. The store is written in bulk, which takes
a minute or two; BENCH_STORE=FOLDER keeps it there for the next run, BENCH_COUNT=N makes it smaller. Rounds of ingest
alone and with people alternate. People click at a rate, PAGES_PER_S in all, and do not wait for each other's pages.
"""

import asyncio
import os
import shutil
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp
import pytest

from stibgate.cli.stage import free_port
from stibgate.domain.instant import to_rfc3339
from stibgate.domain.stats import DAY_MS, HOUR_MS
from tests.benchmarks.library import build
from tests.benchmarks.test_acknowledge import RECEIVING, SECRET, Burst, Server, burst, requests

COUNT = int(os.environ.get("BENCH_COUNT", "1000000"))
ROUNDS = 6
SECONDS = 4.0
PAGES_PER_S = 5
TOKEN = "bench-only-0123456789-0123456789-abcdef"
BAR_MS = 150

CONFIG = (
    RECEIVING
    + """
[sources.jobs]
kind = "stibnite_jobs"
scheme = "t_v1"
secrets = ["{secret}"]
[sinks.crm]
kind = "ndjson"
dir = "./crm"
[sinks.relay]
kind = "ndjson"
dir = "./relay"
[console]
tokens = [{{ name = "dana", role = "admin", token = "{token}" }}]
[log]
level = "warning"
"""
)


def questions(now_ms: int) -> list[str]:
    """Return every page and list that people look at, with the filters that are hard to find something for."""
    hour, day, week = (to_rfc3339(now_ms - back) for back in (HOUR_MS, DAY_MS, 7 * DAY_MS))
    failed, pushed = "person_search.job.failed", "prospecting.records.pushed"
    lists = [
        "", "source=push", "state=done", "state=quarantined", "state=ignored", "state=accepted", "sink=crm",
        f"event_type={failed}", f"source=push&event_type={failed}", f"event_type={failed}&state=ignored",
        "search_id=search_200", "job_id=job_500", "partner_customer_id=customer_16", "partner_customer_id=nobody",
        f"partner_customer_id=customer_3&event_type={pushed}", f"partner_customer_id=customer_3&event_type={failed}",
        "partner_customer_id=customer_3&state=quarantined", "sink=relay&source=jobs", "sink=crm&state=quarantined",
        "sink=crm&state=ignored", f"since={hour}", f"since={hour}&event_type={failed}", f"since={day}&state=quarantined",
        f"since={week}&until={day}&sink=relay", "person_id=person_500",
    ]  # fmt: skip
    tasks = [
        "", "state=dead", "state=dead&sink=crm", "state=dead&sink=drop", "state=waiting", "state=partial&sink=relay",
        "sink=drop", f"state=dead&since={day}", "state=delivered&sink=relay&source=jobs",
    ]  # fmt: skip
    return [
        *(f"/api/v1/deliveries?{query}" for query in lists),
        *(f"/api/v1/tasks?{query}" for query in tasks),
        *(f"/api/v1/{name}" for name in ("sinks", "sources", "jobs", "ledger", "stats", "rejections", "audit")),
        *("/", "/charts.json?window=7d", "/deliveries", "/deliveries?state=quarantined", "/deliveries?sink=crm"),
        *("/dead", "/rejected", "/sources", "/sources/push", "/config", "/help"),
        *("/live", "/sinks", "/sinks/crm", "/jobs", "/jobs?state=failed", "/jobs/bills", "/audit"),
    ]


@dataclass
class People:
    """Who looks at pages, one after the other, whatever the last one took."""

    admin: str
    paths: list[str]
    took_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    at: int = 0

    async def __aenter__(self) -> Self:
        self.session = aiohttp.ClientSession(self.admin, cookie_jar=aiohttp.CookieJar(unsafe=True))
        async with self.session.post("/login", data={"token": TOKEN}, headers={"Origin": self.admin}) as answer:
            assert answer.status == 200, await answer.text()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def look(self, path: str) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"} if path.startswith("/api/") else {}
        started_s = time.perf_counter()
        async with self.session.get(path, headers=headers) as answer:
            await answer.read()
            assert answer.status == 200, f"{path}: {answer.status} {await answer.text()}"
        self.took_ms[path].append((time.perf_counter() - started_s) * 1000)

    async def click(self, seconds: float) -> None:
        """Look at the next pages for *seconds*, PAGES_PER_S of them."""
        async with asyncio.TaskGroup() as clicks:
            for _ in range(round(seconds * PAGES_PER_S)):
                clicks.create_task(self.look(self.paths[self.at % len(self.paths)]))
                self.at += 1
                await asyncio.sleep(1 / PAGES_PER_S)


def million(folder: Path) -> Path:
    """Return a folder with the store, from the last run where there is one."""
    kept = Path(os.environ.get("BENCH_STORE", folder / "kept"))
    if not (kept / "stibgate.db").exists():
        kept.mkdir(parents=True, exist_ok=True)
        took = build(kept / "stibgate.db", count=COUNT)
        print(f"\nwrote {COUNT} deliveries in {sum(took.values()):.0f} s")
    return kept


@pytest.mark.benchmark
@pytest.mark.timeout(1200)
async def test_reading(tmp_path: Path) -> None:
    """Prints p50 and p95 of every page and list beside ingest, and how fast ingest is with people and without."""
    kept = million(tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copyfile(kept / "stibgate.db", tmp_path / "data" / "stibgate.db")
    port, admin = free_port(), free_port()
    (tmp_path / "config.toml").write_text(CONFIG.format(port=port, admin=admin, secret=SECRET, token=TOKEN))
    (tmp_path / "config.toml").chmod(0o600)
    if (cores := os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, set(range(cores - 1)))
    gate = Server([sys.executable, "-m", "stibgate", "serve"], port, tmp_path)
    pool = requests(1, 120_000)
    pairs: list[tuple[Burst, Burst]] = []
    try:
        await gate.ready()
        async with People(f"http://127.0.0.1:{admin}", questions(time.time_ns() // 1_000_000)) as people:
            for path in people.paths:
                await people.look(path)  # once, so that the first of each is not among those that are timed
            alone_ms, people.took_ms = people.took_ms, defaultdict(list)
            for _ in range(ROUNDS):
                alone = await burst(port, pool, gate.process.pid, seconds=SECONDS)
                looking = asyncio.create_task(people.click(SECONDS))
                beside = await burst(port, pool, gate.process.pid, seconds=SECONDS)
                await looking
                pairs.append((alone, beside))
    finally:
        gate.stop()
    show(people.took_ms, alone_ms, pairs)


def show(took_ms: dict[str, list[float]], alone_ms: dict[str, list[float]], pairs: list[tuple[Burst, Burst]]) -> None:
    """Print what was measured."""
    print(f"\n{'beside ingest':>100}  {'first, without'}")
    for path, times in took_ms.items():
        print(f"{path[:84]:84} max {max(times):7.1f} ms  {alone_ms[path][0]:7.1f} ms")
    every = sorted(time_ms for times in took_ms.values() for time_ms in times)
    cuts = statistics.quantiles(every, n=100)
    over = sorted({path for path, times in took_ms.items() if max(times) > BAR_MS})
    print(
        f"{len(every)} pages and lists beside ingest: p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms, max {every[-1]:.1f}"
    )
    print(f"over {BAR_MS} ms at least once: {', '.join(over) or 'none'}")
    ratios = sorted(beside.per_s / alone.per_s for alone, beside in pairs)
    for name, side in (("ingest alone", 0), (f"with {PAGES_PER_S} pages/s", 1)):
        rates = [pair[side] for pair in pairs]
        print(
            f"{name:18} {statistics.median(b.per_s for b in rates):7.0f}/s"
            f"  p50 {statistics.median(b.p50 for b in rates):6.2f} ms  p99 {statistics.median(b.p99 for b in rates):6.2f} ms"
        )
    print(
        f"ratio {statistics.median(ratios):.3f} (from {ratios[0]:.2f} to {ratios[-1]:.2f}), {len(pairs)} paired rounds"
    )
