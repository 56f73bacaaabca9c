"""Requests over a real wire, against answers by script and against the sandbox."""

import asyncio
import traceback
from email.utils import formatdate

import pytest

from stibgate.errors import SinkHeld, SinkUnavailable
from stibgate.sinks.hubspot import wire
from stibgate.sinks.hubspot.client import Lane, Refused
from tests import virtual
from tests.sinks.hubspot.transport import TOKEN, Canned, Script, in_virtual_time, make_client, sandboxed

PATH = "crm/objects/{version}/companies/batch/upsert"
FINE = Canned({"results": []})


def throttled(policy: str, **more) -> Canned:
    return Canned({"status": "error", "message": "You have reached your limit.", "policyName": policy}, 429, **more)


@in_virtual_time
async def test_what_is_sent():
    """One request: method, versioned path, key in the header, JSON, no cookies."""
    script = Script(Canned({"ok": 1}, headers={"Set-Cookie": "a=b", "X-HubSpot-Correlation-Id": "0" * 8}))
    async with script.client(version="2026-09") as client:
        answer = await client.request("POST", PATH, {"inputs": ["é\ud800"]})
        await client.request("GET", "/account-info/{version}/details")
    post, get = script.seen
    assert (answer.status, answer.document, answer.correlation_id) == (200, {"ok": 1}, "00000000")
    assert (post.method, post.path, post.body) == (
        "POST",
        "/crm/objects/2026-09/companies/batch/upsert",
        {"inputs": ["é\ud800"]},
    )
    assert post.headers["Authorization"] == f"Bearer {TOKEN}"
    assert (get.path, get.body) == ("/account-info/2026-09/details", None)
    assert "Cookie" not in get.headers


@pytest.mark.parametrize(
    ("first", "tries", "least_s", "most_s"),
    [
        (Canned({}, 423), 2, 2.0, 3.0),
        (Canned({}, 500), 2, 0.9, 2.0),
        (Canned(raw=b"<html>", status=502), 2, 0.9, 2.0),
        (Canned(raw=b"<html>", status=503, headers={"Retry-After": "5"}), 2, 5.0, 5.0),
        (Canned(raw=b"<html>", status=522), 2, 0.9, 2.0),
        (Canned(raw=b"<html>"), 2, 0.9, 2.0),
        (Canned(raw=b'{"results": ['), 2, 0.9, 2.0),
        (Canned(raw=b""), 2, 0.9, 2.0),
        (Canned(cut=True), 2, 0.9, 2.0),
        (Canned({}, delay_s=30), 2, 20.9, 22.0),
        (throttled("TEN_SECONDLY_ROLLING"), 2, 10.0, 10.1),
        (throttled("SECONDLY"), 2, 1.0, 1.1),
    ],
    ids=["423", "500", "502", "503", "522", "html", "truncated", "empty", "cut", "slow", "rolling", "secondly"],
)
def test_what_is_quick_is_sent_again(first, tries, least_s, most_s):
    """After a passing trouble the same request goes out once more, after the time that the trouble takes."""

    async def main():
        script = Script(first, FINE)
        async with script.client(timeout_s=20) as client:
            await client.request("POST", PATH, {"inputs": [1]})
            return script.seen, asyncio.get_running_loop().time()

    seen, took_s = virtual.run(main())
    assert len(seen) == tries
    assert seen[0].body == seen[1].body == {"inputs": [1]}
    assert least_s <= took_s <= most_s


