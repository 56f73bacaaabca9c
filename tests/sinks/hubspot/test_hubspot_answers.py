"""What answers mean, and what complaints say, without a wire."""

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from stibgate.errors import SinkHeld, SinkUnavailable
from stibgate.sinks.hubspot.answers import Again, Answer, Refused, Reply, Trouble, judge, retry_after_s
from stibgate.sinks.hubspot.faults import Fault, parse_fault, scopes_of
from stibgate.sinks.hubspot.patience import BUDGET_S, TRIES, Patience

NOW_MS = 1_779_043_330_000  # 2026-05-17T18:42:10Z
CORRELATION = "a43683b0-5717-4ceb-80b4-104d02915d8c"
INVALID = {
    "status": "error",
    "message": "Property values were not valid: [...]",
    "errors": [
        {"message": "zoe@@ is no address", "code": "INVALID_EMAIL", "context": {"propertyName": ["email"]}},
    ],
    "category": "VALIDATION_ERROR",
    "correlationId": CORRELATION,
}


def judged(status: int, document: object = None, *, raw: bytes | None = None, **headers: str) -> Answer | Again:
    body = json.dumps(document).encode() if raw is None else raw
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return judge(Reply(status, named, body), now_ms=NOW_MS, to_midnight_s=lambda: 5_000.0)


def limited(policy: str, **headers: str):
    message = f"You have reached your {policy.lower()} limit."
    return judged(429, {"status": "error", "message": message, "policyName": policy}, **headers)


def test_a_taken_request():
    """2xx with a JSON object is an answer, with the correlation id of its header."""
    answer = judged(207, {"results": [], "numErrors": 1}, x_hubspot_correlation_id=CORRELATION)
    assert answer == Answer(207, {"results": [], "numErrors": 1}, CORRELATION)
    assert judged(204, raw=b"") == Answer(204, {}, None)


@pytest.mark.parametrize(
    "raw", [b"", b"<!DOCTYPE html><html>", b'{"results": [', b"[]", b"null", b"\xff\xfe", b"[" * 99_999]
)
def test_what_is_no_answer_is_asked_again(raw):
    """2xx without a JSON object is no success: nobody knows what was written."""
    again = judged(200, raw=raw)
    assert isinstance(again, Again)
    assert again.trouble is Trouble.BROKEN


@pytest.mark.parametrize(
    ("status", "trouble"),
    [(408, Trouble.BROKEN), (423, Trouble.LOCKED), (500, Trouble.BROKEN), (501, Trouble.BROKEN)]
    + [(status, Trouble.OVERLOADED) for status in (502, 503, 504, 521, 523, 524)]
    + [(status, Trouble.EDGE) for status in (522, 525, 526)],
)
def test_what_may_pass_is_asked_again(status, trouble):
    """Locks and failures of HubSpot's are worth another try, whatever the body is, as late as they ask."""
    assert judged(status, raw=b"error code", retry_after="7") == Again(trouble, judged(status).what, 7.0)


def test_limits_by_policy():
    """429 goes by its policy, in any spelling; what is unknown is taken for the ten seconds."""
    assert limited("TEN_SECONDLY_ROLLING").trouble is Trouble.ROLLING
    assert limited("Secondly").trouble is Trouble.SECONDLY
    assert limited("BURSTS").trouble is Trouble.ROLLING
    assert judged(429, raw=b"slow down").trouble is Trouble.ROLLING


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 5_000),
        ({"retry_after": "60"}, 60),
        ({"retry_after": "Sun, 17 May 2026 18:44:10 GMT"}, 120),
        ({"retry_after": "999999"}, 5_000),
    ],
)
def test_a_used_up_day_holds_to_midnight(headers, seconds):
    """DAILY holds the sink to the account's midnight, or for as long as HubSpot asks, never longer."""
    with pytest.raises(SinkHeld) as held:
        limited("DAILY", **headers)
    assert held.value.retry_after_s == seconds


def test_a_moving_account_is_held():
    """477 holds for as long as HubSpot says, at most a day."""
    for given_s, held_s in (("30", 30), ("86400", 86_400), ("999999", 86_400), ("", 3_600)):
        with pytest.raises(SinkHeld) as held:
            judged(477, retry_after=given_s)
        assert held.value.retry_after_s == held_s


def test_a_refused_token_is_held():
    """401 holds the sink and says how to replace the token."""
    with pytest.raises(SinkHeld, match="token") as held:
        judged(401, {"message": "expired pat-na1-secret"})
    assert "service key" in held.value.hint
    assert held.value.retry_after_s == 600


def test_missing_scopes_are_named():
    """403 holds the sink and names the scopes, and nothing that only looks like one."""
    context = {"requiredGranularScopes": ["crm.objects.contacts.write", "pat-na1-aaaa", "a b", 7]}
    with pytest.raises(SinkHeld) as held:
        judged(403, {"category": "MISSING_SCOPES", "errors": [{"context": context}]})
    assert "crm.objects.contacts.write" in held.value.hint
    assert "pat-" not in held.value.hint
    assert scopes_of({"errors": "x", "context": {"requiredScopes": "oauth"}}) == ("oauth",)
    with pytest.raises(SinkHeld):
        judged(403, raw=b"<html>")


@pytest.mark.parametrize("status", [301, 302, 308, 404, 405, 415])
def test_a_wrong_address_is_configuration(status):
    """Redirects and unknown paths hold the sink: no record is at fault."""
    with pytest.raises(SinkHeld) as held:
        judged(status, {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "HTTP 404 Not Found"})
    assert "base_url" in held.value.hint
    with pytest.raises(SinkHeld):
        judged(status, raw=b"<html>")


