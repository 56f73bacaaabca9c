"""Names, rotation and failures of both layouts."""

import asyncio
import errno
import hashlib
import shutil
import stat

import pytest

from stibgate.errors import SinkUnavailable
from stibgate.sinks.drops.places import path_part
from stibgate.testing import RECEIVED_AT_MS, make_batch
from tests.sinks.drops.world import RefusingDisk, check_complete, make_sink, people, rows_of, visible

DAY_MS = 24 * 3600 * 1000


async def test_the_name_of_a_delivery(folder, clock):
    """A delivery's file lies under its day, named by its time and id, readable by its owner only."""
    sink = make_sink(folder, clock, gzip=True, kind="ndjson")
    await sink.open()
    await sink.deliver(make_batch("t1", [0]))
    await sink.close()
    (path,) = visible(folder)
    assert str(path.relative_to(folder)) == "2026/05/17/20260517T184210Z-dlv_t1.ndjson.gz"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("01J-abc_9", "01J-abc_9"),
        ("../../etc/passwd", "%2E%2E%2F%2E%2E%2Fetc%2Fpasswd"),
        ("a%2F", "a%252F"),
        ("\x00é", "%00%C3%A9"),
        ("", ""),
    ],
)
def test_path_part(text, part):
    """An id becomes a part of a name in which nothing but letters, digits, `_`, `-` and `%` stands."""
    assert path_part(text) == part


def test_a_long_id_is_bounded():
    """Two long ids that differ only at the end have short names that differ."""
    one, two = path_part("/" * 999 + "1"), path_part("/" * 999 + "2")
    assert one != two
    assert len(one) == len(two) <= 120


async def test_rotation_by_rows(folder, clock):
    """A file is complete, with its digest, as soon as it holds `rotate_rows`; a delivery is never split."""
    sink = make_sink(folder, clock, layout="rolling", rotate_rows=3)
    await sink.open()
    await sink.deliver(make_batch("t1", [0, 1]))
    (first,) = visible(folder)
    assert first.name == "20260517T184210Z-0001.csv"
    assert not first.with_name(f"{first.name}.sha256").exists()
    await sink.deliver(make_batch("t2", [2, 3, 4]))
    assert len(rows_of(first)) == 5
    check_complete(folder)
    await sink.deliver(make_batch("t3", [5]))
    assert [path.name[-8:] for path in visible(folder)] == ["0001.csv", "0002.csv"]
    await sink.close()
    check_complete(folder)


async def test_rotation_by_time_needs_no_batch(folder, clock):
    """A file is completed `rotate_after` after its first row by itself, and not a moment before."""
    naps: asyncio.Queue[tuple[float, asyncio.Event]] = asyncio.Queue()

    async def sleep(seconds):
        over = asyncio.Event()
        naps.put_nowait((seconds, over))
        await over.wait()

    sink = make_sink(folder, clock, layout="rolling", rotate_after="15m", sleep=sleep)
    await sink.open()
    await sink.deliver(make_batch("t1", [0]))
    seconds, over = await naps.get()
    assert seconds == 900
    clock.now_ms += 899_000
    over.set()
    seconds, over = await naps.get()
    assert seconds == 1
    assert not list(folder.glob("*.sha256"))
    clock.now_ms += 1_000
    over.set()
    await sink.tick()  # behind the ticker's own, since no two run at once
    await sink.deliver(make_batch("t2", [1]))
    seconds, _ = await naps.get()
    assert seconds == 900
    first, second = visible(folder)
    assert people(folder) == ["person_0", "person_1"]
    assert first.with_name(f"{first.name}.sha256").exists()
    await sink.close()
    check_complete(folder)
    assert second in visible(folder)


async def test_a_killed_sinks_file_grows_on(folder, clock):
    """After a crash the open file grows on until its own time is up, but never with lines of another format."""
    lost = make_sink(folder, clock, layout="rolling")
    await lost.deliver(make_batch("t1", [0]))
    lost._layout._release()  # as the system does when a process ends
    clock.now_ms += 1000
    again = make_sink(folder, clock, layout="rolling")
    await again.open()
    await again.deliver(make_batch("t2", [1]))
    assert len(visible(folder)) == 1
    again._ticker.cancel()
    again._layout._release()
    other = make_sink(folder, clock, layout="rolling", columns=["person_id"])
    await other.open()
    check_complete(folder)
    await other.deliver(make_batch("t3", [2]))
    await other.close()
    assert len(visible(folder)) == 2
    assert people(folder) == ["person_0", "person_1", "person_2"]


