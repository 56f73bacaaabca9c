"""Every answer of the public listener, over a real socket."""

import asyncio
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stibgate.domain.event import QuarantineReason
from stibgate.errors import StoreFull, StoreTimeout, StoreUnavailable
from stibgate.signatures import Secret
from stibgate.stores.memory import MemoryStore
from tests.pipeline.world import NOW_MS, OLD_SECRET, SECRET, TOKEN, delivery, job, make_source, signed
from tests.web.door import CANARY, OTHER_TOKEN, open_door, request

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
async def door():
    async with open_door() as opened:
        yield opened


# -- 202

_PROOFS = {
    "signature": ("/hooks/stib", True),
    "token in the path": (f"/hooks/push/{TOKEN}", False),
    "token in the query": (f"/hooks/push?key={TOKEN}", False),
    "token among other things": (f"/hooks/push?a=b&key={TOKEN}&c", False),
    "both": (f"/hooks/both/{TOKEN}", True),
    "either, by signature": ("/hooks/either", True),
    "either, by token": (f"/hooks/either?key={TOKEN}", False),
    "absolute form": (f"http://gateway.test/hooks/push/{TOKEN}", False),
}


@pytest.mark.parametrize(("path", "sign"), _PROOFS.values(), ids=_PROOFS)
async def test_202_authentic_and_committed(door, path, sign):
    """An authentic delivery is answered 202 with its id, its status and how many records came, and it is stored."""
    body = delivery(records=3).body
    answer = await door.post(path, body, signed(body) if sign else [])
    (held,) = door.stored
    assert answer.status == 202
    assert answer.header("content-type") == "application/json"
    assert answer.json == {"delivery_id": held.delivery_id, "status": "accepted", "records": 3}
    assert door.store.body(held.delivery_id) == body


async def test_202_duplicate(door):
    """The same delivery again is answered 202 with the first one's id."""
    body = job(records=2).body
    first, second = await door.deliver(body), await door.deliver(body)
    assert second.status == 202
    assert second.json == {**first.json, "status": "duplicate"}
    assert len(door.stored) == 1


async def test_202_two_copies_at_once(door):
    """Two copies that arrive together are one delivery: one accepted, one duplicate."""
    body = job().body
    answers = await asyncio.gather(door.deliver(body), door.deliver(body))
    assert sorted(answer.json["status"] for answer in answers) == ["accepted", "duplicate"]
    assert len({answer.json["delivery_id"] for answer in answers}) == len(door.stored) == 1


async def test_202_ignored(door):
    """An event of an unknown type is kept and answered 202 as ignored."""
    body = b'{"event": "person_search.job.archived", "job_id": "j1"}'
    answer = await door.deliver(body)
    assert (answer.status, answer.json["status"]) == (202, "ignored")
    assert door.store.body(answer.json["delivery_id"]) == body


_QUARANTINED = {
    b"not json": QuarantineReason.NOT_JSON_OBJECT,
    b"": QuarantineReason.NOT_JSON_OBJECT,
    b'{"a": "\xff"}': QuarantineReason.NOT_JSON_OBJECT,
    b"[" * 100_000: QuarantineReason.TOO_DEEP,
    b'{"event": "prospecting.records.pushed", "data": [], "x": Infinity}': QuarantineReason.NOT_FINITE,
    b"{}": QuarantineReason.ENVELOPE,
    b'{"event": "person_search.job.succeeded", "job_id": "j"}': QuarantineReason.RECORDS_MISSING,
}


@pytest.mark.parametrize(("body", "reason"), _QUARANTINED.items(), ids=range(len(_QUARANTINED)))
async def test_202_quarantined(door, body, reason):
    """A paid delivery is never thrown back for its shape: it is kept whole and answered 202 with the reason."""
    answer = await door.deliver(body)
    assert answer.status == 202
    assert (answer.json["status"], answer.json["reason"]) == ("quarantined", reason)
    assert door.store.body(answer.json["delivery_id"]) == body


def test_every_reason_of_intake_has_its_answer():
    """Every reason for quarantine is either answered to the sender, or found only after the answer."""
    later = {reason for reason in QuarantineReason if reason.awaits_result} - {QuarantineReason.RECORDS_MISSING}
    known_jobs_only = QuarantineReason.JOB_UNKNOWN
    answered = {*_QUARANTINED.values(), known_jobs_only}
    assert {*answered, *later, QuarantineReason.PROCESSING} == set(QuarantineReason)


