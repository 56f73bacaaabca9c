"""Servers that answer badly: bounded, one clean error, and neither keys nor search leave for anywhere else."""

import gzip
import json
import traceback
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from stibgate.domain.preflight import SearchSize
from stibgate.errors import UsageError, VendorError, VendorMisbehaved, VendorUnavailable
from stibgate.vendors.thehog import Estimate, Patience, PeopleSearch, TheHogClient
from tests.vendors.stibnite.world import Clock, http, raw
from tests.vendors.thehog.world import ACCESS_KEY, QUERY, SEARCH, SECRET_KEY, SEED_ANSWER, document, near


async def estimate(answer, search: PeopleSearch = SEARCH) -> Estimate:
    """Return what a server's one answer is understood as."""
    async with near(answer) as (client, _):
        return await client.estimate(search)


def enrichment(**more) -> dict:
    breakdown = document()["breakdown"]
    return {"breakdown": breakdown | {"contactEnrichment": breakdown["contactEnrichment"] | more}}


async def test_the_documents_example():
    """The page's own response is read, although it lacks a field that it calls required and does not add up."""
    got = await estimate(http(200, SEED_ANSWER.encode()))
    assert got.to_document() == json.loads(SEED_ANSWER.replace("123", '"123"'))
    assert (got.estimated_credits, got.likely_sync_or_async) == (Decimal(123), None)
    assert got.breakdown.contact_enrichment.include_contacts is True
    assert got.breakdown.contact_enrichment.fields_ == []
    assert got.warnings == ("the breakdown, 123 + 123, is not the estimate, 123",)
    assert got.priced(SearchSize(25)) is None


async def test_what_goes_out():
    """The documented request, with both keys, to the documented place, and nothing that could be compressed."""
    async with near(http(200, document())) as (client, there):
        await client.estimate(PeopleSearch(QUERY, limit=10, include_contacts=True, contact_fields=["email"]))
    (request,) = there.got
    assert (request.method, request.target) == ("POST", "/api/v1/people/search/estimate")
    sent = {name: request.headers[name] for name in ("x-access-key", "x-secret-key", "content-type", "accept-encoding")}
    assert sent == {
        "x-access-key": ACCESS_KEY, "x-secret-key": SECRET_KEY,
        "content-type": "application/json", "accept-encoding": "identity",
    }  # fmt: skip
    assert "authorization" not in request.headers
    assert request.document == {
        "query": QUERY, "limit": 10, "includeSignals": False, "includeContacts": True, "contactFields": ["email"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        document(data={"estimatedCredits": 1, "withinPlanLimits": False}),
        {"data": document(), "meta": {"requestId": "req_1"}},
    ],
)
async def test_top_level_or_data(body):
    """An estimate at the top is the estimate; else the one under `data` is. What stands beside it is kept."""
    got = await estimate(http(200, body))
    assert (got.estimated_credits, len(got.model_extra)) == (123, 1)


async def test_nothing_is_lost():
    """Unknown fields are kept at every level, and unknown words too; a `repr` shows only what is documented."""
    body = document(likelySyncOrAsync="eventually", newField=[0.1], **enrichment(provider="p"))
    body["assumptions"]["more"] = "m"
    got = await estimate(http(200, body))
    kept = got.to_document()
    assert (kept["newField"], got.model_extra["newField"]) == (["0.1"], [Decimal("0.1")])
    assert kept["breakdown"]["contactEnrichment"]["provider"] == "p"
    assert kept["assumptions"]["more"] == "m"
    assert got.likely_sync_or_async == "eventually"
    assert "newField" not in repr(got)


