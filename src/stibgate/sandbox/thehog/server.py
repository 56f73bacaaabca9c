"""The Hog of one sandbox: one account, its knobs, its life."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, NamedTuple

from aiohttp import web
from multidict import CIMultiDictProxy

from stibgate.sandbox.dice import dice
from stibgate.sandbox.thehog.border import Rate, Refused, authenticate, read, refusals
from stibgate.sandbox.thehog.faults import PAGE, STATUSES, Fault, Faults
from stibgate.sandbox.thehog.openapi import document
from stibgate.sandbox.thehog.prices import Prices, estimate

ESTIMATE = "/api/v1/people/search/estimate"
RATE_PER_MINUTE = 600
RECORDED_MAX = 1_000


class Recorded(NamedTuple):
    """One request for an estimate, as it came."""

    headers: CIMultiDictProxy[str]
    body: bytes


class TheHogSandbox:
    """The Hog on loopback, with one account; an estimate is free and changes nothing.

    Args:
        seed: Which world: the same seed, clock and requests give the same answers.
        now: Seconds since the Unix epoch.
        prices: What a search is charged by.
        credits_available: What the account has left; None for unlimited.
        plan_limit: What the plan allows for one search; None for any.
        pause: Waits the given seconds, for slow answers; a test passes its own clock here.

    Attributes:
        access_key: The account's public key, for `X-Access-Key`.
        secret_key: Its secret, for `X-Secret-Key`; recognisable as a sandbox's, as is the key.
        prices, credits_available, plan_limit: As above; may be changed at any time.
        wrapped: Whether the estimate stands under `data`, as in the API's older generation.
        requests: The last requests for estimates, oldest first.
    """

    def __init__(
        self,
        *,
        seed: int,
        now: Callable[[], float],
        prices: Prices | None = None,
        credits_available: Decimal | None = Decimal(10_000),
        plan_limit: Decimal | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        keys = dice(seed, "the hog keys")
        self.access_key = f"ak_sandbox{keys.randbytes(8).hex()}"
        self.secret_key = f"sk_sandbox{keys.randbytes(16).hex()}"
        self.prices = prices or Prices()
        self.credits_available = credits_available
        self.plan_limit = plan_limit
        self.wrapped = False
        self.requests: deque[Recorded] = deque(maxlen=RECORDED_MAX)
        self._rate = Rate(RATE_PER_MINUTE, now)
        self._faults = Faults()
        self._pause = pause
        self._refusals = refusals(now, dice(seed, "the hog requests"))

    @property
    def rate_per_minute(self) -> int:
        """How many requests a minute are answered; may be changed at any time."""
        return self._rate.limit

    @rate_per_minute.setter
    def rate_per_minute(self, limit: int) -> None:
        self._rate.limit = limit

    def app(self) -> web.Application:
        """Return an application that serves this sandbox."""
        app = web.Application(middlewares=[self._refusals])
        app.router.add_post(ESTIMATE, self._estimate)
        app.router.add_get("/openapi.json", self._openapi, allow_head=False)
        return app

    def fail_next(self, fault: str, *, count: int = 1, retry_after: str | None = None, seconds: float = 30.0) -> None:
        """Let *fault* hit the next *count* requests for estimates.

        Args:
            fault: One of `FAULTS`.
            count: How many.
            retry_after: `Retry-After` of an error, as it is sent; 429 has one of 2 s without it, and none with "".
            seconds: How slow is slow.

        Raises:
            ValueError: There is no such fault.
        """
        self._faults.add(fault, count=count, retry_after=retry_after, seconds=seconds)

    async def _estimate(self, request: web.Request) -> web.Response:
        # The body first, whatever is answered then: a client must not be cut off while it sends.
        self.requests.append(Recorded(request.headers, await request.read()))
        fault = self._faults.next()
        if fault is not None and (spoilt := await self._instead(request, fault)):
            return spoilt
        authenticate(request, self.access_key, self.secret_key)
        self._rate.spend()
        try:
            asked = await read(request)
        except Refused as refused:
            refused.headers |= self._rate.headers()
            raise
        found: dict[str, Any] = estimate(
            asked, self.prices, at_most=self._at_most(), latency="2\u20138s" if self.wrapped else "30s-5m"
        ).model_dump(by_alias=True)
        if self.wrapped:
            found = {"data": found | {"providersLikelyUsed": ["people_search"]}}
        written = json.dumps(found).encode()
        if fault is not None and fault.name == "truncated":
            written = written[: len(written) // 2]
        return web.Response(body=written, content_type="application/json", headers=self._rate.headers())

    async def _instead(self, request: web.Request, fault: Fault) -> web.Response | None:
        """Return what is answered instead of an estimate, or None when there is one all the same.

        Raises:
            Refused: The fault is an error.
        """
        if fault.status is not None:
            headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
            raise Refused(fault.status, STATUSES[fault.name], headers=headers)
        if fault.name == "slow":
            await self._pause(fault.seconds)
        if fault.name == "cut" and request.transport is not None:
            request.transport.abort()
            return web.Response(status=500)
        if fault.name in {"html", "html_200"}:
            return web.Response(text=PAGE, content_type="text/html", status=200 if fault.name == "html_200" else 502)
        return None

    def _at_most(self) -> Decimal | None:
        return min((each for each in (self.credits_available, self.plan_limit) if each is not None), default=None)

    async def _openapi(self, _request: web.Request) -> web.Response:
        return web.json_response(document(ESTIMATE, wrapped=self.wrapped))