@given(bodies=st.lists(st.binary(max_size=200) | st.text(max_size=50).map(str.encode), min_size=1, max_size=20))
@settings(max_examples=25, deadline=None)
def test_no_body_is_answered_with_anything_but_202(bodies):
    """Whatever an authentic sender puts into the body, the answer is 202 and the bytes are kept."""

    async def main():
        async with open_door() as door:
            for body in bodies:
                answer = await door.deliver(body)
                assert answer.status == 202
                assert door.store.body(answer.json["delivery_id"]) == body

    asyncio.run(main())


async def test_ack_status():
    """A source's acknowledgements carry the status it was given; its refusals do not."""
    async with open_door(with_sources=[make_source(ack_status=200)]) as door:
        body = job().body
        assert [(await door.deliver(body)).status for _ in range(2)] == [200, 200]
        assert (await door.deliver(b"{}")).status == 200
        assert (await door.post("/hooks/stib", body)).status == 401


@pytest.mark.parametrize("status", [200, 204, 205, 299])
async def test_ack_status_keeps_the_connection(status):
    """Whatever 2xx a source acknowledges with, the next answer on the same connection is read right."""
    async with (
        open_door(with_sources=[make_source(ack_status=status)]) as door,
        asyncio.timeout(60),
        door.connect() as line,
    ):
        for serial in range(3):
            body = job(serial=serial).body
            await line.send(request("POST", "/hooks/stib", body, signed(body)))
            answer = await line.read()
            assert answer.status == status
            assert (answer.body == b"") == (status in {204, 205})


# -- URL checks

