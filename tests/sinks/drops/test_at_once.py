"""What runs side by side in one folder, and what waits."""

import asyncio
import threading

import pytest

from stibgate.sinks.drops.disk import Disk
from stibgate.testing import make_batch
from tests.sinks.drops.world import make_sink, people


async def test_files_are_written_at_once(folder, clock):
    """Different deliveries are written side by side; the same one waits, also behind a caller who gave up."""
    barrier, running = threading.Barrier(4, timeout=60), []

    class MeetingDisk(Disk):
        def sync(self, descriptor):
            running.append(threading.get_ident())
            barrier.wait()  # breaks, unless four are here at once
            super().sync(descriptor)

    sink = make_sink(folder, clock, MeetingDisk())
    given_up = asyncio.create_task(sink.deliver(make_batch("t0", [0])))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, *(sink.deliver(make_batch(f"t{n}", [n])) for n in (1, 2, 3)), return_exceptions=True)
    assert len(set(running)) == 4
    barrier = threading.Barrier(1)
    await asyncio.gather(*(sink.deliver(make_batch("t0", [0], attempt=n)) for n in (2, 3, 4)))
    await sink.close()
    assert people(folder) == [f"person_{n}" for n in range(4)]


@pytest.mark.parametrize("layout", ["per_delivery", "rolling"])
async def test_close_waits_for_what_is_under_way(folder, clock, layout):
    """`close` returns when nothing is written any more, not even for a caller who gave up."""
    begun, gate = threading.Event(), threading.Event()

    class SlowDisk(Disk):
        def sync(self, descriptor):
            begun.set()
            gate.wait(60)
            super().sync(descriptor)

    sink = make_sink(folder, clock, SlowDisk(), layout=layout)
    given_up = asyncio.create_task(sink.deliver(make_batch("t1", [0])))
    await asyncio.to_thread(begun.wait, 60)
    given_up.cancel()
    closing = asyncio.create_task(sink.close())
    done, _ = await asyncio.wait([closing], timeout=0.05)
    assert not done
    gate.set()
    await closing
    assert people(folder) == ["person_0"]
