"""The live tail: everything once, in order, or said to be missing; and nobody who does not read costs the others."""

import asyncio
import socket
import threading

import pytest

from stibgate.web.live.channel import LINES_PER_S, UNREAD_BYTES, Channel, Line
from stibgate.web.live.feed import KEEPALIVE_S, KEPT_LINES, LIFE_S, SWEEP_S
from stibgate.web.live.filters import Filter
from tests.web.tail import SOON_S, open_room


@pytest.fixture
async def room():
    async with open_room() as room:
        yield room


async def test_who_looks_on_sees_what_happens(room):
    """A line is an event with an id, its fields as the log has them, and the head of a stream that nobody keeps."""
    tail, ready = await room.tail()
    assert tail.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (tail.headers["cache-control"], tail.headers["x-accel-buffering"]) == ("no-store", "no")
    assert ready.id == "r1-0"
    room.tell(event="task.dead", level="error", sink="crm", error="a\nb \u2028 \ud800 <script>")
    line = await tail.next()
    assert (line.name, line.id) == ("line", "r1-1")
    assert line.data == {
        "timestamp": "T",
        "level": "error",
        "event": "task.dead",
        "records": 1,
        "sink": "crm",
        "error": "a\nb \u2028 \ud800 <script>",
    }


async def test_in_chunks_it_says_the_same(room):
    """Over HTTP/1.1 the stream is in chunks that any client understands, and ends as a whole one."""
    from aiohttp import ClientSession

    async with ClientSession() as session, session.get(f"http://127.0.0.1:{room.port}/events") as answer:
        await room.looked_on_by(1)
        room.tell(30)
        await asyncio.wait_for(answer.content.readuntil(b'"records":30}\n\n'), SOON_S)
        room.clock.ahead_s += LIFE_S + 1
        rest = await asyncio.wait_for(answer.content.read(), SOON_S)
    assert b"\nevent: bye\n" in rest


async def test_the_last_lines_first(room):
    """`last` shows the newest lines that fit the filter, then what comes; without it nothing old is shown."""
    room.tell(5)
    room.tell(event="task.dead")
    room.tell(2)
    new, _ = await room.tail()
    two, _ = await room.tail("last=2&event=test.*")
    everything, _ = await room.tail("last=1000")
    room.tell()
    assert await new.numbers(1) == [9]
    assert await two.numbers(3) == [7, 8, 9]
    assert await everything.numbers(9) == list(range(1, 10))


@pytest.mark.parametrize("last", ["-1", "1001", "x", "", "1&last=2"])
async def test_a_wrong_number_of_lines(room, last):
    """How many lines come first is a number up to what is kept, once."""
    assert (await room.ask(f"last={last}")).status == 400


async def test_who_comes_back_misses_nothing_and_sees_nothing_twice(room):
    """With the id of the last event that it saw, a client gets what came since, in the order of the log."""
    tail, _ = await room.tail("source=push")
    seen = []
    for _ in range(5):
        room.tell(3, source="push")
        room.tell(2, source="jobs")
        events = await tail.take(2)  # and leaves, whatever is on its way
        seen += [event.data["records"] for event in events]
        tail.close()
        tail, ready = await room.tail("source=push", last_id=events[-1].id)
        assert ready.id == events[-1].id
    room.tell(source="push")
    seen += await tail.numbers(6)
    assert seen == [n for n in range(1, 26) if n % 5 in {1, 2, 3}] + [26]