@pytest.mark.parametrize(
    ("number", "read"),
    [
        ("320.5", "320.5"),
        ("0", "0"),
        ("1e2", "100"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("0.123456789012345678901234567890", "0.123456789012345678901234567890"),
        ("999999999999.999999999999", "999999999999.999999999999"),
        ("1e-999999999", "1e-999999999"),
    ],
)
async def test_credits_are_exact(number, read):
    """Every digit of a number arrives, and the quote made of it is never lower."""
    got = await estimate(http(200, SEED_ANSWER.replace("123", number).encode()))
    assert got.estimated_credits == Decimal(read)
    assert got.quote.ceiling >= got.estimated_credits
    assert len(f"{got.quote.ceiling:f}") < 30


@pytest.mark.parametrize(
    "wrong",
    [
        [], "text", 5, None, {}, {"data": {}}, {"data": None}, {"data": [document()]},
        document(estimatedCredits=None), document(estimatedCredits="123"), document(estimatedCredits=True),
        document(estimatedCredits=-1), document(estimatedCredits=1e12), document(estimatedCredits=[1]),
        document(withinPlanLimits=None), document(withinPlanLimits="true"), document(withinPlanLimits=1),
        {"estimatedCredits": 1}, {"withinPlanLimits": True},
        document(breakdown=[]), document(**enrichment(estimatedCredits="x")), document(assumptions="a"),
    ],
)  # fmt: skip
async def test_no_estimate(wrong):
    """What does not say what it may cost, or whether that is covered, is no estimate: nothing is guessed."""
    with pytest.raises(VendorMisbehaved) as caught:
        await estimate(http(200, json.dumps(wrong).encode()))
    assert caught.value.hint
    assert not caught.value.maybe_done


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"{", b"\xff\xfe{}", b"[" * 100_000, b"9" * 6000, b'{"estimatedCredits":NaN,"withinPlanLimits":true}',
     b'{"estimatedCredits":Infinity,"withinPlanLimits":true}', b'{"estimatedCredits":' + b"9" * 6000 + b',"withinPlanLimits":true}',
     b'{"estimatedCredits":1e999999999999,"withinPlanLimits":true}', b'{"estimatedCredits":1,"withinPlanLimits":true}x'],
)  # fmt: skip
async def test_not_json(data):
    """What is not JSON, or no number that counts, is no estimate, and no error of another kind."""
    with pytest.raises(VendorMisbehaved):
        await estimate(http(200, data))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6),
       st.sampled_from(["estimatedCredits", "withinPlanLimits", "breakdown", "assumptions", "likelySyncOrAsync", "more"]))  # fmt: skip
def test_any_value_in_any_place(value, name):
    """An estimate with any value anywhere is read or refused as such, and what was read is never negative."""
    from stibgate.vendors.answers import shaped
    from stibgate.vendors.http import Call

    try:
        got = shaped(Call("POST", "/x", "/x"), document(**{name: value}), Estimate)
    except VendorMisbehaved:
        return
    assert got.quote.ceiling >= got.estimated_credits >= 0
    json.dumps(got.to_document())


@pytest.mark.parametrize("missing", ["breakdown", "assumptions", "expectedLatencyRange"])
async def test_what_may_be_missing(missing):
    """An estimate without its explanations is one, and says so where they would matter."""
    got = await estimate(http(200, {name: each for name, each in document().items() if name != missing}))
    assert got.estimated_credits == 123
    assert missing != "breakdown" or got.warnings == ("the estimate has no whole breakdown",)


async def test_float_dust_is_no_mismatch():
    """A sum made in floats over there is the sum."""
    body = document(estimatedCredits=0.1 + 0.2, **enrichment(estimatedCredits=0.2))
    body["breakdown"]["baseSearchCredits"] = 0.1
    got = await estimate(http(200, body))
    assert got.estimated_credits == Decimal("0.30000000000000004")
    assert got.warnings == ()


