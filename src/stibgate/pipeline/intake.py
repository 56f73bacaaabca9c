"""Receive, verify, parse, admit: everything before the answer, and nothing slow.

Above the commit in `admit` the sender remembers the delivery, below it we do.
"""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from stibgate.domain.delivery import Admission, AdmissionStatus, Delivery, DeliveryState
from stibgate.domain.event import QuarantineReason
from stibgate.domain.fact import Proof
from stibgate.domain.trace import CURRENT
from stibgate.errors import AuthReason, DeliveryRefused, SignatureRefused, StoreTimeout, StoreUnavailable
from stibgate.pipeline.drafts import UNKNOWN_EVENT, Drafts, answer_of
from stibgate.pipeline.source import Auth, Source, StalePolicy
from stibgate.signatures import HeaderLookup, Scheme, Verified, Verifier
from stibgate.stores import Inbox

log = structlog.get_logger("stibgate.intake")

UNUSUAL_EVENT = "other"
"""What the log calls an event type that does not look like one: whoever sends it could write anything there."""

_EVENT_TYPE = re.compile(r"(?=.{1,100}\Z)[a-z_]+(?:\.[a-z_]+)+", re.ASCII)


def not_found(reason: str = "unknown_source", *, source: str | None = None) -> DeliveryRefused:
    """Return the refusal of an unknown source, a wrong token and a missing one: the same answer for all three.

    Only the log tells them apart, by *reason* and *source*.

    A new one each time: an exception that is raised again keeps every frame it ever came through.
    """
    return DeliveryRefused(404, "Not Found", reason, source=source)


@dataclass(frozen=True, slots=True)
class Incoming:
    """One POST, read whole.

    Attributes:
        headers: Every value of a header, by its lower-case name.
        body: The raw bytes, as they came over the wire.
        client: The peer's address as far as trusted proxies tell it; for logs only.
        token_valid: Whether a capability token came and was right.
        started_s: When the request began, on the loop's clock.
    """

    request_id: str
    headers: HeaderLookup
    body: bytes
    client: str
    token_valid: bool
    started_s: float


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is answered to an authentic delivery.

    Attributes:
        reason: Why, when *status* is `quarantined`.
        event_type: As the log calls it.
        conflict: Whether a duplicate's body differed from the first.
        proof: What the signature proved; None when the token did.
    """

    status: AdmissionStatus
    delivery_id: str
    records: int
    reason: str | None = None
    event_type: str | None = None
    conflict: bool = False
    proof: Proof | None = None


@dataclass(slots=True)
class _Gate:
    """A source's door: how its proofs are checked now."""

    source: Source
    verifier: Verifier | None
    schemes: Sequence[Scheme]
    pinned: bool
    token_digests: Sequence[bytes] = field(default=())


