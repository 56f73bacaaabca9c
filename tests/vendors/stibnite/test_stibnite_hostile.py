"""Answers that no documented vendor gives."""

import gzip
import json
import traceback

import pytest
from pydantic import SecretStr

from stibgate.errors import (
    UsageError,
    VendorError,
    VendorMisbehaved,
    VendorRefused,
    VendorUnauthorized,
    VendorUnavailable,
)
from stibgate.vendors.http import BODY_MAX_BYTES, checked_base_url
from stibgate.vendors.stibnite import (
    DomainFilters,
    Lookup,
    NewCredits,
    NewEmbedKey,
    NewEmbedSession,
    NewEndpoint,
    NewJob,
    Patience,
    Polling,
    Selection,
    StibniteClient,
)
from tests.vendors.stibnite.world import API_KEY, SAMPLES, TOKEN, Clock, far, http, raw, sample

USAGE = {"requests": 1, "billable_records": 2}
ORIGIN = "https://partner.example"


async def refused(
    *answers, ask=lambda stibnite: stibnite.usage(), clock: Clock | None = None, **options
) -> VendorError:
    """Return the error that asking ends with; whatever it is, it shows no secret."""
    async with far(*answers) as there, there.client(clock, **options) as stibnite:
        with pytest.raises(VendorError) as caught:
            await ask(stibnite)
    told = "".join(traceback.format_exception(caught.value))
    for secret in (API_KEY, TOKEN, "canary"):
        assert secret not in f"{told} {caught.value!r} {caught.value.hint} {vars(caught.value)}"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_never_followed(status):
    """A redirect is an error, and the key goes nowhere else."""
    async with far(http(200, USAGE)) as other:
        error = await refused(http(status, location=f"{other.url}/v1/usage?canary"))
        assert other.got == []
    assert isinstance(error, VendorMisbehaved)


@pytest.mark.parametrize("body", [b"<!doctype html><p>canary</p>", b"  <html>", b"", b"canary", b'{"requests": 1', b"\xff", b"[" * 5000, b'{"a":NaN}'])  # fmt: skip
async def test_200_without_json(body):
    """A web page, nothing, half of a document or anything else that is not JSON is a clear error."""
    error = await refused(http(200, body, content_type="text/html"))
    assert isinstance(error, VendorMisbehaved)
    assert "GET /v1/usage" in error.message
    if body.lstrip().startswith(b"<"):
        assert "web page" in error.message


@pytest.mark.parametrize("document", [{}, [], {"requests": "canary", "billable_records": 1}, {"data": USAGE}, "x"])  # fmt: skip
async def test_another_shape(document):
    """JSON of another shape is an error that names places and no values."""
    error = await refused(http(200, document))
    assert isinstance(error, VendorMisbehaved)
    assert "not the documented answer" in error.message


async def test_json_is_taken_whatever_it_is_called():
    """A wrong content type does not matter where the body is right."""
    async with far(http(200, USAGE, content_type="text/plain")) as there, there.client() as stibnite:
        assert (await stibnite.usage()).billable_records == 2


async def test_gzip_is_neither_asked_for_nor_unpacked():
    """A compressed answer is refused before it is read, so none can grow."""
    bomb = gzip.compress(b"\0" * 10_000_000)
    async with far(http(200, USAGE)) as there, there.client() as stibnite:
        await stibnite.usage()
        assert there.got[0].headers["accept-encoding"] == "identity"
    for encoding in ("gzip", "br", "gzip, gzip", "GZIP"):
        error = await refused(http(200, bomb, content_encoding=encoding))
        assert isinstance(error, VendorMisbehaved)
        assert "compressed" in error.message


@pytest.mark.parametrize("chunked", [False, True])
async def test_long_answers_are_not_read(chunked):
    """Reading stops at the bound, whether or not the length was announced."""
    part = b" " * 65_536
    head = "transfer-encoding: chunked" if chunked else f"content-length: {100 * BODY_MAX_BYTES}"

    async def endless(writer) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        while True:
            writer.write(b"10000\r\n" + part + b"\r\n" if chunked else part)
            await writer.drain()

    error = await refused(endless)
    assert isinstance(error, VendorMisbehaved)
    assert "longer than" in error.message


