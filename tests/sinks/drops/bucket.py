"""An object store on loopback: as much of S3, of Cloud Storage's XML API and of Azure's Blob service as a drop needs."""

import asyncio
import hashlib
import re
from collections import deque
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from aiohttp import web
from aiohttp.test_utils import TestServer

ABOUT = "person p@example.com +12085550123 AKIDEXAMPLE"
"""What a store may say in an answer, and nobody may repeat."""

SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/eu-north-1/s3/aws4_request, "
    r"SignedHeaders=[a-z0-9;-]*host[a-z0-9;-]*, Signature=[0-9a-f]{64}"
)


@dataclass
class Bucket:
    """One bucket `people` behind a real HTTP server.

    Attributes:
        faults: What the next requests meet instead: `(status, code)`, "slow", "cut" (before anything is kept) or
            "commit_and_cut" (kept, and nobody hears of it).
        objects: Bytes and headers by key.
        seen: Method and key of each request.
        gate: While it is closed, no PUT is answered.
    """

    style: str = "s3"
    faults: deque = field(default_factory=deque)
    objects: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    writing: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app, host="127.0.0.1")
        await self.server.start_server()

    async def stop(self) -> None:
        self.gate.set()
        await self.server.close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        _, bucket, *rest = request.path.removeprefix("/account").split("/", 2)
        key = rest[0] if rest else ""
        self.seen.append((request.method, key))
        if self.style == "s3":
            assert SIGNED.fullmatch(request.headers["Authorization"])
            assert request.headers["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()
        if bucket != "people":
            return _error(404, "ContainerNotFound" if self.style == "az" else "NoSuchBucket")
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, tuple):
            return _error(*fault)
        if fault in {"slow", "cut"}:
            if fault == "slow":
                await asyncio.Event().wait()
            request.transport.abort()
            return web.Response()
        if request.method == "PUT":
            return await self._put(request, key, body, cut=fault == "commit_and_cut")
        if not key:
            return self._list(request.query.get("prefix", ""))
        return self._get(key)

    def _get(self, key: str) -> web.Response:
        if key not in self.objects:
            return _error(404, "NoSuchKey")
        headers = {"ETag": '"x"', "Last-Modified": "Sun, 17 May 2026 18:42:10 GMT"}
        return web.Response(body=self.objects[key][0], headers=headers)

    async def _put(self, request, key, body, *, cut):
        self.writing += 1
        await self.gate.wait()
        self.objects[key] = (body, {name.lower(): value for name, value in request.headers.items()})
        if cut:
            request.transport.abort()
        return web.Response(status=201 if self.style == "az" else 200, headers={"ETag": '"x"'})

    def _list(self, prefix: str) -> web.Response:
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        moment = "2026-05-17T18:42:10.000Z"
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{moment}</LastModified><ETag>x</ETag><Size>1</Size></Contents>"
            for key in keys
        )
        text = f"<ListBucketResult><Name>people</Name><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        if self.style == "az":
            text = "<EnumerationResults><Blobs></Blobs><NextMarker/></EnumerationResults>"
        return web.Response(text=text, content_type="application/xml")


def _error(status: int, code: str) -> web.Response:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{ABOUT}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")
