"""The Stibnite of one sandbox: one account, its rooms, its life."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from stibgate.sandbox.stibnite.account import Account
from stibgate.sandbox.stibnite.background import Background
from stibgate.sandbox.stibnite.border import refusals
from stibgate.sandbox.stibnite.courier import Courier, Pace, Pause, SentDelivery
from stibgate.sandbox.stibnite.jobs import Jobs
from stibgate.sandbox.stibnite.prospecting import Prospecting
from stibgate.sandbox.stibnite.sessions import Sessions
from stibgate.sandbox.stibnite.usage import Usage
from stibgate.sandbox.stibnite.webhooks import Webhooks


class StibniteSandbox:
    """Stibnite on loopback, with one account and nobody real in it.

    Args:
        seed: Which world: the same seed, clock and requests give the same bodies.
        now: Seconds since the Unix epoch.
        scheme: The preset that job events are signed with, in its canonical variant.
        thin: Whether job events carry no records.
        faults: Any of `FAULTS`; each that is on hits every delivery it can.
        pace: How fast jobs run, and how deliveries are retried.
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
        faults: frozenset[str] = frozenset(),
        pace: Pace | None = None,
        pause: Pause = asyncio.sleep,
    ) -> None:
        pace = pace or Pace()
        self._account = Account(seed, now)
        self._background = Background()
        self._courier = Courier(now=now, pause=pause, scheme=scheme, pace=pace, faults=faults)
        webhooks = Webhooks(self._account, self._courier, self._background)
        prospecting = Prospecting(self._account)
        jobs = Jobs(self._account, webhooks, self._background, pause=pause, step_s=pace.job_step_s, thin=thin)
        sessions = Sessions(self._account, prospecting, self._courier)
        self._rooms = (webhooks, jobs, prospecting, sessions, Usage(self._account))

    @property
    def api_key(self) -> str:
        """The account's key, for `x-api-key`."""
        return self._account.api_key

    @property
    def faults(self) -> frozenset[str]:
        """Which of `FAULTS` hit deliveries from now on."""
        return self._courier.faults

    @faults.setter
    def faults(self, names: frozenset[str]) -> None:
        self._courier.faults = names

    @property
    def sent(self) -> list[SentDelivery]:
        """What was sent, in the order of the first attempts."""
        return self._courier.sent

    def app(self) -> web.Application:
        """Return an application that serves this sandbox, and closes it when it is cleaned up."""
        app = web.Application(middlewares=[refusals])
        for room in self._rooms:
            app.add_routes(room.routes())
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

    async def _on_cleanup(self, _app: web.Application) -> None:
        await self.close()