@pytest.mark.parametrize(
    ("answer", "most"),
    [
        (Canned({}, 500), 4),
        (Canned({}, 503), 7),
        (Canned({}, 525), 2),
        (Canned({}, 423), 6),
        (Canned(cut=True), 4),
        (throttled("TEN_SECONDLY_ROLLING"), 6),
        (throttled("SECONDLY"), 11),
        (Canned(raw=b"<html>"), 4),
    ],
)
def test_what_stays_is_given_back(answer, most):
    """Trouble that stays is the pipeline's: some tries within a minute, then SinkUnavailable."""

    async def main():
        script = Script(answer)
        async with script.client() as client:
            with pytest.raises(SinkUnavailable) as caught:
                await client.request("POST", PATH, {})
            assert type(caught.value) is SinkUnavailable
            return len(script.seen), asyncio.get_running_loop().time()

    tries, took_s = virtual.run(main())
    assert 2 <= tries <= most
    assert took_s <= 65


@in_virtual_time
async def test_who_waits_hears_of_a_hold():
    """When the token is refused, requests that wait for their turn are sent away and not sent."""
    script = Script(Canned({}, 401, delay_s=1))
    async with script.client() as client:
        results = await asyncio.gather(
            *(client.request("GET", "x", lane=Lane.NORMAL) for _ in range(30)), return_exceptions=True
        )
    assert {type(result) for result in results} == {SinkHeld}
    assert len(script.seen) <= 8


@in_virtual_time
async def test_the_day_ends_at_the_accounts_midnight():
    """DAILY holds until midnight in the zone that the account is in; a date in Retry-After is honoured."""
    script = Script(throttled("DAILY"), throttled("DAILY"), throttled("DAILY", headers={"Retry-After": "X"}))
    async with script.client() as client:
        waits = []
        for zone in (None, "Asia/Tokyo"):
            if zone:
                client.set_account(zone)
            with pytest.raises(SinkHeld) as held:
                await client.request("GET", "x")
            waits.append(held.value.retry_after_s)
    midnight_utc_s = 86_400 - virtual.now_ms() / 1000 % 86_400
    assert waits[0] == pytest.approx(midnight_utc_s, abs=2)
    assert waits[1] == pytest.approx((midnight_utc_s - 9 * 3600) % 86_400, abs=2)


@in_virtual_time
async def test_retry_after_as_a_date():
    """A date in Retry-After is as good as seconds."""
    when = formatdate(virtual.now_ms() / 1000 + 90, usegmt=True)
    script = Script(Canned({}, 477, headers={"Retry-After": when}))
    async with script.client() as client:
        with pytest.raises(SinkHeld) as held:
            await client.request("GET", "x")
    assert held.value.retry_after_s == pytest.approx(90, abs=1)


@in_virtual_time
async def test_no_redirect_is_followed():
    """The key goes to the configured host and nowhere else."""
    script = Script(Canned({}, 307, headers={"Location": "/elsewhere"}))
    async with script.client() as client:
        with pytest.raises(SinkHeld, match="redirect"):
            await client.request("POST", PATH, {})
    assert len(script.seen) == 1


@in_virtual_time
async def test_answers_are_bounded():
    """An answer that does not end is not read to its end, nor asked for again."""
    script = Script(Canned(raw=b" " * (wire.BODY_MAX_BYTES + 1)))
    async with script.client() as client:
        with pytest.raises(SinkUnavailable, match="longer"):
            await client.request("GET", "x")
    assert len(script.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Canned({"message": TOKEN, "category": TOKEN, "correlationId": TOKEN}, status)
        for status in (400, 401, 403, 404, 477)
    ]
    + [Canned(raw=TOKEN.encode(), status=500), Canned(cut=True)],
)
def test_the_token_is_in_no_error_and_no_log_line(answer, lines):
    """Whatever goes wrong, and whatever HubSpot echoes, the key is not told."""

    async def main():
        async with Script(answer).client() as client:
            with pytest.raises((SinkUnavailable, Refused)) as caught:
                await client.request("POST", PATH, {})
            return caught.value, repr(client)

    error, shown = virtual.run(main())
    told = "".join(traceback.format_exception(error)) + error.hint + repr(error.__dict__) + shown + lines.text
    assert TOKEN not in told


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "clé"])
def test_a_token_that_is_none(token):
    """A key that cannot stand in a header is refused at once, without being shown."""
    with pytest.raises(ValueError) as caught:
        make_client("http://127.0.0.1", token=token)
    assert not token or token not in str(caught.value)