class Intake:
    """Admits deliveries for the configured sources.

    Args:
        sources: By name.
        inbox: Where deliveries are remembered.
        pins: The schemes that were pinned before, by source.
        now_ms: The clock, milliseconds since the epoch.
        drafts: Makes deliveries.
        on_admitted: Called after each new delivery that has work to do.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        inbox: Inbox,
        *,
        pins: Mapping[str, Mapping[str, Any]],
        now_ms: Callable[[], int],
        drafts: Drafts,
        on_admitted: Callable[[], None],
    ) -> None:
        self._inbox = inbox
        self._now_ms = now_ms
        self._drafts = drafts
        self._on_admitted = on_admitted
        self._late: asyncio.Task[None] | None = None
        self._gates = {name: _open_gate(source, pins.get(name)) for name, source in sources.items()}

    def find(self, name: str, token: str | None) -> tuple[Source, bool]:
        """Return the source and whether *token* proves it.

        Raises:
            DeliveryRefused: 404, the same for an unknown source, a wrong token and one that is missing.
        """
        gate = self._gates.get(name)
        if gate is None:
            raise not_found()
        if token is None:
            if gate.source.auth in {Auth.TOKEN, Auth.BOTH}:
                raise not_found("token_missing", source=name)
            return gate.source, False
        given = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        matches = [hmac.compare_digest(given, known) for known in gate.token_digests]
        if not any(matches):
            raise not_found("token_mismatch", source=name)
        return gate.source, True

    def schemes(self, source: Source) -> Sequence[Scheme]:
        """Return the schemes under which a signature of *source* is taken now."""
        return self._gates[source.name].schemes

    async def receive(self, source: Source, incoming: Incoming) -> Receipt:
        """Verify, parse and admit one delivery; return what to answer once it is durable.

        Raises:
            SignatureRefused: It did not prove itself; nothing was stored.
            StoreUnavailable: It could not be stored in time; the sender must come again.
        """
        now_ms = self._now_ms()
        verified = self._verify(source, incoming, now_ms)
        try:
            delivery, admission = await self._admit(source, incoming, verified, now_ms)
        except StoreTimeout:
            self._late = asyncio.create_task(self._after_late_commit())
            raise
        if admission.duplicate:
            self._log_duplicate(source, incoming, delivery, admission.delivery_id, conflict=admission.conflict)
            return Receipt(
                AdmissionStatus.DUPLICATE,
                admission.delivery_id,
                admission.records,
                event_type=_loggable(delivery.event_type),
                conflict=admission.conflict,
                proof=_proof(verified, now_ms),
            )
        if admission.job_unknown:
            delivery = replace(delivery, state=DeliveryState.QUARANTINED, reason=QuarantineReason.JOB_UNKNOWN)
        self._log_admitted(source, incoming, delivery, admission.repeat_of)
        if delivery.state is DeliveryState.ACCEPTED:
            self._on_admitted()
        return Receipt(
            answer_of(delivery),
            delivery.delivery_id,
            delivery.records,
            delivery.reason,
            _loggable(delivery.event_type),
            proof=_proof(verified, now_ms),
        )

    async def take_job(self, name: str, event_type: str, body: bytes) -> tuple[Delivery, Admission]:
        """Admit a job that was asked for because its event did not come, as a delivery of source *name*.

        Args:
            name: The source whose event it would have been.
            event_type: What the event would have said.
            body: The job as the vendor's API answered it.

        Raises:
            NotUnderstood: It is not a job's shape.
            StoreUnavailable: It could not be stored; ask again later.
        """
        delivery = self._drafts.polled(name, event_type, body, now_ms=self._now_ms())
        admission = await self._inbox.admit(delivery)
        if not admission.duplicate and delivery.state is DeliveryState.ACCEPTED:
            self._on_admitted()
        return delivery, admission

    async def _after_late_commit(self) -> None:
        """A commit that outlasts the time-out happens all the same, and what it admits is due."""
        with suppress(StoreUnavailable):
            await self._inbox.flush()
        self._on_admitted()

    async def _admit(
        self, source: Source, incoming: Incoming, verified: Verified | None, now_ms: int
    ) -> tuple[Delivery, Admission]:
        """Pin, parse, and commit."""
        if verified is not None and not self._gates[source.name].pinned:
            verified = await self._pin(source, incoming, verified, now_ms)
        lookup = incoming.headers
        delivery = self._drafts.posted(
            source.name,
            incoming.body,
            header_event_type=next(iter(lookup("stibnite-event-type")), None),
            verified=verified,
            evidence={name: values[0][:256] for name in source.id_headers if (values := lookup(name))},
            now_ms=now_ms,
        )
        if (trace := CURRENT.get()) is not None:
            delivery = replace(delivery, trace=trace.traceparent)
        admission = await self._inbox.admit(delivery, only_if_new=delivery.stale)
        if delivery.stale and admission.duplicate:
            raise SignatureRefused(AuthReason.STALE)
        return delivery, admission

    def _verify(self, source: Source, incoming: Incoming, now_ms: int) -> Verified | None:
        """Return what the signature proved, or None when the token was proof enough."""
        if source.auth is Auth.TOKEN or (source.auth is Auth.EITHER and incoming.token_valid):
            return None
        verifier = self._gates[source.name].verifier
        if verifier is None:  # cannot be: a source without secrets stops the start
            raise SignatureRefused(AuthReason.MISSING)
        verified = verifier.verify(incoming.headers, incoming.body, now_unix_s=now_ms / 1000)
        if verified.stale and source.stale is StalePolicy.REJECT:
            raise SignatureRefused(AuthReason.STALE)
        return verified

    async def _pin(self, source: Source, incoming: Incoming, verified: Verified, now_ms: int) -> Verified | None:
        """Pin the scheme that verified first; a pin that another request made meanwhile stands, and binds this one.

        Raises:
            SignatureRefused: The scheme that is pinned now does not verify this delivery.
        """
        gate = self._gates[source.name]
        document = await self._inbox.pin(source.name, verified.scheme.to_document())
        pinned = Scheme.from_document(document)
        if not gate.pinned:
            gate.verifier, gate.schemes, gate.pinned = source.verifier([pinned]), [pinned], True
            log.info("signature.pinned", source=source.name, scheme=pinned.name, key_reading=str(pinned.key))
        return verified if pinned == verified.scheme else self._verify(source, incoming, now_ms)

    def _log_admitted(self, source: Source, incoming: Incoming, delivery: Delivery, repeat_of: str | None) -> None:
        write = log.warning if delivery.state is DeliveryState.QUARANTINED else log.info
        write(
            f"delivery.{answer_of(delivery)}",
            request_id=incoming.request_id,
            delivery_id=delivery.delivery_id,
            source=source.name,
            event_type=_loggable(delivery.event_type),
            records=delivery.records,
            reason=delivery.reason,
            job_id=delivery.job_id,
            search_id=delivery.search_id,
            partner_customer_id=delivery.partner_customer_id,
            repeat_of=repeat_of,
            authenticated_by=delivery.authenticated_by,
            stale=delivery.stale or None,
            body_bytes=len(delivery.body),
            client_ip=incoming.client,
            http_status=source.ack_status,
            duration_ms=_since_ms(incoming.started_s),
        )

    def _log_duplicate(
        self, source: Source, incoming: Incoming, delivery: Delivery, first_id: str, *, conflict: bool
    ) -> None:
        write = log.warning if conflict else log.info
        write(
            "delivery.conflict" if conflict else "delivery.duplicate",
            request_id=incoming.request_id,
            delivery_id=first_id,
            source=source.name,
            event_type=_loggable(delivery.event_type),
            body_bytes=len(delivery.body),
            client_ip=incoming.client,
            http_status=source.ack_status,
            duration_ms=_since_ms(incoming.started_s),
        )


def _open_gate(source: Source, pin: Mapping[str, Any] | None) -> _Gate:
    digests = tuple(hashlib.sha256(token.encode()).digest() for token in source.tokens)
    if not source.secrets:
        return _Gate(source, None, (), pinned=True, token_digests=digests)
    if not source.pinning:
        return _Gate(source, source.verifier(source.schemes), source.schemes, pinned=True, token_digests=digests)
    schemes = source.schemes if pin is None else [Scheme.from_document(pin)]
    return _Gate(source, source.verifier(schemes), schemes, pinned=pin is not None, token_digests=digests)


def _proof(verified: Verified | None, now_ms: int) -> Proof | None:
    if verified is None:
        return None
    signed_s = verified.signed_unix_s
    return Proof(verified.scheme.name, verified.secret_label, None if signed_s is None else now_ms / 1000 - signed_s)


def _loggable(event_type: str) -> str:
    """Return *event_type* where it is dotted lower-case words, as the vendor's are."""
    return event_type if event_type == UNKNOWN_EVENT or _EVENT_TYPE.fullmatch(event_type) else UNUSUAL_EVENT


def _since_ms(started_s: float) -> float:
    return round((asyncio.get_running_loop().time() - started_s) * 1000, 2)
