"""The sink itself: one POST a batch, one answer for all of its records."""

import asyncio
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from stibgate.domain.calling import telling
from stibgate.domain.fact import Observe, unobserved
from stibgate.domain.task import Outcome, OutcomeKind
from stibgate.domain.trace import CURRENT
from stibgate.errors import SinkUnavailable
from stibgate.sinks import Batch, Finding
from stibgate.sinks.webhook import envelope
from stibgate.sinks.webhook.answers import origin_of, refusal, words_of
from stibgate.sinks.webhook.failures import failure
from stibgate.sinks.webhook.network import Network

# A part of a path or query that is as long as this may be a key to the receiver.
_KEY_CHARS_MIN = 8


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a webhook goes, and how it proves itself there.

    Attributes:
        url: Where to POST.
        secrets: Signing secrets, newest first; each of them signs.
        headers: Sent along with every request.
        cloudevents: Whether to add the attributes of CloudEvents.
        connect_timeout_s: From looking up the name to a connection.
        answer_timeout_s: From looking up the name to the answer's status line.
    """

    url: URL
    secrets: Sequence[str] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    cloudevents: bool = False
    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 25.0

    @property
    def host(self) -> str:
        """The name or address to connect to."""
        return self.url.raw_host or ""

    def confidential(self) -> list[str]:
        """Return every text of ours that must not come back in an error, the longest first."""
        texts = {*self.secrets, *(secret.removeprefix("whsec_") for secret in self.secrets)}
        for value in self.headers.values():
            texts.update((value, *value.split()))
        for part in (*self.url.parts, *self.url.raw_parts, *self.url.query.values(), self.url.raw_query_string):
            if len(part) >= _KEY_CHARS_MIN:
                texts.add(part)
        return sorted((text for text in texts if len(text) > 1), key=len, reverse=True)


class WebhookSink:
    """Relays each batch as one signed POST.

    Args:
        receiver: Where to.
        network: How it is reached.
        now_ms: The clock, milliseconds since the epoch.
        observe: Told of each POST.
    """

    def __init__(
        self, receiver: Receiver, network: Network, *, now_ms: Callable[[], int], observe: Observe = unobserved
    ) -> None:
        self._observe = observe
        self._receiver = receiver
        self._network = network
        self._now_ms = now_ms
        self._confidential = receiver.confidential()
        self._resolver: AbstractResolver | None = None
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make ready to connect; nothing is dialled yet."""
        self._resolver = self._network.resolver()
        self._session = aiohttp.ClientSession(
            connector=await self._network.connector(self._resolver, tls=self._receiver.url.scheme == "https"),
            timeout=aiohttp.ClientTimeout(
                total=self._receiver.answer_timeout_s, connect=self._receiver.connect_timeout_s
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """POST *batch* and return `written` for each record, in order, once the receiver has answered 2xx.

        Raises:
            SinkUnavailable: No answer, or one that may be another later.
            SinkHeld: The receiver does not let us in.
            SinkRejected: It will never take this body, it redirects, or its address is not public.
        """
        if not batch.records:
            return ()
        if self._session is None:
            raise SinkUnavailable("the webhook sink is not open")
        body, headers = await asyncio.to_thread(self._prepared, batch)  # tens of milliseconds for 2,000 records
        try:
            # As a file: the library sends that piece by piece, and warns about large bytes.
            with telling(self._observe, asyncio.get_running_loop().time, self._receiver.host, "POST") as told:
                async with self._session.post(
                    self._receiver.url, data=io.BytesIO(body), headers=headers, allow_redirects=False
                ) as response:
                    told.status = response.status
                    refused = await self._refusal(response, batch)
        except (aiohttp.ClientError, OSError) as error:
            raise failure(error, self._receiver.host) from None  # its text may quote our headers
        if refused is not None:
            raise refused
        return [Outcome(record.position, OutcomeKind.WRITTEN) for record in batch.records]

    async def check(self) -> Sequence[Finding]:
        """Look up the receiver, judge its addresses and connect to it, without sending a request."""
        url, host = self._receiver.url, self._receiver.host
        port = url.port or 443
        findings = []
        try:
            async with asyncio.timeout(self._receiver.connect_timeout_s):
                addresses = await self._network.resolve(host, port)
                findings.append(Finding(f"{host} leads to {', '.join(addresses)}"))
                name = host.rstrip(".") if url.scheme == "https" else None
                tls = await self._network.touch(addresses, port, server_hostname=name)
        except OSError as error:
            cause = aiohttp.ConnectionTimeoutError() if isinstance(error, TimeoutError) else error
            told = failure(cause, host)
            return [*findings, Finding(told.message, ok=False, hint=told.hint)]
        return [*findings, Finding(f"connected to {origin_of(url)}{' with ' if tls else ''}{tls}")]

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def _refusal(self, response: aiohttp.ClientResponse, batch: Batch) -> Exception | None:
        """Return what the answer means; the body of a 2xx does not matter, so nobody waits for it."""
        words = ""
        if not 200 <= response.status < 300:
            words = await words_of(response, secrets=self._confidential, records=batch.records)
        return refusal(
            response.status, response.headers, words=words, asked=self._receiver.url, now_ms=self._now_ms()
        )  # fmt: skip

    def _prepared(self, batch: Batch) -> tuple[bytes, dict[str, str]]:
        """Return the body and the headers of the request."""
        body = envelope.body_of(batch)
        message_id = envelope.message_id(batch)
        unix_s = self._now_ms() // 1000
        headers = {
            "user-agent": "stibgate",
            **self._receiver.headers,
            "content-type": "application/json",
            "accept-encoding": "identity",
            **envelope.signature_headers(self._receiver.secrets, body, message_id=message_id, unix_s=unix_s),
        }
        if (trace := CURRENT.get()) is not None:
            headers["traceparent"] = trace.traceparent
        if self._receiver.cloudevents:
            headers |= envelope.cloudevents_headers(batch.provenance, message_id)
        return body, headers
