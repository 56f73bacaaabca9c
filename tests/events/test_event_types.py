import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED, RECORDS_PUSHED, Event, QuarantineReason
from stibgate.errors import NotUnderstood, UsageError
from stibgate.events import READERS, shapes
from stibgate.events.envelope import parse, resolve
from stibgate.vendors.paths import segment

SAMPLES = Path(__file__).parent / "samples"
WRAPPED = sorted(path for path in SAMPLES.glob("*.json") if not path.name.startswith("documented_"))
JOB = "018f4f8f-1f42-7a8c-8cf2-8a4c2b0d3a4e"


@pytest.mark.parametrize("path", WRAPPED, ids=lambda path: path.stem)
def test_sample(path: Path):
    """Every envelope that a job event may come in says the same job, as thin or as full as it is."""
    sample = json.loads(path.read_text(encoding="utf-8"))
    document = parse(json.dumps(sample["body"]).encode())
    event = resolve(document, header_event_type=sample["header_event_type"])
    assert {name: asdict(event)[name] for name in sample["expect"]} == sample["expect"]
    if event.known:
        assert len(READERS[event.event_type].raw_records(document)) == event.record_count


def test_documented_push():
    """The push of Stibnite's own document is understood as it stands there."""
    document = parse((SAMPLES / "documented_push.json").read_bytes())
    assert resolve(document, header_event_type=None) == Event(
        event_type=RECORDS_PUSHED,
        known=True,
        record_count=1,
        search_id="search_123",
        partner_customer_id="customer_123",
        partner_user_id="user_123",
        billed=1,
    )
    assert READERS[RECORDS_PUSHED].job_result(document) is None
    assert READERS[RECORDS_PUSHED].raw_records(document)[0]["prospect_id"] == "5x5-person-123"


def test_documented_job():
    """The job of Stibnite's own document is understood bare, with the event type in the header only."""
    document = parse((SAMPLES / "documented_job.json").read_bytes())
    event = resolve(document, header_event_type=JOB_SUCCEEDED)
    assert event == Event(event_type=JOB_SUCCEEDED, known=True, record_count=1, job_id=JOB, billed=1)
    result = READERS[JOB_SUCCEEDED].job_result(document)
    assert (result.received, result.billed, result.next_cursor) == (1, 1, "opaque-cursor-or-null")
    assert READERS[JOB_SUCCEEDED].raw_records(document)[0]["person_id"] == "person_123"


def refused(document: dict[str, Any]) -> bool:
    with pytest.raises(NotUnderstood) as caught:
        resolve(document, header_event_type=None)
    return caught.value.reason == QuarantineReason.ENVELOPE


@pytest.mark.parametrize("event_type", [JOB_SUCCEEDED, JOB_FAILED])
@pytest.mark.parametrize("job_id", [None, "", " ", 7, True, ["x"], {}, "x" * 513, "a\x00b", "a\nb", " a", "a ", ".", ".."])  # fmt: skip
def test_job_id_malformed(event_type: str, job_id: object):
    """A job event without a job id that the vendor can be asked for, 1 to 512 characters, is not understood."""
    assert refused({"event": event_type, "job_id": job_id})
    assert refused({"event": event_type, "data": {"object": {"id": job_id}}})


def test_job_id_longest():
    """A job id of 512 characters is one."""
    assert resolve({"event": JOB_FAILED, "job_id": "x" * 512}, header_event_type=None).job_id == "x" * 512


def test_job_id_malformed_is_not_replaced():
    """A malformed `job_id` never gives way to another id further down."""
    assert refused({"event": JOB_SUCCEEDED, "job_id": 7, "data": {"id": "other"}})


@pytest.mark.parametrize("event_type", [JOB_SUCCEEDED, JOB_FAILED])
@pytest.mark.parametrize("data", ["text", 7, 1.5, True, [1], [None], [[]], [{}, "x"]])
def test_job_data_malformed(event_type: str, data: object):
    """`data` that is neither null, an object nor a list of objects is no job's."""
    assert refused({"event": event_type, "job_id": JOB, "data": data})


