"""What is sent: the body, its proof, and the attributes of CloudEvents."""

import dataclasses
import json
import time
from urllib.parse import unquote

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from stibgate.domain.record import Issue, IssueReason, Provenance
from stibgate.sinks.webhook.envelope import body_of, cloudevents_headers
from stibgate.testing import RECEIVED_AT_MS, make_batch
from tests.sinks.webhook.world import OLD_SECRET, SECRET, far, http, opened, refused


def now_ms() -> int:
    return int(time.time() * 1000)  # the official verifier has a clock of its own


async def test_the_body_is_the_documented_one():
    """The keys around the records are always there; a record has what is set, and its position."""
    batch = make_batch(
        "t1", [3], company_state=None, issues=(Issue("mobile_phone", IssueReason.INVALID, "x"),), extra={"a": [1]}
    )
    async with far() as there, opened(there.url) as sink:
        await sink.deliver(batch)
    (request,) = there.requests
    assert (request.method, request.path) == ("POST", "/in")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(request.body))
    assert request.document == {
        "type": "prospecting.records.pushed",
        "delivery_id": batch.provenance.delivery_id,
        "source": "stibnite",
        "partner_customer_id": batch.provenance.partner_customer_id,
        "partner_user_id": "user_1",
        "search_id": "search_1",
        "job_id": None,
        "records": [batch.records[0].to_document()],
    }
    assert list(request.document) == [
        "type",
        "delivery_id",
        "source",
        "partner_customer_id",
        "partner_user_id",
        "search_id",
        "job_id",
        "records",
    ]
    assert request.document["records"][0]["issues"] == [{"field": "mobile_phone", "reason": "invalid", "original": "x"}]


async def test_the_body_is_compact_utf8():
    """No spaces between tokens, and letters as themselves."""
    body = body_of(make_batch("t1", [0], first_name="Zoë 张"))
    assert "Zoë 张".encode() in body
    assert body == json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()


def test_half_a_character_is_replaced():
    """A lone surrogate, which has no UTF-8, does not stop a delivery."""
    assert json.loads(body_of(make_batch("t1", [0], extra={"k": "a\ud800b"})))["records"][0]["extra"] == {
        "k": "a\ufffdb"
    }


async def test_two_thousand_records_are_one_post():
    """The largest delivery goes as one request, whole, and verifies."""
    batch = make_batch("t1", range(2000), extra={"note": "x" * 400})
    async with far() as there, opened(there.url, now_ms=now_ms) as sink:
        outcomes = await sink.deliver(batch)
    (request,) = there.requests
    assert len(request.body) > 1 << 20
    assert [outcome.position for outcome in outcomes] == list(range(2000))
    assert len(Webhook(SECRET).verify(request.body, request.headers)["records"]) == 2000


async def test_the_official_library_verifies():
    """Standard Webhooks' own library takes our signature, and no other body under it."""
    async with far() as there, opened(there.url, now_ms=now_ms) as sink:
        await sink.deliver(make_batch("t1", [0]))
    (request,) = there.requests
    assert request.headers["webhook-id"] == "t1"
    Webhook(SECRET).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD_SECRET).verify(request.body, request.headers)


async def test_every_secret_signs_while_one_is_rotated():
    """Receivers with the new and with the old secret both verify; the newest signature stands first."""
    async with far() as there:
        async with opened(there.url, now_ms=now_ms, secret=[SECRET, OLD_SECRET]) as sink:
            await sink.deliver(make_batch("t1", [0]))
        async with opened(there.url, now_ms=now_ms, secret=SECRET) as sink:
            await sink.deliver(make_batch("t1", [0]))
    both, one = there.requests
    Webhook(SECRET).verify(both.body, both.headers)
    Webhook(OLD_SECRET).verify(both.body, both.headers)
    assert [text[:3] for text in both.headers["webhook-signature"].split(" ")] == ["v1,", "v1,"]
    assert len(one.headers["webhook-signature"].split(" ")) == 1
    newest = dataclasses.replace(
        both, headers={**both.headers, "webhook-signature": both.headers["webhook-signature"].split(" ")[0]}
    )
    Webhook(SECRET).verify(newest.body, newest.headers)


