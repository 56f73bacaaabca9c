"""Requests to HubSpot at the pace that it allows: one account, one app.

A request is sent again by itself only where that is quick. Everything that goes through here may be replayed:
upserts under a unique property, updates by record id, default associations, and reads.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import structlog

from stibgate.domain.fact import Observe, QuotaLearned, Throttled, unobserved
from stibgate.errors import SinkHeld, SinkUnavailable
from stibgate.sinks.hubspot.answers import Again, Answer, Refused, Reply, Trouble, judge
from stibgate.sinks.hubspot.disabled import DisabledProperties
from stibgate.sinks.hubspot.limiter import Gate, Limiter
from stibgate.sinks.hubspot.pace import STOP_S, Flights, Lane
from stibgate.sinks.hubspot.patience import SECOND_S, Patience
from stibgate.sinks.hubspot.wire import Wire, encode

__all__ = ["Answer", "HubSpotClient", "Lane", "Refused"]

LOG_PERIOD_S = 60.0

_EDGE_HINT = "If it stays so, ask HubSpot's support; it will be tried again by itself."

Body = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


class HubSpotClient:
    """One account, one app.

    Args:
        base_url: `https://api.hubapi.com`, or a sandbox.
        token: A service key; appears in no error and no log line.
        api_version: What `{version}` in paths stands for, `2026-03`.
        now_ms: The wall clock; for dates only, pace goes by the event loop's.
        jitter: Returns a random number from 0 to 1.
        timeout_s: How long one try may take; HubSpot itself gives up after 100.
        sleep: Waits before a request is sent again.
        name: The sink's name, for the log.
        observe: Told of each request, and of what HubSpot allows.

    Attributes:
        disabled: The properties that no record is sent with at present.

    Raises:
        ValueError: *token* cannot stand in a header.
    """

    def __init__(  # noqa: PLR0913  (what it cannot know by itself)
        self,
        *,
        base_url: str,
        token: str,
        api_version: str,
        now_ms: Callable[[], int],
        jitter: Callable[[], float],
        timeout_s: float = 100,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        name: str = "hubspot",
        observe: Observe = unobserved,
    ) -> None:
        self._name = name
        self._observe = observe
        self.disabled = DisabledProperties(lambda: asyncio.get_running_loop().time())
        self._wire = Wire(base_url, token, timeout_s, observe)
        self._version = api_version
        self._now_ms = now_ms
        self._jitter = jitter
        self._sleep = sleep
        self._log = structlog.get_logger("stibgate.hubspot").bind(sink=name)
        self._logged_at_s: dict[str, float] = {}
        self._limiter = Limiter(now_ms)
        self._companies = Gate(Flights(start=4, most=4))
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Make ready to send; nothing is sent yet."""
        await self._wire.open()

    async def close(self) -> None:
        """Give up what is under way and let go of the connections."""
        await asyncio.sleep(0)  # a task that never began could not tell those who wait for it
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._wire.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run *work* beside the caller, until it ends or the client is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def set_account(self, time_zone: str, utc_offset: str | None = None) -> None:
        """Say where the account's midnight is: `timeZone` and, in case it is unknown here, `utcOffset`."""
        self._limiter.governor.set_zone(time_zone, utc_offset)

    def disabled_properties(self, object_type: str) -> Mapping[str, str]:
        """Return the properties that no *object_type* is sent with at present, with HubSpot's code for each."""
        return self.disabled.of(object_type)

    async def request(self, method: str, path: str, body: Body | None = None, *, lane: Lane = Lane.NORMAL) -> Answer:
        """Return HubSpot's answer, with errors about single inputs still in it.

        Args:
            method: `GET` or `POST`.
            path: For example `crm/objects/{version}/contacts/batch/upsert`.
            body: The JSON document, or a function that makes it once the request's turn has come. What that
                raises is raised here, and the turn goes to another.
            lane: Which clock to go by.

        Raises:
            SinkUnavailable: It did not work, also not after a few tries.
            SinkHeld: Nobody's request will be taken for now.
            Refused: HubSpot does not take what is in it.
        """
        gate = self._companies if path.endswith(("/companies/batch/upsert", "/companies/batch/update")) else None
        # HubSpot locks companies when thousands are written at once. Those who look for a spoiling record wait
        # long for their clock and must not keep others out meanwhile.
        entry: AbstractAsyncContextManager[None] = gate if gate and lane is not Lane.LOW else nullcontext()
        async with entry:
            return await self._until_settled(
                method, path.replace("{version}", self._version).lstrip("/"), body, lane, gate
            )

    async def _until_settled(self, method: str, path: str, body: Body | None, lane: Lane, gate: Gate | None) -> Answer:
        loop = asyncio.get_running_loop()
        patience: Patience | None = None
        data: bytes | None = None
        while True:
            async with self._limiter.slot(lane, again=patience is not None) as slot:
                if patience is None:
                    patience = Patience(loop.time())
                    data = None if body is None else encode(body() if callable(body) else body)
                slot.sent = True
                reply = await self._wire.exchange(method, path, data)
                settled = self._take(reply, lane, gate, by_id=path.endswith("/batch/update"))
            if isinstance(settled, Answer):
                return settled
            wait_s = patience.wait_s(settled, loop.time(), self._jitter())
            if wait_s is None:
                hint = _EDGE_HINT if settled.trouble is Trouble.EDGE else ""
                raise SinkUnavailable(settled.what, hint=hint, retry_after_s=settled.wait_s)
            if settled.trouble not in {Trouble.ROLLING, Trouble.SECONDLY}:  # those two wait in the limiter
                await self._sleep(wait_s)

    def _take(self, reply: Reply | Again, lane: Lane, gate: Gate | None, *, by_id: bool) -> Answer | Again:
        """Return what *reply* means, once pace and room in flight have learned from it; raises as `request` does."""
        limiter, now_s = self._limiter, asyncio.get_running_loop().time()
        flights = [limiter.flights] if gate is None else [limiter.flights, gate.flights]
        settled = self._judge(reply, by_id=by_id)
        if isinstance(settled, Answer):
            for flight in flights:
                flight.landed()
            return settled
        match settled.trouble:
            case Trouble.ROLLING if lane is Lane.SEARCH:
                limiter.pace.stop(lane, STOP_S, now_s)
            case Trouble.ROLLING:
                limiter.pace.cut(now_s)
            case Trouble.SECONDLY:
                limiter.pace.stop(lane, SECOND_S, now_s)
            case _:
                for flight in flights:
                    flight.troubled()
        if settled.trouble in {Trouble.ROLLING, Trouble.SECONDLY, Trouble.LOCKED}:
            self._report(settled.trouble, settled.wait_s, now_s)
        return settled

    def _judge(self, reply: Reply | Again, *, by_id: bool) -> Answer | Again:
        if isinstance(reply, Again):
            return reply
        if (remaining := self._limiter.learn(reply.headers)) is not None:
            self._observe(QuotaLearned(self._name, "daily", remaining))
        now_ms = self._now_ms()
        try:
            return judge(
                reply,
                now_ms=now_ms,
                to_midnight_s=lambda: self._limiter.governor.to_midnight_s(now_ms),
                by_id=by_id,
            )
        except SinkHeld as held:
            self._limiter.send_away(held)
            if reply.status in {429, 477}:
                self._report(f"held_{reply.status}", held.retry_after_s, asyncio.get_running_loop().time())
            raise

    def _report(self, reason: str, retry_after_s: float | None, now_s: float) -> None:
        """Tell that HubSpot slows us down; the log once a period for each reason."""
        self._observe(Throttled(self._name, str(reason)))
        if now_s - self._logged_at_s.get(reason, -LOG_PERIOD_S) >= LOG_PERIOD_S:
            self._logged_at_s[reason] = now_s
            self._log.warning("sink.throttled", reason=str(reason), retry_after_s=retry_after_s)
