"""What a hostile reading of the transport found, each a law that did not hold before."""

import itertools
import json

import pytest

from stibgate.errors import SinkUnavailable
from stibgate.sinks.hubspot.answers import Answer, Refused, Reply, judge, retry_after_s
from stibgate.sinks.hubspot.objects import Objects
from stibgate.sinks.hubspot.requests import Write
from stibgate.sinks.hubspot.shapes import Input, Written
from tests.sinks.hubspot.transport import Canned, Script, in_virtual_time


def reply(status, document, **headers):
    return Reply(status, headers, json.dumps(document).encode())


def test_a_complaint_with_a_trace_id_is_about_that_input_alone():
    """A context that also names a record which another input of the batch updates does not refuse that input."""
    errand = Write(None, "contacts", None, trace_ids=True)
    items = [Input("101", {"a": "1"}), Input("102", {"a": "2"})]
    context = {"objectWriteTraceId": ["0"], "conflictingObjectIds": ["102"]}
    document = {
        "results": [{"id": "102", "objectWriteTraceId": "1", "properties": {}}],
        "errors": [{"status": "error", "category": "VALIDATION_ERROR", "message": "x", "context": context}],
        "numErrors": 1,
    }
    sorted_ = errand.sort(items, Answer(207, document, None))
    assert set(sorted_.faults) == {0}
    assert sorted_.done == {1: Written("102", new=False)}


def test_a_404_that_speaks_of_an_object_is_about_data():
    """One deleted record must not hold the whole sink as if the path were wrong."""
    document = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "resource not found"}
    with pytest.raises(Refused):
        judge(reply(404, document), now_ms=0, to_midnight_s=lambda: 1.0, by_id=True)


@pytest.mark.parametrize("status", [402, 407, 425, 451, 499])
def test_a_status_that_is_not_about_data_gives_no_record_up(status):
    """Only 400, 409, 413, 414, 422 and a 404 about objects are about what was sent."""
    with pytest.raises(SinkUnavailable):
        judge(reply(status, {"status": "error", "category": "X"}), now_ms=0, to_midnight_s=lambda: 1.0)


def test_a_retry_after_with_an_absurd_zone_says_nothing():
    assert retry_after_s({"Retry-After": "Wed, 21 Oct 2026 07:28:00 +99999999999999"}, 0) is None


@in_virtual_time
async def test_a_search_that_is_told_to_wait_waits():
    """A search with a ten-secondly 429 comes again when the window is free, not five times within a second."""
    limited = {"status": "error", "policyName": "TEN_SECONDLY_ROLLING", "message": "ten_secondly_rolling"}
    script = Script(Canned(limited, 429), Canned(limited, 429), Canned({"results": []}))
    async with script.client() as client:
        await Objects(client).search("companies", "domain", ["a.example.org"], ["domain"])
    times = [seen.at_s for seen in script.seen]
    assert min(b - a for a, b in itertools.pairwise(times)) >= 9


@in_virtual_time
async def test_addresses_that_only_fold_alike_are_two():
    """Two addresses of which one has an eszett are not one address."""
    document = {"results": [{"id": "1", "properties": {"email": "strasse@example.com"}}]}
    async with Script(Canned(document)).client() as client:
        found = await Objects(client).read(
            "contacts", ["strasse@example.com", "straße@example.com"], id_property="email", properties=["email"]
        )
    assert set(found) == {"strasse@example.com"}


@pytest.mark.parametrize("status", [423, 503])
@pytest.mark.parametrize("asked", ["300000", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_retry_after_is_capped(status, asked):
    """A figure in milliseconds, or an absurd one, must not push a task past its `max_age`, where it is dead at once."""
    again = judge(reply(status, {}, **{"Retry-After": asked}), now_ms=0, to_midnight_s=lambda: 1.0)
    assert again.wait_s is None or again.wait_s <= 3600