@pytest.mark.parametrize("wrap", [lambda d: {"data": {"data": d}}, lambda d: {"job": {"data": d}}])
def test_nested_job_data_malformed(wrap: Any):
    """Nested `data` follows the same rule as `data`."""
    assert refused({"event": JOB_SUCCEEDED, "job_id": JOB, **wrap("text")})
    assert refused({"event": JOB_SUCCEEDED, "job_id": JOB, **wrap([7])})


@pytest.mark.parametrize("data", [None, {}, "text", 7, [1], [{}, None]])
def test_push_data_malformed(data: object):
    """A push whose `data` is not a list of objects is not understood."""
    assert refused({"event": RECORDS_PUSHED, "data": data})
    assert refused({"event": RECORDS_PUSHED})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "x"),
        (7, "7"),
        (-7, "-7"),
        pytest.param(10**5000, None, id="huge"),
        (True, None),
        (1.5, None),
        ("", None),
        ("a\x00", None),
    ],
)
def test_optional_id(value: object, expected: str | None):
    """A push's ids are texts or whole numbers; anything else is left out, and never refuses the push."""
    event = resolve({"event": RECORDS_PUSHED, "data": [], "search_id": value}, header_event_type=None)
    assert event.search_id == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(3, 3), (0, 0), (-1, None), (True, None), ("3", None), (1.0, None), (10**12, None)]
)
def test_billed(value: object, expected: int | None):
    """What was billed is a whole number from 0 or not said, wherever a job event puts the job."""
    for wrap in (
        lambda job: job,
        lambda job: {"data": job},
        lambda job: {"data": {"object": job}},
        lambda job: {"job": job},
    ):
        document = {"event": JOB_SUCCEEDED, **wrap({"job_id": JOB, "billable_records": value, "data": []})}
        assert READERS[JOB_SUCCEEDED].read(document).billed == expected
    pushed = {"event": RECORDS_PUSHED, "data": [], "net_new_billable_records": value}
    assert READERS[RECORDS_PUSHED].read(pushed).billed == expected


@pytest.mark.parametrize("cursor", [None, "", 7, ["x"], {}])
def test_no_next_page(cursor: object):
    """Only a text that is not empty is a cursor."""
    document = {"event": JOB_SUCCEEDED, "job_id": JOB, "data": [], "pagination": {"next_cursor": cursor}}
    assert READERS[JOB_SUCCEEDED].job_result(document).next_cursor is None
    assert READERS[JOB_SUCCEEDED].job_result({**document, "pagination": "x"}).next_cursor is None


def test_failed_job_result():
    """A failed job ends with what the vendor says, and without a bill."""
    result = READERS[JOB_FAILED].job_result({"event": JOB_FAILED, "job_id": JOB, "error": {"message": "no luck"}})
    assert (result.succeeded, result.billed, result.error) == (False, None, "no luck")


def test_error_is_bounded():
    """What the vendor says went wrong is cut to 500 characters."""
    event = resolve({"event": JOB_FAILED, "job_id": JOB, "error": "x" * 10_000}, header_event_type=None)
    assert event.error == "x" * shapes.ERROR_CHARS_MAX


def test_table():
    """Each reader stands in the table under its own event type."""
    assert set(READERS) == {JOB_SUCCEEDED, JOB_FAILED, RECORDS_PUSHED}
    assert all(name == reader.EVENT_TYPE for name, reader in READERS.items())


@pytest.mark.parametrize(
    "job_id", ["", " a", "a ", ".", "..", "a\nb", "a\ud800", "x" * 513, "x" * 512, "a/b", "é", "a b"]
)
def test_one_rule_for_job_ids(job_id: str):
    """An id that an event may carry is one that the vendor can be asked for, and the reverse."""
    event = resolve({"event": "a.new.word", "job_id": job_id}, header_event_type=None)
    try:
        segment("job_id", job_id)
    except UsageError:
        assert event.job_id is None
    else:
        assert event.job_id == job_id