async def test_the_id_moves_on_while_nothing_is_wanted(room):
    """A quiet stream is kept open, and who loses it does not come back to lines that it never wanted."""
    tail, _ = await room.tail("event=task.dead")
    await room.looked_on_by(1)
    for _ in range(3):
        room.tell(KEPT_LINES // 2)
        room.clock.ahead_s += KEEPALIVE_S + 1
        kept = await tail.next()
        assert (kept.name, kept.id) == (":", f"r1-{room.told}")
    back, ready = await room.tail("event=task.dead", last_id=kept.id)
    room.tell(event="task.dead")
    assert ready.id == kept.id
    assert (await back.next()).name == "line"


async def test_what_is_gone_is_said_to_be_gone(room):
    """Who comes back too late is told how many lines are not kept any more, then gets all that are."""
    room.tell(KEPT_LINES + 7)
    tail, _ = await room.tail(last_id="r1-2")
    gap = await tail.next()
    assert (gap.name, gap.data) == ("gap", {"missed": 5, "reason": "overrun"})
    assert await tail.numbers(KEPT_LINES) == list(range(8, KEPT_LINES + 8))


async def test_another_run_of_the_service(room):
    """After a restart nobody knows what was missed: that is said, and what is known of this run is shown."""
    room.tell(3)
    tail, _ = await room.tail(last_id="older-2")
    gap = await tail.next()
    assert (gap.name, gap.data) == ("gap", {"missed": None, "reason": "restarted"})
    assert await tail.numbers(3) == [1, 2, 3]


async def test_an_id_of_nobody(room):
    """An id that was never given, or of the future, is no way to break in or to miss what comes."""
    room.tell()
    for last_id in ("x", "r1-99999999", "r1--1", "'"):
        tail, _ = await room.tail(last_id=last_id)
        await room.looked_on_by(1)
        room.tell()
        assert await tail.numbers(1) == [room.told]
        tail.close()
        await room.looked_on_by(0)


async def test_a_flood_is_told_with_gaps_that_add_up(room):
    """Of more lines than a person reads, the newest are shown, and every other one is counted."""
    tail, _ = await room.tail()
    await room.looked_on_by(1)
    shown = missed = 0
    room.clock.stop()
    for _ in range(4):
        room.tell(LINES_PER_S)
        await room.passed()
        room.clock.ahead_s += 0.05
    room.tell(event="test.last")
    room.clock.ahead_s += 1
    async for event in tail:
        if event.name == "gap":
            assert event.data["reason"] == "rate"
            missed += event.data["missed"]
        else:
            assert event.data["records"] == shown + missed + 1, "a line came in the wrong place"
            shown += 1
        if shown + missed == room.told:
            break
    assert missed > LINES_PER_S
    assert shown >= LINES_PER_S


def test_a_flood_is_not_all_gaps():
    """Of 4,000 lines in 2 s those that are left out are told a few times a second, and none goes uncounted."""
    channel, told, missed, shown = Channel(Filter(), 0, 0.0, 0.0), [], 0, 0
    for turn in range(40):
        left_out, lines = channel.choose([Line(turn * 100 + n, {}) for n in range(100)], turn * 0.05)
        missed, shown = missed + left_out, shown + len(lines)
        told += [left_out] if left_out else []
    assert missed + shown + channel.held == 4000
    assert 3 <= len(told) <= 8
    assert shown >= 2 * LINES_PER_S
    held = channel.held
    assert channel.choose([], 3.0) == (held, [])


async def test_an_overrun_between_two_passes_is_told(room):
    """Lines that came and went before anybody could be told are counted."""
    tail, _ = await room.tail("event=test.last")
    await room.looked_on_by(1)
    room.tell(KEPT_LINES + 100)
    room.tell(event="test.last")
    gap, line = await tail.take(2)
    assert (gap.name, gap.data) == ("gap", {"missed": 101, "reason": "overrun"})
    assert line.data["event"] == "test.last"


async def test_who_does_not_read_is_cut_off_and_costs_nobody(room):
    """Of 50 clients one stops reading: it is dropped after a bounded number of bytes; the others get everything."""
    tails = [(await room.tail())[0] for _ in range(49)]
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.setblocking(False)  # noqa: FBT003
    await asyncio.get_running_loop().sock_connect(lazy, ("127.0.0.1", room.port))
    await asyncio.get_running_loop().sock_sendall(lazy, b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    await room.looked_on_by(50)
    unread_max = 0
    async with asyncio.timeout(60):
        while not room.feed.dropped:
            room.tell(20, error="x" * 2000)
            room.clock.ahead_s += 20 / LINES_PER_S
            for tail in tails:
                await tail.numbers(20)
            (channel,) = room.feed._channels.values()
            unread_max = max(unread_max, *(m.transport.get_write_buffer_size() for m in channel.members))
    lazy.close()
    await room.looked_on_by(49)
    assert room.feed.dropped == 1
    assert unread_max < UNREAD_BYTES + 20 * 2500
    room.tell()
    assert [await tail.numbers(1) for tail in tails] == [[room.told]] * 49


async def test_who_went_away_is_forgotten(room):
    """A connection that is closed by its client leaves nothing behind, also when nothing happens."""
    tails = [(await room.tail())[0] for _ in range(3)]
    await room.looked_on_by(3)
    for tail in tails:
        tail.close()
    await room.looked_on_by(0)
    async with asyncio.timeout(SOON_S):
        while room.feed.clients:
            await asyncio.sleep(0.01)
    assert not room.feed.keen


async def test_the_service_ends_all_streams_at_once(room):
    """At the end every stream gets its last lines and a word, and the listener need not wait."""
    tails = [(await room.tail(query))[0] for query in ("", "", "event=task.*")]
    await room.looked_on_by(3)
    room.tell()
    started = asyncio.get_running_loop().time()
    await room.runner.cleanup()
    assert asyncio.get_running_loop().time() - started < SOON_S / 2
    ends = [[event.name for event in await tail.rest()] for tail in tails]
    assert ends == [["line", "bye"], ["line", "bye"], ["bye"]]


async def test_a_stream_does_not_live_for_ever(room):
    """After a time a stream ends, so that a token that was taken away is asked for again; its client loses nothing."""
    tail, _ = await room.tail()
    await room.looked_on_by(1)
    room.tell()
    assert await tail.numbers(1) == [1]
    room.clock.ahead_s += LIFE_S + 1
    events = await tail.rest()
    assert (events[-1].name, events[-1].data) == ("bye", {"reason": "renew"})
    room.tell()
    back, _ = await room.tail(last_id=events[-1].id)
    assert await back.numbers(1) == [2]


async def test_a_stream_ends_with_what_let_it_in(room):
    """Whose token or session is taken away is told nothing more, long before a stream would end by itself."""
    tail, _ = await room.tail()
    await room.looked_on_by(1)
    room.welcome = False
    room.clock.ahead_s += SWEEP_S + 0.1
    events = await tail.rest()
    assert (events[-1].name, events[-1].data) == ("bye", {"reason": "renew"})
    await room.looked_on_by(0)


async def test_not_more_than_can_be_served(room, monkeypatch):
    """One client too many is told to come later, and takes no place."""
    monkeypatch.setattr("stibgate.web.live.stream.CLIENTS_MAX", 2)
    first, _ = await room.tail()
    await room.tail()
    assert (await room.ask()).status == 503
    await room.looked_on_by(2)
    first.close()
    await room.looked_on_by(1)
    async with asyncio.timeout(SOON_S):
        while (await room.ask()).status != 200:
            await asyncio.sleep(0.01)


async def test_lines_of_other_threads(room):
    """What other threads log is numbered and told like everything else."""
    tail, _ = await room.tail()
    await room.looked_on_by(1)
    threads = [threading.Thread(target=lambda: [room.feed.hear(_line()) for _ in range(40)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = await tail.take(160)
    assert [event.id for event in events] == [f"r1-{number}" for number in range(1, 161)]


async def test_the_head_alone(room):
    """HEAD says what GET would, and looks on at nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", room.port)
    writer.write(b"HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), SOON_S)
    writer.close()
    assert b"text/event-stream" in answer
    assert room.feed.clients == 0


def _line():
    return {"level": "info", "event": "test.line"}