async def test_a_torn_journal_line_is_no_promise(folder, clock):
    """Half a journal line and the rows before it count as never written; their task comes again."""
    sink = make_sink(folder, clock, layout="rolling")
    await sink.deliver(make_batch("t1", [0]))
    await sink.deliver(make_batch("t2", [1]))
    sink._layout._release()
    (journal,) = folder.glob(".*.journal")
    journal.write_bytes(journal.read_bytes()[:-9])
    again = make_sink(folder, clock, layout="rolling")
    await again.open()
    assert people(folder) == ["person_0"]
    await again.deliver(make_batch("t2", [1]))
    await again.close()
    assert people(folder) == ["person_0", "person_1"]
    check_complete(folder)


@pytest.mark.parametrize("victim", ["data", "journal"])
async def test_damage_is_never_guessed_around(folder, clock, victim):
    """A file shorter than promised, or a bad line inside a journal, stops the sink until a person decides."""
    sink = make_sink(folder, clock, layout="rolling")
    await sink.deliver(make_batch("t1", [0]))
    await sink.deliver(make_batch("t2", [1]))
    sink._layout._release()
    (journal,) = folder.glob(".*.journal")
    (data,) = visible(folder)
    path = data if victim == "data" else journal
    content = path.read_bytes()
    path.write_bytes(content[:-3] if victim == "data" else content.replace(b"t1", b"tX"))
    again = make_sink(folder, clock, layout="rolling")
    for _ in range(2):
        with pytest.raises(SinkUnavailable) as caught:
            await again.deliver(make_batch("t3", [2]))
        assert str(folder) in caught.value.hint
    await again.close()
    assert visible(folder) == [data]


async def test_a_file_that_a_consumer_took(folder, clock):
    """Nothing is appended to a file that was taken away early, and its tasks are still known."""
    sink = make_sink(folder, clock, layout="rolling")
    await sink.open()
    await sink.deliver(make_batch("t1", [0]))
    (taken,) = visible(folder)
    taken.unlink()
    await sink.deliver(make_batch("t2", [1]))
    await sink.deliver(make_batch("t1", [0], attempt=2))
    await sink.close()
    assert people(folder) == ["person_1"]
    assert taken not in visible(folder)
    check_complete(folder)


async def test_old_journals_go(folder, clock):
    """A complete file's journal is kept for 7 days and then removed; the file itself is never touched."""
    sink = make_sink(folder, clock, layout="rolling", rotate_rows=1)
    await sink.open()
    await sink.deliver(make_batch("t1", [0]))
    clock.now_ms += 7 * DAY_MS
    await sink.deliver(make_batch("t2", [1]))
    assert len(list(folder.glob(".*.journal"))) == 2
    clock.now_ms += 1
    await sink.deliver(make_batch("t3", [2]))
    assert len(list(folder.glob(".*.journal"))) == 2
    await sink.close()
    assert len(visible(folder)) == 3


async def test_two_rolling_sinks_in_one_folder(folder, clock):
    """A second rolling sink is kept out of a folder, and says what to do; it works once the first is closed."""
    first, second = (make_sink(folder, clock, layout="rolling") for _ in range(2))
    await first.open()
    with pytest.raises(SinkUnavailable, match="another rolling sink"):
        await second.open()
    await first.close()
    await second.deliver(make_batch("t1", [0]))
    await second.close()
    assert people(folder) == ["person_0"]


