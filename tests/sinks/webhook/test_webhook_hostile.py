"""Receivers that answer badly, or not: bounded time and memory, one clean error, and no record lost or doubled."""

import asyncio
import gzip
import traceback
import tracemalloc

import pytest

from stibgate.errors import SinkRejected, SinkUnavailable
from stibgate.testing import make_batch
from tests.sinks.webhook.world import far, http, listening, opened, raw, refused

HEAD = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n"
GOOD, BAD = HEAD % 200, HEAD % 500
BOMB = gzip.compress(b"\0" * 30_000_000, 6)


async def endless(_, writer) -> None:
    writer.write(BAD + b"\r\n")
    while True:
        writer.write(b"a" * 65_536)
        await writer.drain()


async def drip(_, writer) -> None:
    writer.write(BAD + b"content-length: 600\r\n\r\nfirst ")
    await writer.drain()
    await asyncio.Event().wait()


async def early_hints(_, writer) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 X\r\n\r\n")
        await writer.drain()


@pytest.mark.parametrize(
    "answer, message",
    [
        (raw(b""), "closed the connection"),
        (raw(b"", then="reset"), "the connection"),
        (raw(b"HTTP/1.1 20"), "closed the connection"),
        (raw(bytes(range(256)) * 4), "is not HTTP"),
        (raw(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 5_000_000), "is not HTTP"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000 + b"\r\n"), "is not HTTP"),
        (raw(b"HTTP/1.1 200 " + b"r" * 100_000 + b"\r\n\r\n"), "is not HTTP"),
        (raw(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"), "is not HTTP"),
        (raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"), "is not HTTP"),
        (raw(b"SSH-2.0-OpenSSH_9\r\n"), "is not HTTP"),
        (raw(b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"), "answered 101"),
        (raw(HEAD % 999 + b"content-length: 0\r\n\r\n"), "answered 999"),
        (raw(BAD + b"content-length: 100\r\n\r\nhalf of it"), "answered 500"),
        (raw(GOOD + b"content-length: 1\r\n\r\n{} and more"), "is not HTTP"),
        (raw(GOOD + b"transfer-encoding: chunked\r\n\r\nzz\r\nnot a chunk"), "is not HTTP"),
    ],
)  # fmt: skip
async def test_a_bad_answer_is_transient(answer, message):
    """What is no sound answer is no answer: the batch comes again."""
    async with far(answer) as there, opened(there.url) as sink, asyncio.timeout(20):
        error = await refused(sink, make_batch("t1", [0]))
        assert type(error) is SinkUnavailable
        assert message in error.message
        assert error.hint
        there.answer = http(200)
        assert await sink.deliver(make_batch("t1", [0], attempt=2))


@pytest.mark.parametrize(
    "rest",
    [
        b"content-length: 100\r\n\r\nhalf of it",
        b"\r\nuntil close",
        b"content-encoding: gzip\r\ncontent-length: 7\r\n\r\nnonsens",
        b'content-length: 10\r\n\r\n{"id":NaN}',
        b"transfer-encoding: chunked\r\n\r\n64\r\nhalf of it",
    ],
)  # fmt: skip
async def test_the_body_of_a_success_does_not_matter(rest):
    """A 2xx is a 2xx, whatever follows; and nothing of it gets into the next answer."""
    async with far(raw(GOOD + rest)) as there, opened(there.url) as sink, asyncio.timeout(20):
        assert len(await sink.deliver(make_batch("t1", [0]))) == 1
        there.answer = http(503)
        assert "answered 503" in (await refused(sink, make_batch("t2", [1]))).message


async def test_the_body_of_a_success_is_not_waited_for():
    """A receiver that says 200 and then nothing has taken the batch."""
    async with far(raw(GOOD + b"content-length: 9\r\n\r\n", then="hang")) as there, opened(there.url) as sink:
        async with asyncio.timeout(20):
            assert await sink.deliver(make_batch("t1", [0]))


async def test_an_endless_body_is_cut():
    """An answer without end costs neither time nor memory, and 4 KiB of it are looked at."""
    async with far(endless) as there, opened(there.url) as sink, asyncio.timeout(20):
        await refused(sink, make_batch("t1", [0]))
        tracemalloc.start()
        try:
            for number in range(5):
                await refused(sink, make_batch(f"t{number}", [number]))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 4 << 20


async def test_a_slow_body_is_not_waited_for():
    """The words of a refusal are worth a second; what came by then may be kept, without its last word."""
    async with far(drip) as there, opened(there.url) as sink, asyncio.timeout(20):
        error = await refused(sink, make_batch("t1", [0]))
    assert error.message == "the receiver answered 500"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x-unknown"])
async def test_a_compressed_answer_is_not_opened(encoding):
    """A bomb stays shut."""
    async with far(http(500, BOMB, headers=f"content-encoding: {encoding}\r\n")) as there, opened(there.url) as sink:
        tracemalloc.start()
        try:
            error = await refused(sink, make_batch("t1", [0]))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert error.message == "the receiver answered 500"
    assert peak < 4 << 20


@pytest.mark.parametrize("answer", [raw(b"", then="hang"), raw(b"HTTP/1.1 200 OK\r\nx: ", then="hang"), early_hints])
async def test_a_receiver_that_says_nothing(answer):
    """No answer within `answer_timeout` is transient, whether it is silent or never comes to the point."""
    async with far(answer) as there, opened(there.url, answer_timeout="200ms") as sink, asyncio.timeout(20):
        error = await refused(sink, make_batch("t1", [0]))
    assert type(error) is SinkUnavailable
    assert error.message == "no answer within answer_timeout"


async def test_nobody_listens():
    """A closed port is transient and said as such."""
    async with far() as there:
        url = there.url
    async with opened(url) as sink:
        error = await refused(sink, make_batch("t1", [0]))
    assert type(error) is SinkUnavailable
    assert error.message == "the receiver's port is closed"


async def test_an_answer_before_the_whole_body():
    """A receiver that refuses a large body by its head alone is understood."""

    async def at_once(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD % 413 + b"content-length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with listening(at_once) as port, opened(f"http://127.0.0.1:{port}/") as sink, asyncio.timeout(20):
        error = await refused(sink, make_batch("t1", range(2000), extra={"note": "x" * 4000}))
        assert type(error) is SinkRejected
        assert "413" in error.message


async def test_a_connection_that_is_cut_within_the_body():
    """A receiver that hangs up while it is told the records is transient; the URL, perhaps a secret, is not told."""

    async def cut(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async with listening(cut) as port, opened(f"http://127.0.0.1:{port}/capability-0123456789") as sink:
        error = await refused(sink, make_batch("t1", range(2000), extra={"note": "x" * 4000}))
    assert type(error) is SinkUnavailable
    assert error.message == "the connection to the receiver was cut"
    assert "capability" not in error.hint


async def test_no_records_no_request():
    """A batch without records is not worth a request."""
    async with far() as there, opened(there.url) as sink:
        assert list(await sink.deliver(make_batch("t1", []))) == []
    assert not there.requests


async def test_a_receiver_that_hangs_up_after_each_answer():
    """A receiver that closes without saying so takes every batch at the first attempt."""
    async with far(raw(GOOD + b"content-length: 0\r\n\r\n", then="close")) as there, opened(there.url) as sink:
        for number in range(3):
            await sink.deliver(make_batch(f"t{number}", [number]))
    assert there.connections == 3


async def test_a_sink_that_is_not_open():
    """Before `open` and after `close` a batch waits; it is not lost in a bug."""
    async with far() as there, opened(there.url) as sink:
        pass
    assert isinstance(await refused(sink, make_batch("t1", [0])), SinkUnavailable)
    await sink.close()


async def test_no_error_quotes_the_request():
    """Whatever goes wrong, neither message nor hint nor traceback holds a secret, a header or a path of ours."""
    async with far() as there:
        for answer in (
            raw(b""),
            raw(bytes(range(256))),
            http(500),
            http(302, headers="location: /x\r\n"),
            raw(b"", then="reset"),
        ):
            there.answer = answer
            url = f"http://127.0.0.1:{there.port}/in/capability-0123456789?token=abcdefgh"
            async with opened(url, headers={"x-api-key": "k3y-of-them"}) as sink:
                error = await refused(sink, make_batch("t1", [0]))
            told = "".join(traceback.format_exception(error)) + error.hint
            for text in ("capability", "abcdefgh", "k3y-of-them", "whsec_", "v1,", "person_0", "example.com"):
                assert text not in told
