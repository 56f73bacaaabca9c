"""What the public listener tells those who count."""

import pytest

from stibgate.domain.fact import Answer, Answered, Looked
from stibgate.errors import StoreFull
from tests.pipeline.world import TOKEN, delivery, job, signed
from tests.web.door import OTHER_TOKEN, open_door, request


async def facts_of(ask, **settings):
    """Return what was told while *ask* used the door."""
    told = []
    async with open_door(observe=told.append, **settings) as door:
        await ask(door)
    return told


async def test_an_accepted_delivery():
    """An acknowledgement is told with its size, its event and what its signature proved."""
    body = delivery(records=3).body
    (fact,) = await facts_of(lambda door: door.deliver(body))
    assert (fact.source, fact.outcome, fact.http_status, fact.reason) == ("stib", Answer.ACCEPTED, 202, None)
    assert (fact.records, fact.body_bytes, fact.event_type) == (3, len(body), "prospecting.records.pushed")
    assert (fact.proof.scheme, fact.proof.key_slot) == ("t_v1", "1")
    assert abs(fact.proof.skew_s) < 1
    assert 0 < fact.duration_s < 5


async def test_a_duplicate_and_a_conflict():
    """A delivery that comes again is told as a duplicate; with another body as a conflict."""

    async def ask(door):
        for records in (2, 2, 1):
            await door.deliver(job(records=records).body)

    told = await facts_of(ask)
    assert [(fact.outcome, fact.conflict) for fact in told] == [
        (Answer.ACCEPTED, False),
        (Answer.DUPLICATE, False),
        (Answer.DUPLICATE, True),
    ]


@pytest.mark.parametrize(
    ("path", "headers", "source", "status", "reason"),
    [
        ("/hooks/stib", [], "stib", 401, "missing"),
        (f"/hooks/push/{OTHER_TOKEN}", [], "push", 404, "token_mismatch"),
        ("/hooks/nobody", [], None, 404, "unknown_source"),
        ("/elsewhere", [], None, 404, "unknown_source"),
        (f"/hooks/push/{TOKEN}", [("content-encoding", "gzip")], "push", 415, "content_encoding"),
    ],
)
async def test_a_refusal(path, headers, source, status, reason):
    """A refusal is told with its reason, under the name of a source of ours or of none."""
    told = await facts_of(lambda door: door.post(path, b"{}", headers))
    assert [(f.source, f.outcome, f.http_status, f.reason) for f in told] == [(source, Answer.REJECTED, status, reason)]


async def test_a_delivery_that_cannot_be_stored():
    """Our own failure is no refusal."""

    def full():
        raise StoreFull("no space", hint="")

    body = delivery().body
    told = await facts_of(lambda door: door.post("/hooks/stib", body, signed(body)), check_space=full)
    assert [(fact.outcome, fact.http_status) for fact in told] == [(Answer.FAILED, 507)]


async def test_a_throttled_delivery_and_a_url_check():
    """Over the rate is told as throttled; a GET is nobody's delivery, but somebody's look."""

    async def ask(door):
        await door.post(f"/hooks/push/{TOKEN}", delivery().body)
        await door.post(f"/hooks/push/{TOKEN}", delivery().body)
        await door.exchange(request("GET", f"/hooks/push/{TOKEN}"))

    *told, look = await facts_of(ask, rate=0.001, burst=1)
    assert [(fact.outcome, fact.http_status) for fact in told] == [(Answer.ACCEPTED, 202), (Answer.THROTTLED, 429)]
    assert all(isinstance(fact, Answered) for fact in told)
    assert isinstance(look, Looked)
    assert (look.method, look.route, look.http_status) == ("GET", "/hooks/{source}/{token}", 200)
