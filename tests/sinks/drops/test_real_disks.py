"""Disks that really are full, read-only, or gone: a small file system in memory, where this process may mount one."""

import subprocess

import pytest

from stibgate.errors import SinkUnavailable
from stibgate.testing import make_batch
from tests.sinks.drops.world import Clock, check_complete, make_sink, people

LAYOUTS = ["per_delivery", "rolling"]
MANY = list(range(1500))  # more than fits


def mount(*arguments: object) -> bool:
    return subprocess.run(["mount", *map(str, arguments)], check=False, capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """Yield a file system of 64 KiB, or skip where nobody may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", folder):
        pytest.skip("may not mount")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)


async def refused(sink, batch, words):
    for _ in range(2):
        with pytest.raises(SinkUnavailable, match=words) as caught:
            await sink.deliver(batch)
        assert "/" not in caught.value.message
        assert "tried again" in caught.value.hint


async def finish(sink, folder, layout, everybody):
    await sink.close()
    assert sorted(people(folder)) == sorted(f"person_{number}" for number in everybody)
    assert not list(folder.rglob("*.part"))
    if layout == "rolling":
        check_complete(folder)


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_disk_that_fills_up(disk, layout):
    """A full disk is transient, shows nothing half, and once there is room all arrives once."""
    folder = disk / "drop"
    sink = make_sink(folder, Clock(), layout=layout)
    await sink.open()
    await sink.deliver(make_batch("t1", [5000]))
    await refused(sink, make_batch("t2", MANY), "disk of the drop folder is full")
    assert people(folder) == ["person_5000"]
    bad = [finding for finding in await sink.check() if not finding.ok]
    assert ["MiB free" in finding.what for finding in bad] == [True]
    assert mount("-o", "remount,size=64m", disk)
    await sink.deliver(make_batch("t2", MANY, attempt=3))
    await finish(sink, folder, layout, [5000, *MANY])


async def test_a_disk_that_becomes_read_only(disk):
    """A read-only disk is transient and named so, also by `check`; once it is writable all arrives once.

    The rolling layout holds a file open, so that only a failing disk becomes read-only under it: see test_layouts.
    """
    folder = disk / "drop"
    sink = make_sink(folder, Clock())
    await sink.open()
    await sink.deliver(make_batch("t1", [0]))
    assert mount("-o", "remount,ro", disk)
    await refused(sink, make_batch("t2", [1]), "read-only")
    (finding,) = [finding for finding in await sink.check() if not finding.ok]
    assert "not writable" in finding.what
    assert mount("-o", "remount,rw", disk)
    await sink.deliver(make_batch("t2", [1], attempt=3))
    await finish(sink, folder, "per_delivery", [0, 1])


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_disk_that_is_unmounted(disk, layout):
    """A disk that goes away takes its files along; what comes later goes into the same path, whole."""
    folder = disk / "drop"
    sink = make_sink(folder, Clock(), layout=layout)
    await sink.open()
    await sink.deliver(make_batch("t1", [0]))
    subprocess.run(["umount", "--lazy", disk], check=True)
    await sink.deliver(make_batch("t2", [1]))
    await finish(sink, folder, layout, [1])
