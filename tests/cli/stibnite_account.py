"""The sandbox's Stibnite on loopback, a configuration of its account, and commands beside it in a thread."""

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import ClientSession
from click.testing import CliRunner

from stibgate.errors import StibgateError
from stibgate.sandbox.server import serve
from stibgate.sandbox.stibnite import StibniteSandbox
from tests.cli.beside import Ran
from tests.e2e.gateway import DROP, free_port

MADE_UP = "whsec_bWFkZS11cC1ieS1pbml0LWdvb2QtZm9yLXRyaWdnZXI="
TOKEN = "push-token-that-nobody-else-has"
DAY_S = 86_400.0


@dataclass
class Account:
    """A sandbox, and a folder with a configuration of its account."""

    folder: Path
    url: str = ""
    ahead_s: float = 0.0
    """How far the sandbox's clock is from ours."""
    sandbox: StibniteSandbox = field(init=False)

    def __post_init__(self):
        self.sandbox = StibniteSandbox(seed=7, now=lambda: time.time() + self.ahead_s)
        self.config = self.folder / "config.toml"
        self.file = self.folder / "jobs.secrets"

    def configure(self, *, secret=None, url=None, key=None, public="", jobs="", extra=""):
        """Write a configuration; without *secret* the jobs have none yet."""
        port = free_port()
        public = f'public_url = "http://127.0.0.1:{port}"' if public == "" else public
        secrets = f'secrets = ["{secret}"]' if secret else ""
        self.config.write_text(f"""\
[server]
bind = "127.0.0.1:{port}"
admin_bind = "127.0.0.1:0"
{public}
[storage]
url = "sqlite:///./data/stibgate.db"
[stibnite]
base_url = "{url or self.url}"
api_key = "{key or self.sandbox.api_key}"
[sources.jobs]
kind = "stibnite_jobs"
routes = ["drop"]
{secrets}
{jobs}
[sources.push]
kind = "stibnite_push"
tokens = ["{TOKEN}", "older-token-that-is-still-good"]
routes = ["drop"]
{DROP}
{extra}
""")
        return self

    async def run(self, command, *words, env=None) -> Ran:
        """Run a command as `stibgate` would, errors included."""
        given = [*map(str, words), "--config", str(self.config)]
        result = await asyncio.to_thread(CliRunner().invoke, command, given, env=env or {}, standalone_mode=False)
        error = result.exception
        if error is not None and not isinstance(error, StibgateError):
            raise error
        if error is None:
            status = result.return_value if isinstance(result.return_value, int) else result.exit_code
            return Ran(status, result.stdout, result.stderr)
        problems = "".join(f"{problem}\n" for problem in getattr(error, "problems", ()))
        assert error.hint, error
        return Ran(error.exit_code, result.stdout, f"{result.stderr}{problems}{error.message}\n{error.hint}\n")

    async def call(self, method, path, body=None):
        """Return what the sandbox answers to the account's key."""
        headers = {"x-api-key": self.sandbox.api_key}
        async with (
            ClientSession() as session,
            session.request(method, self.url + path, json=body, headers=headers) as got,
        ):
            return await got.json()

    async def endpoints(self):
        """Return what is registered."""
        return (await self.call("GET", "/v1/webhooks/endpoints"))["data"]

    @property
    def secrets(self):
        """The lines of the usual file."""
        return self.file.read_text().splitlines()

    def public(self, path):
        """Return a URL as senders see it."""
        line = next(line for line in self.config.read_text().splitlines() if line.startswith("bind"))
        return f"http://{line.split(chr(34))[1]}{path}"


@pytest.fixture
async def account(tmp_path):
    there = Account(tmp_path)
    async with serve(there.sandbox.app()) as url:
        there.url = url
        yield there.configure()


@asynccontextmanager
async def answering(answer):
    """Give the URL of a server that gives every connection the raw bytes that *answer* returns for its request."""

    async def connected(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:")), 0)
        body = await reader.readexactly(length)
        writer.write(answer(head.split(" ")[0], head.split(" ")[1], body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def raw(status, body, *more):
    """Return an HTTP answer as bytes."""
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    head = "\r\n".join([f"HTTP/1.1 {status} X", f"content-length: {len(data)}", "connection: close", *more])
    return f"{head}\r\n\r\n".encode() + data
