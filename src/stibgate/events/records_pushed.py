"""`prospecting.records.pushed`: a user bought records in the iframe and pushed them to us.

`pushed_records` and `selection.total_records` are not compared with `data`: what came is what counts.

Source: Stibnite, POST /v1/prospecting/sessions/{search_id}/push, partner delivery payload.
"""

from typing import Any

from stibgate.domain.event import RECORDS_PUSHED, Event
from stibgate.events.shapes import optional_count, optional_id, require_objects

EVENT_TYPE = RECORDS_PUSHED


def read(document: dict[str, Any]) -> Event:
    """Return the event; ids that are not texts or whole numbers are left out.

    Raises:
        NotUnderstood: `data` is not a list of objects.
    """
    return Event(
        event_type=EVENT_TYPE,
        known=True,
        record_count=len(require_objects(document.get("data"))),
        search_id=optional_id(document.get("search_id")),
        partner_customer_id=optional_id(document.get("partner_customer_id")),
        partner_user_id=optional_id(document.get("partner_user_id")),
        billed=optional_count(document.get("net_new_billable_records")),
    )


def raw_records(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records as sent.

    Raises:
        NotUnderstood: `data` is not a list of objects.
    """
    return require_objects(document.get("data"))


def job_result(document: dict[str, Any]) -> None:
    """Return None: a push is no job."""
