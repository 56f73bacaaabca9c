"""How `stibgate listen` shows lines, and reads a stream."""

import io

import pytest
from click import unstyle

from stibgate.cli.event_stream import LINE_MAX, Event, events
from stibgate.cli.listen import LEVELS as LISTEN_LEVELS
from stibgate.cli.listen import listen
from stibgate.cli.listen_output import told
from stibgate.web.live.filters import LEVELS, NAMES

AT = {"timestamp": "2026-05-17T18:42:10.004123Z", "level": "info", "service": "stibgate"}
ID = {"delivery_id": "dlv_1"}


@pytest.mark.parametrize(
    "line, shown",
    [
        (
            {
                "event": "delivery.accepted",
                "source": "push",
                "event_type": "prospecting.records.pushed",
                "records": 20,
                "http_status": 202,
                "duration_ms": 4.8,
                **ID,
            },
            [
                "18:42:10Z  --> push  prospecting.records.pushed  20 records  [dlv_1]",
                "18:42:10Z  <-- 202 accepted in 4.8 ms",
            ],
        ),
        (
            {"event": "delivery.duplicate", "source": "jobs", "event_type": "x.y", "http_status": 202, **ID},
            ["18:42:10Z  --> jobs  x.y  [dlv_1]", "18:42:10Z  <-- 202 duplicate"],
        ),
        (
            {
                "event": "delivery.rejected",
                "level": "warning",
                "source": "jobs",
                "reason": "mismatch",
                "http_status": 401,
                "client_ip": "192.0.2.7",
                "suppressed": 3,
            },
            [
                "18:42:10Z  --> jobs  from 192.0.2.7",
                "18:42:10Z  <-- 401 rejected: mismatch  (and 3 more without a line)",
            ],
        ),
        (
            {"event": "delivery.rejected", "http_status": 400},
            ["18:42:10Z  --> ?  from ?", "18:42:10Z  <-- 400 rejected"],
        ),
        (
            {"event": "delivery.conflict", "level": "warning", "source": "jobs", "reason": "readback", **ID},
            ["18:42:10Z  --- warning delivery.conflict  source=jobs reason=readback  [dlv_1]"],
        ),
        (
            {"event": "task.delivered", "sink": "drop", "outcomes": {"written": 20}, "duration_ms": 3, **ID},
            ["18:42:10Z  ==> drop  20 written  3 ms  [dlv_1]"],
        ),
        (
            {"event": "task.partial", "sink": "crm", "outcomes": {"created": 2, "refused": 1}, "duration_ms": 9, **ID},
            ["18:42:10Z  ==> crm  2 created, 1 refused  9 ms  [dlv_1]"],
        ),
        (
            {
                "event": "task.retry_scheduled",
                "sink": "crm",
                "error": "HTTP 503",
                "next_attempt_at": "2026-05-17T18:47:11.5Z",
                "attempt": 2,
                **ID,
            },
            ["18:42:10Z  ==> crm  will be tried again at 18:47:11Z: HTTP 503  (attempt 2)  [dlv_1]"],
        ),
        (
            {"event": "task.dead", "sink": "crm", "error": "HTTP 400", "attempt": 1, **ID},
            ["18:42:10Z  ==> crm  dead after 1 attempt: HTTP 400  [dlv_1]"],
        ),
        (
            {
                "event": "records.normalised",
                "source": "push",
                "records": 2,
                "issues": {"mobile_phone.invalid": 1},
                **ID,
            },
            ["18:42:10Z  --- records.normalised  source=push records=2 issues=mobile_phone.invalid:1  [dlv_1]"],
        ),
        (
            {"event": "service.started", "sinks": ["crm", "drop"]},
            ["18:42:10Z  --- service.started  sinks=crm,drop"],
        ),
        ({"event": "service.stopped"}, ["18:42:10Z  --- service.stopped"]),
    ],
    ids=lambda value: value.get("event") if isinstance(value, dict) else "",
)
def test_how_a_line_is_shown(line, shown):
    """What came, what was answered and where it went each has its arrow; everything else shows its fields."""
    assert [unstyle(row) for row in told({**AT, **line})] == shown


def test_nothing_in_a_line_steers_the_terminal():
    """Whatever stands in a line, what is printed has only our own colours in it."""
    evil = "\x1b[2J\r\x07\x9b2J\u202e\n"
    names = ("source", "event_type", "delivery_id", "client_ip", "sink", "error", "reason", "records", "suppressed")
    base = dict.fromkeys((*names, "attempt"), evil)
    for event in ("delivery.accepted", "task.delivered", "task.dead", "task.retry_scheduled", "test.line" + evil):
        line = {
            **AT,
            **base,
            "event": event,
            "http_status": evil,
            "outcomes": {evil: evil},
            "x": [evil],
            evil: {1: evil},
        }
        for row in told({**line, "timestamp": evil, "level": evil, "duration_ms": evil, "next_attempt_at": evil}):
            assert unstyle(row).isprintable()


def test_it_has_every_filter_that_the_service_has():
    """The terminal, the console and the API ask for the same things in the same words."""
    options = {param.name for param in listen.params}
    assert set(NAMES) <= options
    assert options - set(NAMES) == {"config", "as_json", "last", "count", "retry_for", "url", "token_file"}
    assert tuple(LEVELS) == LISTEN_LEVELS


def test_a_line_without_its_fields_is_still_shown():
    """A newer or older service may leave fields out: nothing breaks."""
    for event in ("delivery.accepted", "task.delivered", "task.dead", "task.retry_scheduled", "task.partial", "other"):
        assert list(told({"event": event}))
    assert list(told({"event": "delivery.accepted", "http_status": 202}))


STREAM = b"""retry: 2000
id: r-1
event: ready
data: {}

: keepalive
id: r-2

event: line
data: one
data: two
id: r-3

"""


def test_a_stream_is_read_as_its_standard_says():
    """Names, ids and data of several lines; an id alone moves on; a comment is nothing."""
    assert list(events(io.BytesIO(STREAM))) == [
        Event("ready", "r-1", "{}"),
        Event("message", "r-2", ""),
        Event("line", "r-3", "one\ntwo"),
    ]
    assert list(events(io.BytesIO(STREAM.replace(b"\n", b"\r\n")))) == list(events(io.BytesIO(STREAM)))


@pytest.mark.parametrize(
    "stream", [b"data: half", b"x" * (LINE_MAX + 1), b"data: \xff\n\n"], ids=["half", "long", "bytes"]
)
def test_what_is_no_stream_is_an_error(stream):
    """Half an event is never taken for a whole one."""
    with pytest.raises(ValueError):
        list(events(io.BytesIO(stream)))
