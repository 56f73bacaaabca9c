"""Grouping what was refused."""

import asyncio
import threading

import pytest

from stibgate.domain.rejection import Evidence
from stibgate.pipeline import refusals as module
from stibgate.pipeline.refusals import Doubtful, Refusals
from tests.pipeline.world import T_V1, Clock, make_source

EVIDENCE = Evidence("r", 401, "192.0.2.1")


@pytest.fixture
async def world():
    clock = Clock()
    refusals = Refusals(now_ms=clock)
    yield refusals, clock
    await refusals.close()


def doubtful(body=b"{}"):
    return Doubtful(make_source(), [T_V1], [], body)


async def test_evidence_is_taken_once_a_second(world):
    """What a flood costs is counting: evidence is made once a second for each group."""
    refusals, clock = world
    made = []

    def look():
        made.append(clock.ms)
        return EVIDENCE

    for _ in range(5):
        for _ in range(10):
            refusals.note("stib", "mismatch", look)
        clock.advance(0.5)
    assert len(made) == 3
    (group,) = refusals.take()
    assert (group.count, group.last_at_ms - group.first_at_ms) == (50, 2000)
    assert refusals.take() == []


async def test_hours_and_strangers(world, monkeypatch):
    """Each hour has its groups; everybody without a source is one; their number is bounded."""
    refusals, clock = world
    monkeypatch.setattr(module, "GROUPS_MAX", 3)
    for source, reason in ((None, "unknown_source"), (None, "unknown_source"), ("a", "rate")):
        refusals.note(source, reason, lambda: EVIDENCE)
    clock.advance(3600)
    for reason in ("rate", "mismatch", "rate"):
        refusals.note("a", reason, lambda: EVIDENCE)
    groups = refusals.take()
    assert [(group.source, group.reason, group.count) for group in groups] == [
        ("-", "unknown_source", 2), ("a", "rate", 1), ("a", "rate", 2),
    ]  # fmt: skip
    assert groups[2].hour_ms - groups[1].hour_ms == 3_600_000


async def test_one_at_a_time_and_off_the_loop(world, monkeypatch):
    """While a request is looked into, on a thread of its own, no other is; the loop goes on; what is large is left."""
    refusals, clock = world
    go, threads = threading.Event(), []

    def slow(_doubtful, now_ms):
        threads.append(threading.current_thread())
        go.wait(60)
        return module.Finding(now_ms, "missing", "v", "h")

    monkeypatch.setattr(module, "_explained", slow)
    refusals.note("stib", "missing", lambda: EVIDENCE, doubtful(b"x" * (module.EXPLAINED_BYTES_MAX + 1)))
    assert refusals._explaining is None
    refusals.note("stib", "missing", lambda: EVIDENCE, doubtful())
    clock.advance(99)
    refusals.note("stib", "missing", lambda: EVIDENCE, doubtful())
    (flushed,) = refusals.take()
    assert flushed.finding is None
    go.set()
    await asyncio.wait([refusals._explaining])
    await asyncio.sleep(0)
    (later,) = refusals.take()
    assert (len(threads), threads[0] is threading.main_thread()) == (1, False)
    assert (later.count, later.finding.verdict, flushed.count) == (0, "v", 3)


async def test_a_bug_in_it_costs_a_log_line(world, monkeypatch):
    """When looking into a request fails, the request was refused all the same, and the next one is looked into later."""
    refusals, _ = world

    def broken(_doubtful, _now_ms):
        raise RuntimeError("canary")

    monkeypatch.setattr(module, "_explained", broken)
    refusals.note("stib", "missing", lambda: EVIDENCE, doubtful())
    await asyncio.wait([refusals._explaining])
    await asyncio.sleep(0)
    assert [group.count for group in refusals.take()] == [1]
    assert refusals._explaining is None