@pytest.mark.parametrize("layout", ["per_delivery", "rolling"])
@pytest.mark.parametrize(
    ("code", "step"),
    [
        (errno.ENOSPC, "write"), (errno.EDQUOT, "write"), (errno.EIO, "sync"), (errno.EROFS, "create"),
        (errno.EACCES, "create"), (errno.EACCES, "make_folder"), (errno.EROFS, "make_folder"), (errno.EIO, "sync_folder"),
    ],
)  # fmt: skip
async def test_a_disk_that_refuses(folder, clock, layout, code, step):
    """Whatever the disk refuses is transient, named without a path, leaves nothing half, and ends with the cause."""
    disk = RefusingDisk(code, step)
    sink = make_sink(folder, clock, disk, layout=layout)
    for _ in range(2):
        with pytest.raises(SinkUnavailable) as caught:
            await sink.deliver(make_batch("t1", [0, 1]))
        assert "/" not in caught.value.message
        assert str(folder) in caught.value.hint
        assert not list(folder.rglob("*.part"))
        assert people(folder) in ([], ["person_0", "person_1"])
    disk.broken = False
    await sink.deliver(make_batch("t1", [0, 1]))
    await sink.close()
    assert people(folder) == ["person_0", "person_1"]


@pytest.mark.parametrize(("code", "step"), [(errno.ENOSPC, "write"), (errno.EIO, "sync"), (errno.EROFS, "open")])
async def test_a_rolling_file_that_cannot_grow(folder, clock, code, step):
    """An append that fails leaves the visible file as it was before, at once, and the retry appends once."""
    disk = RefusingDisk(code, step)
    disk.broken = False
    sink = make_sink(folder, clock, disk, layout="rolling")
    await sink.deliver(make_batch("t1", [0, 1]))
    (path,) = visible(folder)
    before = path.read_bytes()
    disk.broken = True
    with pytest.raises(SinkUnavailable):
        await sink.deliver(make_batch("t2", [2]))
    if step != "sync":
        assert path.read_bytes() == before
    disk.broken = False
    await sink.deliver(make_batch("t2", [2]))
    await sink.close()
    assert people(folder) == ["person_0", "person_1", "person_2"]
    check_complete(folder)


async def test_a_rotation_that_fails_is_not_the_batchs_fault(folder, clock):
    """Rows that are promised are answered for even when the digest cannot be written; that is done later."""
    disk = RefusingDisk(errno.ENOSPC, "rename")
    sink = make_sink(folder, clock, disk, layout="rolling", rotate_rows=1)
    assert len(await sink.deliver(make_batch("t1", [0]))) == 1
    with pytest.raises(SinkUnavailable):
        await sink.deliver(make_batch("t2", [1]))
    disk.broken = False
    await sink.tick()
    check_complete(folder)
    await sink.close()
    assert people(folder) == ["person_0"]


@pytest.mark.parametrize("layout", ["per_delivery", "rolling"])
async def test_a_folder_that_went_away(folder, clock, layout):
    """A folder that vanishes is made again by the next batch."""
    sink = make_sink(folder, clock, layout=layout)
    await sink.open()
    await sink.deliver(make_batch("t1", [0]))
    shutil.rmtree(folder.parent)
    await sink.deliver(make_batch("t2", [1], received_at_ms=RECEIVED_AT_MS + 5 * DAY_MS))
    await sink.close()
    assert people(folder) == ["person_1"]


@pytest.mark.parametrize("layout", ["per_delivery", "rolling"])
async def test_a_file_where_the_folder_belongs(folder, clock, layout):
    """A file in the folder's place is told as such; once it is gone the first batch is taken."""
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    sink = make_sink(folder, clock, layout=layout)
    with pytest.raises(SinkUnavailable, match="not a folder"):
        await sink.open()
    folder.unlink()
    await sink.deliver(make_batch("t1", [0]))
    await sink.close()
    assert people(folder) == ["person_0"]


async def test_a_link_is_not_followed(folder, clock, tmp_path):
    """A link that somebody put in place of the open file is not written through."""
    target = tmp_path / "target"
    sink = make_sink(folder, clock, layout="rolling")
    await sink.deliver(make_batch("t1", [0]))
    (path,) = visible(folder)
    path.rename(target)
    before = target.read_bytes()
    path.symlink_to(target)
    with pytest.raises(SinkUnavailable, match="link"):
        await sink.deliver(make_batch("t2", [1]))
    assert target.read_bytes() == before
    await sink.close()


async def test_the_digest_is_sha256sums_own_format(folder, clock):
    """`sha256sum -c` in the folder understands the digest file."""
    sink = make_sink(folder, clock, layout="rolling")
    await sink.deliver(make_batch("t1", [0]))
    await sink.close()
    (path,) = visible(folder)
    line = path.with_name(f"{path.name}.sha256").read_text()
    assert line == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
