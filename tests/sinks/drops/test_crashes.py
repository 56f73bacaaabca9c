"""A crash between any two steps: nothing answered is lost, nothing is doubled, nothing visible is half."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from stibgate.testing import make_batch
from tests.sinks.drops.world import (
    Clock,
    Crash,
    ForgetfulDisk,
    StoppingDisk,
    check_complete,
    make_sink,
    people,
    rows_of,
    visible,
)

TASKS = {"t1": [0, 1], "t2": [2], "t3": [3, 4, 5], "t4": [6]}
MORE = {**TASKS, "t5": [7]}
EVERYBODY = [f"person_{n}" for n in range(8)]
STEPS_MAX = 400
KINDS = [
    pytest.param(keys, id="-".join(map(str, keys.values())))
    for keys in (
        {"kind": "csv", "layout": "per_delivery"},
        {"kind": "ndjson", "layout": "per_delivery", "gzip": True},
        {"kind": "csv", "layout": "rolling", "rotate_rows": 3},
        {"kind": "csv", "layout": "rolling", "rotate_rows": 100, "gzip": True},
        {"kind": "ndjson", "layout": "rolling", "rotate_rows": 1},
    )
]


async def live(folder, clock, keys, disk, answered, tasks=TASKS) -> bool:
    """Deliver what has no answer yet, then close; return whether that went without a crash."""
    sink = make_sink(folder, clock, disk, sleep=_never, **keys)
    try:
        await sink.open()
        for task_id, numbers in tasks.items():
            if task_id not in answered:
                await sink.deliver(make_batch(task_id, numbers))
                answered.add(task_id)
        await sink.close()
    except Crash:
        await _bury(sink)
        return False
    if disk is not None and disk.dead:  # it died in the ticker
        await _bury(sink)
        return False
    return True


async def _never(_: float) -> None:
    await asyncio.get_running_loop().create_future()


async def _bury(sink) -> None:
    with contextlib.suppress(Crash, RuntimeError):  # it may have died in `close`, and its threads are gone
        await sink.close()


def check_visible(folder: Path, layout: str) -> None:
    if layout == "per_delivery":
        for path in visible(folder):
            rows_of(path)
    for digest in folder.rglob("*.sha256"):
        data = digest.with_suffix("")
        assert data.exists()
        rows_of(data)


@pytest.fixture
def ram():
    """Yield a folder in memory where there is one: what is lost is simulated, so real syncs only cost time."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize("power_cut", [False, True], ids=["killed", "power_cut"])
@pytest.mark.parametrize("keys", KINDS)
async def test_a_crash_at_every_step(ram, keys, power_cut):
    """Crash at step k, for every k: what was answered is there, redelivery completes it, no row is doubled."""
    for steps in range(STEPS_MAX):
        root = ram / str(steps)
        root.mkdir()
        folder, clock, answered = root / "drop", Clock(), set()
        disk = ForgetfulDisk(steps, root) if power_cut else StoppingDisk(steps)
        whole = await live(folder, clock, keys, disk, answered)
        check_visible(folder, keys["layout"])
        complete = {path: path.with_suffix("").read_bytes() for path in folder.rglob("*.sha256")}
        clock.now_ms += 1000
        again = set() if steps % 2 else set(answered)  # a task whose answer nobody saw comes again
        assert await live(folder, clock, keys, None, again, MORE)
        assert sorted(people(folder)) == EVERYBODY, (steps, answered)
        assert complete == {path: path.with_suffix("").read_bytes() for path in complete}, steps
        if keys["layout"] == "rolling":
            check_complete(folder)
        if whole:
            break
    else:
        pytest.fail(f"more than {STEPS_MAX} steps")
    assert steps > 10


@pytest.mark.parametrize("power_cut", [False, True], ids=["killed", "power_cut"])
async def test_a_crash_after_a_crash(ram, power_cut):
    """A second crash, in the recovery from the first or later, loses nothing that either life answered for."""
    keys = {"kind": "csv", "layout": "rolling", "rotate_rows": 4}
    for first in range(4, 60):
        for second in range(first % 5, 30, 5):
            root = ram / f"{first}-{second}"
            root.mkdir()
            folder, clock, answered = root / "drop", Clock(), set()
            one = ForgetfulDisk(first, root, cuts=False)
            await live(folder, clock, keys, one, answered)
            await live(folder, clock, keys, ForgetfulDisk(second, root, after=one, cuts=power_cut), answered)
            assert await live(folder, clock, keys, None, answered, MORE)
            assert sorted(people(folder)) == EVERYBODY, (first, second)
            check_complete(folder)


@pytest.mark.parametrize("power_cut", [False, True], ids=["killed", "power_cut"])
async def test_a_crash_between_files_that_are_written_at_once(ram, power_cut):
    """Crash at step k while deliveries are written side by side: each is there once it was answered, and once only."""
    for steps in range(STEPS_MAX):
        root = ram / str(steps)
        root.mkdir()
        folder, clock = root / "drop", Clock()
        sink = make_sink(folder, clock, ForgetfulDisk(steps, root) if power_cut else StoppingDisk(steps))
        batches = [make_batch(task_id, numbers) for task_id, numbers in TASKS.items()]
        answers = await asyncio.gather(sink.open(), *map(sink.deliver, batches), return_exceptions=True)
        await _bury(sink)
        check_visible(folder, "per_delivery")
        done = [batch for batch, answer in zip(batches, answers[1:], strict=True) if not isinstance(answer, Crash)]
        assert {record.person_id for batch in done for record in batch.records} <= set(people(folder)), steps
        assert await live(folder, clock, {"layout": "per_delivery"}, None, set(), MORE)
        assert sorted(people(folder)) == EVERYBODY, steps
        if len(done) == len(batches):
            break
    assert 20 < steps < STEPS_MAX - 1


CHILD = """
import asyncio, sys
from pathlib import Path
from stibgate.testing import make_batch
from tests.sinks.drops.world import Clock, make_sink

async def main(folder, layout, answered):
    clock = Clock()
    sink = make_sink(Path(folder), clock, kind="csv", layout=layout, rotate_rows=20)
    await sink.open()
    done = set(Path(answered).read_text().split())
    with open(answered, "a") as book:
        for task in range(250):
            clock.now_ms += 10
            if f"t{task}" not in done:
                await sink.deliver(make_batch(f"t{task}", [3 * task, 3 * task + 1, 3 * task + 2]))
                print(f"t{task}", file=book, flush=True)
            print(task, flush=True)
    await sink.close()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("layout", ["per_delivery", "rolling"])
def test_kill_9(tmp_path, layout):
    """A real process that is killed at random moments and started again leaves every row once."""
    dice = random.Random(7)
    folder, book = tmp_path / "drop", tmp_path / "answered"
    book.write_text("")
    command = [sys.executable, "-c", CHILD, str(folder), layout, str(book)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
            for _ in range(dice.randrange(1, 60)):
                child.stdout.readline()
            deadline = time.monotonic() + dice.random() * 0.01
            while time.monotonic() < deadline:  # between two lines, not always at one
                pass
            child.send_signal(signal.SIGKILL)
        check_visible(folder, layout)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment, timeout=60)
    assert sorted(people(folder)) == sorted(f"person_{n}" for n in range(750))
    if layout == "rolling":
        check_complete(folder)
