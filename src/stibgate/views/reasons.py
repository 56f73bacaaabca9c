"""Why a delivery was quarantined or ignored, in words, and what to do next."""

from collections.abc import Mapping, Sequence

from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.event import QuarantineReason
from stibgate.pipeline.drafts import EVENT_TYPE_UNKNOWN, NOT_ROUTED

_LOOK = "`stibgate deliveries show ID --raw` shows it; after a fix or an upgrade `stibgate deliveries replay ID`"
_ASK = "`stibgate jobs get JOB_ID`, then `stibgate deliveries replay ID` asks anew"

_MEANINGS: Mapping[str, tuple[str, str]] = {
    QuarantineReason.NOT_JSON_OBJECT: ("its body is not a JSON object in UTF-8", _LOOK),
    QuarantineReason.TOO_DEEP: ("its JSON is nested too deeply to be read", _LOOK),
    QuarantineReason.NOT_FINITE: ("its JSON has NaN or Infinity, which are no JSON", _LOOK),
    QuarantineReason.ENVELOPE: ("its body is JSON, and not laid out as a documented event", _LOOK),
    QuarantineReason.PROCESSING: (
        "something failed here while it was read: the log has a line `unhandled`",
        "report that line; after a fix `stibgate deliveries replay ID`",
    ),
    QuarantineReason.RECORDS_MISSING: ("its job succeeded, and its records did not come", _ASK),
    QuarantineReason.JOB_UNKNOWN: (
        "nobody here submitted its job, or Stibnite does not know it under this key",
        "`stibgate deliveries replay ID` takes it all the same",
    ),
    QuarantineReason.JOB_UNFINISHED: ("its job was asked for for a day and had not ended", _ASK),
    QuarantineReason.READBACK_FAILED: ("its job could not be read back", _ASK),
    NOT_ROUTED: (
        "no route takes any of it",
        "`stibgate routes test` says why; with another route `stibgate deliveries replay ID` forwards it",
    ),
    EVENT_TYPE_UNKNOWN: (
        "nobody here reads its event type",
        "after an upgrade that does `stibgate deliveries replay ID`",
    ),
}


def reason_in_words(delivery: StoredDelivery) -> list[str]:
    """Return why *delivery* goes no further and what to do next, a clause each; empty when it does not."""
    stopped = delivery.state in {DeliveryState.QUARANTINED, DeliveryState.IGNORED}
    clauses: Sequence[str] = _MEANINGS.get(delivery.reason or "", ()) if stopped else ()
    ids = {"JOB_ID": delivery.job_id or "JOB_ID", " ID": f" {delivery.delivery_id}"}
    for word, id_ in ids.items():
        clauses = [clause.replace(word, id_) for clause in clauses]
    return list(clauses)
