"""What operators are told of a refused request, and what nobody is."""

import asyncio
import hashlib
import hmac
import json
from contextlib import asynccontextmanager
from dataclasses import asdict

import pytest

from stibgate.pipeline.refusals import Refusals
from stibgate.signatures import KeyReading, candidates
from tests.pipeline.world import NOW_MS, SECRET, T_V1, TOKEN, Clock, delivery, make_source, signed
from tests.web.door import OTHER_TOKEN, open_door

CANARY = "canary@example.com"


@asynccontextmanager
async def watched(clock=None, **settings):
    """Open a door; yield it and the function that waits for what was found out and returns the groups."""
    refusals = Refusals(now_ms=clock or Clock())

    async def groups():
        if refusals._explaining is not None:
            await asyncio.wait([refusals._explaining])
        return {(group.source, group.reason): group for group in refusals.take()}

    async with open_door(refusals=refusals, **settings) as door:
        yield door, groups
    await refusals.close()


def with_spaces(body):
    """Return *body* as a proxy might write it anew."""
    return json.dumps(json.loads(body), ensure_ascii=False).encode()


def other_reading(body):
    """Return the header of a sender that decodes the secret where we take it as text."""
    (one,) = [scheme for scheme in candidates("auto") if scheme.name == "t_v1" and scheme.key is KeyReading.BASE64]
    return signed(body, scheme=one)


BODY = delivery(records=2).body
CASES = {
    "wrong_secret": (BODY, signed(BODY, secret="whsec_b3RoZXItc2VjcmV0LW9mLWFub3RoZXI")),
    "other_reading": (BODY, other_reading(BODY)),
    "body_changed": (with_spaces(BODY), signed(BODY)),
    "ahead": (BODY, signed(BODY, at_ms=NOW_MS + 420_000)),
    "stale": (BODY, signed(BODY, at_ms=NOW_MS - 4_000_000)),
    "missing": (BODY, []),
    "repeated": (BODY, signed(BODY) * 2),
    "other_header": (BODY, [("x-signature", value) for _, value in signed(BODY)]),
}


@pytest.mark.parametrize("why", CASES)
async def test_a_signature_that_fails_is_explained(why):
    """Why a signature did not verify is found out, with the next step, from the request and then it is gone."""
    body, headers = CASES[why]
    async with watched() as (door, groups):
        answer = await door.post("/hooks/stib", body, [*headers, ("user-agent", "agent/1\t\xe9" + "x" * 200)])
        assert answer.status == 401
        ((_, group),) = (await groups()).items()
    assert (group.count, group.finding.why) == (1, why)
    assert group.finding.hint
    assert "NAME" not in group.finding.hint
    assert (group.last.http_status, group.last.client_ip, group.last.schemes) == (401, "127.0.0.1", ("t_v1",))
    assert group.last.headers == (("stibnite-signature",) if why not in {"missing", "other_header"} else ())
    assert (group.last.body_bytes, group.last.body_sha256) == (len(body), hashlib.sha256(body).hexdigest()[:12])
    assert group.last.user_agent == "agent/1" + "x" * 93


async def test_the_clock_is_named_by_its_error():
    """A sender whose clock is seven minutes ahead is told so, in seconds."""
    body, headers = CASES["ahead"]
    async with watched() as (door, groups):
        await door.post("/hooks/stib", body, headers)
        group = (await groups())["stib", "future"]
    assert "420 s ahead" in group.finding.verdict
    assert "timedatectl" in group.finding.hint


async def test_a_pin_that_is_in_the_way():
    """A signature that is right under another preset than the pinned one leads to `sources unpin`."""
    source = make_source(schemes=candidates("auto"), pinning=True)
    async with watched(with_sources=[source], pins={"stib": T_V1.to_document()}) as (door, groups):
        mac = hmac.digest(SECRET.encode(), BODY, "sha256").hex()
        await door.post("/hooks/stib", BODY, [("stibnite-signature", mac)])
        (group,) = (await groups()).values()
    assert "stibgate sources unpin stib" in group.finding.hint


async def test_nothing_that_only_the_sender_knows_is_kept():
    """No body, secret, token, path or whole MAC is part of a group; nothing of it is in an answer."""
    body = json.dumps({"email": CANARY, "n": [1, 2]}).encode()
    mac = hmac.digest(b"x", body, "sha256").hex()
    async with watched() as (door, groups):
        header = [("stibnite-signature", f"t={NOW_MS // 1000},v1={mac}"), ("authorization", f"Bearer {CANARY}")]
        shapes = [(await door.post("/hooks/stib", body, head)).shape for head in (header, [], header * 2)]
        await door.post(f"/hooks/push/{OTHER_TOKEN}{CANARY}", body)
        await door.post(f"/hooks/{CANARY}?key={TOKEN}", body)
        found = await groups()
    assert {name for name, _ in found} == {"stib", "push", "-"}
    text = json.dumps([asdict(group) for group in found.values()])
    for secret in (CANARY, SECRET, SECRET[6:], TOKEN, OTHER_TOKEN, mac, mac[:6], "Bearer", "email"):
        assert secret not in text
    assert shapes == [shapes[0]] * 3
    assert door.stored == []


async def test_it_is_looked_into_seldom():
    """Of a flood each request counts, and one in ten seconds is looked into; then again, if that was quick."""
    clock = Clock()
    async with watched(clock) as (door, groups):
        body, headers = CASES["missing"]
        for _ in range(3):
            await door.post("/hooks/stib", body, headers)
            first = await groups()
            assert first["stib", "missing"].count == 1
        assert first["stib", "missing"].finding is None
        clock.advance(3600)
        await door.post("/hooks/stib", body, headers)
        assert (await groups())["stib", "missing"].finding.at_ms == clock.ms
