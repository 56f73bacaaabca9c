import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED, RECORDS_PUSHED, QuarantineReason
from stibgate.errors import NotUnderstood
from stibgate.events import READERS
from stibgate.events.envelope import DEPTH_MAX, parse, resolve
from stibgate.normalise import Rules, normalise

FINITE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(FINITE, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=40)


def attempt(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, QuarantineReason | None]:
    """Return what the call returns and None, or None and why it did not understand; let all else through."""
    try:
        return call(*args, **kwargs), None
    except NotUnderstood as error:
        return None, QuarantineReason(error.reason)


def refusal(body: bytes) -> QuarantineReason:
    _, reason = attempt(parse, body)
    assert reason is not None
    return reason


def nested(depth: int, opener: str = '{"a":', closer: str = "}") -> bytes:
    return (opener * depth + "1" + closer * depth).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b"{",
        b"{}x",
        b"{}{}",
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":-NaN}',
        b'{"a":"\x01"}',
        b"\x00{}",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        b'{"a":"\xc0\x80"}',
        b'{"a":"\xe0\x80\xaf"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"\\udc00":1}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"a":"\xff"}',
        b'{"a":' + b"9" * 5000 + b"}",
        b"a=1&b=2",
    ],
)
def test_not_an_object(body: bytes):
    """What is not one strict UTF-8 JSON object is `not_json_object`, whatever the parser's complaint."""
    assert refusal(body) is QuarantineReason.NOT_JSON_OBJECT


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":NaN}',
        b'{"a":[{"b":Infinity}]}',
        b'{"a":-Infinity}',
    ],
)
def test_not_finite(body: bytes):
    """NaN and Infinity are not JSON, and are named apart from other things that are not."""
    assert refusal(body) is QuarantineReason.NOT_FINITE


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"9" * 400 + b".0"])
def test_beyond_a_double(number: bytes):
    """A number too large for a double refuses no delivery: it is JSON, and normalising flags it."""
    raw = parse(b'{"company":{"revenue":' + number + b"}}")
    record = normalise(raw, position=0, rules=Rules())
    assert record.company_revenue is None
    assert [issue.field for issue in record.issues] == ["company_revenue"]


@pytest.mark.parametrize("depth", [DEPTH_MAX + 1, 150, 250, 100_000])
@pytest.mark.parametrize(("opener", "closer"), [('{"a":', "}"), ('[{"a":', "}]")])
def test_too_deep(depth: int, opener: str, closer: str):
    """Deeper than 64 is `too_deep`, also where the parser itself gives up first."""
    inner = nested(depth, opener, closer).decode()
    assert refusal(f'{{"a":{inner}}}'.encode()) is QuarantineReason.TOO_DEEP


def test_just_deep_enough():
    """64 containers are not too deep."""
    assert parse(nested(DEPTH_MAX))


def test_brackets_in_strings_do_not_count():
    """Depth is a matter of containers: brackets in strings neither add to it nor cancel any."""
    assert parse(json.dumps({"a": "[" * 500}).encode())
    document: dict[str, Any] = {}
    for _ in range(DEPTH_MAX):
        document = {"}": document, "{": 1}
    assert refusal(json.dumps(document).encode()) is QuarantineReason.TOO_DEEP


def test_last_repeated_key_counts():
    """Of a repeated key the last value is taken."""
    assert parse(b'{"a":1,"a":2}') == {"a": 2}


def exact_depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(exact_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(exact_depth, value), default=0)
    return 0


@st.composite
def deep(draw: st.DrawFn) -> dict[str, Any]:
    value = draw(JSON)
    for as_list in draw(st.lists(st.booleans(), max_size=80)):
        sibling = draw(st.just(0) | st.text(max_size=3) | st.just([[]]))
        value = [sibling, value] if as_list else {"a": value, "{[": sibling}
    return {"root": value}


