"""The bodies and headers of what Stibnite sends.

Source: Stibnite Person Data API, "Push prospecting results to partner" (delivery headers and payload: exact), "Export
prospecting results as CSV" (exact) and "Create webhook endpoint" (job events: only that they are signed). A job
event's body is not documented; here it is flat with an `event`, as the vendor's own push is, followed by the fields
of the job.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from stibgate.domain.event import RECORDS_PUSHED
from stibgate.domain.record import COLUMNS

Headers = list[tuple[str, str]]


def encode(document: Mapping[str, Any]) -> bytes:
    """Return *document* as compact UTF-8 JSON; letters stay letters, so that a receiver meets real UTF-8."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def push_headers(search_id: str) -> Headers:
    """Return the documented delivery headers, in their order; there is no signature among them."""
    return [
        ("content-type", "application/json"),
        ("user-agent", "stibnite-prospecting/1.0"),
        ("stibnite-event-type", RECORDS_PUSHED),
        ("stibnite-search-id", search_id),
    ]


def job_event_headers(event_type: str) -> Headers:
    """Return the headers of a job event before its signature; not documented, modelled on the push's."""
    return [
        ("content-type", "application/json"),
        ("user-agent", "stibnite-webhooks/1.0"),
        ("stibnite-event-type", event_type),
    ]


def push_document(
    search_id: str,
    *,
    customer_id: str,
    user_id: str | None,
    selection: Mapping[str, Any],
    records: list[dict[str, Any]],
    net_new: int,
) -> dict[str, Any]:
    """Return the documented partner delivery payload.

    Args:
        search_id: The prospecting session.
        customer_id: Whose wallet pays.
        user_id: Who pressed the button, if the embed session named one.
        selection: `mode`, `prospect_ids`, `filters`, `total_records`.
        records: The full records, `People.prospect`.
        net_new: How many of them were bought just now.
    """
    return {
        "event": RECORDS_PUSHED,
        "search_id": search_id,
        "partner_customer_id": customer_id,
        "partner_user_id": user_id,
        "selection": dict(selection),
        "pushed_records": len(records),
        "net_new_billable_records": net_new,
        "already_purchased_records": len(records) - net_new,
        "data": records,
    }


def export_csv(records: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the documented export of *records* (`People.prospect`): UTF-8, 19 columns, a line feed after each row.

    What is missing or null is an empty cell. Cells are as they are: a vendor does not know that a spreadsheet would
    take `=1+1` for a formula.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for record in records:
        flat = {**record, **{f"company_{name}": value for name, value in record["company"].items()}}
        rows.writerow([flat.get(column) for column in COLUMNS])
    return text.getvalue().encode()


def job_event(event_type: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a full job event: the event type, then the job as GET answers it."""
    return {"event": event_type, **job}


def thin_job_event(event_type: str, job_id: str, status: str, created_at: str) -> dict[str, Any]:
    """Return a job event without records; the receiver reads the job back."""
    return {"event": event_type, "job_id": job_id, "status": status, "created_at": created_at}
