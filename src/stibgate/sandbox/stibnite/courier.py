"""Sending deliveries: attempts, retries, signatures and the faults of a network that is not on our side.

Pushes are sent once and unsigned, as documented. Job events are signed, and tried again when the receiver does not
take them; the document says nothing about retries, so how often is a setting (`Pace`). What spoils them is in
`faults`.

Source: Stibnite Person Data API, "Push prospecting results to partner", "Create webhook endpoint".
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import aiohttp

from stibgate.sandbox.stibnite.documents import Headers
from stibgate.sandbox.stibnite.faults import Faults
from stibgate.signatures import PRESETS, Scheme, sign

STALE_S = 3_600
"""How old a stale signature is: far beyond any receiver's tolerance."""

Pause = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the sandbox lives.

    Attributes:
        job_step_s: Seconds that a job is queued, and again that it runs.
        retries: How often a job event that was not taken is tried again.
        retry_delay_s: Seconds before the first retry; doubles with each.
        fault_delay_s: Seconds that the fault `delay` holds a delivery back, and `reorder` at most.
        timeout_s: Seconds that a receiver may take to answer.
        slow_s: Seconds that the fault `slow` holds an answer of the API back.
        requests_a_minute: The account's rate limit; more are answered 429.
    """

    job_step_s: float = 0.05
    retries: int = 3
    retry_delay_s: float = 0.2
    fault_delay_s: float = 1.0
    timeout_s: float = 10.0
    slow_s: float = 5.0
    requests_a_minute: int = 6_000


@dataclass(frozen=True, slots=True)
class Parcel:
    """One delivery, ready to send any number of times, byte for byte the same.

    Attributes:
        url: Where to; may hold a capability token.
        headers: The headers before any signature.
        secret: The endpoint's signing secret; None for what is not signed.
        message_id: What the vendor calls this message; stays the same over attempts.
    """

    url: str
    headers: Headers
    body: bytes
    secret: str | None = None
    message_id: str = ""


@dataclass(slots=True)
class SentDelivery:
    """What became of one delivery.

    Attributes:
        kind: `job_event` or `push`.
        event_type: The event's name.
        subject_id: The job's or the prospecting session's id.
        body_sha256: Of the body as signed, in hex.
        status: The last answer's HTTP status; 0 while there was none, or no answer came.
        attempts: How often it was tried until it was taken.
        duplicates: How often it was sent again although it need not have been.
    """

    kind: Literal["job_event", "push"]
    event_type: str
    subject_id: str
    body_sha256: str
    parcel: Parcel = field(repr=False)  # holds a secret and people
    status: int = 0
    attempts: int = 0
    duplicates: int = 0

    @property
    def taken(self) -> bool:
        """Whether the receiver answered with a 2xx."""
        return 200 <= self.status < 300


class Courier:
    """Sends deliveries and remembers what became of them.

    Args:
        now: Seconds since the Unix epoch.
        pause: Waits the given seconds.
        scheme: How job events are signed: the name of a preset, in its canonical variant.
        pace: Retries, delays and the time-out.
        faults: What is spoilt.

    Raises:
        ValueError: *scheme* has an unknown name.
    """

    def __init__(self, *, now: Callable[[], float], pause: Pause, scheme: str, pace: Pace, faults: Faults) -> None:
        if scheme not in PRESETS:
            raise ValueError(f"no preset {scheme!r}; use one of {', '.join(PRESETS)}")
        self._now = now
        self._pause = pause
        self._scheme: Scheme = PRESETS[scheme][0]
        self._pace = pace
        self._faults = faults
        self._held: asyncio.Event | None = None
        self._session: aiohttp.ClientSession | None = None
        self.sent: list[SentDelivery] = []

    async def push(self, event_type: str, search_id: str, parcel: Parcel) -> SentDelivery:
        """Send a push, once; return what became of it."""
        sent = self._note("push", event_type, search_id, parcel)
        if not self._faults.hits("drop"):
            await self._attempt(sent)
            await self._repeat(sent)
        return sent

    async def job_event(
        self, event_type: str, job_id: str, parcel: Parcel, *, wanted: Callable[[], bool]
    ) -> SentDelivery:
        """Send a job event until it is taken or the retries are used up; return what became of it.

        Args:
            event_type: The event's name.
            job_id: The job.
            parcel: What to send.
            wanted: Whether the endpoint is still registered; asked before every attempt.
        """
        sent = self._note("job_event", event_type, job_id, parcel)
        if self._faults.hits("drop"):
            return sent
        if self._held is None and self._faults.hits("reorder"):
            await self._hold()
        await self._insist(sent, wanted)
        if self._held is not None:
            self._held.set()
        return sent

    async def resend(self, index: int) -> int:
        """Send delivery *index* of `sent` again, byte for byte, signed anew; return the answer's status.

        Raises:
            IndexError: There is no such delivery.
        """
        sent = self.sent[index]
        sent.duplicates += 1
        return await self._post(sent.parcel)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _note(
        self, kind: Literal["job_event", "push"], event_type: str, subject_id: str, parcel: Parcel
    ) -> SentDelivery:
        sent = SentDelivery(kind, event_type, subject_id, hashlib.sha256(parcel.body).hexdigest(), parcel)
        self.sent.append(sent)
        return sent

    async def _insist(self, sent: SentDelivery, wanted: Callable[[], bool]) -> None:
        for retry in range(self._pace.retries + 1):
            if retry:
                await self._pause(self._pace.retry_delay_s * 2 ** (retry - 1))
            if not wanted():
                break
            await self._attempt(sent)
            if sent.taken:
                await self._repeat(sent)
                break

    async def _hold(self) -> None:
        """Return when another job event has been sent, or the delay of a fault is over."""
        self._held = overtaken = asyncio.Event()
        waits = [asyncio.ensure_future(wait) for wait in (overtaken.wait(), self._pause(self._pace.fault_delay_s))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._held = None
            for wait in waits:
                wait.cancel()

    async def _attempt(self, sent: SentDelivery) -> None:
        if self._faults.hits("delay"):
            await self._pause(self._pace.fault_delay_s)
        sent.attempts += 1
        sent.status = await self._post(sent.parcel)

    async def _repeat(self, sent: SentDelivery) -> None:
        if sent.taken and self._faults.hits("duplicate"):
            sent.duplicates += 1
            await self._post(sent.parcel)

    async def _post(self, parcel: Parcel) -> int:
        """Return the status of one POST, 0 when no answer came."""
        headers, body = self._signed(parcel)
        cut = self._faults.hits("cut", "delivery")
        if cut:
            headers = [*headers, ("content-length", str(len(body)))]
        timeout = aiohttp.ClientTimeout(total=self._pace.timeout_s)
        try:
            async with self._connected().post(
                parcel.url, data=_half(body) if cut else body, headers=headers, allow_redirects=False, timeout=timeout
            ) as response:
                return response.status
        except (aiohttp.ClientError, OSError, ValueError):  # OSError: the time-out too; ValueError: a strange host
            return 0

    def _signed(self, parcel: Parcel) -> tuple[Headers, bytes]:
        if parcel.secret is None:
            return parcel.headers, parcel.body
        signed_at = int(self._now()) - (STALE_S if self._faults.hits("stale") else 0)
        signature = sign(self._scheme, parcel.secret, parcel.body, unix_s=signed_at, message_id=parcel.message_id)
        body = parcel.body
        if self._faults.hits("tamper"):
            # Still a JSON object, so that nothing but the signature can tell.
            body = body[:-1] + b',"tampered":true}'
        return [*parcel.headers, *signature], body

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # A new connection for each delivery: a receiver that was restarted must not look as if it
                # had refused. Not `force_close`, which would add a `connection` header.
                connector=aiohttp.TCPConnector(keepalive_timeout=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                # The documented delivery headers are all there are.
                skip_auto_headers=("accept", "accept-encoding", "user-agent", "content-type"),
            )
        return self._session


async def _half(body: bytes) -> AsyncIterator[bytes]:
    """Yield the first half of *body*, then break the connection."""
    yield body[: len(body) // 2]
    raise ConnectionResetError("the sandbox's fault: cut")
