"""The raw body of a delivery, within its bounds: size, time, and the memory of all that are being read."""

import asyncio

from aiohttp import HttpVersion11, StreamReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from stibgate.errors import DeliveryRefused
from stibgate.web.limits import InFlight

RETRY_LATER_S = 5


async def read_body(request: web.BaseRequest, in_flight: InFlight, max_bytes: int, timeout_s: float) -> bytes:
    """Return the raw body.

    Args:
        request: Whose body it is.
        in_flight: Counts what is held while it comes.
        max_bytes: A larger one is refused.
        timeout_s: How long it may take to come.

    Raises:
        DeliveryRefused: 408 too slow, 413 too large, 400 broken framing, 503 too much in flight.
    """
    content = request.content
    try:
        if content.is_eof():  # it came whole, together with its head
            body = content.read_nowait(-1)
            if len(body) > max_bytes:
                raise DeliveryRefused(413, "Content Too Large", "too_large", close=True)
            return body
        if hdrs.EXPECT in request.headers and request.version == HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        async with asyncio.timeout(timeout_s):
            return await _chunks(content, in_flight, max_bytes)
    except TimeoutError:
        raise DeliveryRefused(408, "Request Timeout", "body_timeout", close=True) from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        raise DeliveryRefused(400, "Bad Request", "body_framing", close=True) from None


async def _chunks(content: StreamReader, in_flight: InFlight, max_bytes: int) -> bytes:
    bytes_max = in_flight.bytes_max  # a reload must not refuse what it finds half-way
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := await content.readany():
            size += len(chunk)
            in_flight.bytes += len(chunk)
            chunks.append(chunk)
            if size > max_bytes:
                raise DeliveryRefused(413, "Content Too Large", "too_large", close=True)
            if in_flight.bytes > bytes_max:
                raise DeliveryRefused(
                    503, "Service Unavailable", "bytes_in_flight", retry_after_s=RETRY_LATER_S, close=True
                )
        return b"".join(chunks)
    finally:
        in_flight.bytes -= size
