"""One HTTP POST from a source, and what makes two of them the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from stibgate.domain.event import RECORDS_PUSHED, Event


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    ACCEPTED = "accepted"
    PROCESSING = "processing"
    DONE = "done"
    QUARANTINED = "quarantined"
    IGNORED = "ignored"


class AdmissionStatus(StrEnum):
    """The word in the answer's `status`."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """What makes two deliveries the same, and for how long.

    Attributes:
        value: Length-prefixed parts, scoped by source; compared byte for byte.
        expires_at_ms: Until when a second delivery is a duplicate; later it is new, with `repeat_of`.
    """

    value: bytes
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One authentic delivery on its way into the store; its body is kept byte for byte.

    Attributes:
        body_sha256: 32 bytes.
        state: `ACCEPTED`, `QUARANTINED` or `IGNORED` at first.
        reason: Why it is quarantined or ignored.
        authenticated_by: `token`, or the scheme and the secret's label, `t_v1/1`.
        evidence: Ids and headers that the sender set and nothing proves.
        via: `http`: the sender posted it; `poll`: we asked for the job, because its event did not come.
        other_keys: What else makes it the same as another one: its job, where a signed id makes `key`; and for one that
            was asked for, the same event at any other source of the account's events.
        billed: How many records the vendor says it billed for it; None when it does not say.
        known_job: Whether it counts only when its job is in the ledger; else it is quarantined as `job_unknown`.
        trace: The `traceparent` of the span in which it came; None when nothing is traced.
    """

    delivery_id: str
    source: str
    received_at_ms: int
    body: bytes
    body_sha256: bytes
    state: DeliveryState
    event_type: str
    key: IdempotencyKey
    records: int = 0
    reason: str | None = None
    job_id: str | None = None
    search_id: str | None = None
    partner_customer_id: str | None = None
    partner_user_id: str | None = None
    authenticated_by: str = ""
    stale: bool = False
    evidence: Mapping[str, str] = field(default_factory=dict)
    via: str = "http"
    other_keys: tuple[IdempotencyKey, ...] = ()
    billed: int | None = None
    known_job: bool = False
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """What the store made of a delivery, in one transaction.

    Attributes:
        delivery_id: This delivery's id, or the first one's when *duplicate*.
        duplicate: Whether the idempotency key was already there.
        conflict: Whether the duplicate's body differs from the first one's; what came by different ways (`via`) is
            never compared: an event and an answer of the API are different documents about the same.
        first_seen_at_ms: When the first one came, for duplicates.
        repeat_of: The earlier delivery with the same key, when that key had expired.
        records: The records of the first delivery, for duplicates.
        job_unknown: Whether it was quarantined because its job is not in the ledger.
    """

    delivery_id: str
    duplicate: bool = False
    conflict: bool = False
    first_seen_at_ms: int | None = None
    repeat_of: str | None = None
    records: int = 0
    job_unknown: bool = False


def join_key(*parts: str | bytes) -> bytes:
    """Return *parts* as one byte string that no other list of parts can make.

    Each part is preceded by its length and a colon, so `("a", "bc")` and `("ab", "c")` differ.
    """
    out = bytearray()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        out += b"%d:" % len(data)
        out += data
    return bytes(out)


def idempotency_key(
    source: str,
    event: Event | None,
    body_sha256: bytes,
    *,
    signed_id: str | None,
    received_at_ms: int,
    dedupe_keys_ms: int,
    dedupe_window_ms: int,
) -> IdempotencyKey:
    """Return what makes this delivery the same as another.

    A signed vendor id wins. Job events are keyed by type and job; pushes, and whatever was not
    understood, by their bytes within a window, because a user may rightly push the same rows again.

    Args:
        source: The source's name; two sources never share a key.
        event: The resolved envelope, or None when it was not understood.
        body_sha256: 32 bytes.
        signed_id: The vendor's id, only when the scheme signs it.
        received_at_ms: When the delivery came.
        dedupe_keys_ms: How long job events and signed ids are remembered.
        dedupe_window_ms: How long the same bytes are a duplicate.
    """
    if signed_id is not None:
        return IdempotencyKey(join_key(source, "id", signed_id), received_at_ms + dedupe_keys_ms)
    if event is not None and event.job_id is not None and event.event_type != RECORDS_PUSHED:
        return job_key(source, event.event_type, event.job_id, expires_at_ms=received_at_ms + dedupe_keys_ms)
    return IdempotencyKey(join_key(source, "sha256", body_sha256), received_at_ms + dedupe_window_ms)


def job_key(source: str, event_type: str, job_id: str, *, expires_at_ms: int) -> IdempotencyKey:
    """Return what makes two deliveries about one job's end the same, however they came."""
    return IdempotencyKey(join_key(source, event_type, job_id), expires_at_ms)


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """A delivery as the store remembers it, without its body.

    Attributes:
        sequence: The store's own order of admission, from 1.
        body_sha256: 32 bytes.
        processed_at_ms: When its records were normalised and its tasks enqueued.
        issues: How many fields of its records were flagged.
        duplicates: How often the same key came again, conflicts included.
        conflicts: How many of those had another body.
        billed: How many records the vendor says it billed; None when it did not say.
        trace: As in `Delivery`.
    """

    sequence: int
    delivery_id: str
    source: str
    state: DeliveryState
    reason: str | None
    event_type: str
    received_at_ms: int
    processed_at_ms: int | None
    body_sha256: bytes
    body_bytes: int
    records: int
    issues: int
    job_id: str | None
    search_id: str | None
    partner_customer_id: str | None
    partner_user_id: str | None
    authenticated_by: str
    stale: bool
    evidence: Mapping[str, str]
    via: str
    repeat_of: str | None
    duplicates: int
    conflicts: int
    billed: int | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """One more time that a delivery's idempotency key came.

    Attributes:
        conflict: Whether its body differed from the first one's; both are kept then.
        authenticated_by: As in `Delivery`.
    """

    delivery_id: str
    seen_at_ms: int
    body_sha256: bytes
    conflict: bool
    authenticated_by: str | None = None