_CHECKED = ["/hooks/stib", f"/hooks/push/{TOKEN}", f"/hooks/push?key={TOKEN}", "/hooks/either"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", _CHECKED)
async def test_url_checks(door, method, path):
    """GET and HEAD on a hook say 200 and nothing else."""
    answer = await door.exchange(request(method, path), head_only=method == "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("x-request-id")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_healthz(door, method):
    """The public health page says that it is up, and no detail."""
    answer = await door.exchange(request(method, "/healthz"), head_only=method == "HEAD")
    assert answer.status == 200
    assert answer.body == (b'{"status":"ok"}' if method == "GET" else b"")


# -- 404

_NOT_FOUND = {
    "unknown source": "/hooks/nobody",
    "unknown source with a token": f"/hooks/nobody/{TOKEN}",
    "wrong token": f"/hooks/push/{TOKEN[:-1]}x",
    "longer token": f"/hooks/push/{TOKEN}x",
    "wrong token in the query": "/hooks/push?key=wrong",
    "missing token": "/hooks/push",
    "missing second proof": "/hooks/both",
    "empty token": "/hooks/push/",
    "empty key": "/hooks/push?key=",
    "another source's token": f"/hooks/push/{OTHER_TOKEN}",
    "token of a source without": f"/hooks/stib/{TOKEN}",
    "other case": f"/hooks/push/{TOKEN.upper()}",
    "encoded token": f"/hooks/push/%74{TOKEN[1:]}",
    "encoded key": f"/hooks/push?key=%74{TOKEN[1:]}",
    "encoded source": f"/hooks/%70ush/{TOKEN}",
    "trailing slash": f"/hooks/push/{TOKEN}/",
    "doubled slash": f"/hooks//push/{TOKEN}",
    "doubled token": f"/hooks/push/{TOKEN}?key={TOKEN}",
    "doubled key": f"/hooks/push?key={TOKEN}&key={TOKEN}",
    "token with a parameter": f"/hooks/push/{TOKEN};a=b",
    "upper-case route": f"/HOOKS/push/{TOKEN}",
    "no source": "/hooks/",
    "dots": f"/hooks/stib/../push/{TOKEN}",
    "no such page": "/admin",
    "root": "/",
}


@pytest.mark.parametrize("path", _NOT_FOUND.values(), ids=_NOT_FOUND)
async def test_404_tells_nothing(door, path):
    """Unknown source and wrong, missing, encoded or doubled token are one and the same 404."""
    usual = await door.post("/hooks/unheard-of")
    answer = await door.post(path, delivery().body, signed(delivery().body))
    assert answer.status == 404
    assert answer.shape == usual.shape
    assert not door.stored


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_404_before_the_method(door, method):
    """Who does not know the token learns nothing from any method either."""
    usual = await door.exchange(request(method, "/hooks/unheard-of"), head_only=method == "HEAD")
    answer = await door.exchange(request(method, "/hooks/push/wrong"), head_only=method == "HEAD")
    assert answer.status == usual.status == 404
    assert [name for name, _ in answer.headers] == [name for name, _ in usual.headers]


# -- 401

_PROVES_NOTHING = {
    "missing": lambda body: [],
    "malformed": lambda body: [("stibnite-signature", "t=now,v1=zz")],
    "mismatch": lambda body: signed(body, secret=OLD_SECRET),
    "repeated": lambda body: [*signed(body), *signed(body)],
    "stale": lambda body: signed(body, at_ms=NOW_MS - 3_600_000),
    "future": lambda body: signed(body, at_ms=NOW_MS + 3_600_000),
    "expired_secret": lambda body: signed(body, secret="whsec_expired-secret-of-the-tests"),
}


@pytest.mark.parametrize("reason", _PROVES_NOTHING)
async def test_401_tells_nothing(reason, lines):
    """Every failed authentication gets the same 401; why it failed is for the log only, and nothing is stored."""
    secrets = [Secret(SECRET, "1"), Secret("whsec_expired-secret-of-the-tests", "2", NOW_MS / 1000 - 1)]
    async with open_door(with_sources=[make_source(secrets=secrets)]) as door:
        body = job().body
        usual = await door.post("/hooks/stib", body)
        answer = await door.post("/hooks/stib", body, _PROVES_NOTHING[reason](body))
        assert answer.status == 401
        assert answer.shape == usual.shape
        assert not door.stored
    assert lines.of("delivery.rejected")[-1]["reason"] == reason


# -- 4xx by their names


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"])
async def test_405(door, method):
    """Any other method on a hook is 405 and says which ones there are."""
    answer = await door.exchange(request(method, "/hooks/stib"))
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD, POST")
    assert answer.problem


async def test_405_on_the_health_page(door):
    """A page of ours that takes no deliveries does not say that it would."""
    answer = await door.post("/healthz")
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "head",
    [
        request("POST", "/hooks/stib", b"{", length=100),
        request("POST", "/hooks/stib", b"", [("Transfer-Encoding", "chunked")]).replace(b"Content-Length: 0\r\n", b"")
        + b"5\r\n{",
    ],
    ids=["declared", "chunked"],
)
async def test_408_slow_body(head):
    """A body that is not there within `body_timeout` is 408, and the connection is closed."""
    async with open_door(body_timeout_s=0.05) as door, asyncio.timeout(60), door.connect() as line:
        await line.send(head)
        answer = await line.read()
        assert answer.status == 408
        assert answer.problem
        assert await line.closed()
        assert not door.stored


@pytest.mark.parametrize("together", [True, False], ids=["one segment", "later segment"])
@pytest.mark.parametrize("broken", [b"zz\r\n", b"5\r\n{}xxxxxxx\r\n", b"-1\r\n", b"0x5\r\nhello\r\n"])
async def test_400_or_408_broken_framing(broken, together):
    """A body whose framing breaks is a 4xx and a closed connection within `body_timeout`, never a 5xx."""
    head = (
        b"POST /hooks/stib HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    async with open_door(body_timeout_s=0.1) as door, asyncio.timeout(60), door.connect() as line:
        await line.send(head + broken if together else head)
        if not together:
            await line.send(broken)
        answer = await line.read()
        assert answer.status in {400, 408}
        assert answer.problem
        assert await line.closed()
        assert not door.stored


async def test_413_declared():
    """A body that says it is too large is refused before a byte of it was read."""
    async with open_door(max_body_bytes=1000) as door:
        answer = await door.exchange(request("POST", "/hooks/stib", b"", length=1001))
        assert answer.status == 413
        assert answer.problem["title"] == "Content Too Large"


@pytest.mark.parametrize("together", [True, False], ids=["one segment", "many segments"])
async def test_413_by_counting(together):
    """A body without a declared size is refused as soon as it is too large."""
    head = (
        b"POST /hooks/stib HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
    async with open_door(max_body_bytes=1000) as door, asyncio.timeout(60), door.connect() as line:
        if together:
            await line.send(head + chunk * 11 + b"0\r\n\r\n")
        else:
            await line.send(head)
            for _ in range(11):
                await line.send(chunk)
        answer = await line.read()
        assert answer.status == 413
        assert answer.problem


async def test_a_body_at_the_limit_is_taken():
    """Exactly `max_body` bytes are not too many, declared or chunked."""
    body = b"{" + b" " * 998 + b"}"
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    async with open_door(max_body_bytes=1000) as door:
        assert (await door.deliver(body)).status == 202
        head = request("POST", "/hooks/stib", b"", [*signed(body), ("Transfer-Encoding", "chunked")])
        answer = await door.exchange(head.replace(b"Content-Length: 0\r\n", b"") + chunked)
        assert (answer.status, answer.json["status"]) == (202, "duplicate")


@pytest.mark.parametrize("length", [2049, 8000, 20_000, 70_000])
async def test_414(door, length):
    """A target that is too long is 414, however much too long."""
    path = "/hooks/push/" + "a" * (length - 12)
    answer = await door.post(path)
    assert answer.status == 414
    assert answer.problem


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "x", "json"]
)
async def test_415_content_type(door, kind):
    """A body that does not say that it is JSON is not read."""
    answer = await door.post("/hooks/stib", b"{}", signed(b"{}"), content_type=kind)
    assert answer.status == 415
    assert answer.problem
    assert not door.stored


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=x-evil", "application/cloudevents+json; charset=utf-8"]
)
async def test_every_json_is_json(door, kind):
    """JSON is taken under each of its names, and nothing is ever decoded by a charset."""
    assert (await door.post("/hooks/stib", b"{}", signed(b"{}"), content_type=kind)).status == 202


