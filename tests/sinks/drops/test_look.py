"""What `check` says of a folder."""

import pytest

from stibgate.testing import make_batch
from tests.sinks.drops.world import make_sink, visible


def seen(folder):
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.parametrize("layout", ["per_delivery", "rolling"])
async def test_a_folder_that_is_not_there(tmp_path, clock, layout):
    """A folder that can be made is good, and is not made."""
    findings = await make_sink(tmp_path / "a" / "b", clock, layout=layout).check()
    assert all(finding.ok for finding in findings)
    assert "can be made" in findings[0].what
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", ["per_delivery", "rolling"])
async def test_nothing_is_touched(tmp_path, clock, layout):
    """`check` beside a sink that works changes nothing, and takes no lock from it."""
    sink = make_sink(tmp_path, clock, layout=layout)
    await sink.deliver(make_batch("t1", [0]))
    before = seen(tmp_path)
    findings = await make_sink(tmp_path, clock, layout=layout).check()
    assert all(finding.ok for finding in findings)
    assert seen(tmp_path) == before
    await sink.deliver(make_batch("t2", [1]))
    await sink.close()


async def test_a_file_where_the_folder_belongs(tmp_path, clock):
    """A file in the folder's place is a finding with a hint."""
    (tmp_path / "drop").write_text("")
    (finding,) = await make_sink(tmp_path / "drop" / "csv", clock).check()
    assert (finding.ok, "not a folder" in finding.what, bool(finding.hint)) == (False, True, True)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"is_writable": False}, "not writable"),
        ({"room": (5 * 1024**2, True)}, "5 MiB free"),
        ({"room": (2**40, False)}, "no free inodes"),
    ],
)
async def test_a_disk_without_room_or_leave(tmp_path, clock, answers, words):
    """A folder that may not be written, or has no room, is a finding with a hint."""
    sink = make_sink(tmp_path, clock)
    for name, answer in answers.items():
        setattr(sink._layout._disk, name, lambda _, answer=answer: answer)
    bad = [finding for finding in await sink.check() if not finding.ok]
    assert [words in finding.what for finding in bad] == [True]
    assert str(tmp_path) in bad[0].hint


@pytest.mark.parametrize("victim", ["data", "journal"])
async def test_damage_of_a_rolling_file(tmp_path, clock, victim):
    """A rolling file that is not what its journal says is a finding, before any batch meets it."""
    sink = make_sink(tmp_path, clock, layout="rolling")
    await sink.deliver(make_batch("t1", [0]))
    await sink.deliver(make_batch("t2", [1]))
    (data,) = visible(tmp_path)
    (journal,) = tmp_path.glob(".*.journal")
    if victim == "data":
        data.write_bytes(data.read_bytes()[:-3])
    else:
        journal.write_bytes(journal.read_bytes().replace(b"t1", b"tX"))
    (finding,) = await make_sink(tmp_path, clock, layout="rolling").check()
    assert (finding.ok, "promised" in finding.what, str(tmp_path) in finding.hint) == (False, True, True)
    sink._layout._release()


async def test_a_disk_that_fails(tmp_path, clock):
    """A disk that cannot even be looked at is a finding, not an error."""

    def fail(_):
        raise OSError(5, "EIO", "/secret/path")

    sink = make_sink(tmp_path, clock)
    sink._layout._disk.room = fail
    (finding,) = await sink.check()
    assert not finding.ok
    assert "/secret" not in finding.what + finding.hint
