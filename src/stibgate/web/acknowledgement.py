"""The 202, written in one piece.

aiohttp's general response costs more than verifying and storing a small delivery: header maps, cookies,
compression and chunking are considered for each. An acknowledgement has none of these, so its head and body
are one write. Anything unusual about the request takes aiohttp's own way.
"""

import json
from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time

from stibgate.pipeline.intake import Receipt
from stibgate.web.problem import SERVER


class Acknowledgement(web.Response):
    """The answer to an authentic delivery, after its commit.

    Args:
        receipt: What became of the delivery.
        status: `ack_status` of the source.
        request_id: Echoed as `X-Request-Id`.
    """

    def __init__(self, receipt: Receipt, *, status: int, request_id: str) -> None:
        document: dict[str, str | int] = {
            "delivery_id": receipt.delivery_id,
            "status": receipt.status,
            "records": receipt.records,
        }
        if receipt.reason is not None:
            document["reason"] = receipt.reason
        self._document = json.dumps(document).encode()
        self._request_id = request_id
        self.delivery_id = receipt.delivery_id
        self._written = False
        super().__init__(status=status)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the whole answer; `write_eof` then has nothing left to do."""
        transport = request.transport
        empty = self.status in _WITHOUT_BODY
        ends = self.keep_alive is False or not request.keep_alive
        if empty or ends or request.version != HttpVersion11 or transport is None:
            if not empty:
                self.body = self._document
                self.content_type = "application/json"
            self.headers["X-Request-Id"] = self._request_id
            self.headers["Server"] = SERVER
            return await super().prepare(request)
        transport.write(
            f"HTTP/1.1 {self.status} {_PHRASES[self.status]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self._document)}\r\n"
            f"X-Request-Id: {self._request_id}\r\nServer: {SERVER}\r\n"
            f"Date: {rfc822_formatted_time()}\r\n\r\n".encode("ascii")
            + self._document
        )
        self._keep_alive = True
        self._written = True
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Finish what aiohttp's own way began."""
        if not self._written:
            await super().write_eof(data)


_WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT})
"""A body after these would be read as the beginning of the next answer."""

_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    status: "OK" for status in range(200, 300) if status not in {known.value for known in HTTPStatus}
}