def test_throttling_is_logged_once_a_period(lines):
    """HubSpot slowing us down is one line a minute for each reason, not one for each request."""

    async def main():
        script = Script(*[throttled("TEN_SECONDLY_ROLLING")] * 3, Canned({}, 423), FINE)
        async with script.client() as client:
            await client.request("GET", "x")

    virtual.run(main())
    assert [line["reason"] for line in lines.of("sink.throttled")] == ["ten_secondly_rolling", "locked"]
    assert all("dropped" not in line for line in lines.all)


@in_virtual_time
async def test_company_writes_are_few_at_once():
    """Four company writes at once and no more; other requests are not kept out by them."""
    script = Script(by=lambda seen: Canned({}, delay_s=3))
    async with script.client() as client:
        await asyncio.gather(*(client.request("POST", path, {}) for path in [PATH] * 8 + ["x"] * 3))
    assert script.most == {"/crm/objects/2026-03/companies/batch/upsert": 4, "/x": 3}


@in_virtual_time
async def test_a_lock_halves_company_writes():
    """423 halves how many companies are written at once; successes win it back."""
    async with Script(Canned({}, 423), FINE).client() as client:
        await client.request("POST", PATH, {})
        assert client._companies.flights.allowed == 3
        await client.request("POST", PATH, {})
        assert client._companies.flights.allowed == 4


@in_virtual_time
async def test_five_xx_halves_what_is_under_way():
    """Overload halves the room in flight, and successes win it back."""
    script = Script(Canned({}, 503), FINE)
    async with script.client() as client:
        flights = client._limiter.flights
        await client.request("GET", "x")
        assert flights.allowed == 5
        await client.request("GET", "x")
        assert flights.allowed == 6


@in_virtual_time
async def test_limits_are_learned_from_headers():
    """Max of an answer's headers is the pace from then on."""
    script = Script(Canned({}, headers={"X-HubSpot-RateLimit-Max": "250"}))
    async with script.client() as client:
        await client.request("GET", "x")
        assert client._limiter.pace.rate == pytest.approx(23.0, abs=0.2)


@in_virtual_time
async def test_a_closed_client_sends_nothing():
    """Neither before `start` nor after `close`; both may be called twice."""
    script = Script(FINE)
    async with script.client() as client:
        await client.start()
        await client.close()
        with pytest.raises(SinkUnavailable, match="not open"):
            await client.request("GET", "x")
    assert script.seen == []


@pytest.mark.parametrize("version", ["2026-03", "2026-09"])
def test_saturated_at_the_sandbox(version):
    """Saturated for 30 s, the sandbox answers no 429 and gets at least 98 % of the safe rate."""

    async def main():
        async with sandboxed(version=version) as (sandbox, client):
            sandbox.recording = False
            loop = asyncio.get_running_loop()
            end_s, done = loop.time() + 30, 0

            async def work():
                nonlocal done
                while loop.time() < end_s:
                    await client.request("GET", "account-info/{version}/details")
                    done += 1

            await asyncio.gather(*(work() for _ in range(8)))
            return sandbox.counters.too_many, done

    too_many, done = virtual.run(main())
    assert too_many == 0
    assert done >= 0.98 * 30 * 17.5


@in_virtual_time
async def test_a_sandbox_that_shares_its_limit():
    """When another client fills the window, we stop, go on, and every request is answered in the end."""
    async with sandboxed() as (sandbox, client):
        sandbox.fail_next("429_ten_secondly", count=3)
        await asyncio.gather(*(client.request("GET", "account-info/{version}/details") for _ in range(20)))
        assert sandbox.counters.statuses[200] >= 20
        assert client._limiter.pace.rate < 17.0
