"""Sandbox and gateway side by side on loopback, connected as a partner connects them. For demo and dev."""

import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from stibgate.app import Gateway
from stibgate.config import Settings, load, template
from stibgate.errors import StibgateError
from stibgate.sandbox.server import serve
from stibgate.sandbox.stibnite import StibniteSandbox

ORIGIN = "https://partner.example"
USER = {"customer_id": "acme", "customer_name": "Acme", "user_id": "dana"}


@dataclass(frozen=True, slots=True)
class Stage:
    """A running sandbox and the gateway that is registered with it.

    Attributes:
        folder: Holds config.toml, the store, the drops and the log.
        sandbox_url: Where the sandbox answers.
        embed_key: The public loader key whose pushes come to the gateway.
    """

    folder: Path
    config: Path
    settings: Settings
    gateway: Gateway
    sandbox: StibniteSandbox
    sandbox_url: str
    embed_key: str
    http: aiohttp.ClientSession

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the sandbox's answer to a call, with the account's key unless *headers* say otherwise.

        Raises:
            StibgateError: The sandbox refused it.
        """
        return await _call(
            self.http, self.sandbox_url, method, path, body, headers or {"x-api-key": self.sandbox.api_key}
        )

    async def push(self, query: str, records: int) -> dict[str, Any]:
        """Search in the widget as a partner's user, and push the first *records* people; return the answer."""
        session = await self.call(
            "POST",
            "/v1/prospecting/embed-sessions",
            {"partner_key": self.embed_key, **USER},
            headers={"Origin": ORIGIN},
        )
        bearer = {"Authorization": f"Bearer {session['token']}"}
        found = await self.call("POST", "/v1/prospecting/sessions", {"q": query, "limit": records}, headers=bearer)
        chosen = {"selection_mode": "selected", "prospect_ids": [one["prospect_id"] for one in found["data"]]}
        return await self.call("POST", f"/v1/prospecting/sessions/{found['search_id']}/push", chosen, headers=bearer)

    async def search(self, query: str, *, page: int) -> AsyncIterator[dict[str, Any]]:
        """Run a search job and one more for each further page; yield each finished job."""
        cursor = None
        while True:
            asked = {"q": query, "limit": page, **({"cursor": cursor} if cursor else {})}
            job = await self.call("POST", "/v1/persons/search/jobs", asked)
            await self.sandbox.idle()
            job = await self.call("GET", f"/v1/persons/search/jobs/{job['job_id']}")
            yield job
            cursor = job.get("pagination", {}).get("next_cursor")
            if cursor is None:
                return


@asynccontextmanager
async def stage(
    folder: Path, *, seed: int, public: int | None = None, admin: int | None = None, sandbox_port: int = 0
) -> AsyncIterator[Stage]:
    """Start sandbox and gateway in *folder*, registered with each other; stop both at the end.

    Args:
        folder: An empty or new folder, or one that this made before.
        seed: Which invented people there are.
        public: Port of the public listener; None takes a free one.
        admin: Port of the admin listener; None takes a free one.
        sandbox_port: Port of the sandbox; 0 takes a free one.
    """
    public, admin = public or free_port(), admin or free_port()
    base, token = f"http://127.0.0.1:{public}", secrets.token_urlsafe(32)
    sandbox = StibniteSandbox(seed=seed, now=time.time)
    async with aiohttp.ClientSession() as http, serve(sandbox.app(), sandbox_port) as sandbox_url:
        key = {"x-api-key": sandbox.api_key}
        endpoint = await _call(http, sandbox_url, "POST", "/v1/webhooks/endpoints", {"url": f"{base}/hooks/jobs"}, key)
        loader = await _call(
            http,
            sandbox_url,
            "POST",
            "/v1/prospecting/embed-keys",
            {"allowed_origins": [ORIGIN], "result_delivery_url": f"{base}/hooks/push/{token}"},
            key,
        )
        config = write_config(folder, template(secret=endpoint["signing_secret"], token=token), public, admin)
        settings = load(config, environ={}).settings
        gateway = Gateway(settings)
        await gateway.start()
        try:
            yield Stage(folder, config, settings, gateway, sandbox, sandbox_url, loader["public_key"], http)
        finally:
            await sandbox.close()
            await gateway.stop()


def write_config(folder: Path, text: str, public: int, admin: int) -> Path:
    """Write *text* as the folder's config.toml, with these ports, readable by its owner only."""
    folder.mkdir(parents=True, exist_ok=True)
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{public}").replace("127.0.0.1:9090", f"127.0.0.1:{admin}")
    path = folder / "config.toml"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path


def free_port() -> int:
    """Return a port that nobody on this machine listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _call(
    http: aiohttp.ClientSession,
    base: str,
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    headers: Mapping[str, str],
) -> dict[str, Any]:
    async with http.request(method, base + path, json=body, headers=headers) as response:
        answer: dict[str, Any] = await response.json()
    if not response.ok:
        raise StibgateError(
            f"the sandbox answered {response.status} to {method} {path}: {answer.get('message')}",
            hint="This is a bug in stibgate; please report it.",
        )
    return answer
