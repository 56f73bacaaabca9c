"""Sandboxes and gateway side by side on loopback, connected as a partner connects them. For demo and dev."""

import os
import secrets
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from stibgate.app.gateway import Gateway
from stibgate.cli.sandbox import served
from stibgate.config import Settings, load, template
from stibgate.errors import AddressInUse, StibgateError, UsageError
from stibgate.sandbox.hubspot import HubSpotSandbox
from stibgate.sandbox.server import serve
from stibgate.sandbox.stibnite import StibniteSandbox
from stibgate.sandbox.thehog import TheHogSandbox

ORIGIN = "https://partner.example"
CONFIG = "config.toml"
DEV_MARK = "# Written by stibgate dev."
_DEV_HEAD = f"{DEV_MARK} Every start writes it anew, and keeps nothing of it but the token and the first secret.\n"
_CRM = """
# The sandbox's HubSpot; with an account of your own there is only the token.
[sinks.crm]
kind = "hubspot"
base_url = "{url}"
token = "{token}"
"""
_VENDORS = """
# The accounts at the sandboxes of Stibnite and The Hog: for `stibgate jobs`, `usage`, `wallet`, `estimate`.
[stibnite]
base_url = "{stibnite_url}"
api_key = "{api_key}"

[thehog]
base_url = "{thehog_url}"
access_key = "{access_key}"
secret_key = "{secret_key}"

[budgets.trial]
unit = "stibnite.credit_unit"
limit = 500
period = "day"
"""
USER = {"customer_id": "acme", "customer_name": "Acme", "user_id": "dana"}


@dataclass(frozen=True, slots=True)
class Stage:
    """A running sandbox and the gateway that is registered with it.

    Attributes:
        folder: Holds config.toml, the store, the drops and the log.
        sandbox_url: Where Stibnite's sandbox answers.
        hubspot_url: Where HubSpot's sandbox answers.
        embed_key: The public loader key whose pushes come to the gateway.
    """

    folder: Path
    config: Path
    settings: Settings
    gateway: Gateway
    sandbox: StibniteSandbox
    sandbox_url: str
    hubspot: HubSpotSandbox
    hubspot_url: str
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

    async def crm(self, kind: str) -> AsyncIterator[dict[str, Any]]:
        """Yield HubSpot's objects of *kind* as its API lists them, with the companies that belong to contacts."""
        after = "0"
        while after:
            query = f"limit=100&properties=stibnite_person_id&associations=companies&after={after}"
            headers = {"Authorization": f"Bearer {self.hubspot.token}"}
            path = f"/crm/objects/2026-03/{kind}?{query}"
            page = await _call(self.http, self.hubspot_url, "GET", path, None, headers)
            for one in page["results"]:
                yield one
            after = page.get("paging", {}).get("next", {}).get("after", "")


@dataclass(frozen=True, slots=True)
class Kept:
    """What proves a delivery to a folder of `stibgate dev`, from start to start."""

    token: str
    secret: str


@asynccontextmanager
async def stage(
    folder: Path,
    *,
    seed: int,
    public: int | None = None,
    admin: int | None = None,
    sandbox_port: int = 0,
    head: str = "",
    delivery: str = "",
    kept: Kept | None = None,
) -> AsyncIterator[Stage]:
    """Start sandbox and gateway in *folder*, registered with each other; stop both at the end.

    Args:
        folder: A folder without config.toml, or with one that may be replaced.
        seed: Which invented people there are.
        public: Port of the public listener; None takes a free one.
        admin: Port of the admin listener; None takes a free one.
        sandbox_port: Port of Stibnite's sandbox; 0 takes a free one.
        head: First lines of config.toml.
        delivery: Its `[delivery]`, as TOML; empty for the defaults.
        kept: What proves a delivery since an earlier start, and still does.

    Raises:
        StibgateError: The store or a port is taken; config.toml is as it was.
    """
    public, admin = public or free_port(), admin or free_port()
    base = f"http://127.0.0.1:{public}"
    token = kept.token if kept else secrets.token_urlsafe(32)
    sandbox = StibniteSandbox(seed=seed, now=time.time)
    hubspot = HubSpotSandbox(seed=seed, now=time.time)
    thehog = TheHogSandbox(seed=seed, now=time.time)
    async with (
        aiohttp.ClientSession() as http,
        served(sandbox.app(), sandbox_port, "--sandbox-port") as sandbox_url,
        serve(hubspot.app()) as hubspot_url,
        serve(thehog.app()) as thehog_url,
    ):
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
        # The one that was printed before stays the first; with the same seed the sandbox issues it again.
        issued = endpoint["signing_secret"]
        signing = [kept.secret, issued] if kept and kept.secret != issued else [issued]
        crm = _CRM.format(url=hubspot_url, token=hubspot.token)
        vendors = _VENDORS.format(
            stibnite_url=sandbox_url,
            api_key=sandbox.api_key,
            thehog_url=thehog_url,
            access_key=thehog.access_key,
            secret_key=thehog.secret_key,
        )
        text = head + template(secrets=signing, token=token, sinks=("drop", "crm"), more=crm + vendors + delivery)
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{public}").replace("127.0.0.1:9090", f"127.0.0.1:{admin}")
        text = text.replace('public_url = ""', f'public_url = "{base}"')  # so that what Stibnite sees is shown, too
        with _draft(folder, text) as draft:
            settings = load(draft, environ={}).settings
            settings = settings.said_by(settings.origins.moved(folder / CONFIG))
            gateway = Gateway(settings)
            try:
                await gateway.start()
            except AddressInUse as error:
                hint = "Stop it, or choose other ports: --port and --admin-port."
                raise AddressInUse(error.message, hint=hint) from error
            try:
                # Only who has the store and the ports may say what the configuration is.
                config = draft.replace(folder / CONFIG)
                yield Stage(
                    folder,
                    config,
                    settings,
                    gateway,
                    sandbox,
                    sandbox_url,
                    hubspot,
                    hubspot_url,
                    loader["public_key"],
                    http,
                )
            finally:
                await sandbox.close()
                await gateway.stop()


@asynccontextmanager
async def dev_stage(folder: Path, *, seed: int, public: int, admin: int, sandbox_port: int) -> AsyncIterator[Stage]:
    """Do as `stage` in a folder of `stibgate dev`, where URLs and secret stay the same from start to start.

    Raises:
        UsageError: The folder has a configuration that `stibgate dev` did not write.
    """
    kept = _kept(folder / CONFIG)
    async with stage(
        folder, seed=seed, public=public, admin=admin, sandbox_port=sandbox_port, head=_DEV_HEAD, kept=kept
    ) as on:
        yield on


def _kept(file: Path) -> Kept | None:
    """Return what `dev` wrote to *file* and must not change; None when there is no such file."""
    if not file.exists():
        return None
    with file.open("rb") as stream:
        ours = stream.readline().startswith(DEV_MARK.encode())
    sources = load(file, environ={}).settings.sources if ours else {}
    tokens = [token for name, source in sources.items() if name == "push" for token in source.tokens]
    signing = [secret for name, source in sources.items() if name == "jobs" for secret in source.secrets]
    if not tokens or not signing:
        raise UsageError(
            f"{file} is there already; nothing was changed",
            hint="It is not as `stibgate dev` writes it: `--dir` takes another folder.",
        )
    return Kept(tokens[0].get_secret_value(), signing[0].value.get_secret_value())


@contextmanager
def _draft(folder: Path, text: str) -> Iterator[Path]:
    """Write *text* beside the folder's config.toml, readable by its owner only; remove it when it is still there."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{CONFIG}.", dir=folder)
    draft = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


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