@settings(max_examples=50, deadline=None)
@given(deep())
def test_depth_is_exact(document: dict[str, Any]):
    """A body is refused as too deep exactly when its containers nest deeper than 64."""
    body = json.dumps(document).encode()
    if exact_depth(document) > DEPTH_MAX:
        assert refusal(body) is QuarantineReason.TOO_DEEP
    else:
        assert parse(body) == document


@settings(max_examples=50, deadline=None)
@given(st.binary() | st.binary().map(lambda tail: b'{"a":' + tail) | st.text().map(str.encode))
@example(b'{"a":1E999999999999999999999}')
@example(b"[" * 100_000)
def test_parse_raises_nothing_else(body: bytes):
    """Arbitrary bytes are parsed into an object or not understood; no other exception exists."""
    document, reason = attempt(parse, body)
    assert isinstance(document, dict) == (reason is None)
    assert reason is not QuarantineReason.ENVELOPE


WORDS = st.sampled_from([JOB_SUCCEEDED, JOB_FAILED, RECORDS_PUSHED, "ping", ""])
ENVELOPE_KEYS = st.sampled_from(
    ["event", "type", "event_type", "eventType", "data", "job", "object", "job_id", "id", "error", "search_id"]
)
ENVELOPES = st.recursive(
    FINITE | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ENVELOPE_KEYS, inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(ENVELOPE_KEYS, ENVELOPES) | st.dictionaries(st.text(), JSON),
    st.none() | WORDS | st.text(),
    st.none() | WORDS,
)
def test_resolve_raises_nothing_else(document: dict[str, Any], header: str | None, word: str | None):
    """Any object resolves to an event or to `envelope`, and an event's records are as many as it says."""
    if word is not None:
        document = {**document, "event": word}
    event, reason = attempt(resolve, document, header_event_type=header)
    if event is None:
        assert reason is QuarantineReason.ENVELOPE
        return
    assert event.known == (event.event_type in READERS)
    if event.known:
        records = READERS[event.event_type].raw_records(document)
        assert len(records) == event.record_count
        assert all(isinstance(record, dict) for record in records)
        assert not (event.thin and records)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(sorted(READERS)),
    st.dictionaries(ENVELOPE_KEYS, ENVELOPES) | st.dictionaries(st.text(), JSON),
)
def test_readers_raise_nothing_else(event_type: str, document: dict[str, Any]):
    """A reader given any object answers or says `envelope`."""
    for method in (READERS[event_type].read, READERS[event_type].raw_records):
        _, reason = attempt(method, document)
        assert reason in {None, QuarantineReason.ENVELOPE}


@pytest.mark.parametrize(
    ("document", "header", "expected"),
    [
        ({"event": "a.b"}, "c.d", "a.b"),
        ({"event": "a.b", "type": "c.d"}, None, "a.b"),
        ({"event": "a.b", "type": JOB_FAILED, "job_id": "j"}, None, JOB_FAILED),
        ({"type": "person_search"}, JOB_FAILED, "person_search"),
        ({"event": " a.b "}, None, "a.b"),
        ({"event": "", "type": "c.d"}, "e.f", "c.d"),
        ({"event": 7, "eventType": "c.d"}, "e.f", "c.d"),
        ({"event": {"type": "x"}}, "e.f", "e.f"),
        ({}, " e.f ", "e.f"),
    ],
)
def test_event_type(document: dict[str, Any], header: str | None, expected: str):
    """The body's word wins, a known one before an unknown one; the header counts when the body says nothing."""
    assert resolve(document, header_event_type=header).event_type == expected


@pytest.mark.parametrize("header", [None, "", " ", "x" * 129, "a b", "ä", "a\x00"])
def test_no_event_type(header: str | None):
    """An object that says no usable event type, with no usable header, is not understood."""
    with pytest.raises(NotUnderstood) as caught:
        resolve({"data": []}, header_event_type=header)
    assert caught.value.reason == QuarantineReason.ENVELOPE