async def test_a_retry_is_the_same_message_at_another_time():
    """Attempts have one id and one body, byte for byte; timestamp and signature are new."""
    clock = [now_ms()]
    async with far(http(503)) as there, opened(there.url, now_ms=lambda: clock[0]) as sink:
        await refused(sink, make_batch("t1", [0, 1]))
        there.answer = http(200)
        clock[0] += 5_000
        await sink.deliver(make_batch("t1", [0, 1], attempt=2))
    first, second = there.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "t1"
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 5
    Webhook(SECRET).verify(second.body, second.headers)


async def test_a_resend_has_an_id_of_its_own():
    """What an operator asks for again is another message, whose id has no full stop, which would break the proof."""
    async with far() as there, opened(there.url, now_ms=now_ms, cloudevents=True) as sink:
        await sink.deliver(make_batch("tsk_1", [0], resend=2))
    (request,) = there.requests
    assert request.headers["webhook-id"] == request.headers["ce-id"] == "tsk_1-2"
    Webhook(SECRET).verify(request.body, request.headers)


async def test_cloudevents_are_headers():
    """With `cloudevents` the attributes of CloudEvents 1.0 come as headers, beside the same body and proof."""
    batch = make_batch("t1", [0])
    async with far() as there:
        async with opened(there.url, cloudevents=True, now_ms=now_ms) as sink:
            await sink.deliver(batch)
        async with opened(there.url) as sink:
            await sink.deliver(batch)
    with_them, without = there.requests
    assert {name: value for name, value in with_them.headers.items() if name.startswith("ce-")} == {
        "ce-specversion": "1.0",
        "ce-id": "t1",
        "ce-source": "/stibgate/sources/stibnite",
        "ce-type": "prospecting.records.pushed",
        "ce-subject": batch.provenance.delivery_id,
        "ce-time": "2026-05-17T18:42:10.004Z",
    }
    assert not any(name.startswith("ce-") for name in without.headers)
    assert with_them.body == without.body
    assert with_them.headers["content-type"] == "application/json"
    Webhook(SECRET).verify(with_them.body, with_them.headers)


@pytest.mark.parametrize(
    "text, encoded",
    [
        ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ('100% "x"', "100%25%20%22x%22"),
        ("a\r\nevil: 1", "a%0D%0Aevil:%201"),
        ("~!'()-._", "~!'()-._"),
        ("\x7f\x00", "%7F%00"),
    ],
)
def test_an_attribute_is_percent_encoded(text, encoded):
    """Attributes become printable ASCII without spaces and quotes, and come back as they were."""
    origin = Provenance("dlv_1", "stibnite", text, "2026-05-17T18:42:10.004Z")
    value = cloudevents_headers(origin, "t1")["ce-type"]
    assert value == encoded
    assert unquote(value) == text


async def test_headers_of_the_operator_come_along():
    """Configured headers are sent; nothing asks for a compressed answer, and cookies are not kept."""
    answer = http(200, headers="set-cookie: a=b\r\n")
    async with far(answer) as there, opened(there.url, headers={"Authorization": "Bearer k3y-of-them"}) as sink:
        await sink.deliver(make_batch("t1", [0]))
        await sink.deliver(make_batch("t2", [1]))
    assert {request.headers["authorization"] for request in there.requests} == {"Bearer k3y-of-them"}
    assert {request.headers["accept-encoding"] for request in there.requests} == {"identity"}
    assert {request.headers["user-agent"] for request in there.requests} == {"stibgate"}
    assert not any("cookie" in request.headers for request in there.requests)
    assert there.connections == 2  # a kept one might be gone when it is needed


async def test_the_timestamp_is_the_attempt():
    """`webhook-timestamp` is the clock's second, whatever the delivery's age."""
    async with far() as there, opened(there.url) as sink:
        await sink.deliver(make_batch("t1", [0], received_at_ms=1))
    assert there.requests[0].headers["webhook-timestamp"] == str(RECEIVED_AT_MS // 1000)
