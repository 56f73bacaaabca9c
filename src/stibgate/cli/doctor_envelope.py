"""What a captured body tells about the sender's envelope: places and counts, never values of people."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stibgate.domain.event import RECORDS_PUSHED
from stibgate.events.envelope import EVENT_TYPE_KEYS
from stibgate.views.words import counted

if TYPE_CHECKING:
    from stibgate.signatures import Diagnosis

UNTOLD = (
    "one capture cannot tell whether ids stay and whether a retry is signed anew: give the retry as another --capture",
    "nor how a second secret shows during a rotation, whether other routes are signed, when and how often it is resent",
)
_JOB_PLACES = (
    ("job_id",),
    ("data", "job_id"),
    ("data", "object", "job_id"),
    ("data", "object", "id"),
    ("job", "job_id"),
    ("job", "id"),
    ("data", "id"),
)
_RECORD_PLACES = (("data",), ("data", "data"), ("data", "object", "data"), ("job", "data"))
_EVENT_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Where things stand in an event.

    Attributes:
        event_type: What the event says it is, or None.
        event_type_at: `body:event` or `header:stibnite-event-type`, or None.
        job_id: For comparing only; never printed.
        job_id_at: `body:data.job_id`, or None.
        records_at: `body:data`, or None when there are none in it.
        records: How many there are.
        problem: Why the body cannot be read; empty when it can.
    """

    event_type: str | None
    event_type_at: str | None
    job_id: str | None
    job_id_at: str | None
    records_at: str | None
    records: int
    problem: str

    @property
    def kind(self) -> str:
        """The kind of source that takes it."""
        return "stibnite_push" if self.event_type == RECORDS_PUSHED else "stibnite_jobs"

    @property
    def shape(self) -> str | None:
        """`full` with its records in it, `thin` with a job id alone; None when it is neither."""
        if self.records_at is not None:
            return "full"
        return "thin" if self.job_id_at is not None else None


def read_envelope(headers: Sequence[tuple[str, str]], body: bytes) -> Envelope:
    """Return where things stand in *body*."""
    problem, document = "", {}
    try:
        parsed = json.loads(body)
        document = parsed if isinstance(parsed, dict) else {}
        problem = "" if isinstance(parsed, dict) else "the body is JSON, but not an object: it would be quarantined"
    except (ValueError, RecursionError):
        problem = "the body is not UTF-8 JSON: it would be quarantined"
    said = [(f"body:{key}", document[key]) for key in EVENT_TYPE_KEYS if isinstance(document.get(key), str)]
    said += [(f"header:{name.lower()}", value) for name, value in headers if name.lower().endswith("event-type")]
    event_at, event = next(((at, text) for at, text in said if _EVENT_TYPE.fullmatch(text)), (None, None))
    job = next(((path, value) for path in _JOB_PLACES if isinstance(value := _at(document, path), str) and value), None)
    records = next(((path, value) for path in _RECORD_PLACES if isinstance(value := _at(document, path), list)), None)
    return Envelope(
        event_type=event,
        event_type_at=event_at,
        job_id=job[1] if job else None,
        job_id_at=f"body:{'.'.join(job[0])}" if job else None,
        records_at=f"body:{'.'.join(records[0])}" if records else None,
        records=len(records[1]) if records else 0,
        problem=problem,
    )


def envelope_lines(envelope: Envelope, ids: Sequence[str]) -> list[str]:
    """Return *envelope*, and the places of *ids*, in lines for people."""
    if envelope.problem:
        return [envelope.problem]
    lines = []
    if envelope.event_type is None:
        lines.append("event type: none found; such a delivery would be quarantined")
    else:
        lines.append(f"event type: {envelope.event_type}, at {envelope.event_type_at}")
    lines.append(f"job id: at {envelope.job_id_at}" if envelope.job_id_at else "job id: none found")
    if envelope.records_at is not None:
        lines.append(f"full: {counted(envelope.records, 'record')} at {envelope.records_at}")
    elif envelope.job_id_at is not None:
        lines.append("thin: no records in it; reading the job back with an API key completes it")
    lines.append(f"ids: at {', '.join(ids)}" if ids else "ids: none seen, in headers or body")
    return lines


def compare(diagnoses: "Sequence[Diagnosis]", envelopes: Sequence[Envelope]) -> dict[str, Any]:
    """Return what two or more captures tell together, such as `ids` that stay or change.

    `resigned` is None when a capture holds no signature that came true.
    """
    first = diagnoses[0]
    jobs = {(one.event_type, one.job_id) for one in envelopes}
    bodies = {one.evidence.body for one in diagnoses}
    places = [{place.where: place.text for place in one.evidence.ids} for one in diagnoses]
    common = [where for where in places[0] if all(where in known for known in places)]
    signatures = [one.hit.claim.mac if one.hit else None for one in diagnoses]
    stamps = [one.hit.stamp.text if one.hit and one.hit.stamp else None for one in diagnoses]
    return {
        "captures": len(diagnoses),
        "same_event": len(bodies) == 1 or (len(jobs) == 1 and envelopes[0].job_id is not None),
        "same_body": len(bodies) == 1,
        "same_scheme": len({one.setting.scheme for one in diagnoses if one.setting is not None}) <= 1,
        "ids": {where: "stays" if len({known[where] for known in places}) == 1 else "changes" for where in common},
        "resigned": None if None in signatures else len(set(signatures)) > 1,
        "timestamp": None if first.hit is None or None in stamps else "stays" if len(set(stamps)) == 1 else "changes",
    }


def compare_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what `compare` found in lines for people."""
    if not found["same_scheme"]:
        return [
            "these captures are signed in different ways: one source has one scheme, so they are not of one endpoint"
        ]
    if not found["same_event"]:
        return ["these captures are of different events: they do not tell whether ids stay over retries"]
    lines = ["the captures are of one event" + (", byte for byte" if found["same_body"] else ", with other bytes")]
    lines += [f"id at {where}: {word} when it is sent again" for where, word in found["ids"].items()]
    if not found["ids"]:
        lines.append("no id stands in all of them: only the job id, or the bytes, tell a repetition")
    if found["resigned"] is not None:
        lines.append(f"it {'is signed anew' if found['resigned'] else 'keeps its signature'} when it is sent again")
    if found["resigned"] is False and found["timestamp"] == "stays":
        lines.append(
            'the timestamp stays too: a late retry is older than the tolerance, so set stale = "accept_if_new"'
        )
    return lines


def _at(document: Mapping[str, Any], path: Sequence[str]) -> object:
    value: object = document
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
