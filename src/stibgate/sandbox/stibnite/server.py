"""The Stibnite of one sandbox: one account, its rooms, its life."""

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

from stibgate.sandbox.stibnite.account import Account
from stibgate.sandbox.stibnite.background import Background
from stibgate.sandbox.stibnite.border import OPENAPI_PATH, Border
from stibgate.sandbox.stibnite.courier import Courier, Pace, Pause, SentDelivery
from stibgate.sandbox.stibnite.customers import Customers
from stibgate.sandbox.stibnite.faults import Chosen, Faults, rates
from stibgate.sandbox.stibnite.jobs import Jobs
from stibgate.sandbox.stibnite.lookups import Lookups
from stibgate.sandbox.stibnite.openapi import document
from stibgate.sandbox.stibnite.prospecting import Prospecting
from stibgate.sandbox.stibnite.sessions import Sessions
from stibgate.sandbox.stibnite.taxonomy import Taxonomy
from stibgate.sandbox.stibnite.usage import Usage
from stibgate.sandbox.stibnite.webhooks import Webhooks


class StibniteSandbox:
    """Stibnite on loopback, with one account and nobody real in it.

    Args:
        seed: Which world: the same seed, clock and requests give the same bodies.
        now: Seconds since the Unix epoch.
        scheme: The preset that job events are signed with, in its canonical variant.
        thin: Whether job events carry no records.
        faults: Any of `FAULTS` (see `faults` for what each hits): names that always hit, or a rate (0 to 1) for
            each name, drawn from the seed.
        pace: How fast jobs run, how deliveries are retried, and the rate limit.
        pause: Waits the given seconds; a test passes its own clock here.

    Raises:
        ValueError: *scheme* or one of *faults* has an unknown name.
    """

    def __init__(
        self,
        *,
        seed: int,
        now: Callable[[], float],
        scheme: str = "t_v1",
        thin: bool = False,
        faults: Chosen = frozenset(),
        pace: Pace | None = None,
        pause: Pause = asyncio.sleep,
    ) -> None:
        pace = pace or Pace()
        self._account = Account(seed, now, pace.requests_a_minute)
        self._faults = Faults(seed, faults)
        self._border = Border(self._account, self._faults, pace, pause)
        self._background = Background()
        self._courier = Courier(now=now, pause=pause, scheme=scheme, pace=pace, faults=self._faults)
        webhooks = Webhooks(self._account, self._courier, self._background)
        prospecting = Prospecting(self._account)
        jobs = Jobs(self._account, webhooks, self._background, pause=pause, step_s=pace.job_step_s, thin=thin)
        sessions = Sessions(self._account, prospecting, self._courier)
        self._rooms = (
            jobs,
            Taxonomy(self._account),
            Lookups(self._account),
            Customers(self._account, prospecting),
            prospecting,
            sessions,
            webhooks,
            Usage(self._account),
        )

    @property
    def api_key(self) -> str:
        """The account's key, for `x-api-key`."""
        return self._account.api_key

    @property
    def faults(self) -> Mapping[str, float]:
        """Which of `FAULTS` are on, and how often each hits; may be set as the argument may."""
        return self._faults.rates

    @faults.setter
    def faults(self, chosen: Chosen) -> None:
        self._faults.rates = rates(chosen)

    @property
    def sent(self) -> list[SentDelivery]:
        """What was sent, in the order of the first attempts."""
        return self._courier.sent

    def app(self) -> web.Application:
        """Return an application that serves this sandbox, and closes it when it is cleaned up."""
        app = web.Application(middlewares=[self._border.middleware])
        for room in self._rooms:
            app.add_routes(room.routes())
        app.router.add_get(OPENAPI_PATH, self._openapi)
        app.on_cleanup.append(self._on_cleanup)
        return app

    async def idle(self) -> None:
        """Return when all jobs have ended and all their events are delivered or given up."""
        await self._background.idle()

    async def resend(self, index: int) -> int:
        """Send delivery *index* of `sent` again, byte for byte, with a fresh signature; return the status.

        Raises:
            IndexError: There is no such delivery.
        """
        return await self._courier.resend(index)

    async def close(self) -> None:
        """Stop all jobs and deliveries, and close the connections; may be called twice."""
        await self._background.close()
        await self._courier.close()

    async def _openapi(self, _request: web.Request) -> web.Response:
        return web.json_response(document())

    async def _on_cleanup(self, _app: web.Application) -> None:
        await self.close()
