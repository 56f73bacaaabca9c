"""From an authentic body to the delivery that is admitted: what it says, what makes it the same as another one."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stibgate.domain.delivery import AdmissionStatus, Delivery, DeliveryState, IdempotencyKey, idempotency_key
from stibgate.domain.event import JOB_EVENTS, JOB_FAILED, Event, QuarantineReason
from stibgate.domain.record import Provenance
from stibgate.domain.routing import Router
from stibgate.errors import NotUnderstood
from stibgate.events.envelope import parse, resolve
from stibgate.signatures import Verified

BY_API_KEY = "api_key"
BY_TOKEN = "token"  # noqa: S105  (a kind of proof, not a password)
VIA_POLL = "poll"
UNKNOWN_EVENT = "unknown"
NOT_ROUTED = "not_routed"
EVENT_TYPE_UNKNOWN = "event_type_unknown"


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """What makes deliveries the same, and which job events count by themselves.

    Attributes:
        keys_ms: How long job events, and whatever carries a signed id, are recognised when they come again.
        window_ms: How long the same bytes of a push are.
        readback: Whether the job of an event without records can be read back.
        adopt_unknown: Whether an event counts although nobody here submitted its job.
    """

    keys_ms: int
    window_ms: int
    readback: bool = False
    adopt_unknown: bool = True


@dataclass(frozen=True, slots=True)
class Drafts:
    """Makes deliveries.

    Attributes:
        policy: What makes them the same.
        router: Which records go to which sinks.
        new_id: Makes their ids.
        job_sources: The sources of the account's job events: a job that is asked for is the same at each of them.
    """

    policy: AdmissionPolicy
    router: Router
    new_id: Callable[[], str]
    job_sources: Sequence[str] = ()

    def posted(
        self,
        source: str,
        body: bytes,
        *,
        header_event_type: str | None,
        verified: Verified | None,
        evidence: Mapping[str, str],
        now_ms: int,
    ) -> Delivery:
        """Return what a sender posted; what is not understood is quarantined, never refused.

        Args:
            source: The source's name.
            body: The raw bytes.
            header_event_type: The header `stibnite-event-type`.
            verified: What the signature proved; None when a token was proof enough.
            evidence: Ids that the sender set and nothing proves.
            now_ms: When it came.
        """
        signed_id = verified.message_id if verified else None
        event: Event | None = None
        state: DeliveryState = DeliveryState.QUARANTINED
        reason: str | None = None
        try:
            event = resolve(parse(body), header_event_type=header_event_type)
            state, reason = self._first_state(source, event)
        except NotUnderstood as error:
            reason = error.reason
        facts = self._facts(source, body, event, now_ms, signed_id=signed_id)
        of_job = event is not None and event.job_id is not None and event.event_type in JOB_EVENTS
        return Delivery(
            **facts,
            state=state,
            reason=reason,
            # One job is delivered once, whatever ids its events have: to two endpoints, or asked for by ourselves.
            other_keys=(self._key(source, event, facts["body_sha256"], now_ms),) if of_job and signed_id else (),
            known_job=of_job and not self.policy.adopt_unknown,
            authenticated_by=f"{verified.scheme.name}/{verified.secret_label}" if verified else BY_TOKEN,
            stale=verified.stale if verified else False,
            evidence=evidence,
        )

    def polled(self, source: str, event_type: str, body: bytes, *, now_ms: int) -> Delivery:
        """Return a job that was asked for because its event did not come, as that event's delivery.

        Args:
            source: The source whose event it would have been.
            event_type: What the event would have said.
            body: The job as the vendor's API answered it.
            now_ms: When.

        Raises:
            NotUnderstood: It is not a job's shape.
        """
        event = resolve({**parse(body), "event": event_type}, header_event_type=None)
        facts = self._facts(source, body, event, now_ms)
        # Nobody waits for an answer, and the vendor's own word is never incomplete: fan-out sees to the rest.
        others = [name for name in self.job_sources if name != source]
        return Delivery(
            **facts,
            state=DeliveryState.ACCEPTED,
            authenticated_by=BY_API_KEY,
            via=VIA_POLL,
            other_keys=tuple(self._key(name, event, facts["body_sha256"], now_ms) for name in others),
        )

    def _facts(
        self, source: str, body: bytes, event: Event | None, now_ms: int, *, signed_id: str | None = None
    ) -> dict[str, Any]:
        """Return what every delivery says, however it came."""
        sha256 = hashlib.sha256(body).digest()
        known = event or Event(UNKNOWN_EVENT, known=False)
        return {
            "delivery_id": self.new_id(),
            "source": source,
            "received_at_ms": now_ms,
            "body": body,
            "body_sha256": sha256,
            "event_type": known.event_type,
            "key": self._key(source, event, sha256, now_ms, signed_id=signed_id),
            "records": known.record_count,
            "job_id": known.job_id,
            "search_id": known.search_id,
            "partner_customer_id": known.partner_customer_id,
            "partner_user_id": known.partner_user_id,
            "billed": known.billed,
        }

    def _key(
        self, source: str, event: Event | None, body_sha256: bytes, now_ms: int, *, signed_id: str | None = None
    ) -> IdempotencyKey:
        return idempotency_key(
            source,
            event,
            body_sha256,
            signed_id=signed_id,
            received_at_ms=now_ms,
            dedupe_keys_ms=self.policy.keys_ms,
            dedupe_window_ms=self.policy.window_ms,
        )

    def _first_state(self, source: str, event: Event) -> tuple[DeliveryState, str | None]:
        if not event.known:
            return DeliveryState.IGNORED, EVENT_TYPE_UNKNOWN
        if event.event_type == JOB_FAILED:
            return DeliveryState.ACCEPTED, None
        if event.thin and not self.policy.readback:
            return DeliveryState.QUARANTINED, QuarantineReason.RECORDS_MISSING
        provenance = Provenance(
            "", source, event.event_type, "",
            event.search_id, event.job_id, event.partner_customer_id, event.partner_user_id,
        )  # fmt: skip
        if self.router.may_take(provenance):
            return DeliveryState.ACCEPTED, None
        # Nobody wants a job's people, but they are paid for: fan-out writes its end into the ledger, and ignores it.
        return DeliveryState.ACCEPTED if event.event_type in JOB_EVENTS else DeliveryState.IGNORED, NOT_ROUTED


def answer_of(delivery: Delivery) -> AdmissionStatus:
    """Return what is answered to *delivery*: its state, but `ignored` whenever no route takes it."""
    return AdmissionStatus.IGNORED if delivery.reason == NOT_ROUTED else AdmissionStatus(delivery.state)