@pytest.mark.parametrize(
    "answer",
    [
        raw(b""),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"),
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{    \r\n"),
        raw(b"HTTP/1.1 canary\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nx: " + b"canary" * 5_000 + b"\r\n\r\n"),
        raw(b"".join([b"HTTP/1.1 200 OK\r\n", *[b"x%d: canary\r\n" % i for i in range(1_000)], b"\r\n"])),
    ],
)
async def test_broken_answers_are_asked_for_again(answer):
    """Half of an answer, and what is not HTTP, is transient: the next whole answer counts."""
    clock = Clock()
    async with far(answer, http(200, USAGE)) as there, there.client(clock) as stibnite:
        assert (await stibnite.usage()).requests == 1
    assert len(clock.pauses) == 1
    error = await refused(answer)
    assert isinstance(error, VendorUnavailable)


async def test_silence_ends():
    """A vendor that never answers, or never ends, costs no more than the time-out."""
    for said in (b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"):
        error = await refused(raw(said, then="hang"), timeout_s=0.1, patience=Patience(tries_max=1))
        assert isinstance(error, VendorUnavailable)
        assert "in time" in error.message


async def test_nobody_there():
    """Without a connection nothing was sent, so nothing was done."""
    async with far(http(200)) as there:
        pass
    async with there.client() as stibnite:
        with pytest.raises(VendorUnavailable) as caught:
            await stibnite.create_job(NewJob("ceos"))
    assert caught.value.maybe_done is False
    assert caught.value.exit_code == 75


@pytest.mark.parametrize("status, kind", [(400, VendorRefused), (401, VendorUnauthorized), (402, VendorRefused), (403, VendorUnauthorized), (404, VendorRefused), (408, VendorUnavailable), (409, VendorRefused), (418, VendorRefused), (422, VendorRefused), (425, VendorUnavailable), (429, VendorUnavailable), (500, VendorUnavailable), (502, VendorUnavailable), (503, VendorUnavailable), (504, VendorUnavailable)])  # fmt: skip
async def test_every_status_has_one_meaning(status, kind):
    """A status is refused, unauthorized or unavailable; only the last is asked again."""
    clock = Clock()
    error = await refused(http(status, {"message": "no"}), clock=clock)
    assert type(error) is kind
    assert str(status) in error.message
    assert len(clock.pauses) == (3 if kind is VendorUnavailable else 0)


@pytest.mark.parametrize(
    "body, words",
    [
        ({"error": {"message": "inner"}, "message": "outer"}, "inner"),
        ({"message": "outer", "error": "flat"}, "outer"),
        ({"error": "flat", "detail": "deep"}, "flat"),
        ({"detail": "deep"}, "deep"),
        ({"message": {"a": "canary"}}, ""),
        (["canary"], ""),
        (b"<p>canary", ""),
        ({"message": "x" * 500}, "…"),
        ({"message": "two\nlines\x1b[31m"}, "two lines [31m"),
    ],
)
async def test_the_vendors_words(body, words):
    """The vendor's own sentence is found wherever it is, on one line, short."""
    error = await refused(http(400, body))
    assert error.message.endswith(words or "400")
    assert len(error.message) < 260


@pytest.mark.parametrize(
    "words",
    [
        f"key {API_KEY} is not known",
        "token stib_live_canary0",
        "whsec_canary+/=",
        "jane.canary@example.com is taken",
        "jane%2Ecanary%40example.com is taken",
        "call +1 (208) 555-0199 canary@a.example",
        "https://hooks.example/in/push/canary did not answer",
        "no CANARY SEARCH found",
        "https://a.example/" + "x" * 970 + " canary-jane@example.com",
    ],
)
async def test_what_was_sent_is_not_repeated(words):
    """Keys, addresses, phone numbers, URLs and the search itself are masked in the vendor's sentence."""
    error = await refused(
        http(400, {"message": words}), ask=lambda stibnite: stibnite.create_job(NewJob("canary search"))
    )
    assert "555" not in error.message


async def test_a_looked_up_person_is_not_repeated():
    """No identifier of a lookup is in an error, nor is the URL that holds it."""
    lookup = Lookup(email="canary@example.com", linkedin_url="linkedin.com/in/canary", company_domain="canary.example")
    for answer in (http(400, {"message": "nobody at canary.example"}), raw(b""), http(200, b"{")):
        await refused(answer, ask=lambda stibnite: stibnite.lookup(lookup))


@pytest.mark.parametrize(
    "headers, pause",
    [
        ({"retry_after": "7"}, 7.5),
        ({"x_ratelimit_reset": "7"}, 7.5),
        ({"retry_after": "Sun, 17 May 2026 18:42:17 GMT"}, 7.5),
        ({"retry_after": "0"}, 1.5),
        ({"retry_after": "soon"}, 0.5),
    ],
)
async def test_the_vendors_wait_is_kept(headers, pause):
    """What a 429 asks for is waited for, and a little more; without it we wait as we think."""
    clock = Clock()
    async with far(http(429, **headers), http(200, USAGE)) as there, there.client(clock) as stibnite:
        await stibnite.usage()
    assert clock.pauses == [pytest.approx(pause, abs=0.01)]


async def test_a_wait_beyond_our_patience_is_the_callers():
    """A wait that is too long is not begun: the error says how long, at most 300 s."""
    clock = Clock()
    error = await refused(http(429, retry_after="86400"), clock=clock)
    assert error.retry_after_s == 300
    assert clock.pauses == []


async def test_patience_is_bounded_in_time():
    """No try begins later than `total_s` after the first."""
    clock = Clock()
    await refused(http(503, retry_after="25"), clock=clock, patience=Patience(tries_max=99, total_s=60))
    assert len(clock.pauses) == 2
    assert sum(clock.pauses) <= 60


POSTS = {
    "create_job": lambda s, **o: s.create_job(NewJob("q1"), **o),
    "open_embed_session": lambda s, **o: s.open_embed_session(NewEmbedSession("pk1", "c", ORIGIN), **o),
    "push": lambda s, **o: s.push(SecretStr(TOKEN), "search_1", Selection("page"), **o),
    "export": lambda s, **o: s.export(SecretStr(TOKEN), "search_1", Selection("page"), **o),
    "grant_credits": lambda s: s.grant_credits("customer_1", NewCredits(5)),
    "create_embed_key": lambda s: s.create_embed_key(
        NewEmbedKey([ORIGIN], result_delivery_url="https://a.example/canary")
    ),
    "create_endpoint": lambda s: s.create_endpoint(NewEndpoint("https://a.example/canary")),
}


@pytest.mark.parametrize("name", POSTS)
async def test_a_post_is_sent_once(name):
    """No POST is sent again by itself, and an answer that is lost or wrong may hide that it was done."""
    for answer, maybe_done in ((http(503), True), (http(429), False), (http(400), False), (raw(b""), True), (http(200, b"{}"), True)):  # fmt: skip
        async with far(answer) as there, there.client() as stibnite:
            with pytest.raises(VendorError) as caught:
                await POSTS[name](stibnite)
            assert len(there.got) == 1
            assert there.got[0].method == "POST"
        assert caught.value.maybe_done is maybe_done
        if isinstance(caught.value, VendorUnavailable):
            assert ("may have been carried out" in caught.value.hint) is maybe_done


@pytest.mark.parametrize("name", list(POSTS)[:4])
async def test_a_post_is_sent_again_where_its_caller_says_so(name):
    """A repeatable POST is tried four times."""
    async with far(http(503)) as there, there.client() as stibnite:
        with pytest.raises(VendorUnavailable):
            await POSTS[name](stibnite, repeatable=True)
        assert len(there.got) == 4


@pytest.mark.parametrize("ask", [lambda s: s.lookup(Lookup(email="a@example.com")), lambda s: s.company_people_page("a.example")])  # fmt: skip
async def test_a_get_that_bills_is_not_billed_twice(ask):
    """It is asked again after a 429, and not when it may have been carried out."""
    for answer, tries in ((http(429), 4), (http(503), 1), (raw(b""), 1)):
        async with far(answer) as there, there.client() as stibnite:
            with pytest.raises(VendorUnavailable) as caught:
                await ask(stibnite)
            assert len(there.got) == tries
            assert caught.value.maybe_done is (tries == 1)


async def test_each_secret_goes_where_it_belongs():
    """The API key, the embed token and the public key never go together."""
    async with far(http(400)) as there, there.client() as stibnite:
        for name, ask in POSTS.items():
            with pytest.raises(VendorRefused):
                await ask(stibnite)
            headers = there.got[-1].headers
            sent = {key: headers.get(key) for key in ("x-api-key", "authorization", "origin")}
            if name in {"push", "export"}:
                assert sent == {"x-api-key": None, "authorization": f"Bearer {TOKEN}", "origin": None}
            elif name == "open_embed_session":
                assert sent == {"x-api-key": None, "authorization": None, "origin": ORIGIN}
                assert there.got[-1].document == {"partner_key": "pk1", "customer_id": "c"}
            else:
                assert sent == {"x-api-key": API_KEY, "authorization": None, "origin": None}
            assert headers["content-type"] == "application/json"


async def test_cookies_are_not_kept():
    """What one answer wants remembered is not sent with the next request."""
    async with far(http(200, USAGE, set_cookie="a=b; Path=/")) as there:
        there.url = there.url.replace("127.0.0.1", "localhost")  # no jar keeps cookies of bare addresses
        async with there.client() as stibnite:
            await stibnite.usage()
            await stibnite.usage()
        assert "cookie" not in there.got[1].headers


async def test_ids_stay_in_their_place():
    """An id with a slash or a query mark reaches the vendor as one segment."""
    async with far(http(404)) as there, there.client() as stibnite:
        for job_id in ("a/../b?c#d", "ä %2f"):
            with pytest.raises(VendorRefused):
                await stibnite.get_job(job_id)
        assert [got.target for got in there.got] == [
            "/v1/persons/search/jobs/a%2F..%2Fb%3Fc%23d",
            "/v1/persons/search/jobs/%C3%A4%20%252f",
        ]


@pytest.mark.parametrize("url", ["http://platform.stibnite.co", "ftp://a.example", "https://u:canary@a.example", "https://a.example?canary", "https://a.example#canary", "http://127.0.0.1@a.example", "http://localhost.a.example", "https://", "", "a.example", "https://a.example:99999", "https://a b.example", "http://127.0.0.1\\@a.example"])  # fmt: skip
def test_base_urls_that_cannot_be(url):
    """The key only travels over https, or to this machine."""
    with pytest.raises(UsageError) as caught:
        checked_base_url(url)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://platform.stibnite.co/", "http://127.0.0.1:80", "http://[::1]:1", "http://localhost"]
)
def test_base_urls_that_can_be(url):
    """Only https anywhere, http on loopback."""
    assert checked_base_url(url) == url.rstrip("/")


@pytest.mark.parametrize("key", ["", "canary key", "canary\r\nx: y", "canaryä", "canary\0"])
def test_keys_that_cannot_be(key):
    """A key that cannot stand in a header is refused without being shown."""
    with pytest.raises(UsageError) as caught:
        StibniteClient("https://a.example", SecretStr(key), means=Clock().means)
    assert "canary" not in str(caught.value)


def test_a_client_does_not_show_its_key():
    """Neither `repr` nor the parts of a client show the key."""
    client = StibniteClient("https://a.example", SecretStr(API_KEY), means=Clock().means)
    assert API_KEY not in f"{client!r} {vars(client)!r}"


async def test_outside_of_its_block_a_client_asks_nothing():
    """A client that is not open raises, and one that is closed twice does not."""
    client = StibniteClient("https://a.example", SecretStr(API_KEY), means=Clock().means)
    with pytest.raises(RuntimeError):
        await client.usage()
    async with client:
        pass
    await client.__aexit__()


def csv_answer(**headers: str):
    body = (SAMPLES / "export.csv").read_bytes()
    named = {
        "content_type": "text/csv; charset=utf-8",
        "content_disposition": 'attachment; filename="prospecting-search_123.csv"',
        "x_exported_records": "1",
        "x_net_new_billable_records": "1",
        "x_already_purchased_records": "0",
    }
    return http(200, body, **named | headers)


def ask_export(stibnite):
    return stibnite.export(SecretStr(TOKEN), "search_123", Selection("selected", ["5x5-person-123"]))


async def test_the_documents_export():
    """The document's example is read: file, name, counts, rows."""
    async with far(csv_answer()) as there, there.client() as stibnite:
        export = await ask_export(stibnite)
        assert there.got[0].document == {"selection_mode": "selected", "prospect_ids": ["5x5-person-123"]}
    assert export.csv == (SAMPLES / "export.csv").read_bytes()
    assert export.filename == "prospecting-search_123.csv"
    assert (export.exported_records, export.net_new_billable_records, export.already_purchased_records) == (1, 1, 0)
    (row,) = export.rows()
    assert len(row) == 19
    assert row["mobile_phone"] == "+12085550123"


@pytest.mark.parametrize("name", ['"../../etc/passwd"', '"/etc/passwd"', '".bashrc"', '"a\\b.csv"', "", '"a b"'])
async def test_a_hostile_filename_is_none(name):
    """A filename that is more than a plain name is as if there were none."""
    answer = csv_answer(content_disposition=f"attachment; filename={name}", x_exported_records="-1")
    async with far(answer) as there, there.client() as stibnite:
        export = await ask_export(stibnite)
    assert export.filename == ""
    assert export.exported_records is None


async def test_an_export_that_is_no_csv():
    """JSON or a web page in place of an export is an error, and it may have been bought."""
    error = await refused(http(200, {"ok": True}), ask=ask_export)
    assert isinstance(error, VendorMisbehaved)
    assert error.maybe_done is True


async def test_a_bare_list_of_endpoints():
    """The list of endpoints, which the document does not show, may be bare."""
    endpoint = sample("created_endpoint")
    del endpoint["signing_secret"]
    for body in ([endpoint], {"data": [endpoint]}, {"data": None}):
        async with far(http(200, body)) as there, there.client() as stibnite:
            assert len(await stibnite.list_endpoints()) == (0 if body == {"data": None} else 1)


async def test_a_delete_without_a_body():
    """A 204 is deleted; a 404 of something that was never there is refused."""
    async with far(http(204)) as there, there.client() as stibnite:
        assert (await stibnite.delete_endpoint("endpoint_1")).deleted is True
        assert there.got[0].method == "DELETE"
    assert isinstance(await refused(http(404), ask=lambda s: s.delete_endpoint("e")), VendorRefused)


async def test_a_job_that_never_ends_is_given_up():
    """Polling becomes rarer and ends in time; the error says that the job may end yet."""
    clock = Clock(jitter=0)
    job = {**sample("created_job"), "status": "running"}
    error = await refused(
        http(200, job), ask=lambda s: s.wait_for_job("j", polling=Polling(give_up_after_s=100)), clock=clock
    )
    assert isinstance(error, VendorUnavailable)
    assert error.maybe_done is True
    assert clock.pauses == sorted(clock.pauses)
    assert clock.pauses[:3] == [1.0, 1.5, 2.25]
    assert sum(clock.pauses) <= 100


async def test_paging_sends_its_filters_with_every_cursor():
    """A cursor goes with the filters it came with, and the last page asks only for what is left."""
    page = {"data": [{"domain": f"d{i}.example"} for i in range(3)], "pagination": {"next_cursor": "c/1 +"}}
    last = {"data": [{"domain": "d3.example"}], "pagination": {"next_cursor": "more"}}
    async with far(http(200, page), http(200, last)) as there, there.client() as stibnite:
        filters = DomainFilters(industry="Soft & ware", location_state="ID")
        rows = [row.domain async for row in stibnite.domains(filters, max_records=4, limit=3)]
        assert rows == ["d0.example", "d1.example", "d2.example", "d3.example"]
        assert [got.target for got in there.got] == [
            "/v1/domains?limit=3&industry=Soft%20%26%20ware&location_state=ID",
            "/v1/domains?limit=1&cursor=c%2F1%20%2B&industry=Soft%20%26%20ware&location_state=ID",
        ]


@pytest.mark.parametrize("ask", [lambda s: s.domains_page(DomainFilters(), limit=101), lambda s: s.company_people_page("a.example", limit=501), lambda s: s.company_people_page("a.example", max_records=0), lambda s: s.company_people_page("..")])  # fmt: skip
async def test_pages_are_capped_before_they_are_asked_for(ask):
    """A page beyond the documented cap is not asked for."""
    async with far(http(200, {"data": []})) as there, there.client() as stibnite:
        with pytest.raises(UsageError):
            await ask(stibnite)
        assert there.got == []


async def test_the_documents_requests_are_what_is_sent():
    """A request's body is compact ASCII JSON of the documented fields."""
    async with far(http(200, sample("created_job"))) as there, there.client() as stibnite:
        job = await stibnite.create_job(NewJob("CMOs à Paris", limit=5))
        assert job.to_document() == sample("created_job")
        assert there.got[0].target == "/v1/persons/search/jobs"
        assert there.got[0].body == b'{"q":"CMOs \\u00e0 Paris","limit":5}'
        assert json.loads(there.got[0].body)["q"] == "CMOs à Paris"