@pytest.mark.parametrize("encodings", [["gzip"], ["br"], ["deflate"], ["x"], ["identity, gzip"], ["identity", "gzip"]])
async def test_415_content_encoding(door, encodings):
    """Only what is signed is read: any content encoding but identity is refused, also as a second header."""
    headers = [("Content-Encoding", encoding) for encoding in encodings]
    answer = await door.deliver(b"{}", headers)
    assert answer.status in ({415} if len(encodings) == 1 else {400, 415})
    assert answer.problem
    assert not door.stored


async def test_identity_is_no_encoding(door):
    """`identity` is what there is without the header."""
    assert (await door.deliver(b"{}", [("Content-Encoding", "Identity")])).status == 202


async def test_417(door):
    """An expectation that nobody knows is refused by name."""
    answer = await door.deliver(b"{}", [("Expect", "200-ok")])
    assert answer.status == 417
    assert answer.problem


async def test_100_after_a_good_head(door):
    """The sender is asked for the body once its head was found good, and then answered."""
    body = job().body
    async with asyncio.timeout(60), door.connect() as line:
        head = request("POST", "/hooks/stib", b"", [*signed(body), ("Expect", "100-continue")], length=len(body))
        await line.send(head)
        assert (await line.read()).status == 100
        await line.send(body)
        assert (await line.read()).status == 202


@pytest.mark.parametrize(
    ("path", "changes", "status"),
    [
        ("/hooks/push/wrong", {}, 404),
        ("/hooks/stib", {"length": 10**10}, 413),
        ("/hooks/stib", {"content_type": "text/plain"}, 415),
    ],
)
async def test_no_100_after_a_bad_head(door, path, changes, status):
    """A sender whose head is refused is never asked for its body."""
    head = request("POST", path, b"", [("Expect", "100-continue")], **{"length": 10, **changes})
    assert (await door.exchange(head)).status == status


async def test_429_per_source():
    """A source over its rate is told when to come back, and no other source notices."""
    async with open_door(rate=0.25, burst=2) as door:
        assert [(await door.deliver(job(serial=n).body)).status for n in range(2)] == [202, 202]
        answer = await door.deliver(job(serial=3).body)
        assert (answer.status, answer.header("retry-after")) == (429, "4")
        assert answer.problem
        assert len(door.stored) == 2
        assert (await door.post(f"/hooks/push/{TOKEN}", b"{}")).status == 202


