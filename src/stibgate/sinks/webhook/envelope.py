"""What is sent: a body that is the same bytes on every attempt, and the headers that prove and describe it."""

import json
import re
from collections.abc import Sequence
from typing import Any

from stibgate.domain.record import Provenance
from stibgate.signatures import PRESETS, sign
from stibgate.sinks import Batch

SCHEME = next(scheme for scheme in PRESETS["standard_webhooks"] if scheme.header == "webhook-signature")

_SURROGATE = re.compile("[\ud800-\udfff]")
_CE_ESCAPED = re.compile(r'[^!-~]|["%]')
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def body_of(batch: Batch) -> bytes:
    """Return *batch* as compact UTF-8 JSON; the same batch always gives the same bytes.

    The keys around `records` are always there, `null` where nothing is known. A record has the fields of its
    document: those that are set, and its position in the delivery.
    """
    origin = batch.provenance
    document: dict[str, Any] = {
        "type": origin.event_type,
        "delivery_id": origin.delivery_id,
        "source": origin.source,
        "partner_customer_id": origin.partner_customer_id,
        "partner_user_id": origin.partner_user_id,
        "search_id": origin.search_id,
        "job_id": origin.job_id,
        "records": [record.to_document() for record in batch.records],
    }
    text = _compact(document)
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8; JSON can smuggle one in
        return _SURROGATE.sub("\ufffd", text).encode()


def message_id(batch: Batch) -> str:
    """Return the `webhook-id`: the batch's key, with a hyphen before the number of a resend.

    The signature separates its parts by full stops, so the id must have none; ids of ours have no hyphen, so no two
    keys meet. Source: Standard Webhooks specification, "Signature scheme".
    """
    return batch.key.replace(".", "-")


def signature_headers(secrets: Sequence[str], body: bytes, *, message_id: str, unix_s: int) -> dict[str, str]:
    """Return id, timestamp and one signature for each of *secrets*, the newest first.

    Source: Standard Webhooks specification, "Webhook headers"; several signatures stand side by side while a secret
    is rotated.
    """
    headers: dict[str, str] = {}
    for secret in secrets:
        for name, value in sign(SCHEME, secret, body, unix_s=unix_s, message_id=message_id):
            known = headers.get(name)
            headers[name] = f"{known} {value}" if known and name == SCHEME.header else value
    return headers


def cloudevents_headers(origin: Provenance, event_id: str) -> dict[str, str]:
    """Return the CloudEvents 1.0 attributes of a delivery in HTTP binary mode; the body is the event's data.

    `ce-id` is the same over attempts, as `webhook-id` is. `ce-time` is when the delivery was received.
    """
    attributes = {
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": f"/stibgate/sources/{origin.source}",
        "ce-type": origin.event_type,
        "ce-subject": origin.delivery_id,
        "ce-time": origin.received_at,
    }
    return {name: _percent_encoded(value) for name, value in attributes.items()}


def _percent_encoded(text: str) -> str:
    """Return *text* as a header may carry it. Source: CloudEvents 1.0.2 HTTP binding, 3.1.3.2."""
    return _CE_ESCAPED.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")), text
    )  # fmt: skip