def test_a_missing_record_is_data():
    """404 that names ids is about those, not about the path."""
    with pytest.raises(Refused) as refused:
        judged(404, {"category": "OBJECT_NOT_FOUND", "context": {"ids": ["55"]}})
    assert refused.value.fault.named == {"55"}


@pytest.mark.parametrize("status", [400, 409, 414, 422])
def test_a_refused_request_is_parsed(status):
    """400 and the like carry what is wrong, in our words; a web page with that status refuses nothing."""
    with pytest.raises(Refused) as refused:
        judged(status, INVALID)
    fault = refused.value.fault
    assert (refused.value.status, fault.category) == (status, "VALIDATION_ERROR")
    assert fault.chief == ("INVALID_EMAIL", "email")
    assert fault.correlation_id == CORRELATION
    assert CORRELATION in refused.value.hint
    assert "zoe" not in str(refused.value)
    with pytest.raises(SinkUnavailable):
        judged(status, raw=b"<html>")


def test_too_long_an_answer_is_none():
    """An answer beyond our bound is neither success nor refusal."""
    with pytest.raises(SinkUnavailable):
        judge(Reply(200, {}, None), now_ms=NOW_MS, to_midnight_s=lambda: 1.0)


@given(st.text(max_size=40))
def test_any_retry_after_is_read(text):
    """Whatever the header holds, it is seconds from now or nothing."""
    seconds = retry_after_s({"Retry-After": text}, NOW_MS)
    assert seconds is None or seconds >= 0


LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
INNER = LEAF | st.dictionaries(
    st.sampled_from(["context", "code", "vid", "ids", "propertyName"]), LEAF | st.lists(LEAF)
)
JSON = INNER | st.lists(INNER, max_size=3) | st.dictionaries(st.text(max_size=8), INNER, max_size=3)
NAMES = ["category", "message", "errors", "context", "subCategory", "error", "identityProfile", "correlationId"]


@given(st.dictionaries(st.sampled_from(NAMES), JSON), st.sampled_from([400, 401, 403, 404, 409, 429, 503]))
def test_any_document_is_survived(document, status):
    """All members are optional and may be anything."""
    with contextlib.suppress(SinkUnavailable, Refused):
        assert judged(status, document) is not None


def test_details_inside_the_message():
    """A JSON list inside the message names code and property."""
    listed = '[{"isValid":false,"message":"Email address x is invalid","error":"INVALID_EMAIL","name":"email"}]'
    fault = parse_fault({"message": f"Property values were not valid: {listed}"}, None)
    assert fault.details == (("INVALID_EMAIL", "email"),)
    assert parse_fault({"message": "not valid: [{broken}]"}, None).details == ()


@pytest.mark.parametrize(
    "document",
    [
        {"category": "CONFLICT", "message": "Contact already exists. Existing ID: 171"},
        {"category": "CONFLICT", "context": {"existingId": ["171"], "objectWriteTraceId": ["0"]}},
        {"category": "OBJECT_ALREADY_EXISTS", "error": "CONTACT_EXISTS", "identityProfile": {"vid": 171}},
    ],
)
def test_a_conflict_names_the_record(document):
    """Every shape of a conflict gives the record that is in the way."""
    refusal = parse_fault(document, CORRELATION).to_refusal()
    assert refusal.existing_id == "171"
    assert refusal.correlation_id == CORRELATION


def test_duplicates_are_named():
    """The ids that HubSpot finds twice are read from the context, or else from the message."""
    message = "Duplicate IDs found in batch input: [12, 34]. IDs must be unique"
    assert parse_fault({"message": message}, None).named == {"12", "34"}
    assert parse_fault({"message": message, "context": {"ids": ["56"]}}, None).named == {"56"}


def test_a_records_own_fault_comes_first():
    """Of several, the code that is about this record is told; those about every record are listed apart."""
    fault = Fault(details=(("READ_ONLY_VALUE", "hs_x"), ("INVALID_EMAIL", "email")))
    assert fault.chief == ("INVALID_EMAIL", "email")
    assert fault.properties == {"hs_x": "READ_ONLY_VALUE"}


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_value_comes_through(code, name):
    """Codes and names are of a closed alphabet: what does not look like one is dropped."""
    fault = parse_fault(
        {"category": code, "correlationId": name, "errors": [{"code": code, "context": {"propertyName": [name]}}]}, None
    )
    shown = [fault.category, *(part for detail in fault.details for part in detail)]
    assert all(part is None or re.fullmatch(r"[A-Z0-9_]+|[a-z0-9_]+", part) for part in shown)


@pytest.mark.parametrize("trouble", list(Trouble))
def test_patience_ends(trouble):
    """Each trouble is met so many times and no more, and nothing is begun after the budget."""
    patience = Patience(0.0)
    waits = [patience.wait_s(Again(trouble, ""), 0.0, 1.0) for _ in range(TRIES[trouble] + 1)]
    assert None not in waits[:-1]
    assert waits[-1] is None
    assert Patience(0.0).wait_s(Again(trouble, ""), BUDGET_S + 1, 1.0) is None
    assert Patience(0.0).wait_s(Again(Trouble.OVERLOADED, "", 3_600.0), 0.0, 1.0) is None


def test_waits():
    """A lock is waited out for two seconds and more; overload with full jitter, growing."""
    assert Patience(0.0).wait_s(Again(Trouble.LOCKED, ""), 0.0, 0.0) == 2.0
    patience = Patience(0.0)
    assert [patience.wait_s(Again(Trouble.OVERLOADED, ""), 0.0, 1.0) for _ in range(5)] == [2, 4, 8, 16, 16]
    assert Patience(0.0).wait_s(Again(Trouble.OVERLOADED, ""), 0.0, 0.0) == 0.0