async def test_nothing_drives_the_terminal():
    """Texts are shown to people as one line of text, however they came."""
    body = document(expectedLatencyRange="1s\x1b[2J\r\n2s", assumptions={"mode": "x" * 9999, "description": "\u202ea"})
    got = await estimate(http(200, body))
    assert got.expected_latency_range == "1s [2J  2s"
    assert len(got.assumptions.mode) == 1000
    assert got.assumptions.description == " a"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_gets_no_keys(status):
    """Redirects are not followed, to other hosts or this one: the secret would go along."""
    async with near(http(200, document())) as (_, elsewhere):
        for location in (elsewhere.url, "/api/v2/people/search/estimate"):
            async with near(http(status, location=location)) as (client, there):
                with pytest.raises(VendorMisbehaved) as caught:
                    await client.estimate(SEARCH)
            assert (len(there.got), elsewhere.got) == (1, [])
            assert location not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize(
    "answer",
    [
        raw(b""),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"),
        raw(b"SSH-2.0-OpenSSH_9\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 100_000),
        http(503, b"x" * 100_000),
    ],
)
async def test_broken_answers_are_tried_again(answer):
    """What is no answer is asked for again, so many times and no more."""
    clock = Clock()
    async with near(answer, clock=clock) as (client, there):
        with pytest.raises(VendorUnavailable):
            await client.estimate(SEARCH)
        assert (len(there.got), len(clock.pauses)) == (4, 3)
        there.answers = [answer, http(200, document())]
        assert (await client.estimate(SEARCH)).estimated_credits == 123


async def test_a_server_that_says_nothing():
    """No answer in time is unavailable."""
    patience = Patience(tries_max=2)
    async with near(raw(b"", then="hang"), timeout_s=0.4, patience=patience) as (client, there):
        with pytest.raises(VendorUnavailable, match="in time"):
            await client.estimate(SEARCH)
        assert len(there.got) == 2


@pytest.mark.parametrize(
    "answer",
    [
        http(200, json.dumps(document()).encode() + b" " * (2 << 20)),
        http(200, gzip.compress(json.dumps(document()).encode()), content_encoding="gzip"),
    ],
)
async def test_too_long_or_compressed(answer):
    """More than a mebibyte, and what was not asked for, is not read."""
    with pytest.raises(VendorMisbehaved):
        await estimate(answer)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 402, 403, 404, 429, 500])
async def test_no_error_repeats_what_was_sent(status):
    """Whatever a server echoes, no message, hint or cause of an error holds a key, of any shape, or the search."""
    keys = "canary.1c5e", "canary.88d2"
    echo = f"{QUERY.upper()} {' '.join(keys)} {SECRET_KEY} jane.canary@example.com"
    answer = http(status, {"message": echo, "error": echo, "estimatedCredits": echo})
    async with near(answer, keys=keys) as (client, _):
        with pytest.raises(VendorError) as caught:
            await client.estimate(SEARCH)
    told = "".join(traceback.format_exception(caught.value)) + caught.value.hint + repr(caught.value.__dict__)
    for text in (QUERY.lower(), "canary"):
        assert text not in told.lower()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("", SECRET_KEY), "access_key must be"),
        ((ACCESS_KEY, "sk_canary\r\nx: y"), "secret_key must be"),
        ((ACCESS_KEY, "sk_cänary"), "secret_key must be"),
        ((SECRET_KEY, ACCESS_KEY), "the two keys are swapped"),
        ((ACCESS_KEY, ACCESS_KEY), "the two keys are swapped"),
    ],
)
def test_keys_that_cannot_be_used(keys, message):
    """A key that cannot stand in a header, or is the other one, is refused before anything is sent, and not shown."""
    with pytest.raises(UsageError, match=message) as caught:
        TheHogClient("https://developer.thehog.ai", *map(SecretStr, keys), means=Clock().means)
    assert "nary" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize(
    "url", ["http://developer.thehog.ai", "https://user:pw@developer.thehog.ai", "ftp://127.0.0.1", ""]
)
def test_only_https(url):
    """Keys go over TLS, or stay on this machine."""
    with pytest.raises(UsageError, match="base_url"):
        TheHogClient(url, SecretStr(ACCESS_KEY), SecretStr(SECRET_KEY), means=Clock().means)
