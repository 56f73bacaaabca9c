"""A client of The Hog before the sandbox, and before servers that answer whatever a test says."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from stibgate.sandbox.server import serve
from stibgate.sandbox.thehog import TheHogSandbox
from stibgate.vendors.thehog import PeopleSearch, TheHogClient
from tests.vendors.stibnite.world import Answer, Clock, Far, far

ACCESS_KEY = "ak_canary-1c5e"
SECRET_KEY = "sk_canary-88d2"
QUERY = "VP Engineering at B2B SaaS companies"
SEARCH = PeopleSearch(QUERY)

SEED_ANSWER = """{
  "estimatedCredits": 123,
  "withinPlanLimits": true,
  "breakdown": {
    "baseSearchCredits": 123,
    "contactEnrichment": {
      "includeContacts": true,
      "fields": [],
      "maxPeople": 123,
      "contactAttemptsPerFieldPerPerson": 123,
      "estimatedCredits": 123
    }
  },
  "assumptions": {
    "mode": "conservative_preflight_ceiling",
    "description": "<string>"
  },
  "expectedLatencyRange": "30s-5m"
}"""
"""The example response of the vendor's page, as it stands there."""


def document(**more: object) -> dict:
    """Return the example response with *more*."""
    return json.loads(SEED_ANSWER) | more


@asynccontextmanager
async def near(
    *answers: Answer, clock: Clock | None = None, keys: tuple[str, str] = (ACCESS_KEY, SECRET_KEY), **options: object
) -> AsyncIterator[tuple[TheHogClient, Far]]:
    """Yield a client, and the server that gives it *answers* in turn."""
    async with far(*answers) as there:
        options = {"means": (clock or Clock()).means, "timeout_s": 5.0, **options}
        async with TheHogClient(there.url, *map(SecretStr, keys), **options) as client:
            yield client, there


@dataclass
class Desk:
    """A client at a sandbox, and the clock that both go by."""

    client: TheHogClient
    sandbox: TheHogSandbox
    clock: Clock
    url: str


@asynccontextmanager
async def at_sandbox(**options: object) -> AsyncIterator[Desk]:
    clock = Clock()
    sandbox = TheHogSandbox(seed=7, now=lambda: clock.now_s, pause=clock.sleep, **options)
    async with serve(sandbox.app()) as url:
        keys = SecretStr(sandbox.access_key), SecretStr(sandbox.secret_key)
        async with TheHogClient(url, *keys, means=clock.means, timeout_s=5.0) as client:
            yield Desk(client, sandbox, clock, url)