@pytest.mark.parametrize(
    "headers",
    [[("X-Large", "a" * 17_000)], [("X" * 17_000, "a")], [(f"X-{n}", "a") for n in range(101)]],
    ids=["long value", "long name", "many"],
)
async def test_431(door, headers):
    """Too much of a head is 431."""
    answer = await door.deliver(b"{}", headers)
    assert answer.status == 431
    assert answer.problem
    assert not door.stored


# -- 5xx: ours alone


async def test_503_draining(door):
    """A gateway that is stopping takes nothing more and says when to come again."""
    door.receiver.draining = True
    answer = await door.deliver(job().body)
    assert (answer.status, answer.header("connection")) == (503, "close")
    assert int(answer.header("retry-after")) > 0
    assert answer.problem
    assert not door.stored


async def test_503_too_many_requests_in_flight():
    """More requests at once than `concurrency` are told to come again."""
    async with open_door(requests_max=1) as door, asyncio.timeout(60), door.connect() as first:
        await first.send(request("POST", "/hooks/stib", b"", [*signed(b"{}"), ("Expect", "100-continue")], length=2))
        assert (await first.read()).status == 100
        answer = await door.deliver(job().body)
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        assert answer.problem
        await first.send(b"{}")
        assert (await first.read()).status == 202
        assert (await door.deliver(job().body)).status == 202


async def test_503_too_many_bytes_in_flight():
    """More body bytes at once than `bytes_in_flight` are told to come again."""
    async with open_door(bytes_max=1000) as door, asyncio.timeout(60), door.connect() as line:
        await line.send(request("POST", "/hooks/stib", b"", length=5000))
        for _ in range(11):
            await line.send(b"x" * 100)
        answer = await line.read()
        assert answer.status == 503
        assert int(answer.header("retry-after")) > 0
        assert answer.problem


async def test_503_the_store_does_not_confirm():
    """When the commit does not come within `ack_timeout` nothing is acknowledged."""

    class Stuck(MemoryStore):
        async def admit(self, delivery, *, only_if_new=False):
            raise StoreTimeout("the store did not confirm in time")

    async with open_door(store=Stuck()) as door:
        answer = await door.deliver(job().body)
        assert answer.status == 503
        assert int(answer.header("retry-after")) > 0
        assert answer.problem


@pytest.mark.parametrize("error", [StoreUnavailable("the store is busy"), RuntimeError(CANARY)], ids=["store", "bug"])
async def test_503_cannot_store(error, lines):
    """A store that fails, and a bug of ours, never cost a delivery: the sender is asked to come again."""

    class Broken(MemoryStore):
        async def admit(self, delivery, *, only_if_new=False):
            raise error

    async with open_door(store=Broken()) as door:
        answer = await door.deliver(job().body)
        assert answer.status == 503
        assert int(answer.header("retry-after")) > 0
        assert answer.problem
        assert CANARY.encode() not in answer.body
    assert CANARY not in lines.text


async def test_507():
    """Without space to store, nothing is read, and the answer is 507."""

    def full():
        raise StoreFull("no space")

    async with open_door(check_space=full) as door:
        answer = await door.exchange(request("POST", "/hooks/stib", b"", length=10))
        assert answer.status == 507
        assert answer.problem
        assert not door.stored


# -- who is asking


