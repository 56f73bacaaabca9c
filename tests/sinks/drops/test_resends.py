"""The same delivery again: by a retry, after an upgrade, or because an operator asks for it."""

import zlib

import pytest

from stibgate.testing import make_batch
from tests.sinks.drops.world import check_complete, make_sink, people, rows_of, visible

DAY_MS = 24 * 3600 * 1000


async def test_a_retry_writes_the_same_bytes(folder, clock):
    """A retry replaces the file with identical bytes, whatever the clock says and a crash left there."""
    sink = make_sink(folder, clock, gzip=True)
    await sink.open()
    await sink.deliver(make_batch("t1", [0]))
    (path,) = visible(folder)
    before = path.read_bytes()
    path.with_name(f".{path.name}.part").write_bytes(b"left by a crash")
    clock.now_ms += DAY_MS
    await sink.deliver(make_batch("t1", [0], attempt=2))
    assert visible(folder) == [path]
    assert path.read_bytes() == before
    assert not list(folder.rglob("*.part"))


async def test_a_journal_of_an_earlier_version(folder, clock):
    """A journal that says `task_id` for `key` is read: what it promised is neither lost nor doubled."""
    sink = make_sink(folder, clock, layout="rolling")
    await sink.deliver(make_batch("t1", [0]))
    sink._layout._release()
    (journal,) = folder.glob(".*.journal")
    head, line = journal.read_bytes().splitlines(keepends=True)
    text = line.split(b" ", 1)[1].strip().replace(b'"key"', b'"task_id"')
    journal.write_bytes(head + b"%08x %s\n" % (zlib.crc32(text), text))
    again = make_sink(folder, clock, layout="rolling")
    await again.deliver(make_batch("t1", [0], attempt=2))
    await again.deliver(make_batch("t2", [1]))
    await again.close()
    assert people(folder) == ["person_0", "person_1"]
    check_complete(folder)


async def test_a_resend_is_appended_once(folder, clock):
    """A rolling file takes a resend's rows again, because they were asked for, and takes them once."""
    sink = make_sink(folder, clock, layout="rolling")
    await sink.deliver(make_batch("t1", [0, 1]))
    for attempt in (2, 3):
        await sink.deliver(make_batch("t1", [1], attempt=attempt, resend=1, forced=True))
    await sink.close()
    assert people(folder) == ["person_0", "person_1", "person_1"]


@pytest.mark.parametrize("keys", [{}, {"kind": "ndjson", "gzip": True}], ids=["csv", "ndjson-gzip"])
@pytest.mark.parametrize(
    ("first", "again", "left"),
    [
        ([0, 1], [0, 1], {"": [0, 1]}),
        ([0, 1], [1], {"": [0, 1]}),
        ([1], [0, 1], {"": [0, 1]}),
        ([0, 1], [1, 2], {"": [0, 1], ".2": [1, 2]}),
        ([0, 0], [0], {"": [0, 0]}),
    ],
)
async def test_a_resend_never_takes_a_row_away(folder, clock, keys, first, again, left):
    """A resend replaces, adds nothing, or gets a file of its own: what lies there stays, twice is once."""
    sink = make_sink(folder, clock, **keys)
    await sink.deliver(make_batch("t1", first))
    for attempt in (2, 3):
        await sink.deliver(make_batch("t1", again, attempt=attempt, resend=2, forced=True))
        found = {path.name.split("dlv_t1")[1].split(".csv")[0].split(".ndjson")[0]: path for path in visible(folder)}
        rows = {end: [row["person_id"] for row in rows_of(path)] for end, path in found.items()}
        assert rows == {end: [f"person_{number}" for number in numbers] for end, numbers in left.items()}
    await sink.close()


@pytest.mark.parametrize("there", [b"\xff\xfe", b'person_id\r\n"half'], ids=["binary", "torn"])
async def test_a_resend_never_replaces_what_is_not_ours(folder, clock, there):
    """What somebody else put under the name stays; the resend lies beside it."""
    sink = make_sink(folder, clock)
    await sink.deliver(make_batch("t1", [0]))
    (path,) = visible(folder)
    path.write_bytes(there)
    await sink.deliver(make_batch("t1", [0], resend=1))
    await sink.close()
    assert path.read_bytes() == there
    assert [other.name for other in visible(folder) if other != path] == [path.name.replace(".csv", ".1.csv")]


async def test_a_retry_with_other_columns(folder, clock):
    """A retry after the columns changed replaces its file: it is whole, so nothing is lost or doubled."""
    one, two = make_sink(folder, clock), make_sink(folder, clock, columns=["person_id"])
    await one.deliver(make_batch("t1", [0, 1]))
    await two.deliver(make_batch("t1", [0, 1], attempt=2))
    assert people(folder) == ["person_0", "person_1"]
    await one.close()
    await two.close()