@pytest.mark.parametrize(
    ("proxies", "given", "echoed"),
    [
        (LOOPBACK, "abc-123_DEF.4", True),
        ((), "abc-123_DEF.4", False),
        ((ip_network("10.0.0.0/8"),), "abc", False),
        (LOOPBACK, "a" * 129, False),
        (LOOPBACK, "a b", False),
        (LOOPBACK, "", False),
    ],
)
async def test_request_id(proxies, given, echoed, lines):
    """A request id is echoed when a trusted proxy sent a proper one, and made else; the log has the same one."""
    async with open_door(trusted_proxies=proxies) as door:
        good = await door.deliver(job().body, [("X-Request-Id", given)])
        bad = await door.post("/hooks/nobody", headers=[("X-Request-Id", given)])
    for answer in (good, bad):
        name = answer.header("x-request-id")
        assert (name == given) if echoed else name.startswith("made-")
    assert bad.problem["request_id"] == bad.header("x-request-id")
    assert [line["request_id"] for line in lines.all] == [good.header("x-request-id"), bad.header("x-request-id")]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "client"),
    [
        ((), ["192.0.2.7"], "127.0.0.1"),
        (LOOPBACK, [], "127.0.0.1"),
        (LOOPBACK, ["192.0.2.7"], "192.0.2.7"),
        (LOOPBACK, ["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        (LOOPBACK, ["198.51.100.1", "192.0.2.7"], "192.0.2.7"),
        ((*LOOPBACK, ip_network("10.0.0.0/8")), ["192.0.2.7, 10.1.1.1"], "192.0.2.7"),
        (LOOPBACK, ["2001:db8::7"], "2001:db8::7"),
        (LOOPBACK, ["192.0.2.7, nonsense"], "127.0.0.1"),
        (LOOPBACK, ["127.0.0.5"], "127.0.0.5"),
        (LOOPBACK, ["198.51.100.1, fe80::1%anything at all"], "127.0.0.1"),
    ],
)
async def test_the_client_is_the_nearest_that_nobody_vouches_for(proxies, forwarded, client, lines):
    """Only a trusted proxy may say who the client is, and only for the hop before it."""
    async with open_door(trusted_proxies=proxies) as door:
        await door.deliver(job().body, [("X-Forwarded-For", value) for value in forwarded])
    assert [line["client_ip"] for line in lines.of("delivery.accepted")] == [client]


# -- what is not HTTP

_MALFORMED = {
    "not HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + CANARY.encode() + b"\r\n\r\n",
    "no version": f"GET /{CANARY}\r\n\r\n".encode(),
    "space before the colon": f"POST /hooks/stib HTTP/1.1\r\nHost: x\r\nX-{CANARY} : {CANARY}\r\n\r\n".encode(),
    "NUL in a value": f"POST /hooks/stib HTTP/1.1\r\nHost: x\r\nX-A: {CANARY}\0\r\n\r\n".encode(),
    "folded header": f"POST /hooks/stib HTTP/1.1\r\nHost: x\r\nX-A: a\r\n {CANARY}\r\n\r\n".encode(),
    "two lengths": f"POST /hooks/stib HTTP/1.1\r\nHost: {CANARY}\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}".encode(),
    "length and chunked": f"POST /hooks/stib HTTP/1.1\r\nHost: {CANARY}\r\nContent-Length: 2\r\n"
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(),
    "negative length": f"POST /hooks/stib HTTP/1.1\r\nHost: {CANARY}\r\nContent-Length: -2\r\n\r\n{{}}".encode(),
    "not UTF-8": f"POST /hooks/{CANARY}\xfc HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode("latin-1"),
    "other version": f"POST /hooks/stib HTTP/2.0\r\nHost: {CANARY}\r\nContent-Length: 0\r\n\r\n".encode(),
}


@pytest.mark.parametrize("data", _MALFORMED.values(), ids=_MALFORMED)
async def test_400_malformed_http(door, data, lines):
    """What is not HTTP is answered 400 and hung up on, with one short line that repeats none of it."""
    async with asyncio.timeout(60), door.connect() as line:
        await line.send(data)
        answer = await line.read()
        assert answer.status == 400
        assert answer.problem
        assert CANARY.encode() not in answer.body
        assert await line.closed()
    (written,) = lines.all
    assert (written["event"], written["level"], written["http_status"]) == ("delivery.rejected", "warning", 400)
    assert written["reason"] in {"malformed_http", "http_version"}
    assert written["request_id"] == answer.problem["request_id"]
    assert CANARY not in lines.text


async def test_a_flood_of_garbage_is_no_flood_of_lines(door, lines):
    """However much garbage comes, the log has a bounded number of lines for it and says how many are left out."""
    for flood in (lambda: door.exchange(_MALFORMED["NUL in a value"]), lambda: door.post("/hooks/nobody")):
        before, began_s = len(lines.all), asyncio.get_running_loop().time()
        await asyncio.gather(*(flood() for _ in range(80)))
        took_s = asyncio.get_running_loop().time() - began_s
        assert 50 <= len(lines.all) - before <= 51 + 50 * took_s


async def test_http_1_0(door):
    """An old client is served, and hung up on afterwards."""
    body = job().body
    async with asyncio.timeout(60), door.connect() as line:
        await line.send(request("POST", "/hooks/stib", body, signed(body), version="1.0"))
        assert (await line.read()).status == 202
        assert await line.closed()


async def test_one_connection_many_deliveries(door):
    """A connection is used again, also after a refusal, and answers come in order."""
    bodies = [job(serial=n).body for n in range(3)]
    async with asyncio.timeout(60), door.connect() as line:
        await line.send(request("POST", "/hooks/stib", b"{}"))
        await line.send(b"".join(request("POST", "/hooks/stib", body, signed(body)) for body in bodies))
        assert [(await line.read()).status for _ in range(4)] == [401, 202, 202, 202]


async def test_garbage_behind_a_delivery(door):
    """Garbage after a good request ends the connection with a 4xx, never with a 5xx or a hang."""
    body = job().body
    async with asyncio.timeout(60), door.connect() as line:
        await line.send(request("POST", "/hooks/stib", body, signed(body)))
        assert (await line.read()).status == 202
        await line.send(b"\0\0 garbage\r\n\r\n")
        assert (await line.read()).status == 400
        assert await line.closed()
    assert len(door.stored) == 1


async def test_an_offer_to_upgrade_is_passed_over(door):
    """A sender that offers another protocol is answered in this one."""
    body = job().body
    answer = await door.deliver(body, [("Connection", "Upgrade"), ("Upgrade", "websocket")])
    assert (answer.status, answer.json["status"]) == (202, "accepted")


@pytest.mark.parametrize("target", ["*", "gateway.test:443", "http://[", "//", "?", "http://x:99999999/hooks/stib"])
@pytest.mark.parametrize("method", ["OPTIONS", "CONNECT", "POST"])
async def test_odd_targets_are_4xx(door, method, target):
    """Whatever the request's target is, the answer is a 4xx problem."""
    answer = await door.exchange(request(method, target))
    assert 400 <= answer.status < 500
    assert answer.problem


async def test_a_sender_that_hangs_up_leaves_nothing_behind(door, lines):
    """A connection that breaks in the middle of a body stores nothing and is no error of ours."""
    async with asyncio.timeout(60), door.connect() as line:
        await line.send(request("POST", "/hooks/stib", b"", [("Expect", "100-continue")], length=10))
        assert (await line.read()).status == 100
        await line.send(b"12345")
    while door.in_flight.requests:
        await asyncio.sleep(0)
    assert not door.stored
    assert not [line for line in lines.all if line["level"] == "error"]


async def test_no_answer_before_the_commit():
    """Not a byte of an answer is sent before the store has the delivery."""
    reached, commit = asyncio.Event(), asyncio.Event()

    class Hesitating(MemoryStore):
        async def admit(self, delivery, *, only_if_new=False):
            reached.set()
            await commit.wait()
            return await super().admit(delivery, only_if_new=only_if_new)

    async with open_door(store=Hesitating()) as door:
        answering = asyncio.create_task(door.deliver(job().body))
        await reached.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not answering.done()
        assert not door.stored
        commit.set()
        assert (await answering).status == 202


async def test_nothing_is_kept_of_a_refused_request(door):
    """A refusal leaves no body, no key and no sighting behind."""
    body = job().body
    await door.post("/hooks/stib", body, signed(body, secret=OLD_SECRET))
    await door.post("/hooks/push/wrong", body)
    fresh = MemoryStore()
    held = {name: value for name, value in vars(door.store).items() if isinstance(value, dict)}
    assert held == {name: value for name, value in vars(fresh).items() if isinstance(value, dict)}


async def test_no_answer_ever_redirects_or_says_gone(door):
    """Whatever is asked for, the answer is none that a sender would follow or give up on."""
    paths = [*_NOT_FOUND.values(), *_CHECKED, "/hooks", "//", "/healthz/", "/hooks/stib/"]
    for path in paths:
        for method in ("GET", "POST"):
            body = b"{}" if method == "POST" else b""
            status = (await door.exchange(request(method, path, body))).status
            assert status in {200, 202, 401, 404, 405}
